"""A node's disk that outlives its process: what was synced stays, the rest may be lost.

A crash takes back unsynced writes, newest first, as many as the seed says; of an unsynced
append it may leave a piece. A failing disk refuses a write with EIO (which may have
happened or not, or in part) or ENOSPC (which has not).
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Final

from msgspec import Struct

from chain.errors import Fault
from chain.storage.memory import MemoryStore
from chain.storage.store import Change, Store


class DiskFaults(Struct, frozen=True):
    """How often a write fails, as a chance per write."""

    eio: float = 0.0
    enospc: float = 0.0


SOUND: Final = DiskFaults()


class Disk:
    """One node's disk. `store` and `file` open it; after `crash` what was opened is dead."""

    def __init__(self, random: Random, faults: DiskFaults = SOUND) -> None:
        self.faults = faults
        self.failures = 0  # writes that were refused
        self._random = random
        self._tables = MemoryStore()
        self._undo: list[list[Change]] = []  # of each unsynced write, oldest first
        self._files: dict[str, _Content] = {}
        self._opened = 0  # counts crashes: whoever opened before is dead

    def store(self) -> Store:
        """The tables, as a process sees them."""
        return _Tables(self, self._opened)

    def file(self, name: str) -> "SimulatedFile":
        """A file that is appended to (`node.consensus.log_file.LogFile`)."""
        return SimulatedFile(self, name, self._opened)

    def crash(self) -> None:
        """The process is gone, and with it what was not synced."""
        self._opened += 1
        kept = self._random.randint(0, len(self._undo))
        for undo in reversed(self._undo[kept:]):
            self._tables.write(undo, sync=True)
        self._undo.clear()
        for content in self._files.values():
            content.crash(self._random)

    def wipe(self) -> None:
        """Everything is gone, as after a new disk was put in."""
        self._opened += 1
        self._tables = MemoryStore()
        self._undo.clear()
        self._files.clear()

    def break_now(self, generation: int) -> int | None:
        """The error that a write of that generation's process gets; None: it succeeds."""
        if generation != self._opened:
            raise Fault("the process that opened this disk is gone")
        faults = self.faults
        if not faults.eio and not faults.enospc:
            return None
        draw = self._random.random()
        if draw < faults.eio:
            self.failures += 1
            return errno.EIO
        if draw < faults.eio + faults.enospc:
            self.failures += 1
            return errno.ENOSPC
        return None

    def happened(self) -> bool:
        """Whether a write that failed with EIO is on disk all the same."""
        return self._random.random() < 0.5

    def piece_of(self, data: bytes) -> bytes:
        """What a write that was cut short left: from nothing up to all but the last byte."""
        return data[: self._random.randrange(len(data))] if data else b""

    @property
    def generation(self) -> int:
        """How often the disk lost its process."""
        return self._opened

    @property
    def tables(self) -> MemoryStore:
        return self._tables

    def content(self, name: str) -> "_Content":
        return self._files.setdefault(name, _Content())

    def remember(self, changes: Sequence[Change]) -> None:
        """Note how to take back an unsynced write that is about to happen."""
        before: dict[tuple[str, bytes], bytes | None] = {}
        for table, key, _ in changes:
            before.setdefault((table, key), self._tables.get(table, key))
        self._undo.append([(table, key, old) for (table, key), old in before.items()])

    def synced(self) -> None:
        self._undo.clear()


class _Content:
    """A file's bytes: those that are safe, and those that a crash may take."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.safe: bytes | None = None

    def crash(self, random: Random) -> None:
        if self.data is None or self.data == self.safe:
            return
        if self.safe is not None and self.data.startswith(self.safe):
            self.data = self.data[: random.randint(len(self.safe), len(self.data))]
        else:
            self.data = self.safe
        self.safe = self.data


class SimulatedFile:
    """A file of a `Disk`. Each call but `write` is synced when it returns."""

    def __init__(self, disk: Disk, name: str, generation: int) -> None:
        self._disk = disk
        self._name = name
        self._generation = generation

    def __str__(self) -> str:
        return self._name

    def read(self) -> bytes | None:
        return self._content().data

    def append(self, data: bytes) -> None:
        self.write(data)
        self.sync()

    def write(self, data: bytes) -> None:
        """Append without syncing."""
        content = self._content()
        assert content.data is not None
        error = self._disk.break_now(self._generation)
        if error is not None:
            content.data += self._disk.piece_of(data)
            raise OSError(error, "simulated")
        content.data += data

    def sync(self) -> None:
        content = self._content()
        content.safe = content.data

    def truncate(self, size: int) -> None:
        content = self._content()
        self._refuse()
        assert content.data is not None
        content.data = content.safe = content.data[:size]

    def replace(self, data: bytes) -> None:
        content = self._content()
        self._refuse()
        content.data = content.safe = data

    def close(self) -> None:
        """The disk keeps what it has."""

    def _content(self) -> _Content:
        return self._disk.content(self._name)

    def _refuse(self) -> None:
        error = self._disk.break_now(self._generation)
        if error is not None:
            raise OSError(error, "simulated")


class _Tables:
    """`Store` on a `Disk`."""

    def __init__(self, disk: Disk, generation: int) -> None:
        self._disk = disk
        self._generation = generation
        self._failed = False

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._disk.tables.get(table, key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._disk.tables.get_many(table, keys)

    def scan(
        self, table: str, prefix: bytes, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._disk.tables.scan(table, prefix, start)

    def write(self, changes: Iterable[Change], *, sync: bool) -> None:
        disk = self._disk
        if self._failed:
            raise Fault("the disk has failed")
        error = disk.break_now(self._generation)
        listed = list(changes)
        if error is None or (error == errno.EIO and disk.happened()):
            if not sync or error is not None:
                disk.remember(listed)
            disk.tables.write(listed, sync=sync)
            if sync and error is None:
                disk.synced()
        if error is not None:
            self._failed = True
            raise Fault(f"the disk failed: {errno.errorcode[error]}")

    def count(self, table: str) -> int:
        return self._disk.tables.count(table)

    def size(self) -> int:
        return self._disk.tables.size()

    def close(self) -> None:
        """The disk keeps what it has; unsynced writes are synced by an orderly end."""
        if self._generation == self._disk.generation:
            self._disk.synced()
