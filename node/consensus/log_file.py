"""The file under the vote log: appended to, replaced as a whole, never edited.

Every call returns after the data is on disk, or raises `OSError`. The simulator has a
file of its own that loses what was not synced.
"""

import os
from pathlib import Path
from typing import Protocol


class LogFile(Protocol):
    """One owner; every write is synced before it returns."""

    def read(self) -> bytes | None:
        """Everything in it; None when there is no such file."""
        ...

    def append(self, data: bytes) -> None: ...

    def truncate(self, size: int) -> None:
        """Cut off what is beyond `size` bytes."""
        ...

    def replace(self, data: bytes) -> None:
        """Put a new file with this content in its place: the old one or the new, never between."""
        ...

    def close(self) -> None: ...


class DiskFile:
    """A file on disk, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        return self._path.read_bytes() if self._path.exists() else None

    def append(self, data: bytes) -> None:
        file = self._open()
        _write_all(file, data)
        os.fsync(file)

    def truncate(self, size: int) -> None:
        file = self._open()
        os.ftruncate(file, size)
        os.fsync(file)

    def replace(self, data: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        self.close()
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(file, data)
            os.fsync(file)
        finally:
            os.close(file)
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        return self._file


class MemoryFile:
    """A file that lasts as long as the process (ephemeral ledgers)."""

    def __init__(self) -> None:
        self._data: bytearray | None = None

    def __str__(self) -> str:
        return "in memory"

    def read(self) -> bytes | None:
        return None if self._data is None else bytes(self._data)

    def append(self, data: bytes) -> None:
        assert self._data is not None
        self._data += data

    def truncate(self, size: int) -> None:
        assert self._data is not None
        del self._data[size:]

    def replace(self, data: bytes) -> None:
        self._data = bytearray(data)

    def close(self) -> None:
        """Nothing to let go of."""


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
