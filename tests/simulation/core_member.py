"""An honest member: the real core, signer and vote log, with a ledger and blocks that are toys."""

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Protocol

from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.types import Address, Hash
from chain.validators import (
    Certificate,
    ConsensusRecord,
    Domain,
    ValidatorSet,
    Vote,
    VoteKind,
    decode_record,
    encode_record,
    record_hash,
)
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
from node.consensus.vote_log import Kept, VoteLog
from node.simulator.disk import Disk
from tests.simulation.core_watch import Verifier, Violation, Watch

FETCHED_MAX = 64


class ToyBlock(Struct, frozen=True):
    """A block whose body is one bit: whether executing it succeeds."""

    record: ConsensusRecord
    sound: bool = True

    @property
    def hash(self) -> Hash:
        return Hash(keccak(record_hash(self.record) + bytes((self.sound,))))

    def proposal(self) -> Proposal:
        record = self.record
        return Proposal(
            record.view, self.hash, record.parent_view, record.parent_hash, record.height
        )


# What travels. Votes and certificates are the product's.
class Proposed(Struct, frozen=True):
    vote: Vote
    block: ToyBlock | None  # None: an epoch's last block, proposed again


class Ask(Struct, frozen=True):
    """For a block by its hash, for certificates of views, or for final blocks above a height."""

    source: int
    block_hash: Hash | None = None
    views: tuple[int, int, int] | None = None  # epoch, first, last
    above: int | None = None


class Chain(Struct, frozen=True):
    """Final blocks in order, and what makes the last of them final."""

    blocks: tuple[ToyBlock, ...]
    certificate: Certificate


Parcel = Vote | Certificate | Proposed | Ask | Chain | ToyBlock


class World(Protocol):
    """What a member may do to the rest of the world."""

    def send(self, source: int, target: int, parcel: Parcel) -> None: ...
    def broadcast(self, source: int, parcel: Parcel) -> None: ...
    def later(self, member: "Member", low: int, high: int, act: Callable[[], None]) -> None:
        """Do it between `low` and `high` microseconds from now, unless the member crashes."""
        ...


class Rules(Struct, frozen=True):
    """What all members share."""

    members: ValidatorSet
    domain: Domain
    epoch_length: int
    delta_us: int

    def epoch(self, number: int) -> Epoch:
        seed = Hash(keccak(self.domain.genesis_hash + number.to_bytes(8, "big")))
        last = (number + 1) * self.epoch_length if self.epoch_length else None
        return Epoch(number, self.members, seed, last)

    def epoch_of(self, height: int) -> int:
        return (height - 1) // self.epoch_length if self.epoch_length else 0


class Final(Struct, frozen=True):
    """What the toy ledger keeps of a height; on disk the moment it is added."""

    block: ToyBlock
    view: int  # in which it became final
    certificate: Certificate | None


class Member:
    """One honest validator. `start` after making it and after each crash."""

    def __init__(
        self, number: int, key: bytes, rules: Rules, world: World, watch: Watch,
        verifier: Verifier, random: Random, disk: Disk,
    ) -> None:  # fmt: skip
        self.number = number
        self.rules = rules
        self.disk = disk
        self.alive = False
        self.life = 0
        self.ledger: list[Final] = []
        self.address: Address
        self.core: Core
        self._key = key
        self._world = world
        self._watch = watch
        self._verifier = verifier
        self._random = random
        self._blocks: dict[Hash, ToyBlock] = {}
        self._fresh: list[Certificate] = []
        self._turning = False
        self._queue: list[Event] = []
        self._quiet_height = -1

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """A process starts on what the disk has."""
        self.alive = True
        self.life += 1
        self._blocks = {final.block.hash: final.block for final in self.ledger[-FETCHED_MAX:]}
        self._fresh = []
        self._queue = []
        self._turning = False
        log = VoteLog(self.disk.file("votes.log"), salt=self._random.randbytes)
        self._signer = Signer(self._key, self.rules.domain, log)
        self.address = self._signer.address
        self._log = log
        self._open_epoch()
        self._world.later(self, 20_000, 60_000, self._look_for_standstill)

    def crash(self) -> None:
        self.alive = False
        self.disk.crash()

    @property
    def height(self) -> int:
        return len(self.ledger)

    def head(self) -> Hash:
        return self.ledger[-1].block.hash if self.ledger else self.rules.domain.genesis_hash

    def _open_epoch(self) -> None:
        """The core of the epoch that the next height is in; restored from the log (V2)."""
        number = self.rules.epoch_of(self.height + 1)
        epoch = self.rules.epoch(number)
        view, certificate = 0, None
        if self.ledger and self.rules.epoch_of(self.height) == number:
            view, certificate = self.ledger[-1].view, self.ledger[-1].certificate
        log = self._log
        proposals = []
        for (at, _), data in sorted(log.proposals.items()):
            block = ToyBlock(decode_record(data[1:]), data[0] == 1)
            self._blocks[block.hash] = block
            if at == number:
                proposals.append(block.proposal())
        restored = Restored(
            tuple(v for v in log.votes if v.ballot.epoch == number and v.ballot.view > view),
            tuple(proposals),
            tuple(c for c in log.certificates if c.ballot.epoch == number),
        )
        base = Base(view, self.head(), self.height)
        self.core = Core(epoch, base, self.address, restored, certificate)
        self._turn([], self.core.start())

    def handle(self, event: Event) -> None:
        """One event, or later, when a turn is under way."""
        self._queue.append(event)
        if not self._turning:
            self._turn([], [])

    def _turn(self, events: list[Event], effects: list[Effect]) -> None:
        self._queue.extend(events)
        self._turning = True
        core = self.core
        while True:
            for effect in effects:
                self._perform(effect)
            if core.finished and self.alive:
                self._queue = []
                self._turning = False
                self._open_epoch()
                return
            if not self._queue or not self.alive:
                break
            effects = core.handle(self._queue.pop(0))
        self._turning = False

    # -- effects -----------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        world, rules, core = self._world, self.rules, self.core
        match effect:
            case EnterView(view, leading):
                delta = rules.delta_us
                if leading:
                    self._later(0, delta, ProposalDue(view))
                self._later(delta, 4 * delta, LeaderTimeout(view))
                self._later(delta, 6 * delta, AdvanceTimeout(view))
            case Build(view, parent_view, parent_hash):
                block = self._build(view, parent_view, parent_hash)
                self._later(0, rules.delta_us // 4, ProposalBuilt(block.proposal()))
            case CheckBody(proposal):
                self._watch.saw(proposal)
                valid = self._valid(proposal)
                self._later(0, rules.delta_us // 4, BodyChecked(proposal.block_hash, valid))
            case Cast(ballot):
                self._cast(ballot.block_hash, effect)
            case Publish(proposal):
                mine = [
                    vote for vote in self._log.votes
                    if vote.ballot.view == proposal.view and vote.ballot.kind is VoteKind.NOTARIZE
                    and vote.ballot.epoch == core.epoch.number
                ]  # fmt: skip
                block = None if proposal.again else self._blocks[proposal.block_hash]
                world.broadcast(self.number, Proposed(mine[0], block))
            case Broadcast(certificate):
                self._watch.accepted(certificate, core.epoch.number)
                self._fresh.append(certificate)
                world.broadcast(self.number, certificate)
            case Resend(certificates, votes):
                for parcel in (*certificates, *votes):
                    world.broadcast(self.number, parcel)
            case FetchBlock(_, block_hash):
                world.broadcast(self.number, Ask(self.number, block_hash=block_hash))
            case FetchCertificates(_, first, last):
                ask = Ask(self.number, views=(core.epoch.number, first, last))
                world.broadcast(self.number, ask)
            case Deliver(block_hash, certificate):
                view = self._blocks[block_hash].record.view
                if certificate is not None:
                    view = certificate.ballot.view
                self._commit(Final(self._blocks[block_hash], view, certificate))
                self._queue.append(FloorStored(view))
            case Accuse(first, _):
                self._watch.accused(first.signer)
            case Stop(reason):
                raise Violation(f"member {self.number} stops: {reason}")

    def _later(self, low: int, high: int, event: Event) -> None:
        epoch = self.core.epoch.number

        def act() -> None:
            if self.core.epoch.number == epoch:
                self.handle(event)

        self._world.later(self, low, high, act)

    def _cast(self, block_hash: Hash, effect: Cast) -> None:
        block = self._blocks.get(block_hash)
        at = (effect.ballot.epoch, effect.ballot.view)
        data = b"" if block is None else bytes((block.sound,)) + encode_record(block.record)
        proposals = ((at, data),) if data else ()
        fresh, self._fresh = tuple(self._fresh), []
        for vote in self._signer.sign([effect.ballot], Kept(proposals, fresh)):
            self._watch.cast(vote)
            self._queue.append(VoteReceived(vote))
            self._world.broadcast(self.number, vote)

    def _commit(self, final: Final) -> None:
        record = final.block.record
        self._watch.delivered(self.height + 1, final.block.hash, record.parent_hash)
        if record.parent_hash != self.head():
            raise Violation(f"member {self.number} commits a block that is not on its head")
        self.ledger.append(final)
        self._log.raise_floor((self.rules.epoch_of(self.height), final.view))

    def _build(self, view: int, parent_view: int, parent_hash: Hash) -> ToyBlock:
        parent = self._blocks.get(parent_hash)
        height = 1 if parent is None else parent.record.height + 1
        record = ConsensusRecord(
            chain_id=self.rules.domain.chain_id, epoch=self.core.epoch.number, view=view,
            height=height, parent_view=parent_view, parent_hash=parent_hash,
            timestamp_ms=self._random.randrange(1 << 40), validators_hash=self.rules.members.hash,
            next_validators_hash=self.rules.members.hash, proposer=self.address,
        )  # fmt: skip
        block = ToyBlock(record)
        self._blocks[block.hash] = block
        return block

    def _valid(self, proposal: Proposal) -> bool:
        block = self._blocks[proposal.block_hash]
        parent = self._blocks.get(proposal.parent_hash)
        height = 0 if parent is None else parent.record.height
        known = parent is not None or proposal.parent_hash == self.rules.domain.genesis_hash
        return known and block.sound and block.record.height == height + 1

    # -- what arrives ------------------------------------------------------------------------------

    def receive(self, parcel: Parcel) -> None:
        """Verify, as the driver does, and hand on."""
        match parcel:
            case Vote():
                if self._verifier.vote(parcel):
                    self.handle(VoteReceived(parcel))
            case Certificate():
                self._hear_of(parcel)
            case Proposed(vote, block):
                self._proposed(vote, block)
            case ToyBlock():
                self._blocks.setdefault(parcel.hash, parcel)
                self.handle(BlockReceived(parcel.proposal()))
            case Ask():
                self._answer(parcel)
            case Chain(blocks, certificate):
                self._sync(blocks, certificate)

    def _hear_of(self, certificate: Certificate) -> None:
        if not self._verifier.certificate(certificate):
            return
        if certificate.ballot.epoch > self.core.epoch.number:
            self._world.broadcast(self.number, Ask(self.number, above=self.height))
        self.handle(CertificateReceived(certificate))

    def _proposed(self, vote: Vote, block: ToyBlock | None) -> None:
        ballot, core = vote.ballot, self.core
        epoch = core.epoch
        if (
            ballot.kind is not VoteKind.NOTARIZE
            or ballot.epoch != epoch.number
            or vote.signer != core.leader(ballot.view)
            or not self._verifier.vote(vote)
        ):
            return
        if block is None:
            known = self._blocks.get(ballot.block_hash)
            if known is None or known.record.height != epoch.last_height:
                return
            proposal = Proposal(
                ballot.view, ballot.block_hash, ballot.parent_view, ballot.block_hash,
                known.record.height,
            )  # fmt: skip
        else:
            record = block.record
            proposal = block.proposal()
            if (
                block.hash != ballot.block_hash
                or record.epoch != epoch.number
                or record.view != ballot.view
                or record.parent_view != ballot.parent_view
            ):
                return
            self._blocks.setdefault(block.hash, block)
        self.handle(ProposalReceived(proposal))
        self.handle(VoteReceived(vote))

    def _answer(self, ask: Ask) -> None:
        send = self._world.send
        if ask.block_hash is not None and ask.block_hash in self._blocks:
            send(self.number, ask.source, self._blocks[ask.block_hash])
        if ask.views is not None and ask.views[0] == self.core.epoch.number:
            for certificate in self.core.held(ask.views[1], ask.views[2]):
                send(self.number, ask.source, certificate)
        if ask.above is not None and ask.above < self.height:
            end = self.height
            if self.rules.epoch_length:
                last = self.rules.epoch(self.rules.epoch_of(ask.above + 1)).last_height
                end = min(end, last or end)
            while end > ask.above and self.ledger[end - 1].certificate is None:
                end -= 1
            certificate_ = self.ledger[end - 1].certificate if end > ask.above else None
            if certificate_ is not None:
                blocks = tuple(final.block for final in self.ledger[ask.above : end])
                send(self.number, ask.source, Chain(blocks, certificate_))

    def _sync(self, blocks: tuple[ToyBlock, ...], certificate: Certificate) -> None:
        ballot = certificate.ballot
        if (
            not blocks
            or ballot.kind is not VoteKind.FINALIZE
            or ballot.epoch != self.core.epoch.number
            or blocks[-1].hash != ballot.block_hash
            or blocks[-1].record.height <= self.height
            or not self._verifier.certificate(certificate)
        ):
            return
        fresh = [block for block in blocks if block.record.height > self.height]
        if any(b.record.parent_hash != a.hash for a, b in pairwise(blocks)):
            return
        self._watch.accepted(certificate, self.core.epoch.number)
        for block in fresh:
            self._blocks[block.hash] = block
            last = block is fresh[-1]
            view = ballot.view if last else block.record.view
            self._commit(Final(block, view, certificate if last else None))
        self.handle(SyncedTo(Base(ballot.view, self.head(), self.height), certificate))

    # -- R8 ----------------------------------------------------------------------------------------

    def _look_for_standstill(self) -> None:
        if self.height == self._quiet_height:
            self.handle(Standstill())
            self._world.broadcast(self.number, Ask(self.number, above=self.height))
        self._quiet_height = self.height
        self._world.later(self, 20_000, 60_000, self._look_for_standstill)
