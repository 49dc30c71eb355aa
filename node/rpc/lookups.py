"""Questions about more than one record: an account whole, a sender's transaction, what is kept."""

from bisect import bisect_left

from chain.errors import Reason, Rejected
from chain.state import EMPTY_ACCOUNT
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Height
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import Json, data, mined_transaction_json, pending_transaction_json
from node.rpc.parameters import UINT64_MAX, BlockTag, Index
from node.rpc.registry import method


@method("eth_getAccountInfo")
async def get_account_info(ctx: Context, address: Address, block: BlockTag = "latest") -> Json:
    """An account's balance, nonce and code."""
    view = ctx.view(block)
    account = view.account(address)
    if account is None:
        return {"balance": "0x0", "nonce": "0x0", "code": "0x"}
    code = b"" if account.code_hash == EMPTY_CODE_HASH else view.code(account.code_hash)
    return {"balance": hex(account.balance), "nonce": hex(account.nonce), "code": data(code)}


@method("eth_getAccount")
async def get_account(ctx: Context, address: Address, block: BlockTag = "latest") -> Json:
    """An account as its leaf in the state's trie has it; an empty one where there is none."""
    account = ctx.view(block).account(address) or EMPTY_ACCOUNT
    if ctx.fork is not None and account.storage_root != EMPTY_ROOT:
        raise Rejected(Reason.UNPROVABLE, "the storage root of an account on a forked ledger")
    return {
        "balance": hex(account.balance),
        "nonce": hex(account.nonce),
        "storageRoot": data(account.storage_root),
        "codeHash": data(account.code_hash),
    }


@method("eth_getTransactionBySenderAndNonce")
async def get_transaction_by_sender(ctx: Context, sender: Address, nonce: Index) -> Json | None:
    """A sender's transaction with a nonce, of the chain or of the pool."""
    for waiting in ctx.node.mempool.of_sender(sender):
        for checked in waiting:
            if checked.transaction.nonce == nonce:
                return pending_transaction_json(checked.transaction, sender)
    found: Json | None = await ctx.heavy.run(mined_by_nonce, ctx, sender, nonce)
    return found


def mined_by_nonce(ctx: Context, sender: Address, nonce: int) -> Json | None:
    """A sender's transaction of the chain with a nonce.

    Searches the heights for the first at which the sender's nonce was passed. An account
    that signed an authorization has passed nonces without transactions.
    """
    ledger = ctx.ledger
    oldest, newest = ledger.oldest_state, ledger.height

    def passed(height: int) -> bool:
        account = ctx.view_at(Height(height)).account(sender)
        return account is not None and account.nonce > nonce

    if not passed(newest):
        return None
    if passed(oldest):
        # Genesis gave the nonce, or the state that would tell is gone: the index is left.
        return _indexed(ctx, sender, nonce, range(ledger.indexed_from, oldest + 1))
    height = Height(bisect_left(range(newest + 1), True, lo=oldest, key=passed))
    return _in_block(ctx, sender, nonce, height)


def _in_block(ctx: Context, sender: Address, nonce: int, height: Height) -> Json | None:
    ledger = ctx.ledger
    block, senders = ledger.block(height), ledger.senders(height)
    for index, transaction in enumerate(block.transactions):
        if senders[index] == sender and transaction.nonce == nonce:
            return mined_transaction_json(
                transaction, sender, block.header, ledger.hash_at(height), index
            )
    return None


def _indexed(ctx: Context, sender: Address, nonce: int, where: range) -> Json | None:
    """The transaction among those that the index by address lists; nonces rise with height."""
    ledger = ctx.ledger

    def next_nonce(height: int) -> int:
        """The nonce of the sender's first transaction from a height on."""
        rest = range(height, ledger.height + 1)
        for found in ledger.appearances(sender, rest, newest_first=False):
            block, senders = (
                ledger.block(Height(found.height)),
                ledger.senders(Height(found.height)),
            )
            for index in found.indices:
                if senders[index] == sender:
                    return block.transactions[index].nonce
        return UINT64_MAX

    # The first height after which all of the sender's transactions have higher nonces.
    after = bisect_left(where, True, key=lambda height: next_nonce(height + 1) > nonce)
    found = _in_block(ctx, sender, nonce, Height(where[after])) if after < len(where) else None
    if found is None and where.start:
        raise server_error(f"transactions below height {where.start} are not indexed by address")
    return found


@method("eth_capabilities")
async def capabilities(ctx: Context) -> Json:
    """What this node can answer about, and from which height on."""
    ledger = ctx.ledger
    whole: Json = {"disabled": False, "oldestBlock": "0x0"}
    state: Json = {"disabled": False, "oldestBlock": hex(ledger.oldest_state)}
    if ledger.retain_heights is not None:
        state["deleteStrategy"] = {
            "type": "window",
            "retentionBlocks": hex(ledger.retain_heights + 1),
        }
    height = ledger.height
    return {
        "head": {"number": hex(height), "hash": data(ledger.hash_at(height))},
        "state": state,
        "tx": whole,
        "logs": whole,
        "receipts": whole,
        "blocks": whole,
        "stateproofs": state,
    }
