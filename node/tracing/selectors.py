"""4byteTracer: which functions were called, by selector and size of their arguments."""

from chain.machine import Halt
from chain.transition import TransactionResult
from chain.types import Address
from node.tracing.tracer import Budget, Subject

_CALLS = frozenset({"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"})


class SelectorTracer:
    """Counts calls by the first four bytes of their data and the number of those after."""

    wants_steps = False

    def __init__(self, subject: Subject, budget: Budget) -> None:
        self._precompiles = subject.fork.precompiles
        self._budget = budget
        self._counts: dict[str, int] = {}

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        """Not asked for."""

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
        self._budget.check_time()
        if kind in _CALLS and len(data) >= 4 and code_address not in self._precompiles:
            key = f"0x{data[:4].hex()}-{len(data) - 4}"
            self._counts[key] = self._counts.get(key, 0) + 1

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """A call counts however it ends."""

    def result(self, outcome: TransactionResult) -> dict[str, int]:
        return self._counts
