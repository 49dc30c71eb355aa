"""The votes of this validator, on disk before they leave it (V1 to V5 of the protocol).

One append is one record, so what a crash tears is always the last record. Beside votes
a record holds the proposals they are for: a block that was voted for must survive the
crash that comes before the ledger has it.

File: magic (8) | salt (16), then records: marker (4) | size (4) | CRC-32 (4) | payload,
integers big-endian. The checksum covers salt, offset and payload, so that bytes which
somebody planted inside a transaction never pass for a record. Payload, RLP:
[floor, [vote ...], [[view, proposal] ...]].
"""

import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from chain import codec
from chain.codec import encode_bytes, encode_int, encode_list
from chain.errors import Fault, Rejected
from chain.validators import Vote, decode_vote, encode_vote

_MAGIC: Final = b"cnvotes1"
_MARKER: Final = b"\xf5vr\x01"
_HEADER_SIZE: Final = 24
_FRAME_SIZE: Final = 12
_COMPACT_BYTES: Final = 16 * 2**20  # a file beyond this is rewritten when the floor rises


class _Record(Struct, frozen=True):
    floor: int
    votes: tuple[Vote, ...]
    proposals: tuple[tuple[int, bytes], ...]  # (view, bytes)


class VoteLog:
    """The log, replayed on opening. `path` None keeps it in memory (ephemeral ledgers).

    Raises `Fault` when the file is damaged before its tail, and on any failed write:
    after a failed fsync nobody knows what is on disk, so nothing is tried again.
    """

    def __init__(self, path: Path | None) -> None:
        self.floor = 0  # votes at or below this view are over
        self._votes: list[Vote] = []
        self._proposals: dict[int, bytes] = {}
        self._path = path
        self._salt = b""
        self._size = 0
        self._file = -1
        if path is not None:
            self._open(path)

    @property
    def votes(self) -> Sequence[Vote]:
        """The votes above the floor, in the order they were cast."""
        return self._votes

    @property
    def proposals(self) -> Mapping[int, bytes]:
        """The proposals above the floor that were voted for, by view."""
        return self._proposals

    def append(self, votes: Sequence[Vote], proposals: Sequence[tuple[int, bytes]] = ()) -> None:
        """Write and fsync; only then may the votes leave."""
        record = _Record(self.floor, tuple(votes), tuple(proposals))
        if self._path is not None:
            self._write(record)
        self._take(record)

    def raise_floor(self, view: int) -> None:
        """The ledger has everything up to `view` on disk; reaches the file with the next append."""
        self.floor = max(self.floor, view)
        self._drop_below_floor()
        if self._path is not None and self._size > _COMPACT_BYTES:
            self._compact(self._path)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self, record: _Record) -> None:
        self.floor = max(self.floor, record.floor)
        self._votes.extend(record.votes)
        self._proposals.update(record.proposals)
        self._drop_below_floor()

    def _drop_below_floor(self) -> None:
        floor = self.floor
        self._votes = [vote for vote in self._votes if vote.ballot.view > floor]
        self._proposals = {view: data for view, data in self._proposals.items() if view > floor}

    # -- the file ----------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise _disk_fault(path, error) from error
        if len(data) < _HEADER_SIZE and (_MAGIC + data[8:]).startswith(data):
            # New, or torn while it was made: nothing was ever voted.
            self._create(path, _Record(0, (), ()))
            return
        if not data.startswith(_MAGIC):
            raise Fault(f"{path} is not a vote log")
        self._salt = data[8:_HEADER_SIZE]
        self._replay(path, data)

    def _replay(self, path: Path, data: bytes) -> None:
        offset = _HEADER_SIZE
        while (found := self._read(data, offset)) is not None:
            record, offset = found
            self._take(record)
        if offset < len(data):
            at = data.find(_MARKER, offset + 1)
            while at >= 0:
                if self._read(data, at) is not None:  # V4
                    raise Fault(
                        f"{path} is damaged at byte {offset}, before good records; "
                        "votes are lost, so this key must not sign: restore the file"
                    )
                at = data.find(_MARKER, at + 1)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
            if offset < len(data):
                os.ftruncate(self._file, offset)
                os.fsync(self._file)
        except OSError as error:
            raise _disk_fault(path, error) from error
        self._size = offset

    def _read(self, data: bytes, offset: int) -> tuple[_Record, int] | None:
        """The record at `offset` and where it ends, or None when there is no good one."""
        start = offset + _FRAME_SIZE
        frame = data[offset:start]
        if len(frame) < _FRAME_SIZE or not frame.startswith(_MARKER):
            return None
        end = start + int.from_bytes(frame[4:8], "big")
        payload = data[start:end]
        if end > len(data) or self._checksum(offset, payload) != frame[8:]:
            return None
        return _decode_record(payload), end

    def _checksum(self, offset: int, payload: bytes) -> bytes:
        start = zlib.crc32(self._salt + offset.to_bytes(8, "big"))
        return zlib.crc32(payload, start).to_bytes(4, "big")

    def _framed(self, offset: int, record: _Record) -> bytes:
        payload = _encode_record(record)
        checksum = self._checksum(offset, payload)
        return _MARKER + len(payload).to_bytes(4, "big") + checksum + payload

    def _write(self, record: _Record) -> None:
        data = self._framed(self._size, record)
        try:
            _write_all(self._file, data)
            os.fsync(self._file)
        except OSError as error:
            raise _disk_fault(self._path, error) from error
        self._size += len(data)

    def _create(self, path: Path, record: _Record) -> None:
        """Put a new file with one record in the place of whatever is there, atomically."""
        self._salt = secrets.token_bytes(_HEADER_SIZE - len(_MAGIC))
        data = _MAGIC + self._salt + self._framed(_HEADER_SIZE, record)
        fresh = path.with_suffix(".new")
        try:
            self.close()
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _write_all(file, data)
                os.fsync(file)
            finally:
                os.close(file)
            fresh.replace(path)
            _sync_folder(path.parent)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise _disk_fault(path, error) from error
        self._size = len(data)

    def _compact(self, path: Path) -> None:
        self._create(path, _Record(self.floor, tuple(self._votes), tuple(self._proposals.items())))


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _disk_fault(path: Path | None, error: OSError) -> Fault:
    return Fault(f"vote log {path}: {os.strerror(error.errno or 0)}")


def _encode_record(record: _Record) -> bytes:
    return encode_list(
        (
            encode_int(record.floor),
            encode_list(map(encode_vote, record.votes)),
            encode_list(
                encode_list((encode_int(view), encode_bytes(data)))
                for view, data in record.proposals
            ),
        )
    )


def _decode_record(payload: bytes) -> _Record:
    """A record whose checksum was right; `Fault` when it still makes no sense."""
    try:
        item = codec.decode(payload)
        if isinstance(item, bytes) or len(item) != 3:
            raise Fault("a record of the vote log has another format")
        floor, votes, proposals = item
        return _Record(
            codec.decode_int(_bytes(floor)),
            tuple(decode_vote(codec.encode(vote)) for vote in _list(votes)),
            tuple(
                (codec.decode_int(_bytes(view)), _bytes(data))
                for view, data in map(_list, _list(proposals))
            ),
        )
    except (Rejected, ValueError) as error:
        raise Fault(f"a record of the vote log has another format: {error}") from error


def _bytes(item: codec.Item) -> bytes:
    if not isinstance(item, bytes):
        raise Fault("a record of the vote log has another format")
    return item


def _list(item: codec.Item) -> list[codec.Item]:
    if isinstance(item, bytes):
        raise Fault("a record of the vote log has another format")
    return item
