"""What goes into the consensus core and what comes out of it.

Events are verified before they get here: signatures, membership, certificates. Effects
are performed in order; a `Cast` is on disk before its signature leaves the signer (V1).
"""

from msgspec import Struct

from chain.types import Hash
from chain.validators import Ballot, Certificate, Vote


class Proposal(Struct, frozen=True, gc=False):
    """A block as the core sees it; its record commits to every field."""

    view: int
    block_hash: Hash
    parent_view: int
    parent_hash: Hash


# -- events ----------------------------------------------------------------------------------------


class ProposalDue(Struct, frozen=True, gc=False):
    """There is reason to build a block in `view`: a transaction, or the interval is over."""

    view: int


class ProposalBuilt(Struct, frozen=True, gc=False):
    """My own block: built, therefore executed and valid."""

    proposal: Proposal


class BuildFailed(Struct, frozen=True, gc=False):
    """Nothing came out of `Build`; another `ProposalDue` may follow."""

    view: int


class ProposalReceived(Struct, frozen=True, gc=False):
    """A block with its record and body from the leader of its view."""

    proposal: Proposal


class BodyChecked(Struct, frozen=True, gc=False):
    """The end of executing a block on its parent's state."""

    block_hash: Hash
    valid: bool


class VoteReceived(Struct, frozen=True, gc=False):
    """A vote by a member of the set, my own after signing included."""

    vote: Vote


class CertificateReceived(Struct, frozen=True, gc=False):
    """A quorum's certificate, checked."""

    certificate: Certificate


class TimerFired(Struct, frozen=True, gc=False):
    """The leader's or the advance timer of `view` ran out."""

    view: int


class FloorStored(Struct, frozen=True, gc=False):
    """Everything up to the block of `view` is final on disk."""

    view: int


Event = (
    ProposalDue
    | ProposalBuilt
    | BuildFailed
    | ProposalReceived
    | BodyChecked
    | VoteReceived
    | CertificateReceived
    | TimerFired
    | FloorStored
)

# -- effects ---------------------------------------------------------------------------------------


class EnterView(Struct, frozen=True, gc=False):
    """Arm the timers of `view`; `leading` says that the block is mine to build."""

    view: int
    leading: bool


class Build(Struct, frozen=True, gc=False):
    """Build a block on the given parent and answer with ProposalBuilt or BuildFailed."""

    view: int
    parent_view: int
    parent_hash: Hash


class CheckBody(Struct, frozen=True, gc=False):
    """Execute a proposed block and answer with BodyChecked."""

    proposal: Proposal


class Cast(Struct, frozen=True, gc=False):
    """Log, sign, then send this ballot; it comes back as VoteReceived."""

    ballot: Ballot


class Broadcast(Struct, frozen=True, gc=False):
    """Send a certificate to everybody, once."""

    certificate: Certificate


class Deliver(Struct, frozen=True, gc=False):
    """The block is final. `certificate` is None for an ancestor that another one made final."""

    block_hash: Hash
    certificate: Certificate | None


class Stop(Struct, frozen=True, gc=False):
    """Consensus failed: others finalized what I found invalid. Never go on."""

    reason: str


Effect = EnterView | Build | CheckBody | Cast | Broadcast | Deliver | Stop
