"""The default tracer: every opcode with the stack, memory and storage it met.

Steps are encoded as they come, so that a long trace takes the memory of its text.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from chain.machine import Halt
from chain.transition import TransactionResult
from chain.types import Address
from contracts.vm.frame import STACK_MAX, Frame
from contracts.vm.opcodes import OPCODES, Opcode
from contracts.vm.program import Priced
from contracts.vm.tracing import refund_of_writing
from node.tracing.tracer import Budget, Subject

_SLOAD: Final = 0x54
_SSTORE: Final = 0x55
_encode: Final = msgspec.json.encode


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
        self._steps: list[Raw] = []
        self._size = 0  # of the steps, in bytes
        self._sstore = Priced(OPCODES[_SSTORE], subject.fork)
        self._storage: dict[Address, dict[str, str]] = {}  # seen so far

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        assert isinstance(frame, Frame)
        self._budget.tick()
        options = self._options
        if options.limit and self._size > options.limit:
            return
        row, stack = OPCODES.get(opcode), frame.stack
        name = f"opcode 0x{opcode:x} not defined" if row is None else row.name
        text = f'{{"pc":{pc},"op":"{name}","gas":{gas},"gasCost":{cost},"depth":{frame.depth + 1}'
        # What a write gives back counts from its own step on.
        writes = opcode == _SSTORE and len(stack) >= 2
        if refund := refund_of_writing(frame, self._sstore) if writes else self._state.refund:
            text += f',"refund":{refund}'
        if (error := _error(row, stack, gas, cost)) is not None:
            text += f',"error":"{error}"'
        if options.stack:
            words = '","'.join(map(hex, stack))
            text += f',"stack":["{words}"]' if stack else ',"stack":[]'
        if options.memory and frame.memory:
            words = frame.memory.hex(" ", -32).replace(" ", '","0x')
            text += f',"memory":["0x{words}"]'
        if options.return_data and frame.return_data:
            text += f',"returnData":"0x{frame.return_data.hex()}"'
        if options.storage and opcode in (_SLOAD, _SSTORE):
            text += self._touched(opcode, frame)
        encoded = f"{text}}}".encode()
        self._size += len(encoded)
        self._budget.take(len(encoded))
        self._steps.append(Raw(encoded))

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
        returned = outcome.output if outcome.halt in (None, Halt.REVERT) else b""
        return {
            "gas": outcome.gas_used,
            "failed": outcome.halt is not None,
            "returnValue": f"0x{returned.hex()}",
            "structLogs": self._steps,
        }


def _error(row: Opcode | None, stack: list[int], gas: int, cost: int) -> str | None:
    """Why the step can't be taken, where that shows before it is."""
    if row is None:
        return None
    height = len(stack)
    if height < row.pops:
        return f"stack underflow ({height} <=> {row.pops})"
    if height + row.pushes - row.pops > STACK_MAX:
        return f"stack limit reached {height} ({STACK_MAX + row.pops - row.pushes})"
    return Halt.OUT_OF_GAS.value if cost > gas else None
