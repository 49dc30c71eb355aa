"""Weighted Simplex as a state machine: verified events in, ordered effects out.

Knows no clock, socket, disk or randomness. The rule numbers are those of
docs/protocol/consensus.md, section 2. One validator is the smallest case: its own vote
is a quorum, so it notarizes and finalizes in the same turn.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from msgspec import Struct

from chain.types import ZERO_HASH, Address, Hash
from chain.validators import Ballot, Certificate, ValidatorSet, Vote, VoteKind
from node.consensus.blocks import Blocks
from node.consensus.messages import (
    Accuse,
    AdvanceTimeout,
    Base,
    BlockReceived,
    BodyChecked,
    Broadcast,
    Build,
    BuildFailed,
    Cast,
    CertificateReceived,
    CheckBody,
    Deliver,
    Effect,
    EnterView,
    Event,
    FetchBlock,
    FetchCertificates,
    FloorStored,
    LeaderTimeout,
    Proposal,
    ProposalBuilt,
    ProposalDue,
    ProposalReceived,
    Publish,
    Resend,
    Standstill,
    Stop,
    SyncedTo,
    VoteReceived,
)
from node.consensus.votes import ViewState

VIEWS_RETAINED: Final = 16  # below the floor, so that late votes are no offence (R7)
_RESENT_MAX: Final = 64  # own votes and certificates that go out again at once (R8)
_FETCHED_DEPTH_MAX: Final = 8  # heights above the base fetched block by block; more is sync's


class Epoch(Struct, frozen=True):
    """What does not change within an epoch."""

    number: int
    validators: ValidatorSet
    seed: Hash  # of the leader schedule
    last_height: int | None = None  # None: it never ends


class Restored(Struct, frozen=True):
    """What the vote log remembers of this epoch above the base (V2)."""

    votes: tuple[Vote, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    certificates: tuple[Certificate, ...] = ()


_NOTHING: Final = Restored()


class Core:
    """One validator's part in one epoch. `me` is None for a node that only observes."""

    def __init__(
        self,
        epoch: Epoch,
        base: Base,
        me: Address | None,
        restored: Restored = _NOTHING,
        finalization: Certificate | None = None,
    ) -> None:
        """`finalization` is the certificate that made the base final, if it is of this epoch."""
        self.epoch = epoch
        self.view = base.view
        self.heard: dict[Address, int] = {}  # the last view in which a member's vote was seen
        self._me = me
        self._blocks = Blocks(base)
        self._floor = base.view  # the last view that is final on disk
        self._views: dict[int, ViewState] = {}
        self._best = finalization
        self._due = 0  # the view in which a proposal of mine is due and not yet begun
        self._building = False
        self._finished = False  # the epoch's last block is delivered
        self._effects: list[Effect] = []
        self._restored = restored
        validators = epoch.validators
        index = None if me is None else validators.index_of(me)
        power = 0 if index is None else validators.validators[index].power
        self._decides_alone = validators.quorum(power)

    def start(self) -> list[Effect]:
        """The first effects: the view after the base, and what was restored leads to."""
        restored = self._restored
        for vote in restored.votes:
            self._remember(vote)
        for proposal in restored.proposals:
            state = self._view_state(proposal.view)
            self._blocks.add(proposal)
            if state.notarized == proposal.block_hash:
                state.proposal = proposal
        self._enter(self.base.view + 1)
        for certificate in sorted(restored.certificates, key=lambda item: item.ballot.view):
            self._hold(certificate)
        for vote in restored.votes:
            self._tally(vote)
        self._progress()
        return self._take()

    def handle(self, event: Event) -> list[Effect]:
        """Take one event; the effects are to be performed in order."""
        if self._finished:
            return []
        match event:
            case ProposalDue(view):
                self._due = view
            case ProposalBuilt(proposal):
                self._built(proposal)
            case BuildFailed():
                self._building = False
            case ProposalReceived(proposal):
                self._see(proposal)
            case BlockReceived(proposal):
                if self._wanted(proposal.block_hash):
                    self._blocks.add(proposal)
            case BodyChecked(block_hash, valid):
                self._blocks.judge(block_hash, valid)
            case VoteReceived(vote):
                self._count(vote)
            case CertificateReceived(certificate):
                self._hold(certificate)
            case LeaderTimeout(view):
                if view == self.view and self._view_state(view).proposal is None:
                    self._nullify(view)  # R4
            case AdvanceTimeout(view):
                self._nullify(view)  # R4
            case FloorStored(view):
                self._prune(view)
            case SyncedTo(base, certificate):
                self._synced(base, certificate)
            case Standstill():
                self._resend()
            case _:
                assert_never(event)
        self._progress()
        return self._take()

    # -- what others may ask -----------------------------------------------------------------------

    @property
    def base(self) -> Base:
        """The last block that was delivered."""
        return self._blocks.base

    def leader(self, view: int) -> Address:
        """Who proposes in `view`."""
        validators = self.epoch.validators
        return validators.validators[validators.leader(self.epoch.seed, view)].address

    def admits(self, view: int) -> bool:
        """Whether votes of this view are looked at (R7)."""
        return self._floor - VIEWS_RETAINED <= view <= self.view + 1

    def wants_proposal(self, view: int, block_hash: Hash) -> bool:
        """Whether a proposal of this view would be the first one, of a view not yet over."""
        if not self.base.view < view <= self.view + 1 or self._finished:
            return False
        state = self._views.get(view)
        return state is None or state.proposal is None or self._wanted(block_hash)

    def entry(self) -> Sequence[Certificate]:
        """What shows a peer why I am in my view: certificates of the views before it."""
        held: list[Certificate] = [self._best] if self._best is not None else []
        for view in range(max(self.base.view + 1, self.view - _RESENT_MAX), self.view):
            state = self._views.get(view)
            held += state.certificates() if state is not None else ()
        return held[-_RESENT_MAX:]

    def held(self, first_view: int, last_view: int) -> list[Certificate]:
        """The certificates of these views, at most 64."""
        found: list[Certificate] = []
        for view in sorted(view for view in self._views if first_view <= view <= last_view):
            found += self._views[view].certificates()
        return found[:_RESENT_MAX]

    def holds(self, ballot: Ballot) -> bool:
        """Whether a certificate of this kind is held for the view, so that another is no news."""
        if ballot.view <= self.base.view:
            return True
        state = self._views.get(ballot.view)
        if state is None:
            return False
        match ballot.kind:
            case VoteKind.NOTARIZE:
                return state.notarization is not None
            case VoteKind.NULLIFY:
                return state.nullification is not None
            case VoteKind.FINALIZE:
                return state.finalization is not None

    @property
    def unsettled(self) -> bool:
        """Whether a block is notarized and not final: it must not stay so."""
        return any(
            state.notarization is not None
            for view, state in self._views.items()
            if view > self.base.view
        )

    @property
    def finished(self) -> bool:
        """Whether the epoch's last block is delivered: this core has nothing more to do."""
        return self._finished

    def proposal_of(self, view: int) -> Proposal | None:
        """The first proposal seen of a view."""
        state = self._views.get(view)
        return None if state is None else state.proposal

    # -- the state ---------------------------------------------------------------------------------

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _view_state(self, view: int) -> ViewState:
        state = self._views.get(view)
        if state is None:
            state = self._views[view] = ViewState(self.epoch.validators)
        return state

    def _remember(self, vote: Vote) -> None:
        """A vote that I cast before I was restarted."""
        state = self._view_state(vote.ballot.view)
        match vote.ballot.kind:
            case VoteKind.NOTARIZE:
                state.notarized = vote.ballot.block_hash
            case VoteKind.NULLIFY:
                state.nullified = True
            case VoteKind.FINALIZE:
                state.finalized = vote.ballot.block_hash

    def _progress(self) -> None:
        """Everything that what is now known allows."""
        if self._finished:
            return
        for proposal in self._blocks.next_to_check():
            self._effects.append(CheckBody(proposal))
        self._try_propose()
        self._try_notarize(self.view)
        for view in sorted(self._views):
            self._try_finalize(view)
        self._try_deliver()

    # -- R0: enter, propose ------------------------------------------------------------------------

    def _enter(self, view: int) -> None:
        if view <= self.view:
            return
        self.view = view
        self._building = False
        self._effects.append(EnterView(view, leading=self.leader(view) == self._me))
        if self._view_state(view).leader_gave_up:
            self._nullify(view)  # R4

    def _try_propose(self) -> None:
        view = self.view
        state = self._view_state(view)
        if (
            self._building
            or self.leader(view) != self._me
            or state.proposal is not None
            or state.notarized is not None
            or state.nullified
        ):
            return
        found = self._find_parent(view)
        if found is None:
            return
        parent_view, parent = found
        height = self._height(parent)
        if height == self.epoch.last_height:
            # Section 5: until the last block of the epoch is final, nothing stands on it.
            state.proposal = Proposal(view, parent, parent_view, parent, height)
        elif self._due == view:
            self._due = 0
            self._building = True
            self._effects.append(Build(view, parent_view, parent))

    def _find_parent(self, view: int) -> tuple[int, Hash] | None:
        """The highest agreed view with every later one nullified, and its block (R0)."""
        for candidate in range(view - 1, self.base.view - 1, -1):
            agreed = self._agreed(candidate)
            if agreed is not None and self._blocks.verdict(agreed):
                return candidate, agreed
            if self._view_state(candidate).nullification is None:
                if agreed is None:
                    self._ask(view, candidate)
                return None
        return None

    def _ask(self, view: int, last_missing: int) -> None:
        """Ask once per view for the certificates up to the missing one."""
        state = self._view_state(view)
        if not state.asked and last_missing > self.base.view:
            state.asked = True
            self._effects.append(FetchCertificates(view, self.base.view + 1, last_missing))

    def _height(self, block_hash: Hash) -> int:
        proposal = self._blocks.get(block_hash)
        return self.base.height if proposal is None else proposal.height

    def _agreed(self, view: int) -> Hash | None:
        if view == self.base.view:
            return self.base.block_hash
        state = self._views.get(view)
        certificate = None if state is None else state.agreed()
        return None if certificate is None else certificate.ballot.block_hash

    def _built(self, proposal: Proposal) -> None:
        self._building = False
        if proposal.view == self.view and self._view_state(proposal.view).proposal is None:
            self._blocks.add(proposal)
            self._blocks.judge(proposal.block_hash, True)
            self._view_state(proposal.view).proposal = proposal

    # -- R1: notarize ------------------------------------------------------------------------------

    def _see(self, proposal: Proposal) -> None:
        """A proposal of the leader; the first one of its view is the one that counts."""
        if not self.base.view < proposal.view <= self.view + 1:
            return
        state = self._view_state(proposal.view)
        if state.proposal is None:
            state.proposal = proposal
        elif state.proposal != proposal and not self._wanted(proposal.block_hash):
            return
        if not proposal.again:
            self._blocks.add(proposal)

    def _try_notarize(self, view: int) -> None:
        state = self._view_state(view)
        proposal = state.proposal
        if self._me is None or proposal is None or state.notarized is not None or state.nullified:
            return
        if not self._fits_epoch(proposal):
            self._nullify(view)
            return
        valid = self._blocks.verdict(proposal.block_hash)
        if valid is False:
            self._nullify(view)  # R1: an invalid block is no reason to wait
        if not valid or not self._justified(proposal):
            return
        state.notarized = proposal.block_hash
        self._cast(VoteKind.NOTARIZE, view, proposal.block_hash, proposal.parent_view)
        if self.leader(view) == self._me:
            self._effects.append(Publish(proposal))
        if self._decides_alone:
            # R2 and R3 in the same turn: this vote is the notarization.
            self._finalize(state, view, proposal.block_hash, proposal.parent_view)

    def _fits_epoch(self, proposal: Proposal) -> bool:
        """An epoch's last block is followed by nothing but itself, and nothing else is."""
        if proposal.parent_view >= proposal.view:
            return False
        last = self.epoch.last_height
        if proposal.again:
            return proposal.height == last
        return last is None or proposal.height <= last

    def _justified(self, proposal: Proposal) -> bool:
        """The parent is agreed on in its view, and every view between is nullified (R1)."""
        if proposal.parent_view < self.base.view:
            return False
        missing = 0
        for between in range(proposal.parent_view + 1, proposal.view):
            if self._view_state(between).nullification is None:
                missing = between
        agreed = self._agreed(proposal.parent_view)
        if agreed is None:
            missing = max(missing, proposal.parent_view)
        if missing:
            self._ask(proposal.view, missing)
            return False
        return agreed == proposal.parent_hash

    # -- R3: finalize ------------------------------------------------------------------------------

    def _try_finalize(self, view: int) -> None:
        state = self._views[view]
        if state.notarization is None or state.finalization is not None or view <= self.base.view:
            return
        ballot = state.notarization.ballot
        if self._blocks.verdict(ballot.block_hash):
            self._finalize(state, view, ballot.block_hash, ballot.parent_view)

    def _finalize(self, state: ViewState, view: int, block_hash: Hash, parent_view: int) -> None:
        if (
            self._me is None
            or state.nullified
            or state.finalized is not None
            or state.notarized not in (None, block_hash)
        ):
            return
        state.finalized = block_hash
        self._cast(VoteKind.FINALIZE, view, block_hash, parent_view)

    # -- R4: nullify -------------------------------------------------------------------------------

    def _nullify(self, view: int) -> None:
        state = self._view_state(view)
        if self._me is None or view != self.view or state.nullified or state.finalized is not None:
            return
        state.nullified = True
        self._cast(VoteKind.NULLIFY, view, ZERO_HASH, 0)

    def _cast(self, kind: VoteKind, view: int, block_hash: Hash, parent_view: int) -> None:
        ballot = Ballot(kind, self.epoch.number, view, block_hash, parent_view)
        self._effects.append(Cast(ballot))

    # -- counting ----------------------------------------------------------------------------------

    def _count(self, vote: Vote) -> None:
        if vote.ballot.epoch == self.epoch.number and self.admits(vote.ballot.view):  # R7
            self._tally(vote)

    def _tally(self, vote: Vote) -> None:
        ballot = vote.ballot
        view = ballot.view
        state = self._view_state(view)
        if vote.signer == self._me and vote not in state.own:
            state.own.append(vote)
        counted = state.tally.add(vote)
        if counted.conflict is not None:
            self._effects.append(Accuse(counted.conflict, vote))
        if counted.certificate is not None:
            self._hold(counted.certificate)
        self.heard[vote.signer] = max(view, self.heard.get(vote.signer, 0))
        if ballot.kind is VoteKind.NULLIFY and vote.signer == self.leader(view):
            state.leader_gave_up = True
            self._nullify(view)  # R4

    def _hold(self, certificate: Certificate) -> None:
        """A certificate that I formed or was sent (R2, R5, R6, R7)."""
        ballot = certificate.ballot
        if ballot.epoch != self.epoch.number or ballot.view <= self.base.view:
            return
        state = self._view_state(ballot.view)
        match ballot.kind:
            case VoteKind.NOTARIZE:  # R2
                if state.notarization is not None:
                    return
                state.notarization = certificate
            case VoteKind.NULLIFY:  # R5
                if state.nullification is not None:
                    return
                state.nullification = certificate
            case VoteKind.FINALIZE:  # R6
                if state.finalization is not None:
                    if state.finalization.ballot.block_hash != ballot.block_hash:
                        self._effects.append(Stop(f"two blocks are final in view {ballot.view}"))
                    return
                state.finalization = certificate
        self._effects.append(Broadcast(certificate))
        if ballot.kind is not VoteKind.NULLIFY and ballot.block_hash not in self._blocks:
            self._effects.append(FetchBlock(ballot.view, ballot.block_hash))
        self._enter(ballot.view + 1)

    def _wanted(self, block_hash: Hash) -> bool:
        """Whether a certificate names this block, or it is the ancestor of one that is named."""
        for state in self._views.values():
            for certificate in (state.notarization, state.finalization):
                if certificate is None:
                    continue
                if certificate.ballot.block_hash == block_hash:
                    return True
                if self._blocks.chain_to(certificate.ballot.block_hash)[1] == block_hash:
                    return True
        return False

    # -- R6: deliver -------------------------------------------------------------------------------

    def _try_deliver(self) -> None:
        """Hand on every block that is final and known, in order of height."""
        final = [
            (view, state.finalization)
            for view, state in self._views.items()
            if state.finalization is not None and view > self.base.view
        ]
        for view, certificate in sorted(final, key=lambda item: item[0]):
            if view > self.base.view and not self._deliver(certificate):
                return

    def _deliver(self, certificate: Certificate) -> bool:
        """Deliver up to the block that this certificate makes final; False: it must wait."""
        chain, missing = self._blocks.chain_to(certificate.ballot.block_hash)
        if missing is not None:
            if chain and chain[0].height <= self.base.height:
                self._effects.append(Stop(f"a block beside height {self.base.height} is final"))
            elif chain and chain[0].height - self.base.height <= _FETCHED_DEPTH_MAX:
                self._fetch_once(chain[0].view, missing)
            return False
        if chain and chain[0].height != self.base.height + 1:
            self._effects.append(Stop(f"a block beside height {self.base.height} is final"))
            return False
        for proposal in chain:
            valid = self._blocks.verdict(proposal.block_hash)
            if valid is None:
                return False
            if not valid:
                hexed = proposal.block_hash.hex()
                self._effects.append(Stop(f"block 0x{hexed} is final and invalid"))
                return False
            last = proposal is chain[-1]
            self._effects.append(Deliver(proposal.block_hash, certificate if last else None))
            view = certificate.ballot.view if last else proposal.view
            self._blocks.base = Base(view, proposal.block_hash, proposal.height)
        self._best = certificate
        self._finished = self.base.height == self.epoch.last_height
        return True

    def _fetch_once(self, view: int, block_hash: Hash) -> None:
        """Ask for an ancestor; the asking itself is repeated by whoever performs it."""
        state = self._view_state(view)
        if not state.asked:
            state.asked = True
            self._effects.append(FetchBlock(view, block_hash))

    def _synced(self, base: Base, certificate: Certificate) -> None:
        """The ledger has moved on without this core."""
        if base.height <= self.base.height:
            return
        self._blocks.base = base
        self._best = certificate
        self._finished = base.height == self.epoch.last_height
        if not self._finished:
            self._enter(base.view + 1)
        self._prune(base.view)

    def _prune(self, view: int) -> None:
        """Forget what is below the floor, now that the floor is on disk (R6)."""
        self._floor = max(self._floor, view)
        keep = self._floor - VIEWS_RETAINED
        for old in [known for known in self._views if known < keep]:
            del self._views[old]
        self._blocks.prune(keep)

    # -- R8: standstill ----------------------------------------------------------------------------

    def _resend(self) -> None:
        """The best finalization, what let me enter my view, and my votes since."""
        votes = [
            vote
            for view in sorted(self._views)
            if view > self.base.view
            for vote in self._views[view].own
        ]
        entry = self.entry()
        first = [self._best] if self._best is not None else []
        last = [certificate for certificate in entry if certificate.ballot.view == self.view - 1]
        certificates = tuple(dict.fromkeys([*first, *last]))
        self._effects.append(Resend(certificates, tuple(votes[-_RESENT_MAX:])))
        for view in sorted(self._views):
            state = self._views[view]
            state.asked = False  # what was asked for may be asked again
            agreed = state.agreed()
            if agreed is not None and view > self.base.view:
                missing = self._blocks.chain_to(agreed.ballot.block_hash)[1]
                if missing is not None:
                    self._effects.append(FetchBlock(view, missing))

    def missing(self) -> Mapping[Address, int]:
        """Members that were not heard in the last views, with the last view they were heard in."""
        return {
            member.address: self.heard.get(member.address, 0)
            for member in self.epoch.validators.validators
            if self.heard.get(member.address, 0) < self.view - 2 or member.address not in self.heard
        }
