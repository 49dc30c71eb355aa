"""A state changed directly, as what a ledger can be told of (decision 0007)."""

from collections.abc import Callable, Mapping

from chain.changes import Changes
from chain.commitment import commit
from chain.state import Account, Delta, State
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address
from chain.views import TrieView


def amended(view: TrieView, change: Callable[[State], object]) -> Changes | None:
    """What `change` does to a state; None for nothing.

    Accounts that have nothing are none afterwards (EIP-161).
    """
    state = State(view)
    change(state)
    delta = state.delta()
    delta = _without(
        delta,
        {
            address: account
            for address, account in delta.accounts.items()
            if not any(delta.storage.get(address, {}).values())
        },
    )
    if not delta.accounts:
        return None
    changes = commit(view, delta)
    fewer = _without(delta, changes.accounts)  # which know the storage that is left
    return changes if fewer is delta else commit(view, fewer)


def _without(delta: Delta, known: Mapping[Address, Account | None]) -> Delta:
    """The delta without those accounts that have nothing, as `known` tells them."""
    empty = [
        address
        for address, account in known.items()
        if account is not None and _is_empty(account) and delta.accounts.get(address) is not None
    ]
    if not empty:
        return delta
    return Delta(
        {**delta.accounts, **dict.fromkeys(empty)}, delta.storage, delta.wiped, delta.codes
    )


def _is_empty(account: Account) -> bool:
    return (
        account.nonce == 0
        and account.balance == 0
        and account.code_hash == EMPTY_CODE_HASH
        and account.storage_root == EMPTY_ROOT
    )
