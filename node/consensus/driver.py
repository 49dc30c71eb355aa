"""The shell around the consensus core: decides when to build, performs the effects.

One turn: an event goes into the core, its effects are performed in order, what they give
back goes in again. All of a turn's ballots are logged with one fsync before a signature
leaves (V1). A final block is committed with its certificate and record in one synced
batch, and only then announced (V6).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from typing import Final, ParamSpec, TypeVar, assert_never

from msgspec import Struct

from chain import codec, headers
from chain.blocks import Block, decode_block, encode_block, header_hash
from chain.crypto.keccak import keccak
from chain.errors import Fault, Reason, Rejected
from chain.execution import Executed, apply_block
from chain.ledger import Ledger
from chain.machine import Machine
from chain.types import ZERO_HASH, Address, Hash, Height
from chain.validators import (
    Ballot,
    Certificate,
    ConsensusRecord,
    VoteKind,
    decode_record,
    encode_certificate,
    encode_record,
    randomness,
    record_hash,
)
from node.consensus.core import Core
from node.consensus.messages import (
    Accuse,
    BodyChecked,
    Broadcast,
    Build,
    BuildFailed,
    Cast,
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
    ProposalDue,
    ProposalReceived,
    Publish,
    Resend,
    Stop,
    VoteReceived,
)
from node.consensus.signer import Signer
from node.consensus.vote_log import Kept, Position
from node.mempool import Mempool
from node.proposer import Ground, Run, build_block, candidates_max

# A base fee falls by at most an eighth per block: after 16 empty blocks it is about an
# eighth of what it was. Transactions that wait for less than that wait for real blocks.
_FEE_FALL_MAX: Final = 8
_FEE_FALLS_FROM: Final = 8  # wei; an eighth of less rounds to nothing

_log = logging.getLogger("consensus")
P = ParamSpec("P")
R = TypeVar("R")


class Timing(Struct, frozen=True):
    """When blocks are built. `block_time` in seconds; 0: as soon as there is something."""

    block_time: float
    empty_blocks: bool


class Committed(Struct, frozen=True):
    """A block that is on disk, with what its building showed (nothing after a recovery)."""

    executed: Executed
    runs: tuple[Run, ...]


class _Candidate(Struct, frozen=True):
    """An executed block that may become final."""

    executed: Executed
    record: ConsensusRecord
    runs: tuple[Run, ...]


class Driver:
    """Runs one validator. Everything it needs comes in through the constructor."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        mempool: Mempool,
        machine: Machine,
        core: Core,
        signer: Signer,
        coinbase: Address,
        timing: Timing,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
        writer: Executor,
        on_commit: Callable[[Committed], None],
    ) -> None:
        """`clock` gives seconds since 1970, `stopwatch` seconds since whenever.

        `writer` is one thread in which blocks are built, votes signed and the ledger
        written. `on_commit` hears of each block after it is on disk, in the event loop.
        """
        self._ledger = ledger
        self._mempool = mempool
        self._machine = machine
        self._core = core
        self._signer = signer
        self._coinbase = coinbase
        self._timing = timing
        self._clock = clock
        self._stopwatch = stopwatch
        self._writer = writer
        self._on_commit = on_commit
        self._candidates: dict[Hash, _Candidate] = {}
        self._bodies: dict[Hash, tuple[ConsensusRecord, Block]] = {}
        self._unlogged: list[tuple[Position, bytes]] = []  # proposals not yet in the vote log
        self._allow_empty = False
        self._nothing_fits = False  # the last attempt came to nothing: wait for news
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def validator(self) -> Address:
        """Whose key signs here."""
        return self._signer.address

    def wake(self) -> None:
        """A transaction was pooled."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the block in the making, then let `run` return."""
        self._stopping.set()
        self._wake.set()

    async def recover(self) -> None:
        """Finish what a crash cut short: blocks that were voted for and never committed."""
        events: list[Event] = []
        for _, data in sorted(self._signer.proposals.items()):
            record, block = _decode_proposal(data)
            block_hash = header_hash(block.header)
            self._bodies[block_hash] = (record, block)
            events.append(ProposalReceived(_proposal(record, block_hash)))
        await self._turn(events, self._core.start())
        # What consensus calls final must be on disk now; otherwise this node would
        # build beside its own votes.
        voted = [v.ballot for v in self._signer.votes if v.ballot.kind is VoteKind.FINALIZE]
        if voted:
            raise Fault(
                f"the vote log holds a vote for block 0x{voted[0].block_hash.hex()}, "
                "which is lost: this key must not build beside it; restore the data folder"
            )

    async def run(self) -> None:
        """Build blocks until `stop`. Raises `Fault` when consensus or the disk fails."""
        while await self._reason_to_build():
            await self._turn([ProposalDue(self._core.view)])

    # -- when --------------------------------------------------------------------------------------

    async def _reason_to_build(self) -> bool:
        """Wait until a block is due; False when the node stops."""
        timing = self._timing
        if timing.block_time == 0:
            while not self._stopping.is_set() and not self._something_to_build():
                self._wake.clear()
                await self._wake.wait()
                self._nothing_fits = False
            return not self._stopping.is_set()
        while not self._stopping.is_set():
            # Ticks are multiples of the interval, so building time does not add up.
            pause = timing.block_time - self._clock() % timing.block_time
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                self._allow_empty = timing.empty_blocks
                if timing.empty_blocks or self._something_to_build():
                    return True
        return False

    def _something_to_build(self) -> bool:
        """Whether a block would have content, or would bring a waiting one nearer.

        A transaction whose fee cap was overtaken by the base fee gets in only when
        the fee falls again, which takes blocks; without others they are empty.
        """
        if self._nothing_fits:
            return False
        base_fee = self._next_base_fee()
        if self._mempool.has_ready(base_fee):
            self._allow_empty = False
            return True
        best = self._mempool.best_fee_cap()
        self._allow_empty = base_fee >= _FEE_FALLS_FROM and best * _FEE_FALL_MAX >= base_fee
        return self._allow_empty

    def _next_base_fee(self) -> int:
        parent = self._ledger.head
        fork = self._ledger.config.fork_at(
            parent.number + 1, self._next_time_ms() // 1000, merged=True
        )
        return headers.base_fee(parent, fork)

    def _next_time_ms(self) -> int:
        """Now, or the first second after the parent's: headers' times strictly ascend.

        Under load blocks are faster than seconds, so their times run ahead of the
        clock; they meet again when the load ends.
        """
        return max(int(self._clock() * 1000), (self._ledger.head.timestamp + 1) * 1000)

    # -- a turn ------------------------------------------------------------------------------------

    async def _turn(self, events: Iterable[Event], effects: Sequence[Effect] = ()) -> None:
        """Feed events to the core until nothing more comes of them."""
        waiting = deque(events)
        while True:
            ballots: list[Ballot] = []
            for effect in effects:
                match effect:
                    case Build():
                        waiting.append(await self._build(effect))
                    case CheckBody(proposal):
                        waiting.append(await self._check_body(proposal))
                    case Cast(ballot):
                        ballots.append(ballot)
                    case Deliver(block_hash, certificate):
                        waiting.append(await self._deliver(block_hash, certificate))
                    case Stop(reason):
                        raise Fault(f"consensus failure: {reason}")
                    case (
                        EnterView()
                        | Broadcast()
                        | Publish()
                        | Resend()
                        | FetchBlock()
                        | FetchCertificates()
                        | Accuse()
                    ):
                        pass  # a single validator has no timers to arm and nobody to tell
                    case _:
                        assert_never(effect)
            if ballots:
                proposals, self._unlogged = self._unlogged, []
                votes = await self._in_writer(self._signer.sign, ballots, Kept(tuple(proposals)))
                waiting.extend(map(VoteReceived, votes))
            if not waiting:
                return
            effects = self._core.handle(waiting.popleft())

    async def _in_writer(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, partial(call, *args, **kwargs))

    # -- build -------------------------------------------------------------------------------------

    async def _build(self, effect: Build) -> Event:
        ledger = self._ledger
        if effect.parent_hash != ledger.head_hash:
            return BuildFailed(effect.view)
        parent = ledger.head
        record = self._record(effect, parent.number + 1)
        ready = self._mempool.ready(self._next_base_fee())
        candidates = list(islice(ready, candidates_max(parent)))
        self._wake.clear()  # what is pooled from now on is for the next block
        built = await self._in_writer(
            build_block,
            self._ground(),
            candidates,
            record,
            self._coinbase,
            machine=self._machine,
            config=ledger.config,
            clock=self._stopwatch,
        )
        for transaction_hash, rejected in built.refused:
            _log.info("dropped 0x%s: %s", transaction_hash.hex(), rejected)
            self._mempool.drop(transaction_hash)
        self._nothing_fits = not built.runs and not built.refused and not self._allow_empty
        if not built.runs and not self._allow_empty:
            return BuildFailed(effect.view)
        executed = built.executed
        self._candidates[executed.hash] = _Candidate(executed, record, built.runs)
        position = (record.epoch, record.view)
        self._unlogged.append((position, _encode_proposal(record, executed.block)))
        return ProposalBuilt(_proposal(record, executed.hash))

    def _record(self, effect: Build, height: int) -> ConsensusRecord:
        epoch = self._core.epoch
        skipped = self._core.skipped(effect.parent_view, effect.view)
        skip_root = ZERO_HASH
        if skipped:
            skip_root = Hash(keccak(codec.encode_list(map(encode_certificate, skipped))))
        return ConsensusRecord(
            chain_id=self._ledger.config.chain_id,
            epoch=epoch.number,
            view=effect.view,
            height=height,
            parent_view=effect.parent_view,
            parent_hash=effect.parent_hash,
            timestamp_ms=self._next_time_ms(),
            validators_hash=epoch.validators.hash,
            next_validators_hash=epoch.validators.hash,
            skip_root=skip_root,
            proposer=self._signer.address,
        )

    def _ground(self) -> Ground:
        ledger = self._ledger
        return Ground(
            view=ledger.view(),
            parent=ledger.head,
            total_difficulty=ledger.total_difficulty(ledger.height),
            block_hash=partial(ancestor_hash, ledger),
        )

    # -- check and commit -------------------------------------------------------------------------

    async def _check_body(self, proposal: Proposal) -> Event:
        """Execute a block on the head's state (R1)."""
        record, block = self._bodies[proposal.block_hash]
        try:
            executed = await self._in_writer(self._apply, record, block)
        except Rejected as rejected:
            _log.error("block 0x%s is not valid: %s", proposal.block_hash.hex(), rejected)
            return BodyChecked(proposal.block_hash, False)
        self._candidates[proposal.block_hash] = _Candidate(executed, record, ())
        return BodyChecked(proposal.block_hash, True)

    def _apply(self, record: ConsensusRecord, block: Block) -> Executed:
        ground = self._ground()
        if block.header.parent_beacon_root != record_hash(record):
            raise Rejected(Reason.WRONG_HEADER_FIELDS, "the header names another record")
        if block.header.mix_hash != randomness(record):
            raise Rejected(Reason.WRONG_HEADER_FIELDS, "the randomness is not the record's")
        if block.header.timestamp != record.timestamp_ms // 1000:
            raise Rejected(Reason.WRONG_TIMESTAMP, "the record has another time")
        return apply_block(
            ground.view,
            block,
            ground.parent,
            self._machine,
            self._ledger.config,
            ground.block_hash,
            parent_total_difficulty=ground.total_difficulty,
        )

    async def _deliver(self, block_hash: Hash, certificate: Certificate | None) -> Event:
        candidate = self._candidates.pop(block_hash)
        await self._in_writer(self._commit, candidate, certificate)
        self._candidates.clear()
        self._bodies.clear()
        executed = candidate.executed
        self._mempool.advance(self._ledger.view(), executed.block.header.gas_limit, executed)
        self._on_commit(Committed(executed, candidate.runs))
        return FloorStored(candidate.record.view)

    def _commit(self, candidate: _Candidate, certificate: Certificate | None) -> None:
        """V6: everything about the block in one synced batch, then the floor."""
        self._ledger.commit(
            candidate.executed,
            certificate=encode_certificate(certificate) if certificate else b"",
            record=encode_record(candidate.record),
        )
        self._signer.raise_floor((candidate.record.epoch, candidate.record.view))


def ancestor_hash(ledger: Ledger, number: int) -> Hash:
    """The hash of a committed block; zero when there is none at that height."""
    return ledger.hash_at(Height(number)) or ZERO_HASH


def _proposal(record: ConsensusRecord, block_hash: Hash) -> Proposal:
    return Proposal(record.view, block_hash, record.parent_view, record.parent_hash, record.height)


def _encode_proposal(record: ConsensusRecord, block: Block) -> bytes:
    return codec.encode_list(
        (codec.encode_bytes(encode_record(record)), codec.encode_bytes(encode_block(block)))
    )


def _decode_proposal(data: bytes) -> tuple[ConsensusRecord, Block]:
    """A proposal from the vote log; `Fault` when it makes no sense."""
    item = codec.decode(data)
    if isinstance(item, list) and len(item) == 2:
        record, block = item
        if isinstance(record, bytes) and isinstance(block, bytes):
            return decode_record(record), decode_block(block)
    raise Fault("the vote log holds a proposal of another format")
