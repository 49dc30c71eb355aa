"""What a block changes, in the three forms that are kept: values, leaves, trie records."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from chain.state import Account
from chain.types import Address, Hash

# The key space of the trie's records: "a" + path for the account trie,
# "s" + account key + path for a storage trie. A path has one hex digit a nibble
# and ends where the node hangs, before the nibbles of its extension.
ACCOUNT_TRIE: Final = b"a"


def storage_trie(account_key: bytes) -> bytes:
    """The key space of one account's storage trie."""
    return b"s" + account_key


class Changes(Struct, frozen=True):
    """A committed delta: everything that a view on top needs and the ledger writes.

    None stands for what is gone, as does 0 for a slot. `wiped` names the accounts
    whose storage in the parent state was not empty and is gone; what `storage`,
    `storage_leaves` and `nodes` hold for them was written afterwards.
    """

    root: Hash
    accounts: Mapping[Address, Account | None]  # with their new storage roots
    storage: Mapping[Address, Mapping[int, int]]
    wiped: frozenset[Address]
    codes: Mapping[Hash, bytes]
    nodes: Mapping[bytes, bytes | None]  # records of trie branches
    account_leaves: Mapping[Hash, bytes | None]  # by account key
    storage_leaves: Mapping[Hash, Mapping[Hash, bytes | None]]  # by account key and slot key
    wiped_keys: frozenset[Hash]  # account keys of `wiped`


def merge(older: Changes, newer: Changes) -> Changes:
    """The changes of two successive blocks as if they were one's."""
    wiped = newer.wiped
    wiped_keys = newer.wiped_keys
    storage = {a: slots for a, slots in older.storage.items() if a not in wiped}
    for address, slots in newer.storage.items():
        storage[address] = {**storage.get(address, {}), **slots}
    leaves = {k: slots for k, slots in older.storage_leaves.items() if k not in wiped_keys}
    for key, slot_leaves in newer.storage_leaves.items():
        leaves[key] = {**leaves.get(key, {}), **slot_leaves}
    nodes = older.nodes
    if wiped_keys:
        nodes = {
            key: node
            for key, node in nodes.items()
            if key[:1] == ACCOUNT_TRIE or key[1:33] not in wiped_keys
        }
    return Changes(
        root=newer.root,
        accounts={**older.accounts, **newer.accounts},
        storage=storage,
        wiped=older.wiped | wiped,
        codes={**older.codes, **newer.codes},
        nodes={**nodes, **newer.nodes},
        account_leaves={**older.account_leaves, **newer.account_leaves},
        storage_leaves=leaves,
        wiped_keys=older.wiped_keys | wiped_keys,
    )
