"""The shell around the consensus core: performs its effects, tells it what time brought.

One turn: an event goes into the core, its effects are performed in order. All of a turn's
ballots are logged with one fsync before a signature leaves (V1). What takes long - build,
execute, commit - is done one after the other in the writer's thread, while votes go on
being counted; its end comes back as an event. A final block is committed with its
certificate and record in one synced batch, and only then announced (V6).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, assert_never

from msgspec import Struct

from chain.blocks import Header
from chain.errors import Fault, Reason, Rejected
from chain.ledger import Ledger
from chain.machine import Machine
from chain.types import Address, Hash, Height
from chain.validators import (
    Ballot,
    Certificate,
    Domain,
    ValidatorSet,
    Vote,
    VoteKind,
)
from node.consensus.candidates import Candidate, proposal_of
from node.consensus.committed import Committed
from node.consensus.epochs import Epochs
from node.consensus.messages import (
    Accuse,
    Base,
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
    Publish,
    Resend,
    Stop,
    SyncedTo,
    VoteReceived,
)
from node.consensus.outbox import Outbox, ProposedBlock
from node.consensus.pacemaker import Pacemaker
from node.consensus.pacing import Timing
from node.consensus.signer import Signer
from node.consensus.vote_log import Position
from node.consensus.voter import Voter, finalization_of
from node.consensus.workshop import Workshop
from node.pool.mempool import Mempool
from node.watch.observation import Measured

_HELD_MAX: Final = 256  # certificates since the last vote that go to disk with the next one
_NEXT_EPOCH_MAX: Final = 4096  # events of the next epoch that wait for its beginning

Job = Callable[[], Awaitable[None]]

_log = logging.getLogger("consensus")


class _Waiting(Struct, frozen=True):
    """What arrived before its epoch began."""

    epoch: int
    events: tuple[Event, ...]
    body: ProposedBlock | None


class Threads(Struct, frozen=True):
    """Where what blocks is done: one thread each, so that a vote never waits for a block."""

    writer: Executor  # builds, executes, commits
    signer: Executor  # signs and logs votes


class Driver:
    """Runs one node's part in consensus: a validator's, or an observer's without a signer.

    Everything it needs comes in through the constructor. Used in the event loop's thread.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        mempool: Mempool,
        machine: Machine,
        epochs: Epochs,
        signer: Signer | None,
        late_signer: Callable[[], Signer] | None = None,
        domain: Domain,
        outbox: Outbox,
        coinbase: Address,
        timing: Timing,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
        measured: Measured,
        threads: Threads,
        on_commit: Callable[[Committed], None],
        on_evidence: Callable[[Vote, Vote], None],
    ) -> None:
        """`clock` gives seconds since 1970, `stopwatch` seconds since whenever.

        `late_signer` instead of `signer`: this key's votes are lost, so that it observes to
        the end of the epoch that it finds the network in, and signs only then (V5).

        `on_commit` hears of each block after it is on disk, `on_evidence` of two votes by one
        signer that exclude each other; both in the event loop.
        """
        self.ledger = ledger
        self.epochs = epochs
        self.domain = domain
        self.outbox = outbox
        self.clock = clock
        self.timing = timing
        self._workshop = Workshop(
            ledger=ledger,
            mempool=mempool,
            machine=machine,
            epochs=epochs,
            domain=domain,
            coinbase=coinbase,
            timing=timing,
            now_ms=self.now_ms,
            stopwatch=stopwatch,
            measured=measured,
            writer=threads.writer,
        )
        self.candidates = self._workshop.candidates
        self._mempool = mempool
        self.voter = Voter(ledger, epochs, self.candidates, signer, late_signer, threads.signer)
        self._on_commit = on_commit
        self._on_evidence = on_evidence
        self._held: deque[Certificate] = deque(maxlen=_HELD_MAX)  # not yet in the vote log
        self._events: deque[Event] = deque()
        self._waiting: deque[_Waiting] = deque(maxlen=_NEXT_EPOCH_MAX)
        self._jobs: deque[Job] = deque()
        self._more_jobs = asyncio.Event()
        self._wake = asyncio.Event()
        self._failure: Fault | None = None
        self._stopping = False
        self.core = self.voter.begin()
        self.pacemaker = Pacemaker(self, mempool)

    # -- what others may ask -----------------------------------------------------------------------

    @property
    def validator(self) -> Address | None:
        """Whose key signs here."""
        return self.voter.address

    @property
    def validators(self) -> ValidatorSet:
        """The set of the current epoch."""
        return self.core.epoch.validators

    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    def finalization(self) -> Certificate | None:
        """The certificate of the ledger's head; None at genesis and after an import."""
        return finalization_of(self.ledger)

    # -- life --------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Finish what a crash cut short, as far as this node can by itself."""
        await self._perform(self.core.start())
        await self._settle()
        self.voter.demand_own_blocks(self.core)

    async def run(self) -> None:
        """Take part until `stop`. Raises `Fault` when consensus or the disk fails."""
        worker = asyncio.create_task(self._work())
        worker.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                self._wake.clear()
                await self._turns()
                if not self._stopping:
                    self.pacemaker.poll()
                if worker.done():
                    worker.result()
                if self._failure is not None:
                    raise self._failure
                if self._stopping and not self._jobs and not self._events:
                    return
                if not self._events:
                    await self._wake.wait()
        finally:
            self.pacemaker.stop()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def _work(self) -> None:
        """Do what takes long, one job after the other."""
        while True:
            while self._jobs:
                await self._jobs[0]()
                self._jobs.popleft()
                self._wake.set()
            self._more_jobs.clear()
            await self._more_jobs.wait()

    def _start(self, job: Job) -> None:
        self._jobs.append(job)
        self._more_jobs.set()

    async def _settle(self) -> None:
        """Work until there is nothing more to do, before `run`."""
        await self._turns()
        while self._jobs:
            await self._jobs[0]()
            self._jobs.popleft()
            await self._turns()

    def stop(self) -> None:
        """Finish the block in the making, then let `run` return."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """Let go of the vote log, after `run`."""
        self.voter.close()

    def wake(self) -> None:
        """Look again whether a block is due."""
        self._wake.set()

    def pooled(self) -> None:
        """A transaction was pooled: it may be reason to build."""
        self.pacemaker.pooled()
        self._wake.set()

    # -- turns -------------------------------------------------------------------------------------

    def feed(self, events: Iterable[Event], body: ProposedBlock | None = None) -> None:
        """Events of the current epoch, verified, and the body of the block that they bring."""
        if body is not None:
            self.candidates.propose(body)
        self._events.extend(events)
        self._wake.set()

    def feed_later(
        self, epoch: int, events: Iterable[Event], body: ProposedBlock | None = None
    ) -> None:
        """Verified events of the next epoch, which wait until that begins."""
        self._waiting.append(_Waiting(epoch, tuple(events), body))

    async def _turns(self) -> None:
        """Feed the core until it has had everything."""
        while self._events:
            effects: list[Effect] = []
            while self._events:
                event = self._events.popleft()
                effects += self.core.handle(event)
                if _log.isEnabledFor(logging.DEBUG):
                    _log.debug("view %d: %s", self.core.view, event)
            if effects and _log.isEnabledFor(logging.DEBUG):
                _log.debug("view %d gives %s", self.core.view, effects)
            await self._perform(effects)
        # Every body that was fed is known to the core by now, or the core has no use for it.
        self.candidates.forget(self.core.base.height, self.core.knows)

    async def _perform(self, effects: Sequence[Effect]) -> None:
        """One turn's effects. The votes go first to the disk, then out (V1)."""
        ballots: list[Ballot] = []
        for effect in effects:
            match effect:
                case Cast(ballot):
                    ballots.append(ballot)
                case Broadcast(held):
                    self._held.append(held)
        votes: dict[Ballot, Vote] = {}
        if ballots:
            fresh = tuple(self._held)
            self._held.clear()
            votes = await self.voter.sign(ballots, fresh)
        if votes:
            self.outbox.votes(list(votes.values()))
            self.feed(map(VoteReceived, votes.values()))
        for effect in effects:
            match effect:
                case Cast():
                    pass  # signed and sent above
                case EnterView():
                    self.pacemaker.entered()
                    self.outbox.status_changed()
                case Build():
                    self._start(partial(self._build, effect))
                case CheckBody(proposal):
                    self._start(partial(self._check_body, proposal))
                case Deliver(block_hash, certificate):
                    self._start(partial(self._deliver, block_hash, certificate))
                case Publish(proposal):
                    self._publish(proposal, votes)
                case Broadcast(certificate):
                    self.outbox.certificate(certificate)
                case Resend(certificates, own):
                    self.outbox.resend(certificates, own)
                case FetchBlock(view, block_hash):
                    self.outbox.fetch_block(block_hash, self._signers(view))
                case FetchCertificates(view, first, last):
                    epoch = self.core.epoch.number
                    self.outbox.fetch_certificates(epoch, first, last, self.core.leader(view))
                case Accuse(one, other):
                    self.outbox.accuse(one, other)
                    self.report(one, other)
                case Stop(reason):
                    raise Fault(f"consensus failure: {reason}")
                case _:
                    assert_never(effect)

    def _publish(self, proposal: Proposal, votes: dict[Ballot, Vote]) -> None:
        for ballot, vote in votes.items():
            if ballot.view == proposal.view and ballot.kind is VoteKind.NOTARIZE:
                body = None if proposal.again else self.candidates.proposed(proposal.block_hash)
                if proposal.again or body is not None:  # otherwise sync has gone past it
                    self.outbox.publish(vote, body)

    def _signers(self, view: int) -> list[Address]:
        """Who signed that the block of this view is good, and so should have it."""
        members = self.validators.validators
        return [
            members[index].address
            for certificate in self.core.held(view, view)
            for index in range(len(members))
            if certificate.signers[index // 8] >> index % 8 & 1
        ]

    # -- build -------------------------------------------------------------------------------------

    async def _build(self, effect: Build) -> None:
        core, view = self.core, effect.view
        validator = self.voter.address
        if core.view != view or self._stopping or validator is None:
            self.feed([BuildFailed(view)])
            return
        arrivals = self._mempool.arrivals
        built = await self._workshop.build(effect, core.epoch, validator)
        if built is None:  # the head has moved on by sync
            self.feed([BuildFailed(view)])
            return
        if core is not self.core or core.view != view:
            return  # too late; the transactions are still pooled
        if not built.candidate.runs and not self.pacemaker.allow_empty:
            news = built.dropped > 0 or self._mempool.arrivals != arrivals
            self.pacemaker.nothing_fits(news=news)
            self.feed([BuildFailed(view)])
            return
        self.candidates.keep(built.candidate)
        made = built.candidate
        self.feed([ProposalBuilt(proposal_of(made.record, made.executed.hash))])

    def next_base_fee(self, parent: Header, time_ms: int) -> int:
        """The base fee of the child of `parent`."""
        return self._workshop.next_base_fee(parent, time_ms)

    # -- check -------------------------------------------------------------------------------------

    async def _check_body(self, proposal: Proposal) -> None:
        """Execute a block on its parent's state (R1)."""
        block_hash = proposal.block_hash
        if proposal.height <= self.ledger.height:  # sync was faster, and what is final is valid
            self.feed([BodyChecked(block_hash, self._is_final(block_hash))])
            return
        proposed = self.candidates.proposed(block_hash)
        if proposed is None:
            return  # the core has forgotten it
        try:
            core = self.core
            self._workshop.check_record(
                proposed.record, proposal, core.epoch, core.leader(proposal.view)
            )
            candidate = await self._workshop.execute(proposed)
        except Rejected as rejected:
            _log.warning("block 0x%s is not valid: %s", block_hash.hex(), rejected)
            self.feed([BodyChecked(block_hash, False)])
            return
        if candidate is not None:
            self.candidates.keep(candidate)
            self.feed([BodyChecked(block_hash, True)])

    # -- commit ------------------------------------------------------------------------------------

    def _is_final(self, block_hash: Hash) -> bool:
        return self.ledger.height_of(block_hash) is not None

    async def _deliver(self, block_hash: Hash, certificate: Certificate | None) -> None:
        candidate = self.candidates.executed(block_hash)
        if candidate is not None:
            await self._commit(candidate, certificate, live=True)
        elif not self._is_final(block_hash):  # else sync was faster
            raise Fault(f"block 0x{block_hash.hex()} is final, and so is one beside it")
        if certificate is not None:
            view = certificate.ballot.view
            await self._raise_floor((certificate.ballot.epoch, view))
            self.feed([FloorStored(view)])
        await self._go_on()

    async def _commit(
        self, candidate: Candidate, certificate: Certificate | None, *, live: bool
    ) -> None:
        """V6: everything about the block in one synced batch; only then it is announced."""
        runnable = await self._workshop.commit(candidate, certificate)
        executed, record = candidate.executed, candidate.record
        self.pacemaker.finalized()
        self.outbox.status_changed()
        latency = max(0, self.now_ms() - record.timestamp_ms) if live else None
        self._on_commit(Committed(executed, candidate.runs, record, latency, runnable))

    async def _raise_floor(self, floor: Position) -> None:
        if self.core.takes_part:
            await self.voter.raise_floor(floor)

    async def _go_on(self) -> None:
        """A block is on disk: it may have been its epoch's last, or what this node waited for."""
        if self.core.finished and self.ledger.height >= self.core.base.height:
            await self._end_epoch()
            return
        core = self.core
        if core.takes_part or core.finished:
            return
        # The ledger may have by now what this node's earlier votes were about.
        if self.voter.may_vote(core.epoch, core.base):
            await self._start_core()

    async def _end_epoch(self) -> None:
        """Begin the next epoch: the last block of this one is on disk."""
        number = self.core.epoch.number + 1
        self.voter.epoch_begins(number)
        self._events.clear()  # they are of the epoch that is over
        _log.info("epoch %d begins at height %d", number, self.ledger.height + 1)
        await self._start_core()

    async def _start_core(self) -> None:
        """A new core instead of the present one; nothing reaches it before it has started."""
        self.core = self.voter.begin()
        effects = self.core.start()
        epoch = self.core.epoch.number
        waiting, self._waiting = self._waiting, deque(maxlen=_NEXT_EPOCH_MAX)
        await self._perform(effects)
        for item in waiting:
            if item.epoch == epoch:
                self.feed(item.events, item.body)
            elif item.epoch > epoch:
                self._waiting.append(item)

    # -- from elsewhere ----------------------------------------------------------------------------

    async def apply_final(self, proposed: ProposedBlock, certificate: Certificate | None) -> None:
        """A final block that sync brought, whose finality is proved: run it, commit it.

        `certificate` is its own finalization, if it has one. In ascending order. Raises
        `Fault` when the block is not valid: then others finalized what never can be.
        """
        done = asyncio.get_running_loop().create_future()
        self._start(partial(self._apply_final, proposed, certificate, done))
        await done

    async def _apply_final(
        self,
        proposed: ProposedBlock,
        certificate: Certificate | None,
        done: "asyncio.Future[None]",
    ) -> None:
        try:
            await self._import(proposed, certificate)
        except (Fault, Rejected) as error:
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(None)

    async def _import(self, proposed: ProposedBlock, certificate: Certificate | None) -> None:
        record, ledger = proposed.record, self.ledger
        height = Height(record.height)
        if height <= ledger.height:
            if ledger.hash_at(height) != proposed.hash:
                raise Fault(f"another block is final at height {height}")
            return
        candidate = self.candidates.executed(proposed.hash)
        if candidate is None:
            try:
                candidate = await self._workshop.execute(proposed)
            except Rejected as rejected:
                raise Fault(f"block {height} is final and invalid: {rejected}") from None
            if candidate is None:
                raise Rejected(Reason.UNKNOWN_PARENT, f"block {height} does not follow the head")
        await self._commit(candidate, certificate, live=False)
        if certificate is not None:
            view = certificate.ballot.view
            if record.epoch == self.core.epoch.number:
                base = Base(view, proposed.hash, height)
                await self._perform(self.core.handle(SyncedTo(base, certificate)))
            # Only now: a turn meanwhile must not ask for a vote that the floor forbids, and
            # what was asked for before is signed first, in the signer's thread.
            await self._raise_floor((record.epoch, view))
            await self._go_on()

    def report(self, one: Vote, other: Vote) -> None:
        """Two votes by one signer that exclude each other: have it punished (section 6)."""
        _log.warning(
            "validator 0x%s signed %s and %s in view %d of epoch %d",
            one.signer.hex(),
            one.ballot.kind.name,
            other.ballot.kind.name,
            one.ballot.view,
            one.ballot.epoch,
        )
        self._on_evidence(one, other)

    def lose_votes(self, vote: Vote) -> None:
        """The log was restored from an older copy, or the key is in use elsewhere: stop (V5)."""
        ballot = vote.ballot
        self._failure = Fault(
            f"the key of 0x{vote.signer.hex()} signed {ballot.kind.name} in view {ballot.view} of "
            f"epoch {ballot.epoch}, and its vote log does not know: it is an old copy, or the key "
            "is in use elsewhere; remove the log to observe for an epoch, then vote again"
        )
        self._wake.set()

    def caught_up(self) -> None:
        """This node has what its peers have: the epoch it is in is the network's (V5)."""
        self.voter.caught_up(self.core.epoch.number)
