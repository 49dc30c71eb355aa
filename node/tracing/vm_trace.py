"""vmTrace: what each opcode left behind, code by code, as Parity's machine traces tell it.

The answer is text from the start: an opcode's object is opened before it runs, the code
that it called is written inside of it, and it is closed when the next one begins.

As in Parity, code that ends without a STOP shows none, opcodes that don't exist or that lack
words on the stack are left out, and the price of a creation has the gas of its code in it.
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
_CREATIONS: Final = frozenset({0xF0, 0xF5})
# Where opcodes write memory: positions on the stack, from the top, of offset and size.
_WRITES: Final[dict[int, tuple[int, int]]] = {
    0x37: (1, 3), 0x39: (1, 3), 0x3C: (2, 4), 0x3E: (1, 3), 0x5E: (1, 3),
    0xF1: (6, 7), 0xF2: (6, 7), 0xF4: (5, 6), 0xFA: (5, 6),
}  # fmt: skip
_WORDS: Final[dict[int, int]] = {0x51: 32, 0x52: 32, 0x53: 1}  # MLOAD, MSTORE, MSTORE8
# Halts at an opcode that did not even begin.
_UNBEGUN: Final = frozenset({Halt.BAD_OPCODE, Halt.STACK_UNDERFLOW, Halt.STACK_OVERFLOW})
# Halts, if any, after which the last opcode is known to have done its part.
_DONE: Final = frozenset(
    {
        None, Halt.REVERT, Halt.BAD_JUMP,
        Halt.CODE_STORE_OUT_OF_GAS, Halt.CODE_TOO_LARGE, Halt.CODE_STARTS_WITH_EF,
    }
)  # fmt: skip
# Halts of messages that were never sent.
_UNSENT: Final = frozenset({Halt.DEPTH, Halt.BALANCE, Halt.NONCE_OVERFLOW})
_NO_CODE: Final = b'{"code":"0x","ops":[]}'


class _Open:
    """A message that is not over: whether its code has begun, and its last opcode."""

    __slots__ = (
        "cost", "gas", "kind", "mark", "opcode", "pc", "span", "started", "store", "sub",
    )  # fmt: skip

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.started = False
        self.opcode: int | None = None  # none before the first, and after an implied STOP
        self.pc = 0
        self.gas = 0  # before the opcode
        self.cost = 0
        self.mark = 0  # how many pieces of text come before the opcode's
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
        else:
            if len(self._open) > 1:
                self._open[-2].sub = True
            self._write(f'{{"code":"0x{frame.code.hex()}","ops":['.encode())
        if pc >= len(frame.code):
            current.started, current.opcode = True, None
            return
        current.mark = len(self._pieces)
        self._write(b"," if current.started else b"")
        current.started, current.sub = True, False
        current.opcode, current.pc, current.gas, current.cost = opcode, pc, gas, cost
        current.span = _span(opcode, frame.stack)
        current.store = None
        if opcode == _SSTORE and len(frame.stack) >= 2:
            current.store = (frame.stack[-1], frame.stack[-2])
        self._write(_head(current))

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
        if self._open and (sending := self._open[-1]).opcode in _CREATIONS:
            sending.cost += gas
            self._pieces[sending.mark + 1] = _head(sending)
        self._open.append(_Open(kind))

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        ended = self._open.pop()
        if ended.started:
            if halt in _UNBEGUN:
                del self._pieces[ended.mark :]
            else:
                left = ended.gas - ended.cost
                self._close(ended, left if halt in _DONE else None, None)
            self._write(b"]}")
        elif self._open and halt not in _UNSENT and ended.kind != "SELFDESTRUCT":
            self._open[-1].sub = True
            self._write(_NO_CODE)

    def _close(self, current: _Open, left: int | None, frame: Frame | None) -> None:
        """What the opcode did, now that the frame is behind it; nothing when it failed."""
        if current.opcode is None:
            return
        sub = b"" if current.sub else b"null"
        if left is None:
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
        return msgspec.Raw(b"".join(self._pieces) or _NO_CODE)


def _head(current: _Open) -> bytes:
    """The text of an opcode up to the code that it calls."""
    assert current.opcode is not None
    row = OPCODES.get(current.opcode)
    name = "INVALID" if row is None else row.name
    return f'{{"cost":{current.cost},"pc":{current.pc},"op":"{name}","sub":'.encode()


def _span(opcode: int, stack: list[int]) -> tuple[int, int] | None:
    """The memory that an opcode writes, if it gets that far."""
    size = _WORDS.get(opcode)
    if size is not None and stack:
        return stack[-1], size
    places = _WRITES.get(opcode)
    if places is None or len(stack) < places[1]:
        return None
    return stack[-places[0]], stack[-places[1]]
