"""A node's part in the network, put together: gossip, admission and sync on any links."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Final, Protocol

from chain.errors import Rejected
from chain.execution import Executed
from chain.ledger import Ledger
from chain.transactions import Checked
from chain.types import Address, Hash
from chain.validators import Domain, ValidatorSet
from node.consensus.admission import Admission
from node.consensus.driver import Driver
from node.environment import Environment
from node.gossip.blocks import FinalBlock
from node.gossip.consensus import ConsensusGossip
from node.gossip.dispatch import Dispatch
from node.gossip.errands import Errands
from node.gossip.requests import Requests
from node.gossip.transactions import TransactionGossip
from node.net.messages import GetBodies, GetHeaders, Message, Status
from node.net.network import Network, Peer, PeerId, Receiver
from node.pool.mempool import Mempool
from node.sync.asks import LIMITS
from node.sync.progress import Progress
from node.sync.serve import Serving
from node.sync.sync import Sync

_BUILDERS: Final = 4  # validators, of this view and the next ones


class Links(Network, Protocol):
    """A network that is begun and ended with the node."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Door:
    """What the links are given before there is anybody to receive: it hands on from then on."""

    def __init__(self, broken: Callable[[BaseException], None]) -> None:
        """`broken` hears of a fault that ends the links."""
        self.receiver: Receiver | None = None
        self.driver: Driver | None = None
        self.broken = broken

    def favours(self, peer: Peer) -> bool:
        """Whether a peer is let in beyond the limits: a validator of the current epoch."""
        driver = self.driver
        return (
            driver is not None and driver.validators.index_of(Address(peer.validator)) is not None
        )

    def connected(self, peer: Peer) -> None:
        if self.receiver is not None:
            self.receiver.connected(peer)

    async def received(self, peer: PeerId, message: Message) -> None:
        if self.receiver is not None:
            await self.receiver.received(peer, message)

    def disconnected(self, peer: PeerId) -> None:
        if self.receiver is not None:
            self.receiver.disconnected(peer)


Submit = Callable[[Sequence[bytes], PeerId], Awaitable[Sequence[Hash | Rejected]]]


NetworkFactory = Callable[[Door], Links]


class CatchingUp:
    """Sync and its serving side, as dispatch knows them (`node.gossip.dispatch.Sync`)."""

    def __init__(self, sync: Sync, serving: Serving, driver: Driver, ledger: Ledger) -> None:
        self.sync = sync
        self.serving = serving
        self._driver = driver
        self._ledger = ledger

    def peer_status(self, peer: PeerId, status: Status) -> None:
        self.sync.peer_status(peer, status)
        self.look()

    async def asked(self, peer: PeerId, message: GetHeaders | GetBodies) -> None:
        self.serving.asked(peer, message)

    def forget(self, peer: PeerId) -> None:
        self.sync.peer_gone(peer)
        self.serving.forget(peer)

    def advanced(self) -> None:
        """The ledger has a new head."""
        self.sync.advanced()
        self.look()

    def look(self) -> None:
        """Tell the driver once this node has what its peers have."""
        claimed = self.sync.claimed
        if claimed is None or self.sync.progress is not None:
            return
        if claimed - self._ledger.height <= LIMITS.gap:
            self._driver.caught_up()


class Networking:
    """Everything between the links and the node. `start` and `stop` once each."""

    def __init__(
        self,
        factory: NetworkFactory,
        ledger: Ledger,
        mempool: Mempool,
        submit: Submit,
        members: Callable[[int], ValidatorSet | None],
        environment: Environment,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`submit` pools what peers send; `members` gives an epoch's validators.

        `failed` hears of what broke in the background: it is a bug here.
        """
        self._door = Door(failed)
        self.links = links = factory(self._door)
        self._ledger = ledger
        self._members = members
        self._failed = failed
        self._errands = Errands(failed)
        self.requests = Requests(links)
        self.transactions = TransactionGossip(
            links,
            self.requests,
            mempool,
            submit,
            self.synced,
            self._errands,
            linked=self._linked,
            builders=self._builders,
            random=environment.random,
        )
        self.consensus = ConsensusGossip(
            links,
            self.requests,
            self.transactions,
            self._errands,
            members=self._addresses,
            final_block=self._final_block,
            random=environment.random,
        )
        self._catching_up: CatchingUp | None = None
        self._admission: Admission | None = None
        self._syncing: asyncio.Task[None] | None = None

    def attach(self, driver: Driver, domain: Domain, threads: Executor) -> None:
        """The driver that takes what arrives; it was built with `consensus` as its outbox."""
        sync = Sync(
            network=self.links,
            requests=self.requests,
            ledger=self._ledger,
            domain=domain,
            set_of=self._members,
            apply=driver.apply_final,
            threads=threads,
        )
        serving = Serving(self.links, self._ledger, threads)
        self._catching_up = CatchingUp(sync, serving, driver, self._ledger)
        self._admission = Admission(driver, self.links.blame)
        self._door.driver = driver
        self._door.receiver = Dispatch(
            self.links, self.requests, self.transactions, self.consensus, self._catching_up
        )

    async def start(self) -> None:
        """Open the links; OSError when the address to listen on can't be had."""
        assert self._catching_up is not None and self._admission is not None
        self._syncing = asyncio.create_task(self._sync(self._catching_up.sync))
        self.consensus.start(self._admission)
        await self.links.start()

    async def _sync(self, sync: Sync) -> None:
        try:
            await sync.run()
        except Exception as error:
            self._failed(error)

    async def stop(self) -> None:
        self._door.receiver = None
        self.consensus.stop()
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.gather(self._syncing, return_exceptions=True)
        if self._catching_up is not None:
            await self._catching_up.serving.stop()
        await self._errands.stop()
        await self.links.stop()

    # -- news from the node ------------------------------------------------------------------------

    def pooled(self, batch: Sequence[Checked], runnable: Sequence[Checked], *, local: bool) -> None:
        """Transactions are in the pool; peers are told of those that can run.

        `local`: callers of this node sent them.
        """
        self.transactions.pooled(batch, runnable, local=local)

    def committed(self, executed: Executed) -> None:
        """A block is final and on disk."""
        self.transactions.included(item.hash for item in executed.block.transactions)
        if self._catching_up is not None:
            self._catching_up.advanced()

    # -- questions ---------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress | None:
        """How far this node is with what it lacks; None: it lacks nothing."""
        return None if self._catching_up is None else self._catching_up.sync.progress

    def synced(self) -> bool:
        """Whether this node has what its peers have, so that it can judge what they send."""
        return self.progress is None

    def _builders(self) -> list[Address]:
        """Who leads this view and the next ones, in which what is sent now can be built in."""
        driver = self._door.driver
        if driver is None:
            return []
        core = driver.core
        return [core.leader(view) for view in range(core.view, core.view + _BUILDERS)]

    def _linked(self, peer: PeerId, other: PeerId) -> bool:
        return self.consensus.linked(peer, other)

    def _addresses(self, epoch: int) -> Sequence[Address]:
        found = self._members(epoch)
        return () if found is None else [member.address for member in found.validators]

    def _final_block(self, block_hash: Hash) -> FinalBlock | None:
        height = self._ledger.height_of(block_hash)
        if height is None:
            return None
        record = self._ledger.record(height)
        return None if record is None else FinalBlock(record, self._ledger.raw_block(height))
