"""What is written for one block: itself, its results and indexes, and the state it leads to."""

from collections.abc import Iterator

from chain import appearances, log_index
from chain.blocks import encode_body
from chain.changes import Changes, storage_trie
from chain.execution import Executed
from chain.history import StoredView
from chain.leaves import address_key, encode_slot, slot_key
from chain.records import StoredHeader, encode_receipts, encode_stored_header
from chain.storage import schema
from chain.storage.schema import height_key
from chain.storage.store import Change, Store


def block_writes(stored: StoredHeader, executed: Executed) -> Iterator[Change]:
    """The block itself and what finds it."""
    height = stored.header.number
    at = height_key(height)
    yield schema.HEADERS, at, encode_stored_header(stored)
    yield schema.HEIGHTS, stored.hash, at
    yield schema.BODIES, at, encode_body(executed.block)
    yield schema.RECEIPTS, at, encode_receipts(executed.receipts)
    yield schema.SENDERS, at, b"".join(executed.senders)
    for index, transaction in enumerate(executed.block.transactions):
        yield schema.TRANSACTIONS, transaction.hash, at + index.to_bytes(4, "big")
    for key in log_index.rows(height, executed.receipts):
        yield schema.LOG_INDEX, key, b""
    yield from appearances.rows(executed)
    yield schema.META, schema.HEAD, at


def state_writes(store: Store, view: StoredView, changes: Changes, height: int) -> Iterator[Change]:
    """The new leaves, records and codes, and the history of what they replace."""
    at = height_key(height)
    account_keys: list[bytes] = []
    storage_keys: list[bytes] = []
    gone: set[bytes] = set()  # slots of wiped accounts, by their keys
    for account_key in sorted(changes.wiped_keys):
        for key, old_leaf in store.scan(schema.STORAGE, account_key):
            gone.add(key)
            storage_keys.append(key)
            yield schema.STORAGE, key, None
            yield schema.STORAGE_HISTORY, key + at, old_leaf
        for path, _ in store.scan(schema.TRIE, storage_trie(account_key)):
            yield schema.TRIE, path, None
    for address, slots in changes.storage.items():
        account_key = address_key(address)
        leaves = changes.storage_leaves.get(account_key, {})
        wiped = address in changes.wiped
        for number in slots:
            slot = slot_key(number)
            if slot not in leaves:
                continue  # empty before and after
            key = account_key + slot
            yield schema.STORAGE, key, leaves[slot]
            if key in gone:
                continue
            storage_keys.append(key)
            old = 0 if wiped else view.storage(address, number)
            yield schema.STORAGE_HISTORY, key + at, encode_slot(old) if old else b""
            if not old:
                yield schema.PREIMAGES, slot, number.to_bytes(32, "big")
    for address in changes.accounts:
        account_key = address_key(address)
        before = view.leaf_of(address)
        account_keys.append(account_key)
        yield schema.ACCOUNTS, account_key, changes.account_leaves[account_key]
        if before is None:
            yield schema.ACCOUNT_HISTORY, account_key + at, b""
            yield schema.PREIMAGES, account_key, address
        else:
            yield schema.ACCOUNT_HISTORY, account_key + at, before
    for path, node in changes.nodes.items():
        yield schema.TRIE, path, node
    for code_hash, code in changes.codes.items():
        yield schema.CODES, code_hash, code
    count = len(account_keys).to_bytes(4, "big")
    yield schema.CHANGED, at, b"".join((count, *account_keys, *storage_keys))
