"""vmTrace: what each opcode left behind, code by code, as Parity's machine traces tell it.

The answer is text from the start: an opcode's object is opened before it runs, the code
that it called is written inside of it, and it is closed when the next one begins.
"""

from typing import Final

import msgspec

from chain.machine import Halt
from chain.transition import TransactionResult
from chain.types import Address
from contracts.vm.frame import Frame
from contracts.vm.opcodes import OPCODES
from node.tracing.tracer import Budget, Subject

_SSTORE: Final = 0x55
# Where opcodes write memory: positions on the stack, from the top, of offset and size.
_WRITES: Final[dict[int, tuple[int, int]]] = {
    0x37: (1, 3), 0x39: (1, 3), 0x3C: (2, 4), 0x3E: (1, 3), 0x5E: (1, 3),
    0xF1: (6, 7), 0xF2: (6, 7), 0xF4: (5, 6), 0xFA: (5, 6),
}  # fmt: skip
_WORDS: Final[dict[int, int]] = {0x51: 32, 0x52: 32, 0x53: 1}  # MLOAD, MSTORE, MSTORE8


class _Open:
    """A message that is not over: whether its code has begun, and its last opcode."""

    __slots__ = ("cost", "gas", "opcode", "span", "started", "store", "sub")

    def __init__(self) -> None:
        self.started = False
        self.opcode: int | None = None
        self.gas = 0  # before the opcode
        self.cost = 0
        self.span: tuple[int, int] | None = None  # of memory that it writes
        self.store: tuple[int, int] | None = None
        self.sub = False  # whether the code that it called has been written


class VmTracer:
    """Writes the codes that ran, each with its opcodes."""

    wants_steps = True

    def __init__(self, subject: Subject, budget: Budget) -> None:
        self._budget = budget
        self._pieces: list[bytes] = []
        self._open: list[_Open] = []

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        assert isinstance(frame, Frame)
        self._budget.tick()
        current = self._open[-1]
        if current.started:
            self._close(current, gas, frame)
            self._write(b",")
        else:
            current.started = True
            if len(self._open) > 1:
                self._open[-2].sub = True
            self._write(f'{{"code":"0x{frame.code.hex()}","ops":['.encode())
        current.opcode, current.gas, current.cost, current.sub = opcode, gas, cost, False
        current.span = _span(opcode, frame.stack)
        current.store = None
        if opcode == _SSTORE and len(frame.stack) >= 2:
            current.store = (frame.stack[-1], frame.stack[-2])
        self._write(f'{{"cost":{cost},"pc":{pc},"sub":'.encode())

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
        self._open.append(_Open())

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        ended = self._open.pop()
        if ended.started:
            left = ended.gas - ended.cost
            self._close(ended, left if halt in (None, Halt.REVERT) else None, None)
            self._write(b"]}")

    def _close(self, current: _Open, left: int | None, frame: Frame | None) -> None:
        """What the opcode did, now that the frame is behind it; nothing when it failed."""
        sub = b"" if current.sub else b"null"
        if left is None or current.opcode is None:
            self._write(sub + b',"ex":null}')
            return
        memory, pushed, store = "null", "", "null"
        if frame is not None:
            row = OPCODES.get(current.opcode)
            if row is not None and row.pushes:
                pushed = ",".join(f'"{word:#x}"' for word in frame.stack[-row.pushes :])
            if current.span is not None and current.span[1]:
                offset, size = current.span
                written = frame.memory[offset : offset + size]
                memory = f'{{"data":"0x{written.hex()}","off":{offset}}}'
            if current.store is not None:
                key, value = current.store
                store = f'{{"key":"{key:#x}","val":"{value:#x}"}}'
        text = f',"ex":{{"mem":{memory},"push":[{pushed}],"store":{store},"used":{left}}}}}'
        self._write(sub + text.encode())

    def _write(self, piece: bytes) -> None:
        self._budget.take(len(piece))
        self._pieces.append(piece)

    def result(self, outcome: TransactionResult) -> msgspec.Raw:
        return msgspec.Raw(b"".join(self._pieces) or b'{"code":"0x","ops":[]}')


def _span(opcode: int, stack: list[int]) -> tuple[int, int] | None:
    """The memory that an opcode writes, if it gets that far."""
    size = _WORDS.get(opcode)
    if size is not None and stack:
        return stack[-1], size
    places = _WRITES.get(opcode)
    if places is None or len(stack) < places[1]:
        return None
    return stack[-places[0]], stack[-places[1]]
