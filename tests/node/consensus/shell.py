"""One node's shell of consensus in virtual time: a driver, its outbox, and everybody else's keys.

`Author` has the keys of all validators and a ledger of its own: it builds valid blocks, votes
and certificates. `Shell` is the node under test, to which the test brings them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from msgspec.structs import replace

from chain.blocks import Block
from chain.crypto.secp256k1 import address_of
from chain.genesis import Genesis, GenesisAccount, new_genesis
from chain.headers import header_hash
from chain.ledger import Ledger
from chain.ledger_rules import GenesisValidator, LedgerRules
from chain.staking import STAKING_ADDRESS
from chain.storage.memory import MemoryStore
from chain.transactions import Checked, Kind, build_transaction, sign_transaction
from chain.types import ZERO_HASH, Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    ConsensusRecord,
    Domain,
    ValidatorSet,
    Vote,
    VoteKind,
    build_certificate,
    decode_record,
    encode_certificate,
    encode_record,
    encode_validators,
    record_hash,
    sign_ballot,
    skip_root,
)
from chain.views import Overlay
from contracts.system.genesis import validators_alloc
from contracts.vm import Interpreter
from node.agreement import genesis_set
from node.consensus.admission import Admission
from node.consensus.candidates import Candidate, Candidates
from node.consensus.committed import Committed
from node.consensus.driver import Driver, Threads
from node.consensus.epochs import Epochs
from node.consensus.log_file import MemoryFile
from node.consensus.outbox import ProposedBlock
from node.consensus.pacing import Timing
from node.consensus.signer import Signer
from node.consensus.vote_log import VoteLog
from node.net.network import Offence, PeerId
from node.pool.mempool import Mempool
from node.proposer import build_block
from node.settings import Settings
from node.simulator.loop import VirtualExecutor
from node.watch.observation import Measured
from tests.support.network import peer_id, until, virtually

P = ParamSpec("P")
T = TypeVar("T")

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
CHAIN_ID: Final = 77
START_S: Final = 1_700_000_000
START_MS: Final = START_S * 1000
KEYS: Final = [bytes(31) + bytes((number,)) for number in range(1, 6)]  # four vote, one may join
ADDRESSES: Final = [address_of(key) for key in KEYS]
CLIENTS: Final = [bytes(31) + bytes((number,)) for number in range(101, 104)]
PEER: Final = peer_id(1)
IDLE: Final = Timing(
    interval_ms=0, empty_blocks=False, heartbeat_ms=0, delta_ms=100,
    build_ms_max=0, ascending_seconds=False,
)  # fmt: skip
WORK_S: Final = 0.004  # what a call in a thread takes


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test on virtual time."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        virtually(test(*args, **kwargs))

    return run


def genesis_of(validators: int = 4, epoch_length: int = 0, **rules: Any) -> Genesis:
    """A ledger of so many validators of equal power, with funded clients."""
    found = LedgerRules(
        validators=tuple(GenesisValidator(address, 10) for address in ADDRESSES[:validators]),
        epoch_length=epoch_length,
        **rules,
    )
    alloc = {STAKING_ADDRESS: validators_alloc(found, Interpreter())}
    alloc |= {address: GenesisAccount(10**21) for address in ADDRESSES}
    alloc |= {address_of(key): GenesisAccount(10**24) for key in CLIENTS}
    return new_genesis(CHAIN_ID, alloc=alloc, rules=found, timestamp=START_S)


def transfer(client: int, nonce: int, *, max_fee: int = 10**12, gas: int = 21_000) -> Checked:
    """A client's payment to nobody in particular."""
    return signed(CLIENTS[client], nonce, Address(b"\x77" * 20), 1, max_fee=max_fee, gas=gas)


def signed(
    key: bytes, nonce: int, to: Address, value: int, data: bytes = b"", *,
    max_fee: int = 10**12, gas: int = 21_000,
) -> Checked:  # fmt: skip
    unsigned = build_transaction(
        kind=Kind.DYNAMIC_FEE, chain_id=CHAIN_ID, nonce=nonce, gas_limit=gas, max_fee=max_fee,
        max_priority_fee=min(10**9, max_fee), to=to, value=value, data=data,
    )  # fmt: skip
    return Checked(sign_transaction(unsigned, key), address_of(key))


class Author:
    """Builds what the validators of a ledger would, on a ledger that only the test decides on."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        self.genesis = genesis_of() if genesis is None else genesis
        self.ledger = Ledger.open(MemoryStore(), self.genesis)
        self.domain = Domain(CHAIN_ID, self.ledger.genesis_hash)
        self.epochs = Epochs(self.ledger, genesis_set(self.ledger, ADDRESSES[0]))
        self.candidates = Candidates(self.ledger)
        self._machine = Interpreter()

    # -- who ---------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of the block after the author's head."""
        return self.epochs.current().number

    def members(self, epoch: int | None = None) -> ValidatorSet:
        found = self.epochs.set_of(self.epoch if epoch is None else epoch)
        assert found is not None
        return found

    def leader(self, view: int) -> int:
        """The number of the key that leads a view of the author's epoch."""
        current = self.epochs.current()
        index = current.validators.leader(current.seed, view)
        return ADDRESSES.index(current.validators.validators[index].address)

    def follower(self, *views: int) -> int:
        """A validator that leads none of these views."""
        leaders = {self.leader(view) for view in views}
        return next(number for number in range(4) if number not in leaders)

    def led_by(self, who: int, start: int = 1) -> int:
        """The first view from `start` on that this validator leads."""
        return next(view for view in range(start, start + 1000) if self.leader(view) == who)

    # -- votes and certificates --------------------------------------------------------------------

    def vote(
        self, who: int, kind: VoteKind, view: int, block_hash: Hash = ZERO_HASH,
        parent_view: int = 0, *, epoch: int | None = None, domain: Domain | None = None,
    ) -> Vote:  # fmt: skip
        number = self.epoch if epoch is None else epoch
        ballot = Ballot(kind, number, view, block_hash, parent_view)
        return sign_ballot(ballot, domain or self.domain, KEYS[who])

    def vote_for(self, who: int, kind: VoteKind, proposed: ProposedBlock) -> Vote:
        record = proposed.record
        return self.vote(
            who, kind, record.view, proposed.hash, record.parent_view, epoch=record.epoch
        )

    def certificate(
        self, kind: VoteKind, view: int, block_hash: Hash = ZERO_HASH, parent_view: int = 0, *,
        signers: Sequence[int] = (0, 1, 2), epoch: int | None = None,
    ) -> Certificate:  # fmt: skip
        number = self.epoch if epoch is None else epoch
        votes = [
            self.vote(who, kind, view, block_hash, parent_view, epoch=number) for who in signers
        ]
        return build_certificate(votes, self.members(number))

    def certify(
        self, kind: VoteKind, proposed: ProposedBlock, signers: Sequence[int] = (0, 1, 2)
    ) -> Certificate:
        record = proposed.record
        return self.certificate(
            kind, record.view, proposed.hash, record.parent_view,
            signers=signers, epoch=record.epoch,
        )  # fmt: skip

    # -- blocks ------------------------------------------------------------------------------------

    def block(
        self,
        view: int,
        parent: ProposedBlock | None = None,
        *,
        transactions: Sequence[Checked] = (),
        time_ms: int | None = None,
        salt: int = 0,
        **changes: Any,
    ) -> ProposedBlock:
        """A block of the view's leader; without `parent` on the author's head.

        `changes` are of the record; the header follows them. Different salts, different blocks.
        """
        epoch = self.epochs.current()
        following = self.members(epoch.number + 1)
        if parent is None:
            parent_hash, parent_view = self.ledger.head_hash, self._head_view(epoch.number)
        else:
            parent_hash, parent_view = parent.hash, parent.record.view
        ground = self.candidates.ground(parent_hash)
        parent_ms = max(START_MS, self.candidates.time_ms(parent_hash))
        record = ConsensusRecord(
            chain_id=CHAIN_ID,
            epoch=epoch.number,
            view=view,
            height=ground.parent.number + 1,
            parent_view=parent_view,
            parent_hash=parent_hash,
            timestamp_ms=parent_ms + salt if time_ms is None else time_ms,
            validators_hash=epoch.validators.hash,
            next_validators_hash=following.hash,
            skip_root=skip_root(epoch.number, parent_view, view, self.domain),
            evidence_root=ZERO_HASH,
            proposer=ADDRESSES[self.leader(view)],
        )
        record = replace(record, **changes)
        built = build_block(
            ground, transactions, record, record.proposer,
            machine=self._machine, config=self.ledger.config, clock=lambda: 0.0,
        )  # fmt: skip
        assert len(built.runs) == len(transactions)
        self.candidates.keep(Candidate(built.executed, record, ()))
        found = self.candidates.proposed(built.executed.hash)
        assert found is not None
        return unknown_senders(found)

    def _head_view(self, epoch: int) -> int:
        stored = self.ledger.record(self.ledger.height)
        record = decode_record(stored) if stored else None
        return record.view if record is not None and record.epoch == epoch else 0

    def commit(self, proposed: ProposedBlock, certificate: Certificate | None = None) -> None:
        """The author goes on from this block."""
        candidate = self.candidates.executed(proposed.hash)
        assert candidate is not None
        commit(self.ledger, self.epochs, candidate, certificate)
        self.candidates.prune()


def commit(
    ledger: Ledger, epochs: Epochs, candidate: Candidate, certificate: Certificate | None
) -> None:
    """Put a block on a ledger from beside its driver."""
    executed = candidate.executed
    state = Overlay(ledger.view(), executed.changes)
    decided = epochs.decided_by(candidate.record.height, state, Interpreter())
    ledger.commit(
        executed,
        certificate=encode_certificate(certificate) if certificate else b"",
        record=encode_record(candidate.record),
        validators=(decided[0], encode_validators(decided[1])) if decided else None,
    )


def unknown_senders(proposed: ProposedBlock) -> ProposedBlock:
    """The block as it comes from a peer."""
    return replace(proposed, senders=(None,) * len(proposed.block.transactions))


def with_header(proposed: ProposedBlock, **changes: Any) -> ProposedBlock:
    """The same block with another header, and so another hash."""
    header = replace(proposed.block.header, **changes)
    block = Block(header, *_rest(proposed.block))
    return replace(proposed, block=block, hash=header_hash(header))


def with_record(proposed: ProposedBlock, **changes: Any) -> ProposedBlock:
    """The same block under another record, which its header names."""
    record = replace(proposed.record, **changes)
    header = replace(proposed.block.header, parent_beacon_root=record_hash(record))
    block = Block(header, *_rest(proposed.block))
    return replace(proposed, record=record, block=block, hash=header_hash(header))


def _rest(block: Block) -> tuple[Any, ...]:
    return tuple(getattr(block, name) for name in Block.__struct_fields__[1:])


class Recorder:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.published: list[tuple[Vote, ProposedBlock | None]] = []
        self.cast: list[Vote] = []
        self.certificates: list[Certificate] = []
        self.resent: list[tuple[Sequence[Certificate], Sequence[Vote]]] = []
        self.relayed: list[Vote] = []
        self.relayed_proposals: list[Vote] = []
        self.blocks_asked: list[tuple[Hash, Sequence[Address]]] = []
        self.certificates_asked: list[tuple[int, int, int, Address]] = []
        self.accused: list[tuple[Vote, Vote]] = []
        self.changes = 0

    def publish(self, vote: Vote, proposed: ProposedBlock | None) -> None:
        self.published.append((vote, proposed))

    def votes(self, votes: Sequence[Vote]) -> None:
        self.cast += votes

    def certificate(self, certificate: Certificate) -> None:
        self.certificates.append(certificate)

    def resend(self, certificates: Sequence[Certificate], votes: Sequence[Vote]) -> None:
        self.resent.append((certificates, votes))

    def relay_votes(self, votes: Sequence[Vote], source: PeerId) -> None:
        self.relayed += votes

    def relay_proposal(self, vote: Vote, proposed: ProposedBlock | None, source: PeerId) -> None:
        self.relayed_proposals.append(vote)

    def fetch_block(self, block_hash: Hash, signers: Sequence[Address]) -> None:
        self.blocks_asked.append((block_hash, signers))

    def fetch_certificates(
        self, epoch: int, first_view: int, last_view: int, leader: Address
    ) -> None:
        self.certificates_asked.append((epoch, first_view, last_view, leader))

    def accuse(self, first: Vote, second: Vote) -> None:
        self.accused.append((first, second))

    def status_changed(self) -> None:
        self.changes += 1

    def kinds(self) -> list[tuple[VoteKind, int]]:
        """What was voted, in order."""
        return [(vote.ballot.kind, vote.ballot.view) for vote in self.cast]


class KeptStore(MemoryStore):
    """A memory store that outlives its ledger, as a disk would."""

    def close(self) -> None:
        """Stays open."""


class Shell:
    """A node under test. `who` is the number of its key; None: it only observes."""

    def __init__(
        self,
        author: Author,
        who: int | None,
        *,
        timing: Timing = IDLE,
        store: MemoryStore | None = None,
        votes: MemoryFile | None = None,
        late: bool = False,
    ) -> None:
        """`late`: the key's votes are lost (V5)."""
        loop = asyncio.get_running_loop()
        self.author = author
        self.outbox = Recorder()
        self.committed: list[Committed] = []
        self.evidence: list[tuple[Vote, Vote]] = []
        self.blamed: list[tuple[PeerId, Offence, str]] = []
        self.store = KeptStore() if store is None else store
        self.votes = MemoryFile() if votes is None else votes
        self.work_s = WORK_S
        self.writer = VirtualExecutor(loop, 1, lambda: self.work_s)
        self.signer_thread = VirtualExecutor(loop, 1, lambda: WORK_S)
        self.ledger = Ledger.open(self.store, author.genesis)
        self.mempool = Mempool(
            Settings().pool, self.ledger.view(), self.ledger.head.gas_limit, clock=loop.time
        )
        epochs = Epochs(self.ledger, genesis_set(self.ledger, ADDRESSES[0]))
        signs = who is not None and not late
        self.driver = Driver(
            ledger=self.ledger,
            mempool=self.mempool,
            machine=Interpreter(),
            epochs=epochs,
            signer=self.make_signer(who) if signs and who is not None else None,
            late_signer=(lambda: self.make_signer(who)) if late and who is not None else None,
            domain=author.domain,
            outbox=self.outbox,
            coinbase=ADDRESSES[who or 0],
            timing=timing,
            clock=lambda: START_S + 1 + loop.time(),
            stopwatch=loop.time,
            measured=Measured(),
            threads=Threads(self.writer, self.signer_thread),
            on_commit=self.committed.append,
            on_evidence=lambda one, other: self.evidence.append((one, other)),
        )
        self.admission = Admission(
            self.driver, lambda peer, offence, text: self.blamed.append((peer, offence, text))
        )
        self.running: asyncio.Task[None] | None = None
        self._expected = False  # whether it is to end by itself

    def make_signer(self, who: int) -> Signer:
        return Signer(KEYS[who], self.author.domain, VoteLog(self.votes))

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> "Shell":
        await self.driver.recover()
        self.running = asyncio.create_task(self.driver.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.running is not None
        if self.running.done():
            if error is None and not self._expected:
                self.running.result()
            return
        self.driver.stop()
        await self.running

    async def failure(self) -> BaseException:
        """Why the driver ends by itself."""
        assert self.running is not None
        self._expected = True
        await asyncio.wait([self.running])
        found = self.running.exception()
        assert found is not None
        return found

    async def settle(self, seconds: float = 0.05) -> None:
        """Give it time to do everything that it has to."""
        await asyncio.sleep(seconds)
        assert self.running is not None
        if self.running.done():
            self.running.result()

    async def until(self, condition: Callable[[], bool]) -> None:
        assert self.running is not None
        await until(lambda: condition() or self.running is None or self.running.done())
        if self.running.done():
            self.running.result()
        assert condition()

    # -- what peers bring --------------------------------------------------------------------------

    async def propose(self, proposed: ProposedBlock, peer: PeerId = PEER) -> None:
        """The leader's proposal arrives."""
        who = ADDRESSES.index(proposed.record.proposer)
        vote = self.author.vote_for(who, NOTARIZE, proposed)
        await self.admission.proposal_arrived(peer, vote, proposed)

    async def hear(self, *votes: Vote, peer: PeerId = PEER) -> None:
        await self.admission.votes_arrived(peer, votes)

    async def certify(self, *certificates: Certificate, peer: PeerId = PEER) -> None:
        await self.admission.certificates_arrived(peer, certificates)

    def pool(self, *transactions: Checked) -> None:
        """Clients send transactions."""
        for checked in transactions:
            self.mempool.add(checked)
            self.driver.pooled()

    def takes_part(self) -> bool:
        """Whether it votes, and does not only observe."""
        return self.driver.core.takes_part

    @property
    def offences(self) -> list[Offence]:
        return [offence for _, offence, _ in self.blamed]
