"""The state root of a block, computed from what the block changed.

The tries are kept as records of their branches, each under the path where it hangs
in its trie; an extension is folded into the record of the branch below it, and leaves
are not kept at all: the flat tables hold them, and a leaf that must move up or down
is found there by its key's order. A commit takes the changed leaves sorted by key,
first settles which nodes there will be (`_Plan`), then hashes the dirty ones level by
level from the deepest, in batches. Each dirty node is hashed once.

A record is: a mask of the children that are leaves (2 bytes), the length of the
extension (1 byte), its hex digits, then the branch's sixteen child references as RLP.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from chain.changes import ACCOUNT_TRIE, Changes, storage_trie
from chain.crypto.keccak import keccak, keccak_many
from chain.errors import Fault
from chain.leaves import (
    address_key,
    decode_account,
    decode_slot,
    encode_account,
    encode_slot,
    slot_key,
)
from chain.state import Account, Delta
from chain.trie import EMPTY, NIBBLES, extension_node, leaf_node, reference
from chain.types import EMPTY_ROOT, Address, Hash
from chain.views import TrieView

__all__ = [
    "AccountProof",
    "Changes",
    "Leaf",
    "StorageProof",
    "commit",
    "commit_leaves",
    "prove",
    "stored_root",
]

Leaf = tuple[str, bytes | None, bool]
"""A changed leaf: its key in hex, the new value (None: gone), whether it was there before."""


class _Branch:
    """A branch in memory: its record taken apart."""

    __slots__ = ("branches", "extension", "index", "leaves", "parent", "refs", "slot", "trie")

    def __init__(self, trie: bytes, slot: str, extension: str) -> None:
        self.trie = trie
        self.slot = slot  # the path where it hangs
        self.extension = extension  # the nibbles between there and the branch itself
        self.refs = [EMPTY] * 16
        self.leaves = 0  # mask of the children that are leaves
        self.branches = 0  # mask of those that are branches
        self.parent: _Branch | None = None
        self.index = 0  # its place in its parent


def _load(trie: bytes, slot: str, record: bytes) -> _Branch:
    """The branch in a record."""
    body = 3 + record[2]
    branch = _Branch(trie, slot, record[3:body].decode())
    leaves = int.from_bytes(record[:2], "big")
    branch.leaves = leaves
    if len(record) - body == 528:  # sixteen hashes
        branch.refs = [record[at : at + 33] for at in range(body, len(record), 33)]
        branch.branches = leaves ^ 0xFFFF
        return branch
    present = 0
    refs = branch.refs
    at = body
    for index in range(16):
        first = record[at]
        if first == 0x80:
            at += 1
            continue
        end = at + (33 if first == 0xA0 else first - 191)
        refs[index] = record[at:end]
        present |= 1 << index
        at = end
    branch.branches = present & ~leaves
    return branch


_Node = _Branch | Leaf | None


class _Work:
    """The dirty nodes of all tries of one commit, and their hashing."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes | None] = {}  # the records that change
        self.leaves: list[tuple[Leaf, int, _Branch, int]] = []  # with depth and place
        self.levels: list[list[_Branch]] = [[] for _ in range(64)]  # by depth

    def root(self, node: _Node) -> _Branch:
        """Note the top node of a trie; after `hash`, `_root_of` the result is its root."""
        top = _Branch(b"", "", "")
        if isinstance(node, _Branch):
            node.parent, node.index = top, 0
        elif node is not None:
            self.leaves.append((node, 0, top, 0))
        return top

    def hash(self) -> None:
        """Hash every dirty node, write its reference into its parent, and its record down."""
        self._hash_leaves()
        nodes = self.nodes
        for level in reversed(self.levels):
            if not level:
                continue
            encoded = []
            for branch in level:
                body = b"".join(branch.refs)
                extension = branch.extension.encode()
                mask = branch.leaves
                nodes[branch.trie + branch.slot.encode()] = (
                    bytes((mask >> 8, mask & 255, len(extension))) + extension + body
                )
                encoded.append(_branch_node(body))
            for branch, node, node_hash in zip(level, encoded, keccak_many(encoded), strict=True):
                ref = b"\xa0" + node_hash if len(node) > 31 else node
                if branch.extension:
                    ref = reference(extension_node(branch.extension, ref))
                assert branch.parent is not None
                branch.parent.refs[branch.index] = ref
        for level in self.levels:
            level.clear()

    def _hash_leaves(self) -> None:
        encoded = []
        for (key, value, _), depth, _, _ in self.leaves:
            assert value is not None
            suffix = key[depth:]
            if len(suffix) & 1:
                path = bytes.fromhex("3" + suffix)
            else:
                path = bytes.fromhex("20" + suffix)
            if len(path) > 1:
                path = _STRING[len(path)] + path
            size = len(value)
            if size > 55:
                body = path + b"\xb8" + _BYTE[size] + value
            elif size > 1 or value[0] > 127:
                body = path + _STRING[size] + value
            else:
                body = path + value
            size = len(body)
            encoded.append((b"\xf8" + _BYTE[size] if size > 55 else _LIST[size]) + body)
        for (_, _, branch, index), node, node_hash in zip(
            self.leaves, encoded, keccak_many(encoded), strict=True
        ):
            branch.refs[index] = b"\xa0" + node_hash if len(node) > 31 else node
        self.leaves.clear()


# RLP prefixes by payload size.
_BYTE: Final = [bytes((size,)) for size in range(256)]
_STRING: Final = [bytes((0x80 + size,)) for size in range(56)]
_LIST: Final = [bytes((0xC0 + size,)) for size in range(56)]


def _branch_node(body: bytes) -> bytes:
    """The RLP of a branch with these child references and no value."""
    size = len(body) + 1
    if size > 255:
        return b"\xf9" + size.to_bytes(2, "big") + body + EMPTY
    if size > 55:
        return b"\xf8" + _BYTE[size] + body + EMPTY
    return _LIST[size] + body + EMPTY


def _root_of(top: _Branch) -> Hash:
    """The root behind a top reference: the hash of the node, however short it is."""
    ref = top.refs[0]
    if ref == EMPTY:
        return EMPTY_ROOT
    return Hash(ref[1:]) if len(ref) == 33 else keccak(ref)


class _Plan:
    """One trie while its nodes are settled; feeds the leaves and levels to be hashed."""

    def __init__(self, view: TrieView, trie: bytes, work: _Work) -> None:
        self._view = view
        self._trie = trie
        self._nodes = work.nodes
        self._leaves = work.leaves
        self._levels = work.levels

    def run(self, root: Hash, items: Sequence[Leaf]) -> _Node:
        """The node at the root after the changes to the trie with this root.

        `items` are sorted by key, and each changes something: none that is gone was
        not there before. An empty `root` starts anew, whatever the view holds.
        """
        if root == EMPTY_ROOT:
            return self._build("", items)
        record = self._view.node(self._trie)
        if record is None:
            return self._at_leaf("", items)
        return self._at_branch(_load(self._trie, "", record), items)

    def _read(self, slot: str) -> _Branch:
        record = self._view.node(self._trie + slot.encode())
        if record is None:
            raise Fault(f"trie record missing: {self._trie.hex()} {slot!r}")
        return _load(self._trie, slot, record)

    def _stored_leaf(self, slot: str) -> Leaf:
        """The only leaf of the view below a slot."""
        found = next(self._view.leaves(self._trie, slot), None)
        if found is None:
            raise Fault(f"leaf missing: {self._trie.hex()} {slot!r}")
        return found[0].hex(), found[1], True

    def _at_leaf(self, slot: str, items: Sequence[Leaf]) -> _Node:
        """What becomes of a slot that holds one leaf."""
        for item in items:
            if item[2]:  # the leaf itself is among the changed
                return self._build(slot, items)
        return self._build(slot, sorted([*items, self._stored_leaf(slot)]))

    def _build(self, slot: str, items: Sequence[Leaf]) -> _Node:
        """The node over these leaves alone; those gone are skipped."""
        live = [item for item in items if item[1] is not None]
        if not live:
            return None
        if len(live) == 1:
            return live[0]
        first, last = live[0][0], live[-1][0]
        depth = start = len(slot)
        while first[depth] == last[depth]:
            depth += 1
        branch = _Branch(self._trie, slot, first[start:depth])
        return self._descend(branch, live)

    def _at_branch(self, branch: _Branch, items: Sequence[Leaf]) -> _Node:
        """What becomes of a slot that holds a branch."""
        extension = branch.extension
        if not extension:
            return self._descend(branch, items)
        slot = branch.slot
        path = slot + extension
        if items[0][0].startswith(path) and items[-1][0].startswith(path):
            return self._descend(branch, items)
        return self._split(branch, items)

    def _split(self, branch: _Branch, items: Sequence[Leaf]) -> _Node:
        """Put a new branch where the changed keys leave the branch's extension."""
        slot, extension = branch.slot, branch.extension
        start = len(slot)
        shared = 0
        for ours, first, last in zip(
            extension, items[0][0][start:], items[-1][0][start:], strict=False
        ):
            if not ours == first == last:
                break
            shared += 1
        fork = _Branch(self._trie, slot, extension[:shared])
        depth = start + shared
        digit = extension[shared]
        branch.slot = slot + extension[: shared + 1]
        branch.extension = extension[shared + 1 :]
        below: _Node = branch
        leaves: list[tuple[Leaf, int]] = []
        children: list[_Branch] = []
        ours_seen = False
        for other, grouped in groupby(items, key=lambda item: item[0][depth]):
            group = list(grouped)
            if other == digit:
                ours_seen = True
                below = self._at_branch(branch, group)
            else:
                node = self._build(group[0][0][: depth + 1], group)
                self._hang(fork, other, node, leaves, children)
        if not ours_seen:
            self._levels[depth + 1 + len(branch.extension)].append(branch)
        self._hang(fork, digit, below, leaves, children)
        return self._settle(fork, depth, leaves, children)

    @staticmethod
    def _hang(
        branch: _Branch,
        digit: str,
        node: _Node,
        leaves: list[tuple[Leaf, int]],
        children: list[_Branch],
    ) -> None:
        """Record the new node of one of the branch's children."""
        index = NIBBLES[digit]
        bit = 1 << index
        if node is None:
            branch.leaves &= ~bit
            branch.branches &= ~bit
            branch.refs[index] = EMPTY
        elif isinstance(node, _Branch):
            node.index = index
            children.append(node)
            branch.leaves &= ~bit
            branch.branches |= bit
        else:
            leaves.append((node, index))
            branch.leaves |= bit
            branch.branches &= ~bit

    def _descend(self, branch: _Branch, items: Sequence[Leaf]) -> _Node:
        """Apply the changes below a branch, all of whose keys pass through it."""
        path = branch.slot + branch.extension
        depth = len(path)
        leaves: list[tuple[Leaf, int]] = []
        children: list[_Branch] = []
        count = len(items)
        start = 0
        while start < count:
            item = items[start]
            digit = item[0][depth]
            end = start + 1
            while end < count and items[end][0][depth] == digit:
                end += 1
            index = NIBBLES[digit]
            bit = 1 << index
            if branch.branches & bit:
                child = self._read(path + digit)
                node = self._at_branch(child, items[start:end])
            elif branch.leaves & bit:
                if end == start + 1 and item[2] and item[1] is not None:
                    leaves.append((item, index))  # the same leaf with a new value
                    start = end
                    continue
                node = self._at_leaf(path + digit, items[start:end])
            else:
                node = self._build(path + digit, items[start:end])
            self._hang(branch, digit, node, leaves, children)
            start = end
        return self._settle(branch, depth, leaves, children)

    def _settle(
        self,
        branch: _Branch,
        depth: int,
        leaves: list[tuple[Leaf, int]],
        children: list[_Branch],
    ) -> _Node:
        """Keep the branch for hashing, or fold it away when at most one child is left."""
        mask = branch.leaves | branch.branches
        if mask & (mask - 1):
            self._levels[depth].append(branch)
            self._leaves += [(leaf, depth + 1, branch, index) for leaf, index in leaves]
            for child in children:
                child.parent = branch
            return branch
        self._nodes[self._trie + branch.slot.encode()] = None
        if not mask:
            return None
        index = mask.bit_length() - 1
        path = branch.slot + branch.extension + "0123456789abcdef"[index]
        if branch.leaves:
            return leaves[0][0] if leaves else self._stored_leaf(path)
        if children:
            child = children[0]
        else:
            child = self._read(path)
            self._levels[len(path) + len(child.extension)].append(child)
        self._nodes[self._trie + path.encode()] = None
        child.extension = path[len(branch.slot) :] + child.extension
        child.slot = branch.slot
        return child


def commit(view: TrieView, delta: Delta) -> Changes:
    """The state after `delta`: new roots, and all that is to be written for it.

    `view` is the state that the delta was made on. Nothing in it is changed.
    """
    work = _Work()
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
    tops: dict[Address, _Branch] = {}
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
            node = _Plan(view, storage_trie(key), work).run(root, items)
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
                root = _root_of(tops[address])
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
        top = work.root(_Plan(view, ACCOUNT_TRIE, work).run(root, items))
        work.hash()
        root = _root_of(top)
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
    work = _Work()
    tops: dict[Hash, _Branch] = {}
    for key, leaves in storage.items():
        old = _leaf_at(view, ACCOUNT_TRIE, key)
        root = decode_account(old).storage_root if old is not None else EMPTY_ROOT
        trie = storage_trie(key)
        items = _stored_items(view, trie, leaves)
        if items:
            tops[key] = work.root(_Plan(view, trie, work).run(root, items))
    items = _stored_items(view, ACCOUNT_TRIE, accounts)
    top = work.root(_Plan(view, ACCOUNT_TRIE, work).run(view.root, items)) if items else None
    work.hash()
    for key, storage_top in tops.items():
        leaf = accounts.get(key)
        expected = decode_account(leaf).storage_root if leaf is not None else EMPTY_ROOT
        if _root_of(storage_top) != expected:
            raise Fault(f"storage of account {key.hex()} does not match its root")
    return Changes(
        root=_root_of(top) if top is not None else view.root,
        accounts={},
        storage={},
        wiped=frozenset(),
        codes={},
        nodes=work.nodes,
        account_leaves=accounts,
        storage_leaves=storage,
        wiped_keys=frozenset(),
    )


def stored_root(view: TrieView) -> Hash:
    """The root that the topmost record of the account trie gives, whatever `view.root` says."""
    record = view.node(ACCOUNT_TRIE)
    if record is not None:
        branch = _load(ACCOUNT_TRIE, "", record)
        node = _branch_node(b"".join(branch.refs))
        return keccak(_under_extension(branch, node))
    found = next(view.leaves(ACCOUNT_TRIE), None)
    return EMPTY_ROOT if found is None else keccak(leaf_node(found[0].hex(), found[1]))


def _under_extension(branch: _Branch, node: bytes) -> bytes:
    """The topmost node of a branch record: the extension, or the branch without one."""
    return extension_node(branch.extension, reference(node)) if branch.extension else node


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


class StorageProof(Struct, frozen=True):
    """A slot's value and the nodes that show it under its account's storage root."""

    slot: int
    value: int
    proof: tuple[bytes, ...]


class AccountProof(Struct, frozen=True):
    """An account, or its absence, and the nodes that show it under the state root."""

    address: Address
    account: Account | None
    proof: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


def prove(view: TrieView, address: Address, slots: Sequence[int] = ()) -> AccountProof:
    """What eth_getProof shows (EIP-1186); `chain.trie.verify_proof` checks it."""
    key = address_key(address)
    leaf, proof = _walk(view, ACCOUNT_TRIE, view.root, key)
    account = decode_account(leaf) if leaf is not None else None
    root = account.storage_root if account is not None else EMPTY_ROOT
    shown = []
    for slot in slots:
        value, nodes = _walk(view, storage_trie(key), root, slot_key(slot))
        shown.append(StorageProof(slot, decode_slot(value) if value is not None else 0, nodes))
    return AccountProof(address, account, proof, tuple(shown))


def _walk(
    view: TrieView, trie: bytes, root: Hash, key: Hash
) -> tuple[bytes | None, tuple[bytes, ...]]:
    """The leaf under `key`, and the nodes from the root down to it or to where it isn't."""
    if root == EMPTY_ROOT:
        return None, ()
    nodes: list[bytes] = []
    digits = key.hex()
    slot = ""
    while True:
        record = view.node(trie + slot.encode())
        if record is None:
            found, value = next(view.leaves(trie, slot))
            nodes.append(leaf_node(found.hex()[len(slot) :], value))
            break
        branch = _load(trie, slot, record)
        node = _branch_node(b"".join(branch.refs))
        path = slot + branch.extension
        if branch.extension:
            nodes.append(_under_extension(branch, node))
            if not digits.startswith(path):
                return None, _listed(nodes)
        nodes.append(node)
        index = NIBBLES[digits[len(path)]]
        slot = digits[: len(path) + 1]
        if branch.refs[index] == EMPTY:
            return None, _listed(nodes)
    return (value if found == key else None), _listed(nodes)


def _listed(nodes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The nodes of a proof without those that their parent embeds."""
    return tuple(node for at, node in enumerate(nodes) if at == 0 or len(node) > 31)
