"""A line of functions in front of threads that run them one after another.

A thread stays at work as long as somebody is in line, and the event loop is woken once for
all that was done meanwhile: handing a single short function to a thread and back takes longer
than to run it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Lock
from typing import Any, Final

# Nobody was taken from the line for so long: all threads at work are held up, one more helps.
_HELD_UP_SECONDS: Final = 0.015


# Told of what came of a function: its result, or what it raised.
Told = Callable[[Any, BaseException | None], None]


class Place:
    """A function's place in the line, from `Line.join` until it is told of."""

    __slots__ = ("arguments", "function", "left", "told")

    def __init__(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], told: Told
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.told = told
        self.left = False

    def leave(self) -> None:
        """Nobody wants to hear of it any more; it runs only if it does already."""
        self.left = True


class Line:
    """One line. All but the work is done in the thread of one event loop."""

    def __init__(self, threads: Executor, threads_max: int) -> None:
        self._threads = threads
        self._threads_max = threads_max
        self._lock = Lock()
        self._waiting: deque[Place] = deque()
        self._working = 0  # threads at work
        self._taken = 0  # how many were taken from the line
        self._taken_before = 0  # the same when it was last looked
        self._done: deque[tuple[Place, Any, BaseException | None]] = deque()
        self._waking = False  # whether the loop was told that something is done
        self._looking: asyncio.TimerHandle | None = None
        self.unfinished = 0  # in line or running

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, or what it raises. Who is cancelled leaves the line."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def told(result: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            elif isinstance(error, asyncio.CancelledError):
                answer.cancel()
            else:
                answer.set_exception(error)

        place = self.join(loop, told, function, *arguments)
        try:
            return await answer
        finally:
            place.leave()

    def join(
        self,
        loop: asyncio.AbstractEventLoop,
        told: Told,
        function: Callable[..., Any],
        *arguments: Any,
    ) -> Place:
        """Have a thread run the function when it is its turn; `told` is called in the loop."""
        place = Place(function, arguments, told)
        self.unfinished += 1
        with self._lock:
            self._waiting.append(place)
            idle = self._working == 0
            self._working += idle
        if idle:
            self._threads.submit(self._work, loop)
        if self._looking is None:
            self._taken_before = -1
            self._looking = loop.call_later(_HELD_UP_SECONDS, self._look, loop)
        return place

    def give_up(self) -> None:
        """Whoever is in line is told that it is cancelled."""
        with self._lock:
            places = list(self._waiting)
            self._waiting.clear()
        self.unfinished -= len(places)
        for place in places:
            if not place.left:
                place.told(None, asyncio.CancelledError())
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have one more thread help if the others don't get on; again while there is a line."""
        with self._lock:
            helps = bool(self._waiting) and self._taken == self._taken_before
            helps = helps and self._working < self._threads_max
            self._working += helps
            self._taken_before = self._taken
            over = not self._waiting
        if helps:
            self._threads.submit(self._work, loop)
        self._looking = None if over else loop.call_later(_HELD_UP_SECONDS, self._look, loop)

    # -- in threads --------------------------------------------------------------------------------

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working -= 1
                    return
                place = self._waiting.popleft()
                self._taken += 1
            result, error = None, None
            if not place.left:
                try:
                    result = place.function(*place.arguments)
                except BaseException as raised:  # the caller's, whatever it is
                    error = raised
            self._done.append((place, result, error))
            if not self._waking and not loop.is_closed():
                self._waking = True
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._waking = False
        while self._done:
            place, result, error = self._done.popleft()
            self.unfinished -= 1
            if not place.left:
                place.told(result, error)
