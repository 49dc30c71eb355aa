"""stateDiff: every account that a transaction changed, field by field, in Parity's notation.

"=" is unchanged, "+" what came into being, "-" what is gone, "*" a change with both sides.
"""

from collections.abc import Mapping
from typing import Any, Final

from chain.machine import Halt
from chain.state import Account, State, StateView
from chain.transition import TransactionResult
from chain.types import EMPTY_CODE_HASH, Address, Hash
from node.tracing.tracer import Budget, Subject

_ACCOUNT_BYTES: Final = 300  # of an answer, without code
_SLOT_BYTES: Final = 240
_FIELDS: Final = ("balance", "code", "nonce")


class StateDiffTracer:
    """Compares the state before the transaction with that after it."""

    wants_steps = False

    def __init__(self, subject: Subject, budget: Budget) -> None:
        self._state: State = subject.state
        self._view: StateView = subject.state.view
        self._budget = budget
        self._known = subject.state.known()

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        """Not asked for."""

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
        self._budget.check_time()

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """What counts is how things stand at the end."""

    def result(self, outcome: TransactionResult) -> dict[str, Any]:
        now = self._state.known()
        diff: dict[str, Any] = {}
        for address, after in now.accounts.items():
            before = self._before(address)
            if after is None and before is None:
                continue
            stored = self._stored(address, before, after, now.slots.get(address, {}))
            if before != after or stored:
                self._budget.take(_ACCOUNT_BYTES)
                diff[f"0x{address.hex()}"] = self._account(before, after, stored)
        return diff

    def _before(self, address: Address) -> Account | None:
        if address in self._known.accounts:
            return self._known.accounts[address]
        return self._view.account(address)

    def _stored(
        self,
        address: Address,
        before: Account | None,
        after: Account | None,
        slots: Mapping[int, int],
    ) -> dict[str, Any]:
        """The slots that differ. Of an account that is gone, those that had been read before."""
        known = self._known.slots.get(address, {})
        empty = before is None or address in self._known.wiped
        changed: dict[str, Any] = {}
        for slot in {**known, **slots}:
            old = known.get(slot)
            if old is None:
                old = 0 if empty else self._view.storage(address, slot)
            new = 0 if after is None else slots.get(slot, 0)
            if old != new:
                self._budget.take(_SLOT_BYTES)
                changed[_word(slot)] = _difference(
                    None if before is None else _word(old), None if after is None else _word(new)
                )
        return changed

    def _account(
        self, before: Account | None, after: Account | None, stored: dict[str, Any]
    ) -> dict[str, Any]:
        old, new = self._shown(before), self._shown(after)
        fields = {name: _difference(old.get(name), new.get(name)) for name in _FIELDS}
        return {**fields, "storage": stored}

    def _shown(self, account: Account | None) -> dict[str, str]:
        if account is None:
            return {}
        code = self._code(account.code_hash)
        return {"balance": hex(account.balance), "code": code, "nonce": hex(account.nonce)}

    def _code(self, code_hash: Hash) -> str:
        if code_hash == EMPTY_CODE_HASH:
            return "0x"
        code = self._state.code_of(code_hash)
        self._budget.take(2 * len(code))
        return f"0x{code.hex()}"


def _difference(before: str | None, after: str | None) -> Any:
    if before is None:
        return {"+": after}
    if after is None:
        return {"-": before}
    return "=" if before == after else {"*": {"from": before, "to": after}}


def _word(value: int) -> str:
    return f"0x{value:064x}"
