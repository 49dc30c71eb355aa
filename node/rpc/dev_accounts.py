"""Developers' methods: sending, and signing, for accounts whose keys nobody has."""

from typing import Any

from chain.types import Address, Hash
from node.rpc.accounts import fill_for, sign_for
from node.rpc.context import Context
from node.rpc.dev_registry import OWN, control
from node.rpc.errors import invalid_params
from node.rpc.parameters import parse_address, parse_data
from node.rpc.registry import method
from node.rpc.requests import CallRequest


@control({"anvil_impersonateAccount": None, "hardhat_impersonateAccount": True})
async def impersonate(ctx: Context, address: Address) -> None:
    """Let eth_sendTransaction send for an account, contracts too, without its signature."""
    ctx.developer.impersonate(address)


@control({"anvil_stopImpersonatingAccount": None, "hardhat_stopImpersonatingAccount": OWN})
async def stop_impersonating(ctx: Context, address: Address) -> bool:
    """End that; whether the account was impersonated."""
    return ctx.developer.stop_impersonating(address)


@control({"anvil_autoImpersonateAccount": None, "hardhat_autoImpersonateAccount": True})
async def impersonate_all(ctx: Context, on: bool) -> None:
    """Whether every account is impersonated."""
    ctx.developer.automatic = on


@control({"anvil_impersonateSignature": None})
async def impersonate_signature(ctx: Context, signature: Any, signer: Any = None) -> None:
    """Have contracts recover an address from a signature (r, s, v), whatever it is of.

    Both may be given as one list, which is anvil's form.
    """
    try:
        if isinstance(signature, list):
            signature, signer = signature
        found = parse_data(signature), parse_address(signer)
    except ValueError as error:
        raise invalid_params(f"invalid argument 0: {error}") from None
    ctx.developer.producer.signatures.impersonate(*found)
    ctx.surroundings.forget()


@method("eth_sendUnsignedTransaction", developer_only=True)
async def send_unsigned(ctx: Context, request: CallRequest) -> Hash:
    """As eth_sendTransaction, for any account."""
    developer = ctx.developer
    sender = request.sender
    known = sender is None or sender in ctx.node.accounts or developer.impersonates(sender)
    if known or sender is None:
        filled = await fill_for(ctx, request)
    else:
        developer.impersonate(sender)
        try:
            filled = await fill_for(ctx, request)
        finally:
            developer.stop_impersonating(sender)
    async with ctx.signing:
        nonce = request.nonce
        if nonce is None:
            nonce = ctx.node.mempool.next_nonce(filled.sender)
        checked = sign_for(ctx, filled, nonce, ctx.node.next_fork())
        transaction_hash = ctx.node.admit(checked)
    await ctx.node.settled(transaction_hash)
    return transaction_hash
