"""The state root of a block, computed from what the block changed.

The state trie is a trie of accounts whose leaves name the roots of their storage
tries; so all storage tries come first, together, and the account trie afterwards.
The work on the tries is `chain.trie_update`'s; where there is native code for it, that of
tries that lose no leaf is `chain.trie_growth`'s.
"""

from collections.abc import Mapping, Sequence

from chain.branches import Branch
from chain.changes import ACCOUNT_TRIE, Changes, storage_trie
from chain.crypto.batch import trie_kernels
from chain.errors import Fault
from chain.forked import ForkedView
from chain.leaves import address_key, decode_account, encode_account, encode_slot, slot_key
from chain.state import Account, Delta
from chain.trie_growth import Grown, grow
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
    account_of = view.account
    before = {address: account_of(address) for address in delta.accounts}
    wiped = frozenset(
        address
        for address in delta.accounts
        if (address in delta.wiped or delta.accounts[address] is None)
        and (old := before[address]) is not None
        and old.storage_root != EMPTY_ROOT
    )
    storage = {
        address: slots
        for address, slots in delta.storage.items()
        if slots and delta.accounts[address] is not None
    }
    storage_leaves: dict[Hash, dict[Hash, bytes | None]] = {}
    nodes: dict[bytes, bytes | None] = {}
    changed: list[Address] = []
    tries: list[Grown] = []
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
            changed.append(address)
            tries.append((storage_trie(key), root, items))
    roots = dict(zip(changed, _roots(view, tries, nodes), strict=True)) if tries else {}
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
            if address in roots:
                root = roots[address]
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
        (root,) = _roots(view, [(ACCOUNT_TRIE, root, items)], nodes)
    return Changes(
        root=root,
        accounts=accounts,
        storage=storage,
        wiped=wiped,
        codes=delta.codes,
        nodes=nodes,
        account_leaves=account_leaves,
        storage_leaves=storage_leaves,
        wiped_keys=frozenset(address_key(address) for address in wiped),
    )


def _roots(view: TrieView, tries: Sequence[Grown], nodes: dict[bytes, bytes | None]) -> list[Hash]:
    """The tries' roots with their changed leaves; the records that change come to `nodes`."""
    kernels = trie_kernels(sum([len(items) for _, _, items in tries]))
    if kernels is not None and not _loses(tries):
        grown = grow(view, tries, kernels)
        if grown is not None:
            nodes.update(grown[1])
            return grown[0]
    work = Work()
    tops = [work.root(Plan(view, trie, work).run(root, items)) for trie, root, items in tries]
    work.hash()
    nodes.update(work.nodes)
    return [root_of(top) for top in tops]


def _loses(tries: Sequence[Grown]) -> bool:
    """Whether some leaf goes."""
    for _, _, items in tries:
        for _, leaf, _ in items:
            if leaf is None:
                return True
    return False


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
