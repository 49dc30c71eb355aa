"""What is written for a ledger whose blocks others ran: they are believed as they are told.

A developer's chain takes the blocks of a file so (decision 0013). States are there for the newest
blocks; where one is not the state that its header names, it stands as amended (decision 0007).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from chain.amendments import first_amendment
from chain.batches import block_writes, state_writes
from chain.beginnings import facts, state_at_first
from chain.blocks import Block, Receipt, header_hash
from chain.changes import Changes
from chain.commitment import commit
from chain.execution import Executed
from chain.genesis import Genesis, genesis_block
from chain.history import Mark, StateTables, StoredView
from chain.records import StoredHeader
from chain.state import Delta
from chain.storage import schema
from chain.storage.memory import MemoryStore
from chain.storage.schema import height_key
from chain.storage.store import Change
from chain.types import EMPTY_ROOT, Address, Hash, Height
from chain.views import EmptyView, TrieView

_CACHED: Final = 4096  # accounts, slots and trie records while states are laid on one another

_NOTHING: Final = Changes(EMPTY_ROOT, {}, {}, frozenset(), {}, {}, {}, {}, frozenset())
_NO_KEYS: Final = bytes(4)  # of a height whose history is not known

Step = Callable[[TrieView], Delta]  # what leads from the state before a block to that after it


class Told(Struct, frozen=True):
    """A block with what came of it."""

    block: Block
    hash: Hash
    senders: tuple[Address, ...]
    receipts: tuple[Receipt, ...]
    touched: tuple[tuple[Address, ...], ...]  # by transaction: whom it called, paid, asked
    names: tuple[Hash, ...]  # a second hash by which each transaction is found


def adopted_writes(
    genesis: Genesis, blocks: Sequence[Told], steps: Sequence[Step], total_difficulty: int
) -> list[Change]:
    """All that an empty store needs to be a ledger with these blocks, in ascending order.

    Each of `steps` leads to the state after a block, the last one's to that after the newest;
    the first begins with nothing. The rules are those of `genesis`, the total difficulty that
    of each block.
    """
    assert 0 < len(steps) <= len(blocks)
    store = MemoryStore()
    first, head = blocks[0].block.header.number, blocks[-1].block.header.number
    oldest = Height(head + 1 - len(steps))
    chain = header_hash(genesis_block(genesis)[0].header)
    store.write(facts(genesis, chain, oldest), sync=False)
    if first:
        store.write([(schema.META, schema.FIRST, height_key(first))], sync=False)
    store.write([(schema.META, schema.INDEXED_FROM, height_key(first))], sync=False)
    tables: StateTables | None = None
    for told in blocks:
        height = Height(told.block.header.number)
        changes = _NOTHING
        if height >= oldest:
            step = steps[height - oldest]
            if tables is None:
                changes = commit(EmptyView(), step(EmptyView()))
                store.write(state_at_first(changes), sync=False)
                store.write([(schema.CHANGED, height_key(height), _NO_KEYS)], sync=False)
                mark = Mark(height, changes.root)
                tables = StateTables(store, mark, oldest=oldest, cache_entries=_CACHED)
            else:
                view = StoredView(tables, tables.mark.height, tables.mark.root, tables.mark)
                changes = commit(view, step(view))
                store.write(list(state_writes(store, view, changes, height)), sync=False)
                tables.begin(Mark(height, changes.root))
                tables.advance(changes)
            if changes.root != told.block.header.state_root:
                store.write([first_amendment(height, changes.root)], sync=False)
        store.write(list(_block(told, changes, total_difficulty)), sync=False)
    return [(table, key, value) for table in schema.TABLES for key, value in store.scan(table, b"")]


def _block(told: Told, changes: Changes, total_difficulty: int) -> Iterator[Change]:
    stored = StoredHeader(told.block.header, told.hash, total_difficulty)
    executed = Executed(
        told.block,
        told.hash,
        told.senders,
        told.receipts,
        changes,
        total_difficulty,
        told.touched,
    )
    yield from block_writes(stored, executed)
    at = height_key(told.block.header.number)
    for index, name in enumerate(told.names):
        yield schema.TRANSACTIONS, name, at + index.to_bytes(4, "big")
