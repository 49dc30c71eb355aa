"""What a source said, kept for ever: in memory, and in a file that is only added to.

A record is its key's and its value's length (4 bytes each), the two, and a checksum of them
(4 bytes). A record that was cut off or is corrupt ends the file; what follows is asked again.
Several processes may add to one file, each a whole record at a time.
"""

import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chain.errors import Fault, Reason, Rejected

_MAGIC: Final = b"chain-node fork 1\n"
BYTES_MAX: Final = 2 * 2**30  # of one fork
PASSING_BYTES_MAX: Final = 64 * 2**20  # of what is only remembered


class Answers:
    """Bytes to bytes. May be used from any thread."""

    def __init__(self, path: Path | None, *, bytes_max: int = BYTES_MAX) -> None:
        """`path` None: in memory alone. Raises `Fault` when the disk fails."""
        self._path = path
        self._bytes_max = bytes_max
        self._known: dict[bytes, bytes] = {}
        self._passing: dict[bytes, bytes] = {}
        self._passing_size = 0
        self._size = 0
        self._file: int | None = None
        self._adding = threading.Lock()
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            self._file = os.open(path, flags, 0o600)
            data = path.read_bytes()
            if not data.startswith(_MAGIC):
                os.ftruncate(self._file, 0)
                os.write(self._file, _MAGIC)
                data = _MAGIC
            end = len(_MAGIC)
            for key, value, end in _records(data):  # noqa: B007 - where the last one ends
                self._known[key] = value
            if end < len(data):
                os.ftruncate(self._file, end)
        except OSError as error:
            raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error
        self._size = end

    def get(self, key: bytes) -> bytes | None:
        found = self._known.get(key)
        return self._passing.get(key) if found is None else found

    def add(self, *entries: tuple[bytes, bytes]) -> None:
        """Keep answers. TOO_LARGE when there are too many; `Fault` when the disk fails."""
        with self._adding:
            fresh = [(key, value) for key, value in entries if key not in self._known]
            record = b"".join(_record(key, value) for key, value in fresh)
            if self._size + len(record) > self._bytes_max:
                raise Rejected(
                    Reason.TOO_LARGE, f"more than {self._bytes_max} bytes of a fork are known"
                )
            if self._file is not None and record:
                try:
                    os.write(self._file, record)
                except OSError as error:
                    raise Fault(f"{self._path}: {os.strerror(error.errno or 0)}") from error
            self._size += len(record)
            self._known.update(fresh)

    def pass_on(self, key: bytes, value: bytes) -> None:
        """Remember an answer for a while, for whoever asks again at once."""
        with self._adding:
            self._passing_size += len(value)
            self._passing[key] = value
            while self._passing_size > PASSING_BYTES_MAX and len(self._passing) > 1:
                self._passing_size -= len(self._passing.pop(next(iter(self._passing))))

    def forget(self) -> None:
        """Begin with nothing, on disk as well."""
        with self._adding:
            self._known.clear()
            self._passing.clear()
            self._passing_size = 0
            self._size = len(_MAGIC)
            if self._file is not None:
                os.ftruncate(self._file, len(_MAGIC))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _record(key: bytes, value: bytes) -> bytes:
    body = len(key).to_bytes(4, "big") + len(value).to_bytes(4, "big") + key + value
    return body + zlib.crc32(body).to_bytes(4, "big")


def _records(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """The records up to the first that makes no sense, each with where it ends."""
    at = len(_MAGIC)
    while at + 12 <= len(data):
        key_size = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + key_size + int.from_bytes(data[at + 4 : at + 8], "big")
        if zlib.crc32(data[at:end]).to_bytes(4, "big") != data[end : end + 4]:
            return
        key = data[at + 8 : at + 8 + key_size]
        yield key, data[at + 8 + key_size : end], end + 4
        at = end + 4
