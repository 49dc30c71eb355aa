"""States that do not change: the empty one, and blocks laid over another view.

A `TrieView` is what a block runs on and what its state root is computed from. The
ledger gives the committed one; `Overlay` lays unfinal blocks over any view.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Protocol

from chain.changes import ACCOUNT_TRIE, Changes, merge
from chain.state import Account, StateView
from chain.types import EMPTY_ROOT, Address, Hash


class TrieView(StateView, Protocol):
    """A frozen state whose tries can be walked.

    Tries are named by their key space (`chain.changes`): `ACCOUNT_TRIE`, or
    `storage_trie(account key)`.
    """

    @property
    def root(self) -> Hash: ...

    def node(self, key: bytes) -> bytes | None:
        """The record of the branch at `key`, a key space and a path; None when there is none."""
        ...

    def leaves(self, trie: bytes, prefix: str = "") -> Iterator[tuple[Hash, bytes]]:
        """The leaves (key, value) below a path of hex digits, in the order of their keys."""
        ...


class EmptyView:
    """The state without accounts, that genesis is laid on."""

    root: Hash = EMPTY_ROOT

    def account(self, address: Address) -> Account | None:
        return None

    def storage(self, address: Address, slot: int) -> int:
        return 0

    def code(self, code_hash: Hash) -> bytes:
        return b""

    def node(self, key: bytes) -> bytes | None:
        return None

    def leaves(self, trie: bytes, prefix: str = "") -> Iterator[tuple[Hash, bytes]]:
        return iter(())


_Leaves = list[tuple[Hash, bytes | None]]


class _Layer:
    """Changes, and what is derived from them when it is first asked for."""

    __slots__ = ("_sorted", "changes", "size")

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.size = len(changes.account_leaves) + len(changes.nodes)
        self._sorted: dict[bytes, _Leaves] = {}

    def wipes(self, trie: bytes) -> bool:
        """Whether nothing of the trie below this layer is left."""
        return trie[1:] in self.changes.wiped_keys

    def within(self, trie: bytes, prefix: str) -> _Leaves:
        """The changed leaves below a path, sorted; None for those gone."""
        found = self._sorted.get(trie)
        if found is None:
            if trie == ACCOUNT_TRIE:
                found = sorted(self.changes.account_leaves.items())
            else:
                found = sorted(self.changes.storage_leaves.get(Hash(trie[1:]), {}).items())
            self._sorted[trie] = found
        low = bytes.fromhex(prefix + "0" * (len(prefix) & 1))
        start = bisect_left(found, low, key=lambda leaf: leaf[0])
        end = start
        while end < len(found) and found[end][0].hex().startswith(prefix):
            end += 1
        return found[start:end]


class Overlay:
    """The changes of one or more blocks on top of a view; itself a view to build on.

    Overlays on overlays share their layers, and layers of like size are merged, so
    that a read passes a number of layers logarithmic in the number of blocks.
    """

    def __init__(self, parent: TrieView, changes: Changes) -> None:
        self.root: Hash = changes.root
        self._base: TrieView = parent
        self._layers: tuple[_Layer, ...]  # the newest first
        layers = [_Layer(changes)]
        if isinstance(parent, Overlay):
            self._base = parent._base
            older = list(parent._layers)
            while older and older[0].size <= 2 * layers[0].size:
                layers[0] = _Layer(merge(older.pop(0).changes, layers[0].changes))
            layers += older
        self._layers = tuple(layers)

    @property
    def depth(self) -> int:
        """The number of layers that a read may pass."""
        return len(self._layers)

    def account(self, address: Address) -> Account | None:
        for layer in self._layers:
            accounts = layer.changes.accounts
            if address in accounts:
                return accounts[address]
        return self._base.account(address)

    def storage(self, address: Address, slot: int) -> int:
        for layer in self._layers:
            changes = layer.changes
            value = changes.storage.get(address, {}).get(slot)
            if value is not None:
                return value
            if address in changes.wiped:
                return 0
        return self._base.storage(address, slot)

    def code(self, code_hash: Hash) -> bytes:
        for layer in self._layers:
            code = layer.changes.codes.get(code_hash)
            if code is not None:
                return code
        return self._base.code(code_hash)

    def node(self, key: bytes) -> bytes | None:
        trie = ACCOUNT_TRIE if key[:1] == ACCOUNT_TRIE else key[:33]
        for layer in self._layers:
            nodes = layer.changes.nodes
            if key in nodes:
                return nodes[key]
            if layer.wipes(trie):
                return None
        return self._base.node(key)

    def leaves(self, trie: bytes, prefix: str = "") -> Iterator[tuple[Hash, bytes]]:
        changed: dict[Hash, bytes | None] = {}
        below = True
        for layer in self._layers:
            for key, leaf in layer.within(trie, prefix):
                changed.setdefault(key, leaf)
            if layer.wipes(trie):
                below = False
                break
        ours = iter(sorted(changed.items()))
        pending = next(ours, None)
        for key, value in self._base.leaves(trie, prefix) if below else ():
            while pending is not None and pending[0] < key:
                if pending[1] is not None:
                    yield pending[0], pending[1]
                pending = next(ours, None)
            if key not in changed:
                yield key, value
        while pending is not None:
            if pending[1] is not None:
                yield pending[0], pending[1]
            pending = next(ours, None)
