"""What developers' methods act through: one object that mines, amends, goes back, impersonates."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Final, TypeVar

from msgspec.structs import replace

from chain.beginnings import first_writes
from chain.blocks import Header
from chain.changes import Changes
from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.ledger import Ledger
from chain.state import State
from chain.storage.store import Change
from chain.transactions import Checked, Transaction
from chain.types import Address, Hash, Height
from node.devchain import unsigned
from node.devchain.aloud import Ears
from node.devchain.amending import amended
from node.devchain.dump import states_of
from node.devchain.dump_file import DumpFile
from node.devchain.fork.beginning import ForkPoint, find_fork, first_changes
from node.devchain.loading import overlay, replacing
from node.devchain.notes import Notes, Snapshot
from node.devchain.producer import Pace, Producer
from node.pool.mempool import Mempool

MINED_MAX: Final = 100_000  # blocks in one call
IMPERSONATED_MAX: Final = 10_000
_FETCHERS: Final = 8  # questions to a fork's source at the same time

T = TypeVar("T")


def _build_on(producer: Producer, fork: ForkPoint | None) -> None:
    """Let blocks go on from a fork, or from none.

    Whoever has their tips is, without a data folder, another in every run, and some runs have to do
    without the source.
    """
    producer.fork = None if fork is None else fork.origin
    if producer.fork is not None:
        producer.fork.presume_nothing(producer.validator)


class DevChain:
    """A developer's ledger under control. Used in the event loop's thread."""

    def __init__(
        self,
        ledger: Ledger,
        mempool: Mempool,
        producer: Producer,
        notes: Notes,
        *,
        clock: Callable[[], float],
        random: Random,
        fork: ForkPoint | None = None,
        forks: Path | None = None,
        ears: Ears | None = None,
        threads: Callable[[int, str], Executor] = ThreadPoolExecutor,
    ) -> None:
        """`clock` gives seconds since 1970.

        `fork` is where the ledger left another one, and `forks` the folder for what sources
        say (None: it is not kept). `ears` hear of calls that print. `threads` gives so many
        threads, named so.
        """
        self.fork = fork
        _build_on(producer, fork)
        self._forks = forks
        self._threads = threads
        self._fetchers: Executor | None = None
        self.producer = producer
        self.ledger = ledger
        self.ears = ears
        self.automatic = False  # whether every account is impersonated
        self._mempool = mempool
        self._notes = notes
        self._clock = clock
        self._random = random
        self._first_pace = producer.pace
        self._first_coinbase = producer.wishes.coinbase
        self._impersonated: dict[Address, None] = {}  # in order
        self._added: set[Address] = set()
        self.instance = self._new_instance()

        if notes.chain_id is not None:
            ledger.config = replace(ledger.config, chain_id=notes.chain_id)

    def _new_instance(self) -> Hash:
        return Hash(self._random.getrandbits(256).to_bytes(32, "big"))

    def close(self) -> None:
        self._notes.close()
        if self._fetchers is not None:
            self._fetchers.shutdown()
        if self.fork is not None:
            self.fork.origin.close()

    # -- forks -------------------------------------------------------------------------------------

    async def fetch(self, call: Callable[[], T]) -> T:
        """The result of a call that asks a fork's source, which takes its time."""
        if self._fetchers is None:
            self._fetchers = self._threads(_FETCHERS, "fork")
        return await asyncio.get_running_loop().run_in_executor(self._fetchers, call)

    async def reset_to_fork(self, url: str | None, height: int | None) -> None:
        """Begin again at a block of another ledger, by default the newest of the same one.

        The chain id stays. Raises `SourceFailed`, and `Rejected` as `find_fork` or BAD_SETTING
        when no URL was ever named; then nothing has changed.
        """
        url = url or (None if self.fork is None else self.fork.url)
        if url is None:
            raise Rejected(Reason.BAD_SETTING, "forking needs jsonRpcUrl: there is no fork yet")
        genesis, old = self.ledger.genesis, self.fork

        def find() -> tuple[ForkPoint, list[Change]]:
            found = find_fork(url, height, self._forks)
            return found, first_changes(found, genesis)

        fork, changes = await self.fetch(find)
        await self._begin_again(lambda: self.ledger.begin_again(changes, fork.origin), fork)
        if old is not None:
            old.origin.close()

    def committed(self) -> None:
        """A block is on disk."""
        self._notes.shift(self.producer.times.offset)

    # -- blocks ------------------------------------------------------------------------------------

    async def mine(
        self, count: int, *, step: int | None = None, steps_first: bool = False
    ) -> list[Height]:
        """Build blocks of what is ready, empty ones too; their heights.

        With `step` each but the first is so many seconds after the one before; the first too,
        by the clock, when `steps_first`. At most MINED_MAX at once: TOO_LARGE.
        """
        if count > MINED_MAX:
            raise Rejected(Reason.TOO_LARGE, f"{count} blocks, at most {MINED_MAX} at once")
        producer, times = self.producer, self.producer.times
        heights: list[Height] = []
        async with producer.turn:
            for index in range(count):
                if step is not None and (index or steps_first):
                    if steps_first:
                        times.put_forward(self._clock(), self.ledger.head.timestamp, step)
                    else:
                        times.exact = self.ledger.head.timestamp + step
                committed = await producer.build(empty=True)
                assert committed is not None
                heights.append(Height(committed.executed.block.header.number))
        return heights

    def set_pace(self, *, automine: bool | None = None, interval: float | None = None) -> None:
        """Build by the pool's contents, by the clock (seconds; 0: no more), by both or neither."""
        pace = self.producer.pace
        self.producer.set_pace(
            Pace(
                pace.automine if automine is None else automine,
                pace.interval if interval is None else interval,
                pace.empty_blocks,
            )
        )

    def upcoming(self) -> Header:
        """The header that the next block would begin with now."""
        return self.producer.upcoming()

    # -- time --------------------------------------------------------------------------------------

    def now(self) -> int:
        """The chain's time, seconds."""
        return self.producer.times.chain_time(self._clock())

    def pass_time(self, seconds: int) -> int:
        """Shift the chain's clock; by how much it is ahead of the real one afterwards."""
        times = self.producer.times
        times.put_forward(self._clock(), self.ledger.head.timestamp, seconds)
        self._notes.shift(times.offset)
        return times.offset

    def set_time(self, timestamp: int) -> int:
        """Set the chain's clock, for the next block too; by how many seconds it was moved."""
        moved = timestamp - self.now()
        self.producer.times.exact = None
        self.producer.times.set_to(self._clock(), timestamp)
        self._notes.shift(self.producer.times.offset)
        return moved

    def set_next_timestamp(self, timestamp: int) -> None:
        """The next block has exactly this time; WRONG_TIMESTAMP unless it is after the head's."""
        head = self.ledger.head.timestamp
        if timestamp <= head:
            raise Rejected(
                Reason.WRONG_TIMESTAMP,
                f"Timestamp {timestamp} is lower than or equal to "
                f"previous block's timestamp {head}",
            )
        self.producer.times.exact = timestamp

    # -- state -------------------------------------------------------------------------------------

    async def amend(self, change: Callable[[State], object]) -> None:
        """Change the head's state as `change` does it (decision 0007)."""

        def write() -> None:
            changes = amended(self.ledger.view(), change)
            if changes is not None:
                self.ledger.amend(changes)

        async with self.producer.turn:
            await self.producer.change(write)

    async def set_chain_id(self, chain_id: int) -> None:
        """The chain id from the next block on. What waits for one is dropped: it names another."""

        def change() -> None:
            self.ledger.config = replace(self.ledger.config, chain_id=chain_id)

        async with self.producer.turn:
            for checked in list(self._mempool.everything()):
                self._mempool.drop(checked.transaction.hash)
            await self.producer.change(change)
            self._notes.rename(chain_id)

    async def amend_with(self, changes: Callable[[], Changes]) -> None:
        """As `amend`, for changes that somebody else works out from `ledger.view()`."""
        async with self.producer.turn:
            await self.producer.change(lambda: self.ledger.amend(changes()))

    async def load(self, file: DumpFile) -> None:
        """Go on from a file's blocks and state; where it has no blocks, from its state alone.

        Without blocks, and on a fork, the accounts are laid over the head's state. With them the
        chain is the file's from then on, with what only the head's state has; snapshots are gone.
        """
        ledger = self.ledger
        if not file.blocks or self.fork is not None:
            await self.amend(overlay(file.accounts))
            return

        def write() -> None:
            before = states_of(ledger.view(), ledger.name_of)
            difficulty = ledger.total_difficulty(ledger.height)
            ledger.begin_again(replacing(file, ledger.genesis, before, difficulty), None)

        async with self.producer.turn:
            await self.producer.change(write)
            self._notes.take(0)

    # -- there and back ----------------------------------------------------------------------------

    async def snapshot(self) -> int:
        """Remember this moment; its number."""
        async with self.producer.turn:
            ledger, notes = self.ledger, self._notes
            number = notes.next_id
            notes.add(
                Snapshot(
                    number,
                    ledger.height,
                    ledger.head_hash,
                    ledger.amendments(ledger.height),
                    self.now(),
                    self._mempool.arrivals,
                )
            )
            return number

    def snapshots(self) -> Iterable[Snapshot]:
        """Those that can be gone back to."""
        return list(self._notes.snapshots.values())

    async def revert(self, number: int) -> bool:
        """Go back to a snapshot, which is used up by it with all later ones; False: there is none.

        The pool loses what came later, and the chain's clock goes on from where it was.
        """
        async with self.producer.turn:
            snapshot, ledger = self._notes.snapshots.get(number), self.ledger
            if snapshot is None:
                return False
            height = Height(snapshot.height)
            self._notes.take(number)
            if ledger.height < height or ledger.hash_at(height) != snapshot.hash:
                return False  # blocks were taken back beyond it meanwhile
            if snapshot.arrivals is not None:
                for entry in self._mempool.entries():
                    if entry.order >= snapshot.arrivals:
                        self._mempool.drop(entry.checked.transaction.hash)
            await self.producer.change(
                lambda: ledger.rollback(height, amendments=snapshot.amendments)
            )
            self._resume_at(snapshot.time)
            return True

    def _resume_at(self, timestamp: int) -> None:
        times = self.producer.times
        times.exact = None
        times.set_to(self._clock(), timestamp)
        self._notes.shift(times.offset)
        self.producer.wishes.passed()

    async def take_back(self, depth: int) -> None:
        """Take the last `depth` blocks back; UNKNOWN_BLOCK when there are fewer."""
        async with self.producer.turn:
            await self._take_back(depth)

    async def _take_back(self, depth: int) -> None:
        ledger = self.ledger
        height = ledger.height - depth
        if height < ledger.first:
            raise Rejected(
                Reason.UNKNOWN_BLOCK,
                "Rollback depth must not exceed current chain height: "
                f"current height {ledger.height}, depth {depth}",
            )
        await self.producer.change(lambda: ledger.rollback(Height(height)))

    async def reorganize(self, depth: int, bodies: Sequence[Sequence[Checked]]) -> None:
        """Replace the last `depth` blocks by as many others, with these transactions.

        What can't be in its block is left out. UNKNOWN_BLOCK when there are fewer blocks.
        """
        async with self.producer.turn:
            times = [
                self.ledger.header(Height(height)).timestamp
                for height in range(
                    max(self.ledger.height - depth, self.ledger.first) + 1, self.ledger.height + 1
                )
            ]
            await self._take_back(depth)
            for index in range(depth):
                # One second later than before where nothing else tells the blocks apart.
                self.producer.times.exact = times[index] + 1
                only = bodies[index] if index < len(bodies) else ()
                await self.producer.build(empty=True, only=only)

    async def reset(self) -> None:
        """Begin again at the first block, with nothing remembered; a fork is left behind."""
        ledger, old = self.ledger, self.fork
        if ledger.began_with_genesis:
            await self._begin_again(lambda: ledger.rollback(Height(0), amendments=0), None)
            return
        changes = first_writes(ledger.genesis)
        await self._begin_again(lambda: ledger.begin_again(changes, None), None)
        if old is not None:
            old.origin.close()

    async def _begin_again(self, change: Callable[[], None], fork: ForkPoint | None) -> None:
        async with self.producer.turn:
            for checked in list(self._mempool.everything()):
                self._mempool.drop(checked.transaction.hash)
            await self.producer.change(change)
            self.fork = fork
            _build_on(self.producer, fork)
            wishes, times = self.producer.wishes, self.producer.times
            wishes.passed()
            self.producer.signatures.clear()
            wishes.coinbase, wishes.gas_limit = self._first_coinbase, None
            times.exact = times.interval = None
            times.offset = 0
            self._notes.take(0)
            self._notes.shift(0)
            self._impersonated.clear()
            self._added.clear()
            self.automatic = False
            self.instance = self._new_instance()
            self.producer.set_pace(self._first_pace)

    # -- impersonation -----------------------------------------------------------------------------

    def impersonate(self, address: Address) -> None:
        """Let callers send for an account without its key; TOO_LARGE beyond some thousands."""
        if len(self._impersonated) >= IMPERSONATED_MAX:
            raise Rejected(Reason.TOO_LARGE, f"{IMPERSONATED_MAX} impersonated accounts")
        self._impersonated[address] = None

    def stop_impersonating(self, address: Address) -> bool:
        """Whether it was impersonated."""
        found = address in self._impersonated
        self._impersonated.pop(address, None)
        return found

    def add_account(self, address: Address) -> bool:
        """Have an account that may be impersonated later, as ganache's; whether it is a new one.

        TOO_LARGE beyond some thousands.
        """
        if len(self._added) >= IMPERSONATED_MAX:
            raise Rejected(Reason.TOO_LARGE, f"{IMPERSONATED_MAX} added accounts")
        new = address not in self._added
        self._added.add(address)
        return new

    def remove_account(self, address: Address) -> bool:
        """Forget an added account; whether it was there."""
        found = address in self._added
        self._added.discard(address)
        return found

    def was_added(self, address: Address) -> bool:
        return address in self._added

    def impersonated(self) -> list[Address]:
        """Those that are impersonated by name, in order."""
        return list(self._impersonated)

    def impersonates(self, address: Address) -> bool:
        return self.automatic or address in self._impersonated

    def check(self, transaction: Transaction, sender: Address, fork: Fork) -> Checked:
        """The transaction as sent by `sender` without a signature; `Rejected` when it is wrong."""
        return unsigned.check(transaction, sender, fork, self.ledger.config.chain_id)
