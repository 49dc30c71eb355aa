"""Where blocks are made: built, executed and committed, in the writer's thread.

Knows nothing of views and votes: the driver says which block, and what becomes of it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar

from msgspec import Struct

from chain import headers
from chain.blocks import Header
from chain.errors import Fault, Reason, Rejected
from chain.ledger import Ledger
from chain.machine import Machine
from chain.transactions import Checked
from chain.types import ZERO_HASH, Address
from chain.validators import (
    Certificate,
    ConsensusRecord,
    Domain,
    encode_certificate,
    encode_record,
    encode_validators,
    skip_root,
)
from chain.views import Overlay
from node.consensus.candidates import Candidate, Candidates, execute
from node.consensus.core import Epoch
from node.consensus.epochs import Epochs
from node.consensus.messages import Build, Proposal
from node.consensus.outbox import ProposedBlock
from node.consensus.pacing import Timing, block_time
from node.pool.mempool import Mempool
from node.proposer import build_block, candidates_max
from node.watch.exposition import Histogram
from node.watch.observation import Measured

_log: Final = logging.getLogger("consensus")
P = ParamSpec("P")
R = TypeVar("R")


class Made(Struct, frozen=True):
    """A block that was built, and how many transactions turned out never to fit."""

    candidate: Candidate
    dropped: int


class Workshop:
    """One node's. Used in the event loop's thread; one call after the other."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        mempool: Mempool,
        machine: Machine,
        epochs: Epochs,
        domain: Domain,
        coinbase: Address,
        timing: Timing,
        now_ms: Callable[[], int],
        stopwatch: Callable[[], float],
        measured: Measured,
        writer: Executor,
    ) -> None:
        """`now_ms` gives milliseconds since 1970, `stopwatch` seconds since whenever."""
        self.candidates = Candidates(ledger)
        self._ledger = ledger
        self._mempool = mempool
        self._machine = machine
        self._epochs = epochs
        self._domain = domain
        self._coinbase = coinbase
        self._timing = timing
        self._now_ms = now_ms
        self._stopwatch = stopwatch
        self._measured = measured
        self._writer = writer

    async def _timed(
        self,
        histogram: Histogram,
        call: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """The result of a call in the writer's thread; how long it took is counted."""

        def timed() -> tuple[R, float]:
            start = self._stopwatch()
            result = call(*args, **kwargs)
            return result, self._stopwatch() - start

        result, seconds = await asyncio.get_running_loop().run_in_executor(self._writer, timed)
        histogram.observe(seconds)
        return result

    # -- build -------------------------------------------------------------------------------------

    async def build(self, effect: Build, epoch: Epoch, proposer: Address) -> Made | None:
        """A block of what is pooled, perhaps empty; None when its parent's state is gone."""
        ledger = self._ledger
        try:
            ground = self.candidates.ground(effect.parent_hash)
        except KeyError:
            return None
        record = ConsensusRecord(
            height=ground.parent.number + 1,
            timestamp_ms=block_time(
                self._timing, self.candidates.time_ms(effect.parent_hash), self._now_ms()
            ),
            proposer=proposer,
            **self._fixed(epoch, effect.view, effect.parent_view),
            parent_hash=effect.parent_hash,
        )
        base_fee = self.next_base_fee(ground.parent, record.timestamp_ms)
        after = self.candidates.next_nonces(effect.parent_hash)
        ready = self._mempool.ready(base_fee, after)
        chosen = list(islice(ready, candidates_max(ground.parent)))
        settled = effect.parent_hash == ledger.head_hash
        built = await self._timed(
            self._measured.block_processing,
            build_block,
            ground,
            chosen,
            record,
            self._coinbase,
            machine=self._machine,
            config=ledger.config,
            clock=self._stopwatch,
            seconds_max=self._timing.build_ms_max / 1000 or None,
        )
        if settled:  # otherwise a block that is skipped may be all that is in the way
            for transaction_hash, rejected in built.refused:
                _log.info("dropped 0x%s: %s", transaction_hash.hex(), rejected)
                self._mempool.drop(transaction_hash)
        return Made(Candidate(built.executed, record, built.runs), len(built.refused))

    def next_base_fee(self, parent: Header, time_ms: int) -> int:
        """The base fee of the child of `parent`."""
        fork = self._ledger.config.fork_at(parent.number + 1, time_ms // 1000, merged=True)
        return headers.base_fee(parent, fork)

    def _fixed(self, epoch: Epoch, view: int, parent_view: int) -> dict[str, Any]:
        """The fields of a record that leave its proposer no choice."""
        following = self._epochs.set_of(epoch.number + 1)
        if following is None:
            raise Fault(f"the validators of epoch {epoch.number + 1} are not in the ledger")
        return {
            "chain_id": self._ledger.config.chain_id,
            "epoch": epoch.number,
            "view": view,
            "parent_view": parent_view,
            "validators_hash": epoch.validators.hash,
            "next_validators_hash": following.hash,
            "skip_root": skip_root(epoch.number, parent_view, view, self._domain),
            "evidence_root": ZERO_HASH,
        }

    # -- check -------------------------------------------------------------------------------------

    def check_record(
        self, record: ConsensusRecord, proposal: Proposal, epoch: Epoch, leader: Address
    ) -> None:
        """What a record says beside the header: Rejected when it is not as it must be (R1)."""
        for name, value in self._fixed(epoch, proposal.view, proposal.parent_view).items():
            if getattr(record, name) != value:
                raise Rejected(Reason.WRONG_RECORD, f"{name} is {getattr(record, name)!r}")
        if record.proposer != leader:
            raise Rejected(Reason.WRONG_RECORD, "the proposer is not the view's leader")
        if record.timestamp_ms < self.candidates.time_ms(record.parent_hash):
            raise Rejected(Reason.WRONG_TIMESTAMP, "before its parent")

    async def execute(self, proposed: ProposedBlock) -> Candidate | None:
        """The result; None when the parent's state is gone because the ledger went on."""
        try:
            ground = self.candidates.ground(proposed.record.parent_hash)
        except KeyError:
            return None
        return await self._timed(
            self._measured.block_processing,
            execute,
            proposed,
            ground,
            self._ledger,
            self._machine,
        )

    # -- commit ------------------------------------------------------------------------------------

    async def commit(
        self, candidate: Candidate, certificate: Certificate | None
    ) -> Sequence[Checked]:
        """V6: everything about the block in one synced batch; then the pool follows.

        What waited in the pool for a nonce that the block used.
        """
        await self._timed(self._measured.block_commit, self._write, candidate, certificate)
        executed = candidate.executed
        self.candidates.prune()
        gas_limit = executed.block.header.gas_limit
        return self._mempool.advance(self._ledger.view(), gas_limit, executed)

    def _write(self, candidate: Candidate, certificate: Certificate | None) -> None:
        executed = candidate.executed
        state = Overlay(self._ledger.view(), executed.changes)
        decided = self._epochs.decided_by(candidate.record.height, state, self._machine)
        self._ledger.commit(
            executed,
            certificate=encode_certificate(certificate) if certificate else b"",
            record=encode_record(candidate.record),
            validators=(decided[0], encode_validators(decided[1])) if decided else None,
        )
