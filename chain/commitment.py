"""The state root of a block, computed from what the block changed.

The state trie is a trie of accounts whose leaves name the roots of their storage
tries; so all storage tries come first, together, and the account trie afterwards.
The work on the tries is `chain.trie_update`'s.
"""

from collections.abc import Mapping

from chain.branches import Branch
from chain.changes import ACCOUNT_TRIE, Changes, storage_trie
from chain.errors import Fault
from chain.forked import ForkedView
from chain.leaves import address_key, decode_account, encode_account, encode_slot, slot_key
from chain.state import Account, Delta
from chain.trie_update import Leaf, Plan, Work, root_of
from chain.types import EMPTY_ROOT, Address, Hash
from chain.views import TrieView

__all__ = ["Changes", "commit", "commit_leaves"]


def commit(view: TrieView, delta: Delta) -> Changes:
    """The state after `delta`: new roots, and all that is to be written for it.

    `view` is the state that the delta was made on. Nothing in it is changed.
    """
    if isinstance(view, ForkedView):
        return commit(view.local, view.localised(delta))
    work = Work()
    before = {address: view.account(address) for address in delta.accounts}
    wiped = frozenset(
        address
        for address, old in before.items()
        if old is not None
        and old.storage_root != EMPTY_ROOT
        and (address in delta.wiped or delta.accounts[address] is None)
    )
    storage = {
        address: slots
        for address, slots in delta.storage.items()
        if slots and delta.accounts[address] is not None
    }
    storage_leaves: dict[Hash, dict[Hash, bytes | None]] = {}
    tops: dict[Address, Branch] = {}
    for address, slots in storage.items():
        old = before[address]
        fresh = old is None or old.storage_root == EMPTY_ROOT or address in wiped
        leaves: dict[Hash, bytes | None] = {}
        items: list[Leaf] = []
        for slot, value in slots.items():
            existed = not fresh and view.storage(address, slot) != 0
            if value or existed:
                key = slot_key(slot)
                leaf = leaves[key] = encode_slot(value) if value else None
                items.append((key.hex(), leaf, existed))
        if items:
            items.sort()
            key = address_key(address)
            storage_leaves[key] = leaves
            root = EMPTY_ROOT if fresh or old is None else old.storage_root
            node = Plan(view, storage_trie(key), work).run(root, items)
            tops[address] = work.root(node)
    work.hash()
    accounts: dict[Address, Account | None] = {}
    account_leaves: dict[Hash, bytes | None] = {}
    items = []
    for address, account in delta.accounts.items():
        old = before[address]
        leaf = None
        if account is None:
            if old is None:
                continue
        else:
            if address in tops:
                root = root_of(tops[address])
            elif address in wiped or old is None:
                root = EMPTY_ROOT
            else:
                root = old.storage_root
            if root != account.storage_root:
                account = Account(account.nonce, account.balance, root, account.code_hash)
            leaf = encode_account(account)
        accounts[address] = account
        key = address_key(address)
        account_leaves[key] = leaf
        items.append((key.hex(), leaf, old is not None))
    items.sort()
    root = view.root
    if items:
        top = work.root(Plan(view, ACCOUNT_TRIE, work).run(root, items))
        work.hash()
        root = root_of(top)
    return Changes(
        root=root,
        accounts=accounts,
        storage=storage,
        wiped=wiped,
        codes=delta.codes,
        nodes=work.nodes,
        account_leaves=account_leaves,
        storage_leaves=storage_leaves,
        wiped_keys=frozenset(address_key(address) for address in wiped),
    )


def commit_leaves(
    view: TrieView,
    accounts: Mapping[Hash, bytes | None],
    storage: Mapping[Hash, Mapping[Hash, bytes | None]],
) -> Changes:
    """The changes that take `view` to other leaves, whose addresses need not be known.

    The account leaves hold their final storage roots already. What is in the result
    serves the trie alone: its values in clear are empty. Raises `Fault` when a storage
    root does not come out as its account has it.
    """
    work = Work()
    tops: dict[Hash, Branch] = {}
    for key, leaves in storage.items():
        old = _leaf_at(view, ACCOUNT_TRIE, key)
        root = decode_account(old).storage_root if old is not None else EMPTY_ROOT
        trie = storage_trie(key)
        items = _stored_items(view, trie, leaves)
        if items:
            tops[key] = work.root(Plan(view, trie, work).run(root, items))
    items = _stored_items(view, ACCOUNT_TRIE, accounts)
    top = work.root(Plan(view, ACCOUNT_TRIE, work).run(view.root, items)) if items else None
    work.hash()
    for key, storage_top in tops.items():
        leaf = accounts.get(key)
        expected = decode_account(leaf).storage_root if leaf is not None else EMPTY_ROOT
        if root_of(storage_top) != expected:
            raise Fault(f"storage of account {key.hex()} does not match its root")
    return Changes(
        root=root_of(top) if top is not None else view.root,
        accounts={},
        storage={},
        wiped=frozenset(),
        codes={},
        nodes=work.nodes,
        account_leaves=accounts,
        storage_leaves=storage,
        wiped_keys=frozenset(),
    )


def _leaf_at(view: TrieView, trie: bytes, key: Hash) -> bytes | None:
    found = next(view.leaves(trie, key.hex()), None)
    return found[1] if found is not None else None


def _stored_items(view: TrieView, trie: bytes, leaves: Mapping[Hash, bytes | None]) -> list[Leaf]:
    """The leaves that differ from the view's, as a plan wants them."""
    items: list[Leaf] = []
    for key in sorted(leaves):
        old, leaf = _leaf_at(view, trie, key), leaves[key]
        if leaf != old:
            items.append((key.hex(), leaf, old is not None))
    return items
