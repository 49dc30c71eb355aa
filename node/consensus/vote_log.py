"""The votes of this validator, on disk before they leave it (V1 to V5 of the protocol).

One append is one record, so what a crash tears is always the last record. Beside votes
a record holds the proposals they are for, and the certificates that were held when they
were cast: a block that was voted for must survive the crash of every validator before the
ledger has it, and so must the proof that let the voters enter their view. Without it they
could neither go on nor go back.

File: magic (8) | salt (16), then records: marker (4) | size (4) | CRC-32 (4) | payload,
integers big-endian. The marker is the head of keccak(salt), the checksum covers salt,
offset and payload, so that bytes which somebody planted inside a transaction neither pass
for a record nor cost time. Payload, RLP:
[floor epoch, floor view, [vote ...], [[epoch, view, proposal] ...], [certificate ...]].
"""

import os
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from chain import codec
from chain.codec import encode_bytes, encode_int, encode_list
from chain.crypto.keccak import keccak
from chain.errors import Fault, Rejected
from chain.validators import (
    Ballot,
    Certificate,
    Vote,
    VoteKind,
    decode_certificate,
    decode_vote,
    encode_certificate,
    encode_vote,
)
from node.consensus.log_file import LogFile

Position = tuple[int, int]  # epoch, view; views restart in each epoch

_MAGIC: Final = b"cnvotes2"
_HEADER_SIZE: Final = 24
_FRAME_SIZE: Final = 12
_PROPOSALS_MAX: Final = 64  # beyond this, those that nobody can come to need are forgotten
_COMPACT_BYTES: Final = 16 * 2**20  # a file beyond this that has doubled is rewritten


class Kept(Struct, frozen=True):
    """What goes to disk with votes, so that they mean something after a crash."""

    proposals: tuple[tuple[Position, bytes], ...] = ()
    certificates: tuple[Certificate, ...] = ()


_NOTHING: Final = Kept()


class _Record(Struct, frozen=True):
    floor: Position
    votes: tuple[Vote, ...]
    kept: Kept


def position_of(ballot: Ballot) -> Position:
    """Where a ballot stands in the order of ballots."""
    return ballot.epoch, ballot.view


class VoteLog:
    """The log, replayed on opening.

    Raises `Fault` when the file is damaged before its tail, and on any failed write:
    after a failed fsync nobody knows what is on disk, so nothing is tried again.
    """

    def __init__(self, file: LogFile, salt: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """`salt` gives that many bytes that nobody could foresee."""
        self.floor: Position = (0, 0)  # votes at or below it are over
        self._votes: list[Vote] = []
        self._proposals: dict[Position, bytes] = {}
        self._certificates: dict[Ballot, Certificate] = {}
        self._file = file
        self._random = salt
        self._salt = b""
        self._marker = b""
        self._size = 0
        self._compacted = 0  # the size after the last rewriting
        try:
            self._open()
        except OSError as error:
            raise self._fault(error) from error

    @property
    def votes(self) -> Sequence[Vote]:
        """The votes above the floor, in the order they were cast."""
        return self._votes

    @property
    def proposals(self) -> Mapping[Position, bytes]:
        """The proposals above the floor that were voted for."""
        return self._proposals

    @property
    def certificates(self) -> Sequence[Certificate]:
        """The certificates above the floor that were held when votes were cast."""
        return tuple(self._certificates.values())

    def append(self, votes: Sequence[Vote], kept: Kept = _NOTHING) -> None:
        """Write and fsync; only then may the votes leave."""
        record = _Record(self.floor, tuple(votes), kept)
        data = self._framed(self._size, record)
        try:
            self._file.append(data)
        except OSError as error:
            raise self._fault(error) from error
        self._size += len(data)
        self._take(record)
        self._keep_short()

    def raise_floor(self, floor: Position) -> None:
        """The ledger has everything up to here on disk; reaches the file with the next append."""
        self.floor = max(self.floor, floor)
        self._drop_below_floor()
        self._keep_short()

    def close(self) -> None:
        self._file.close()

    def _take(self, record: _Record) -> None:
        self.floor = max(self.floor, record.floor)
        self._votes.extend(record.votes)
        self._proposals.update(record.kept.proposals)
        for certificate in record.kept.certificates:
            self._certificates[certificate.ballot] = certificate
        self._drop_below_floor()
        if len(self._proposals) > _PROPOSALS_MAX:
            self._drop_skipped()

    def _drop_skipped(self) -> None:
        """Forget old proposals whose views are nullified, and not notarized as far as is known.

        Whoever votes for a block on such a proposal holds its notarization, and keeps it.
        """
        certified = {(position_of(ballot), ballot.kind) for ballot in self._certificates}
        for at in sorted(self._proposals)[:-_PROPOSALS_MAX]:
            if (at, VoteKind.NULLIFY) in certified and (at, VoteKind.NOTARIZE) not in certified:
                del self._proposals[at]

    def _keep_short(self) -> None:
        if self._size <= max(_COMPACT_BYTES, 2 * self._compacted):
            return
        try:
            self._compact()
        except OSError as error:
            raise self._fault(error) from error

    def _drop_below_floor(self) -> None:
        floor = self.floor
        self._votes = [vote for vote in self._votes if position_of(vote.ballot) > floor]
        self._proposals = {at: data for at, data in self._proposals.items() if at > floor}
        self._certificates = {
            ballot: certificate
            for ballot, certificate in self._certificates.items()
            if position_of(ballot) > floor
        }

    # -- the file ----------------------------------------------------------------------------------

    def _open(self) -> None:
        data = self._file.read()
        if data is None or (len(data) < _HEADER_SIZE and (_MAGIC + data[8:]).startswith(data)):
            # New, or torn while it was made: nothing was ever voted.
            self._compact()
            return
        if not data.startswith(_MAGIC):
            raise Fault(f"{self._file} is not a vote log")
        self._use_salt(data[8:_HEADER_SIZE])
        offset = _HEADER_SIZE
        while (found := self._read(data, offset)) is not None:
            record, offset = found
            self._take(record)
        if offset < len(data):
            self._check_tail(data, offset)
            self._file.truncate(offset)
        self._size = offset

    def _check_tail(self, data: bytes, offset: int) -> None:
        """What is not a record must be the last thing in the file (V4)."""
        at = data.find(self._marker, offset + 1)
        while at >= 0:
            if self._read(data, at) is not None:
                raise Fault(
                    f"{self._file} is damaged at byte {offset}, before good records; "
                    "votes are lost, so this key must not sign: restore the file"
                )
            at = data.find(self._marker, at + 1)

    def _read(self, data: bytes, offset: int) -> tuple[_Record, int] | None:
        """The record at `offset` and where it ends, or None when there is no good one."""
        start = offset + _FRAME_SIZE
        frame = data[offset:start]
        if len(frame) < _FRAME_SIZE or not frame.startswith(self._marker):
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
        return self._marker + len(payload).to_bytes(4, "big") + checksum + payload

    def _compact(self) -> None:
        """Put a new file with one record in the place of whatever is there."""
        self._use_salt(self._random(_HEADER_SIZE - len(_MAGIC)))
        kept = Kept(tuple(self._proposals.items()), tuple(self._certificates.values()))
        record = _Record(self.floor, tuple(self._votes), kept)
        data = _MAGIC + self._salt + self._framed(_HEADER_SIZE, record)
        self._file.replace(data)
        self._size = self._compacted = len(data)

    def _use_salt(self, salt: bytes) -> None:
        self._salt = salt
        self._marker = keccak(salt)[:4]

    def _fault(self, error: OSError) -> Fault:
        return Fault(f"vote log {self._file}: {os.strerror(error.errno or 0)}")


def _encode_record(record: _Record) -> bytes:
    return encode_list(
        (
            encode_int(record.floor[0]),
            encode_int(record.floor[1]),
            encode_list(map(encode_vote, record.votes)),
            encode_list(
                encode_list((encode_int(epoch), encode_int(view), encode_bytes(data)))
                for (epoch, view), data in record.kept.proposals
            ),
            encode_list(map(encode_certificate, record.kept.certificates)),
        )
    )


def _decode_record(payload: bytes) -> _Record:
    """A record whose checksum was right; `Fault` when it still makes no sense."""
    try:
        epoch, view, votes, proposals, certificates = _list(codec.decode(payload))
        return _Record(
            _position(epoch, view),
            tuple(decode_vote(codec.encode(vote)) for vote in _list(votes)),
            Kept(
                tuple(
                    (_position(epoch, view), _bytes(data))
                    for epoch, view, data in map(_list, _list(proposals))
                ),
                tuple(decode_certificate(codec.encode(item)) for item in _list(certificates)),
            ),
        )
    except (Rejected, ValueError) as error:
        raise Fault(f"a record of the vote log has another format: {error}") from error


def _position(epoch: codec.Item, view: codec.Item) -> Position:
    return codec.decode_int(_bytes(epoch)), codec.decode_int(_bytes(view))


def _bytes(item: codec.Item) -> bytes:
    if not isinstance(item, bytes):
        raise Fault("a record of the vote log has another format")
    return item


def _list(item: codec.Item) -> list[codec.Item]:
    if isinstance(item, bytes):
        raise Fault("a record of the vote log has another format")
    return item
