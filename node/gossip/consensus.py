"""Between consensus and the network: what `Outbox` promises, and what `Inbox` is told."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from msgspec.structs import replace

from chain.errors import Rejected
from chain.types import Address, Hash
from chain.validators import Certificate, Vote, decode_vote
from node.consensus.outbox import Inbox, ProposedBlock
from node.gossip.blocks import BlockGossip, FinalBlock
from node.gossip.errands import Errands
from node.gossip.hearing import Hearing, Members
from node.gossip.hedging import first_of
from node.gossip.requests import Requests
from node.gossip.transactions import TransactionGossip
from node.gossip.votes import VoteGossip
from node.net.messages import (
    Certificates,
    Evidence,
    GetBlock,
    GetBlockTransactions,
    GetCertificates,
    Message,
    Proposal,
    Status,
    Votes,
)
from node.net.network import Network, Offence, Peer, PeerId

STATUS_PAUSE_S: Final = 0.5  # at least, between two of my statuses
STATUS_PEERS: Final = 16  # more of them are told of heights less often, up to
STATUS_PAUSE_MAX_S: Final = 3.0
STATUS_PERIOD_S: Final = 10.0  # at most: a sign of life
FETCHES_MAX: Final = 8  # of certificates
VIEWS_PER_QUESTION_MAX: Final = 64  # as many certificates fit an answer
FETCH_PEERS_MAX: Final = 8
FETCH_TIMEOUT_S: Final = 2.0
NEXT_PEER_AFTER_S: Final = 0.3


class ConsensusGossip:
    """Implements `node.consensus.outbox.Outbox`. Of the event loop's thread only."""

    def __init__(
        self,
        network: Network,
        requests: Requests,
        transactions: TransactionGossip,
        errands: Errands,
        *,
        members: Members,
        final_block: Callable[[Hash], FinalBlock | None],
        random: Random,
    ) -> None:
        """`members` gives an epoch's validators, `final_block` a block of the ledger by its
        hash. `random` must be one that nobody can guess.
        """
        self._network = network
        self._requests = requests
        self._transactions = transactions
        self._errands = errands
        self._hearing = Hearing(network, members)
        self._votes = VoteGossip(network, self._hearing, random)
        self._blocks = BlockGossip(
            network, requests, self._hearing, transactions, errands, final_block, random
        )
        self._inbox: Inbox | None = None
        self._fetching: set[tuple[int, int, int]] = set()
        self._status_timer: asyncio.TimerHandle | None = None
        self._told: float | None = None  # when the last status was sent to all

    def start(self, inbox: Inbox) -> None:
        """From now on messages are handed to `inbox`; those of before were dropped."""
        self._inbox = inbox
        for peer in self._network.peers():
            self._greet(peer.id, inbox)
        self._told = self._now()
        self.status_changed()

    def stop(self) -> None:
        """Send nothing more by itself."""
        self._inbox = None
        self._votes.stop()
        if self._status_timer is not None:
            self._status_timer.cancel()
            self._status_timer = None

    # -- peers -------------------------------------------------------------------------------------

    def connected(self, peer: Peer) -> None:
        self._hearing.connected(peer.id, peer.validator)
        self._votes.connected(peer.id)
        self._blocks.connected(peer.id)
        if self._inbox is not None:
            self._greet(peer.id, self._inbox)
            self._tell_status_within(STATUS_PAUSE_S)  # whom I hear decides what is passed on

    def disconnected(self, peer: PeerId) -> None:
        self._hearing.disconnected(peer)
        self._votes.disconnected(peer)
        self._blocks.disconnected(peer)
        self._tell_status_within(STATUS_PAUSE_S)

    def _greet(self, peer: PeerId, inbox: Inbox) -> None:
        """Where I am, and what leads there."""
        self._network.send(peer, self._status(inbox))
        self._votes.give_certificates(peer, inbox.entry_certificates(), 0)
        self._votes.greet(peer)

    def peer_status(self, peer: PeerId) -> Status | None:
        """The peer's latest proved status."""
        return self._hearing.status(peer)

    def linked(self, peer: PeerId, other: PeerId) -> bool:
        """Whether two peers are known to have a link to each other."""
        return self._hearing.linked(peer, other)

    # -- the outbox --------------------------------------------------------------------------------

    def publish(self, vote: Vote, proposed: ProposedBlock | None) -> None:
        self._votes.flush_certificates(vote.ballot.epoch, vote.ballot.view)
        self._blocks.publish(vote, proposed)

    def votes(self, votes: Sequence[Vote]) -> None:
        self._votes.send_votes(votes)

    def certificate(self, certificate: Certificate) -> None:
        self._votes.send_certificate(certificate)

    def resend(self, certificates: Sequence[Certificate], votes: Sequence[Vote]) -> None:
        self._votes.resend(certificates, votes)

    def relay_votes(self, votes: Sequence[Vote], source: PeerId) -> None:
        self._votes.relay_votes(votes, source)

    def relay_proposal(self, vote: Vote, proposed: ProposedBlock | None, source: PeerId) -> None:
        self._blocks.relay(vote, proposed, source)
        self._votes.show_leaders_vote(vote, source)

    def fetch_block(self, block_hash: Hash, signers: Sequence[Address]) -> None:
        if self._inbox is not None:
            self._blocks.fetch(block_hash, signers, self._inbox)

    def fetch_certificates(
        self, epoch: int, first_view: int, last_view: int, leader: Address
    ) -> None:
        wanted = (epoch, first_view, last_view)
        if self._inbox is None or wanted in self._fetching or len(self._fetching) >= FETCHES_MAX:
            return
        self._fetching.add(wanted)
        if not self._errands.start(self._fetch(wanted, leader, self._inbox)):
            self._fetching.discard(wanted)

    def accuse(self, first: Vote, second: Vote) -> None:
        self._votes.accuse(first, second)

    def status_changed(self) -> None:
        """Every peer tells every other, so that where they are many each tells it less often."""
        crowd = max(1.0, len(self._network.peers()) / STATUS_PEERS)
        self._tell_status_within(min(STATUS_PAUSE_S * crowd, STATUS_PAUSE_MAX_S))

    def _tell_status_within(self, pause: float) -> None:
        if self._inbox is None:
            return
        now = self._now()
        self._tell_status_at(now if self._told is None else max(now, self._told + pause))

    # -- status ------------------------------------------------------------------------------------

    def _status(self, inbox: Inbox) -> Status:
        status = inbox.status()
        return replace(status, hears=self._hearing.mine(status.epoch))

    def _tell_status_at(self, due: float) -> None:
        if self._status_timer is not None:
            if self._status_timer.when() <= due:
                return
            self._status_timer.cancel()
        loop = asyncio.get_running_loop()
        self._status_timer = loop.call_at(due, self._tell_status)

    def _tell_status(self) -> None:
        self._status_timer = None
        if self._inbox is None:
            return
        status = self._status(self._inbox)
        for peer in self._network.peers():
            self._network.send(peer.id, status)
        self._told = self._now()
        self._tell_status_at(self._told + STATUS_PERIOD_S)

    def status_received(self, peer: PeerId, status: Status) -> bool:
        """Whether the peer's claim to its height is proved; then it is remembered."""
        if self._inbox is None or not self._votes.within(peer, "statuses", 1):
            return False
        self._hearing.note_hears(peer, status)
        if not self._inbox.proved(peer, status):
            return False
        self._hearing.note(peer, status)
        return True

    # -- certificates by view ----------------------------------------------------------------------

    async def _fetch(self, wanted: tuple[int, int, int], leader: Address, inbox: Inbox) -> None:
        """Ask, the leader first, one more peer every while, until every view is answered for."""
        epoch, first_view, last_view = wanted
        last_view = min(last_view, first_view + VIEWS_PER_QUESTION_MAX - 1)
        missing = set(range(first_view, last_view + 1))

        async def ask(peer: PeerId) -> bool | None:
            answer = await self._requests.ask(
                peer,
                lambda request: GetCertificates(request, epoch, first_view, last_view),
                timeout=FETCH_TIMEOUT_S,
            )
            if not isinstance(answer, Certificates):
                return None
            certificates = [
                certificate
                for certificate in self._votes.certificates_received(peer, answer)
                if certificate.ballot.epoch == epoch
            ]
            if certificates:
                await inbox.certificates_arrived(peer, certificates)
            missing.difference_update(certificate.ballot.view for certificate in certificates)
            return None if missing else True

        peers = sorted(self._network.peers(), key=lambda peer: peer.validator != leader)
        try:
            await first_of([peer.id for peer in peers[:FETCH_PEERS_MAX]], ask, NEXT_PEER_AFTER_S)
        finally:
            self._fetching.discard(wanted)

    # -- in ----------------------------------------------------------------------------------------

    async def received(self, peer: PeerId, message: Message) -> None:
        """A message of consensus or a question about blocks; any other is none of these."""
        inbox = self._inbox
        if inbox is None:
            return
        match message:
            case Proposal():
                await self._proposal(peer, message, inbox)
            case Votes():
                votes = self._votes.votes_received(peer, message)
                if votes:
                    await inbox.votes_arrived(peer, votes)
            case Certificates():
                certificates = self._votes.certificates_received(peer, message)
                if certificates:
                    await inbox.certificates_arrived(peer, certificates)
            case Evidence():
                pair = self._votes.evidence_received(peer, message)
                if pair is not None:
                    await inbox.evidence_arrived(peer, *pair)
            case GetCertificates():
                self._certificates_asked(peer, message, inbox)
            case GetBlock():
                self._blocks.block_asked(peer, message, inbox)
            case GetBlockTransactions():
                self._blocks.transactions_asked(peer, message, inbox)
            case _:
                raise AssertionError(f"{type(message).__name__} is not for consensus")

    async def _proposal(self, peer: PeerId, message: Proposal, inbox: Inbox) -> None:
        try:
            vote = decode_vote(message.vote)
        except Rejected as rejected:
            self._network.blame(peer, Offence.MALFORMED, f"a proposal: {rejected}")
            return
        if not self._votes.within(peer, "votes", 1):
            return
        if not inbox.wants_proposal(vote):
            # A vote all the same: a leader's second one is evidence, a forged one an offence,
            # for whoever passes a proposal on has verified it.
            if self._votes.is_news(vote):
                await inbox.votes_arrived(peer, [vote])
            return
        if message.block is None:
            await inbox.proposal_arrived(peer, vote, None)
        else:
            await self._blocks.proposal_received(peer, vote, message.block, inbox)

    def _certificates_asked(self, peer: PeerId, message: GetCertificates, inbox: Inbox) -> None:
        held: Sequence[Certificate] = ()
        if message.first_view > message.last_view:
            self._network.blame(peer, Offence.MALFORMED, "asks for views backwards")
            return
        if self._votes.within(peer, "questions", 1):
            held = inbox.held_certificates(message.epoch, message.first_view, message.last_view)
        self._votes.give_certificates(peer, held, message.request)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
