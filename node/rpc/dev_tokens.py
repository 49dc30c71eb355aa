"""Developers' methods: balances and allowances of ERC-20 tokens, set where the token keeps them.

Which slot that is shows in what the token's own view function reads: each slot read is tried
with a value of its own, and the one whose value comes back is it.
"""

from collections.abc import Callable
from typing import Final

from chain.abi import encode_call
from chain.errors import Rejected
from chain.state import State
from chain.types import Address
from node.rpc.calls import Scene, run_call, scene
from node.rpc.context import Context
from node.rpc.dev_registry import Amount, control
from node.rpc.errors import RpcError, server_error
from node.rpc.gas import AccessTracer
from node.rpc.overrides import OverriddenView
from node.rpc.requests import AccountOverride, CallRequest, StateOverrides

_GAS: Final = 10_000_000
_PROBE: Final = 0x1234567890ABCDEF  # no token has just this


@control(
    {
        "anvil_dealERC20": None,
        "hardhat_dealERC20": None,
        "anvil_dealErc20": None,
        "anvil_setERC20Balance": None,
    }
)
async def deal_tokens(ctx: Context, owner: Address, token: Address, amount: Amount) -> None:
    """What an account has of a token, in the token's smallest unit; its supply stays."""
    await _set(ctx, token, encode_call("balanceOf(address)", owner), amount)


@control({"tenderly_setErc20Balance": None})
async def set_tokens(ctx: Context, token: Address, owner: Address, amount: Amount) -> None:
    """As anvil_dealERC20, with the token first."""
    await _set(ctx, token, encode_call("balanceOf(address)", owner), amount)


@control({"anvil_setERC20Allowance": None, "hardhat_setERC20Allowance": None})
async def set_allowance(
    ctx: Context, owner: Address, spender: Address, token: Address, amount: Amount
) -> None:
    """How much of an account's token another may spend."""
    question = encode_call("allowance(address,address)", owner, spender)
    await _set(ctx, token, question, amount)


async def _set(ctx: Context, token: Address, question: bytes, amount: int) -> None:
    """Have the token's view function answer `amount`."""
    change = await ctx.heavy.run(_find, ctx, token, question, amount)
    await ctx.developer.amend(change)


def _find(ctx: Context, token: Address, question: bytes, amount: int) -> Callable[[State], None]:
    where = scene(ctx, "latest")
    request = CallRequest(to=token, data=question)
    tracer = AccessTracer((), frozenset())
    _answer(ctx, where, request, tracer)
    for address, keys in tracer.access_list():
        for key in keys:
            slot = int.from_bytes(key, "big")
            probe = AccountOverride(state_diff={slot: _PROBE})
            view = OverriddenView(where.view, StateOverrides({address: probe}))
            tried = Scene(view, where.block, where.fork, where.machine, where.deadline)
            if _answer(ctx, tried, request, None) == _PROBE:
                return _setter(address, slot, amount)
    raise server_error(f"no slot of 0x{token.hex()} holds just this amount")


def _setter(address: Address, slot: int, amount: int) -> Callable[[State], None]:
    return lambda state: state.set_storage(address, slot, amount)


def _answer(
    ctx: Context, where: Scene, request: CallRequest, tracer: AccessTracer | None
) -> int | None:
    """The number that the call returns, if it does."""
    try:
        result = run_call(ctx, where, request, _GAS, tracer)
    except (Rejected, RpcError):
        return None
    if result.halt is not None or len(result.output) != 32:
        return None
    return int.from_bytes(result.output, "big")
