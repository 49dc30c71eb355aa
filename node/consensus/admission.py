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
from node.consensus.core import Core
from node.consensus.driver import Driver, proposal_of
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

_log: Final = logging.getLogger("consensus")
Blame = Callable[[PeerId, Offence, str], None]


class Admission:
    """The driver's side towards gossip (`node.consensus.outbox.Inbox`)."""

    def __init__(self, driver: Driver, blame: Blame) -> None:
        self._driver = driver
        self._blame = blame
        self._verified: OrderedDict[tuple[Ballot, Address], None] = OrderedDict()
        self._reported: OrderedDict[tuple[Address, int, int], None] = OrderedDict()

    @property
    def _core(self) -> Core:
        return self._driver.core

    # -- proposals and blocks ----------------------------------------------------------------------

    def wants_proposal(self, vote: Vote) -> bool:
        """Whether a proposal with this vote is worth rebuilding; its signature is good then."""
        ballot, core = vote.ballot, self._core
        if ballot.kind is not VoteKind.NOTARIZE:
            return False
        if ballot.epoch == core.epoch.number + 1:
            members = self._driver.epochs.set_of(ballot.epoch)
            early = members is not None and members.index_of(vote.signer) is not None
            return early and ballot.view == 1 and self._verify(vote)
        return (
            ballot.epoch == core.epoch.number
            and core.wants_proposal(ballot.view, ballot.block_hash)
            and core.leader(ballot.view) == vote.signer
            and self._verify(vote)
        )

    async def proposal_arrived(
        self, peer: PeerId, vote: Vote, proposed: ProposedBlock | None
    ) -> None:
        if not self.wants_proposal(vote):
            return
        ballot = vote.ballot
        if proposed is None:
            height = self._core.epoch.last_height
            if height is None or ballot.epoch != self._core.epoch.number:
                return
            again = Proposal(
                ballot.view, ballot.block_hash, ballot.parent_view, ballot.block_hash, height
            )
            self._take(ballot.epoch, [ProposalReceived(again), VoteReceived(vote)])
            self._driver.outbox.relay_proposal(vote, None, peer)
            return
        wrong = _mismatch(ballot, proposed)
        if wrong:
            self._blame(peer, Offence.BAD_BLOCK, wrong)
            return
        self._driver.outbox.relay_proposal(vote, proposed, peer)
        self._driver.candidates.propose(proposed)
        events: list[Event] = [ProposalReceived(proposal_of(proposed)), VoteReceived(vote)]
        ahead = proposed.record.timestamp_ms - AHEAD_MAX_MS - self._driver.now_ms()
        if ahead <= 0:
            self._take(ballot.epoch, events)
        elif ahead <= _DELAY_MAX_MS:
            # From the future it is not invalid, only early: it waits, and the timers run.
            loop = asyncio.get_running_loop()
            loop.call_later(ahead / 1000, self._take, ballot.epoch, events)

    async def block_arrived(self, peer: PeerId, proposed: ProposedBlock) -> None:
        if proposed.record.epoch != self._core.epoch.number:
            return
        if proposed.block.header.parent_beacon_root != record_hash(proposed.record):
            self._blame(peer, Offence.BAD_BLOCK, "the header names another record")
            return
        if proposed.record.height > self._driver.ledger.height:
            self._driver.candidates.propose(proposed)
            self._driver.feed([BlockReceived(proposal_of(proposed))])

    def held_block(self, block_hash: Hash) -> ProposedBlock | None:
        """A block that is not final yet and was proposed or fetched."""
        return self._driver.candidates.proposed(block_hash)

    # -- votes -------------------------------------------------------------------------------------

    async def votes_arrived(self, peer: PeerId, votes: Sequence[Vote]) -> None:
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
            if (ballot, vote.signer) in self._verified:
                continue
            if members.index_of(vote.signer) is None or not self._verify(vote):
                self._blame(peer, Offence.BAD_SIGNATURE, "a vote that no member signed")
                return
            if self._driver.is_unknown_own(vote):
                self._driver.lose_votes(vote)
                return
            good.append(vote)
            self._take(ballot.epoch, [VoteReceived(vote)])
        if good:
            self._driver.outbox.relay_votes(good, peer)

    def _verify(self, vote: Vote) -> bool:
        """Whether the signature is good; a good one is checked once."""
        key = (vote.ballot, vote.signer)
        if key in self._verified:
            return True
        if not verify_vote(vote, self._driver.domain):
            return False
        self._verified[key] = None
        if len(self._verified) > _VERIFIED_MAX:
            self._verified.popitem(last=False)
        return True

    # -- certificates ------------------------------------------------------------------------------

    async def certificates_arrived(self, peer: PeerId, certificates: Sequence[Certificate]) -> None:
        current = self._core.epoch.number
        for certificate in certificates:
            ballot = certificate.ballot
            if ballot.epoch not in (current, current + 1):
                continue
            if ballot.epoch == current and self._core.holds(ballot):
                continue
            members = self._driver.epochs.set_of(ballot.epoch)
            if members is None:
                continue
            if not self._certified(peer, certificate, members):
                return
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
        if members is None:
            return True
        if ballot.epoch == self._core.epoch.number and self._core.holds(ballot):
            return True
        if not self._certified(peer, certificate, members):
            return False
        if ballot.epoch == self._core.epoch.number:
            self._take(ballot.epoch, [CertificateReceived(certificate)])
        return True

    def _take(self, epoch: int, events: Sequence[Event]) -> None:
        """Hand on what is verified, now or when its epoch begins."""
        current = self._core.epoch.number
        if epoch == current:
            self._driver.feed(events)
        elif epoch == current + 1:
            for event in events:
                self._driver.feed_later(epoch, event)


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
