"""Frames on a link: which WebSocket frames are let in, and how long messages are cut.

A message of more than PART_BYTES travels in parts, so that a vote never waits for the end
of a long one: parts of an urgent and of a bulky message, and whole short messages, may
alternate. Knows no socket. Source: docs/protocol/wire.md.
"""

from collections.abc import Iterator
from typing import Final

from chain.errors import Reason, Rejected
from node.net.messages import FRAME_BYTES_MAX

PART_BYTES: Final = 64 * 2**10
PART_HEADER_BYTES: Final = 2
FRAME_PAYLOAD_MAX: Final = PART_BYTES + PART_HEADER_BYTES
STREAMS: Final = 2  # of parts on a link at the same time: the urgent one and the bulky one

_PART: Final = 0xC1  # the one byte that begins no MessagePack value
_LAST: Final = 0x80  # set in the second byte of the last part; the other bits name the stream

_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_CONTROL_BYTES_MAX: Final = 125


class FrameScan:
    """Reads along the headers of WebSocket frames and refuses what no node sends.

    Only whole binary frames of at most `payload_max` bytes, close frames, and pings and pongs
    get through; each is refused by its header, before anything of it is kept.
    """

    def __init__(self, payload_max: int, *, masked: bool) -> None:
        """`masked` says that the frames come from a dialling node, whose frames must be."""
        self.payload_max = payload_max
        self._masked = masked
        self._header = bytearray()
        self._skip = 0  # bytes of the present frame's payload that are still to come

    def feed(self, data: bytes) -> int:
        """Take the next bytes; how many pings and pongs begin in them.

        Raises Rejected: TOO_LARGE, BAD_MESSAGE. Nothing may be fed afterwards.
        """
        controls = 0
        position, end = 0, len(data)
        while position < end:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
                continue
            header = self._header
            header.append(data[position])
            position += 1
            if len(header) == 2:
                controls += self._check_start()
            if len(header) < 2 or len(header) < self._header_size():
                continue
            self._skip = self._payload_size()
            header.clear()
        return controls

    def _header_size(self) -> int:
        length = self._header[1] & 0x7F
        return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if self._header[1] & 0x80 else 0)

    def _check_start(self) -> int:
        """The two bytes that every frame begins with; 1 for a ping or a pong."""
        first, second = self._header
        opcode = first & 0x0F
        if not first & 0x80 or opcode == 0:
            raise Rejected(Reason.BAD_MESSAGE, "a frame in fragments")
        if first & 0x70:
            raise Rejected(Reason.BAD_MESSAGE, "a frame with reserved bits")
        if bool(second & 0x80) is not self._masked:
            raise Rejected(Reason.BAD_MESSAGE, "a frame masked by the wrong side")
        if opcode == _BINARY:
            return 0
        if opcode not in (_CLOSE, _PING, _PONG):
            raise Rejected(Reason.BAD_MESSAGE, f"a frame of kind {opcode}")
        if second & 0x7F > _CONTROL_BYTES_MAX:
            raise Rejected(Reason.BAD_MESSAGE, "a control frame that is too long")
        return int(opcode != _CLOSE)

    def _payload_size(self) -> int:
        length = self._header[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self._header[2 : 4 if length == 126 else 10], "big")
        if length > self.payload_max:
            raise Rejected(
                Reason.TOO_LARGE, f"a frame of {length} bytes, more than {self.payload_max}"
            )
        return length


def cut(message: bytes, stream: int) -> Iterator[bytes]:
    """The frames of a message: itself, or its parts in order."""
    if len(message) <= PART_BYTES:
        yield message
        return
    view = memoryview(message)
    for start in range(0, len(message), PART_BYTES):
        last = start + PART_BYTES >= len(message)
        head = bytes((_PART, stream | (_LAST if last else 0)))
        yield head + view[start : start + PART_BYTES]


class Joiner:
    """Puts the parts of messages together again. At most one message per stream is unfinished."""

    def __init__(self) -> None:
        self._parts: list[list[bytes]] = [[] for _ in range(STREAMS)]
        self._sizes = [0] * STREAMS

    @property
    def bytes_held(self) -> int:
        """Bytes of unfinished messages."""
        return sum(self._sizes)

    def add(self, frame: bytes) -> bytes | None:
        """A whole message, or None while it is unfinished. Rejected: BAD_MESSAGE, TOO_LARGE."""
        if frame[:1] != b"\xc1":
            return frame
        if len(frame) < PART_HEADER_BYTES + 1:
            raise Rejected(Reason.BAD_MESSAGE, "a part of nothing")
        stream, last = frame[1] & ~_LAST, bool(frame[1] & _LAST)
        if stream >= STREAMS:
            raise Rejected(Reason.BAD_MESSAGE, f"a part of stream {stream}")
        size = len(frame) - PART_HEADER_BYTES
        # Only the last part may be short, so that small parts can't keep a message open.
        if not last and size != PART_BYTES:
            raise Rejected(Reason.BAD_MESSAGE, f"a part of {size} bytes before the last one")
        parts = self._parts[stream]
        if last and not parts:
            raise Rejected(Reason.BAD_MESSAGE, "a message in a single part")
        if self._sizes[stream] + size > FRAME_BYTES_MAX:
            raise Rejected(Reason.TOO_LARGE, f"a message of more than {FRAME_BYTES_MAX} bytes")
        parts.append(frame[PART_HEADER_BYTES:])
        self._sizes[stream] += size
        if not last:
            return None
        self._parts[stream], self._sizes[stream] = [], 0
        return b"".join(parts)
