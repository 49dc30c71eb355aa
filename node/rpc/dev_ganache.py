"""Developers' methods: the names under which ganache sends for accounts, and for its miner.

ganache has a list of accounts with a password each, locked and unlocked; here the accounts
with keys are never locked, and any other that is added is sent for without a signature.
"""

from chain.types import Address, Hash
from node.rpc.accounts import accounts, send_transaction, sign_only
from node.rpc.context import Context
from node.rpc.dev_registry import OWN, Amount, control
from node.rpc.errors import server_error
from node.rpc.formats import Json
from node.rpc.requests import CallRequest


@control({"evm_addAccount": OWN})
async def add_account(ctx: Context, address: Address, password: str = "") -> bool:
    """Have an account that personal_unlockAccount can unlock; whether it was not there before."""
    return ctx.developer.add_account(address) if address not in ctx.node.accounts else False


@control({"evm_removeAccount": OWN})
async def remove_account(ctx: Context, address: Address, password: str = "") -> bool:
    """Forget an account of evm_addAccount; whether it was there."""
    ctx.developer.stop_impersonating(address)
    return ctx.developer.remove_account(address)


@control({"personal_unlockAccount": OWN})
async def unlock_account(
    ctx: Context, address: Address, password: str = "", seconds: Amount | None = None
) -> bool:
    """Let eth_sendTransaction send for an account of evm_addAccount; for those with keys it may."""
    if address not in ctx.node.accounts:
        if not ctx.developer.was_added(address):
            raise server_error("cannot unlock account; account not found")
        ctx.developer.impersonate(address)
    return True


@control({"personal_lockAccount": OWN})
async def lock_account(ctx: Context, address: Address) -> bool:
    """End that; whether the account was unlocked, which those with keys stay."""
    return ctx.developer.stop_impersonating(address)


@control({"personal_listAccounts": OWN})
async def list_accounts(ctx: Context) -> list[str]:
    """As eth_accounts."""
    found: list[str] = await accounts(ctx)
    return found


@control({"personal_sendTransaction": OWN})
async def send_personal(ctx: Context, request: CallRequest, password: str = "") -> Hash:
    """As eth_sendTransaction; the password is not needed."""
    transaction_hash: Hash = await send_transaction(ctx, request)
    return transaction_hash


@control({"personal_signTransaction": OWN})
async def sign_personal(ctx: Context, request: CallRequest, password: str = "") -> Json:
    """As eth_signTransaction; the password is not needed."""
    signed: Json = await sign_only(ctx, request)
    return signed
