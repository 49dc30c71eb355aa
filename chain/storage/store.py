"""The one storage interface: ordered bytes to bytes, in named tables."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

Change = tuple[str, bytes, bytes | None]
"""One write: table, key, value; a value of None deletes."""


class Store(Protocol):
    """Ordered bytes to bytes per table; one write is all or nothing.

    Raises `Fault` when the disk fails, or when it is used after `close`. `scan` yields
    in key order the pairs whose keys start with `prefix`, beginning with the first
    key >= `start` when given; it shows the table as it was when the first pair was
    asked for. Of two changes to one key in a write, the later one counts.

    One thread may write while others read.
    """

    def get(self, table: str, key: bytes) -> bytes | None: ...
    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def scan(
        self, table: str, prefix: bytes, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]: ...
    def write(self, changes: Iterable[Change], *, sync: bool) -> None: ...
    def count(self, table: str) -> int:
        """The number of keys in a table, about."""
        ...

    def size(self) -> int:
        """Bytes on disk, or in memory for a store that keeps nothing."""
        ...

    def close(self) -> None: ...
