"""A state that begins where another ledger's is: what was written since, over what is there.

What a block writes goes into this ledger's own tables and tries; what it only reads comes from
the `Origin`. So that "gone" and "zero" can be told from "not written here", a gone account is
written as one without anything, a slot set to 0 as `ZERO`, and an account whose slots are all
gone has the slot `CLEARED`. Decision 0010.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from chain.changes import ACCOUNT_TRIE, Changes
from chain.leaves import decode_account, decode_slot
from chain.records import StoredHeader
from chain.state import EMPTY_ACCOUNT, Account, Delta
from chain.types import EMPTY_CODE_HASH, Address, Hash, Height
from chain.views import Overlay, TrieView

ZERO: Final = 1 << 256  # more than any contract can store
# keccak("cleared"): no contract comes upon it but on purpose.
CLEARED: Final = 0xCC612342AB0C0950BD34B8770190296B06377371AA83B17853DF47AE8237C3E0


class Origin(Protocol):
    """What another ledger had at one block, for ever the same. Raises `SourceFailed`."""

    def account(self, address: Address) -> Account | None:
        """As it was; its storage root means nothing but that there may be storage."""
        ...

    def storage(self, address: Address, slot: int) -> int: ...

    def code(self, code_hash: Hash) -> bytes | None:
        """The code of an account that was given out; None for any other."""
        ...

    def header(self, height: Height) -> StoredHeader:
        """Of a block up to the one at which the ledgers part."""
        ...


class ForkedView:
    """A `TrieView` of what `local` holds, and of the origin where it holds nothing.

    Root, records and leaves are those of `local`: they say what was written since the fork.
    """

    __slots__ = ("local", "origin")

    def __init__(self, local: TrieView, origin: Origin) -> None:
        self.local = local
        self.origin = origin

    @property
    def root(self) -> Hash:
        return self.local.root

    def account(self, address: Address) -> Account | None:
        found = self.local.account(address)
        if found is None:
            return self.origin.account(address)
        return None if _is_nothing(found) else found

    def storage(self, address: Address, slot: int) -> int:
        found = self.local.storage(address, slot)
        if found:
            return 0 if found == ZERO else found
        if not self.may_store(address) or self.local.storage(address, CLEARED):
            return 0
        return self.origin.storage(address, slot)

    def may_store(self, address: Address) -> bool:
        """Whether the origin's account can have storage: one that never did anything has none."""
        account = self.origin.account(address)
        return account is not None and (account.nonce != 0 or account.code_hash != EMPTY_CODE_HASH)

    def code(self, code_hash: Hash) -> bytes:
        found = self.origin.code(code_hash)
        return self.local.code(code_hash) if found is None else found

    def node(self, key: bytes) -> bytes | None:
        return self.local.node(key)

    def leaves(self, trie: bytes, prefix: str = "") -> Iterator[tuple[Hash, bytes]]:
        """Those written since the fork, without what stands for nothing."""
        for key, leaf in self.local.leaves(trie, prefix):
            if trie == ACCOUNT_TRIE:
                if not _is_nothing(decode_account(leaf)):
                    yield key, leaf
            elif decode_slot(leaf) != ZERO:
                yield key, leaf

    def localised(self, delta: Delta) -> Delta:
        """The delta of a state on this view as one of a state on `local`.

        With the codes of accounts that are written for the first time, so that what was
        written here can be read without the origin.
        """
        storage: dict[Address, Mapping[int, int]] = dict(delta.storage)
        for address, slots in delta.storage.items():
            if self.may_store(address):
                storage[address] = {slot: value or ZERO for slot, value in slots.items()}
        for address in delta.wiped:
            if self.may_store(address):
                storage[address] = {**storage.get(address, {}), CLEARED: 1}
        accounts: dict[Address, Account | None] = dict(delta.accounts)
        codes: dict[Hash, bytes] = dict(delta.codes)
        for address, account in delta.accounts.items():
            if account is None:
                if self.origin.account(address) is not None:
                    accounts[address] = EMPTY_ACCOUNT
            elif account.code_hash not in codes and self.local.account(address) is None:
                code = self.origin.code(account.code_hash)
                if code:
                    codes[account.code_hash] = code
        return Delta(accounts, storage, delta.wiped, codes)


def _is_nothing(account: Account) -> bool:
    return not account.nonce and not account.balance and account.code_hash == EMPTY_CODE_HASH


def lay(view: TrieView, changes: Changes) -> TrieView:
    """The view with the changes of a block on it on top."""
    if isinstance(view, ForkedView):
        return ForkedView(Overlay(view.local, changes), view.origin)
    return Overlay(view, changes)
