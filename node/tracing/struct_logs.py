"""The default tracer: every opcode with the stack, memory and storage it met.

Steps become text as they come, so that a long trace takes the memory of its text. Of a stack
most words are those of the step before, and so is their text.
"""

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from chain.machine import Halt
from chain.transition import TransactionResult
from chain.types import Address
from contracts.vm.frame import STACK_MAX, Frame
from contracts.vm.opcodes import OPCODES, Shape
from contracts.vm.program import Priced
from contracts.vm.tracing import refund_of_writing
from node.tracing.tracer import Budget, Stopped, Subject

_SLOAD: Final = 0x54
_SSTORE: Final = 0x55
_STEPS_JOINED: Final = 1024  # at a time, since each string by itself takes more room
_encode: Final = msgspec.json.encode


class _Row(NamedTuple):
    """What is known of an opcode's steps beforehand."""

    name: str
    low: int  # the stack's height, at least and at most
    high: int
    changed: int  # words at its top that are others afterwards


def _row(code: int) -> _Row:
    opcode = OPCODES.get(code)
    if opcode is None:
        return _Row(f"opcode 0x{code:x} not defined", 0, STACK_MAX, STACK_MAX)
    changed = 0 if opcode.shape is Shape.DUP else opcode.pops
    return _Row(opcode.name, opcode.pops, STACK_MAX + opcode.pops - opcode.pushes, changed)


_ROWS: Final = tuple(map(_row, range(256)))


class StructLogOptions(Struct, frozen=True):
    """What each step shows; after `limit` bytes of steps there are no more, 0 for all."""

    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0


class StructLogTracer:
    """Writes down every step before it happens."""

    wants_steps = True

    def __init__(self, subject: Subject, budget: Budget, options: StructLogOptions) -> None:
        self._state = subject.state
        self._budget = budget
        self._options = options
        self._shows_bytes = options.memory or options.return_data
        self._steps: list[str] = []  # the last ones
        self._joined: list[bytes] = []  # those before them
        self._size = 0  # of the steps, in bytes
        self._sstore = Priced(OPCODES[_SSTORE], subject.fork)
        self._storage: dict[Address, dict[str, str]] = {}  # seen so far
        self._frame: object = None  # of the last step
        self._words: list[str] = []  # the stack at its beginning
        self._kept = 0  # how many words of it have stayed

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        assert isinstance(frame, Frame)
        options = self._options
        if options.limit and self._size > options.limit:
            self._frame = None
            self._budget.tick()
            return
        name, low, high, changed = _ROWS[opcode]
        stack = frame.stack
        height = len(stack)
        text = f'{{"pc":{pc},"op":"{name}","gas":{gas},"gasCost":{cost},"depth":{frame.depth + 1}'
        # What a write gives back counts from its own step on.
        writes = opcode == _SSTORE and height >= low
        if refund := refund_of_writing(frame, self._sstore) if writes else self._state.refund:
            text += f',"refund":{refund}'
        if not (low <= height <= high and cost <= gas):
            text += _error(low, high, height)
        if options.stack:
            words = self._words
            if frame is self._frame:
                del words[self._kept :]
                words += map(hex, stack[self._kept :])
            else:
                self._frame = frame
                words = self._words = list(map(hex, stack))
            self._kept = height - changed if height > changed else 0
            text += ',"stack":["' + '","'.join(words) + '"]' if words else ',"stack":[]'
        if self._shows_bytes:
            text += self._bytes_of(frame)
        if options.storage and opcode in (_SLOAD, _SSTORE):
            text += self._touched(opcode, frame)
        text += "}"
        self._size += len(text)
        try:
            self._budget.step(len(text) + 1)
        except Stopped:
            self._let_go()
            raise
        self._steps.append(text)
        if len(self._steps) >= _STEPS_JOINED:
            self._join()

    def _let_go(self) -> None:
        """Hold no frame, which holds the tracer: all steps would wait for the cycles' collector."""
        self._frame = None
        self._steps.clear()
        self._joined.clear()

    def _join(self) -> None:
        self._joined.append(",".join(self._steps).encode())
        self._steps.clear()

    def _bytes_of(self, frame: Frame) -> str:
        text = ""
        if self._options.memory and frame.memory:
            cells = frame.memory.hex(" ", -32).replace(" ", '","0x')
            text = f',"memory":["0x{cells}"]'
        if self._options.return_data and frame.return_data:
            text += f',"returnData":"0x{frame.return_data.hex()}"'
        return text

    def _touched(self, opcode: int, frame: Frame) -> str:
        """All slots of the account seen so far, with the one that this step reads or writes."""
        stack = frame.stack
        if len(stack) < (1 if opcode == _SLOAD else 2):
            return ""
        slot = stack[-1]
        value = self._state.storage(frame.address, slot) if opcode == _SLOAD else stack[-2]
        seen = self._storage.setdefault(frame.address, {})
        seen[f"0x{slot:064x}"] = f"0x{value:064x}"
        return f',"storage":{_encode(seen).decode()}'

    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None:
        """Shown by the steps around it."""

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """Shown by the steps around it."""

    def result(self, outcome: TransactionResult) -> dict[str, Any]:
        if self._steps:
            self._join()
        returned = outcome.output if outcome.halt in (None, Halt.REVERT) else b""
        self._frame = None
        return {
            "gas": outcome.gas_used,
            "failed": outcome.halt is not None,
            "returnValue": f"0x{returned.hex()}",
            "structLogs": Raw(b"[" + b",".join(self._joined) + b"]"),
        }


def _error(low: int, high: int, height: int) -> str:
    """Why a step can't be taken, where that shows before it is."""
    words = Halt.OUT_OF_GAS.value
    if height < low:
        words = f"stack underflow ({height} <=> {low})"
    elif height > high:
        words = f"stack limit reached {height} ({high})"
    return f',"error":"{words}"'
