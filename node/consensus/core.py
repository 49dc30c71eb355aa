"""Weighted Simplex as a state machine: verified events in, ordered effects out.

Knows no clock, socket, disk or randomness. The rule numbers are those of
docs/protocol/consensus.md, section 2. One validator is the smallest case: its own vote
is a quorum, so it notarizes and finalizes in the same turn.
"""

from collections.abc import Iterable
from typing import Final, assert_never

from msgspec import Struct

from chain.types import ZERO_HASH, Address, Hash
from chain.validators import Ballot, Certificate, ValidatorSet, Vote, VoteKind
from node.consensus.messages import (
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
    FloorStored,
    LeaderTimeout,
    Proposal,
    ProposalBuilt,
    ProposalDue,
    ProposalReceived,
    Standstill,
    Stop,
    SyncedTo,
    VoteReceived,
)
from node.consensus.votes import ViewState

VIEWS_RETAINED: Final = 16  # below the floor, so that late votes are no offence (R7)


class Epoch(Struct, frozen=True):
    """What does not change within an epoch."""

    number: int
    validators: ValidatorSet
    seed: Hash  # of the leader schedule


class Core:
    """One validator's part in one epoch. `me` is None for a node that only observes."""

    def __init__(
        self, epoch: Epoch, base: Base, me: Address | None, own_votes: Iterable[Vote] = ()
    ) -> None:
        """`own_votes` are those above the base that the vote log still holds (V2)."""
        self.epoch = epoch
        self.view = base.view
        self._me = me
        self._base = base  # the last block delivered
        self._floor = base.view  # the last view that is final on disk
        self._views: dict[int, ViewState] = {}
        self._proposals: dict[Hash, Proposal] = {}
        self._checked: dict[Hash, bool] = {}  # block hash -> valid
        self._building = False
        self._effects: list[Effect] = []
        self._own_votes = [vote for vote in own_votes if vote.ballot.view > base.view]
        validators = epoch.validators
        index = None if me is None else validators.index_of(me)
        power = 0 if index is None else validators.validators[index].power
        self._decides_alone = validators.quorum(power)

    def start(self) -> list[Effect]:
        """The first effects: the view after the base, and what the restored votes lead to."""
        for vote in self._own_votes:
            state = self._view_state(vote.ballot.view)
            match vote.ballot.kind:
                case VoteKind.NOTARIZE:
                    state.notarized = vote.ballot.block_hash
                case VoteKind.NULLIFY:
                    state.nullified = True
                case VoteKind.FINALIZE:
                    state.finalized = vote.ballot.block_hash
        self._enter(self._base.view + 1)
        for vote in self._own_votes:
            self._count(vote)
        return self._take()

    def handle(self, event: Event) -> list[Effect]:
        """Take one event; the effects are to be performed in order."""
        match event:
            case ProposalDue(view):
                self._propose(view)
            case ProposalBuilt(proposal):
                self._building = False
                self._checked[proposal.block_hash] = True
                self._see(proposal)
            case BuildFailed():
                self._building = False
            case ProposalReceived(proposal) | BlockReceived(proposal):
                self._see(proposal)
            case BodyChecked(block_hash, valid):
                self._body_checked(block_hash, valid)
            case VoteReceived(vote):
                self._count(vote)
            case CertificateReceived(certificate):
                self._hold(certificate)
            case LeaderTimeout(view) | AdvanceTimeout(view):
                self._nullify(view)  # R4
            case SyncedTo() | Standstill():
                pass
            case FloorStored(view):
                self._prune(view)
            case _:
                assert_never(event)
        return self._take()

    def skipped(self, parent_view: int, view: int) -> list[Certificate]:
        """The nullifications that justify building in `view` on a block of `parent_view`."""
        states = (self._views.get(between) for between in range(parent_view + 1, view))
        return [state.nullification for state in states if state and state.nullification]

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _view_state(self, view: int) -> ViewState:
        state = self._views.get(view)
        if state is None:
            state = self._views[view] = ViewState(self.epoch.validators)
        return state

    # -- R0: enter, propose ------------------------------------------------------------------------

    def _leader(self, view: int) -> Address:
        validators = self.epoch.validators
        return validators.validators[validators.leader(self.epoch.seed, view)].address

    def _enter(self, view: int) -> None:
        if view <= self.view:
            return
        self.view = view
        self._building = False
        self._effects.append(EnterView(view, leading=self._leader(view) == self._me))
        self._try_notarize(view)

    def _propose(self, view: int) -> None:
        state = self._view_state(view)
        if (
            view != self.view
            or self._building
            or self._leader(view) != self._me
            or state.proposal is not None
            or state.notarized is not None
            or state.nullified
        ):
            return
        parent = self._find_parent(view)
        if parent is not None:
            self._building = True
            self._effects.append(Build(view, *parent))

    def _find_parent(self, view: int) -> tuple[int, Hash] | None:
        """The highest agreed view with every later one nullified, and its block (R0)."""
        for candidate in range(view - 1, self._base.view - 1, -1):
            agreed = self._agreed(candidate)
            if agreed is not None:
                return (candidate, agreed) if self._is_valid(agreed) else None
            if self._view_state(candidate).nullification is None:
                return None
        return None

    def _agreed(self, view: int) -> Hash | None:
        if view == self._base.view:
            return self._base.block_hash
        state = self._views.get(view)
        return None if state is None else state.agreed_hash()

    def _is_valid(self, block_hash: Hash) -> bool:
        return block_hash == self._base.block_hash or self._checked.get(block_hash, False)

    # -- R1: notarize ------------------------------------------------------------------------------

    def _see(self, proposal: Proposal) -> None:
        if proposal.view <= self._floor or proposal.parent_view >= proposal.view:
            return
        self._proposals.setdefault(proposal.block_hash, proposal)
        state = self._view_state(proposal.view)
        if state.proposal is None:
            state.proposal = proposal
        if proposal.block_hash not in self._checked:
            self._effects.append(CheckBody(proposal))
        self._try_notarize(proposal.view)
        self._try_finalize(proposal.view)
        self._deliver()

    def _body_checked(self, block_hash: Hash, valid: bool) -> None:
        proposal = self._proposals.get(block_hash)
        if proposal is None:
            return
        self._checked[block_hash] = valid
        if valid:
            self._try_notarize(proposal.view)
            self._try_finalize(proposal.view)
        else:
            self._nullify(proposal.view)  # R1: an invalid block is no reason to wait
        self._deliver()

    def _try_notarize(self, view: int) -> None:
        state = self._view_state(view)
        proposal = state.proposal
        if (
            self._me is None
            or view != self.view
            or proposal is None
            or state.notarized is not None
            or state.nullified
            or not self._checked.get(proposal.block_hash, False)
            or self._agreed(proposal.parent_view) != proposal.parent_hash
            or any(
                self._view_state(between).nullification is None
                for between in range(proposal.parent_view + 1, view)
            )
        ):
            return
        state.notarized = proposal.block_hash
        self._cast(VoteKind.NOTARIZE, view, proposal.block_hash, proposal.parent_view)
        if self._decides_alone:
            # R2 and R3 in the same turn: this vote is the notarization.
            self._finalize(state, view, proposal.block_hash, proposal.parent_view)

    # -- R3: finalize ------------------------------------------------------------------------------

    def _try_finalize(self, view: int) -> None:
        state = self._views.get(view)
        if state is None or state.notarization is None:
            return
        ballot = state.notarization.ballot
        if self._checked.get(ballot.block_hash, False):
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
        ballot = vote.ballot
        if ballot.epoch != self.epoch.number:
            return
        if not self._floor - VIEWS_RETAINED <= ballot.view <= self.view + 1:  # R7
            return
        certificate = self._view_state(ballot.view).tally.add(vote)
        if certificate is not None:
            self._hold(certificate)
        if ballot.kind is VoteKind.NULLIFY and vote.signer == self._leader(ballot.view):
            self._nullify(ballot.view)  # R4: the leader gave up

    def _hold(self, certificate: Certificate) -> None:
        """A certificate that I formed or was sent (R2, R5, R6, R7)."""
        ballot = certificate.ballot
        if ballot.epoch != self.epoch.number or ballot.view <= self._base.view:
            return
        state = self._view_state(ballot.view)
        match ballot.kind:
            case VoteKind.NOTARIZE:  # R2
                if state.notarization is not None:
                    return
                state.notarization = certificate
                self._effects.append(Broadcast(certificate))
                self._try_finalize(ballot.view)
            case VoteKind.NULLIFY:  # R5
                if state.nullification is not None:
                    return
                state.nullification = certificate
                self._effects.append(Broadcast(certificate))
            case VoteKind.FINALIZE:  # R6
                if state.finalization is not None:
                    return
                state.finalization = certificate
                self._effects.append(Broadcast(certificate))
                self._deliver()
        self._enter(ballot.view + 1)
        # An older certificate may be what the current proposal's parent lacked.
        self._try_notarize(self.view)

    # -- R6: deliver -------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Hand on every block that is final and known, in order of height."""
        final = [
            (view, state.finalization)
            for view, state in self._views.items()
            if state.finalization is not None and view > self._base.view
        ]
        for view, certificate in sorted(final, key=lambda item: item[0]):
            chain = self._chain_to(certificate.ballot.block_hash)
            if chain is None:
                return
            for proposal in chain:
                valid = self._checked.get(proposal.block_hash)
                if valid is None:
                    return
                if not valid:
                    hexed = proposal.block_hash.hex()
                    self._effects.append(Stop(f"block 0x{hexed} is final and invalid"))
                    return
                own = proposal.view == view
                self._effects.append(Deliver(proposal.block_hash, certificate if own else None))
                self._base = Base(proposal.view, proposal.block_hash, proposal.height)

    def _chain_to(self, block_hash: Hash) -> list[Proposal] | None:
        """The blocks from after the base up to this one; None while one is missing."""
        chain: list[Proposal] = []
        while block_hash != self._base.block_hash:
            proposal = self._proposals.get(block_hash)
            if proposal is None:
                return None
            chain.append(proposal)
            block_hash = proposal.parent_hash
        return chain[::-1]

    def _prune(self, view: int) -> None:
        """Forget what is below the floor, now that the floor is on disk (R6)."""
        self._floor = max(self._floor, view)
        keep = self._floor - VIEWS_RETAINED
        for old in [known for known in self._views if known < keep]:
            del self._views[old]
        for block_hash, proposal in list(self._proposals.items()):
            if proposal.view < keep:
                del self._proposals[block_hash]
                self._checked.pop(block_hash, None)
