"""What is told of a block once it is on disk."""

from collections.abc import Sequence

from msgspec import Struct

from chain.execution import Executed
from chain.transactions import Checked
from chain.validators import ConsensusRecord
from node.proposer import Run


class Committed(Struct, frozen=True):
    """A block that is on disk, with what its building showed (nothing if others built it)."""

    executed: Executed
    runs: tuple[Run, ...]
    record: ConsensusRecord
    finality_ms: int | None  # from the block's time to its being final here; None: came by sync
    runnable: Sequence[Checked] = ()  # what waited in the pool for a nonce that the block used
