"""What is written for the first block: of a genesis, or of a ledger that was forked.

A forked ledger goes on from a block that another ledger has, at that block's height. Decision 0010.
"""

from chain.amendments import first_amendment
from chain.batches import block_writes
from chain.blocks import Block
from chain.changes import Changes
from chain.commitment import commit
from chain.execution import Executed
from chain.genesis import Genesis, genesis_block
from chain.headers import header_hash
from chain.leaves import address_key, slot_key
from chain.records import StoredHeader
from chain.state import Delta
from chain.storage import schema
from chain.storage.schema import height_key
from chain.storage.store import Change
from chain.types import Hash, Height
from chain.views import EmptyView


def first_writes(genesis: Genesis) -> list[Change]:
    """All that an empty store needs to be a ledger at height 0."""
    block, delta = genesis_block(genesis)
    block_hash = header_hash(block.header)
    stored = StoredHeader(block.header, block_hash, block.header.difficulty)
    return _beginning(genesis, block_hash, stored, commit(EmptyView(), delta))


def forked_writes(
    genesis: Genesis, stored: StoredHeader, delta: Delta, origin: bytes
) -> list[Change]:
    """All that an empty store needs to be a ledger that goes on from another's block.

    `stored` is that block's header, and `delta` what is changed on its state at once; the rules
    are those of `genesis`. `origin` is kept as it is for whoever forks (decision 0010).
    """
    height = stored.header.number
    changes = commit(EmptyView(), delta)
    chain = header_hash(genesis_block(genesis)[0].header)
    writes = _beginning(genesis, chain, stored, changes)
    writes.append((schema.META, schema.FIRST, height_key(height)))
    writes.append((schema.META, schema.FORK, origin))
    writes.append((schema.META, schema.INDEXED_FROM, height_key(height + 1)))
    writes.append(first_amendment(height, changes.root))
    return writes


def _beginning(
    genesis: Genesis, chain: Hash, stored: StoredHeader, changes: Changes
) -> list[Change]:
    header = stored.header
    withdrawals = None if header.withdrawals_root is None else ()
    block = Block(header, (), (), withdrawals)
    executed = Executed(block, stored.hash, (), (), changes, stored.total_difficulty)
    writes = facts(genesis, chain, Height(header.number))
    writes += block_writes(stored, executed)
    writes += state_at_first(changes)
    return writes


def facts(genesis: Genesis, chain: Hash, oldest: Height) -> list[Change]:
    """What every store says of its ledger: `chain` is the hash of `genesis`'s own block, `oldest`
    the first height whose state is there."""
    return [
        (schema.META, schema.SCHEMA, schema.VERSION.to_bytes(4, "big")),
        (schema.META, schema.CHAIN, chain),
        (schema.META, schema.GENESIS, genesis.source.encode()),
        (schema.META, schema.OLDEST_STATE, height_key(oldest)),
    ]


def state_at_first(changes: Changes) -> list[Change]:
    """A state that nothing was before."""
    writes: list[Change] = [(schema.CODES, key, code) for key, code in changes.codes.items()]
    writes += [(schema.TRIE, key, node) for key, node in changes.nodes.items()]
    for address in changes.accounts:
        key = address_key(address)
        writes.append((schema.ACCOUNTS, key, changes.account_leaves[key]))
        writes.append((schema.PREIMAGES, key, address))
    for address, slots in changes.storage.items():
        key = address_key(address)
        for slot in slots:
            leaf = changes.storage_leaves.get(key, {}).get(slot_key(slot))
            if leaf is not None:
                writes.append((schema.STORAGE, key + slot_key(slot), leaf))
                writes.append((schema.PREIMAGES, slot_key(slot), slot.to_bytes(32, "big")))
    return writes
