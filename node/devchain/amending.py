"""A state changed directly, as what a ledger can be told of (decision 0007)."""

from collections.abc import Callable

from chain.state import Account, Delta, State, StateView
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT


def amended(view: StateView, change: Callable[[State], object]) -> Delta:
    """What `change` does to a state. Accounts that have nothing are none (EIP-161)."""
    state = State(view)
    change(state)
    delta = state.delta()
    accounts = dict(delta.accounts)
    for address, account in delta.accounts.items():
        if account is not None and _is_empty(account):
            if any(delta.storage.get(address, {}).values()):
                continue
            accounts[address] = None
    return Delta(accounts, delta.storage, delta.wiped, delta.codes)


def _is_empty(account: Account) -> bool:
    return (
        account.nonce == 0
        and account.balance == 0
        and account.code_hash == EMPTY_CODE_HASH
        and account.storage_root == EMPTY_ROOT
    )
