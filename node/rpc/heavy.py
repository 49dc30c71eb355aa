"""Requests that may take long: a bounded number of threads, a bounded line, a time limit."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from node.rpc.errors import LIMIT_EXCEEDED, TIMED_OUT, RpcError
from node.settings import RpcSettings

# How long a computing thread may keep the others waiting; Python's own is ten times this,
# which cheap calls and the block builder would feel at every turn.
_SWITCH_SECONDS: Final = 0.0005
_READERS: Final = 2


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
        self._threads = threads(settings.calls_parallel_max, "rpc-call")
        # Traces run much longer: in threads of their own, so that calls don't wait for them.
        self._tracers = threads(max(settings.calls_parallel_max // 2, 1), "rpc-trace")
        self._readers = threads(_READERS, "rpc-read")
        self._unfinished = {self._threads: 0, self._tracers: 0}
        self.closing = False  # what can stop by itself does so then

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result. RpcError when the line is full or its time is over.

        A function that overstays keeps its thread until it ends by itself, which the
        gas limit of calls and the limits of log queries see to.
        """
        return await self._submit(
            self._threads, self._settings.call_timeout_ms, function, *arguments
        )

    async def trace(self, function: Callable[[], Any], timeout_ms: int) -> Any:
        """As `run`, for what has a time limit of its own and looks at `closing` now and then."""
        return await self._submit(self._tracers, timeout_ms, function)

    async def _submit(
        self,
        threads: Executor,
        timeout_ms: int,
        function: Callable[..., Any],
        *arguments: Any,
    ) -> Any:
        settings, seconds = self._settings, timeout_ms / 1000
        if self._unfinished[threads] >= settings.calls_parallel_max + settings.calls_waiting_max:
            raise RpcError(LIMIT_EXCEEDED, "too many calls at the same time, try again later")
        self._unfinished[threads] += 1
        job = threads.submit(function, *arguments)
        job.add_done_callback(self._finished(threads, asyncio.get_running_loop()))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            raise RpcError(TIMED_OUT, f"execution aborted (timeout = {seconds:g}s)") from None

    async def read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function that reads much, but no more than a block or the pool has.

        Those in line are as many as there are callers, whose number is limited.
        """
        return await asyncio.wrap_future(self._readers.submit(function, *arguments))

    def _finished(
        self, threads: Executor, loop: asyncio.AbstractEventLoop
    ) -> Callable[[object], None]:
        def count() -> None:
            self._unfinished[threads] -= 1

        def done(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(count)

        return done

    async def close(self) -> None:
        """Take no more calls, give up those in line, and wait for those running to end.

        They read the ledger, which is closed after this.
        """
        self.closing = True
        for threads in (self._threads, self._tracers, self._readers):
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
