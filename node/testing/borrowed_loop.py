"""An event loop that whoever calls runs in his own thread, until it needs one for itself.

Handing a request to another thread and its answer back takes longer than most requests do.
So the caller's thread runs the loop for as long as it waits. When two call at once, when a
caller is an event loop's thread itself, or when something has to go on while nobody calls,
the loop gets a thread of its own and keeps it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Ended(Exception):
    """Work was over before it waited."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class BorrowedLoop:
    """One loop, for callers in any thread. `close` once, after which it takes no more work."""

    def __init__(self, seconds_max: float) -> None:
        """No work is waited for longer than `seconds_max`."""
        self._seconds_max = seconds_max
        self._loop = asyncio.new_event_loop()
        self._running = threading.Lock()  # held by the thread that runs the loop
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T], *, by_hand: bool = False) -> T:
        """What the work gives or raises; TimeoutError, RuntimeError once it is closed.

        `by_hand` is for work that mostly needs no loop: as long as it waits for nothing, nothing
        else that is due in the loop is done. Until then it is no task, and can't be cancelled.
        """
        self._refuse_if_closed(work)
        context = None
        if self._may_be_borrowed(by_hand) and self._running.acquire(blocking=False):
            try:
                if self._thread is None:
                    if by_hand:
                        work, context = self._begin(work)
                    if not _in_a_loop():
                        return self._drive(work, context)
            except _Ended as end:
                result: T = end.value
                return result
            finally:
                self._running.release()
        return self._handed(work, context).result(self._seconds_max)

    async def run_async(self, work: Coroutine[Any, Any, T], *, by_hand: bool = False) -> T:
        """As `run`, for callers in an event loop."""
        self._refuse_if_closed(work)
        context = None
        if by_hand and self._may_be_borrowed(by_hand) and self._running.acquire(blocking=False):
            try:
                if self._thread is None:
                    work, context = self._begin(work)
            except _Ended as end:
                result: T = end.value
                return result
            finally:
                self._running.release()
        return await asyncio.wrap_future(self._handed(work, context))

    def _may_be_borrowed(self, by_hand: bool) -> bool:
        return self._thread is None and (by_hand or not _in_a_loop())

    def _handed(self, work: Coroutine[Any, Any, T], context: Context | None) -> "Future[T]":
        """What the loop's own thread will make of the work."""
        self.take_thread()
        if context is not None:
            work = _within(work, context)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Callable[[], T | None]) -> T | None:
        """What the work gives, which needs no loop but that nobody runs it meanwhile.

        None when somebody does, or it has a thread of its own: then nothing was done.
        """
        if self._closed or self._thread is not None or not self._running.acquire(blocking=False):
            return None
        try:
            return work() if self._thread is None else None
        finally:
            self._running.release()

    def take_thread(self) -> None:
        """Go on while nobody calls, from now on."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="ledger", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop the loop, which has nothing left to do."""
        self._closed = True
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _go_on(self) -> None:
        with self._running:
            self._loop.run_forever()

    def _begin(self, work: Coroutine[Any, Any, T]) -> tuple[Coroutine[Any, Any, T], Context]:
        """Work up to where it waits: its rest, and its context. Raises _Ended when it does."""
        context = copy_context()  # its own, as a task's
        around = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        try:
            waits_for = context.run(work.send, None)
        except StopIteration as end:
            raise _Ended(end.value) from None
        finally:
            asyncio._set_running_loop(around)
        return _rest(work, waits_for), context

    def _drive(self, work: Coroutine[Any, Any, T], context: Context | None = None) -> T:
        task = self._loop.create_task(work, context=context)
        late = self._loop.call_later(self._seconds_max, task.cancel)
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise TimeoutError(f"no answer within {self._seconds_max:g} s") from None
        finally:
            late.cancel()
            task.cancel()  # when Ctrl-C ended the waiting

    def _refuse_if_closed(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._closed:
            work.close()
            raise RuntimeError("this ledger is not running")


async def _within(work: Coroutine[Any, Any, T], context: Context) -> T:
    return await asyncio.get_running_loop().create_task(work, context=context)


async def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> T:
    """What is left of work that has begun, and waits."""
    result: T = await _going_on(work, waits_for)
    return result


@coroutine
def _going_on(work: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            came = yield waits_for
        except BaseException as error:
            go_on = partial(work.throw, error)
        else:
            go_on = partial(work.send, came)
        try:
            waits_for = go_on()
        except StopIteration as end:
            return end.value


def _in_a_loop() -> bool:
    """Whether this thread runs an event loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
