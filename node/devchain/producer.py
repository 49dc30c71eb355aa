"""Builds and commits a developer's blocks: when a transaction comes, at an interval, on demand.

Nothing is voted on (decision 0008). One turn at a time: whoever builds, changes the state or
takes blocks back holds `turn`, so that each of them sees a whole chain.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Final, ParamSpec, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chain import headers
from chain.blocks import Block, Header
from chain.errors import Reason, Rejected, SourceFailed
from chain.ledger import Ledger
from chain.machine import Machine
from chain.transactions import Checked, Kind
from chain.types import ZERO_HASH, Address, Hash, Height
from chain.validators import (
    ConsensusRecord,
    Validator,
    decode_record,
    encode_record,
    validator_set,
)
from node.consensus.committed import Committed
from node.devchain.blobs import Blobs
from node.devchain.fork.origin import ForkOrigin
from node.devchain.prints import CONSOLE, Prints
from node.devchain.signatures import Signatures
from node.devchain.times import Times
from node.devchain.wishes import Wishes
from node.handing import InlineExecutor, handed
from node.pool.mempool import Mempool
from node.proposer import Built, Ground, Watch, build_block, candidates_max
from node.watch.observation import Measured

# As `node.consensus.pacemaker`: how far the base fee is brought down by empty blocks.
_FEE_FALL_MAX: Final = 8
_FEE_FALLS_FROM: Final = 8  # wei
_LOST_MAX: Final = 1_024
_log: Final = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def _comes_down_to(base_fee: int, fee_cap: int) -> bool:
    """Whether empty blocks are built for what offers no more than that (decision 0006)."""
    return base_fee >= _FEE_FALLS_FROM and fee_cap * _FEE_FALL_MAX >= base_fee


class Pace(Struct, frozen=True):
    """When blocks are built by themselves."""

    automine: bool  # as soon as a transaction can run
    interval: float  # seconds; 0: not by the clock
    empty_blocks: bool  # whether the interval's blocks may be empty


class Producer:
    """One chain's only builder. Used in the event loop's thread."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        mempool: Mempool,
        machine: Machine,
        validator: Address,
        wishes: Wishes,
        times: Times,
        pace: Pace,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
        writer: Executor,
        measured: Measured,
        on_commit: Callable[[Committed], None],
    ) -> None:
        """`clock` gives seconds since 1970, `stopwatch` seconds since whenever.

        `on_commit` hears of each block after it is committed. Raises `Rejected` (BAD_GENESIS)
        for a ledger that is not merged.
        """
        if not ledger.config.merged_after(ledger.total_difficulty(ledger.height)):
            raise Rejected(
                Reason.BAD_GENESIS,
                "this ledger is before the merge, and no new blocks can be built on it",
            )
        self.ledger = ledger
        self.validator = validator
        self.wishes = wishes
        self.times = times
        self.pace = pace
        self.turn = asyncio.Lock()
        self.blobs = Blobs()
        self.signatures = Signatures()
        self.fork: ForkOrigin | None = None  # what a forked ledger reads from
        self._members = validator_set([Validator(validator, 1)])
        self._mempool = mempool
        self._machine = machine
        self._clock = clock
        self._stopwatch = stopwatch
        self._writer = writer
        self._at_once = isinstance(writer, InlineExecutor)
        self._measured = measured
        self._on_commit = on_commit
        self._wake = asyncio.Event()
        self._waiting: list[tuple[Hash, asyncio.Future[None]]] = []
        self._last = (b"", 0)  # a record, and its view: mostly the head's
        self._nothing_fits = False  # until something is pooled
        self._arrivals = 0  # how often something was: a block in the making does not know of it
        self._lost: dict[Hash, SourceFailed] = {}  # whose state a fork's source did not give
        self._due: float | None = None  # when the interval's next block is, by the loop's clock
        self._broken: Exception | None = None  # what building for a caller failed with
        self._stopping = False

    # -- life --------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Nothing is begun that a crash could cut short: a block is committed or it never was."""

    async def run(self) -> None:
        """Build what is due until `stop`. Raises `Fault` when the disk fails."""
        try:
            while not self._stopping:
                self._wake.clear()
                if self._broken is not None:
                    raise self._broken
                before, arrivals = len(self._waiting), self._arrivals
                try:
                    await self._build_due()
                except SourceFailed as failed:
                    self._nothing_fits = arrivals == self._arrivals
                    self._give_up(failed)
                self._release(before)
                timeout = self._timeout()
                if timeout is None:
                    await self._wake.wait()
                elif timeout > 0:
                    try:
                        async with asyncio.timeout(timeout):
                            await self._wake.wait()
                    except TimeoutError:
                        continue
        finally:
            self._stopping = True
            self._release(len(self._waiting))

    def stop(self) -> None:
        """Finish the block in the making, then let `run` return."""
        self._stopping = True
        self._wake.set()

    @property
    def is_broken(self) -> bool:
        """Whether building for a caller failed, which `run` is about to raise."""
        return self._broken is not None

    def close(self) -> None:
        """There is nothing to let go of: the ledger is its node's."""

    def pooled(self) -> None:
        """A transaction was pooled: it may be reason to build."""
        self._nothing_fits = False
        self._arrivals += 1
        if self.pace.automine:
            self._wake.set()

    def set_pace(self, pace: Pace) -> None:
        """Build by another pace from now on."""
        if pace.interval != self.pace.interval:
            self._due = None
        self.pace = pace
        self._wake.set()

    async def settled(self, transaction_hash: Hash) -> None:
        """Wait until a pooled transaction is in a block, or waits for more than a block.

        Raises `SourceFailed` when it could not be run for want of a fork's state, and `Rejected`
        (FEE_CAP_BELOW_BASE_FEE) when it offers so little that no block would ever be built for it.
        """
        if (failed := self._lost.pop(transaction_hash, None)) is not None:
            raise failed
        if not self.pace.automine or self._stopping or transaction_hash not in self._mempool:
            return
        if self._at_once and self.fork is None and not self._waiting and not self.turn.locked():
            await self._build_first()
            if transaction_hash not in self._mempool:
                return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((transaction_hash, done))
        self._wake.set()
        await done

    async def _build_first(self) -> None:
        """A block for whoever is alone in waiting for one, in his own turn of the loop.

        Only where nothing in it waits, so that he can't go away in the middle.
        """
        try:
            async with self.turn:
                wanted = self._something_to_build()
                if wanted is not None:
                    await self.build(empty=wanted)
        except Exception as error:
            self._broken = error
            self._wake.set()
            raise

    def _release(self, count: int) -> None:
        """The first `count` that wait have been looked at; others go when they left the pool."""
        kept = []
        for index, (transaction_hash, done) in enumerate(self._waiting):
            checked = self._mempool.get(transaction_hash)
            if index >= count and checked is not None:
                kept.append((transaction_hash, done))
            elif done.done():
                continue
            elif checked is not None and (refused := self._too_cheap(checked)) is not None:
                self._mempool.drop(transaction_hash)
                done.set_exception(refused)
            else:
                done.set_result(None)
        self._waiting = kept

    def _too_cheap(self, checked: Checked) -> Rejected | None:
        """The refusal of a transaction that would wait for ever: for a fee that never falls."""
        if not self.pace.automine or self.pace.interval or self._stopping:
            return None
        base_fee, fee_cap = self.upcoming().base_fee or 0, checked.transaction.max_fee
        if fee_cap >= base_fee or _comes_down_to(base_fee, fee_cap):
            return None
        return Rejected(
            Reason.FEE_CAP_BELOW_BASE_FEE,
            f"address 0x{checked.sender.hex()}, maxFeePerGas: {fee_cap}, baseFee: {base_fee}",
        )

    def _give_up(self, failed: SourceFailed) -> None:
        """No block can be begun: those that wait for one are told so."""
        _log.warning("no block: %s", failed)
        for _, done in self._waiting:
            if not done.done():
                done.set_exception(failed)
        self._waiting = []

    def _lose(self, failed: SourceFailed, transaction_hash: Hash) -> None:
        """Drop a transaction that can't be run, and tell whoever waits for it."""
        _log.warning("dropped 0x%s: %s", transaction_hash.hex(), failed)
        self._mempool.drop(transaction_hash)
        told = False
        for waited, done in self._waiting:
            if waited == transaction_hash and not done.done():
                done.set_exception(failed)
                told = True
        if not told:
            while len(self._lost) >= _LOST_MAX:
                del self._lost[next(iter(self._lost))]
            self._lost[transaction_hash] = failed

    # -- when --------------------------------------------------------------------------------------

    async def _build_due(self) -> None:
        """Every block that is due now."""
        while self.pace.automine and not self._stopping:
            async with self.turn:
                wanted = self._something_to_build()
                if wanted is None or await self.build(empty=wanted) is None:
                    break
        interval = self.pace.interval
        if not interval or self._stopping:
            return
        now = asyncio.get_running_loop().time()
        if self._due is None:
            self._due = now + interval
        if now >= self._due:
            # Late ones are not made up for: the chain would run after the clock in bursts.
            self._due = max(self._due + interval, now)
            async with self.turn:
                await self.build(empty=self.pace.empty_blocks)

    def _timeout(self) -> float | None:
        """How long there is nothing to do by the clock; None: for ever."""
        if not self.pace.interval or self._due is None:
            return None
        return max(self._due - asyncio.get_running_loop().time(), 0.0)

    def _something_to_build(self) -> bool | None:
        """Whether the block may be empty; None when there is no reason for one (decision 0006)."""
        if self._nothing_fits or not len(self._mempool):
            return None
        base_fee = self.upcoming().base_fee or 0
        if self._mempool.has_ready(base_fee):
            return False
        best = self._mempool.best_fee_cap()
        return True if best < base_fee and _comes_down_to(base_fee, best) else None

    # -- what --------------------------------------------------------------------------------------

    def upcoming(self) -> Header:
        """The header that the next block would begin with now; its roots mean nothing."""
        ledger, wishes = self.ledger, self.wishes
        parent = ledger.head
        timestamp = self.times.upcoming(self._clock(), parent.timestamp)
        fork = ledger.config.fork_at(parent.number + 1, timestamp, merged=True)
        base_fee = wishes.base_fee
        if base_fee is None or not fork.base_fee:
            base_fee = headers.base_fee(parent, fork) if fork.base_fee else None
        return replace(
            parent,
            parent_hash=ledger.head_hash,
            number=parent.number + 1,
            timestamp=timestamp,
            difficulty=0,
            coinbase=ledger.config.ledger.fee_recipient or self._coinbase(),
            gas_limit=wishes.gas_limit or parent.gas_limit,
            base_fee=base_fee,
            excess_blob_gas=headers.excess_blob_gas(parent, fork) if fork.blobs else None,
            mix_hash=wishes.randomness or ZERO_HASH,
        )

    def _coinbase(self) -> Address:
        return self.validator if self.wishes.coinbase is None else self.wishes.coinbase

    async def build(
        self, *, empty: bool, only: Sequence[Checked] | None = None
    ) -> Committed | None:
        """Build and commit a block of what is ready, or of `only`; the caller holds `turn`.

        None when it would be empty and must not be, and then nothing has changed but the pool,
        which lets go of what can never run.
        """
        ledger, wishes, now = self.ledger, self.wishes, self._clock()
        arrivals = self._arrivals
        header = self.upcoming()
        parent = ledger.head
        if only is None:
            ready = self._mempool.ready(header.base_fee or 0)
            chosen: Sequence[Checked] = list(islice(ready, candidates_max(header)))
        else:
            chosen = only
        record = self._record(header)
        ground = Ground(
            view=ledger.view(),
            parent=parent,
            total_difficulty=ledger.total_difficulty(ledger.height),
            block_hash=self._block_hash,
        )
        if self.fork is not None:
            self.fork.presume(header.number, header.timestamp)
        start = self._stopwatch()
        built = await self._run_all(ground, chosen, record, header)
        self._measured.block_processing.observe(self._stopwatch() - start)
        for transaction_hash, _ in built.refused:
            self._mempool.drop(transaction_hash)
        if not built.runs and not empty:
            self._nothing_fits = not built.refused and arrivals == self._arrivals
            return None
        start = self._stopwatch()
        raw = encode_record(record)
        await self._in_writer(ledger.commit, built.executed, record=raw)
        self._last = (raw, record.view)
        self._keep_blobs(built.executed.block)
        self._measured.block_commit.observe(self._stopwatch() - start)
        committed = built.executed.block.header
        self.times.passed(now, committed.timestamp)
        wishes.passed()
        self._nothing_fits = False
        runnable = self._mempool.advance(ledger.view(), committed.gas_limit, built.executed)
        done = Committed(built.executed, built.runs, record, None, runnable)
        self._on_commit(done)
        self._release(0)
        return done

    def _keep_blobs(self, block: Block) -> None:
        """Keep what came with the block's blob transactions, which the pool lets go of."""
        for transaction in block.transactions:
            if transaction.kind != Kind.BLOB:
                continue
            if (sidecar := self._mempool.sidecar(transaction.hash)) is not None:
                self.blobs.keep(transaction.blob_hashes, sidecar)

    async def _run_all(
        self, ground: Ground, chosen: Sequence[Checked], record: ConsensusRecord, header: Header
    ) -> Built:
        """The block of what can be run; what a fork's source keeps from running is dropped."""
        wishes = self.wishes
        while True:
            try:
                return await self._in_writer(
                    build_block,
                    ground,
                    chosen,
                    record,
                    header.coinbase,
                    machine=self.signatures.machine(self._machine),
                    config=self.ledger.config,
                    clock=self._stopwatch,
                    base_fee=wishes.base_fee,
                    gas_limit=wishes.gas_limit,
                    mix=wishes.randomness,
                    watch=Watch(CONSOLE, Prints),
                )
            except SourceFailed as failed:
                lost = failed.transaction
                if lost is None:
                    raise
                self._lose(failed, Hash(lost))
                chosen = [checked for checked in chosen if checked.transaction.hash != lost]

    def _record(self, header: Header) -> ConsensusRecord:
        """What goes on where votes would have: the ledger can be taken on by `chain-node run`."""
        ledger = self.ledger
        before = ledger.record(ledger.height) or b""
        if before != self._last[0]:
            self._last = (before, decode_record(before).view if before else 0)
        view = self._last[1]
        return ConsensusRecord(
            chain_id=ledger.config.chain_id,
            epoch=0,
            view=view + 1,
            height=header.number,
            parent_view=view,
            parent_hash=header.parent_hash,
            timestamp_ms=header.timestamp * 1000,
            validators_hash=self._members.hash,
            next_validators_hash=self._members.hash,
            proposer=self.validator,
        )

    def _block_hash(self, number: int) -> Hash:
        ledger = self.ledger
        return ledger.hash_at(Height(number)) if 0 <= number <= ledger.height else ZERO_HASH

    async def _in_writer(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await handed(self._writer, call, *args, **kwargs)

    async def change(self, call: Callable[[], R]) -> R:
        """Have the writer's thread change the chain or its state; the caller holds `turn`.

        The pool follows to whatever the head is afterwards.
        """
        try:
            return await self._in_writer(call)
        finally:
            self._mempool.rebase(
                self.ledger.view(), self.wishes.gas_limit or self.ledger.head.gas_limit
            )
            self.pooled()
