"""Accounts and storage while blocks execute: checkpoint, revert, and the change they add up to.

`StateView` is a frozen state (committed, historic, or another block's result);
`State` is the one living copy on top of a view. Everything `State` changes goes
through one undo journal of (dictionary, key, old value) entries, so a revert is
one loop, whatever was changed.

A machine may keep slots and accounts of its own between messages (`Keeper`). The state
tells it what changes without it, and has the slots back before it answers about any.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from chain.blocks import Log
from chain.crypto.keccak import keccak
from chain.forks import Fork
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash


class Account(Struct, frozen=True, gc=False):
    """What the state trie holds for an address."""

    nonce: int = 0
    balance: int = 0  # wei
    storage_root: Hash = EMPTY_ROOT
    code_hash: Hash = EMPTY_CODE_HASH


EMPTY_ACCOUNT: Final = Account()


class StateView(Protocol):
    """A state that does not change. Addresses and slots in clear, not hashed."""

    def account(self, address: Address) -> Account | None: ...
    def storage(self, address: Address, slot: int) -> int: ...
    def code(self, code_hash: Hash) -> bytes: ...


class Delta(Struct, frozen=True):
    """What a block changed, relative to the view it ran on.

    `accounts` has None for an account that is gone; the storage roots in it are
    those of before the block (chain.commitment computes the new ones).
    `storage` has 0 for a cleared slot. All old storage of an address in `wiped`
    is gone, and `storage` holds what was written afterwards.
    """

    accounts: Mapping[Address, Account | None]
    storage: Mapping[Address, Mapping[int, int]]
    wiped: frozenset[Address]
    codes: Mapping[Hash, bytes]


class Known(Struct, frozen=True):
    """What a living state had at some time: copies. Slots of `wiped` that are not here are 0."""

    accounts: Mapping[Address, Account | None]
    slots: Mapping[Address, Mapping[int, int]]
    wiped: frozenset[Address]


class Keeper(Protocol):
    """A machine that keeps what it has read and written beyond a message.

    What it is told changes what it keeps. Between messages (not `running`) it can be asked
    to give everything back; while one runs, slots are its own matter.
    """

    running: bool

    def next_transaction(self) -> None:
        """All is cold now, and values are original."""
        ...

    def account_changed(self, address: Address) -> None:
        """Also when it is no longer warm."""
        ...

    def account_warmed(self, address: Address) -> None: ...

    def slot_warmed(self, address: Address, slot: int) -> bool:
        """Whether it was cold."""
        ...

    def keeps_slots_of(self, address: Address) -> bool: ...

    def give_back(self, state: "State") -> None:
        """Give the state all slots, by `take_slot` and `take_transient`, and end the keeping."""
        ...


class _Missing:
    """The old value of a key that was not there."""


_MISSING: Final = _Missing()
_NOTHING_WARM: Final[frozenset[Address]] = frozenset()  # compared by identity

# The address whose touch survives a revert: an out-of-gas call to it was
# finalized on mainnet at block 2675119 with the account deleted (EIP-161, addendum).
_RIPEMD: Final = Address((3).to_bytes(20, "big"))


def _place(address: Address, slot: int) -> bytes:
    """A key for a slot.

    Of numbers anybody can choose many with the same hash() (which is modulo 2^61 - 1), and a
    dictionary would compare them one by one; of bytes nobody can.
    """
    return address + slot.to_bytes(32, "big")


def _slot_of(key: bytes) -> int:
    return int.from_bytes(key[20:], "big")


def _no_logs(content: bytes) -> Sequence[Log]:
    return ()


class State:
    """The living state of a block in execution. One owner; not thread-safe."""

    __slots__ = (
        "__weakref__",
        "_accounts",
        "_base",
        "_base_storage",
        "_codes",
        "_created",
        "_destructed",
        "_journal",
        "_keeper",
        "_kept",
        "_late_logs",
        "_logs",
        "_original",
        "_prewarmed",
        "_read_logs",
        "_storage",
        "_touched",
        "_transient",
        "_undone",
        "_warm",
        "_warm_slots",
        "_wiped",
        "refund",
        "view",
    )

    def __init__(self, view: StateView) -> None:
        self.view = view
        self.refund = 0  # of the current transaction
        self._keeper: Keeper | None = None
        self._kept: Container[Address] = ()  # the accounts that the keeper wants to be told of
        self._base: dict[Address, Account | None] = {}
        self._accounts: dict[Address, Account | None] = {}
        # Slots are named by `_place` in all that follows.
        self._storage: dict[Address, dict[bytes, int]] = {}
        self._base_storage: dict[Address, dict[bytes, int]] = {}
        self._wiped: dict[Address, bool] = {}
        self._codes: dict[Hash, bytes] = {}
        self._journal: list[tuple[Any, Any, Any]] = []
        # of the current transaction:
        self._logs: list[Log] = []
        self._late_logs: list[bytes] = []  # those after `_logs`, as `_read_logs` reads them
        self._read_logs: Callable[[bytes], Sequence[Log]] = _no_logs
        self._prewarmed = _NOTHING_WARM
        self._original: dict[bytes, int] = {}
        self._transient: dict[bytes, int] = {}
        self._warm: dict[Address, bool] = {}
        self._warm_slots: dict[bytes, bool] = {}
        self._created: dict[Address, bool] = {}
        self._destructed: dict[Address, bool] = {}
        self._touched: dict[Address, bool] = {}
        self._undone: set[Address] = set()  # made warm by what was reverted

    # -- the journal -----------------------------------------------------------

    def checkpoint(self) -> int:
        """A mark that `revert` takes back to. Marks nest; leaving one unused costs nothing."""
        self._reclaim()  # so that what is kept now is older than the mark
        journal = self._journal
        journal.append((None, len(self.logs), self.refund))
        return len(journal) - 1

    def revert(self, mark: int) -> None:
        """Undo everything since `checkpoint` gave `mark`."""
        self._reclaim()
        journal, kept = self._journal, self._kept
        keep_ripemd = False
        for index in range(len(journal) - 1, mark - 1, -1):
            table, key, old = journal[index]
            if table is None:
                del self.logs[key:]
                self.refund = old
            elif old is _MISSING:
                if table is self._touched and key == _RIPEMD:
                    keep_ripemd = True
                elif table is self._warm:
                    self._undone.add(key)
                    if key in kept:
                        self._tell_changed(key)
                del table[key]
            else:
                table[key] = old
                if table is self._accounts and key in kept:
                    self._tell_changed(key)
        del journal[mark:]
        if keep_ripemd:
            self._touched[_RIPEMD] = True

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._journal.append((table, key, table.get(key, _MISSING)))
        table[key] = value

    # -- a machine that keeps slots --------------------------------------------

    def lend(self, keeper: Keeper, accounts: Container[Address]) -> None:
        """From now on `keeper` keeps slots; it is told of changes of these accounts."""
        self._reclaim()
        self._keeper, self._kept = keeper, accounts

    def end_lending(self) -> None:
        """The keeper has given back everything."""
        self._keeper, self._kept = None, ()

    def lent_to(self, keeper: Keeper) -> bool:
        return self._keeper is keeper

    def _reclaim(self) -> None:
        keeper = self._keeper
        if keeper is not None and not keeper.running:
            keeper.give_back(self)

    def _tell_changed(self, address: Address) -> None:
        if self._keeper is not None:
            self._keeper.account_changed(address)

    def slot(self, address: Address, slot: int) -> tuple[int, int, bool]:
        """Value, original value, and whether it is warm, as a keeper finds it."""
        key = _place(address, slot)
        value = self._load(address, slot, key)
        return value, self._original.get(key, value), key in self._warm_slots

    def take_slot(
        self, address: Address, slot: int, value: int, original: int | None, warm: bool
    ) -> None:
        """What a slot has become; `original` is None when no transaction now cares."""
        slots, key = self._storage[address], _place(address, slot)
        old = slots[key]
        if value != old:
            self._journal.append((slots, key, old))
            slots[key] = value
        if original is not None and original != value:
            self._original.setdefault(key, original)
        if warm and key not in self._warm_slots:
            self._set(self._warm_slots, key, True)

    def transients(self) -> Iterator[tuple[Address, int, int]]:
        """All transient slots that the current transaction has written, and their values."""
        self._reclaim()
        for key, value in self._transient.items():
            yield Address(key[:20]), _slot_of(key), value

    def take_transient(self, address: Address, slot: int, value: int) -> None:
        key = _place(address, slot)
        if self._transient.get(key, 0) != value:
            self._set(self._transient, key, value)

    def note_undone(self, address: Address) -> None:
        """The keeper made it warm, and took that back."""
        self._undone.add(address)

    # -- logs --------------------------------------------------------------------

    @property
    def logs(self) -> list[Log]:
        """Those of the current transaction so far."""
        if self._late_logs:
            for content in self._late_logs:
                self._logs += self._read_logs(content)
            self._late_logs.clear()
        return self._logs

    def add_logs_later(self, content: bytes, read: Callable[[bytes], Sequence[Log]]) -> None:
        """Further logs, which are read when somebody wants to see them."""
        if read is not self._read_logs:
            self._logs = self.logs  # read what another one has written
            self._read_logs = read
        self._late_logs.append(content)

    # -- accounts --------------------------------------------------------------

    def account(self, address: Address) -> Account | None:
        found = self._accounts.get(address)
        if found is None and address not in self._accounts:
            found = self._accounts[address] = self._base[address] = self.view.account(address)
        return found

    def _put(self, address: Address, account: Account | None) -> None:
        # `account()` ran first for this address, so the old value is present.
        accounts = self._accounts
        self._journal.append((accounts, address, accounts[address]))
        accounts[address] = account
        if address in self._kept:
            self._tell_changed(address)

    def exists(self, address: Address) -> bool:
        return self.account(address) is not None

    def would_stay(self, address: Address) -> bool:
        """Whether a transaction that only touches the account leaves all as it was (EIP-161)."""
        if self.account(address) is None:
            gone = self._base[address] is None or address in self._wiped
            return gone and not any(self._storage.get(address, {}).values())
        return not self.is_empty(address)

    def is_empty(self, address: Address) -> bool:
        """No account, or one without nonce, balance and code (EIP-161)."""
        account = self.account(address)
        return account is None or (
            account.nonce == 0 and account.balance == 0 and account.code_hash == EMPTY_CODE_HASH
        )

    def balance(self, address: Address) -> int:
        account = self.account(address)
        return 0 if account is None else account.balance

    def nonce(self, address: Address) -> int:
        account = self.account(address)
        return 0 if account is None else account.nonce

    def code_hash(self, address: Address) -> Hash:
        account = self.account(address)
        return EMPTY_CODE_HASH if account is None else account.code_hash

    def code(self, address: Address) -> bytes:
        account = self.account(address)
        if account is None or account.code_hash == EMPTY_CODE_HASH:
            return b""
        return self.code_of(account.code_hash)

    def code_of(self, code_hash: Hash) -> bytes:
        code = self._codes.get(code_hash)
        return self.view.code(code_hash) if code is None else code

    def set_balance(self, address: Address, balance: int) -> None:
        old = self.account(address) or EMPTY_ACCOUNT
        self._put(address, Account(old.nonce, balance, old.storage_root, old.code_hash))

    def add_balance(self, address: Address, amount: int) -> None:
        """Credit `amount` and touch the account; it exists afterwards, if only empty."""
        old = self.account(address) or EMPTY_ACCOUNT
        if amount == 0:
            self.touch(address)
        else:
            self._put(
                address, Account(old.nonce, old.balance + amount, old.storage_root, old.code_hash)
            )

    def sub_balance(self, address: Address, amount: int) -> None:
        """Debit `amount`, which the caller has checked to be there."""
        old = self.account(address) or EMPTY_ACCOUNT
        assert old.balance >= amount
        if amount == 0:
            self.touch(address)
        else:
            self._put(
                address, Account(old.nonce, old.balance - amount, old.storage_root, old.code_hash)
            )

    def charge_and_count(self, address: Address, amount: int) -> None:
        """Debit `amount` and raise the nonce by one: what every transaction does to its sender."""
        old = self.account(address) or EMPTY_ACCOUNT
        assert old.balance >= amount
        self._put(
            address,
            Account(old.nonce + 1, old.balance - amount, old.storage_root, old.code_hash),
        )

    def set_nonce(self, address: Address, nonce: int) -> None:
        old = self.account(address) or EMPTY_ACCOUNT
        self._put(address, Account(nonce, old.balance, old.storage_root, old.code_hash))

    def set_code(self, address: Address, code: bytes) -> None:
        old = self.account(address) or EMPTY_ACCOUNT
        code_hash = keccak(code) if code else EMPTY_CODE_HASH
        if code:
            self._codes[code_hash] = code
        self._put(address, Account(old.nonce, old.balance, old.storage_root, code_hash))

    def touch(self, address: Address) -> None:
        """Bring the account into existence; an empty one is deleted at the end from EIP-161 on."""
        if self.account(address) is None:
            self._put(address, EMPTY_ACCOUNT)
        if address not in self._touched:
            self._set(self._touched, address, True)

    # -- creation and destruction ----------------------------------------------

    def has_code_nonce_or_storage(self, address: Address) -> bool:
        """Whether a contract can't be created here (EIP-684, EIP-7610)."""
        account = self.account(address)
        if account is None:
            return False
        return (
            account.nonce != 0
            or account.code_hash != EMPTY_CODE_HASH
            or self._has_storage(address, account)
        )

    def may_have_storage(self, address: Address) -> bool:
        """False only if the account's slots are 0, where its storage root tells of the view's."""
        self._reclaim()
        account = self.account(address)
        return account is not None and self._has_storage(address, account)

    def _has_storage(self, address: Address, account: Account) -> bool:
        if any(self._storage.get(address, {}).values()):
            return True
        return account.storage_root != EMPTY_ROOT and address not in self._wiped

    def create_contract(self, address: Address, start_nonce: int) -> None:
        """Begin a creation: fresh nonce, balance kept, storage empty, marked as created here."""
        old = self.account(address)
        balance = 0 if old is None else old.balance
        if old is not None and self._has_storage(address, old):
            self._wipe(address)
        self._put(address, Account(start_nonce, balance))
        self._set(self._created, address, True)

    def created_here(self, address: Address) -> bool:
        """Whether the current transaction created this contract (EIP-6780)."""
        return address in self._created

    def destruct(self, address: Address) -> bool:
        """Mark for deletion at the end of the transaction; False when it already was."""
        if address in self._destructed:
            return False
        self._set(self._destructed, address, True)
        return True

    def _wipe(self, address: Address) -> None:
        self._reclaim()
        self._set(self._storage, address, {})
        self._set(self._wiped, address, True)

    # -- storage ---------------------------------------------------------------

    def storage(self, address: Address, slot: int) -> int:
        self._reclaim()
        return self._load(address, slot, _place(address, slot))

    def _load(self, address: Address, slot: int, key: bytes) -> int:
        slots = self._storage.get(address)
        if slots is None:
            slots = self._storage[address] = {}
        value = slots.get(key)
        if value is None:
            if address in self._wiped:
                value = 0
            else:
                value = self.view.storage(address, slot)
                before = self._base_storage.get(address)
                if before is None:
                    before = self._base_storage[address] = {}
                before[key] = value
            slots[key] = value
        return value

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        self._reclaim()
        key = _place(address, slot)
        old = self._load(address, slot, key)
        if key not in self._original:
            self._original[key] = old
        slots = self._storage[address]
        self._journal.append((slots, key, old))
        slots[key] = value

    def original_storage(self, address: Address, slot: int) -> int:
        """The slot's value when the current transaction began."""
        self._reclaim()
        key = _place(address, slot)
        value = self._load(address, slot, key)
        return self._original.get(key, value)

    def transient(self, address: Address, slot: int) -> int:
        self._reclaim()
        return self._transient.get(_place(address, slot), 0)

    def set_transient(self, address: Address, slot: int, value: int) -> None:
        self._reclaim()
        self._set(self._transient, _place(address, slot), value)

    # -- warm and cold (EIP-2929) ----------------------------------------------

    def warm_address(self, address: Address) -> bool:
        """Make the address warm; True when it was cold."""
        if address in self._warm or address in self._prewarmed:
            return False
        self._set(self._warm, address, True)
        if address in self._kept and self._keeper is not None:
            self._keeper.account_warmed(address)
        return True

    def warm_slot(self, address: Address, slot: int) -> bool:
        """Make the slot warm; True when it was cold."""
        key = _place(address, slot)
        if key in self._warm_slots:
            return False
        self._set(self._warm_slots, key, True)
        return self._keeper is None or self._keeper.slot_warmed(address, slot)

    def prewarm(self, addresses: frozenset[Address]) -> None:
        """Make addresses warm for the whole transaction, beyond any revert (the precompiles)."""
        self._prewarmed = addresses

    @property
    def prewarmed(self) -> frozenset[Address]:
        return self._prewarmed

    def is_warm_address(self, address: Address) -> bool:
        return address in self._warm or address in self._prewarmed

    def is_warm_slot(self, address: Address, slot: int) -> bool:
        self._reclaim()
        return _place(address, slot) in self._warm_slots

    def touched_addresses(self, ignored: frozenset[Address]) -> tuple[Address, ...]:
        """The addresses that the current transaction made warm, but for those ignored.

        Those of what was reverted too: whether they are warm is no longer asked here.
        """
        if not self._warm and not self._undone and not self._prewarmed:
            return ()
        return tuple((self._warm.keys() | self._undone | self._prewarmed) - ignored)

    # -- transactions and blocks -----------------------------------------------

    def begin_transaction(self) -> None:
        """Forget what lives only as long as one transaction; what was done stays done."""
        self._journal.clear()
        self._original.clear()
        self._transient.clear()
        self._warm.clear()
        self._warm_slots.clear()
        self._created.clear()
        self._destructed.clear()
        self._touched.clear()
        self._undone.clear()
        self._prewarmed = _NOTHING_WARM
        self._logs = []
        self._late_logs.clear()
        self.refund = 0
        if self._keeper is not None:
            self._keeper.next_transaction()

    def begin_again(self) -> None:
        """Begin another transaction like one that has done nothing but warm addresses."""
        keeper = self._keeper
        if keeper is not None:
            keeper.next_transaction()
            for key in self._warm:
                if key in self._kept:
                    keeper.account_warmed(Address(key))
        self._undone.clear()

    def end_transaction(self, fork: Fork) -> None:
        """Delete what self-destructed and, from EIP-161 on, what was touched and is empty."""
        for address in self._destructed:
            self._delete(address)
        if fork.deletes_empty_accounts:
            for address in self._touched:
                if self.account(address) is not None and self.is_empty(address):
                    self._delete(address)
        self._journal.clear()

    def _delete(self, address: Address) -> None:
        account = self.account(address)
        if account is None:
            return
        if self._keeper is not None and self._keeper.keeps_slots_of(address):
            self._reclaim()
        self._storage[address] = {}
        if self._base[address] is not None:
            self._wiped[address] = True  # the view has slots of it, or had
        self._accounts[address] = None
        if address in self._kept:
            self._tell_changed(address)

    def destructed(self) -> Iterator[Address]:
        """The accounts that the current transaction deletes."""
        return iter(self._destructed)

    def known(self) -> Known:
        """All accounts and slots read or written so far, as they stand now."""
        self._reclaim()
        slots = {
            address: {_slot_of(key): value for key, value in slots.items()}
            for address, slots in self._storage.items()
        }
        return Known(dict(self._accounts), slots, frozenset(self._wiped))

    def override_account(self, address: Address, account: Account | None) -> None:
        """Set an account as if the view had it (RPC state overrides, developer's methods)."""
        self.account(address)
        self._accounts[address] = account
        if address in self._kept:
            self._tell_changed(address)

    def override_storage(self, address: Address, slots: Mapping[int, int]) -> None:
        """Make these the only slots of an account that are not 0."""
        self._reclaim()
        account = self.account(address)
        if account is not None and self._has_storage(address, account):
            self._wipe(address)
        for slot, value in slots.items():
            self.set_storage(address, slot, value)

    def delta(self) -> Delta:
        """What changed since the view, for chain.commitment."""
        self._reclaim()
        base = self._base
        storage: dict[Address, Mapping[int, int]] = {}
        for address, slots in self._storage.items():
            before = {} if address in self._wiped else self._base_storage.get(address, {})
            written = {
                _slot_of(key): value for key, value in slots.items() if value != before.get(key, 0)
            }
            if written:
                storage[address] = written
                self.account(address)  # its storage root changes, so it belongs to the delta
        accounts = {
            address: account
            for address, account in self._accounts.items()
            if account != base.get(address) or address in storage or address in self._wiped
        }
        codes = {
            account.code_hash: self._codes[account.code_hash]
            for account in accounts.values()
            if account is not None and account.code_hash in self._codes
        }
        return Delta(accounts, storage, frozenset(self._wiped), codes)
