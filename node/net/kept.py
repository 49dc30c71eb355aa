"""What the links keep in the data folder: the address book and the bans.

peers.json   the book
bans.json    the bans

Losing them costs little, so a file that can't be read is put aside, not a reason to stop.
"""

import logging
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from chain.errors import Fault, Rejected
from node.net.bans import Bans, encode_bans, load_bans
from node.net.book import Book, decode_book

PEERS_FILE: Final = "peers.json"
BANS_FILE: Final = "bans.json"
_FILE_BYTES_MAX: Final = 64 * 2**20

_log: Final = logging.getLogger("node.net")


class Files(Struct, frozen=True):
    """The bytes of both files."""

    book: bytes
    bans: bytes


class Kept:
    """The files of a folder; with None nothing is kept."""

    def __init__(self, folder: Path | None, book: Book, bans: Bans) -> None:
        self._folder = folder
        self._book = book
        self._bans = bans

    @property
    def changed(self) -> bool:
        return self._book.changed or self._bans.changed

    def load(self) -> None:
        """Take over what is there. Fault when the disk fails."""
        if self._folder is None:
            return
        for name, take in ((PEERS_FILE, self._take_book), (BANS_FILE, self._take_bans)):
            path = self._folder / name
            try:
                if not path.exists() or path.stat().st_size > _FILE_BYTES_MAX:
                    continue
                take(path.read_bytes())
            except OSError as error:
                raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error
            except Rejected as rejected:
                _log.warning("%s is put aside: %s", path, rejected)
                path.replace(path.with_suffix(".bad"))

    def _take_book(self, data: bytes) -> None:
        self._book.restore(decode_book(data))

    def _take_bans(self, data: bytes) -> None:
        load_bans(self._bans, data)

    def encode(self) -> Files:
        """What is to be written now."""
        self._book.changed = self._bans.changed = False
        return Files(self._book.encode(), encode_bans(self._bans.everyone(0.0)))

    def write(self, files: Files) -> None:
        """Replace both files, each as a whole. A full disk is only reported."""
        if self._folder is None:
            return
        for name, data in ((PEERS_FILE, files.book), (BANS_FILE, files.bans)):
            path = self._folder / name
            fresh = path.with_suffix(".new")
            try:
                with fresh.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(path)
            except OSError as error:
                _log.warning("%s was not written: %s", path, os.strerror(error.errno or 0))

    def store(self) -> None:
        """Write both files if anything changed."""
        if self.changed:
            self.write(self.encode())
