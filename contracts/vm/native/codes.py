"""Code made ready to run natively: padded, and with its jump destinations marked."""

import ctypes
from typing import Final

from contracts.vm.native.areas import address_of_bytes
from contracts.vm.native.objects import Native

# Behind its end code reads as zeros: a PUSH32 there reads 32, and STOP follows.
_PADDING: Final = bytes(40)
_KEPT_MAX: Final = 8 * 2**20  # bytes of code kept ready


class NativeCode:
    """One code; `address` and `destinations` are addresses of as many bytes and more."""

    __slots__ = ("_marks", "_padded", "address", "destinations", "size")

    def __init__(self, code: bytes, native: Native) -> None:
        self.size = len(code)
        self._padded = code + _PADDING
        self._marks = ctypes.create_string_buffer(len(code) + 1)
        self.address = address_of_bytes(self._padded)
        self.destinations = ctypes.addressof(self._marks)
        native.mark_destinations(self.address, self.size, self.destinations)


class NativeCodes:
    """The codes last used, the least recently used forgotten first."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._codes: dict[bytes, NativeCode] = {}
        self._size = 0  # bytes of code

    def of(self, code: bytes) -> NativeCode:
        found = self._codes.pop(code, None)
        if found is None:
            found = NativeCode(code, self._native)
            self._size += found.size
            while self._size > _KEPT_MAX and self._codes:
                oldest = next(iter(self._codes))
                self._size -= len(oldest)
                del self._codes[oldest]
        self._codes[code] = found
        return found
