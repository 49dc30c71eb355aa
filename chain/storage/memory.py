"""A store that keeps nothing: for tests, and for chains that live as long as a process."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock
from typing import Final

from chain.errors import Fault
from chain.storage.store import Change

_MOVED_MAX: Final = 256  # keys put in their places one by one; more are sorted with all others

# Changes are put in one by one while they are fewer than this part of the keys, and some.
_RENEWED_FROM: Final = 8
_CHANGED_MIN: Final = 64


class _Table:
    """A dictionary whose keys are put in order when somebody asks for the order."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._ordered: list[bytes] = []
        self._moved: set[bytes] = set()  # that have come or gone since they were put in order

    def put(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.values.pop(key, None) is not None:
                self._moved.add(key)
        else:
            if key not in self.values:
                self._moved.add(key)
            self.values[key] = value

    def ordered(self) -> list[bytes]:
        if len(self._moved) > _MOVED_MAX:
            self._ordered = sorted(self.values)
        else:
            for key in self._moved:
                self._move(key)
        self._moved.clear()
        return self._ordered

    def _move(self, key: bytes) -> None:
        keys = self._ordered
        at = bisect_left(keys, key)
        there = at < len(keys) and keys[at] == key
        if key in self.values:
            if not there:
                keys.insert(at, key)
        elif there:
            del keys[at]


class MemoryStore:
    """`Store` in dictionaries."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._lock = RLock()
        self._closed = False

    def _table(self, name: str) -> _Table:
        if self._closed:
            raise Fault("the store is closed")
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = _Table()
        return table

    def get(self, table: str, key: bytes) -> bytes | None:
        with self._lock:
            return self._table(table).values.get(key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            values = self._table(table).values
            return [values.get(key) for key in keys]

    def scan(
        self, table: str, prefix: bytes, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        with self._lock:
            found = self._table(table)
            keys = found.ordered()
            at = bisect_left(keys, prefix if start is None else max(prefix, start))
            pairs = []
            while at < len(keys) and keys[at].startswith(prefix):
                pairs.append((keys[at], found.values[keys[at]]))
                at += 1
        yield from pairs

    def write(self, changes: Iterable[Change], *, sync: bool) -> None:
        with self._lock:
            tables: dict[str, _Table] = {}
            for name, key, value in list(changes):
                table = tables.get(name)
                if table is None:
                    table = tables[name] = self._table(name)
                table.put(key, value)

    def count(self, table: str) -> int:
        with self._lock:
            return len(self._table(table).values)

    def size(self) -> int:
        with self._lock:
            return sum(
                len(key) + len(value)
                for table in self._tables.values()
                for key, value in table.values.items()
            )

    def close(self) -> None:
        self._closed = True
