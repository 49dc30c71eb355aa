"""Requests on their way in: how many bytes of large ones may be held altogether."""

from typing import Final

from node.rpc.outgoing import LARGE

_HELD_MAX: Final = 256 * 2**20  # bytes
CROWDED: Final = "too many large requests at the same time, try again later"


class Incoming:
    """Counts the bytes of large requests from their first to their answer."""

    def __init__(self, held_max: int = _HELD_MAX) -> None:
        self.held_max = held_max
        self.held = 0

    def request(self) -> "Held":
        """A request that begins; `release` it once, whatever becomes of it."""
        return Held(self)


class Held:
    """What is counted of one request."""

    __slots__ = ("_incoming", "_size", "_taken")

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._size = 0
        self._taken = 0

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes more; small requests are not counted.

        One that is alone is taken whatever its size, since that has its own limit.
        """
        self._size += size
        if self._size <= LARGE:
            return True
        incoming = self._incoming
        others = incoming.held - self._taken
        if others and others + self._size > incoming.held_max:
            return False
        incoming.held = others + self._size
        self._taken = self._size
        return True

    def release(self) -> None:
        self._incoming.held -= self._taken
        self._taken = 0
