"""Cores with their signers and vote logs, a network without mercy, and who watches them.

A scenario is a list of steps, four numbers each, that mean something in every state: take
the nth message in flight, crash the nth member, ... So a scenario can be drawn from a seed,
replayed, and made shorter by leaving out steps.

The clusters stand between the tests of single rules and the simulation of whole nodes:
no execution, no clock, signatures that are only hashes; a few milliseconds per scenario.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

import msgspec
from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.errors import Fault
from chain.types import ZERO_HASH, Address, Hash
from chain.validators import Ballot, Certificate, Domain, Vote, VoteKind
from node.consensus import signer as signer_module
from node.consensus.core import Core, Epoch, Restored
from node.consensus.messages import (
    Accuse,
    AdvanceTimeout,
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
from node.consensus.signer import Signer
from node.consensus.vote_log import Kept, Position, VoteLog
from tests.node.consensus.world import GENESIS, address, certificate_of, epoch, signature, signed

Step = tuple[int, int, int, int]

_DOMAIN: Final = Domain(1, GENESIS)
_STEPS: Final = 320
_NUMBER_MAX: Final = 2**30


class Violation(Exception):
    """What must never happen, happened."""


class Setting(Struct, frozen=True):
    """Who takes part. `powers` by epoch, repeated; member numbers are positions."""

    powers: tuple[tuple[int, ...], ...]
    byzantine: frozenset[int] = frozenset()
    epoch_length: int = 0
    live: bool = True  # whether the honest alone are a quorum, so that progress can be asked for


_ONE = frozenset((0,))
SETTINGS: Final = (
    Setting(((1, 1, 1, 1),), _ONE),
    Setting(((1, 1, 1, 1),), _ONE, epoch_length=2),
    Setting(((1, 1, 1),), _ONE, live=False),  # exactly a third: safe, and no more
    Setting(((1, 1, 1, 1),)),
    Setting(((5, 3, 3, 2, 2, 1, 1),), _ONE),
    Setting(((1, 1, 1, 1, 0), (1, 1, 1, 0, 1), (1, 1, 0, 1, 1)), _ONE, epoch_length=2),
    Setting(((1,),), epoch_length=3),
)


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
                    cluster.watch_certificate(certificate)
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
                    cluster.watch_accused(first.signer)
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
            self.cluster.watch_vote(self.who, vote)
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
        self.cluster.watch_final(self.who, entry)

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


class Cluster:
    """All members, what is in flight between them, and what was seen of them."""

    def __init__(self, setting: Setting, rules: Rules | None = None) -> None:
        self.setting = setting
        self.rules = rules or Rules()
        self.flight: list[Lines] = []
        self.group: set[int] | None = None  # one side of a partition
        self.proposals: list[tuple[int, Proposal]] = []  # with their epochs
        self.invalid: set[Hash] = set()
        self.final: dict[int, Hash] = {}  # by height
        self.seeds: dict[int, Hash] = {0: GENESIS}  # the last block before each epoch
        self._epochs: dict[int, Epoch] = {}
        self._votes: dict[tuple[int, int, int], dict[VoteKind, Ballot]] = {}
        self._agreed: dict[tuple[int, int], dict[VoteKind, Hash]] = {}
        self._formed: set[Ballot] = set()
        self.signatures: list[Vote] = []  # all honest votes that were sent
        count = len(setting.powers[0])
        self.members = {
            who: Member(who, self) for who in range(count) if who not in setting.byzantine
        }

    # -- epochs ------------------------------------------------------------------------------------

    def epoch_after(self, last: Entry) -> Epoch:
        """The epoch of the block after this one."""
        length = self.setting.epoch_length
        number = last.base.height // length if length else 0
        if number not in self._epochs:
            powers = self.setting.powers[number % len(self.setting.powers)]
            seed = last.base.block_hash
            self.seeds[number] = seed
            plain = epoch(powers, number, (number + 1) * length if length else None)
            self._epochs[number] = Epoch(number, plain.validators, seed, plain.last_height)
        return self._epochs[number]

    def checks(self, certificate: Certificate) -> bool:
        """What the driver does before a certificate reaches the core."""
        rules = self._epochs.get(certificate.ballot.epoch)
        if rules is None:
            return False
        members = rules.validators.validators
        bitmap = int.from_bytes(certificate.signers, "little")
        signers = [member for i, member in enumerate(members) if bitmap >> i & 1]
        if len(signers) != len(certificate.signatures):
            return False
        if not rules.validators.quorum(sum(member.power for member in signers)):
            return False
        return all(
            given == signature(certificate.ballot, member.address)
            for given, member in zip(certificate.signatures, signers, strict=True)
        )

    # -- who watches -------------------------------------------------------------------------------

    def watch_vote(self, who: int, vote: Vote) -> None:
        """Each signer's exclusions hold over its whole life, crashes included."""
        ballot = vote.ballot
        cast = self._votes.setdefault((who, ballot.epoch, ballot.view), {})
        earlier = cast.get(ballot.kind)
        if earlier is not None and earlier != ballot:
            raise Violation(f"{who} votes {ballot.kind.name} twice in view {ballot.view}")
        cast[ballot.kind] = ballot
        if VoteKind.NULLIFY in cast and VoteKind.FINALIZE in cast:
            raise Violation(f"{who} nullifies and finalizes view {ballot.view}")
        named = {b.block_hash for b in cast.values() if b.kind is not VoteKind.NULLIFY}
        if len(named) > 1:
            raise Violation(f"{who} notarizes and finalizes different blocks of view {ballot.view}")
        self.signatures.append(vote)

    def watch_certificate(self, certificate: Certificate) -> None:
        """One notarization per view; no view is both final and nullified."""
        ballot = certificate.ballot
        if ballot in self._formed:
            return
        self._formed.add(ballot)
        agreed = self._agreed.setdefault((ballot.epoch, ballot.view), {})
        known = agreed.setdefault(ballot.kind, ballot.block_hash)
        if known != ballot.block_hash:
            raise Violation(f"two certificates {ballot.kind.name} in view {ballot.view}")
        if VoteKind.NULLIFY in agreed and VoteKind.FINALIZE in agreed:
            raise Violation(f"view {ballot.view} is final and nullified")

    def watch_final(self, who: int, entry: Entry) -> None:
        known = self.final.setdefault(entry.base.height, entry.base.block_hash)
        if known != entry.base.block_hash:
            raise Violation(f"{who} delivers another block at height {entry.base.height}")

    def watch_accused(self, signer: Address) -> None:
        if signer[0] not in self.setting.byzantine:
            raise Violation(f"evidence against {signer[0]}, which is honest")

    # -- the network -------------------------------------------------------------------------------

    def send(self, source: int, target: int, payload: object) -> None:
        if target in self.members:
            self.flight.append(Lines(source, target, payload))

    def broadcast(self, source: int, payload: object) -> None:
        for target in self.members:
            if target != source:
                self.flight.append(Lines(source, target, payload))

    def take(self, index: int, keep: bool = False) -> None:
        """Deliver one message in flight, unless a partition or a crash is in the way."""
        index %= len(self.flight)
        line = self.flight[index]
        if self.group is not None and (line.source in self.group) != (line.target in self.group):
            return
        if not keep or line.life is not None:
            self.flight[index] = self.flight[-1]
            self.flight.pop()
        member = self.members[line.target]
        if not member.up or (line.life is not None and line.life != member.life):
            return
        if line.life is not None:
            assert isinstance(line.payload, Event)
            member.feed(line.payload)
        else:
            member.receive(line.source, line.payload)

    # -- steps -------------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        kind, a, b, c = step
        members = list(self.members.values())
        member = members[a % len(members)]
        match kind:
            case 0 | 1:
                for offset in range(1 + b % 4 if kind else 1):
                    if self.flight:
                        self.take(a + offset * c, keep=c % 8 == 0)
            case 2:
                if self.flight and self.flight[index := a % len(self.flight)].life is None:
                    self.flight[index] = self.flight[-1]
                    self.flight.pop()
            case 3:
                for member in members:
                    member.feed(ProposalDue(member.core.view))
            case 4:  # now and then a timer that nobody stopped
                member.feed(AdvanceTimeout(member.core.view - (b % 4 == 0)))
            case 5:
                member.feed(LeaderTimeout(member.core.view))
            case 6:
                member.feed(Standstill())
            case 7:
                if b % 3 == 0:
                    member.file.cut = c
                else:
                    member.crash()
            case 8:
                for member in members:
                    member.restart()
            case 9:
                self.group = None if self.group else {w for w in self.members if b >> w & 1}
            case 10:
                member.sync_from(members[b % len(members)])
            case _:
                for who in sorted(self.setting.byzantine):
                    self.misbehave(who, a, b, c)

    def misbehave(self, who: int, a: int, b: int, c: int) -> None:
        """Equivocate, vote for anything, send to some, repeat what is old."""
        members = list(self.members.values())
        core = members[a % len(members)].core
        rules = core.epoch
        view = max(1, core.view - (b >> 2) % 3)
        targets = [t for i, t in enumerate(self.members) if c >> i & 1]
        here = [p for number, p in self.proposals if number == rules.number]
        of_view = [p for p in here if p.view == view]
        match b % 4:
            case 0:
                if rules.validators.index_of(address(who)) is None:
                    return
                if core.leader(view) != address(who):
                    view = next(
                        (v for v in range(view, view + 8) if core.leader(v) == address(who)), 0
                    )
                self.equivocate(who, core, view, a >> 4, b >> 6, targets)
            case 1 | 2:
                kind = (VoteKind.NOTARIZE, VoteKind.FINALIZE)[b % 4 - 1]
                for proposal in of_view[-2:]:
                    ballot = Ballot(
                        kind, rules.number, view, proposal.block_hash, proposal.parent_view
                    )
                    self.post(targets, who, signed(ballot, who))
            case _:
                if (b >> 4) % 4 == 0:
                    self.replay(who, rules, a, targets)
                else:
                    ballot = Ballot(VoteKind.NULLIFY, rules.number, view, ZERO_HASH, 0)
                    self.post(targets, who, signed(ballot, who))

    def post(self, targets: Sequence[int], who: int, payload: object) -> None:
        for target in targets:
            self.send(who, target, payload)

    def equivocate(
        self, who: int, core: Core, view: int, pick: int, salt: int, targets: Sequence[int]
    ) -> None:
        """Propose on any parent, valid or not, one block to some and others to others."""
        if view <= core.base.view:
            return
        number = core.epoch.number
        parents = [p for n, p in self.proposals if n == number and p.view < view]
        ground = Proposal(0, self.seeds[number], 0, self.seeds[number], self.height_before(number))
        parent = [ground, *parents][-1 - pick % min(4, len(parents) + 1)]
        salt = 2 if salt % 16 == 7 else salt % 2
        name = self.rules.name(view, parent.view, parent.block_hash, salt)
        made = Proposal(view, name, parent.view, parent.block_hash, parent.height + 1)
        if parent.height == core.epoch.last_height:
            made = Proposal(view, parent.block_hash, parent.view, parent.block_hash, parent.height)
        elif salt == 2:
            self.invalid.add(name)
        if not made.again and (number, made) not in self.proposals:
            self.proposals.append((number, made))
        ballot = Ballot(VoteKind.NOTARIZE, number, view, made.block_hash, made.parent_view)
        self.post(targets, who, Proposed(signed(ballot, who), made))

    def height_before(self, number: int) -> int:
        return number * self.setting.epoch_length

    def replay(self, who: int, rules: Epoch, pick: int, targets: Sequence[int]) -> None:
        """A certificate as good as it can be forged: all signatures that exist for a ballot."""
        if not self.signatures:
            return
        ballot = self.signatures[pick % len(self.signatures)].ballot
        signers = {v.signer[0] for v in self.signatures if v.ballot == ballot} | {who}
        epoch_of = self._epochs[ballot.epoch]
        among = [w for w in sorted(signers) if epoch_of.validators.index_of(address(w)) is not None]
        if among:
            self.post(targets, who, certificate_of(ballot, among, epoch_of.validators))

    # -- after the storm ---------------------------------------------------------------------------

    def heal(self, random: Random) -> None:
        """The network is good again: everybody must go on together, and soon."""
        self.group = None
        for member in self.members.values():
            member.restart()
        goal = max(len(member.ledger) for member in self.members.values()) + 3
        for turn in range(60):
            self.settle(random)
            if min(len(member.ledger) for member in self.members.values()) >= goal:
                return
            for member in self.members.values():
                member.restart()
                member.feed(ProposalDue(member.core.view))
            self.settle(random)
            if turn % 2:
                self.catch_up()
                for member in self.members.values():
                    member.feed(AdvanceTimeout(member.core.view))
                    member.feed(Standstill())
        raise Violation("no progress after healing: " + self.describe())

    def settle(self, random: Random) -> None:
        for _ in range(20_000):
            if not self.flight:
                return
            self.take(random.randrange(len(self.flight)))
        raise Violation("messages without end: " + self.describe())

    def catch_up(self) -> None:
        """Statuses with their certificates, and sync where the gap is wide."""
        best = max(self.members.values(), key=lambda member: len(member.ledger))
        for member in self.members.values():
            gap = len(best.ledger) - len(member.ledger)
            if gap > 3 or best.core.epoch.number != member.core.epoch.number:
                member.sync_from(best)
            elif gap:
                for held in best.core.entry():
                    self.send(best.who, member.who, held)

    def describe(self) -> str:
        return ", ".join(
            f"{who}: epoch {m.core.epoch.number} view {m.core.view} height {len(m.ledger)}"
            for who, m in self.members.items()
        )


# -- scenarios -------------------------------------------------------------------------------------

_WEIGHTS: Final = (40, 60, 4, 10, 6, 3, 3, 2, 4, 1, 1, 22)


def draw_steps(random: Random, count: int = _STEPS) -> list[Step]:
    """A scenario; each draws its own temper, from calm to wild."""
    weights = list(_WEIGHTS)
    weights[2] = random.choice((0, 4, 30))  # drops
    weights[4] = random.choice((2, 6, 14))  # timeouts
    weights[7] = random.choice((0, 2, 6))  # crashes
    weights[9] = random.choice((0, 1, 3))  # partitions
    weights[11] = random.choice((8, 22, 50))  # misbehaviour
    kinds = random.choices(range(len(weights)), weights, k=count)
    draw = random.randrange
    return [(kind, draw(_NUMBER_MAX), draw(_NUMBER_MAX), draw(_NUMBER_MAX)) for kind in kinds]


@contextmanager
def quick_signatures() -> Iterator[None]:
    """Hashes in place of signatures; a key is its owner's address."""

    def sign(ballot: Ballot, domain: Domain, private_key: bytes) -> Vote:
        return Vote(ballot, Address(private_key), signature(ballot, Address(private_key)))

    with (
        patch.object(signer_module, "sign_ballot", sign),
        patch.object(signer_module, "secp256k1", SimpleNamespace(address_of=Address)),
    ):
        yield


def play(
    setting: Setting, steps: Sequence[Step], rules: Rules | None = None, *, live: bool = True
) -> Cluster:
    """Play a scenario; Violation when it shows what must never be."""
    with quick_signatures():
        cluster = Cluster(setting, rules)
        for step in steps:
            cluster.step(step)
        if live and setting.live:
            cluster.heal(Random(len(steps)))
    return cluster


def scenario(seed: int) -> tuple[Setting, list[Step]]:
    random = Random(seed)
    return SETTINGS[seed % len(SETTINGS)], draw_steps(random)


def shrink(fails: Callable[[Sequence[Step]], bool], steps: list[Step]) -> list[Step]:
    """A shorter scenario that still fails: no step of it can be left out."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            if fails(shorter):
                steps = shorter
            else:
                at += size
        size //= 2
    return steps
