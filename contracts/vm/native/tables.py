"""The slots and accounts that native code knows, and how they agree with the state.

Both tables live as long as native code runs messages on the same state: what one
transaction has read the next one finds, and what it has written stays here until the
state asks (chain.state.Keeper). A generation number makes all that belonged to other
states count as free.
"""

import ctypes
import os
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, TypeAlias

from chain.forks import Fork
from chain.state import Account, State
from chain.types import Address
from contracts.vm.native import records
from contracts.vm.native.areas import Area, address_of_bytes
from contracts.vm.native.codes import NativeCode
from contracts.vm.native.objects import Native
from contracts.vm.native.precompiled.contracts import PrecompiledCode
from contracts.vm.native.records import (
    ACCOUNT_SIZE,
    ALWAYS_WARM,
    JOURNAL_RECORD,
    MULTIPLIERS,
    SLOT_SIZE,
    TRANSIENT,
    layout,
)

# What native code may call without asking.
ReadyCode: TypeAlias = NativeCode | PrecompiledCode

_SESSION: Final = layout(records.Session)
_SLOT: Final = layout(records.Slot)
_ACCOUNT: Final = layout(records.Account)

_GENERATION, _TRANSACTION = _SESSION.index("generation"), _SESSION.index("transaction")
_SLOT_MISSED, _SLOTS_USED = _SESSION.index("slot_missed"), _SESSION.index("slots_used")
_ACCOUNTS_USED: Final = _SESSION.index("accounts_used")
_LAST_WARMED: Final = _SESSION.index("last_warmed")
_ACCOUNT_MISSED: Final = _SESSION.offsets["account_missed"]
_ACCOUNT_PLACE: Final = _SESSION.index("account_place")

_SLOT_ACCOUNT, _SLOT_STAMP = _SLOT.index("account"), _SLOT.index("stamp")
_SLOT_GENERATION: Final = _SLOT.index("generation")
_SLOT_VALUE: Final = _SLOT.offsets["value"]
_KNOWN, _CALLABLE, _WARM = (_ACCOUNT.index(name) for name in ("known", "callable", "warm"))
_ACCOUNT_LAPSED, _MESSAGES = _ACCOUNT.index("lapsed"), _ACCOUNT.index("messages")
_CODE: Final = _ACCOUNT.index("code")

_SLOT_RECORD: Final = struct.Struct("<32s32s32sQQQQ")
_SLOT_FILLED: Final = struct.Struct("<32s32sQQQ")  # from the value on, to `stamp`
_ACCOUNT_RECORD: Final = struct.Struct("<32s32s32s12Q")

_SLOTS: Final = 2**12  # entries at first, half of which are used
_ACCOUNTS: Final = 2**10
_KEPT_BYTES_MAX: Final = 2**25  # tables that became larger are given back with the state
_NO_WEI: Final = bytes(32)


class Tables:
    """A chain.state.Keeper. The state's owner alone may use it, but for `give_back`."""

    def __init__(self, native: Native, record: Area) -> None:
        """`record` is the session's."""
        self.running = False
        self._native = native
        self._record = record
        self._state: weakref.ref[State] | None = None
        self._fork: Fork | None = None
        self._prewarmed: frozenset[Address] = frozenset()
        self._code_changes = 0
        # A state may ask from another thread for what it is about to be given in this one.
        self._giving = Lock()
        words, first = record.words, _SESSION.index("multipliers")
        for at in range(first, first + MULTIPLIERS):
            words[at] = int.from_bytes(os.urandom(8), "little") | 1
        self.slots, self.accounts = Area(_SLOTS * SLOT_SIZE), Area(_ACCOUNTS * ACCOUNT_SIZE)
        self._forget_all()

    @property
    def size(self) -> int:
        """In bytes."""
        return self.slots.size + self.accounts.size

    def _forget_all(self) -> None:
        """Begin a generation. The transaction's number is never used again."""
        if self.size > _KEPT_BYTES_MAX:
            self.slots, self.accounts = Area(_SLOTS * SLOT_SIZE), Area(_ACCOUNTS * ACCOUNT_SIZE)
        words = self._record.words
        words[_GENERATION] += 1
        words[_TRANSACTION] += 1
        words[_SLOTS_USED] = words[_ACCOUNTS_USED] = 0
        self._set_places()
        self._addresses: list[Address] = [Address(b"")]  # numbers start at 1
        self._numbers: dict[Address, int] = {}
        self._entries: dict[Address, int] = {}  # offsets of accounts
        self._codes: dict[int, tuple[bytes, ReadyCode]] = {}  # by address

    def _set_places(self) -> None:
        words = self._record.words
        for name, area, size in (
            ("slots", self.slots, SLOT_SIZE),
            ("accounts", self.accounts, ACCOUNT_SIZE),
        ):
            count = area.size // size
            words[_SESSION.index(name)] = area.address
            words[_SESSION.index(f"{name}_mask")] = count - 1
            words[_SESSION.index(f"{name}_limit")] = count // 2

    # -- whose slots they are --

    def serve(self, state: State, fork: Fork, code_changes: int) -> None:
        """Know what this state has, and nothing else.

        `code_changes` is another number when codes have been compiled since.
        """
        if (
            not state.lent_to(self)
            or fork is not self._fork
            or state.prewarmed is not self._prewarmed
        ):
            self.release()
            self._forget_all()
            self._state, self._fork = weakref.ref(state), fork
            self._prewarmed = state.prewarmed
            for address, slot, word in state.transients():
                self._take_transient(address, slot, word)
            state.lend(self, self._entries)
        if code_changes != self._code_changes:
            self._code_changes = code_changes
            for found in self._entries.values():
                self.accounts.words[(found >> 3) + _KNOWN] = 0

    def _take_transient(self, address: Address, slot: int, word: int) -> None:
        """Know what the transaction has written before native code kept any of it."""
        record, words = self._record.address, self._record.words
        if words[_SLOTS_USED] >= self.slots.size // SLOT_SIZE // 2:
            self.grow_slots()
        account = self.number_of(address) | TRANSIENT
        key = slot.to_bytes(32, "little")
        entry = self._native.find_slot(record, account, address_of_bytes(key)) - self.slots.address
        _SLOT_RECORD.pack_into(
            self.slots.bytes,
            entry,
            key,
            word.to_bytes(32, "little"),
            b"",
            account,
            words[_GENERATION],
            2 * words[_TRANSACTION],
            1,
        )
        words[_SLOTS_USED] += 1

    def release(self) -> None:
        """Give the state that is served what it has lent."""
        state = None if self._state is None else self._state()
        if state is not None and state.lent_to(self):
            self.give_back(state)
        self._state = None

    def give_back(self, state: State) -> None:
        with self._giving:
            if state.lent_to(self):
                self.show(state)
                state.end_lending()

    def show(self, state: State) -> None:
        """Let the state have all slots as they are at this moment."""
        words = self._record.words
        found = (ctypes.c_uint64 * (words[_SLOTS_USED] + 1))()
        count = self._native.collect_slots(self._record.address, ctypes.addressof(found))
        transaction, start = words[_TRANSACTION], self.slots.address
        shown = [_SLOT_RECORD.unpack_from(self.slots.bytes, at - start) for at in found[:count]]
        # Where they are in the table is random, and the state's order should not be.
        shown.sort(key=_owner_and_key)
        for key, value, original, account, _, stamp, _ in shown:
            address, slot = self._addresses[account & ~TRANSIENT], int.from_bytes(key, "little")
            word = int.from_bytes(value, "little")
            if account & TRANSIENT:
                state.take_transient(address, slot, word)
                continue
            now = stamp >> 1 == transaction
            first = int.from_bytes(original, "little") if now else None
            state.take_slot(address, slot, word, first, now and bool(stamp & 1))

    @contextmanager
    def apart_from(self, state: State) -> Iterator[None]:
        """Meanwhile the state tells nothing; what happens to it has to be undone."""
        state.end_lending()
        yield
        state.lend(self, self._entries)

    # -- what the state tells (chain.state.Keeper) --

    def next_transaction(self) -> None:
        self._record.words[_TRANSACTION] += 1

    def account_changed(self, address: Address) -> None:
        at = self._entries[address] >> 3
        self.accounts.words[at + _KNOWN] = 0
        self.accounts.words[at + _WARM] = 0

    def account_warmed(self, address: Address) -> None:
        at = self._entries[address] >> 3
        self.accounts.words[at + _WARM] = self._record.words[_TRANSACTION]

    def slot_warmed(self, address: Address, slot: int) -> bool:
        number = self._numbers.get(address)
        if number is None:
            return True
        key = slot.to_bytes(32, "little")
        place = self._native.find_slot(self._record.address, number, address_of_bytes(key))
        words, at = self.slots.words, (place - self.slots.address) >> 3
        if words[at + _SLOT_GENERATION] != self._record.words[_GENERATION]:
            return True
        start = 2 * self._record.words[_TRANSACTION]
        stamp = words[at + _SLOT_STAMP]
        if stamp >> 1 != start >> 1:
            value = at + (_SLOT_VALUE >> 3)
            words[value + 4 : value + 8] = words[value : value + 4]  # it is the original one
        words[at + _SLOT_STAMP] = start + 1
        return stamp != start + 1

    def keeps_slots_of(self, address: Address) -> bool:
        return address in self._numbers

    # -- what native code has told --

    def newly_warm(self, journal: Area, since: int) -> list[tuple[int, Address]]:
        """Accounts made warm behind this place of the journal, with where; the last one first."""
        found = []
        at = self._record.words[_LAST_WARMED]
        while at > since:
            entry = journal.words[(at - JOURNAL_RECORD) >> 3] & ~7
            offset = entry - self.accounts.address
            found.append((at, Address(bytes(self.accounts.bytes[offset : offset + 20])[::-1])))
            at = journal.words[((at - JOURNAL_RECORD) >> 3) + 1]
        return found

    def note_lapsed(self, state: State) -> None:
        """Accounts that native code made warm in this message, and then did not."""
        now, words = self._record.words[_TRANSACTION], self.accounts.words
        for address, found in self._entries.items():
            if words[(found >> 3) + _ACCOUNT_LAPSED] == now:
                state.note_undone(address)

    # -- filling --

    def number_of(self, address: Address) -> int:
        """The number that stands for an account in this generation."""
        number = self._numbers.get(address)
        if number is None:
            number = self._numbers[address] = len(self._addresses)
            self._addresses.append(address)
        return number

    def code_at(self, place: int) -> bytes:
        """The code that runs from this address."""
        return self._codes[place][0]

    def fill_slot(self, state: State) -> None:
        """Complete the entry that a storage opcode has asked for."""
        words = self._record.words
        entry = words[_SLOT_MISSED] - self.slots.address
        content = self.slots.bytes
        account = self.slots.words[(entry >> 3) + _SLOT_ACCOUNT]
        key = int.from_bytes(content[entry : entry + 32], "little")
        value, original, warm = state.slot(self._addresses[account], key)
        _SLOT_FILLED.pack_into(
            content,
            entry + _SLOT_VALUE,
            value.to_bytes(32, "little"),
            original.to_bytes(32, "little"),
            account,
            words[_GENERATION],
            2 * words[_TRANSACTION] + warm,
        )
        words[_SLOTS_USED] += 1

    def account_missed(self) -> Address:
        """The account that native code asks about."""
        word = self._record.bytes[_ACCOUNT_MISSED : _ACCOUNT_MISSED + 20]
        return Address(bytes(word)[::-1])

    def fill_account(
        self,
        state: State,
        address: Address,
        account: Account | None,
        code: bytes,
        native_code: ReadyCode,
        *,
        may_call: bool,
    ) -> None:
        """Tell native code all about the account that it has asked about.

        `native_code` is what EXTCODECOPY reads and, if native code `may_call` it, what runs.
        """
        words = self._record.words
        found = words[_ACCOUNT_PLACE] - self.accounts.address
        if address not in self._entries:
            self._entries[address] = found
            words[_ACCOUNTS_USED] += 1
        balance, code_hash = _NO_WEI, b""
        if account is not None:
            balance = account.balance.to_bytes(32, "little")
            if code or account.nonce or account.balance:
                code_hash = account.code_hash[::-1]
        warm = 0
        if address in self._prewarmed:
            warm = ALWAYS_WARM
        elif state.is_warm_address(address):
            warm = words[_TRANSACTION]
        _ACCOUNT_RECORD.pack_into(
            self.accounts.bytes,
            found,
            address[::-1],
            balance,
            code_hash,
            words[_GENERATION],
            1,
            may_call,
            self.number_of(address),
            warm,
            self.accounts.words[(found >> 3) + _ACCOUNT_LAPSED],
            0,
            native_code.address,
            native_code.size,
            native_code.destinations,
            native_code.data,
            native_code.compiled,
        )
        self._codes[native_code.address] = code, native_code

    def messages_sent(self) -> list[tuple[bytes, int]]:
        """The codes that native code has sent messages to since it was asked last, and how many."""
        found, words = [], self.accounts.words
        for entry in self._entries.values():
            at = entry >> 3
            number = words[at + _MESSAGES]
            if number:
                words[at + _MESSAGES] = 0
                code = self.code_at(words[at + _CODE])
                if code:  # not a precompiled contract
                    found.append((code, number))
        return found

    # -- growing --

    def grow_slots(self) -> None:
        """Twice as many. MemoryError when the machine has no such room."""
        larger = _larger(self.slots)
        mask = larger.size // SLOT_SIZE - 1
        self._native.move_slots(self._record.address, larger.address, mask)
        self.slots = larger
        self._set_places()

    def grow_accounts(self) -> None:
        """Likewise."""
        larger, before = _larger(self.accounts), self.accounts
        mask = larger.size // ACCOUNT_SIZE - 1
        self._native.move_accounts(self._record.address, larger.address, mask)
        self.accounts = larger
        self._set_places()
        for address, found in self._entries.items():
            self._entries[address] = before.words[found >> 3] - larger.address


def _owner_and_key(slot: tuple[bytes, bytes, bytes, int, int, int, int]) -> tuple[int, bytes]:
    return slot[3], slot[0]


def _larger(area: Area) -> Area:
    try:
        return Area(2 * area.size)
    except OSError as error:
        raise MemoryError(f"no room for {2 * area.size} bytes") from error
