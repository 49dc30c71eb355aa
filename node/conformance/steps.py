"""Traces as lines of JSON, one before each opcode and one at the end (EIP-3155).

The lines of two VMs, compared, show where they part.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from chain.forks import Fork
from chain.machine import BlockContext, Halt, Machine, Message, Outcome, TransactionContext
from chain.machine import Tracer as AnyTracer
from chain.state import State
from contracts.vm.frame import Frame
from contracts.vm.opcodes import OPCODES

Write = Callable[[str], object]


class StepLines:
    """A tracer that writes a line for every opcode, with what it met."""

    wants_steps: Final = True

    def __init__(self, write: Write) -> None:
        self._write = write

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        assert isinstance(frame, Frame)
        row = OPCODES.get(opcode)
        line: dict[str, Any] = {
            "pc": pc,
            "op": opcode,
            "gas": hex(gas),
            "gasCost": hex(cost),
            "memSize": len(frame.memory),
            "stack": [hex(word) for word in frame.stack],
            "depth": frame.depth + 1,
            "returnData": "0x" + frame.return_data.hex(),
            "refund": hex(max(frame.state.refund, 0)),
            "opName": f"opcode 0x{opcode:x} not defined" if row is None else row.name,
        }
        self._write(json.dumps(line, separators=(",", ":")) + "\n")

    def on_enter(self, *_: object) -> None:
        """Shown by the depth of the steps that follow."""

    def on_exit(self, *_: object) -> None:
        """Likewise."""


class Traced:
    """A machine whose messages are traced, on whatever VM."""

    def __init__(self, machine: Machine, write: Write) -> None:
        self._machine = machine
        self._write = write

    def execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: AnyTracer | None = None,
    ) -> Outcome:
        lines = StepLines(self._write)
        outcome = self._machine.execute(message, state, block, transaction, fork, lines)
        end: dict[str, Any] = {
            "output": "0x" + outcome.output.hex(),
            "gasUsed": hex(message.gas - outcome.gas_left),
        }
        if outcome.halt is not None:
            end["error"] = Halt(outcome.halt).value
        self._write(json.dumps(end, separators=(",", ":")) + "\n")
        return outcome
