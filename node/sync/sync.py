"""Catching up: asks peers as the plan says, verifies what comes, hands blocks on in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Final

from chain.blocks import Block
from chain.errors import Fault, Reason, Rejected
from chain.ledger import Ledger
from chain.types import Hash, Height
from chain.validators import (
    Certificate,
    Domain,
    ValidatorSet,
    VoteKind,
    decode_certificate,
)
from node.consensus.outbox import ProposedBlock
from node.gossip.requests import Requests
from node.net.messages import Bodies, FinalHeader, GetBodies, GetHeaders, Headers, Status
from node.net.network import Network, Offence, PeerId
from node.sync.asks import LIMITS, Ask, Body, Fork, Kind, Limits, headers_to_prove
from node.sync.headers import Proved, Trust, check_body, check_headers, epoch_of
from node.sync.plan import Plan
from node.sync.progress import Progress, progress_line

_HEADERS_TIMEOUT: Final = 6.0  # seconds
_BODIES_TIMEOUT: Final = 12.0
_TOLD_EVERY: Final = 5.0
_EPOCHS_AHEAD_MAX: Final = 4  # epochs whose validators may be known before they begin

_log: Final = logging.getLogger("sync")

Apply = Callable[[ProposedBlock, Certificate | None], Awaitable[None]]


class Sync:
    """Always on: it waits for peers that are ahead. Of the event loop's thread."""

    def __init__(
        self,
        *,
        network: Network,
        requests: Requests,
        ledger: Ledger,
        domain: Domain,
        set_of: Callable[[int], ValidatorSet | None],
        apply: Apply,
        threads: Executor,
        limits: Limits = LIMITS,
    ) -> None:
        """`set_of` gives the validators of an epoch, None while they are not known.

        `apply` runs and commits a final block on the ledger's head; it raises `Fault` when
        that can't be. `threads` is where signatures and bodies are checked.
        """
        self._network = network
        self._requests = requests
        self._ledger = ledger
        self._domain = domain
        self._set_of = set_of
        self._epoch_length = ledger.config.ledger.epoch_length
        self._apply = apply
        self._threads = threads
        self._plan = Plan(ledger.height, ledger.head_hash, limits)
        self._plan.set_horizon(self._horizon())
        self._news = asyncio.Event()
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspected: set[PeerId] = set()  # whose contradiction is being looked into
        self._timer: asyncio.TimerHandle | None = None
        self._said: tuple[float, int] | None = None  # when and at which height it was last told
        self._stopped = False

    # -- from outside ------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress | None:
        """How far it is; None while there is nothing to catch up with."""
        return self._plan.progress

    @property
    def claimed(self) -> int | None:
        """The highest height that a peer claims and that was not found false; None: no peer."""
        return self._plan.claimed

    def peer_status(self, peer: PeerId, status: Status) -> None:
        """A peer says what is final with it. That its certificate verified is not relied on."""
        if self._stopped:
            return
        if not status.height:
            self._plan.claim(peer, 0, Hash(status.block_hash), provable=True)
            return
        if not status.finalization:  # another block proves its head, and it will say so soon
            return
        reason = self._contradiction(status)
        if reason:
            self._network.blame(peer, Offence.FALSE_HEIGHT, reason)
            self._plan.forget(peer)
            return
        if status.height <= self._ledger.height:
            ours = self._ledger.hash_at(Height(status.height))
            if ours != status.block_hash:
                self._look_into(peer, status)
                return
        epoch = epoch_of(status.height, self._epoch_length)
        self._plan.claim(
            peer, status.height, Hash(status.block_hash), provable=self._set_of(epoch) is not None
        )
        self._pump()

    def peer_gone(self, peer: PeerId) -> None:
        """The link is closed."""
        self._plan.forget(peer)
        self._suspected.discard(peer)

    def advanced(self) -> None:
        """The ledger has a new head."""
        fork = self._plan.advance(self._ledger.height, self._ledger.head_hash)
        if fork is not None:
            self._alarm(fork)
        self._plan.set_horizon(self._horizon())
        self._pump()
        self._tell()

    def _tell(self) -> None:
        """Say now and then how far it is."""
        progress, now = self._plan.progress, asyncio.get_running_loop().time()
        if progress is None:
            if self._said is not None:
                _log.info("caught up at height %d", self._ledger.height)
            self._said = None
            return
        said, height = self._said or (now, progress.current)
        if self._said is None or now >= said + _TOLD_EVERY:
            speed = (progress.current - height) / (now - said) if now > said else 0.0
            _log.info("%s", progress_line(progress, speed))
            self._said = (now, progress.current)

    async def run(self) -> None:
        """Hand on blocks until cancelled. Raises `Fault` when agreement is broken."""
        try:
            self._pump()
            while True:
                await self._news.wait()
                self._news.clear()
                while (ready := self._plan.ready()) is not None and self._failure is None:
                    await self._hand_on(*ready)
                if self._failure is not None:
                    raise self._failure
        finally:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()

    # -- blocks, in order --------------------------------------------------------------------------

    async def _hand_on(self, proved: Proved, block: Block) -> None:
        proposed = ProposedBlock(
            proved.record, block, proved.hash, (None,) * len(block.transactions)
        )
        try:
            await self._apply(proposed, proved.certificate)
        except Rejected as rejected:
            if self._ledger.height < proved.height:
                raise Fault(f"block {proved.height} is final and refused: {rejected}") from None
        if self._ledger.height < proved.height:
            raise Fault(f"block {proved.height} was handed on and is not in the ledger")
        self.advanced()

    # -- questions ---------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Put the questions that are due, and see to it that this happens again in time."""
        if self._stopped:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        for ask in self._plan.asks(now):
            self._start(self._put(ask))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_at = self._plan.wake_at(now)
        if wake_at is not None:
            self._timer = loop.call_at(wake_at, self._pump)
        if self._plan.ready() is not None:
            self._news.set()

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._news.set()

    def _alarm(self, fork: Fork) -> None:
        self._fail(
            Fault(
                f"agreement is broken: at height {fork.height} block 0x{fork.ours.hex()} is final "
                f"here, and 0x{fork.theirs.hex()} with a valid certificate elsewhere"
            )
        )

    async def _put(self, ask: Ask) -> None:
        if ask.kind is Kind.BODIES:
            await self._put_bodies(ask)
        else:
            await self._put_headers(ask)
        self._pump()

    async def _put_headers(self, ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        answer = await self._requests.ask(
            ask.peer,
            lambda request: GetHeaders(request, ask.first, ask.count),
            timeout=_HEADERS_TIMEOUT,
        )
        if not isinstance(answer, Headers):
            self._plan.failed(ask, loop.time())
            return
        try:
            found = await self._check(answer.headers, ask.first, ask.count)
            if ask.kind is Kind.PROOF and found[0].hash != ask.claimed:
                raise Rejected(Reason.BAD_BLOCK, f"another block is at height {ask.first}")
        except Rejected as rejected:
            self._blame(ask, Offence.FALSE_HEIGHT, rejected)
            return
        now = loop.time()
        if ask.kind is Kind.PROOF:
            fork = self._plan.took_proof(ask, now, found[0])
        else:
            fork = self._plan.took_headers(ask, now, found)
        if fork is not None:
            self._alarm(fork)

    async def _check(self, items: Sequence[FinalHeader], first: int, count: int) -> list[Proved]:
        """Prove headers; Rejected when they are no proof, or more than were asked for."""
        if len(items) > count:
            raise Rejected(Reason.BAD_MESSAGE, f"{len(items)} headers, asked for {count}")
        trust = self._trust(first, first + len(items))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, check_headers, items, first, trust)

    async def _put_bodies(self, ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        headers = [self._plan.header(ask.first + index) for index in range(ask.count)]
        answer = await self._requests.ask(
            ask.peer,
            lambda request: GetBodies(request, ask.first, ask.count),
            timeout=_BODIES_TIMEOUT,
        )
        if not isinstance(answer, Bodies):
            self._plan.failed(ask, loop.time())
            return
        if not answer.blocks:
            self._network.blame(ask.peer, Offence.EMPTY_ANSWER, f"no body at {ask.first}")
            self._plan.failed(ask, loop.time())
            return
        pairs = [
            (raw, proved)
            for raw, proved in zip(answer.blocks, headers, strict=False)
            if proved is not None
        ]
        try:
            if len(answer.blocks) > ask.count:
                raise Rejected(Reason.BAD_MESSAGE, f"{len(answer.blocks)} of {ask.count} bodies")
            bodies = await loop.run_in_executor(self._threads, _check_bodies, pairs)
        except Rejected as rejected:
            self._blame(ask, Offence.BAD_BLOCK, rejected)
            return
        self._plan.took_bodies(ask, loop.time(), bodies)

    def _blame(self, ask: Ask, offence: Offence, rejected: Rejected) -> None:
        """The peer sent what no honest one sends: nothing more is asked of it."""
        _log.warning("peer %s, heights from %d: %s", ask.peer.hex(), ask.first, rejected)
        self._plan.failed(ask, asyncio.get_running_loop().time())
        self._plan.forget(ask.peer)
        self._network.blame(ask.peer, offence, str(rejected))

    # -- claims ------------------------------------------------------------------------------------

    def _contradiction(self, status: Status) -> str:
        """How a status contradicts itself; empty when it does not."""
        try:
            ballot = decode_certificate(status.finalization).ballot
        except Rejected as rejected:
            return str(rejected)
        if ballot.kind is not VoteKind.FINALIZE or ballot.block_hash != status.block_hash:
            return "the certificate is of another block"
        if ballot.epoch != epoch_of(status.height, self._epoch_length):
            return f"height {status.height} is not in epoch {ballot.epoch}"
        height = self._ledger.height_of(ballot.block_hash)
        if height is not None and height != status.height:
            return f"the block at height {height} is said to be at {status.height}"
        return ""

    def _look_into(self, peer: PeerId, status: Status) -> None:
        """A peer says that another block is final where this ledger has one: a lie, or a fork."""
        if peer not in self._suspected:
            self._suspected.add(peer)
            self._start(self._compare(peer, Height(status.height)))

    async def _compare(self, peer: PeerId, height: Height) -> None:
        count = headers_to_prove(height, self._horizon())
        answer = await self._requests.ask(
            peer,
            lambda request: GetHeaders(request, height, count),
            timeout=_HEADERS_TIMEOUT,
        )
        self._suspected.discard(peer)
        if not isinstance(answer, Headers):
            return
        try:
            found = await self._check(answer.headers, height, count)
        except Rejected as rejected:
            self._network.blame(peer, Offence.FALSE_HEIGHT, str(rejected))
            return
        ours = self._ledger.hash_at(height)
        if found[0].hash != ours:
            self._alarm(Fork(height, ours, found[0].hash))
        else:
            self._network.blame(peer, Offence.FALSE_HEIGHT, "it takes back what it said is final")

    def _trust(self, first: int, last: int) -> Trust:
        """What headers of these heights are judged by."""
        epochs = range(epoch_of(first, self._epoch_length), epoch_of(last, self._epoch_length) + 2)
        sets = {epoch: found for epoch in epochs if (found := self._set_of(epoch)) is not None}
        return Trust(self._domain, self._epoch_length, sets)

    def _horizon(self) -> int | None:
        """The last height of the last epoch whose validators are known."""
        if not self._epoch_length:
            return None
        epoch = epoch_of(self._ledger.height + 1, self._epoch_length)
        for _ in range(_EPOCHS_AHEAD_MAX):
            if self._set_of(epoch + 1) is None:
                break
            epoch += 1
        return (epoch + 1) * self._epoch_length


def _check_bodies(pairs: Sequence[tuple[bytes, Proved]]) -> list[Body]:
    return [Body(proved, check_body(raw, proved), len(raw)) for raw, proved in pairs]
