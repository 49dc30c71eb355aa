"""Accounts, code, storage and proofs at any retained height."""

from typing import Final

from chain.state import Account
from chain.types import EMPTY_CODE_HASH, Address
from node.rpc.context import Context
from node.rpc.errors import CLIENT_LIMIT_EXCEEDED, RpcError, invalid_params
from node.rpc.formats import Json, data, word
from node.rpc.parameters import BlockTag, Slot, SlotsByAccount, StorageKeys
from node.rpc.registry import method

# geth's limit on the slots of one request.
SLOTS_MAX: Final = 1024


@method("eth_getBalance", of_head=True)
async def get_balance(ctx: Context, address: Address, block: BlockTag = "latest") -> int:
    """An account's balance in wei."""
    account = ctx.view(block).account(address)
    return 0 if account is None else account.balance


@method("eth_getTransactionCount", of_head=True)
async def get_transaction_count(ctx: Context, address: Address, block: BlockTag = "latest") -> int:
    """An account's nonce; "pending" counts the transactions that wait in the pool."""
    if block == "pending":
        return ctx.node.mempool.next_nonce(address)
    account = ctx.view(block).account(address)
    return 0 if account is None else account.nonce


@method("eth_getCode", of_head=True)
async def get_code(ctx: Context, address: Address, block: BlockTag = "latest") -> bytes:
    """A contract's code; empty for an account without."""
    view = ctx.view(block)
    account = view.account(address)
    if account is None or account.code_hash == EMPTY_CODE_HASH:
        return b""
    return view.code(account.code_hash)


@method("eth_getStorageAt", of_head=True)
async def get_storage_at(
    ctx: Context, address: Address, slot: Slot, block: BlockTag = "latest"
) -> str:
    """The 32-byte word in a contract's storage slot."""
    return word(ctx.view(block).storage(address, slot))


@method("eth_getStorageValues")
def get_storage_values(
    ctx: Context, wanted: SlotsByAccount, block: BlockTag = "latest"
) -> dict[str, list[str]]:
    """The words of many slots of many contracts."""
    count = sum(len(slots) for slots in wanted.values())
    if not count:
        raise invalid_params("empty request")
    if count > SLOTS_MAX:
        raise RpcError(CLIENT_LIMIT_EXCEEDED, f"too many slots (max {SLOTS_MAX})")
    view = ctx.view(block)
    return {
        data(address): [word(view.storage(address, slot)) for slot in slots]
        for address, slots in wanted.items()
    }


@method("eth_getProof", of_head=True)
def get_proof(
    ctx: Context, address: Address, keys: StorageKeys, block: BlockTag = "latest"
) -> Json:
    """An account and storage slots with the trie nodes that prove them (EIP-1186)."""
    if len(keys) > SLOTS_MAX:
        raise invalid_params(f"too many storage keys requested (max {SLOTS_MAX}, got {len(keys)})")
    height = ctx.height(block)
    ctx.view_at(height)  # refuses a height whose state is gone
    proof = ctx.ledger.prove(height, address, [slot for slot, _ in keys])
    account = proof.account
    storage = [
        {
            # A key of full length is given back as data, a shorter one as a quantity.
            "key": word(slot) if size == 32 else hex(slot),
            "value": hex(entry.value),
            "proof": [data(node) for node in entry.proof],
        }
        for (slot, size), entry in zip(keys, proof.storage, strict=True)
    ]
    return {
        "address": data(address),
        "accountProof": [data(node) for node in proof.proof],
        "storageProof": storage,
        **_account_fields(account),
    }


def _account_fields(account: Account | None) -> Json:
    """What a proof says about an account; zero hashes for one that is not there, as in geth."""
    if account is None:
        return {"balance": "0x0", "nonce": "0x0", "codeHash": word(0), "storageHash": word(0)}
    return {
        "balance": hex(account.balance),
        "nonce": hex(account.nonce),
        "codeHash": data(account.code_hash),
        "storageHash": data(account.storage_root),
    }
