"""Which heights nobody is about to bring the bodies of."""

from bisect import bisect_right
from collections.abc import Callable, Iterable


class Ranges:
    """Heights not asked for yet: all from `cut` on, and what came back unanswered."""

    def __init__(self) -> None:
        self._cut = 0
        self._returned: list[tuple[int, int]] = []  # (first, count), ascending, apart

    def clear(self) -> None:
        """Nothing was asked for."""
        self._cut = 0
        self._returned.clear()

    def lowest(self, height: int, last: int) -> tuple[int, int]:
        """(first, count) of the lowest range above `height` up to `last`; none: (0, 0)."""
        if self._returned:
            return self._returned[0]
        first = max(self._cut, height + 1)
        return (first, last - first + 1) if first <= last else (0, 0)

    def take(self, first: int, count: int) -> None:
        """The lowest range was asked for, or its beginning."""
        if not self._returned:
            self._cut = first + count
            return
        _, whole = self._returned.pop(0)
        if whole > count:
            self._returned.insert(0, (first + count, whole - count))

    def give_back(self, heights: Iterable[int], missing: Callable[[int], bool]) -> None:
        """Those of these heights that are still missing must be asked for again."""
        for height in heights:
            if height >= self._cut or not missing(height):
                continue
            at = bisect_right(self._returned, height, key=lambda pair: pair[0])
            first, count = self._returned[at - 1] if at else (0, 0)
            if at and first + count > height:
                continue
            if at and first + count == height:
                self._returned[at - 1] = (first, count + 1)
            else:
                self._returned.insert(at, (height, 1))

    def pass_over(self, height: int) -> None:
        """The ledger is at `height`: what is not above it is of no interest any more."""
        while self._returned and self._returned[0][0] <= height:
            first, count = self._returned.pop(0)
            rest = first + count - height - 1
            if rest > 0:
                self._returned.insert(0, (height + 1, rest))
