"""What peers send to consensus: verified here, before the core hears of it.

A vote or certificate costs a signature check, so that the cheap questions come first: is
it of this epoch, of a view that counts, by a member, and not known yet. What honest
nodes never send is held against the peer.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from chain.errors import Rejected
from chain.evidence import check_evidence, evidence_of
from chain.types import Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    ValidatorSet,
    Vote,
    VoteKind,
    check_certificate,
    decode_certificate,
    encode_certificate,
    record_hash,
    verify_vote,
)
from node.consensus.candidates import proposal_of
from node.consensus.core import Core
from node.consensus.driver import Driver
from node.consensus.messages import (
    BlockReceived,
    CertificateReceived,
    Event,
    Proposal,
    ProposalReceived,
    VoteReceived,
)
from node.consensus.outbox import ProposedBlock
from node.consensus.pacing import AHEAD_MAX_MS
from node.net.messages import Status
from node.net.network import Offence, PeerId

_VERIFIED_MAX: Final = 16_384  # votes whose signature was found good, and is not checked again
_VIEWS_AHEAD_MAX: Final = 1024  # of a vote; more is no honest peer's, however late I am
_EVIDENCE_MAX: Final = 1024  # offenders and views that were reported, and are not again
_DELAY_MAX_MS: Final = 10_000  # a block from further in the future is not waited for
_EARLY_MAX: Final = 4096  # votes and certificates of the next epoch
_EARLY_VIEWS: Final = 16  # of the next epoch, before it has begun here
_EARLY_BODIES_MAX: Final = 16  # first proposals of the next epoch; which one counts is not known

_log: Final = logging.getLogger("consensus")
Blame = Callable[[PeerId, Offence, str], None]


class Admission:
    """The driver's side towards gossip (`node.consensus.outbox.Inbox`)."""

    def __init__(self, driver: Driver, blame: Blame) -> None:
        self._driver = driver
        self._blame = blame
        self._verified: OrderedDict[Vote, None] = OrderedDict()
        self._taken: OrderedDict[tuple[Ballot, Address], None] = OrderedDict()  # the core had them
        self._delayed: set[tuple[int, int, Address]] = set()  # where a block is too early
        self._early: set[tuple[object, ...]] = set()  # what waits for the next epoch
        self._early_proposers: set[Address] = set()
        self._taken_by = driver.core
        self._reported: OrderedDict[tuple[Address, int, int], None] = OrderedDict()

    @property
    def _core(self) -> Core:
        return self._driver.core

    # -- proposals and blocks ----------------------------------------------------------------------

    def wants_proposal(self, vote: Vote) -> bool:
        """Whether a proposal with this vote is worth rebuilding; its signature is good then."""
        self._look()
        ballot, core = vote.ballot, self._core
        if ballot.kind is not VoteKind.NOTARIZE or _place(vote) in self._delayed:
            return False
        if ballot.epoch == core.epoch.number + 1:
            members = self._driver.epochs.set_of(ballot.epoch)
            return (
                ballot.view == 1
                and members is not None
                and members.index_of(vote.signer) is not None
                and vote.signer not in self._early_proposers
                and len(self._early_proposers) < _EARLY_BODIES_MAX
                and self._verify(vote)
            )
        return (
            ballot.epoch == core.epoch.number
            and core.wants_proposal(ballot.view, ballot.block_hash)
            and core.leader(ballot.view) == vote.signer
            and self._verify(vote)
        )

    async def proposal_arrived(
        self, peer: PeerId, vote: Vote, proposed: ProposedBlock | None
    ) -> None:
        if not self.wants_proposal(vote) or self._is_lost(vote):
            return
        ballot = vote.ballot
        if proposed is None:
            height = self._core.epoch.last_height
            if height is None or ballot.epoch != self._core.epoch.number:
                return
            again = Proposal(
                ballot.view, ballot.block_hash, ballot.parent_view, ballot.block_hash, height
            )
            self._had(vote)
            self._take(ballot.epoch, [ProposalReceived(again), VoteReceived(vote)])
            self._driver.outbox.relay_proposal(vote, None, peer)
            return
        wrong = _mismatch(ballot, proposed)
        if wrong:
            self._blame(peer, Offence.BAD_BLOCK, wrong)
            return
        self._driver.outbox.relay_proposal(vote, proposed, peer)
        ahead = proposed.record.timestamp_ms - AHEAD_MAX_MS - self._driver.now_ms()
        if ahead <= 0:
            self._take_proposal(vote, proposed)
        elif ahead <= _DELAY_MAX_MS:
            # From the future it is not invalid, only early: it waits, and the timers run.
            self._delayed.add(_place(vote))
            loop = asyncio.get_running_loop()
            loop.call_later(ahead / 1000, self._take_delayed, vote, proposed)

    def _take_delayed(self, vote: Vote, proposed: ProposedBlock) -> None:
        self._delayed.discard(_place(vote))
        self._take_proposal(vote, proposed)

    def _take_proposal(self, vote: Vote, proposed: ProposedBlock) -> None:
        ballot = vote.ballot
        if ballot.epoch > self._core.epoch.number:
            self._early_proposers.add(vote.signer)
        self._had(vote)
        self._take(
            ballot.epoch,
            [ProposalReceived(proposal_of(proposed.record, proposed.hash)), VoteReceived(vote)],
            proposed,
        )

    async def block_arrived(self, peer: PeerId, proposed: ProposedBlock) -> None:
        if proposed.record.epoch != self._core.epoch.number:
            return
        if proposed.block.header.parent_beacon_root != record_hash(proposed.record):
            self._blame(peer, Offence.BAD_BLOCK, "the header names another record")
            return
        height, ledger = proposed.record.height, self._driver.ledger
        if height > ledger.height:
            self._driver.feed(
                [BlockReceived(proposal_of(proposed.record, proposed.hash))], proposed
            )
        elif ledger.height_of(proposed.hash) is not None:  # sync was faster than the core
            self._driver.feed([BlockReceived(proposal_of(proposed.record, proposed.hash))])

    def held_block(self, block_hash: Hash) -> ProposedBlock | None:
        """A block that is not final yet and was proposed or fetched."""
        return self._driver.candidates.proposed(block_hash)

    # -- votes -------------------------------------------------------------------------------------

    async def votes_arrived(self, peer: PeerId, votes: Sequence[Vote]) -> None:
        self._look()
        core = self._core
        current = core.epoch.number
        good: list[Vote] = []
        for vote in votes:
            ballot = vote.ballot
            if ballot.epoch not in (current, current + 1):
                continue  # one of us is behind; sync will tell
            members = self._driver.epochs.set_of(ballot.epoch)
            if members is None:
                continue
            if ballot.epoch == current and not core.admits(ballot.view):  # R7
                if ballot.view > core.view + _VIEWS_AHEAD_MAX:
                    self._blame(peer, Offence.OUT_OF_RANGE, f"a vote for view {ballot.view}")
                continue  # late, or I am: links that healed bring both, and it is no offence
            if (ballot, vote.signer) in self._taken:
                continue
            early = (vote.signer, ballot.kind, ballot.view)
            if ballot.epoch > current and (
                ballot.view > _EARLY_VIEWS or early in self._early or len(self._early) >= _EARLY_MAX
            ):
                continue
            if members.index_of(vote.signer) is None or not self._verify(vote):
                self._blame(peer, Offence.BAD_SIGNATURE, "a vote that no member signed")
                return
            if self._is_lost(vote):
                return
            good.append(vote)
            self._had(vote)
            if ballot.epoch > current:
                self._early.add(early)
            self._take(ballot.epoch, [VoteReceived(vote)])
        if good:
            self._driver.outbox.relay_votes(good, peer)

    def _verify(self, vote: Vote) -> bool:
        """Whether the signature is good; a good one is checked once."""
        if vote in self._verified:
            return True
        if not verify_vote(vote, self._driver.domain):
            return False
        self._verified[vote] = None
        if len(self._verified) > _VERIFIED_MAX:
            self._verified.popitem(last=False)
        return True

    def _had(self, vote: Vote) -> None:
        """The core gets this vote: the same one again is no news."""
        self._taken[vote.ballot, vote.signer] = None
        if len(self._taken) > _VERIFIED_MAX:
            self._taken.popitem(last=False)

    def _is_lost(self, vote: Vote) -> bool:
        """Whether this node's own key signed a vote that its log does not know (V5)."""
        if not self._driver.voter.is_unknown_own(vote):
            return False
        self._driver.lose_votes(vote)
        return True

    def _look(self) -> None:
        """A new core has none of the votes that the one before it had."""
        core = self._core
        if core is self._taken_by:
            return
        if core.epoch.number != self._taken_by.epoch.number:
            self._early.clear()
            self._early_proposers.clear()
        self._taken_by = core
        self._taken.clear()

    # -- certificates ------------------------------------------------------------------------------

    async def certificates_arrived(self, peer: PeerId, certificates: Sequence[Certificate]) -> None:
        self._look()
        current = self._core.epoch.number
        for certificate in certificates:
            ballot = certificate.ballot
            if ballot.epoch not in (current, current + 1):
                continue
            if ballot.epoch == current and self._core.holds(ballot):
                continue
            early = (ballot.kind, ballot.view)
            if ballot.epoch > current and (early in self._early or len(self._early) >= _EARLY_MAX):
                continue
            members = self._driver.epochs.set_of(ballot.epoch)
            if members is None:
                continue
            if not self._certified(peer, certificate, members):
                return
            if ballot.epoch > current:
                self._early.add(early)
            self._take(ballot.epoch, [CertificateReceived(certificate)])

    def _certified(self, peer: PeerId, certificate: Certificate, members: ValidatorSet) -> bool:
        try:
            check_certificate(certificate, members, self._driver.domain)
        except Rejected as rejected:
            self._blame(peer, Offence.BAD_SIGNATURE, str(rejected))
            return False
        return True

    def entry_certificates(self) -> Sequence[Certificate]:
        """What a peer that connects needs to enter my view."""
        return self._core.entry()

    def held_certificates(self, epoch: int, first_view: int, last_view: int) -> list[Certificate]:
        """The certificates of these views that are still held."""
        if epoch == self._core.epoch.number:
            return self._core.held(first_view, last_view)
        best = self._driver.finalization()
        return [best] if best is not None and best.ballot.epoch == epoch else []

    # -- evidence ----------------------------------------------------------------------------------

    async def evidence_arrived(self, peer: PeerId, first: Vote, second: Vote) -> None:
        ballot = first.ballot
        key = (first.signer, ballot.epoch, ballot.view)
        members = self._driver.epochs.set_of(ballot.epoch)
        if key in self._reported or members is None:
            return
        try:
            check_evidence(evidence_of(first, second), self._driver.domain, members)
        except Rejected as rejected:
            self._blame(peer, Offence.BAD_SIGNATURE, str(rejected))
            return
        self._reported[key] = None
        if len(self._reported) > _EVIDENCE_MAX:
            self._reported.popitem(last=False)
        self._driver.outbox.accuse(first, second)
        self._driver.report(first, second)

    # -- status ------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Where this node is, without the validators it hears."""
        driver = self._driver
        finalization = driver.finalization()
        return Status(
            epoch=self._core.epoch.number,
            view=self._core.view,
            height=driver.ledger.height,
            block_hash=driver.ledger.head_hash,
            finalization=b"" if finalization is None else encode_certificate(finalization),
            hears=b"",
        )

    def proved(self, peer: PeerId, status: Status) -> bool:
        """Whether a peer's claim to its height can be believed enough to ask it for blocks.

        A certificate of an epoch whose validators this node does not know yet can't be
        checked: sync will, on its way there.
        """
        if status.height == 0:
            return True
        if not status.finalization:
            return False  # its head is final by the next block, which it is about to commit
        try:
            certificate = decode_certificate(status.finalization)
        except Rejected as rejected:
            self._blame(peer, Offence.FALSE_HEIGHT, str(rejected))
            return False
        ballot = certificate.ballot
        if ballot.kind is not VoteKind.FINALIZE or ballot.block_hash != status.block_hash:
            self._blame(peer, Offence.FALSE_HEIGHT, "the certificate is of another block")
            return False
        members = self._driver.epochs.set_of(ballot.epoch)
        if members is None or status.height <= self._driver.ledger.height:
            return True  # in the second case nobody will ask it for anything
        if any(held.ballot == ballot for held in self._core.held(ballot.view, ballot.view)):
            return True
        if not self._certified(peer, certificate, members):
            return False
        if ballot.epoch == self._core.epoch.number:
            self._take(ballot.epoch, [CertificateReceived(certificate)])
        return True

    def _take(self, epoch: int, events: Sequence[Event], body: ProposedBlock | None = None) -> None:
        """Hand on what is verified, now or when its epoch begins."""
        current = self._core.epoch.number
        if epoch == current:
            self._driver.feed(events, body)
        elif epoch == current + 1:
            self._driver.feed_later(epoch, events, body)


def _place(vote: Vote) -> tuple[int, int, Address]:
    """Where one proposal is looked at."""
    return vote.ballot.epoch, vote.ballot.view, vote.signer


def _mismatch(ballot: Ballot, proposed: ProposedBlock) -> str:
    """How a block contradicts the leader's vote for it; empty when it does not."""
    record = proposed.record
    if proposed.hash != ballot.block_hash:
        return "the vote is for another block"
    if proposed.block.header.parent_beacon_root != record_hash(record):
        return "the header names another record"
    if (record.epoch, record.view, record.parent_view) != (
        ballot.epoch,
        ballot.view,
        ballot.parent_view,
    ):
        return "the vote is for another view"
    return ""
