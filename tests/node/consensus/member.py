"""An honest validator of a cluster: core, signer, vote log, ledger, and the simplest driver."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.errors import Fault
from chain.types import Hash
from chain.validators import Ballot, Certificate, Domain, Vote, VoteKind
from node.consensus.core import Core, Restored
from node.consensus.messages import (
    Accuse,
    Base,
    BlockReceived,
    BodyChecked,
    Broadcast,
    Build,
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
    Proposal,
    ProposalBuilt,
    ProposalReceived,
    Publish,
    Resend,
    Stop,
    SyncedTo,
    VoteReceived,
)
from node.consensus.signer import Signer
from node.consensus.vote_log import Kept, Position, VoteLog
from tests.node.consensus.watch import Violation
from tests.node.consensus.world import GENESIS, address

if TYPE_CHECKING:
    from tests.node.consensus.cluster import Cluster

_DOMAIN: Final = Domain(1, GENESIS)


class Lines(Struct, frozen=True):
    """A message in flight; `life` is set for what a member tells itself, lost in a crash."""

    source: int
    target: int
    payload: object
    life: int | None = None


class Proposed(Struct, frozen=True):
    vote: Vote
    proposal: Proposal


class WantBlock(Struct, frozen=True):
    block_hash: Hash


class WantCertificates(Struct, frozen=True):
    epoch: int
    first: int
    last: int


class LossyFile:
    """A vote log's file. `append` may be cut short by a crash; what was synced stays."""

    def __init__(self) -> None:
        self.safe: bytes | None = None
        self.unsynced = b""
        self.cut: int | None = None  # the next append is cut there, and fails
        self.syncs = True

    def __str__(self) -> str:
        return "lossy"

    def read(self) -> bytes | None:
        return self.safe

    def append(self, data: bytes) -> None:
        assert self.safe is not None
        if self.cut is not None:
            piece, self.cut = data[: self.cut % len(data)], None
            self.safe += self.unsynced + piece
            self.unsynced = b""
            raise OSError(5, "cut short")
        self.unsynced += data
        if self.syncs:
            self.safe, self.unsynced = self.safe + self.unsynced, b""

    def truncate(self, size: int) -> None:
        assert self.safe is not None
        self.safe = self.safe[:size]

    def replace(self, data: bytes) -> None:
        self.safe = data

    def close(self) -> None:
        self.unsynced = b""


class Entry(Struct, frozen=True):
    """A final block in a member's ledger, which survives everything."""

    epoch: int
    base: Base
    certificate: Certificate | None
    block: Proposal | None = None  # None: genesis


def block_name(view: int, parent_view: int, parent: Hash, salt: int) -> Hash:
    """The hash of a block; it commits to all of this."""
    return Hash(keccak(b"%d %d %d" % (view, parent_view, salt) + parent))


class Rules:
    """Where a mutant changes what surrounds the core."""

    def __init__(self) -> None:
        self.name: Callable[[int, int, Hash, int], Hash] = block_name
        self.log_survives = True
        self.syncs = True


class Member:
    """An honest validator: core, signer, ledger, and a driver of the simplest kind."""

    def __init__(self, who: int, cluster: "Cluster") -> None:
        self.who = who
        self.cluster = cluster
        self.file = LossyFile()
        self.file.syncs = cluster.rules.syncs
        self.ledger: list[Entry] = []
        self.bodies: dict[Hash, Proposal] = {}
        self.inbox: deque[Event] = deque()
        self.life = 0
        self.up = False
        self.restart()

    # -- life --------------------------------------------------------------------------------------

    def crash(self) -> None:
        self.up = False
        self.life += 1
        self.file.close()
        if not self.cluster.rules.log_survives:
            self.file.safe = None

    def restart(self) -> None:
        if self.up:
            return
        self.up = True
        self.signer = Signer(address(self.who), _DOMAIN, VoteLog(self.file, bytes))
        self.fresh: list[Certificate] = []  # held, and not yet in the vote log
        self.bodies = {}
        self.begin()

    def begin(self) -> None:
        """Make the core for whatever the ledger ends with."""
        last = self.ledger[-1] if self.ledger else Entry(0, Base(0, GENESIS, 0), None)
        rules = self.cluster.epoch_after(last)
        base, finalization = last.base, last.certificate
        if not self.ledger or rules.number != last.epoch:
            base, finalization = Base(0, base.block_hash, base.height), None
        floor = (rules.number, base.view)
        self.signer.raise_floor(floor)
        proposals = []
        for _, data in sorted(self.signer.proposals.items()):
            proposal = msgspec.msgpack.decode(data, type=Proposal)
            self.bodies[proposal.block_hash] = proposal
            proposals.append(proposal)
        restored = Restored(
            tuple(self.signer.votes), tuple(proposals), tuple(self.signer.certificates)
        )
        self.core = Core(rules, base, address(self.who), restored, finalization)
        self.perform(self.core.start())
        while self.up and self.inbox:
            self.perform(self.core.handle(self.inbox.popleft()))

    # -- the driver --------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """One turn: the event, and what the member's own votes lead to."""
        self.inbox.append(event)
        while self.up and self.inbox:
            self.perform(self.core.handle(self.inbox.popleft()))
        self.inbox.clear()

    def perform(self, effects: Sequence[Effect]) -> None:
        cluster = self.cluster
        ballots: list[Ballot] = []
        publish: list[Proposal] = []
        for effect in effects:
            match effect:
                case Cast(ballot):
                    ballots.append(ballot)
                case Publish(proposal):
                    publish.append(proposal)
                case Build(view, parent_view, parent):
                    height = self.core.base.height + 1
                    if parent != self.core.base.block_hash:
                        height = self.bodies[parent].height + 1
                    salt = 100 + self.who + 1000 * self.life
                    name = cluster.rules.name(view, parent_view, parent, salt)
                    built = Proposal(view, name, parent_view, parent, height)
                    cluster.proposals.append((self.core.epoch.number, built))
                    self.bodies[name] = built
                    self.tell(ProposalBuilt(built))
                case CheckBody(proposal):
                    valid = proposal.block_hash not in cluster.invalid
                    self.tell(BodyChecked(proposal.block_hash, valid))
                case Broadcast(certificate):
                    cluster.watch.certificate(certificate)
                    self.fresh.append(certificate)
                    cluster.broadcast(self.who, certificate)
                case Resend(certificates, votes):
                    for item in (*certificates, *votes):
                        cluster.broadcast(self.who, item)
                case FetchBlock(_, block_hash):
                    cluster.broadcast(self.who, WantBlock(block_hash))
                case FetchCertificates(_, first, last):
                    wanted = WantCertificates(self.core.epoch.number, first, last)
                    cluster.broadcast(self.who, wanted)
                case Deliver(block_hash, certificate):
                    self.deliver(block_hash, certificate)
                case Accuse(first, _):
                    cluster.watch.accused(first.signer)
                case Stop(reason):
                    raise Violation(f"{self.who} stops: {reason}")
                case EnterView():
                    pass
        if ballots:
            self.sign(ballots, publish)
        if self.up and self.core.finished:
            self.begin()

    def tell(self, event: Event) -> None:
        self.cluster.flight.append(Lines(self.who, self.who, event, self.life))

    def sign(self, ballots: Sequence[Ballot], publish: Sequence[Proposal]) -> None:
        kept: list[tuple[Position, bytes]] = []
        for ballot in ballots:
            if ballot.kind is VoteKind.NOTARIZE:
                data = msgspec.msgpack.encode(self.bodies[ballot.block_hash])
                kept.append(((ballot.epoch, ballot.view), data))
        fresh, self.fresh = self.fresh, []
        try:
            votes = self.signer.sign(ballots, Kept(tuple(kept), tuple(fresh)))
        except Fault as fault:
            if "vote log" not in str(fault):
                raise Violation(f"{self.who}: {fault}") from fault
            self.crash()
            return
        for vote in votes:
            self.cluster.watch.vote(self.who, vote)
        for proposal in publish:
            first = next(v for v in votes if v.ballot.view == proposal.view)
            self.cluster.broadcast(self.who, Proposed(first, proposal))
        for vote in votes:
            self.cluster.broadcast(self.who, vote)
            self.inbox.append(VoteReceived(vote))

    def deliver(self, block_hash: Hash, certificate: Certificate | None) -> None:
        proposal = self.bodies[block_hash]
        view = proposal.view if certificate is None else certificate.ballot.view
        base = Base(view, block_hash, proposal.height)
        self.extend(Entry(self.core.epoch.number, base, certificate, proposal))
        self.tell(FloorStored(view))

    def extend(self, entry: Entry) -> None:
        if entry.base.height != len(self.ledger) + 1:
            raise Violation(f"{self.who} delivers height {entry.base.height} out of order")
        self.ledger.append(entry)
        self.signer.raise_floor((entry.epoch, entry.base.view))
        self.cluster.watch.final(self.who, entry.base)

    # -- the network -------------------------------------------------------------------------------

    def receive(self, source: int, payload: object) -> None:
        core, cluster = self.core, self.cluster
        match payload:
            case Proposed(vote, proposal):
                ballot = vote.ballot
                if ballot.epoch != core.epoch.number or vote.signer != core.leader(ballot.view):
                    return
                if core.wants_proposal(ballot.view, ballot.block_hash):
                    if not proposal.again:
                        self.bodies[proposal.block_hash] = proposal
                    self.feed(ProposalReceived(proposal))
                self.feed(VoteReceived(vote))
            case Vote():
                self.feed(VoteReceived(payload))
            case Certificate():
                if cluster.checks(payload):
                    self.feed(CertificateReceived(payload))
            case WantBlock(block_hash):
                final = (e.block for e in self.ledger if e.base.block_hash == block_hash)
                found = self.bodies.get(block_hash) or next(final, None)
                if found is not None:
                    cluster.send(self.who, source, found)
            case WantCertificates(number, first, last):
                if number == core.epoch.number:
                    for held in core.held(first, last):
                        cluster.send(self.who, source, held)
            case Proposal():
                self.bodies.setdefault(payload.block_hash, payload)
                self.feed(BlockReceived(payload))

    def sync_from(self, other: "Member") -> None:
        """What sync does: the final blocks of a peer, epoch after epoch."""
        while self.up and len(other.ledger) > len(self.ledger):
            number = self.core.epoch.number
            news = [e for e in other.ledger[len(self.ledger) :] if e.epoch == number]
            while news and news[-1].certificate is None:
                news.pop()
            if not news:
                return
            for entry in news:
                self.extend(entry)
            certificate = news[-1].certificate
            assert certificate is not None
            self.feed(SyncedTo(news[-1].base, certificate))
