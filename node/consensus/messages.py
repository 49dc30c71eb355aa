"""What goes into the consensus core and what comes out of it.

Events are verified before they get here: signatures, membership, certificates. Effects
are performed in order; a `Cast` is on disk before its signature leaves the signer (V1).
"""

from msgspec import Struct

from chain.types import Hash
from chain.validators import Ballot, Certificate, Vote


class Proposal(Struct, frozen=True, gc=False):
    """A block as the core sees it; its record commits to every field.

    When an epoch's last block is proposed again (section 5), `parent_hash` is its own hash,
    `parent_view` the view in which it was notarized, and only the ballot commits to them.
    """

    view: int
    block_hash: Hash
    parent_view: int
    parent_hash: Hash
    height: int

    @property
    def again(self) -> bool:
        """Whether this is an epoch's last block, proposed once more."""
        return self.block_hash == self.parent_hash


class Base(Struct, frozen=True, gc=False):
    """The last final block that is on disk. View 0 is the last block of the epoch before."""

    view: int
    block_hash: Hash
    height: int


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
    """A block with its record and body, proposed by the leader of its view (who signed it)."""

    proposal: Proposal


class BlockReceived(Struct, frozen=True, gc=False):
    """A block that was fetched because a certificate names it; nobody's proposal."""

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


class LeaderTimeout(Struct, frozen=True, gc=False):
    """The leader's timer of `view` ran out: nullify, unless its proposal was seen."""

    view: int


class AdvanceTimeout(Struct, frozen=True, gc=False):
    """The advance timer of `view` ran out: nullify."""

    view: int


class FloorStored(Struct, frozen=True, gc=False):
    """Everything up to the block of `view` is final on disk."""

    view: int


class SyncedTo(Struct, frozen=True, gc=False):
    """Final blocks up to `base` came by sync and are on disk; `certificate` made it final."""

    base: Base
    certificate: Certificate


class Standstill(Struct, frozen=True, gc=False):
    """No finalization for a while (R8)."""


Event = (
    ProposalDue
    | ProposalBuilt
    | BuildFailed
    | ProposalReceived
    | BlockReceived
    | BodyChecked
    | VoteReceived
    | CertificateReceived
    | LeaderTimeout
    | AdvanceTimeout
    | FloorStored
    | SyncedTo
    | Standstill
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
    """Execute a block, whose parent is final or was found valid; answer with BodyChecked."""

    proposal: Proposal


class Cast(Struct, frozen=True, gc=False):
    """Log, sign, then send this ballot; it comes back as VoteReceived."""

    ballot: Ballot


class Publish(Struct, frozen=True, gc=False):
    """Send my proposal with my NOTARIZE for it, which was cast before."""

    proposal: Proposal


class Broadcast(Struct, frozen=True, gc=False):
    """Send a certificate to everybody, once."""

    certificate: Certificate


class Resend(Struct, frozen=True, gc=False):
    """Send this again, to a bounded number of peers (R8)."""

    certificates: tuple[Certificate, ...]
    votes: tuple[Vote, ...]


class FetchBlock(Struct, frozen=True, gc=False):
    """Ask for a block that a certificate of `view` names; comes back as BlockReceived."""

    view: int
    block_hash: Hash


class FetchCertificates(Struct, frozen=True, gc=False):
    """Ask, the leader of `view` first, for what its proposal stands on: certificates of these."""

    view: int
    first_view: int
    last_view: int


class Deliver(Struct, frozen=True, gc=False):
    """The block is final. `certificate` is None for an ancestor that another one made final."""

    block_hash: Hash
    certificate: Certificate | None


class Accuse(Struct, frozen=True, gc=False):
    """Two votes of one signer that exclude each other (section 6)."""

    first: Vote
    second: Vote


class Stop(Struct, frozen=True, gc=False):
    """Consensus failed: others finalized what I found invalid. Never go on."""

    reason: str


Effect = (
    EnterView
    | Build
    | CheckBody
    | Cast
    | Publish
    | Broadcast
    | Resend
    | FetchBlock
    | FetchCertificates
    | Deliver
    | Accuse
    | Stop
)
