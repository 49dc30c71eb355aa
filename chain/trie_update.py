"""Changes to stored tries: which nodes there will be, then their hashes.

`Plan` takes the changed leaves of one trie in the order of their keys and settles its
nodes: branches are read, made, split and folded away, and a leaf that must move up or
down is found by its key's order, since leaves are not stored with the trie. `Work`
then hashes the dirty nodes of all tries level by level from the deepest, in batches;
each dirty node is hashed once.
"""

from collections.abc import Sequence
from itertools import groupby

from chain.branches import Branch, encode_leaves, load
from chain.crypto.keccak import keccak, keccak_many
from chain.errors import Fault
from chain.trie import EMPTY, NIBBLES, extension_node
from chain.types import EMPTY_ROOT, Hash
from chain.views import TrieView

Leaf = tuple[str, bytes | None, bool]
"""A changed leaf: its key in hex, the new value (None: gone), whether it was there before."""

Node = Branch | Leaf | None


class Work:
    """The dirty nodes of the tries of one commit, and their hashing."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes | None] = {}  # the records that change, by trie and path
        self.leaves: list[tuple[Leaf, int, Branch, int]] = []  # with depth and place
        self.levels: list[list[Branch]] = [[] for _ in range(64)]  # by depth of the branch

    def root(self, node: Node) -> Branch:
        """Note the top node of a trie; after `hash`, `root_of` the result is its root."""
        top = Branch(b"", "", "")
        if isinstance(node, Branch):
            node.parent, node.index = top, 0
        elif node is not None:
            self.leaves.append((node, 0, top, 0))
        return top

    def hash(self) -> None:
        """Hash every dirty node into its parent, and put its record among `nodes`."""
        leaves = self.leaves
        # A leaf that is gone never gets here, so each has a value.
        encoded = encode_leaves([(leaf[0][depth:], leaf[1] or b"") for leaf, depth, _, _ in leaves])
        for (_, _, branch, index), node, node_hash in zip(leaves, encoded, keccak_many(encoded)):
            branch.put(index, node, node_hash)
        leaves.clear()
        nodes = self.nodes
        for level in reversed(self.levels):
            if not level:
                continue
            encoded = [branch.node() for branch in level]
            for branch, node, node_hash in zip(level, encoded, keccak_many(encoded)):
                nodes[branch.trie + branch.slot.encode()] = branch.record()
                if branch.extension:
                    ref = node if len(node) < 32 else b"\xa0" + node_hash
                    node = extension_node(branch.extension, ref)
                    node_hash = keccak(node)
                assert branch.parent is not None
                branch.parent.put(branch.index, node, node_hash)
            level.clear()


def root_of(top: Branch) -> Hash:
    """The root behind what `Work.root` gave: the hash of the node, however short it is."""
    ref = top.reference(0)
    if ref == EMPTY:
        return EMPTY_ROOT
    return Hash(ref[1:]) if len(ref) == 33 else keccak(ref)


class Plan:
    """One trie while its nodes are settled."""

    def __init__(self, view: TrieView, trie: bytes, work: Work) -> None:
        self._view = view
        self._trie = trie
        self._nodes = work.nodes
        self._leaves = work.leaves
        self._levels = work.levels
        self._shrinks = False  # whether some leaf goes, so that branches may fold

    def run(self, root: Hash, items: Sequence[Leaf]) -> Node:
        """The node at the root after the changes to the trie with this root.

        `items` are sorted by key, and each changes something: none that is gone was
        not there before. An empty `root` starts anew, whatever the view holds.
        """
        self._shrinks = any(item[1] is None for item in items)
        if root == EMPTY_ROOT:
            return self._build("", items)
        record = self._view.node(self._trie)
        if record is None:
            return self._at_leaf("", items)
        return self._at_branch(load(self._trie, "", record), items, 0, len(items))

    def _read(self, slot: str) -> Branch:
        record = self._view.node(self._trie + slot.encode())
        if record is None:
            raise Fault(f"trie record missing: {self._trie.hex()} {slot!r}")
        return load(self._trie, slot, record)

    def _stored_leaf(self, slot: str) -> Leaf:
        """The only leaf of the view below a slot."""
        found = next(self._view.leaves(self._trie, slot), None)
        if found is None:
            raise Fault(f"leaf missing: {self._trie.hex()} {slot!r}")
        return found[0].hex(), found[1], True

    def _at_leaf(self, slot: str, items: Sequence[Leaf]) -> Node:
        """What becomes of a slot that holds one leaf."""
        for item in items:
            if item[2]:  # the leaf itself is among the changed
                return self._build(slot, items)
        return self._build(slot, sorted([*items, self._stored_leaf(slot)]))

    def _build(self, slot: str, items: Sequence[Leaf]) -> Node:
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
        return self._descend(Branch(self._trie, slot, first[start:depth]), live, 0, len(live))

    def _at_branch(self, branch: Branch, items: Sequence[Leaf], low: int, high: int) -> Node:
        """What becomes of a slot that holds a branch, given items[low:high] for it."""
        if branch.extension:
            path = branch.slot + branch.extension
            if not (items[low][0].startswith(path) and items[high - 1][0].startswith(path)):
                return self._split(branch, items[low:high])
        return self._descend(branch, items, low, high)

    def _split(self, branch: Branch, items: Sequence[Leaf]) -> Node:
        """Put a new branch where the changed keys leave the branch's extension."""
        slot, extension = branch.slot, branch.extension
        depth = len(slot)
        shared = 0
        first, last = items[0][0], items[-1][0]
        while extension[shared] == first[depth] == last[depth]:
            shared += 1
            depth += 1
        fork = Branch(self._trie, slot, extension[:shared])
        digit = extension[shared]
        branch.slot = slot + extension[: shared + 1]
        branch.extension = extension[shared + 1 :]
        below: Node = branch
        leaves: list[tuple[Leaf, int]] = []
        children: list[Branch] = []
        changed = False
        for other, grouped in groupby(items, key=lambda item: item[0][depth]):
            group = list(grouped)
            if other == digit:
                changed = True
                below = self._at_branch(branch, group, 0, len(group))
            else:
                node = self._build(group[0][0][: depth + 1], group)
                self._hang(fork, NIBBLES[other], node, leaves, children)
        if not changed:
            self._levels[depth + 1 + len(branch.extension)].append(branch)
        self._hang(fork, NIBBLES[digit], below, leaves, children)
        return self._settle(fork, depth, leaves, children)

    @staticmethod
    def _hang(
        branch: Branch,
        index: int,
        node: Node,
        leaves: list[tuple[Leaf, int]],
        children: list[Branch],
    ) -> None:
        """Note the new node of one of the branch's children."""
        bit = 1 << index
        if node is None:
            branch.leaves &= ~bit
            branch.branches &= ~bit
            branch.clear(index)
        elif isinstance(node, Branch):
            node.index = index
            children.append(node)
            branch.leaves &= ~bit
            branch.branches |= bit
        else:
            leaves.append((node, index))
            branch.leaves |= bit
            branch.branches &= ~bit

    def _descend(self, branch: Branch, items: Sequence[Leaf], low: int, high: int) -> Node:
        """Apply items[low:high] below a branch, through which all their keys pass."""
        if not self._shrinks:
            return self._grow(branch, items, low, high)
        path = branch.slot + branch.extension
        depth = len(path)
        leaves: list[tuple[Leaf, int]] = []
        children: list[Branch] = []
        while low < high:
            item = items[low]
            digit = item[0][depth]
            end = low + 1
            while end < high and items[end][0][depth] == digit:
                end += 1
            index = NIBBLES[digit]
            bit = 1 << index
            node: Node
            if branch.branches & bit:
                node = self._at_branch(self._read(path + digit), items, low, end)
            elif branch.leaves & bit:
                node = self._at_leaf(path + digit, items[low:end])
            else:
                node = self._build(path + digit, items[low:end])
            self._hang(branch, index, node, leaves, children)
            low = end
        return self._settle(branch, depth, leaves, children)

    def _grow(self, branch: Branch, items: Sequence[Leaf], low: int, high: int) -> Branch:
        """`_descend` where no leaf goes: every branch stays, so nothing need wait."""
        path = branch.slot + branch.extension
        depth = len(path)
        self._levels[depth].append(branch)
        while low < high:
            item = items[low]
            digit = item[0][depth]
            end = low + 1
            while end < high and items[end][0][depth] == digit:
                end += 1
            index = NIBBLES[digit]
            bit = 1 << index
            node: Node
            if branch.branches & bit:
                node = self._at_branch(self._read(path + digit), items, low, end)
            elif not branch.leaves & bit:
                node = self._build(path + digit, items[low:end])
            elif item[2] and end == low + 1:
                node = item  # the same leaf with a new value
            else:
                node = self._at_leaf(path + digit, items[low:end])
            if isinstance(node, Branch):
                node.parent, node.index = branch, index
                branch.branches |= bit
                branch.leaves &= ~bit
            elif node is not None:
                self._leaves.append((node, depth + 1, branch, index))
                branch.leaves |= bit
            low = end
        return branch

    def _settle(
        self,
        branch: Branch,
        depth: int,
        leaves: list[tuple[Leaf, int]],
        children: list[Branch],
    ) -> Node:
        """Keep the branch for hashing, or fold it away when at most one child is left."""
        mask = branch.leaves | branch.branches
        if mask & (mask - 1):
            self._levels[depth].append(branch)
            for leaf, index in leaves:
                self._leaves.append((leaf, depth + 1, branch, index))
            for child in children:
                child.parent = branch
            return branch
        self._nodes[self._trie + branch.slot.encode()] = None
        if not mask:
            return None
        path = branch.slot + branch.extension + f"{mask.bit_length() - 1:x}"
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
