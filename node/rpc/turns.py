"""A share of the event loop's time for what comes in masses.

Single requests are short, but a client may send thousands in one piece, and thousands of
subscriptions may have news at the same moment. If all of it ran at once, the next block and
everybody else's calls would wait behind it. So it takes turns: in each of the loop's own turns
it has some milliseconds, those who wait are served in their order, and whatever else is ready
comes in between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final

_TURN_SECONDS: Final = 0.003
_CALLED_MAX: Final = 16  # in one turn; what each does is seldom over at once


class Turns:
    """One event loop's. Used from its thread only."""

    def __init__(self, *, shared: bool = True, clock: Callable[[], float] = perf_counter) -> None:
        """Turns never end where the loop is not `shared` with others, and may not even run.

        `clock` gives seconds; how long things take is the only thing that it is for.
        """
        self._shared = shared
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._first: deque[Callable[[], None]] = deque()  # who were called, but too late
        self._counting = False  # a turn has begun
        self._ends = 0.0

    def over(self) -> bool:
        """Whether this turn's time is used up; there may be those who wait for the next."""
        if not self._shared:
            return False
        if self._counting:
            return bool(self._waiting or self._first) or self._clock() > self._ends
        self._begin(asyncio.get_running_loop())
        return False

    def later(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called when it is its turn. Whoever calls this knows a limit of them."""
        if not self._counting:
            self._begin(asyncio.get_running_loop())
        self._waiting.append(go_on)

    async def take(self) -> None:
        """Wait for a turn, if this one's time is used up."""
        if not self.over():
            return
        line = self._waiting
        while True:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            line.append(partial(_wake, mine))
            await mine
            if self._clock() <= self._ends:
                return
            line = self._first  # another one that was woken has used it up

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._counting = True
        self._ends = self._clock() + _TURN_SECONDS
        loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has had a turn of its own."""
        called = len(self._first) + len(self._waiting)
        if not called:
            self._counting = False
            return
        self._ends = self._clock() + _TURN_SECONDS
        for _ in range(min(_CALLED_MAX, called)):
            (self._first or self._waiting).popleft()()
            if self._clock() > self._ends:
                break
        loop.call_soon(self._next, loop)  # after those that were woken here


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
