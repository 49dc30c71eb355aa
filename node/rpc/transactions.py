"""Transactions and receipts by hash and by place; sending signed ones."""

from chain.types import Hash, Height
from node.rpc.blocks import receipts_at
from node.rpc.context import Context
from node.rpc.formats import Json, mined_transaction_json, pending_transaction_json
from node.rpc.parameters import BlockHash, BlockNumber, Index
from node.rpc.registry import method


@method("eth_getTransactionByHash")
async def get_transaction_by_hash(ctx: Context, transaction_hash: Hash) -> Json | None:
    """A transaction of the chain or of the pool."""
    place = ctx.ledger.locate(transaction_hash)
    if place is not None:
        return await ctx.read(place[0], _transaction, ctx, *place)
    checked = ctx.node.mempool.get(transaction_hash)
    if checked is None:
        return None
    return pending_transaction_json(checked.transaction, checked.sender)


@method("eth_getTransactionByBlockHashAndIndex")
async def get_transaction_by_block_hash(
    ctx: Context, block_hash: Hash, index: Index
) -> Json | None:
    """A transaction by its place."""
    return await _transaction_at(ctx, ctx.find(BlockHash(block_hash)), index)


@method("eth_getTransactionByBlockNumberAndIndex")
async def get_transaction_by_block_number(
    ctx: Context, block: BlockNumber, index: Index
) -> Json | None:
    """A transaction by its place."""
    return await _transaction_at(ctx, ctx.find(block), index)


async def _transaction_at(ctx: Context, height: Height | None, index: int) -> Json | None:
    return None if height is None else await ctx.read(height, _transaction, ctx, height, index)


def _transaction(ctx: Context, height: Height, index: int) -> Json | None:
    block = ctx.ledger.block(height)
    if index >= len(block.transactions):
        return None
    return mined_transaction_json(
        block.transactions[index],
        ctx.ledger.senders(height)[index],
        block.header,
        ctx.ledger.hash_at(height),
        index,
    )


@method("eth_getRawTransactionByHash")
async def get_raw_transaction_by_hash(ctx: Context, transaction_hash: Hash) -> bytes:
    """A transaction's canonical bytes; none for one that is not known."""
    place = ctx.ledger.locate(transaction_hash)
    if place is not None:
        return await _raw_at(ctx, *place)
    checked = ctx.node.mempool.get(transaction_hash)
    return b"" if checked is None else checked.transaction.raw


@method("eth_getRawTransactionByBlockHashAndIndex")
async def get_raw_transaction_by_block_hash(ctx: Context, block_hash: Hash, index: Index) -> bytes:
    """A transaction's canonical bytes by its place."""
    return await _raw_at(ctx, ctx.find(BlockHash(block_hash)), index)


@method("eth_getRawTransactionByBlockNumberAndIndex")
async def get_raw_transaction_by_block_number(
    ctx: Context, block: BlockNumber, index: Index
) -> bytes:
    """A transaction's canonical bytes by its place."""
    return await _raw_at(ctx, ctx.find(block), index)


async def _raw_at(ctx: Context, height: Height | None, index: int) -> bytes:
    return b"" if height is None else await ctx.read(height, _raw, ctx, height, index)


def _raw(ctx: Context, height: Height, index: int) -> bytes:
    transactions = ctx.ledger.block(height).transactions
    return transactions[index].raw if index < len(transactions) else b""


@method("eth_getTransactionReceipt")
async def get_transaction_receipt(ctx: Context, transaction_hash: Hash) -> Json | None:
    """The outcome of a transaction that is in a block."""
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        return None
    height, index = place
    return (await ctx.read(height, receipts_at, ctx, height, index))[0]


@method("eth_sendRawTransaction", together=True)
async def send_raw_transaction(ctx: Context, raw: bytes) -> Hash:
    """Pool a signed transaction, given with its blobs if it has any; gives its hash."""
    return await ctx.node.submit(raw)
