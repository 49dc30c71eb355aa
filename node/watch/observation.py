"""What a node shows of itself: one snapshot that metrics, health and warnings are made of.

A snapshot is taken when somebody asks, from what the node's parts hold anyway. Only what
can't be read afterwards - how long something took - is measured on the way (`Measured`).
"""

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

from chain.types import Address, Hash
from chain.validators import Validator
from node.watch.exposition import Histogram

# A view is known to stand still, and its silent members to be missing, after this long.
VIEW_SETTLED_SECONDS: Final = 3.0
# Votes of a member may be this many views late before it counts as missing.
_VIEWS_LATE_MAX: Final = 2

_LATENCY_BOUNDS: Final = (
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
_WORK_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Traffic(Struct, frozen=True, gc=False):
    """What went over the links in messages of one kind, since the start."""

    kind: str
    received_bytes: int
    sent_bytes: int
    received: int  # messages
    sent: int


class TierCount(Struct, frozen=True, gc=False):
    """What ran on one VM, since the start."""

    tier: str
    messages: int  # top-level ones: transactions and calls
    gas: int  # that they used


class Observation(Struct, frozen=True, kw_only=True):
    """A node at one moment. Times in seconds unless named otherwise."""

    chain_id: int
    height: int  # of the last final block
    head_hash: Hash
    head_time_ms: int  # since 1970, by the block itself
    head_gas_used: int
    gas_limit: int
    base_fee: int  # wei
    epoch: int
    view: int
    view_seconds: float = 0.0  # since the view was entered
    validator: Address | None = None  # whose key signs here
    validators: tuple[Validator, ...] = ()  # of the epoch
    heard: Mapping[Address, int] = {}  # the last view in which a member's vote was seen here
    pool_pending: int = 0
    pool_queued: int = 0
    pool_bytes: int = 0
    work_waiting: bool = False  # whether the next block could hold a pooled transaction
    networked: bool = False  # whether there are links at all
    peers_in: int = 0
    peers_out: int = 0
    peers_banned: int = 0
    traffic: tuple[Traffic, ...] = ()
    syncing: bool = False
    highest: int = 0  # height that peers have proved; the own one when none is ahead
    tiers: tuple[TierCount, ...] = ()
    failed: str = ""  # why the node is about to stop

    @property
    def peers(self) -> int:
        return self.peers_in + self.peers_out

    @property
    def missing(self) -> tuple[Validator, ...]:
        """The members of the epoch's set that are not heard of.

        Where votes of a view are there and it still does not end, everybody without one in
        it; otherwise whoever has been silent for some views.
        """
        view, heard = self.view, self.heard
        if not heard:
            return ()  # nobody votes here: the only validator, or a node that only follows
        stuck = self.view_seconds > VIEW_SETTLED_SECONDS and view in heard.values()
        since = view if stuck else max(1, view - _VIEWS_LATE_MAX)
        return tuple(member for member in self.validators if heard.get(member.address, 0) < since)


class Observed(Protocol):
    """Whatever can be asked for a snapshot; called in the event loop's thread, and cheap."""

    def observation(self) -> Observation: ...


class Measured:
    """What is measured while it happens; fed by whoever does it, in the event loop's thread."""

    def __init__(self) -> None:
        self.finality_latency = Histogram(_LATENCY_BOUNDS)  # from a block's time to final on disk
        self.block_processing = Histogram(_WORK_BOUNDS)  # of executing or building a block
        self.block_commit = Histogram(_WORK_BOUNDS)  # of writing a final block
        self.blocks = 0
        self.transactions = 0
        self.gas = 0

    def final(self, transactions: int, gas: int, latency: float | None) -> None:
        """A block became final and is on disk. `latency` is None when it came by sync."""
        self.blocks += 1
        self.transactions += transactions
        self.gas += gas
        if latency is not None:
            self.finality_latency.observe(max(latency, 0.0))
