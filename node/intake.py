"""Raw transactions into the pool: decoded, checked in batches, added in order of arrival."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from chain import validation
from chain.blobs import BlobSidecar
from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.transactions import Checked, Kind, Transaction, decode_network_transaction
from chain.types import Hash

_WAITING_MAX: Final = 100_000  # transactions on their way into the pool
_INLINE_MAX: Final = 4  # up to this many are cheaper to check than to hand to a thread

_Decoded = tuple[Transaction, BlobSidecar | None]
_Verdict = tuple[Checked, BlobSidecar | None] | Rejected


class Intake:
    """One queue in front of the pool. Used from the event loop's thread only.

    What arrives while a batch is checked forms the next batch, so signatures are
    recovered together when there are many and at once when there are few.
    """

    def __init__(
        self,
        fork: Callable[[], Fork],
        chain_id: int,
        admit: Callable[[Checked, BlobSidecar | None, bool], None],
        threads: Executor,
    ) -> None:
        """`fork` is the next block's; `admit` pools a transaction or raises `Rejected`.

        Its last argument is whether a caller of this node submitted the transaction.
        """
        self._fork = fork
        self._chain_id = chain_id
        self._admit = admit
        self._threads = threads
        self._waiting: list[tuple[bytes, bool, asyncio.Future[Hash]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Let what is in line be answered, then take no more."""
        if self._worker is not None:
            await self._worker

    async def submit(self, raw: bytes, *, local: bool = True) -> Hash:
        """Pool a raw transaction; its hash, or `Rejected` with the reason."""
        if len(self._waiting) >= _WAITING_MAX:
            raise Rejected(Reason.POOL_FULL, f"{len(self._waiting)} transactions are in line")
        future: asyncio.Future[Hash] = asyncio.get_running_loop().create_future()
        self._waiting.append((raw, local, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                raws = [raw for raw, _, _ in batch]
                try:
                    fork = self._fork()
                    # The first byte 3 marks a blob transaction, whose proofs take milliseconds.
                    if len(raws) <= _INLINE_MAX and not any(
                        raw[:1] == bytes((Kind.BLOB,)) for raw in raws
                    ):
                        verdicts = check_batch(raws, fork, self._chain_id)
                    else:
                        verdicts = await loop.run_in_executor(
                            self._threads, check_batch, raws, fork, self._chain_id
                        )
                except Exception as error:  # our bug: every caller is told
                    for _, _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (_, local, future), verdict in zip(batch, verdicts, strict=True):
                    self._settle(future, verdict, local)
        finally:
            self._worker = None

    def _settle(self, future: "asyncio.Future[Hash]", verdict: _Verdict, local: bool) -> None:
        try:
            if isinstance(verdict, Rejected):
                raise verdict
            checked, sidecar = verdict
            self._admit(checked, sidecar, local)
        except Rejected as rejected:
            if not future.done():
                future.set_exception(rejected)
        else:
            if not future.done():
                future.set_result(checked.transaction.hash)


def check_batch(raws: Sequence[bytes], fork: Fork, chain_id: int) -> list[_Verdict]:
    """Decode and check transactions in their network form, signatures together."""
    decoded: list[_Decoded | Rejected] = []
    for raw in raws:
        try:
            decoded.append(decode_network_transaction(raw))
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
