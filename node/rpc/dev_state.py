"""Developers' methods: the state set directly, without a transaction (decision 0007)."""

from collections.abc import Callable
from typing import Any, NewType

from chain.state import EMPTY_ACCOUNT, State
from chain.types import WORD, Address
from node.rpc.context import Context
from node.rpc.dev_registry import Amount, control
from node.rpc.errors import invalid_params
from node.rpc.parameters import UINT64_MAX, parse_data
from node.rpc.registry import PARSERS

Code = NewType("Code", bytes)  # as compilers write it too: without 0x, or nothing for none


def _parse_code(value: Any) -> bytes:
    if isinstance(value, str) and not value.startswith(("0x", "0X")):
        value = "0x" + value
    return parse_data(value)


PARSERS[Code] = _parse_code


def _on(address: Address, change: Callable[[State], None]) -> Callable[[State], None]:
    """The change made on an account that exists, if it did not before."""

    def begin(state: State) -> None:
        if state.account(address) is None:
            state.override_account(address, EMPTY_ACCOUNT)
        change(state)

    return begin


@control(
    {
        "anvil_setBalance": None,
        "hardhat_setBalance": True,
        "evm_setAccountBalance": True,
        "tenderly_setBalance": None,
    }
)
async def set_balance(ctx: Context, address: Address, balance: Amount) -> None:
    """What an account has, in wei."""
    await ctx.developer.amend(lambda state: state.set_balance(address, balance))


@control({"anvil_addBalance": None, "hardhat_addBalance": True, "tenderly_addBalance": None})
async def add_balance(ctx: Context, address: Address, amount: Amount) -> None:
    """So much wei more for an account, at most 2**256 - 1 in all."""
    await ctx.developer.amend(
        lambda state: state.set_balance(address, min(state.balance(address) + amount, WORD))
    )


@control({"anvil_setNonce": None, "hardhat_setNonce": True, "evm_setAccountNonce": True})
async def set_nonce(ctx: Context, address: Address, nonce: Amount) -> None:
    """The nonce of an account's next transaction."""
    if nonce > UINT64_MAX:
        raise invalid_params("a nonce is below 2**64")
    await ctx.developer.amend(lambda state: state.set_nonce(address, nonce))


@control({"anvil_setCode": None, "hardhat_setCode": True, "evm_setAccountCode": True})
async def set_code(ctx: Context, address: Address, code: Code) -> None:
    """The code of an account; none makes it an account without code."""
    await ctx.developer.amend(_on(address, lambda state: state.set_code(address, code)))


@control(
    {
        "anvil_setStorageAt": True,
        "hardhat_setStorageAt": True,
        "evm_setAccountStorageAt": True,
        "tenderly_setStorageAt": True,
    }
)
async def set_storage(ctx: Context, address: Address, slot: Amount, value: Amount) -> None:
    """A slot of an account's storage."""
    await ctx.developer.amend(_on(address, lambda state: state.set_storage(address, slot, value)))
