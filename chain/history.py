"""Committed state at any retained height: flat tables for the head, change sets for the past.

Every block leaves behind the leaves that it replaced, each under its key and the
block's height. The value at height h is therefore the first one left behind by a block
above h, and the flat table's when there is none. Readers look at the flat table first
and into the history afterwards, so a block that is committed in between can't mislead
them; no lock is needed. The trie has no history: a past one is the head's with the
changes since undone, laid over it when somebody asks for a proof.
"""

from collections.abc import Iterator
from threading import Lock, RLock
from typing import Final, TypeVar

from chain.changes import ACCOUNT_TRIE, Changes
from chain.commitment import commit_leaves
from chain.crypto.keccak import keccak
from chain.errors import Fault, Reason, Rejected
from chain.leaves import address_key, decode_account, decode_slot, slot_key
from chain.state import Account
from chain.storage.cache import Cache, Missing
from chain.storage.schema import (
    ACCOUNT_HISTORY,
    ACCOUNTS,
    CHANGED,
    CODES,
    STORAGE,
    STORAGE_HISTORY,
    TRIE,
    height_key,
)
from chain.storage.store import Store
from chain.types import EMPTY_CODE_HASH, Address, Hash, Height
from chain.views import Overlay

_PASTS_MAX: Final = 4

K = TypeVar("K")
V = TypeVar("V")


class Mark:
    """One state of the tables. A new one is set before each write begins."""

    __slots__ = ("height", "root")

    def __init__(self, height: Height, root: Hash) -> None:
        self.height = height
        self.root = root


class StateTables:
    """The flat tables, trie records and history, with caches of the head's values.

    Only the ledger writes, and it moves `mark` before it does; a reader that finds
    `mark` unchanged after a read knows that it read the state it was made for.
    """

    def __init__(self, store: Store, mark: Mark, *, oldest: Height, cache_entries: int) -> None:
        self.store = store
        self.mark = mark
        self.writing = RLock()  # held from before `mark` moves until all is written and cached
        self.epoch = 0  # raised when blocks are taken back
        self.amendments = 0  # raised when the head's state is changed in place
        self._filling = Lock()
        self._pasts: dict[Height, Overlay] = {}  # tries of the past, over that of `_pasts_mark`
        self._pasts_mark = mark
        self.oldest = oldest  # the first height whose state is retained
        self.accounts: Cache[Address, tuple[Account | None, bytes | None]] = Cache(cache_entries)
        self.slots: Cache[tuple[Address, int], int] = Cache(cache_entries)
        self.nodes: Cache[bytes, bytes | None] = Cache(4 * cache_entries)
        self.codes: Cache[Hash, bytes] = Cache(1024)

    def begin(self, mark: Mark) -> None:
        """Announce that a write begins, after which the tables will hold another state."""
        with self._filling:
            self.mark = mark

    def fill(self, cache: Cache[K, V], key: K, value: V, mark: Mark | None) -> None:
        """Remember what was read, unless a write has begun since `mark` was set."""
        with self._filling:
            if self.mark is mark:
                cache.put(key, value)

    def advance(self, changes: Changes) -> None:
        """Make the caches those of the state that was just written."""
        leaves = changes.account_leaves
        self.accounts.put_all(
            {
                address: (account, leaves[address_key(address)])
                for address, account in changes.accounts.items()
            }
        )
        if changes.wiped:  # which of its slots and records are cached is not known
            self.slots.clear()
            self.nodes.clear()
        self.nodes.put_all(changes.nodes)
        for address, slots in changes.storage.items():
            self.slots.put_all({(address, slot): value for slot, value in slots.items()})

    def forget(self) -> None:
        """Empty the caches whose values depend on the head."""
        self.accounts.clear()
        self.slots.clear()
        self.nodes.clear()

    def replaced(self, table: str, key: bytes, height: Height) -> bytes | None:
        """The leaf that the first block above `height` to change `key` replaced.

        Empty when there was no leaf; None when no block above `height` changed it.
        """
        start = key + height_key(height + 1)
        for _, leaf in self.store.scan(table, key, start):
            return leaf
        return None

    def changed_keys(self, height: int) -> tuple[list[bytes], list[bytes]]:
        """The account keys and the storage keys (account key, slot key) of a block's history."""
        data = self.store.get(CHANGED, height_key(height))
        if data is None:
            raise Fault(f"change set of height {height} is missing")
        storage_from = 4 + 32 * int.from_bytes(data[:4], "big")
        accounts = [data[at : at + 32] for at in range(4, storage_from, 32)]
        return accounts, [data[at : at + 64] for at in range(storage_from, len(data), 64)]

    def past(self, height: Height, mark: Mark) -> Overlay:
        """The trie at an earlier height, over the head's that `mark` stands for.

        The last few are kept as long as the head stays, for one asks seldom only once.
        """
        with self._filling:
            known = self._pasts if self._pasts_mark is mark else {}
            found = known.get(height)
        if found is None:
            head = StoredView(self, mark.height, mark.root, mark)
            found = Overlay(head, self.undo(head, height))
            with self._filling:
                if self._pasts_mark is not mark or len(self._pasts) >= _PASTS_MAX:
                    self._pasts, self._pasts_mark = {}, mark
                self._pasts[height] = found
        return found

    def undo(self, view: "StoredView", height: Height) -> Changes:
        """The changes that take `view`'s state back to an earlier height, by leaf.

        Takes as long as the blocks in between have changed keys.
        """
        accounts: dict[Hash, bytes | None] = {}
        storage: dict[Hash, dict[Hash, bytes | None]] = {}
        for passed in range(height + 1, view.height + 1):
            at = height_key(passed)
            account_keys, storage_keys = self.changed_keys(passed)
            fresh = [key for key in account_keys if key not in accounts]
            leaves = self.store.get_many(ACCOUNT_HISTORY, [key + at for key in fresh])
            for key, leaf in zip(fresh, leaves, strict=True):
                accounts[Hash(key)] = self._known(leaf, key) or None
            leaves = self.store.get_many(STORAGE_HISTORY, [key + at for key in storage_keys])
            for key, leaf in zip(storage_keys, leaves, strict=True):
                slots = storage.setdefault(Hash(key[:32]), {})
                slots.setdefault(Hash(key[32:]), self._known(leaf, key) or None)
        return commit_leaves(view, accounts, storage)

    @staticmethod
    def _known(leaf: bytes | None, key: bytes) -> bytes:
        if leaf is None:
            raise Fault(f"history of {key.hex()} is missing")
        return leaf


class StoredView:
    """The state that the ledger committed at a height; a `TrieView`.

    Stays what it is while the ledger goes on. Raises `Rejected` (STATE_NOT_RETAINED)
    when its height is no longer kept.
    """

    __slots__ = (
        "_amendments",
        "_epoch",
        "_mark",
        "_past",
        "_past_mark",
        "_tables",
        "height",
        "root",
    )

    def __init__(self, tables: StateTables, height: Height, root: Hash, mark: Mark | None) -> None:
        """`mark` is the tables' one when this is the head's state, and None otherwise."""
        self.height = height
        self.root = root
        self._tables = tables
        self._mark = mark
        self._epoch = tables.epoch
        self._amendments = tables.amendments
        self._past: Overlay | None = None
        self._past_mark: Mark | None = None

    def account(self, address: Address) -> Account | None:
        tables = self._tables
        found = tables.accounts.get(address)
        if isinstance(found, Missing):
            leaf = tables.store.get(ACCOUNTS, address_key(address))
            found = (decode_account(leaf) if leaf is not None else None, leaf)
            tables.fill(tables.accounts, address, found, self._mark)
        if tables.mark is self._mark:
            return found[0]
        leaf = tables.replaced(ACCOUNT_HISTORY, address_key(address), self.height)
        self._check_retained()
        if leaf is None:
            return found[0]
        return decode_account(leaf) if leaf else None

    def leaf_of(self, address: Address) -> bytes | None:
        """The account's leaf, for the ledger to keep when a block replaces it."""
        found = self._tables.accounts.get(address)
        if isinstance(found, Missing):
            return self._tables.store.get(ACCOUNTS, address_key(address))
        return found[1]

    def storage(self, address: Address, slot: int) -> int:
        tables = self._tables
        found = tables.slots.get((address, slot))
        if isinstance(found, Missing):
            leaf = tables.store.get(STORAGE, address_key(address) + slot_key(slot))
            found = decode_slot(leaf) if leaf is not None else 0
            tables.fill(tables.slots, (address, slot), found, self._mark)
        if tables.mark is self._mark:
            return found
        key = address_key(address) + slot_key(slot)
        leaf = tables.replaced(STORAGE_HISTORY, key, self.height)
        self._check_retained()
        if leaf is None:
            return found
        return decode_slot(leaf) if leaf else 0

    def code(self, code_hash: Hash) -> bytes:
        if code_hash == EMPTY_CODE_HASH:
            return b""
        tables = self._tables
        found = tables.codes.get(code_hash)
        if isinstance(found, Missing):
            stored = tables.store.get(CODES, code_hash)
            if stored is None or keccak(stored) != code_hash:
                raise Fault(f"code {code_hash.hex()} is missing or corrupt")
            tables.codes.put(code_hash, stored)
            return stored
        return found

    def node(self, key: bytes) -> bytes | None:
        tables = self._tables
        if tables.mark is self._mark:
            found = tables.nodes.get(key)
            if isinstance(found, Missing):
                found = tables.store.get(TRIE, key)
            if tables.mark is self._mark:
                return found
        return self._at_height().node(key)

    def leaves(self, trie: bytes, prefix: str = "") -> Iterator[tuple[Hash, bytes]]:
        tables = self._tables
        if tables.mark is self._mark:
            found = self._stored_leaves(trie, prefix)
            first = next(found, None)
            # A scan goes on showing what it showed when it began.
            if tables.mark is self._mark:
                if first is not None:
                    yield first
                    yield from found
                return
        yield from self._at_height().leaves(trie, prefix)

    def _stored_leaves(self, trie: bytes, prefix: str) -> Iterator[tuple[Hash, bytes]]:
        table, space = (ACCOUNTS, b"") if trie == ACCOUNT_TRIE else (STORAGE, trie[1:])
        whole = bytes.fromhex(prefix[: len(prefix) & ~1])
        odd = prefix[-1] if len(prefix) & 1 else ""
        start = space + whole + bytes.fromhex(odd + "0") if odd else None
        digit = len(prefix) - 1
        for key, leaf in self._tables.store.scan(table, space + whole, start):
            own = key[len(space) :]
            if odd and own.hex()[digit] != odd:
                return
            yield Hash(own), leaf

    def _at_height(self) -> Overlay:
        """The trie at this view's height, by undoing what was committed since."""
        tables = self._tables
        with tables.writing:
            mark = tables.mark
        self._check_retained()
        if self._past is None or self._past_mark is not mark:
            past = tables.past(self.height, mark)
            self._check_retained()
            if past.root != self.root and self._amendments != tables.amendments:
                raise Rejected(Reason.STATE_NOT_RETAINED, "the state was changed meanwhile")
            if past.root != self.root:
                raise Fault(f"history does not lead back to the state of height {self.height}")
            self._past, self._past_mark = past, mark
        return self._past

    def _check_retained(self) -> None:
        if self._epoch != self._tables.epoch:
            raise Rejected(Reason.STATE_NOT_RETAINED, "blocks were taken back meanwhile")
        if self.height < self._tables.oldest:
            raise Rejected(
                Reason.STATE_NOT_RETAINED,
                f"height {self.height}; the oldest is {self._tables.oldest}",
            )
