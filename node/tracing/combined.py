"""Several tracers at once, down to none."""

from collections.abc import Callable, Mapping
from typing import Any

from chain.machine import Halt
from chain.transition import TransactionResult
from chain.types import Address
from node.tracing.tracer import TransactionTracer


class CombinedTracer:
    """Tells each of its tracers everything; answers with all their results by name.

    Without any it is the tracer that only runs the transaction. `around` is given the
    outcome and what it gives is put before the results.
    """

    def __init__(
        self,
        tracers: Mapping[str, TransactionTracer],
        around: Callable[[TransactionResult], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self._tracers = tracers
        self._around = around
        self._steppers = [tracer for tracer in tracers.values() if tracer.wants_steps]

    @property
    def wants_steps(self) -> bool:
        return bool(self._steppers)

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        for tracer in self._steppers:
            tracer.on_step(pc, opcode, gas, cost, frame)

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
        for tracer in self._tracers.values():
            tracer.on_enter(kind, caller, address, code_address, data, gas, value)

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        for tracer in self._tracers.values():
            tracer.on_exit(output, gas_used, halt)

    def result(self, outcome: TransactionResult) -> dict[str, Any]:
        results = {name: tracer.result(outcome) for name, tracer in self._tracers.items()}
        return {**self._around(outcome), **results}
