"""What the trace_ methods tell of one transaction: any of its messages, machine and state."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from chain.transition import TransactionResult
from node.tracing.calls import MessageTracer
from node.tracing.combined import CombinedTracer
from node.tracing.flat import parity
from node.tracing.state_diff import StateDiffTracer
from node.tracing.tracer import Budget, Factory, Subject, TransactionTracer
from node.tracing.vm_trace import VmTracer

_PATH_BYTES: Final = 16  # of an item's path, in memory or as text

PARTS: Final[dict[str, Callable[[Subject, Budget], TransactionTracer]]] = {
    "trace": partial(MessageTracer, show=parity, level_bytes=_PATH_BYTES, execution_gas=True),
    "vmTrace": VmTracer,
    "stateDiff": StateDiffTracer,
}


def parts(wanted: Collection[str]) -> Factory:
    """The maker of a tracer of these parts, names of `PARTS`, beside the output."""

    def make(subject: Subject, budget: Budget) -> TransactionTracer:
        tracers = {name: PARTS[name](subject, budget) for name in wanted}
        return CombinedTracer(tracers, around=_around)

    return make


def _around(outcome: TransactionResult) -> dict[str, Any]:
    output = f"0x{outcome.output.hex()}"
    return {"output": output, "stateDiff": None, "trace": [], "vmTrace": None}


MESSAGES: Final[Factory] = PARTS["trace"]
"""The maker of a tracer whose whole answer is the list of messages."""
