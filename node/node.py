"""The node: everything it is made of, put together here and nowhere else."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chain.activation import for_developers
from chain.errors import Fault, Reason, Rejected
from chain.forks import Fork
from chain.ledger import Ledger
from chain.machine import Machine
from chain.transactions import Checked
from chain.types import Address, Hash
from chain.validation import check_again
from chain.validators import ValidatorSet, Vote
from chain.views import TrieView
from node.announce import Announcements
from node.consensus.committed import Committed
from node.devchain.chain import DevChain
from node.devchain.compose import Developing, build_chain
from node.devchain.producer import Producer
from node.environment import Environment, real_environment
from node.machines import Machines
from node.pool.intake import Accept, Admissible, Intake, Told
from node.pool.journal import DiskJournal, PoolJournal
from node.pool.mempool import Mempool
from node.prosecutor import Prosecutor
from node.settings import Settings
from node.watch.observation import Measured, Observation
from node.watch.observer import observe

if TYPE_CHECKING:
    from node.consensus.driver import Driver
    from node.consensus.log_file import LogFile
    from node.consensus.overview import Overview
    from node.net.network import PeerId
    from node.networking import NetworkFactory, Networking

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
        votes: "LogFile | None",
        pool: Path | None = None,
        network: "NetworkFactory | None" = None,
        environment: Environment | None = None,
        developing: Developing | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        """`accounts` are keys the node signs with for RPC callers, by address.

        `votes` is the vote log's file; None keeps it in memory. `pool` is where the
        pool waits while the node is stopped; None lets it go. `network` makes the links;
        None: a ledger without peers. `environment` is by default this machine's.
        With `developing` blocks are built without agreement and the chain can be controlled;
        the ledger must name no validators. `on_commit` hears of each block after it is on disk.
        """
        if developing is not None:
            ledger.config = for_developers(ledger.config)
            ledger.synced = False
        self.environment = environment = environment or real_environment()
        self.settings = settings
        self.ledger = ledger
        self.accounts = accounts
        self.machines = Machines(settings.vm, environment.threads)
        self.announcements = Announcements(settings.rpc.subscription_queue_max)
        self.mempool = Mempool(
            settings.pool,
            ledger.view(),
            ledger.head.gas_limit,
            clock=environment.monotonic,
            allowed_senders=ledger.config.ledger.allowed_senders,
            contracts_may_send=developing is not None,
        )
        self.measured = Measured()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._report = on_commit
        self._checkers = environment.threads(2, "check")
        self._writer = environment.threads(1, "writer")
        self._signer = environment.threads(1, "signer")
        self._intake = Intake(
            self.next_fork, lambda: ledger.config.chain_id, self._admit, self._checkers
        )
        self._journal: PoolJournal | None = None
        if pool is not None and settings.pool.journal:
            self._journal = PoolJournal(
                DiskJournal(pool, bytes_max=4 * settings.pool.bytes_max),
                self.mempool,
                clock=environment.monotonic,
                wall=environment.clock,
                threads=self._checkers,
            )
        self._pool_fork = self.next_fork()
        self._driver: Driver | None = None
        self._builder: Driver | Producer | None = None
        self.developer: DevChain | None = None
        self.consensus: Overview | None = None
        self._running: asyncio.Task[None] | None = None
        self._prosecutor: Prosecutor | None = None
        if validator_key is not None and developing is None:
            self._prosecutor = Prosecutor(
                ledger,
                validator_key,
                lambda: self.machine,
                self.mempool.next_nonce,
                self.submit,
                self._turn,
            )
        self.network: Networking | None = None
        if network is not None:
            from node import networking  # loads much that a ledger alone never needs

            self.network = networking.Networking(
                network,
                ledger,
                self.mempool,
                self._submit_all,
                self._members,
                environment,
                self._break,
            )
        if developing is not None and validator_key is not None:
            self.developer = build_chain(
                developing,
                settings,
                ledger,
                self.mempool,
                self.machines.new(compiles=True),
                validator_key,
                environment,
                self._writer,
                self.measured,
                self._committed,
            )
            self._builder = self.developer.producer
        elif validator_key is not None or network is not None:
            self._driver = self._builder = driver = self._agree(validator_key, votes)
            if self.network is not None:
                self.network.attach(driver, driver.domain, self._checkers)

    def _agree(self, validator_key: bytes | None, votes: "LogFile | None") -> "Driver":
        """The part in consensus, which a developer's chain starts sooner without."""
        from node.agreement import Reports, build_driver
        from node.consensus.driver import Threads
        from node.consensus.log_file import MemoryFile
        from node.consensus.overview import Overview
        from node.consensus.quiet import QuietOutbox

        driver = build_driver(
            self.settings,
            self.ledger,
            self.mempool,
            self.machines.new(compiles=True),
            validator_key,
            votes or MemoryFile(),
            QuietOutbox() if self.network is None else self.network.consensus,
            self.environment,
            Threads(self._writer, self._signer),
            Reports(self._committed, self._report_evidence, self.measured),
        )
        self.consensus = Overview(driver)
        return driver

    def _report_evidence(self, one: Vote, other: Vote) -> None:
        if self._prosecutor is not None:
            self._prosecutor.report(one, other)

    def _turn(self) -> int:
        """Where this validator stands among those of its epoch."""
        driver = self._driver
        if driver is None or driver.validator is None:
            return 0
        return driver.validators.index_of(driver.validator) or 0

    def _members(self, epoch: int) -> ValidatorSet | None:
        return None if self._driver is None else self._driver.epochs.set_of(epoch)

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Finish what a crash cut short, then build blocks in the background."""
        if self._builder is not None:
            await self._builder.recover()
            self._running = asyncio.create_task(self._run(self._builder))
        if self.network is not None:
            await self.network.start()
        if self._journal is not None:
            restored = await self._journal.restore(self.next_fork, self.ledger.config.chain_id)
            pool = self.mempool
            waiting = [item for item in restored if item.transaction.hash in pool]
            runnable = [item for item in waiting if pool.can_run(item.transaction.hash)]
            self._tell(waiting, runnable, local=False)

    async def _run(self, builder: "Driver | Producer") -> None:
        try:
            await builder.run()
        except Exception as error:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """Nothing may go on after this: whoever waits for `failed` ends the process."""
        if self.failed.done():
            return
        if isinstance(error, Fault):
            self.failed.set_exception(error)
        else:
            _log.critical("the node broke", exc_info=error)
            self.failed.set_exception(Fault(f"the node broke: {error!r}"))

    async def stop(self) -> None:
        """Finish the block in the making and close everything. Afterwards nothing is lost."""
        await self._intake.stop()
        if self.network is not None:
            await self.network.stop()
        if self._prosecutor is not None:
            await self._prosecutor.stop()
        if self._builder is not None:
            self._builder.stop()
        if self._running is not None:
            await self._running
        if self._journal is not None:
            # After a fault the pool may hold what caused it, and would again.
            await self._journal.stop(keep=not self.failed.done())
        self.announcements.close()
        self._checkers.shutdown()
        self._writer.shutdown()
        self._signer.shutdown()
        self.machines.close()
        if self._builder is not None:
            self._builder.close()
        if self.developer is not None:
            self.developer.close()
        self.ledger.close()

    # -- transactions ------------------------------------------------------------------------------

    async def submit(self, raw: bytes, accept: Accept | None = None) -> Hash:
        """Pool a raw transaction and have it built in; its hash, or `Rejected`.

        `accept` may refuse it for more reasons than the chain's.
        """
        self._refuse_when_failed()
        return await self._intake.submit(raw, accept=accept)

    def begin_submitting(self, raw: bytes, told: Told, accept: Accept) -> bool:
        """As `submit`, and `told` is called in the event loop with the only outcome.

        False, and nothing is done, where the caller should wait until it is `settled`.
        """
        if self.developer is not None and self.developer.producer.pace.automine:
            return False
        self._refuse_when_failed()
        self._intake.begin((raw,), told, local=True, accept=accept)
        return True

    def _refuse_when_failed(self) -> None:
        if self.failed.done():
            raise Fault("the node has failed and is about to stop")

    def admit(self, checked: Checked) -> Hash:
        """Pool a transaction of a caller of this node that was checked already; its hash."""
        self._refuse_when_failed()
        (outcome,) = self._admit([(checked, None)], True)
        if isinstance(outcome, Rejected):
            raise outcome
        return outcome

    async def settled(self, transaction_hash: Hash) -> None:
        """Wait until a developer's chain has built what it can; elsewhere there is no waiting."""
        if self.developer is not None:
            await self.developer.producer.settled(transaction_hash)

    async def _submit_all(self, raws: Sequence[bytes], peer: "PeerId") -> list[Hash | Rejected]:
        """What a peer sent, into the pool; one outcome for each."""
        if self.failed.done():
            return [Rejected(Reason.POOL_FULL, "the node stops")] * len(raws)
        return await self._intake.submit_many(raws, local=False)

    def _admit(self, batch: Sequence[Admissible], local: bool) -> list[Hash | Rejected]:
        """Pool what was checked; what can run is told to whoever hears of transactions."""
        outcomes: list[Hash | Rejected] = []
        pooled: list[Checked] = []
        runnable: list[Checked] = []
        for checked, sidecar in batch:
            try:
                runnable += self.mempool.add(checked, sidecar, local=local)
            except Rejected as rejected:
                outcomes.append(rejected)
                continue
            if self._journal is not None:
                self._journal.append(checked, sidecar, local=local)
            outcomes.append(checked.transaction.hash)
            pooled.append(checked)
        if pooled:
            self._tell(pooled, runnable, local=local)
        return outcomes

    def _tell(self, pooled: Sequence[Checked], runnable: Sequence[Checked], *, local: bool) -> None:
        """What came into the pool, and what can run since then: only that is told to others,
        for what waits for an earlier nonce may never run.
        """
        for checked in runnable:
            self.announcements.publish_transaction(checked)
        if self.network is not None:
            self.network.pooled(pooled, runnable, local=local)
        if self._builder is not None:
            self._builder.pooled()

    def _committed(self, committed: Committed) -> None:
        fork = self.next_fork()
        if fork is not self._pool_fork:
            self._recheck_pool(fork)
        block = committed.executed.block
        latency = committed.finality_ms
        self.measured.final(
            len(block.transactions),
            block.header.gas_used,
            None if latency is None else latency / 1000,
        )
        if self.consensus is not None:
            self.consensus.committed(committed)
        if self.developer is not None:
            self.developer.committed()
        if self.network is not None:
            self.network.committed(committed.executed)
        if committed.runnable:
            self._tell((), committed.runnable, local=False)
        self.announcements.publish_block(committed.executed)
        if self._report is not None:
            self._report(committed)

    def _recheck_pool(self, fork: Fork) -> None:
        """Drop what the next block's fork no longer allows."""
        self._pool_fork = fork
        for checked in list(self.mempool.everything()):
            try:
                check_again(checked, fork, self.ledger.config.chain_id)
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
            max(int(self.environment.clock()), head.timestamp + 1),
            merged=ledger.config.merged_after(ledger.total_difficulty(ledger.height)),
        )

    def observation(self) -> Observation:
        """What the node shows of itself now."""
        return observe(self)

    @property
    def machine(self) -> Machine:
        """The calling thread's machine: each keeps decoded code of its own."""
        usual, developer = self.machines.of_thread(), self.developer
        return usual if developer is None else developer.producer.signatures.machine(usual)

    @property
    def pending_view(self) -> TrieView:
        """The state that the next block is built on."""
        return self.ledger.view()

    @property
    def validator(self) -> Address | None:
        """Whose blocks this node builds; None when it only observes."""
        return None if self._builder is None else self._builder.validator
