"""The one storage interface: ordered bytes to bytes, in named tables."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol


class Change(NamedTuple):
    """One write: `value` None deletes."""

    table: str
    key: bytes
    value: bytes | None


class Store(Protocol):
    """Ordered bytes to bytes per table; one write is all or nothing.

    Raises `Fault` when the disk fails. `scan` yields in key order the pairs whose
    keys start with `prefix`, beginning with the first key >= `start` when given.
    """

    def get(self, table: str, key: bytes) -> bytes | None: ...
    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def scan(
        self, table: str, prefix: bytes, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]: ...
    def write(self, changes: Iterable[Change], *, sync: bool) -> None: ...
    def close(self) -> None: ...
