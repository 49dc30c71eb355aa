"""A store that keeps nothing: for tests, and for chains that live as long as a process."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock
from typing import Final

from chain.errors import Fault
from chain.storage.store import Change

_FEW: Final = 8
_MOVED_MAX: Final = 256  # keys put in their places one by one; more are sorted with all others


class _Table:
    """A dictionary whose keys are put in order when somebody asks for the order."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._ordered: list[bytes] = []
        # Keys that have come or gone since they were put in order; None: too many.
        self.moved: set[bytes] | None = None

    def put(self, key: bytes, value: bytes | None) -> None:
        values, moved = self.values, self.moved
        if moved is not None and (key in values) is (value is None):
            moved.add(key)
            if len(moved) > _MOVED_MAX:
                self.moved = None
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value

    def ordered(self) -> list[bytes]:
        if self.moved is None:
            self._ordered = sorted(self.values)
        else:
            for key in self.moved:
                self._move(key)
        self.moved = set()
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


def _end(keys: Sequence[bytes], prefix: bytes, at: int) -> int:
    """Where the keys with the prefix end, in order from `at` on."""
    # Mostly there are few.
    few = at
    while few < len(keys) and keys[few].startswith(prefix):
        few += 1
        if few - at == _FEW:
            past = prefix.rstrip(b"\xff")
            return bisect_left(keys, past[:-1] + bytes((past[-1] + 1,)), few) if past else len(keys)
    return few


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
            values = found.values
            pairs = [(key, values[key]) for key in keys[at : _end(keys, prefix, at)]]
        return iter(pairs)

    def write(self, changes: Iterable[Change], *, sync: bool) -> None:
        with self._lock:
            tables: dict[str, _Table] = {}
            for name, key, value in list(changes):
                table = tables.get(name)
                if table is None:
                    table = tables[name] = self._table(name)
                if table.moved is None and value is not None:  # as `put` would
                    table.values[key] = value
                else:
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
