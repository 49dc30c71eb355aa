"""All of gossip, with a plain pool, driver and sync around it; networks of such nodes."""

from collections.abc import Sequence
from random import Random

from chain.types import ZERO_HASH, Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Vote,
    verify_vote,
)
from node.consensus.outbox import ProposedBlock
from node.gossip.blocks import FinalBlock
from node.gossip.checking import Outcome
from node.gossip.consensus import ConsensusGossip
from node.gossip.dispatch import Dispatch
from node.gossip.errands import Errands
from node.gossip.requests import Requests
from node.gossip.transactions import TransactionGossip
from node.net.messages import (
    GetBodies,
    GetHeaders,
    Message,
    Status,
)
from node.net.network import Offence, PeerId
from tests.node.gossip.plain_blocks import ADDRESSES, DOMAIN
from tests.node.gossip.plain_pool import PlainPool
from tests.support.network import Hub

MEMBERS = ADDRESSES[:12]


class PlainDriver:
    """An inbox that verifies signatures, remembers everything, and relays what is new."""

    def __init__(self, node: "PlainNode") -> None:
        self.node = node
        self.votes: dict[tuple[Ballot, Address], Vote] = {}
        self.certificates: dict[Ballot, Certificate] = {}
        self.proposals: dict[Ballot, ProposedBlock | None] = {}
        self.blocks: dict[Hash, ProposedBlock] = {}
        self.evidence: list[tuple[Vote, Vote]] = []
        self.statuses: list[tuple[PeerId, Status]] = []
        self.entry: list[Certificate] = []
        self.verified = 0
        self.order: list[str] = []
        self.view = 1
        self.false_claims: set[PeerId] = set()

    async def proposal_arrived(
        self, peer: PeerId, vote: Vote, proposed: ProposedBlock | None
    ) -> None:
        self.order.append("proposal")
        if vote.ballot in self.proposals:
            return
        self.proposals[vote.ballot] = proposed
        if proposed is not None:
            self.blocks[proposed.hash] = proposed
        self.node.gossip.relay_proposal(vote, proposed, peer)

    async def votes_arrived(self, peer: PeerId, votes: Sequence[Vote]) -> None:
        good = []
        for each in votes:
            self.verified += 1
            if verify_vote(each, DOMAIN):
                self.votes[each.ballot, each.signer] = each
                good.append(each)
            else:
                self.node.end.blame(peer, Offence.BAD_SIGNATURE)
        self.node.gossip.relay_votes(good, peer)

    async def certificates_arrived(self, peer: PeerId, certificates: Sequence[Certificate]) -> None:
        for each in certificates:
            self.order.append("certificate")
            self.verified += 1
            if each.ballot not in self.certificates:
                self.certificates[each.ballot] = each
                self.node.gossip.certificate(each)

    async def block_arrived(self, peer: PeerId, proposed: ProposedBlock) -> None:
        self.blocks[proposed.hash] = proposed

    async def evidence_arrived(self, peer: PeerId, first: Vote, second: Vote) -> None:
        self.verified += 1
        self.evidence.append((first, second))
        self.node.gossip.accuse(first, second)

    def wants_proposal(self, vote: Vote) -> bool:
        return vote.ballot not in self.proposals and verify_vote(vote, DOMAIN)

    def proved(self, peer: PeerId, status: Status) -> bool:
        if peer in self.false_claims:
            self.node.end.blame(peer, Offence.FALSE_HEIGHT)
            return False
        self.statuses.append((peer, status))
        return True

    def status(self) -> Status:
        return Status(0, self.view, 0, ZERO_HASH, b"", b"")

    def entry_certificates(self) -> Sequence[Certificate]:
        return self.entry

    def held_certificates(self, epoch: int, first_view: int, last_view: int) -> list[Certificate]:
        return [
            held
            for ballot, held in self.certificates.items()
            if ballot.epoch == epoch and first_view <= ballot.view <= last_view
        ][:64]

    def held_block(self, block_hash: Hash) -> ProposedBlock | None:
        return self.blocks.get(block_hash)


class PlainSync:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.statuses: list[tuple[PeerId, Status]] = []
        self.asked_for: list[Message] = []
        self.gone: list[PeerId] = []

    def peer_status(self, peer: PeerId, status: Status) -> None:
        self.statuses.append((peer, status))

    async def asked(self, peer: PeerId, message: GetHeaders | GetBodies) -> None:
        self.asked_for.append(message)

    def forget(self, peer: PeerId) -> None:
        self.gone.append(peer)


class PlainNode:
    """All of gossip, with a plain pool, driver and sync around it."""

    def __init__(self, hub: Hub, number: int) -> None:
        self.end = hub.end(number + 1, MEMBERS[number])
        self.pool = PlainPool()
        self.failures: list[BaseException] = []
        requests = Requests(self.end)
        errands = Errands(self.failures.append)
        self.final: dict[Hash, FinalBlock] = {}
        self.transactions = TransactionGossip(
            self.end,
            requests,
            self.pool,
            self._submit,
            lambda: True,
            errands,
            linked=lambda peer, other: self.gossip.linked(peer, other),
            builders=lambda: (),
            random=Random(number),
        )
        self.gossip = ConsensusGossip(
            self.end,
            requests,
            self.transactions,
            errands,
            members=lambda epoch: MEMBERS if epoch == 0 else (),
            final_block=self.final.get,
            random=Random(number),
        )
        self.sync = PlainSync()
        self.driver = PlainDriver(self)
        self.gossip.start(self.driver)
        self.end.receiver = Dispatch(self.end, requests, self.transactions, self.gossip, self.sync)

    @property
    def id(self) -> PeerId:
        return self.end.id

    async def _submit(self, raws: Sequence[bytes], peer: PeerId) -> list[Outcome]:
        return [
            outcome if isinstance(outcome, Exception) else outcome.transaction.hash
            for outcome in self.pool.take(raws)
        ]


def network(count: int, links: Sequence[tuple[int, int]]) -> tuple[Hub, list[PlainNode]]:
    hub = Hub()
    nodes = [PlainNode(hub, number) for number in range(count)]
    for first, second in links:
        hub.connect(nodes[first].id, nodes[second].id)
    return hub, nodes


def full_mesh(count: int) -> tuple[Hub, list[PlainNode]]:
    return network(count, [(a, b) for a in range(count) for b in range(a + 1, count)])


def line(count: int) -> tuple[Hub, list[PlainNode]]:
    return network(count, [(at, at + 1) for at in range(count - 1)])


def blamed(node: PlainNode) -> list[Offence]:
    return [offence for _, offence, _ in node.end.blamed]
