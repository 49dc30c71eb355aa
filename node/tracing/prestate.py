"""prestateTracer: what a transaction needs of the state, or what it changes in it."""

from typing import Any, Final

from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.machine import Halt
from chain.state import EMPTY_ACCOUNT, Account
from chain.transactions import authority_of
from chain.transition import TransactionResult, contract_address, delegate_of
from chain.types import EMPTY_CODE_HASH, Address
from contracts.vm.calls import created_address
from contracts.vm.frame import Frame
from node.tracing.tracer import Budget, Subject

_SLOTS: Final = {0x54: 1, 0x55: 2}  # SLOAD, SSTORE, and their operands
_FIRST: Final = frozenset({0x31, 0x3B, 0x3C, 0x3F, 0xFF})  # BALANCE, EXTCODE*, SELFDESTRUCT
_CALLS: Final = {0xF1: 7, 0xF2: 7, 0xF4: 6, 0xFA: 6}
_CREATE: Final = 0xF0
_CREATE2: Final = 0xF5
_ACCOUNT_BYTES: Final = 250  # of an answer, without code
_SLOT_BYTES: Final = 140


class PrestateOptions(Struct, frozen=True):
    changes: bool = False  # only what changed, before and after
    code: bool = True
    storage: bool = True
    empty: bool = False  # also accounts that held nothing before


class _Seen:
    """An account as it was when first touched."""

    __slots__ = ("account", "code", "slots")

    def __init__(self, account: Account, code: bytes) -> None:
        self.account = account
        self.code = code
        self.slots: dict[int, int] = {}


class PrestateTracer:
    """Notes every account and slot when it is first touched, with its value then."""

    wants_steps = True

    def __init__(self, subject: Subject, budget: Budget, options: PrestateOptions) -> None:
        self._state = subject.state
        self._budget = budget
        self._options = options
        self._seen: dict[Address, _Seen] = {}
        transaction = subject.transaction
        self._touch(subject.sender)
        if transaction.to is None:
            self._touch(contract_address(subject.sender, self._state.nonce(subject.sender)))
        else:
            self._touch_callee(transaction.to)
        self._touch(subject.coinbase)
        for authorization in transaction.authorizations:
            if (authority := authority_of(authorization)) is not None:
                self._touch(authority)

    def _touch(self, address: Address) -> _Seen:
        seen = self._seen.get(address)
        if seen is None:
            account = self._state.account(address) or EMPTY_ACCOUNT
            code = self._state.code(address) if self._options.code else b""
            self._budget.take(_ACCOUNT_BYTES + 2 * len(code))
            seen = self._seen[address] = _Seen(account, code)
        return seen

    def _touch_callee(self, address: Address) -> None:
        """An account that is called, and the one whose code it runs (EIP-7702)."""
        self._touch(address)
        if (delegate := delegate_of(self._state.code(address))) is not None:
            self._touch(delegate)

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        assert isinstance(frame, Frame)
        self._budget.tick()
        stack = frame.stack
        height = len(stack)
        if cost > gas:
            return  # what can't be paid touches nothing
        if opcode in _SLOTS:
            if height >= _SLOTS[opcode] and self._options.storage:
                slots, slot = self._touch(frame.address).slots, stack[-1]
                if slot not in slots:
                    self._budget.take(_SLOT_BYTES)
                    slots[slot] = self._state.storage(frame.address, slot)
        elif opcode in _FIRST:
            if height:
                self._touch(_address(stack[-1]))
        elif opcode in _CALLS:
            if height >= _CALLS[opcode]:
                self._touch_callee(_address(stack[-2]))
        elif opcode == _CREATE and height >= 3:
            self._touch(created_address(frame.address, self._state.nonce(frame.address)))
        elif opcode == _CREATE2 and height >= 4:
            offset, size, salt = stack[-2], stack[-3], stack[-4]
            # Memory that is not there yet reads as zeros; the gas was just found to pay for it.
            initcode = bytes(frame.memory[offset : offset + size]).ljust(size, b"\0")
            seed = b"\xff" + frame.address + salt.to_bytes(32, "big") + keccak(initcode)
            self._touch(Address(keccak(seed)[12:]))

    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None:
        """What a message is sent to was noted at the step that sent it."""

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """What was touched stays noted."""

    def result(self, outcome: TransactionResult) -> dict[str, Any]:
        gone = frozenset(self._state.destructed())
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for address, seen in self._seen.items():
            changed: dict[str, Any] | None = None
            slots = seen.slots
            if self._options.changes and address not in gone:
                changed = self._changes(address, seen)
                if changed is None:
                    continue
                after[f"0x{address.hex()}"] = changed
                slots = {
                    slot: value
                    for slot, value in slots.items()
                    if value and value != self._state.storage(address, slot)
                }
            if self._options.empty or seen.account != EMPTY_ACCOUNT or any(seen.slots.values()):
                before[f"0x{address.hex()}"] = _account(seen, slots)
        return {"pre": before, "post": after} if self._options.changes else before

    def _changes(self, address: Address, seen: _Seen) -> dict[str, Any] | None:
        """What is unlike before, None when nothing is; a slot that became 0 is left out."""
        old, now = seen.account, self._state.account(address) or EMPTY_ACCOUNT
        changed: dict[str, Any] = {}
        if now.balance != old.balance:
            changed["balance"] = hex(now.balance)
        if now.nonce != old.nonce:
            changed["nonce"] = now.nonce
        if now.code_hash != old.code_hash:
            changed["codeHash"] = f"0x{now.code_hash.hex()}"
            if self._options.code:
                changed["code"] = f"0x{self._state.code(address).hex()}"
        new = {slot: self._state.storage(address, slot) for slot in seen.slots}
        slots = {slot: value for slot, value in new.items() if value != seen.slots[slot]}
        if not changed and not slots:
            return None
        if any(slots.values()):
            changed["storage"] = _words({slot: value for slot, value in slots.items() if value})
        return changed


def _account(seen: _Seen, slots: dict[int, int]) -> dict[str, Any]:
    fields: dict[str, Any] = {"balance": hex(seen.account.balance)}
    if seen.account.nonce:
        fields["nonce"] = seen.account.nonce
    if seen.account.code_hash != EMPTY_CODE_HASH:
        fields["codeHash"] = f"0x{seen.account.code_hash.hex()}"
    if seen.code:
        fields["code"] = f"0x{seen.code.hex()}"
    if slots:
        fields["storage"] = _words(slots)
    return fields


def _words(slots: dict[int, int]) -> dict[str, str]:
    return {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in slots.items()}


def _address(word: int) -> Address:
    return Address((word & (2**160 - 1)).to_bytes(20, "big"))
