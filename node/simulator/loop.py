"""An asyncio event loop whose clock jumps to the next timer, and executors without threads.

Nothing here waits: an hour of virtual time takes as long as its events take to compute.
With the same program and the same seed, everything happens in the same order.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, TypeVar

from node.handing import InlineExecutor

P = ParamSpec("P")
R = TypeVar("R")

_TURNS_MAX: Final = 200_000  # of the loop without the clock moving: something spins


class Stuck(Exception):
    """The simulated world can't go on: no timer is set, or time stands still."""


class _Jump:
    """In place of a selector: where a real one would wait, the clock moves on."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        self._loop.jump(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or waiting. `time()` starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9
        self._inline = InlineExecutor()

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._now

    def jump(self, timeout: float | None) -> None:
        """Move the clock on to the next timer, `timeout` seconds away; None: there is none."""
        if timeout is None:
            raise Stuck("deadlock: nothing is ready to run and no timer is set")
        if timeout > 0:
            self._now += timeout
            self._turns = 0
            return
        self._turns += 1
        if self._turns > _TURNS_MAX:
            raise Stuck(f"time stands still at {self._now:.6f} s: {_TURNS_MAX} turns without it")

    def run(self, main: Coroutine[Any, Any, R]) -> R:
        """Run to the end of `main`, then cancel what it left behind. Raises `Stuck`."""
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(main)
        finally:
            self._cancel_rest()
            asyncio.set_event_loop(None)
            self.close()

    def _cancel_rest(self) -> None:
        rest = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        for task in rest:
            task.cancel()
        if rest:
            self.run_until_complete(asyncio.gather(*rest, return_exceptions=True))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., R], *args: Any
    ) -> "asyncio.Future[R]":
        """The default executor runs at once: there are no threads here."""
        chosen = self._inline if executor is None else executor
        return asyncio.wrap_future(chosen.submit(func, *args), loop=self)

    def _process_events(self, event_list: list[object]) -> None:
        """There are no file descriptors to hear from."""

    def _write_to_self(self) -> None:
        """There is no other thread that would have to wake this one."""


class _Job:
    """A call that waits for its time, happens as a whole, and is answered later."""

    def __init__(self, act: Callable[[], None], future: "Future[Any]") -> None:
        self._act = act
        self.future = future
        self.happened = False

    def happen(self) -> None:
        if not self.happened:
            self.happened = True
            self._act()


class VirtualExecutor(Executor):
    """A pool of `workers` virtual threads: calls take virtual time and end in their order.

    A call happens as a whole in the middle of its time and is answered at the end, so that
    a crash may fall before it or between the two. `cost` gives the seconds of a call.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, workers: int, cost: Callable[[], float]
    ) -> None:
        self._loop = loop
        self._idle = workers
        self._cost = cost
        self._waiting: deque[_Job] = deque()
        self._begun: dict[int, _Job] = {}
        self._count = 0
        self._closed = False
        self._killed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        if self._closed:
            raise RuntimeError("the executor is shut down")
        future: Future[R] = Future()
        outcome: Future[R] = Future()
        job = _Job(lambda: _settle(outcome, lambda: fn(*args, **kwargs)), outcome)
        job.future.add_done_callback(lambda _: self._answer_later(outcome, future))
        self._waiting.append(job)
        self._begin_next()
        return future

    def _begin_next(self) -> None:
        while self._idle and self._waiting:
            self._idle -= 1
            self._count += 1
            self._begun[self._count] = self._waiting.popleft()
            self._loop.call_later(self._cost() / 2, self._happen, self._count)

    def _happen(self, number: int) -> None:
        job = self._begun.pop(number, None)
        if job is not None and not self._killed:
            job.happen()

    def _answer_later(self, outcome: Future[R], future: Future[R]) -> None:
        if self._closed:
            _copy(outcome, future)
        else:
            self._loop.call_later(self._cost() / 2, self._answer, outcome, future)

    def _answer(self, outcome: Future[R], future: Future[R]) -> None:
        self._idle += 1
        if not self._killed:
            _copy(outcome, future)
            self._begin_next()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; those under way happen now, as one who waits would see it."""
        self._closed = True
        begun = [self._begun[number] for number in sorted(self._begun)]
        rest = [] if cancel_futures else list(self._waiting)
        self._begun.clear()
        self._waiting.clear()
        for job in [*begun, *rest]:
            if not self._killed:
                job.happen()

    def kill(self) -> None:
        """The process is gone: what has not happened never will, and nobody is answered."""
        self._killed = self._closed = True
        self._waiting.clear()
        self._begun.clear()


def _copy(outcome: Future[R], future: Future[R]) -> None:
    if future.cancelled():
        return
    error = outcome.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(outcome.result())


def _settle(future: Future[R], call: Callable[[], R]) -> None:
    """The outcome of `call`, whatever it is, belongs to whoever waits for the future."""
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)
