"""Requests that need no task of their own: those answered at once, and single ones begun here.

Most requests that programs poll with call methods that look up what is in memory or near it;
answering them in the turn in which they arrive takes a fifth of the time, and less if the
same has been asked before (`node.rpc.remembered`). Heavy calls are answered here too if they
are sure to be short (`node.rpc.quick`), or else go to the threads' line straight away, as
transactions go to the pool's.
Whatever is unusual about a request - its form, its arguments, a method that waits - is left to
`protocol`, which defines what is answered; what is answered here is the same.
"""

import asyncio
import dis
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import cache
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from node.rpc import protocol, registry
from node.rpc.context import Context, WouldWait
from node.rpc.pending import is_pending
from node.rpc.remembered import Request, Results
from node.settings import RpcSettings
from node.watch.metrics import CallCounts

# Methods of these kinds are short when they don't wait; others may encode whole blocks.
_KINDS: Final = ("eth_", "net_", "web3_")
_AT_ONCE: Final = 128  # calls of a batch before others get a turn
_TURN_SECONDS: Final = 0.003  # after which quick ones of a batch give others a turn too
_WAITS: Final = frozenset({"GET_AWAITABLE", "GET_AITER", "BEFORE_ASYNC_WITH"})


class _Request(Struct, gc=False):
    """A call in its usual form; any other is not decoded."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Raw
    params: Raw = Raw(b"[]")


class _Call(NamedTuple):
    """A call that is answered here."""

    id: bytes  # as it was written
    request: Request
    # What to run, with what; None for what is remembered, until that is forgotten.
    known: tuple[registry.Method, list[Any]] | None


# A call's id, what to run, with what.
_Bound = tuple[bytes, registry.Method, list[Any]]
_decode_one: Final = msgspec.json.Decoder(_Request).decode
_decode_many: Final = msgspec.json.Decoder(list[_Request]).decode
_decode_params: Final = msgspec.json.Decoder(list[Any]).decode


class Later(Struct, gc=False):
    """A single call that `begin` can begin without a task."""

    id: bytes
    method: registry.Method
    arguments: list[Any]


class _UnusualError(Exception):
    """Something that `protocol` is to look at."""


@cache
def _methods() -> dict[str, registry.Method]:
    """Those, and the ones that `begin` begins."""
    begun = {
        name: method
        for name, method in registry.METHODS.items()
        if method.heavy or method.begin is not None
    }
    return instant_methods() | begun


@cache
def instant_methods() -> dict[str, registry.Method]:
    """The methods that never wait for anything, or only seldom, by name."""
    return {name: method for name, method in registry.METHODS.items() if _is_instant(method)}


def _is_instant(method: registry.Method) -> bool:
    if method.heavy or not method.name.startswith(_KINDS):
        return False
    if method.of_head:  # which waits for blocks that are not at hand, and can say so
        return True
    return not any(each.opname in _WAITS for each in dis.get_instructions(method.function))


def answer_at_once(
    body: bytes, ctx: Context, settings: RpcSettings, counts: CallCounts
) -> bytes | Coroutine[Any, Any, bytes] | Later | None:
    """The answer; a coroutine that gives it, for long batches; None: let `protocol` answer.

    What takes a thread or the pool is given back for `begin`.
    """
    if ctx.fork is not None:  # whose state may have to be fetched
        return None
    if protocol.has_too_many_values(body):
        return None
    try:
        results = ctx.remembered.results(ctx)
        if body[:1] != b"[":
            start = perf_counter()
            call = _read(_decode_one(body), ctx, results)
            answered = _run(call, ctx, results)
            if answered is None:
                return Later(call.id, *_known(call))
            counts.count(call.request[0], answered[1], perf_counter() - start)
            return answered[0]
        requests = _decode_many(body)
        if not 0 < len(requests) <= settings.batch_items_max:
            return None
        calls = [_read(each, ctx, results) for each in requests]
        if any(call.known is not None and call.known[0].together for call in calls):
            return None
    except (msgspec.DecodeError, _UnusualError, RecursionError, UnicodeDecodeError):
        return None
    batch = _Batch(calls, ctx, settings, counts)
    if not ctx.heavy.turns.over():
        batch.take_turn()
    return batch.all_answers() if batch.is_over else batch.answer_rest()


class _Batch:
    """A batch that is being answered, in its order."""

    def __init__(
        self, calls: list[_Call], ctx: Context, settings: RpcSettings, counts: CallCounts
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
            answered = _run(call, self._ctx, results)
            if answered is None:
                break
            answer, failed = answered
            self._answers.append(answer)
            self._size += len(answer)
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
                await self._have_computed()
        return self.all_answers()

    async def _have_computed(self) -> None:
        """Answer the next call if it waits; or the next ones, which are heavy, as far as a
        thread comes in its turn.
        """
        calls: list[_Bound] = []
        for call in self._calls[len(self._answers) :]:
            calls.append((call.id, *_known(call)))
            if not calls[-1][1].heavy:
                break
        start = perf_counter()
        if calls[0][1].heavy:
            heavy = [call for call in calls if call[1].heavy]
            answers = await self._computed_in_line(heavy)
        else:
            answers = [await self._waited_for(*calls[0])]
        outcomes: Counter[tuple[str, bool]] = Counter()
        for (_, method, _), (answer, failed) in zip(calls, answers, strict=False):
            self._answers.append(answer)
            self._size += len(answer)
            outcomes[method.name, failed] += 1
        self._count(outcomes, perf_counter() - start)

    async def _computed_in_line(self, calls: list[_Bound]) -> list[tuple[bytes, bool]]:
        try:
            found: list[tuple[bytes, bool]] = await self._ctx.heavy.run(
                _computed_in_turn, calls, self._ctx
            )
        except Exception as error:  # there is no room in the line, or no answer in time
            request_id, method, _ = calls[0]
            return [(protocol.failure(request_id, method, error, self._ctx), True)]
        return found

    async def _waited_for(
        self, request_id: bytes, method: registry.Method, arguments: list[Any]
    ) -> tuple[bytes, bool]:
        try:
            result = protocol.encode_result(await method.function(self._ctx, *arguments))
        except Exception as error:
            return protocol.failure(request_id, method, error, self._ctx), True
        return _succeeded(request_id, result), False


def _read(made: _Request, ctx: Context, results: Results) -> _Call:
    """The call that a request makes."""
    request_id = bytes(made.id)
    if not (request_id.isdigit() or _is_plain_text(request_id)):
        raise _UnusualError
    request = made.method, bytes(made.params)
    if request in results:
        return _Call(request_id, request, None)
    method = _methods().get(made.method)
    if method is None or not ctx.may_call(method):
        raise _UnusualError
    try:
        arguments = method.bind(_decode_params(request[1]))
    except Exception:  # whatever it is, `protocol` meets it again and says it
        raise _UnusualError from None
    if is_pending(method, arguments):
        raise _UnusualError
    return _Call(request_id, request, (method, arguments))


def _known(call: _Call) -> tuple[registry.Method, list[Any]]:
    """What a call runs, also when it was remembered."""
    if call.known is not None:
        return call.known
    method = _methods()[call.request[0]]
    return method, method.bind(_decode_params(call.request[1]))


def _is_plain_text(request_id: bytes) -> bool:
    return request_id[:1] == b'"' and request_id.isascii()


def _run(call: _Call, ctx: Context, results: Results) -> tuple[bytes, bool] | None:
    """The answer to a call, and whether it is a failure; None: it takes a thread, or waits."""
    request_id, request, _ = call
    found = results.get(request)
    if found is not None:
        return _succeeded(request_id, found), False
    method, arguments = _known(call)
    try:
        if method.heavy or method.begin is not None:
            value = None if method.quickly is None else method.quickly(ctx, *arguments)
            if value is None:
                return None
        else:
            value = _given_at_once(method, ctx, arguments)
        result = protocol.encode_result(value)
    except WouldWait:
        return None
    except Exception as error:
        return protocol.failure(request_id, method, error, ctx), True
    if method.of_head:
        ctx.remembered.keep(results, request, result)
    return _succeeded(request_id, result), False


def _given_at_once(method: registry.Method, ctx: Context, arguments: list[Any]) -> Any:
    """What a coroutine gives; `WouldWait` where it reads more than is read at once."""
    try:
        method.function(ctx.of_this_turn() if method.of_head else ctx, *arguments).send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError(f"{method.name} waits")


def _succeeded(request_id: bytes, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


def _computed_in_turn(calls: list[_Bound], ctx: Context) -> list[tuple[bytes, bool]]:
    """Answers to calls of heavy methods one after another, for some milliseconds."""
    answers = []
    stop = perf_counter() + protocol.HEAVY_TURN_SECONDS
    for request_id, method, arguments in calls:
        try:
            result = _computed(method, ctx, arguments)
            answers.append((_succeeded(request_id, result), False))
        except Exception as error:
            answers.append((protocol.failure(request_id, method, error, ctx), True))
        if perf_counter() > stop:
            break
    return answers


def answer_heavy(call: Later, ctx: Context, counts: CallCounts) -> bytes:
    """The answer to a heavy call, made by the caller's own thread."""
    start = perf_counter()
    failed = True
    try:
        result = _computed(call.method, ctx, call.arguments)
        failed = False
    except Exception as error:
        return protocol.failure(call.id, call.method, error, ctx)
    finally:
        counts.count(call.method.name, failed, perf_counter() - start)
    return _succeeded(call.id, result)


def begin(
    call: Later,
    ctx: Context,
    counts: CallCounts,
    loop: asyncio.AbstractEventLoop,
    answered: Callable[[bytes], None],
) -> bool:
    """Have a thread or the pool see to the call; `answered` is called with the answer, in the loop.

    False where it takes a coroutine, and nothing was begun.
    """
    start, method = perf_counter(), call.method

    def computed(result: Any, error: BaseException | None) -> None:
        counts.count(method.name, error is not None, perf_counter() - start)
        if error is not None:
            answered(protocol.failure(call.id, method, error, ctx))
        else:
            answered(_succeeded(call.id, result))

    def told(result: Any, error: BaseException | None) -> None:
        computed(None if error is not None else protocol.encode_result(result), error)

    if method.heavy:
        ctx.heavy.begin(loop, computed, _computed, method, ctx, call.arguments)
        return True
    if method.begin is None:
        return False
    try:
        return method.begin(ctx, told, *call.arguments)
    except Exception as error:
        loop.call_soon(computed, None, error)
        return True


def _computed(method: registry.Method, ctx: Context, arguments: list[Any]) -> bytes:
    # Encoded in the thread, since a long answer would hold up the event loop.
    return protocol.encode_result(method.function(ctx, *arguments))
