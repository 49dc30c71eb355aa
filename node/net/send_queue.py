"""What waits to be sent to one peer: bounded, the urgent first. Knows no socket."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from node.net.frames import PART_BYTES, cut
from node.net.rates import BULK, LEVELS, TRANSACTIONS, URGENT

_MESSAGE_BYTES: Final = 128  # what a queued message costs beside its own bytes
_URGENT_STREAM: Final = 0
_BULK_STREAM: Final = 1


class SendQueue:
    """Messages in, frames out.

    An urgent message is sent before all others, at the latest after the frame under way, and
    so at most PART_BYTES behind a body. Long messages go in parts, one urgent and one other
    at a time; messages of one level keep their order, but short ones pass long ones by.
    Transactions and bulk may fill three quarters, so that there is always room
    for a vote.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._short: list[deque[bytes]] = [deque() for _ in range(LEVELS)]
        self._long: list[deque[bytes]] = [deque() for _ in range(LEVELS)]
        self._parts: list[Iterator[bytes] | None] = [None, None]
        self._part_sizes = [0, 0]
        self._part_next = False

    @property
    def bytes_held(self) -> int:
        """Bytes that wait, with what it costs to keep them."""
        return self._bytes

    def put(self, level: int, message: bytes) -> bool:
        """Queue a message; False when there is no room for it."""
        limit = self._bytes_max if level < TRANSACTIONS else self._bytes_max * 3 // 4
        cost = len(message) + _MESSAGE_BYTES
        if self._bytes + cost > limit:
            return False
        self._bytes += cost
        (self._short if len(message) <= PART_BYTES else self._long)[level].append(message)
        return True

    def take(self) -> bytes | None:
        """The next frame to send, or None when nothing waits."""
        if self._short[URGENT]:
            return self._whole(self._short[URGENT])
        frame = self._part(_URGENT_STREAM, URGENT, URGENT)
        if frame is None:
            frame = self._less_urgent()
        return frame

    def _less_urgent(self) -> bytes | None:
        """Parts of a long message and short messages in turns, so that neither starves."""
        self._part_next = not self._part_next
        if self._part_next and (frame := self._part(_BULK_STREAM, URGENT + 1, BULK)) is not None:
            return frame
        for waiting in self._short[URGENT + 1 :]:
            if waiting:
                return self._whole(waiting)
        return self._part(_BULK_STREAM, URGENT + 1, BULK)

    def _part(self, stream: int, first: int, last: int) -> bytes | None:
        """The next part of the stream's message; a long one begins where none is under way."""
        parts = self._parts[stream]
        if parts is not None:
            frame = next(parts, None)
            if frame is not None:
                return frame
            self._parts[stream] = None
            self._bytes -= self._part_sizes[stream]
        for waiting in self._long[first : last + 1]:
            if waiting:
                message = waiting.popleft()
                self._part_sizes[stream] = len(message) + _MESSAGE_BYTES
                self._parts[stream] = started = cut(message, stream)
                return next(started)
        return None

    def _whole(self, waiting: deque[bytes]) -> bytes:
        message = waiting.popleft()
        self._bytes -= len(message) + _MESSAGE_BYTES
        return message
