"""Memory that native code and Python share: one mapping for each kind of thing."""

import ctypes
import mmap
from typing import Final


class Area:
    """Zeroed memory of fixed size. Pages that are never touched cost nothing."""

    __slots__ = ("address", "bytes", "size", "words")

    def __init__(self, size: int) -> None:
        """`size` in bytes, a multiple of 8."""
        mapping = mmap.mmap(-1, size)
        self.size = size
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        self.bytes = memoryview(mapping)
        self.words = self.bytes.cast("Q")

    @property
    def end(self) -> int:
        return self.address + self.size

    def larger(self, wanted: int) -> "Area":
        """An area at least twice as large, with room for `wanted` bytes more, and a copy of this.

        MemoryError when the machine has no such room.
        """
        size = 2 * self.size
        while size < self.size + wanted:
            size *= 2
        try:
            area = Area(size)
        except OSError as error:
            raise MemoryError(f"no room for {size} bytes") from error
        area.bytes[: self.size] = self.bytes
        return area


def _address_by_ctypes(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


# CPython keeps the content of bytes right behind a head of fixed size, before a final zero.
_HEAD_BYTES: Final = bytes.__basicsize__ - 1
_SAMPLE: Final = b"where is the content of bytes?"
_HEAD_IS_KNOWN: Final = id(_SAMPLE) + _HEAD_BYTES == _address_by_ctypes(_SAMPLE)


def address_of_bytes(data: bytes) -> int:
    """Where the content of `data` is, for as long as the caller keeps it."""
    # For every message: asking ctypes takes ten times as long.
    return id(data) + _HEAD_BYTES if _HEAD_IS_KNOWN else _address_by_ctypes(data)
