"""What `chain.trie_update` does, in native code, for tries that lose no leaf.

Most blocks only change leaves and add some. Then every branch on their paths stays, and one
walk down the tries, level by level, tells all that `chain.crypto.trie_kernel` needs to hash
them in one call. Whatever is unusual - a leaf that goes, an extension that splits, a node that
is embedded in its parent - is left to the definition.
"""

from collections.abc import Sequence
from typing import Final

from chain.branches import NO_CHILDREN, RECORD_HEAD, encode_leaves
from chain.crypto.batch import Kernels
from chain.crypto.trie_kernel import EXTENSION_MAX, RECORD_BYTES
from chain.errors import Fault
from chain.trie import NIBBLES
from chain.trie_update import Leaf
from chain.types import EMPTY_ROOT, Hash
from chain.views import TrieView

Grown = tuple[bytes, Hash, Sequence[Leaf]]
"""A trie's key space, its root, and its changed leaves by their keys, at least one."""

_HEAD_BYTES: Final = RECORD_HEAD.size
_EMPTY_BYTES: Final = _HEAD_BYTES + len(NO_CHILDREN)  # a record without extension and children
_read_head: Final = RECORD_HEAD.unpack_from

# A branch to visit: its trie, the name of its record, how deep it hangs, the record (None: there
# will be a branch), the changed leaves below it, its place (`trie_kernel`).
_Visit = tuple[bytes, bytes, int, bytes | None, Sequence[Leaf], int]


def grow(
    view: TrieView, tries: Sequence[Grown], kernels: Kernels
) -> tuple[list[Hash], dict[bytes, bytes]] | None:
    """The tries' new roots, and the records that change; None where only the definition can tell.

    The leaves are as `trie_update.Plan.run` wants them, and none is gone.
    """
    visits: list[_Visit] = []
    leaves: list[tuple[str, bytes]] = []
    places: list[int] = []
    for number, (trie, root, items) in enumerate(tries):
        record = None if root == EMPTY_ROOT else view.node(trie)
        if record is None and root != EMPTY_ROOT:
            items = _with_stored(view, trie, "", items)
        if record is None and len(items) == 1:
            leaves.append((items[0][0], items[0][1] or b""))
            places.append(~number)
        else:
            visits.append((trie, trie, 0, record, items, ~number))
    records: list[bytes] = []
    rows: list[int] = []
    counts: list[int] = []
    sizes: list[int] = []
    start = base = 0
    node_of = view.node
    while start < len(visits):
        level = visits[start:]
        start = len(visits)
        counts.append(len(level))
        for trie, _, slot, record, items, place in level:
            if record is None:
                record, depth = _new_record(slot, items[0][0], items[-1][0])
            elif record[4]:
                depth = slot + record[4]
                if not _below(record, slot, items):
                    return None
            else:
                depth = slot
            records.append(record)
            mask, inner, extension = _read_head(record)
            size = len(record)
            filled = (mask | inner).bit_count()
            if size != _EMPTY_BYTES + extension + 32 * filled or extension > EXTENSION_MAX:
                return None
            below = depth + 1
            for group in (items,) if len(items) == 1 else _parted(items, depth):
                key, leaf, there = group[0]
                index = NIBBLES[key[depth]]
                bit = 1 << index
                if inner & bit:
                    name = trie + key[:below].encode()
                    child = node_of(name)
                    if child is None:
                        raise Fault(f"trie record missing: {trie.hex()} {key[:below]!r}")
                    visits.append((trie, name, below, child, group, base + index))
                    continue
                if not mask & bit:
                    size += 32
                if len(group) == 1 and (there or not mask & bit):
                    mask |= bit
                    leaves.append((key[below:], leaf or b""))
                    places.append(base + index)
                else:
                    if mask & bit:
                        mask ^= bit
                        group = _with_stored(view, trie, key[:below], group)
                    inner |= bit
                    name = trie + key[:below].encode()
                    visits.append((trie, name, below, None, group, base + index))
            rows.append(mask << 16 | inner)
            rows.append(place)
            sizes.append(size)
            base += 16
    encoded = encode_leaves(leaves)
    if min(map(len, encoded)) < 32:
        return None
    counts.reverse()
    found = kernels.hash_trie(encoded, places, records, rows, counts, len(tries))
    at = 32 * len(tries)
    roots = [Hash(found[top : top + 32]) for top in range(0, at, 32)]
    changed: dict[bytes, bytes] = {}
    for visit, size in zip(visits, sizes, strict=True):
        changed[visit[1]] = found[at : at + size]
        at += RECORD_BYTES
    return roots, changed


def _new_record(slot: int, first: str, last: str) -> tuple[bytes, int]:
    """The record of a branch where there is none yet, and how deep it is itself."""
    depth = slot
    while first[depth] == last[depth]:
        depth += 1
    return RECORD_HEAD.pack(0, 0, depth - slot) + first[slot:depth].encode() + NO_CHILDREN, depth


def _below(record: bytes, slot: int, items: Sequence[Leaf]) -> bool:
    """Whether all leaves are below the branch, and not beside its extension."""
    extension = record[_HEAD_BYTES : _HEAD_BYTES + record[4]].decode()
    return items[0][0].startswith(extension, slot) and items[-1][0].startswith(extension, slot)


def _parted(items: Sequence[Leaf], depth: int) -> list[Sequence[Leaf]]:
    """The leaves by their digit at this depth."""
    groups: list[Sequence[Leaf]] = []
    low, high = 0, len(items)
    while low < high:
        digit = items[low][0][depth]
        end = low + 1
        while end < high and items[end][0][depth] == digit:
            end += 1
        groups.append(items[low:end])
        low = end
    return groups


def _with_stored(view: TrieView, trie: bytes, slot: str, items: Sequence[Leaf]) -> Sequence[Leaf]:
    """The leaves with the only one that is stored below the slot, unless it is among them."""
    if any(item[2] for item in items):
        return items
    found = next(view.leaves(trie, slot), None)
    if found is None:
        raise Fault(f"leaf missing: {trie.hex()} {slot!r}")
    return sorted([*items, (found[0].hex(), found[1], True)])
