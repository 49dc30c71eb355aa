"""What sync asks its peers for, what comes of it, and the limits of both."""

from enum import Enum
from typing import Final

from msgspec import Struct

from chain.blocks import Block
from chain.types import ZERO_HASH, Hash
from node.net.network import PeerId
from node.sync.headers import Proved

# Whose own finalization a node never saw is proved by the next block's: usually close.
_PROOF_HEADERS: Final = 16


class Limits(Struct, frozen=True):
    """What sync may hold and ask for at the same time. Times in seconds."""

    gap: int = 3  # final heights behind that consensus closes by itself
    patience: float = 2.0  # a smaller gap that lasts longer is closed here
    headers_per_ask: int = 512
    headers_ahead: int = 8192  # of the ledger
    bodies_per_ask: int = 128
    bodies_ahead: int = 4096
    window_bytes: int = 48 * 2**20  # of bodies asked for and waiting
    answer_bytes: int = 4 * 2**20  # what an honest peer's answer stays below, but for one block
    asks_max: int = 12
    asks_per_peer: int = 2
    slow: float = 2.0  # after this another peer is asked for the same
    rest_max: float = 60.0  # that a peer which failed is left alone
    proof_span: int = 1024  # heights beyond a proved one that a claim is believed for


LIMITS: Final = Limits()


class Kind(Enum):
    PROOF = "proof"  # the one header that a peer claims
    HEADERS = "headers"
    BODIES = "bodies"


class Ask(Struct, frozen=True):
    """A question to put to a peer. Each ends in one call of `Plan.took_*` or `Plan.failed`."""

    number: int
    kind: Kind
    peer: PeerId
    first: int
    count: int
    since: float
    claimed: Hash = ZERO_HASH  # in a PROOF: of the block that the peer says is at `first`
    bytes_expected: int = 0


def headers_to_prove(height: int, horizon: int | None) -> int:
    """How many headers to ask for to have the block at `height` proved.

    None beyond the horizon, whose certificates can't be checked yet: an honest answer must be one
    that can be judged.
    """
    return _PROOF_HEADERS if horizon is None else max(1, min(_PROOF_HEADERS, horizon - height + 1))


class Fork(Struct, frozen=True):
    """Two blocks that are both final at one height: agreement is broken."""

    height: int
    ours: Hash
    theirs: Hash


class Body(Struct, frozen=True):
    """A block that is what its proved header says; `size` in bytes."""

    proved: Proved
    block: Block
    size: int
