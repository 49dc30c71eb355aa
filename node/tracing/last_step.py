"""Which opcode ended a call, and what was wrong with the stack: geth tells that."""

import time
from typing import Final

from chain.machine import Halt
from contracts.vm.frame import STACK_MAX, Frame
from contracts.vm.opcodes import OPCODES

# How messages end of which geth tells more.
TOLD: Final = frozenset({Halt.BAD_OPCODE, Halt.STACK_UNDERFLOW, Halt.STACK_OVERFLOW})
_TICKS: Final = 256  # steps between two looks at the clock


def words_of(halt: Halt, opcode: int, height: int) -> str:
    """geth's words for an end of one of those kinds (core/vm/errors.go).

    `height` is that of the stack before the opcode.
    """
    known = OPCODES.get(opcode)
    if halt is Halt.BAD_OPCODE or known is None:
        name = f"opcode {opcode:#x} not defined" if known is None else known.name
        return f"{halt.value}: {name}"
    if halt is Halt.STACK_UNDERFLOW:
        return f"{halt.value} ({height} <=> {known.pops})"
    return f"{halt.value} {height} ({STACK_MAX + known.pops - known.pushes})"


class TooLong(Exception):
    """Ends the execution: it is not worth that much."""


class LastStepTracer:
    """A tracer that remembers the last opcode of the first message."""

    wants_steps = True

    def __init__(self, deadline: float) -> None:
        """`deadline` is of time.monotonic(): then `TooLong` is raised."""
        self._deadline = deadline
        self._ticks = 0
        self._opcode = 0
        self._height = 0

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        self._ticks += 1
        if self._ticks % _TICKS == 0 and time.monotonic() > self._deadline:
            raise TooLong
        assert isinstance(frame, Frame)
        if not frame.depth:
            self._opcode, self._height = opcode, len(frame.stack)

    def on_enter(self, *_: object) -> None:
        """Not asked for."""

    def on_exit(self, *_: object) -> None:
        """Not asked for."""

    def words(self, halt: Halt) -> str:
        return words_of(halt, self._opcode, self._height)
