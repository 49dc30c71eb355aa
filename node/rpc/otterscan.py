"""ots_: what the explorer Otterscan asks about transactions and blocks (API level 8).

Numbers are JSON numbers where Erigon, for which Otterscan was made, has them so. The
search by address is in `otterscan_search`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from chain import headers
from chain.transactions import effective_gas_price
from chain.types import EMPTY_CODE_HASH, Address, Hash, Height
from node.rpc.blocks import receipts_at
from node.rpc.context import Context
from node.rpc.erigon import LATEST, AnyBlock, NamedBlock
from node.rpc.errors import server_error
from node.rpc.formats import Json, block_json, data
from node.rpc.lookups import mined_by_nonce
from node.rpc.parameters import BlockHash, Count
from node.rpc.registry import method
from node.rpc.replay import replay_of, run_trace
from node.rpc.trace_options import TraceOptions
from node.tracing import Budget, Subject
from node.tracing.calls import Message, MessageTracer
from node.tracing.internal import entries, operations
from node.tracing.parity import parts

_API_LEVEL: Final = 8
_PAGE_MAX: Final = 1_000
_SELECTOR: Final = 10  # characters of a call's selector: Otterscan needs no more of the input


@method("ots_getApiLevel")
async def get_api_level(ctx: Context) -> Any:
    """The level of the API that these methods make up, a JSON number."""
    return msgspec.Raw(b"%d" % _API_LEVEL)


@method("ots_hasCode")
async def has_code(ctx: Context, address: Address, block: AnyBlock = LATEST) -> bool:
    """Whether an account has code after a block."""
    account = ctx.view(block.tag).account(address)
    return account is not None and account.code_hash != EMPTY_CODE_HASH


@method("ots_traceTransaction")
async def trace_transaction(ctx: Context, transaction_hash: Hash) -> list[dict[str, Any]]:
    """All messages of a transaction, in order, with their depths."""
    return await _messages(ctx, transaction_hash, entries)


@method("ots_getInternalOperations")
async def get_internal_operations(ctx: Context, transaction_hash: Hash) -> list[dict[str, Any]]:
    """What contracts transferred (0), destroyed (1) and created (2, 3) in a transaction."""
    return await _messages(ctx, transaction_hash, operations)


async def _messages(
    ctx: Context,
    transaction_hash: Hash,
    show: Callable[[Message, Subject], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        raise server_error(f"transaction {data(transaction_hash)} not found")
    height, index = place

    def trace(budget: Budget, _: TraceOptions) -> Any:
        replay = replay_of(ctx, height)
        replay.skip(index, budget)
        return replay.trace_next(budget, partial(MessageTracer, show=show))

    found: list[dict[str, Any]] = await run_trace(ctx, trace)
    return found


@method("ots_getTransactionError")
async def get_transaction_error(ctx: Context, transaction_hash: Hash) -> str:
    """What a transaction reverted with; nothing for one that succeeded or ran out of gas."""
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        raise server_error(f"transaction {data(transaction_hash)} not found")
    height, index = place
    if ctx.ledger.receipts(height)[index].status:
        return "0x"

    def trace(budget: Budget, _: TraceOptions) -> Any:
        replay = replay_of(ctx, height)
        replay.skip(index, budget)
        return replay.trace_next(budget, parts(()))["output"]

    output: str = await run_trace(ctx, trace)
    return output


@method("ots_getBlockDetails")
def get_block_details(ctx: Context, block: NamedBlock) -> Json | None:
    """A block without its transactions, with their number, their fees and what was issued."""
    return _details(ctx, ctx.find(block.number))


@method("ots_getBlockDetailsByHash")
def get_block_details_by_hash(ctx: Context, block_hash: Hash) -> Json | None:
    """A block by its hash, as by ots_getBlockDetails."""
    return _details(ctx, ctx.find(BlockHash(block_hash)))


def _details(ctx: Context, height: Height | None) -> Json | None:
    if height is None:
        return None
    ledger = ctx.ledger
    block = ledger.block(height)
    shown = block_json(block, ledger.hash_at(height), (), full=False)
    shown["transactionCount"] = len(shown.pop("transactions"))
    shown["logsBloom"] = None
    fees = before = 0
    base_fee = block.header.base_fee or 0
    for transaction, receipt in zip(block.transactions, ledger.receipts(height), strict=True):
        used = receipt.cumulative_gas_used - before
        before = receipt.cumulative_gas_used
        fees += used * effective_gas_price(transaction, base_fee)
    amounts = [0]
    if height:
        rewards = headers.rewards(block.header, block.ommers, ctx.fork_of(block.header))
        amounts = [amount for _, amount in rewards] or [0]
    *uncles, whole = amounts
    return {
        "block": shown,
        "issuance": {
            "blockReward": hex(whole),
            "uncleReward": hex(sum(uncles)),
            "issuance": hex(sum(amounts)),
        },
        "totalFees": hex(fees),
    }


@method("ots_getBlockTransactions")
def get_block_transactions(
    ctx: Context, block: NamedBlock, page: Count, size: Count
) -> Json | None:
    """A page of a block's transactions and receipts; page 0 has the last ones."""
    height = ctx.find(block.number)
    if height is None:
        return None
    if not 0 < size <= _PAGE_MAX:
        raise server_error(f"max allowed page size: {_PAGE_MAX}")
    ledger = ctx.ledger
    shown = block_json(
        ledger.block(height), ledger.hash_at(height), ledger.senders(height), full=True
    )
    count = len(shown["transactions"])
    end = max(count - page * size, 0)
    where = slice(max(end - size, 0), end)
    shown["transactionCount"] = count
    shown["logsBloom"] = None
    shown["transactions"] = shown["transactions"][where]
    for transaction in shown["transactions"]:
        transaction["input"] = transaction["input"][:_SELECTOR]
    receipts = receipts_at(ctx, height)[where]
    for receipt in receipts:
        receipt["logs"] = receipt["logsBloom"] = None
    return {"fullblock": shown, "receipts": receipts}


@method("ots_getTransactionBySenderAndNonce")
async def get_transaction_by_sender(ctx: Context, sender: Address, nonce: Count) -> str | None:
    """The hash of a sender's mined transaction with a nonce."""
    found: Json | None = await ctx.heavy.run(mined_by_nonce, ctx, sender, nonce)
    return None if found is None else str(found["hash"])
