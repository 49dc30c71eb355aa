"""A precompiled contract's definition in Python, as native code calls it."""

import ctypes
import sys
from typing import Any, Final

from chain.forks import Fork
from contracts.vm.native.precompiled.entries import CONTRACT, FAILED, LEFT
from contracts.vm.precompiles import Precompile

_FUNCTION: Final = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)


class Definition:
    """The function `ask_python` of one record of entries.Contract, which lives as long as this.

    Errors cannot pass through native code: sys.excepthook tells of them, and the kernel gives
    BROKEN, for which native code is left, and that is a Fault.
    """

    __slots__ = ("_fork", "_function", "_output", "_precompile", "_record", "address")

    def __init__(self, precompile: Precompile, fork: Fork, record: Any) -> None:
        self._precompile = precompile
        self._fork = fork
        self._record = record
        self._output = b""
        self._function = _FUNCTION(self._called)
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def _called(self, data: int, size: int, gas: int) -> int:
        try:
            left = self._run(ctypes.string_at(data, size), gas)
        except BaseException:  # none may pass through native code; the message becomes a Fault
            sys.excepthook(*sys.exc_info())
            return 0
        return FAILED if left is None else left + LEFT

    def _run(self, data: bytes, gas: int) -> int | None:
        """The gas left; None when the contract fails."""
        cost = self._precompile.gas(data, self._fork)
        if cost > gas:
            return None
        output = self._precompile.run(data, self._fork)
        if output is None:
            return None
        self._output = output
        place = ctypes.cast(ctypes.c_char_p(output), ctypes.c_void_p).value or 0
        self._record[CONTRACT.index("output_at")] = place
        self._record[CONTRACT.index("output_size")] = len(output)
        return gas - cost
