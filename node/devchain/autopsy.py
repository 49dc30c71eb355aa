"""Failed transactions run again, each on the state that it stood on, to tell where they failed."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chain.errors import Rejected, SourceFailed
from chain.execution import BlockExecution, Executed
from chain.ledger import Ledger
from chain.machine import Machine
from chain.transactions import Checked
from chain.types import ZERO_HASH, Hash, Height
from node.devchain.artefacts import Artefacts
from node.devchain.stack_trace import StackTracer, TookTooLongError

SECONDS_MAX: Final = 5.0  # for one block's failures


class Findings(Struct, frozen=True):
    """Where a transaction failed, from the inside out, and what the compiler checks there."""

    lines: tuple[str, ...]
    problem: str = ""


class Autopsy:
    """Explains the failures of one block, in their order. Used in one thread, not the loop's."""

    def __init__(
        self,
        ledger: Ledger,
        machine: Machine,
        artefacts: Artefacts,
        executed: Executed,
        stopwatch: Callable[[], float],
    ) -> None:
        """`stopwatch` gives seconds since whenever."""
        self._ledger = ledger
        self._machine = machine
        self._artefacts = artefacts
        self._executed = executed
        self._stopwatch = stopwatch
        self._end = stopwatch() + SECONDS_MAX
        self._execution: BlockExecution | None = None
        self._next = 0

    def explain(self, index: int) -> Findings | None:
        """Where the transaction at an index failed; None when that can't be told any more.

        Blocks may have been taken back meanwhile, or it takes too long.
        """
        try:
            if self._execution is None:
                self._execution = self._begin()
            while self._next < index:
                if self._is_over():
                    return None
                self._run(self._execution, None)
            tracer = StackTracer(self._artefacts, self._execution.state.code, self._is_over)
            self._run(self._execution, tracer)
        except (Rejected, SourceFailed, TookTooLongError):
            self._end = self._stopwatch()  # what comes after would stand on a state cut short
            return None
        return Findings(tuple(tracer.lines()), tracer.problem())

    def _is_over(self) -> bool:
        return self._stopwatch() > self._end

    def _begin(self) -> BlockExecution:
        ledger, header = self._ledger, self._executed.block.header
        fork = ledger.config.fork_at(header.number, header.timestamp, merged=True)
        return BlockExecution(
            ledger.view(Height(header.number - 1)),
            header,
            fork,
            ledger.config,
            self._machine,
            self._block_hash,
        )

    def _block_hash(self, number: int) -> Hash:
        return self._ledger.hash_at(Height(number)) if number >= 0 else ZERO_HASH

    def _run(self, execution: BlockExecution, tracer: StackTracer | None) -> None:
        index = self._next
        self._next += 1
        block = self._executed.block
        checked = Checked(block.transactions[index], self._executed.senders[index])
        execution.run(checked, tracer)
