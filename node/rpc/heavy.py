"""Requests that may take long: a bounded number of threads, a bounded line, a time limit."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from node.handing import InlineExecutor, handed
from node.rpc.errors import LIMIT_EXCEEDED, TIMED_OUT, RpcError
from node.rpc.line import Line, Told
from node.rpc.turns import Turns
from node.settings import RpcSettings

# How long a computing thread may keep the others waiting; Python's own is ten times this,
# which cheap calls and the block builder would feel at every turn.
_SWITCH_SECONDS: Final = 0.0005
_READERS: Final = 2


def _too_many() -> RpcError:
    return RpcError(LIMIT_EXCEEDED, "too many calls at the same time, try again later")


def _out_of_time(seconds: float) -> RpcError:
    return RpcError(TIMED_OUT, f"execution aborted (timeout = {seconds:g}s)")


class HeavyCalls:
    """Runs plain functions in threads. At most `calls_waiting_max` wait for one to be free."""

    def __init__(
        self,
        settings: RpcSettings,
        threads: Callable[[int, str], Executor] = ThreadPoolExecutor,
    ) -> None:
        """`threads` gives so many threads, named so."""
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))
        self._settings = settings
        parallel = settings.calls_parallel_max
        self._threads = threads(parallel, "rpc-call")
        self._calls = Line(self._threads, parallel)
        # Traces run much longer: in threads of their own, so that calls don't wait for them.
        self._tracers = threads(max(parallel // 2, 1), "rpc-trace")
        self._traces = Line(self._tracers, max(parallel // 2, 1))
        self._readers = threads(_READERS, "rpc-read")
        self.turns = Turns(shared=not isinstance(self._threads, InlineExecutor))
        self.closing = False  # what can stop by itself does so then

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result. RpcError when the line is full or its time is over.

        A function that overstays keeps its thread until it ends by itself, which the
        gas limit of calls and the limits of log queries see to.
        """
        if isinstance(self._threads, InlineExecutor):  # it is over when this returns
            return function(*arguments)
        seconds = self._settings.call_timeout_ms / 1000
        return await self._in_line(self._calls, seconds, function, *arguments)

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        told: Told,
        function: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        """As `run`, for who has no task to wait in: `told` is called, once."""
        seconds = self._settings.call_timeout_ms / 1000
        if self._is_full(self._calls):
            loop.call_soon(told, None, _too_many())  # not before this returns
            return

        def told_in_time(result: Any, error: BaseException | None) -> None:
            late.cancel()
            told(result, error)

        def too_late() -> None:
            place.leave()
            told(None, _out_of_time(seconds))

        late = loop.call_later(seconds, too_late)
        place = self._calls.join(loop, told_in_time, function, *arguments)

    async def trace(self, function: Callable[[], Any], timeout_ms: int) -> Any:
        """As `run`, for what has a time limit of its own and looks at `closing` now and then."""
        return await self._in_line(self._traces, timeout_ms / 1000, function)

    async def _in_line(
        self, line: Line, seconds: float, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        if self._is_full(line):
            raise _too_many()
        try:
            async with asyncio.timeout(seconds):
                return await line.run(function, *arguments)
        except TimeoutError:
            raise _out_of_time(seconds) from None

    def _is_full(self, line: Line) -> bool:
        settings = self._settings
        return line.unfinished >= settings.calls_parallel_max + settings.calls_waiting_max

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function that reads much, but no more than a block or the pool has.

        Those in line are as many as there are callers, whose number is limited.
        """
        return await handed(self._readers, function, *arguments)

    async def close(self) -> None:
        """Take no more calls, give up those in line, and wait for those running to end.

        They read the ledger, which is closed after this.
        """
        self.closing = True
        for line in (self._calls, self._traces):
            line.give_up()
        for threads in (self._threads, self._tracers, self._readers):
            if isinstance(threads, InlineExecutor):
                continue  # and at the end of a program there are no threads to be had
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
