"""Developers' methods: balances and allowances of ERC-20 tokens, set where the token keeps them.

Which slot that is shows in what the token's own view function reads: each slot read is tried
with values of its own, and the one whose values come back is it. It may share the slot.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import Struct

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
_WORD: Final = (1 << 256) - 1
_WIDTH_MIN: Final = 32  # bits; what has fewer is no amount


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


class _Field(Struct, frozen=True):
    """The bits of a slot that an amount stands in."""

    address: Address
    slot: int
    shift: int
    width: int

    def written(self, word: int, amount: int) -> int:
        """The slot's word with this amount; what else stands in it stays."""
        return word & ~((1 << self.width) - 1 << self.shift) | amount << self.shift


def _find(ctx: Context, token: Address, question: bytes, amount: int) -> Callable[[State], None]:
    where = scene(ctx, "latest")
    request = CallRequest(to=token, data=question)
    tracer = AccessTracer((), frozenset())
    _answer(ctx, where, request, tracer)

    def asked(address: Address, slot: int, word: int) -> int | None:
        """What the token says when a slot holds a word."""
        probe = AccountOverride(state_diff={slot: word})
        view = OverriddenView(where.view, StateOverrides({address: probe}))
        tried = Scene(view, where.block, where.fork, where.machine, where.deadline)
        return _answer(ctx, tried, request, None)

    for address, keys in tracer.access_list():
        for key in keys:
            slot = int.from_bytes(key, "big")
            field = _field(address, slot, partial(asked, address, slot))
            if field is None:
                continue
            if amount >> field.width:
                raise server_error(
                    f"0x{token.hex()} keeps amounts of {field.width} bits; this one has "
                    f"{amount.bit_length()}"
                )
            if asked(address, slot, field.written(where.view.storage(address, slot), amount)) == (
                amount
            ):
                return _setter(field, amount)
    raise server_error(f"no slot of 0x{token.hex()} holds just this amount")


def _field(address: Address, slot: int, asked: Callable[[int], int | None]) -> _Field | None:
    """Where in a slot the amount stands; None when it is not in this one.

    All bits set tell how many it has, and a number that is moved along, a byte each time, where.
    """
    most = asked(_WORD)
    width = 256 if most is None else most.bit_length()
    if width < _WIDTH_MIN or (most is not None and most != (1 << width) - 1):
        return None
    probe = _PROBE & (1 << width) - 1
    for shift in range(0, 256 - width + 1, 8):
        if asked(probe << shift) == probe:
            return _Field(address, slot, shift, width)
    return None


def _setter(field: _Field, amount: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        word = state.storage(field.address, field.slot)
        state.set_storage(field.address, field.slot, field.written(word, amount))

    return change


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
