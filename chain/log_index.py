"""Which heights have logs of an address or with a topic, written with each block.

A row is a key alone: eight bytes that stand for "this address" or "this topic in this
place", and the height. Different values may share the eight bytes, and rows of other
blocks may be left behind: who finds a height looks at its receipts. No height is missing.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import blake2b
from heapq import heapify, heapreplace
from typing import Final

from chain.blocks import Receipt
from chain.storage import schema
from chain.storage.schema import height_key
from chain.storage.store import Store
from chain.types import Address, Hash

_TAG_BYTES: Final = 8
_ANY: Final = bytes(_TAG_BYTES)  # of every block with logs
_OF_ADDRESS: Final = b"\x04"  # topics have their places, 0 to 3
_WINDOW_BITS: Final = 16  # of heights that one scan passes
_STEPS: Final = 32  # rows passed before it is cheaper to look for the next one


def _tag(place: bytes, value: bytes) -> bytes:
    return blake2b(place + value, digest_size=_TAG_BYTES).digest()


def _topic_tag(position: int, topic: Hash) -> bytes:
    return _tag(bytes((position,)), topic)


def rows(height: int, receipts: Sequence[Receipt]) -> Iterator[bytes]:
    """The keys of a block's rows, each once."""
    at = height_key(height)
    seen: set[tuple[int, bytes]] = set()
    for receipt in receipts:
        for log in receipt.logs:
            if (4, log.address) not in seen:
                if not seen:
                    yield _ANY + at
                seen.add((4, log.address))
                yield _tag(_OF_ADDRESS, log.address) + at
            for entry in enumerate(log.topics):
                if entry not in seen:
                    seen.add(entry)
                    yield _topic_tag(*entry) + at


def find(
    store: Store,
    addresses: Collection[Address],
    topics: Sequence[Collection[Hash]],
    where: range,
    tick: Callable[[int], None],
) -> Iterator[int]:
    """The heights in `where`, ascending, that may have a log of these addresses and topics.

    No addresses: any; no topics in a place: any. `tick` is told now and then how far the
    search has come, and may raise to end it.
    """
    groups = [[_tag(_OF_ADDRESS, address) for address in addresses]] if addresses else []
    for position, alternatives in enumerate(topics):
        if alternatives:
            groups.append([_topic_tag(position, topic) for topic in alternatives])
    unions = [_Union(store, tags, where, tick) for tags in groups or [[_ANY]]]
    target = where.start
    while target < where.stop:
        tick(target)
        furthest = target
        for union in unions:
            reached = union.reach(furthest)
            if reached is None:
                return
            furthest = reached
        if furthest == target:
            yield target
            furthest += 1
        target = furthest


class _Union:
    """The heights with any of some tags."""

    def __init__(
        self, store: Store, tags: Sequence[bytes], where: range, tick: Callable[[int], None]
    ) -> None:
        self._heap: list[tuple[int, int, _Stream]] = []
        for number, tag in enumerate(tags):
            tick(where.start)
            stream = _Stream(store, tag, where)
            self._heap.append((stream.reach(where.start), number, stream))
        heapify(self._heap)
        self._stop = where.stop

    def reach(self, target: int) -> int | None:
        """The first height not below `target`; None when there is none."""
        heap = self._heap
        while heap[0][0] < target:
            _, number, stream = heap[0]
            heapreplace(heap, (stream.reach(target), number, stream))
        found = heap[0][0]
        return None if found >= self._stop else found


class _Stream:
    """The heights with one tag."""

    def __init__(self, store: Store, tag: bytes, where: range) -> None:
        self._store = store
        self._tag = tag
        self._stop = where.stop
        self._rows = heights(store, schema.LOG_INDEX, tag, where)
        self._height = -1

    def reach(self, target: int) -> int:
        """The first height not below `target`, beyond the end when there is none."""
        for _ in range(_STEPS):
            if self._height >= target:
                return self._height
            self._height = next(self._rows, (self._stop, b""))[0]
        if self._height < target:
            where = range(target, self._stop)
            self._rows = heights(self._store, schema.LOG_INDEX, self._tag, where)
            self._height = next(self._rows, (self._stop, b""))[0]
        return self._height


def heights(store: Store, table: str, prefix: bytes, where: range) -> Iterator[tuple[int, bytes]]:
    """The heights in `where` that end keys with this prefix, ascending, and the values there.

    Read window by window, so that no scan is asked for more than is looked at soon.
    """
    at = where.start
    while at < where.stop:
        window = at >> _WINDOW_BITS
        shared = prefix + height_key(window << _WINDOW_BITS)[: 8 - _WINDOW_BITS // 8]
        for key, value in store.scan(table, shared, prefix + height_key(at)):
            height = int.from_bytes(key[-8:], "big")
            if height >= where.stop:
                return
            yield height, value
        at = (window + 1) << _WINDOW_BITS
