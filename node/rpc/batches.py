"""Batches of usual calls, answered in turns so that others are not held up."""

from collections import Counter
from time import perf_counter
from typing import Final

from node.rpc import protocol
from node.rpc.context import Context
from node.rpc.usual import Call, answer, computed, known, run
from node.settings import RpcSettings
from node.watch.metrics import CallCounts

_AT_ONCE: Final = 128  # calls of a batch before others get a turn
_TURN_SECONDS: Final = 0.003  # after which those that were run give others a turn too


class Batch:
    """A batch that is being answered, in its order."""

    def __init__(
        self, calls: list[Call], ctx: Context, settings: RpcSettings, counts: CallCounts
    ) -> None:
        self._calls = calls
        self._ctx = ctx
        self._bytes_max = settings.response_bytes_max
        self._counts = counts
        self._answers: list[bytes] = []
        self._size = 0  # bytes of these

    @property
    def is_over(self) -> bool:
        return len(self._answers) == len(self._calls)

    def all_answers(self) -> bytes:
        return b"[" + b",".join(self._answers) + b"]"

    def take_turn(self) -> None:
        """Answer the next calls, up to one that may take long."""
        first = len(self._answers)
        start = perf_counter()
        outcomes: Counter[tuple[str, bool]] = Counter()
        results = self._ctx.remembered.results(self._ctx)
        for call in self._calls[first : first + _AT_ONCE]:
            if self._size > self._bytes_max:
                self._answers.append(protocol.too_large(call.id))
                continue
            answered = run(call, self._ctx, results)
            if answered is None:
                break
            text, failed = answered
            self._answers.append(text)
            self._size += len(text)
            outcomes[call.request[0], failed] += 1
            if call.known is not None and perf_counter() - start > _TURN_SECONDS:
                break
        self._count(outcomes, perf_counter() - start)

    def _count(self, outcomes: Counter[tuple[str, bool]], seconds: float) -> None:
        each = seconds / max(outcomes.total(), 1)
        for (name, failed), times in outcomes.items():
            self._counts.count(name, failed, each, times)

    async def answer_rest(self) -> bytes:
        """All answers, when others have had turns in between."""
        while not self.is_over:
            before = len(self._answers)
            await self._ctx.heavy.turns.take()
            self.take_turn()
            if len(self._answers) == before:
                await self._wait_for_next()
        return self.all_answers()

    async def _wait_for_next(self) -> None:
        """Answer the next call if it waits; or the next ones, which are heavy, as far as a
        thread comes in its turn.
        """
        start = perf_counter()
        calls = self._next_heavy()
        results = self._ctx.remembered.results(self._ctx)
        if calls:
            found = await self._computed_in_line(calls)
        else:
            calls = self._calls[len(self._answers) :][:1]
            found = [await self._waited_for(calls[0])]
        outcomes: Counter[tuple[str, bool]] = Counter()
        for call, result in zip(calls, found, strict=False):
            text, failed = answer(call, result, self._ctx, results)
            self._answers.append(text)
            self._size += len(text)
            outcomes[call.request[0], failed] += 1
        self._count(outcomes, perf_counter() - start)

    def _next_heavy(self) -> list[Call]:
        calls = []
        for call in self._calls[len(self._answers) :]:
            if not known(call)[0].heavy:
                break
            calls.append(call)
        return calls

    async def _computed_in_line(self, calls: list[Call]) -> list[bytes | Exception]:
        try:
            found: list[bytes | Exception] = await self._ctx.heavy.run(
                _computed_in_turn, calls, self._ctx
            )
        except Exception as error:  # there is no room in the line, or no answer in time
            return [error]
        return found

    async def _waited_for(self, call: Call) -> bytes | Exception:
        method, arguments = known(call)
        try:
            return protocol.encode_result(await method.function(self._ctx, *arguments))
        except Exception as error:
            return error


def _computed_in_turn(calls: list[Call], ctx: Context) -> list[bytes | Exception]:
    """Results of heavy calls one after another, for some milliseconds."""
    found = []
    stop = perf_counter() + protocol.HEAVY_TURN_SECONDS
    for call in calls:
        found.append(computed(call, ctx))
        if perf_counter() > stop:
            break
    return found
