"""Several tracers at once, down to none."""

from collections.abc import Callable, Mapping
from typing import Any

from chain.machine import Halt, HaltWatcher
from chain.transition import TransactionResult
from chain.types import Address
from contracts.vm.frame import Frame
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
        self._watchers = [tracer for tracer in tracers.values() if isinstance(tracer, HaltWatcher)]
        self._last: dict[int, tuple[int, int]] = {}  # by depth: opcode, and the stack's height
        self._depth = 0

    @property
    def wants_steps(self) -> bool:
        return bool(self._steppers)

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        for tracer in self._steppers:
            tracer.on_step(pc, opcode, gas, cost, frame)
        if self._watchers:
            assert isinstance(frame, Frame)
            self._last[self._depth] = opcode, len(frame.stack)

    def on_halt(self, halt: Halt, opcode: int, height: int) -> None:
        if not self._steppers:  # else it was seen
            for watcher in self._watchers:
                watcher.on_halt(halt, opcode, height)

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
        self._depth += 1
        for tracer in self._tracers.values():
            tracer.on_enter(kind, caller, address, code_address, data, gas, value)

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        last = self._last.pop(self._depth, None)
        self._depth -= 1
        if halt is not None and last is not None:
            for watcher in self._watchers:
                watcher.on_halt(halt, *last)
        for tracer in self._tracers.values():
            tracer.on_exit(output, gas_used, halt)

    def result(self, outcome: TransactionResult) -> dict[str, Any]:
        results = {name: tracer.result(outcome) for name, tracer in self._tracers.items()}
        return {**self._around(outcome), **results}
