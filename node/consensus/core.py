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
from node.consensus.views import VIEWS_RETAINED, Views, ViewState

_RESENT_MAX: Final = 64  # own votes and certificates that go out again at once (R8)
_FETCHED_DEPTH_MAX: Final = 8  # final heights fetched block by block; a longer gap is sync's
_BLOCKS_MAX: Final = 64  # beyond this, blocks that nobody agreed on are forgotten


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
    """One validator's part in one epoch.

    Who is no member of the epoch's set only observes: `me` is None for a node without a key.
    """

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
        index = None if me is None else epoch.validators.index_of(me)
        self._me = None if index is None else me
        self._blocks = Blocks(base)
        self._views = Views(epoch.validators, epoch.seed, base.view)
        self._floor = base.view  # the last view that is final on disk
        self._best = finalization
        self._missing: dict[Hash, int] = {}  # blocks that are asked for, and in which view
        self._unsure = False  # whether certificates, blocks or the base changed since
        self._behind = False  # a final block is far above the base: sync brings what is between
        self._due = 0  # the view in which a proposal of mine is due and not yet begun
        self._building = False
        self._finished = self._ends(base)  # the epoch's last block is delivered
        self._effects: list[Effect] = []
        self._restored = restored
        power = 0 if index is None else epoch.validators.validators[index].power
        self._decides_alone = epoch.validators.quorum(power)

    def start(self) -> list[Effect]:
        """The first effects: the view after the base, or where the vote log was (V2)."""
        if self._finished:
            return []
        restored, self._restored = self._restored, _NOTHING
        votes = [vote for vote in restored.votes if self._is_open(vote.ballot)]
        for vote in votes:
            self._remember(vote)
        for proposal in restored.proposals:
            if proposal.view > self.base.view:
                self._take_back(proposal)
        view = self.base.view + 1
        for certificate in restored.certificates:
            if self._is_open(certificate.ballot):
                self._views.hold(certificate)  # it went out before
                view = max(view, certificate.ballot.view + 1)
        self._unsure = True
        self._enter(view)
        for vote in votes:
            self._tally(vote)
        self._progress()
        return self._take()

    def handle(self, event: Event) -> list[Effect]:
        """Take one event; the effects are to be performed in order."""
        if self._finished and not isinstance(event, Standstill):
            return []
        match event:
            case ProposalDue(view):
                self._due = max(self._due, view)
            case ProposalBuilt(proposal):
                self._built(proposal)
            case BuildFailed(view):
                self._building = self._building and view != self.view
            case ProposalReceived(proposal):
                self._see(proposal)
            case BlockReceived(proposal):
                if proposal.block_hash in self._missing:
                    self._add(proposal)
            case BodyChecked(block_hash, valid):
                self._blocks.judge(block_hash, valid)
            case VoteReceived(vote):
                self._count(vote)
            case CertificateReceived(certificate):
                self._hold(certificate)
            case LeaderTimeout(view):
                if self._views[self.view].proposal is None:
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

    @property
    def finished(self) -> bool:
        """Whether the epoch's last block is delivered: this core has nothing more to do."""
        return self._finished

    @property
    def unsettled(self) -> bool:
        """Whether a block is notarized and not final: it must not stay so."""
        return bool(self._views.agreed)

    @property
    def takes_part(self) -> bool:
        """Whether this node votes, and does not only observe."""
        return self._me is not None

    def leader(self, view: int) -> Address:
        """Who proposes in `view`."""
        return self._views.leader(view)

    def admits(self, view: int) -> bool:
        """Whether votes of this view are counted; others are dropped (R7)."""
        return max(1, self._floor - VIEWS_RETAINED) <= view <= self.view + 1

    def wants_proposal(self, view: int, block_hash: Hash) -> bool:
        """Whether a proposal of this view would be the first one, of a view not yet over."""
        if not self.base.view < view <= self.view + 1 or self._finished:
            return False
        state = self._views.get(view)
        return state is None or state.proposal is None or block_hash in self._missing

    def knows(self, block_hash: Hash) -> bool:
        """Whether a block above the base may still come to matter; its body is to be kept."""
        return block_hash in self._blocks

    def tip(self) -> Hash:
        """The block that the current view would build on: the highest one agreed on."""
        agreed = self._agreed(self._views.agreed[-1]) if self._views.agreed else None
        return self.base.block_hash if agreed is None else agreed

    @property
    def stirring(self) -> bool:
        """Whether anybody was heard in the current view: then there is reason to end it."""
        return self._views.begun(self.view) or self.proposal_of(self.view) is not None

    def proposal_of(self, view: int) -> Proposal | None:
        """The first proposal seen of a view."""
        state = self._views.get(view)
        return None if state is None else state.proposal

    def entry(self) -> Sequence[Certificate]:
        """What shows a peer why I am in my view: the best finalization, and the last views'."""
        return self.held(min(self.base.view, self.view - 1), self.view - 1)

    def held(self, first_view: int, last_view: int) -> list[Certificate]:
        """The certificates of these views, of more than 64 the last ones.

        What is final needs no other proof: the best finalization comes first.
        """
        found: list[Certificate] = []
        for view in self._views:
            if first_view <= view <= last_view:
                found += self._views[view].certificates()
        if self._best is None or self._best.ballot.view < first_view:
            return found[-_RESENT_MAX:]
        found = [certificate for certificate in found if certificate != self._best]
        return [self._best, *found[1 - _RESENT_MAX :]]

    def holds(self, ballot: Ballot) -> bool:
        """Whether a certificate of this kind is held for the view, so that another is no news."""
        if ballot.epoch != self.epoch.number:
            return ballot.epoch < self.epoch.number
        if ballot.view <= self.base.view:
            return True
        state = self._views.get(ballot.view)
        if state is None:
            return False
        return any(held.ballot.kind is ballot.kind for held in state.certificates())

    def missing(self) -> Mapping[Address, int]:
        """Members that were not heard in the last views, with the last view they were heard in."""
        members = (member.address for member in self.epoch.validators.validators)
        heard = {member: self.heard.get(member, 0) for member in members}
        return {member: view for member, view in heard.items() if view < max(1, self.view - 2)}

    # -- the state ---------------------------------------------------------------------------------

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _is_open(self, ballot: Ballot) -> bool:
        return ballot.epoch == self.epoch.number and ballot.view > self.base.view

    def _ends(self, base: Base) -> bool:
        last = self.epoch.last_height
        return last is not None and base.height >= last

    def _remember(self, vote: Vote) -> None:
        """A vote that I cast before I was restarted."""
        state = self._views[vote.ballot.view]
        match vote.ballot.kind:
            case VoteKind.NOTARIZE:
                state.notarized = vote.ballot.block_hash
            case VoteKind.NULLIFY:
                state.nullified = True
            case VoteKind.FINALIZE:
                state.finalized = vote.ballot.block_hash

    def _take_back(self, proposal: Proposal) -> None:
        """A proposal that I voted for before I was restarted."""
        state = self._views[proposal.view]
        if not proposal.again:
            self._blocks.add(proposal)
        if state.notarized == proposal.block_hash:
            state.proposal = proposal

    def _progress(self) -> None:
        """Everything that what is now known allows.

        What is final is delivered first: no vote is cast for what is over.
        """
        self._try_deliver()
        if self._finished:
            return
        self._find_missing()
        for proposal in self._blocks.next_to_check():
            self._effects.append(CheckBody(proposal))
        self._try_propose()
        self._try_notarize(self.view)
        for view in self._views.agreed:
            self._try_finalize(view)

    # -- R0: enter, propose ------------------------------------------------------------------------

    def _enter(self, view: int) -> None:
        if view <= self.view:
            return
        self.view = view
        self._building = False
        self._views.enter(view)
        self._forget_blocks()
        state = self._views[view]
        self._effects.append(EnterView(view, leading=state.leader == self._me))
        if state.leader_gave_up:
            self._nullify(view)  # R4

    def _try_propose(self) -> None:
        view = self.view
        state = self._views[view]
        if (
            self._building
            or state.leader != self._me
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
        lowest = self._views.last_unskipped(view)
        for candidate in reversed(self._views.agreed):
            if candidate < lowest:
                break
            agreed = self._agreed(candidate)
            if candidate < view and agreed is not None and self._blocks.verdict(agreed):
                return candidate, agreed
        if lowest == self.base.view:
            return lowest, self.base.block_hash
        if self._agreed(lowest) is None:
            self._ask(view, lowest)
        return None

    def _ask(self, view: int, last_missing: int) -> None:
        """Ask for the certificates up to the missing one; again only when some came."""
        state = self._views[view]
        if state.asked_to != last_missing:
            state.asked_to = last_missing
            first = self.base.view + 1
            self._effects.append(FetchCertificates(view, first, last_missing))

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
        if proposal.view != self.view:
            return
        self._building = False
        state = self._views[proposal.view]
        if state.proposal is None:
            self._add(proposal)
            self._blocks.judge(proposal.block_hash, True)
            state.proposal = proposal

    # -- R1: notarize ------------------------------------------------------------------------------

    def _see(self, proposal: Proposal) -> None:
        """A proposal of the leader; the first one of its view is the one that counts.

        What will never be notarized is not executed either, unless a certificate names it.
        """
        if not self.base.view < proposal.view <= self.view + 1:
            return
        state = self._views[proposal.view]
        named = proposal.block_hash in self._missing
        if state.proposal is None:
            state.proposal = proposal
        elif state.proposal != proposal and not named:
            return
        if proposal.again or self._behind:
            return
        if named or self._may_be_justified(proposal):
            self._add(proposal)

    def _try_notarize(self, view: int) -> None:
        state = self._views[view]
        proposal = state.proposal
        if self._me is None or proposal is None or state.notarized is not None or state.nullified:
            return
        valid = self._blocks.verdict(proposal.block_hash)
        if valid is False or not self._may_be_justified(proposal):
            self._nullify(view)  # R1: an invalid block is no reason to wait
            return
        if not valid or not self._justified(proposal):
            return
        state.notarized = proposal.block_hash
        self._cast(VoteKind.NOTARIZE, view, proposal.block_hash, proposal.parent_view)
        if state.leader == self._me:
            self._effects.append(Publish(proposal))
        if self._decides_alone:
            # R2 and R3 in the same turn: this vote is the notarization.
            self._finalize(state, view, proposal.block_hash, proposal.parent_view)

    def _may_be_justified(self, proposal: Proposal) -> bool:
        """Whether certificates could come that make this an acceptable proposal.

        Not on a parent below the base, for a final view is never skipped; nor on another
        block than the agreed one. An epoch's last block is followed by nothing but itself,
        and nothing else is proposed again.
        """
        if not self.base.view <= proposal.parent_view < proposal.view:
            return False
        if self._agreed(proposal.parent_view) not in (None, proposal.parent_hash):
            return False
        last = self.epoch.last_height
        if not proposal.again:
            return last is None or proposal.height <= last
        if proposal.block_hash not in self._blocks:
            return proposal.height == last
        return self._height(proposal.block_hash) == last

    def _justified(self, proposal: Proposal) -> bool:
        """The parent is agreed on in its view, and every view between is nullified (R1)."""
        unskipped = self._views.last_unskipped(proposal.view)
        if unskipped > proposal.parent_view:
            self._ask(proposal.view, unskipped)
            return False
        agreed = self._agreed(proposal.parent_view)
        if agreed is None:
            self._ask(proposal.view, proposal.parent_view)
        return agreed == proposal.parent_hash

    # -- R3: finalize ------------------------------------------------------------------------------

    def _try_finalize(self, view: int) -> None:
        state = self._views[view]
        if state.notarization is None or state.finalization is not None:
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
        state = self._views[self.view]
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
        if ballot.epoch == self.epoch.number and self.admits(ballot.view):  # R7
            self._tally(vote)

    def _tally(self, vote: Vote) -> None:
        ballot = vote.ballot
        view = ballot.view
        if self.epoch.validators.index_of(vote.signer) is None:
            return
        self.heard[vote.signer] = max(view, self.heard.get(vote.signer, 0))
        if view > self.base.view:
            state = self._views[view]
            if vote.signer == self._me and vote not in state.own:
                state.own.append(vote)
            if ballot.kind is VoteKind.NULLIFY and vote.signer == state.leader:
                state.leader_gave_up = True
        if view < self._views.counted_from(self.view):
            return
        counted = self._views.count(vote)
        if counted.conflict is not None:
            self._effects.append(Accuse(counted.conflict, vote))
        if counted.certificate is not None:
            self._hold(counted.certificate)
        if view == self.view and self._views[view].leader_gave_up:
            self._nullify(view)  # R4

    def _hold(self, certificate: Certificate) -> None:
        """A certificate that I formed or was sent (R2, R5, R6, R7)."""
        ballot = certificate.ballot
        if ballot.epoch != self.epoch.number:
            return
        if ballot.kind is VoteKind.FINALIZE and not self._agrees(ballot):
            self._effects.append(Stop(f"two blocks are final in view {ballot.view}"))
            return
        if ballot.view <= self.base.view or not self._views.hold(certificate):
            return
        self._unsure = True
        self._effects.append(Broadcast(certificate))
        self._enter(ballot.view + 1)

    def _agrees(self, finalized: Ballot) -> bool:
        """Whether no other block is known to be final in this view."""
        if finalized.view == self.base.view:
            return finalized.block_hash == self.base.block_hash
        state = self._views.get(finalized.view)
        known = None if state is None else state.finalization
        return known is None or known.ballot.block_hash == finalized.block_hash

    # -- blocks ------------------------------------------------------------------------------------

    def _add(self, proposal: Proposal) -> None:
        self._blocks.add(proposal)
        self._missing.pop(proposal.block_hash, None)
        self._unsure = True

    def _find_missing(self) -> None:
        """Ask for blocks that certificates name, and for their ancestors (R1, R3, R6).

        Where the gap is between the base and a final block, and wide, sync closes it.
        """
        if not self._unsure:
            return
        self._unsure = False
        self._behind = False
        asked, self._missing = self._missing, {}
        final_to = 0  # whatever the best finalization stands on is final too
        for view in reversed(self._views.agreed):
            state = self._views[view]
            certificate = state.agreed()
            assert certificate is not None
            if state.finalization is not None:
                final_to = max(view, final_to)
            chain, gap = self._blocks.chain_to(certificate.ballot.block_hash)
            if gap is None:
                continue
            lowest = chain[0].view if chain else view
            distance = chain[0].height - self.base.height if chain else 2
            if lowest <= final_to and distance > _FETCHED_DEPTH_MAX:
                self._behind = True
            elif distance > 1:
                self._missing[gap] = lowest
        if self._behind:
            self._missing.clear()
        for block_hash, view in self._missing.items():
            if block_hash not in asked:
                self._effects.append(FetchBlock(view, block_hash))

    def _forget_blocks(self) -> None:
        """Of many blocks, keep those of the last views, and what is agreed on."""
        if len(self._blocks) <= _BLOCKS_MAX:
            return
        kept: set[Hash] = set()
        for view in self._views.agreed:
            agreed = self._agreed(view)
            if agreed is not None:
                kept.update(proposal.block_hash for proposal in self._blocks.chain_to(agreed)[0])
        self._blocks.forget(self.view - VIEWS_RETAINED, kept)

    # -- R6: deliver -------------------------------------------------------------------------------

    def _try_deliver(self) -> None:
        """Hand on every block that is final and known, in order of height."""
        for view in list(self._views.agreed):
            certificate = self._views[view].finalization
            if certificate is None or view <= self.base.view:
                continue
            if not self._deliver(certificate):
                return

    def _deliver(self, certificate: Certificate) -> bool:
        """Deliver up to the block that this certificate makes final; False: it must wait."""
        chain, missing = self._blocks.chain_to(certificate.ballot.block_hash)
        gap = chain[0].height - self.base.height if chain else 1
        if gap < 1 or (gap == 1 and chain and missing is not None):
            self._effects.append(Stop(f"a block beside height {self.base.height} is final"))
            return False
        if missing is not None:
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
            self._rebase(Base(view, proposal.block_hash, proposal.height))
        self._best = certificate
        return True

    def _rebase(self, base: Base) -> None:
        self._blocks.rebase(base)
        self._views.rebase(base.view)
        self._unsure = True
        self._finished = self._ends(base)

    def _synced(self, base: Base, certificate: Certificate) -> None:
        """The ledger has moved on without this core."""
        if base.height <= self.base.height:
            return
        self._rebase(base)
        self._best = certificate
        if not self._finished:
            self._enter(base.view + 1)
        self._prune(base.view)

    def _prune(self, view: int) -> None:
        """Forget what is below the floor, now that the floor is on disk (R6).

        A view beyond the base is one of the epoch before.
        """
        self._floor = max(self._floor, min(view, self.base.view))
        self._views.prune(self._floor)

    # -- R8: standstill ----------------------------------------------------------------------------

    def _resend(self) -> None:
        """The best finalization, what let me enter my view, and my votes since."""
        votes = [vote for view in self._views for vote in self._views[view].own]
        votes = [vote for vote in votes if vote.ballot.view > self.base.view]
        certificates = [self._best] if self._best is not None else []
        if self.view - 1 > self.base.view:
            certificates += self._views[self.view - 1].certificates()
        self._effects.append(Resend(tuple(certificates), tuple(votes[-_RESENT_MAX:])))
        self._views[self.view].asked_to = 0  # what was asked for is asked again
        self._effects += [FetchBlock(view, gap) for gap, view in self._missing.items()]
