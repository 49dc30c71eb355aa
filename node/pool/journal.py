"""What waits in the pool, kept over stops and crashes: a file that is appended to.

File: 8 bytes that name the format, then records. A record is the length of its payload (4
bytes), the payload's CRC-32 (4 bytes), and the payload: when the transaction came (8 bytes,
ms since 1970), whether it was submitted here (1 byte), and its network form.

Each batch of arrivals is handed to the system before its senders are answered, so that a
killed process loses nothing; nothing is synced, so that a power cut may take the tail. What
leaves the pool stays in the file until it is written anew: what is in blocks by then is
refused for its nonce when it is loaded.
"""

import asyncio
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from chain.blobs import BlobSidecar
from chain.errors import Rejected
from chain.forks import Fork
from chain.transactions import Checked, encode_network_transaction
from node.pool.eviction import Entry
from node.pool.intake import check_batch
from node.pool.mempool import Mempool

MAGIC: Final = b"cn-pool1"
_HEAD: Final = 8  # bytes before a payload
_FACTS: Final = 9  # bytes of a payload before the transaction
_PAYLOAD_BYTES_MAX: Final = 4 * 2**20
_SLACK_BYTES: Final = 8 * 2**20  # appended beyond what the pool held before all is written anew
_BUFFER_BYTES_MAX: Final = 32 * 2**20  # waiting while the file is written anew
_ATTEMPTS: Final = 3  # to write anew before arrivals that did not fit are let go
_WRITE_BYTES: Final = 2**20  # written at once rather than with the batch
_BATCH: Final = 512  # transactions checked together while loading
_BATCH_BYTES: Final = 4 * 2**20
_RETRY_SECONDS: Final = 60  # after an error of the disk

_log: Final = logging.getLogger("pool")


class JournalFile(Protocol):
    """One owner. Raises `OSError` where the disk fails."""

    def read(self) -> bytes | None:
        """Everything in it; None when there is no such file."""
        ...

    def write(self, data: bytes) -> None:
        """Append without syncing; there was a `swap` before."""
        ...

    def prepare(self, data: bytes) -> None:
        """Write a new file with this content; in another thread, while `write` goes on."""
        ...

    def swap(self) -> None:
        """Put the new file in the old one's place: there is the one or the other, never half."""
        ...

    def close(self) -> None: ...


class Waiting(Struct, frozen=True):
    """A transaction that waited when the node went down."""

    raw: bytes  # in its network form
    local: bool
    age: float  # seconds since it came


class DiskJournal:
    """A file on disk that is never synced, readable by its owner only."""

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        """`bytes_max` is how much of it is read."""
        self._path = path
        self._fresh = path.with_suffix(".new")
        self._bytes_max = bytes_max
        self._file = -1

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(self._bytes_max)
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> None:
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def prepare(self, data: bytes) -> None:
        file = os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(file, "wb") as opened:
            opened.write(data)

    def swap(self) -> None:
        self.close()
        self._fresh.replace(self._path)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def encode_record(raw: bytes, *, local: bool, arrived_ms: int) -> bytes:
    payload = arrived_ms.to_bytes(8, "big") + bytes((local,)) + raw
    return len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload


def decode_records(data: bytes) -> Iterator[tuple[bytes, bool, int]]:
    """(network form, local, ms since 1970) of each record up to the first that is not whole."""
    if data[: len(MAGIC)] != MAGIC:
        return
    at = len(MAGIC)
    while at + _HEAD <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        check = int.from_bytes(data[at + 4 : at + _HEAD], "big")
        at += _HEAD
        if not _FACTS < size <= _PAYLOAD_BYTES_MAX or at + size > len(data):
            return
        payload = data[at : at + size]
        if zlib.crc32(payload) != check:
            return
        yield payload[_FACTS:], payload[8] == 1, int.from_bytes(payload[:8], "big")
        at += size


class PoolJournal:
    """Keeps a pool's content in a file. Of the event loop's thread; writes anew in another."""

    def __init__(
        self,
        file: JournalFile,
        mempool: Mempool,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        threads: Executor,
    ) -> None:
        """`clock` is the pool's, `wall` gives seconds since 1970."""
        self._file = file
        self._mempool = mempool
        self._clock = clock
        self._wall = wall
        self._threads = threads
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._size = 0  # bytes in the file
        self._rewrite_at = 0  # its size from which on all is written anew
        self._usable = False  # whether the file may be appended to
        self._retry_at = 0.0
        self._kept: list[bytes] = []  # what arrived while the file is written anew
        self._kept_bytes = 0
        self._incomplete = False  # something did not fit there
        self._begun = False  # before `restore` is over arrivals wait: all is written at its end
        self._rewriting: asyncio.Task[None] | None = None

    # -- loading -----------------------------------------------------------------------------------

    async def restore(self, fork: Callable[[], Fork], chain_id: int) -> list[Checked]:
        """Pool again what waited, in batches, and begin a new file; what was pooled, in order."""
        pooled: list[Checked] = []
        found = 0
        loop = asyncio.get_running_loop()
        for batch in self._batches():
            found += len(batch)
            raws = [item.raw for item in batch]
            verdicts = await loop.run_in_executor(
                self._threads, check_batch, raws, fork(), chain_id
            )
            for item, verdict in zip(batch, verdicts, strict=True):
                if isinstance(verdict, Rejected):
                    continue
                try:
                    self._mempool.add(*verdict, local=item.local, age=item.age)
                except Rejected as rejected:
                    _log.debug("0x%s stays out: %s", verdict[0].transaction.hash.hex(), rejected)
                else:
                    pooled.append(verdict[0])
        if found:
            _log.info(
                "%d of the %d transactions kept in %s wait again", len(pooled), found, self._file
            )
        self._clear()
        self._begun = True
        await self._rewrite_soon()
        return pooled

    def _batches(self) -> Iterator[list[Waiting]]:
        try:
            data = self._file.read()
        except OSError as error:
            _log.warning("%s can't be read: %s", self._file, error.strerror)
            return
        if data is None:
            return
        if data[: len(MAGIC)] != MAGIC:
            _log.warning("%s is damaged or of another version, and is passed over", self._file)
        now, batch, size = self._wall(), list[Waiting](), 0
        for raw, local, arrived_ms in decode_records(data):
            batch.append(Waiting(raw, local, max(0.0, now - arrived_ms / 1000)))
            size += len(raw)
            if len(batch) == _BATCH or size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    # -- appending ---------------------------------------------------------------------------------

    def append(self, checked: Checked, sidecar: BlobSidecar | None, *, local: bool) -> None:
        """Keep a transaction that was pooled; it is in the file before the loop's next turn."""
        transaction = checked.transaction
        raw = transaction.raw
        if sidecar is not None:
            raw = encode_network_transaction(transaction, sidecar)
        if self._buffered >= _BUFFER_BYTES_MAX:  # while the old file is read: all is written then
            return
        record = encode_record(raw, local=local, arrived_ms=int(self._wall() * 1000))
        if not self._buffer:
            asyncio.get_running_loop().call_soon(self._flush)
        self._buffer.append(record)
        self._buffered += len(record)
        if self._buffered >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._begun or not self._buffer:
            return
        data = b"".join(self._buffer)
        self._clear()
        if self._rewriting is not None:  # the old file has it until the new one has it as well
            if self._kept_bytes + len(data) > _BUFFER_BYTES_MAX:
                self._incomplete = True
            else:
                self._kept.append(data)
                self._kept_bytes += len(data)
        if self._usable:
            self._write(data)
        if self._rewriting is not None:
            return
        if self._size >= self._rewrite_at if self._usable else self._clock() >= self._retry_at:
            self._rewrite_soon()

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            self._fail(error)  # there may be half a record now: nothing more can follow it
        else:
            self._size += len(data)

    def _clear(self) -> None:
        self._buffer, self._buffered = [], 0

    def _fail(self, error: OSError) -> None:
        self._usable = False
        self._retry_at = self._clock() + _RETRY_SECONDS
        _log.warning("the pool is not kept for now: %s: %s", self._file, error.strerror)

    # -- writing anew ------------------------------------------------------------------------------

    def _rewrite_soon(self) -> "asyncio.Task[None]":
        self._rewriting = asyncio.create_task(self._rewrite())
        return self._rewriting

    async def written(self) -> None:
        """Wait while the file is being written anew."""
        while self._rewriting is not None:
            await self._rewriting

    async def _rewrite(self) -> None:
        """Write a file of just what the pool holds and of what arrives meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            for attempt in range(_ATTEMPTS):
                self._kept, self._kept_bytes, self._incomplete = [], 0, False
                entries, offset = self._mempool.entries(), self._wall() - self._clock()
                size = await loop.run_in_executor(self._threads, self._prepare, entries, offset)
                if not self._incomplete or attempt == _ATTEMPTS - 1:
                    break
            self._flush()
            # In one turn of the loop, so that nothing answered is ever in no file.
            self._file.swap()
            self._size, self._usable = size, True
            self._rewrite_at = 2 * size + _SLACK_BYTES
            self._write(b"".join(self._kept))
        except OSError as error:
            self._fail(error)
        finally:
            self._rewriting = None
            self._kept = []

    def _prepare(self, entries: Sequence[Entry], offset: float) -> int:
        data = MAGIC + b"".join(_records(entries, offset))
        self._file.prepare(data)
        return len(data)

    async def stop(self, *, keep: bool = True) -> None:
        """Write down what waits now, or, unless it is to be kept, that nothing does."""
        await self.written()
        self._clear()
        self._begun = False
        loop = asyncio.get_running_loop()
        entries = self._mempool.entries() if keep else []
        offset = self._wall() - self._clock()
        self._usable = False
        try:
            await loop.run_in_executor(self._threads, self._prepare, entries, offset)
            self._file.swap()
            self._file.close()
        except OSError as error:
            _log.warning("the pool was not kept: %s: %s", self._file, error.strerror)


def _records(entries: Iterable[Entry], offset: float) -> Iterator[bytes]:
    """Records in an order in which each sender's nonces ascend."""
    for entry in sorted(entries, key=lambda entry: entry.checked.transaction.nonce):
        transaction = entry.checked.transaction
        raw = transaction.raw
        if entry.sidecar is not None:
            raw = encode_network_transaction(transaction, entry.sidecar)
        arrived_ms = max(0, int((entry.arrived + offset) * 1000))
        yield encode_record(raw, local=entry.local, arrived_ms=arrived_ms)
