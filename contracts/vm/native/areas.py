"""Memory that native code and Python share: one mapping for each kind of thing."""

import ctypes
import mmap


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


def address_of_bytes(data: bytes) -> int:
    """Where the content of `data` is, for as long as the caller keeps it."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
