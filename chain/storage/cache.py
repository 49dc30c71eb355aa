"""A bounded memory of what was read or written last."""

from collections.abc import Mapping
from threading import RLock
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Missing:
    """What a cache answers when it does not know; None is an answer that it may know."""


MISSING: Final = Missing()


class Cache(Generic[K, V]):
    """Keeps at most `entries` values, and of these surely the half that was used last.

    Two generations: a full young one becomes the old one, and what is found in the old
    one is young again. A hit in the young one takes no lock.
    """

    __slots__ = ("_entries", "_lock", "_old", "_young")

    def __init__(self, entries: int) -> None:
        self._entries = max(1, entries // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._lock = RLock()

    def get(self, key: K) -> V | Missing:
        found = self._young.get(key, MISSING)
        if found is not MISSING:
            return found
        if key not in self._old:
            return MISSING
        with self._lock:
            # Again, since somebody may have put a newer value in the meantime.
            found = self._young.get(key, MISSING)
            if found is MISSING:
                found = self._old.get(key, MISSING)
                if not isinstance(found, Missing):
                    self.put(key, found)
            return found

    def put(self, key: K, value: V) -> None:
        with self._lock:
            young = self._young
            young[key] = value
            if len(young) >= self._entries:
                self._old = young
                self._young = {}

    def put_all(self, items: Mapping[K, V]) -> None:
        with self._lock:
            if len(self._young) + len(items) < self._entries:
                self._young.update(items)
                return
            for key, value in items.items():
                self.put(key, value)

    def clear(self) -> None:
        with self._lock:
            self._young = {}
            self._old = {}

    def __contains__(self, key: K) -> bool:
        return key in self._young or key in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
