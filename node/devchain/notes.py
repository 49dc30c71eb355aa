"""What a developer's chain remembers beside its ledger: snapshots, its clock's shift, its id.

A file of JSON lines that is appended to, and written anew when it is opened. It is handed to
the system and not synced: what a power cut takes are snapshots, never blocks.
"""

import json
import os
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from msgspec import Struct

from chain.errors import Fault
from chain.types import Hash

SNAPSHOTS_MAX: Final = 65_536  # the oldest is forgotten first


class Snapshot(Struct, frozen=True):
    """A moment to go back to: a block, how often its state had been amended, the chain's time."""

    id: int
    height: int
    hash: Hash
    amendments: int
    time: int  # seconds
    arrivals: int | None  # in the pool by then; None: in an earlier run


class Notes:
    """One owner. `path` None keeps everything in memory."""

    def __init__(self, path: Path | None) -> None:
        """Raises `Fault` when the file can't be read or written, or makes no sense."""
        self.snapshots: dict[int, Snapshot] = {}
        self.next_id = 0
        self.offset = 0  # of the chain's time from the clock's, seconds
        self.chain_id: int | None = None  # None: the genesis'
        self._path = path
        self._file: IO[str] | None = None
        if path is not None:
            try:
                if path.exists():
                    self._load(path)
                self._renew(path)
            except OSError as error:
                raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error

    def _load(self, path: Path) -> None:
        lines = path.read_text(encoding="ascii").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()  # cut short by a crash
        for number, line in enumerate(lines, 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise Fault(f"{path}: line {number} makes no sense: {error}") from error

    def _apply(self, entry: dict[str, Any]) -> None:
        if "snapshot" in entry:
            fields = entry["snapshot"]
            snapshot = Snapshot(
                id=int(fields["id"]),
                height=int(fields["height"]),
                hash=Hash(bytes.fromhex(fields["hash"])),
                amendments=int(fields["amendments"]),
                time=int(fields["time"]),
                arrivals=None,
            )
            self._keep(snapshot)
        elif "taken" in entry:
            self._take(int(entry["taken"]))
        elif "next" in entry:
            self.next_id = int(entry["next"])
        elif "chain" in entry:
            self.chain_id = int(entry["chain"])
        else:
            self.offset = int(entry["offset"])

    def _renew(self, path: Path) -> None:
        """Write anew what still counts, and go on from there."""
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            for snapshot in self.snapshots.values():
                file.write(_line({"snapshot": _fields(snapshot)}))
            file.write(_line({"next": self.next_id}))
            file.write(_line({"offset": self.offset}))
            if self.chain_id is not None:
                file.write(_line({"chain": self.chain_id}))
        fresh.replace(path)
        self._file = path.open("a", encoding="ascii")

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(_line(entry))
            self._file.flush()
        except OSError as error:
            raise Fault(f"{self._path}: {os.strerror(error.errno or 0)}") from error

    def _keep(self, snapshot: Snapshot) -> None:
        while len(self.snapshots) >= SNAPSHOTS_MAX:
            del self.snapshots[next(iter(self.snapshots))]
        self.snapshots[snapshot.id] = snapshot
        self.next_id = snapshot.id + 1

    def _take(self, first: int) -> None:
        for number in [number for number in self.snapshots if number >= first]:
            del self.snapshots[number]

    # -- what is remembered ------------------------------------------------------------------------

    def add(self, snapshot: Snapshot) -> None:
        """Remember a snapshot, whose id is `next_id`."""
        self._keep(snapshot)
        self._write({"snapshot": _fields(snapshot)})

    def take(self, first: int) -> None:
        """Forget this snapshot and all after it."""
        self._take(first)
        self._write({"taken": first})

    def shift(self, offset: int) -> None:
        """Remember the shift of the clock."""
        if offset != self.offset:
            self.offset = offset
            self._write({"offset": offset})

    def rename(self, chain_id: int) -> None:
        """Remember the chain id."""
        self.chain_id = chain_id
        self._write({"chain": chain_id})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _fields(snapshot: Snapshot) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(snapshot)
    del fields["arrivals"]
    fields["hash"] = snapshot.hash.hex()
    return fields


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":")) + "\n"
