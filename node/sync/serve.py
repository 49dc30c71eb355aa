"""What this node gives to others that are behind: final headers and bodies of its ledger."""

import asyncio
from concurrent.futures import Executor
from typing import Final

from chain.blocks import encode_header
from chain.ledger import Ledger
from chain.types import Height
from node.gossip.buckets import Bucket
from node.net.messages import Bodies, FinalHeader, GetBodies, GetHeaders, Headers
from node.net.network import Network, Offence, PeerId

ANSWER_BYTES_MAX: Final = 4 * 2**20  # but for the first block, which may be larger
# 512 headers with their records always fit, so that an answer always reaches a certificate.
HEADERS_BYTES_MAX: Final = 2 * 2**20
_WAITING_PER_PEER_MAX: Final = 8  # questions of one peer that wait for their answer
_PARALLEL_MAX: Final = 4  # answers in the making
_BURST_BYTES: Final = 64 * 2**20  # that one peer gets at once, and then
_BYTES_PER_SECOND: Final = 32 * 2**20


def final_headers(ledger: Ledger, asked: GetHeaders, epoch_length: int) -> Headers:
    """The headers asked for, as far as there is one with its own finalization at their end.

    Certificates within go along only where an epoch ends: a light client steps from one to
    the next.
    """
    found: list[FinalHeader] = []
    certified = size = 0
    last = min(asked.first + asked.count - 1, ledger.height)
    for number in range(max(asked.first, 1), last + 1):
        height = Height(number)
        record = ledger.record(height)
        if not record:
            break  # built before there were many validators: nobody can prove it
        certificate = ledger.certificate(height) or b""
        header = encode_header(ledger.header(height))
        size += len(header) + len(record) + len(certificate)
        if found and size > HEADERS_BYTES_MAX:
            break
        found.append(FinalHeader(header, record, certificate))
        if certificate:
            certified = len(found)
    first = max(asked.first, 1)
    kept = [
        item
        if index == certified - 1 or (epoch_length and (first + index) % epoch_length == 0)
        else FinalHeader(item.header, item.record, b"")
        for index, item in enumerate(found[:certified])
    ]
    return Headers(asked.request, tuple(kept))


def final_bodies(ledger: Ledger, asked: GetBodies) -> Bodies:
    """The blocks asked for, as many as fit; at least the first, if it is here."""
    found: list[bytes] = []
    size = 0
    for number in range(asked.first, min(asked.first + asked.count - 1, ledger.height) + 1):
        raw = ledger.raw_block(Height(number))
        size += len(raw)
        if found and size > ANSWER_BYTES_MAX:
            break
        found.append(raw)
    return Bodies(asked.request, tuple(found))


class _Caller:
    __slots__ = ("bucket", "waiting")

    def __init__(self, now: float) -> None:
        self.waiting = 0
        self.bucket = Bucket(_BURST_BYTES, _BYTES_PER_SECOND, now)


class Serving:
    """Answers peers from the ledger, within limits for each and for all of them."""

    def __init__(self, network: Network, ledger: Ledger, threads: Executor) -> None:
        self._network = network
        self._ledger = ledger
        self._threads = threads
        self._callers: dict[PeerId, _Caller] = {}
        self._parallel = asyncio.Semaphore(_PARALLEL_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def asked(self, peer: PeerId, message: GetHeaders | GetBodies) -> None:
        """Answer soon. Who asks for more than it takes answers to floods (FLOOD)."""
        loop = asyncio.get_running_loop()
        caller = self._callers.setdefault(peer, _Caller(loop.time()))
        if caller.waiting >= _WAITING_PER_PEER_MAX:
            self._network.blame(peer, Offence.FLOOD, f"{caller.waiting} questions at a time")
            return
        caller.waiting += 1
        task = loop.create_task(self._answer(peer, caller, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, peer: PeerId) -> None:
        """The peer is gone."""
        self._callers.pop(peer, None)

    async def stop(self) -> None:
        """Let what is being read be read, and answer no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, peer: PeerId, caller: _Caller, message: GetHeaders | GetBodies) -> None:
        loop = asyncio.get_running_loop()
        try:
            debt = -caller.bucket.level(loop.time())
            if debt > 0:
                await asyncio.sleep(debt / _BYTES_PER_SECOND)
            async with self._parallel:
                if self._callers.get(peer) is not caller:
                    return  # it is gone
                answer = await loop.run_in_executor(self._threads, self._read, message)
            self._network.send(peer, answer)
            caller.bucket.charge(_size(answer), loop.time())
        finally:
            caller.waiting -= 1

    def _read(self, message: GetHeaders | GetBodies) -> Headers | Bodies:
        if isinstance(message, GetBodies):
            return final_bodies(self._ledger, message)
        return final_headers(self._ledger, message, self._ledger.config.ledger.epoch_length)


def _size(answer: Headers | Bodies) -> int:
    if isinstance(answer, Bodies):
        return sum(map(len, answer.blocks))
    return sum(
        len(item.header) + len(item.record) + len(item.finalization) for item in answer.headers
    )
