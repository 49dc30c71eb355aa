"""The node: everything it is made of, put together here and nowhere else."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from chain.blobs import BlobSidecar
from chain.crypto.secp256k1 import address_of
from chain.errors import Fault, Reason, Rejected
from chain.forks import Fork
from chain.ledger import Ledger
from chain.transactions import Checked
from chain.types import ZERO_ADDRESS, Address, Hash
from chain.validation import check_transaction
from chain.validators import Domain, Validator, ValidatorSet, decode_record, validator_set
from chain.views import TrieView
from contracts.vm import Interpreter
from node.announce import Announcements
from node.consensus.core import Core, Epoch
from node.consensus.driver import Committed, Driver, Timing
from node.consensus.log_file import DiskFile, MemoryFile
from node.consensus.messages import Base
from node.consensus.signer import Signer
from node.consensus.vote_log import VoteLog
from node.intake import Intake
from node.mempool import Mempool
from node.pool_journal import DiskJournal, PoolJournal
from node.settings import Settings

_log: Final = logging.getLogger("node")


class Node:
    """A ledger with a pool in front of it and, given a validator's key, a block builder.

    `start` and `stop` once each, in the event loop that everything here belongs to.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        *,
        accounts: Mapping[Address, bytes],
        validator_key: bytes | None,
        votes: Path | None,
        pool: Path | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        """`accounts` are keys the node signs with for RPC callers, by address.

        `votes` is the vote log's file; None keeps it in memory. `pool` is where the
        pool waits while the node is stopped; None lets it go. `on_commit` hears of each
        block that this node built or recovered, after it is on disk.
        """
        self.settings = settings
        self.ledger = ledger
        self.accounts = accounts
        self._machines = threading.local()
        self.announcements = Announcements(settings.rpc.subscription_queue_max)
        self.mempool = Mempool(
            settings.pool,
            ledger.view(),
            ledger.head.gas_limit,
            clock=time.monotonic,
            allowed_senders=ledger.config.ledger.allowed_senders,
        )
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._report = on_commit
        self._checkers = ThreadPoolExecutor(2, "check")
        self._writer = ThreadPoolExecutor(1, "writer")
        self._intake = Intake(self.next_fork, ledger.config.chain_id, self._admit, self._checkers)
        self._journal: PoolJournal | None = None
        if pool is not None and settings.pool.journal:
            self._journal = PoolJournal(
                DiskJournal(pool, bytes_max=4 * settings.pool.bytes_max),
                self.mempool,
                clock=time.monotonic,
                wall=time.time,
                threads=self._checkers,
            )
        self._pool_fork = self.next_fork()
        self._votes: VoteLog | None = None
        self._driver: Driver | None = None
        self._running: asyncio.Task[None] | None = None
        if validator_key is not None:
            self._driver = self._build_driver(validator_key, votes)

    def _build_driver(self, key: bytes, votes: Path | None) -> Driver:
        ledger, chain = self.ledger, self.settings.chain
        if not ledger.config.merged_after(ledger.total_difficulty(ledger.height)):
            raise Rejected(
                Reason.BAD_GENESIS,
                "this ledger is before the merge, and no new blocks can be built on it",
            )
        me = address_of(key)
        self._votes = log = VoteLog(MemoryFile() if votes is None else DiskFile(votes))
        domain = Domain(ledger.config.chain_id, ledger.genesis_hash)
        core = Core(
            Epoch(0, self._validators(me), ledger.genesis_hash),
            Base(self._base_view(log), ledger.head_hash, ledger.height),
            me,
            log.votes,
        )
        return Driver(
            ledger=ledger,
            mempool=self.mempool,
            machine=Interpreter(),
            core=core,
            signer=Signer(key, domain, log),
            coinbase=_coinbase(chain.coinbase) or me,
            timing=Timing(chain.block_time, chain.empty_blocks),
            clock=time.time,
            stopwatch=time.perf_counter,
            writer=self._writer,
            on_commit=self._committed,
        )

    def _validators(self, me: Address) -> ValidatorSet:
        """The genesis' validators, or this node alone when it names none."""
        named = self.ledger.config.ledger.validators
        if not named:
            return validator_set([Validator(me, 1)])
        members = validator_set([Validator(item.address, item.power) for item in named])
        index = members.index_of(me)
        if index is None:
            raise Rejected(Reason.BAD_SETTING, f"validator 0x{me.hex()} is not in the genesis")
        if not members.quorum(members.validators[index].power):
            raise Rejected(
                Reason.BAD_SETTING,
                f"validator 0x{me.hex()} is no quorum alone, and this version has no network",
            )
        return members

    def _base_view(self, log: VoteLog) -> int:
        """The view of the ledger's head; the log's floor follows it (V5)."""
        record = self.ledger.record(self.ledger.height)
        if not record:
            # Genesis, or blocks that were imported: consensus goes on from where it was.
            return log.floor[1]
        view = decode_record(record).view
        if log.floor > (0, view):
            raise Rejected(
                Reason.WRONG_CHAIN,
                f"the vote log has seen view {log.floor[1]}, the ledger only view {view}: "
                "the ledger was restored from an older copy; restore both together",
            )
        log.raise_floor((0, view))
        return view

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Finish what a crash cut short, then build blocks in the background."""
        if self._driver is not None:
            await self._driver.recover()
            self._running = asyncio.create_task(self._run(self._driver))
        if self._journal is not None:
            await self._journal.restore(self.next_fork, self.ledger.config.chain_id)
            if self._driver is not None:
                self._driver.wake()

    async def _run(self, driver: Driver) -> None:
        try:
            await driver.run()
        except Fault as fault:
            # Nothing may go on after this: whoever waits for `failed` ends the process.
            self.failed.set_exception(fault)
        except Exception as error:
            _log.critical("building a block failed", exc_info=error)
            self.failed.set_exception(Fault(f"building a block failed: {error!r}"))

    async def stop(self) -> None:
        """Finish the block in the making and close everything. Afterwards nothing is lost."""
        await self._intake.stop()
        if self._driver is not None:
            self._driver.stop()
        if self._running is not None:
            await self._running
        if self._journal is not None:
            # After a fault the pool may hold what caused it, and would again.
            await self._journal.stop(keep=not self.failed.done())
        self.announcements.close()
        self._checkers.shutdown()
        self._writer.shutdown()
        if self._votes is not None:
            self._votes.close()
        self.ledger.close()

    # -- transactions ------------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Hash:
        """Pool a raw transaction and have it built in; its hash, or `Rejected`."""
        if self.failed.done():
            raise Fault("the node has failed and is about to stop")
        return await self._intake.submit(raw)

    def _admit(self, checked: Checked, sidecar: BlobSidecar | None, local: bool) -> None:
        self.mempool.add(checked, sidecar, local=local)
        if self._journal is not None:
            self._journal.append(checked, sidecar, local=local)
        self.announcements.publish_transaction(checked)
        if self._driver is not None:
            self._driver.wake()

    def _committed(self, committed: Committed) -> None:
        fork = self.next_fork()
        if fork is not self._pool_fork:
            self._recheck_pool(fork)
        self.announcements.publish_block(committed.executed)
        if self._report is not None:
            self._report(committed)

    def _recheck_pool(self, fork: Fork) -> None:
        """Drop what the next block's fork no longer allows."""
        self._pool_fork = fork
        for checked in self.mempool.everything():
            try:
                check_transaction(checked.transaction, fork, self.ledger.config.chain_id)
            except Rejected as rejected:
                _log.info("dropped 0x%s: %s", checked.transaction.hash.hex(), rejected)
                self.mempool.drop(checked.transaction.hash)

    # -- questions ---------------------------------------------------------------------------------

    def next_fork(self) -> Fork:
        """The fork of the block that would be built now."""
        ledger = self.ledger
        head = ledger.head
        return ledger.config.fork_at(
            head.number + 1,
            max(int(time.time()), head.timestamp + 1),
            merged=ledger.config.merged_after(ledger.total_difficulty(ledger.height)),
        )

    @property
    def machine(self) -> Interpreter:
        """The calling thread's machine: each keeps decoded code of its own."""
        machine: Interpreter | None = getattr(self._machines, "machine", None)
        if machine is None:
            machine = self._machines.machine = Interpreter()
        return machine

    @property
    def pending_view(self) -> TrieView:
        """The state that the next block is built on."""
        return self.ledger.view()

    @property
    def validator(self) -> Address | None:
        """Whose blocks this node builds; None when it only observes."""
        return None if self._driver is None else self._driver.validator


def _coinbase(text: str) -> Address | None:
    if not text:
        return None
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != len(ZERO_ADDRESS):
        raise Rejected(Reason.BAD_SETTING, f"chain.coinbase: {text!r} is not an address")
    return Address(address)
