"""Code made ready to run natively: padded, and with its jump destinations marked."""

import ctypes
from collections.abc import Mapping
from typing import Final

from contracts.vm.native.areas import address_of_bytes
from contracts.vm.native.objects import Native
from contracts.vm.native.records import ENTERS_COMPILED

# Behind its end code reads as zeros: a PUSH32 there reads 32, and STOP follows.
_PADDING: Final = bytes(40)
_KEPT_MAX: Final = 8 * 2**20  # bytes of code kept ready


class NativeCode:
    """One code; `address`, `data` and `destinations` are addresses of as many bytes and more.

    What runs, at `address`, may be marked where it is also compiled; what the contract
    itself reads, at `data`, is not. `compiled` is the address of as many addresses of
    functions, or 0.
    """

    __slots__ = (
        "_compiled",
        "_marked",
        "_marks",
        "_owner",
        "_padded",
        "address",
        "compiled",
        "data",
        "destinations",
        "heat",
        "native",
        "size",
    )

    def __init__(self, code: bytes, native: Native) -> None:
        self.native = native
        self.size = len(code)
        self._padded = code + _PADDING
        self._marks = ctypes.create_string_buffer(len(code) + 1)
        self.address = self.data = address_of_bytes(self._padded)
        self.compiled = 0
        self.heat = 0  # gas that messages to it have used
        self.destinations = ctypes.addressof(self._marks)
        native.mark_destinations(self.address, self.size, self.destinations)

    def use_compiled(self, functions: Mapping[int, int], owner: object) -> None:
        """From the next message on, run these functions, which `owner` keeps, there."""
        marked = bytearray(self._padded)
        table = (ctypes.c_uint64 * (self.size + 1))()
        for position, address in functions.items():
            marked[position] = ENTERS_COMPILED
            table[position] = address
        self._marked, self._compiled, self._owner = bytes(marked), table, owner
        self.address = address_of_bytes(self._marked)
        self.compiled = ctypes.addressof(table)

    def forget_compiled(self) -> None:
        """From the next message on, interpret all of it again."""
        self.address, self.compiled = self.data, 0


class NativeCodes:
    """The codes last used, the least recently used forgotten first."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._codes: dict[bytes, NativeCode] = {}
        self._size = 0  # bytes of code

    def known(self, code: bytes) -> NativeCode | None:
        """The code, if it has been used lately."""
        return self._codes.get(code)

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
