"""What is pooled, and the order in which a full pool gives it up.

First what waits behind a gap of nonces, since no block can hold it; then what could run.
Within each, what callers of this node submitted stays longer than what peers sent; then
the lower tip goes first, and of equal ones the later.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from chain.blobs import BlobSidecar
from chain.transactions import Checked
from chain.types import Hash

_STALE_MAX: Final = 1024  # items of a heap that may be gone beyond a quarter of the live ones
_LOOKED_AT_MAX: Final = 2048  # items seen in search of room for one transaction
_LOCAL: Final = 1 << 256  # above every tip


class Entry(Struct, frozen=True, gc=False):
    checked: Checked
    sidecar: BlobSidecar | None
    cost: int  # wei that the sender must have in the worst case
    size: int  # bytes
    order: int  # of arrival
    arrived: float  # seconds, by the pool's clock
    local: bool  # submitted by a caller of this node, and within its share of the pool


_Item = tuple[int, int, Hash]  # worth, -order, hash


def worth(entry: Entry) -> int:
    """What an entry is kept for: its tip, and above all tips that it is local."""
    tip = entry.checked.transaction.max_priority_fee
    return tip + _LOCAL if entry.local else tip


class EvictionOrder:
    """Two heaps over the pool's entries. Items go stale when entries leave or change sides.

    They are kept only while the pool is about full: until then adding costs nothing here.
    """

    def __init__(self, entries: Mapping[Hash, Entry], is_pending: Callable[[Entry], bool]) -> None:
        """`entries` is the pool's own table, which changes under this."""
        self._entries = entries
        self._is_pending = is_pending
        self._pending: list[_Item] = []
        self._queued: list[_Item] = []
        self.kept = False  # whether `push` must be told of entries that come or change sides

    def keep(self) -> None:
        """Put everything in order, and keep it so until `leave`."""
        if not self.kept:
            self.kept = True
            for entry in self._entries.values():
                heap = self._pending if self._is_pending(entry) else self._queued
                heap.append((worth(entry), -entry.order, entry.checked.transaction.hash))
            heapq.heapify(self._pending)
            heapq.heapify(self._queued)

    def leave(self) -> None:
        """The pool is far from full."""
        self.kept = False
        self._pending, self._queued = [], []

    def push(self, entry: Entry, *, pending: bool) -> None:
        """An entry came, or changed sides."""
        if not self.kept:
            return
        heapq.heappush(
            self._pending if pending else self._queued,
            (worth(entry), -entry.order, entry.checked.transaction.hash),
        )

    def tidy(self, pending: int, queued: int) -> None:
        """Rebuild the heaps when much of them is stale; the counts are of live entries."""
        if len(self._pending) > pending + pending // 4 + _STALE_MAX:
            self._pending = self._rebuilt(self._pending, True)
        if len(self._queued) > queued + queued // 4 + _STALE_MAX:
            self._queued = self._rebuilt(self._queued, False)

    def _rebuilt(self, heap: list[_Item], pending: bool) -> list[_Item]:
        fresh = [item for item in set(heap) if self._live(item, pending) is not None]
        heapq.heapify(fresh)
        return fresh

    def _live(self, item: _Item, pending: bool) -> Entry | None:
        entry = self._entries.get(item[2])
        return None if entry is None or self._is_pending(entry) is not pending else entry

    def queued(self) -> Iterator[Entry]:
        """What waits behind a gap, the least worth first; as many as one may look at."""
        return self._ascending(self._queued, False)

    def pending(self) -> Iterator[Entry]:
        """What could run, the least worth first; as many as one may look at."""
        return self._ascending(self._pending, True)

    def _ascending(self, heap: list[_Item], pending: bool) -> Iterator[Entry]:
        while heap and self._live(heap[0], pending) is None:
            heapq.heappop(heap)
        # Few are needed: walk the heap from its root, smallest first, and leave it as it is.
        frontier = [(heap[0], 0)] if heap else []
        last: _Item | None = None
        for _ in range(_LOOKED_AT_MAX):
            if not frontier:
                return
            item, index = heapq.heappop(frontier)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heapq.heappush(frontier, (heap[child], child))
            entry = self._live(item, pending)
            if entry is not None and item != last:  # who changed sides twice is there twice
                last = item
                yield entry
