"""Raw transactions into the pool: decoded, checked in batches, added in order of arrival."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from itertools import islice, repeat
from typing import Final

from msgspec import Struct

from chain import validation
from chain.blobs import BlobSidecar
from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.transactions import Checked, Kind, Transaction, decode_network_transaction
from chain.types import Hash
from node.handing import InlineExecutor, handed

_WAITING_MAX: Final = 100_000  # transactions on their way into the pool
_INLINE_MAX: Final = 16  # up to this many are cheaper to check than to hand to a thread

_Decoded = tuple[Transaction, BlobSidecar | None]
Admissible = tuple[Checked, BlobSidecar | None]
_Verdict = Admissible | Rejected


Outcome = Hash | Rejected
Admit = Callable[[Sequence[Admissible], bool], Sequence[Outcome]]
Accept = Callable[[Transaction], None]  # raises Rejected
# Told of the outcomes, or of an error of ours.
Told = Callable[[Sequence[Outcome], BaseException | None], None]


class _Order(Struct):
    """Transactions that came together, and who is told what becomes of them."""

    raws: Sequence[bytes]
    local: bool
    accept: Accept | None
    told: Told


class Intake:
    """One queue in front of the pool. Used from the event loop's thread only.

    What arrives while a batch is checked forms the next batch, so signatures are
    recovered together when there are many and at once when there are few.
    """

    def __init__(
        self,
        fork: Callable[[], Fork],
        chain_id: Callable[[], int],
        admit: Admit,
        threads: Executor,
    ) -> None:
        """`fork` and `chain_id` are the next block's; `admit` pools what was checked.

        It gives one outcome for each. Its last argument is whether a caller of this node
        submitted the transactions.
        """
        self._fork = fork
        self._chain_id = chain_id
        self._admit = admit
        self._threads = threads
        self._waiting: list[_Order] = []
        self._count = 0  # transactions that wait
        self._worker: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Let what is in line be answered, then take no more."""
        if self._worker is not None:
            await self._worker

    async def submit(self, raw: bytes, *, local: bool = True, accept: Accept | None = None) -> Hash:
        """Pool a raw transaction; its hash, or `Rejected` with the reason."""
        (outcome,) = await self.submit_many((raw,), local=local, accept=accept)
        if isinstance(outcome, Rejected):
            raise outcome
        return outcome

    async def submit_many(
        self, raws: Sequence[bytes], *, local: bool, accept: Accept | None = None
    ) -> list[Outcome]:
        """Pool raw transactions; one outcome for each, in order. `accept` has its say first."""
        if isinstance(self._threads, InlineExecutor) and self._worker is None:
            order = _Order(raws, local, accept, _tell_nobody)
            return self._pool(await self._check((order,)), local)  # nobody came in between
        outcomes: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()

        def told(found: Sequence[Outcome], error: BaseException | None) -> None:
            if outcomes.done():
                return
            if error is None:
                outcomes.set_result(found)
            else:
                outcomes.set_exception(error)

        self.begin(raws, told, local=local, accept=accept)
        return list(await outcomes)

    def begin(
        self, raws: Sequence[bytes], told: Told, *, local: bool, accept: Accept | None = None
    ) -> None:
        """As `submit_many` for whoever is no coroutine: `told` is called in a later turn."""
        if self._count + len(raws) > _WAITING_MAX:
            full = Rejected(Reason.POOL_FULL, f"{self._count} transactions are in line")
            asyncio.get_running_loop().call_soon(told, [full] * len(raws), None)
            return
        self._waiting.append(_Order(raws, local, accept, told))
        self._count += len(raws)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                orders, self._waiting, self._count = self._waiting, [], 0
                try:
                    verdicts = iter(await self._check(orders))
                except Exception as error:  # our bug: every caller is told
                    for order in orders:
                        order.told((), error)
                    continue
                for order in orders:
                    mine = list(islice(verdicts, len(order.raws)))
                    try:
                        outcomes = self._pool(mine, order.local)
                    except Exception as error:  # likewise
                        order.told((), error)
                    else:
                        order.told(outcomes, None)
        finally:
            self._worker = None

    async def _check(self, orders: Sequence[_Order]) -> list[_Verdict]:
        fork = self._fork()
        raws = [raw for each in orders for raw in each.raws]
        accepts = [each.accept for each in orders for _ in each.raws]
        # The first byte 3 marks a blob transaction, whose proofs take milliseconds.
        if len(raws) <= _INLINE_MAX and not any(raw[:1] == bytes((Kind.BLOB,)) for raw in raws):
            return check_batch(raws, fork, self._chain_id(), accepts)
        return await handed(self._threads, check_batch, raws, fork, self._chain_id(), accepts)

    def _pool(self, verdicts: Sequence[_Verdict], local: bool) -> list[Outcome]:
        admissible = [verdict for verdict in verdicts if not isinstance(verdict, Rejected)]
        admitted = iter(self._admit(admissible, local) if admissible else ())
        return [
            verdict if isinstance(verdict, Rejected) else next(admitted) for verdict in verdicts
        ]


def _tell_nobody(outcomes: Sequence[Outcome], error: BaseException | None) -> None:
    """Who waits for these sees to it himself."""


def check_batch(
    raws: Sequence[bytes],
    fork: Fork,
    chain_id: int,
    accepts: Iterable[Accept | None] = repeat(None),
) -> list[_Verdict]:
    """Decode and check transactions in their network form, signatures together.

    `accepts` are what else may refuse each of them.
    """
    decoded: list[_Decoded | Rejected] = []
    for raw, accept in zip(raws, accepts, strict=False):
        try:
            found = decode_network_transaction(raw)
            if accept is not None:
                accept(found[0])
            decoded.append(found)
        except Rejected as rejected:
            decoded.append(rejected)
    transactions = [item[0] for item in decoded if not isinstance(item, Rejected)]
    results = iter(validation.check_transactions(transactions, fork, chain_id))
    return [
        item if isinstance(item, Rejected) else _with_sidecar(next(results), item[1], fork)
        for item in decoded
    ]


def _with_sidecar(result: Checked | Rejected, sidecar: BlobSidecar | None, fork: Fork) -> _Verdict:
    if isinstance(result, Rejected):
        return result
    transaction = result.transaction
    if transaction.kind != Kind.BLOB:
        return result, None
    if sidecar is None:
        return Rejected(Reason.BAD_BLOB_PROOF, "missing sidecar in blob transaction")
    try:
        validation.check_sidecar(transaction, sidecar, fork)
    except Rejected as rejected:
        return rejected
    return result, sidecar
