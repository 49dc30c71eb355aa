"""Blocks by number and hash, their receipts and uncles."""

from typing import Any

from chain import headers
from chain.blocks import Header
from chain.transactions import Checked
from chain.types import Hash, Height
from node.rpc.calls import next_header
from node.rpc.context import Context, WouldWait
from node.rpc.formats import Json, block_json, header_json, ommer_json, receipt_json, receipts_json
from node.rpc.parameters import BlockHash, BlockNumber, BlockTag, Index
from node.rpc.pending import build_pending, take_ready
from node.rpc.registry import method


@method("eth_blockNumber", of_head=True)
async def block_number(ctx: Context) -> int:
    """The height of the chain."""
    return ctx.ledger.height


@method("eth_chainId", of_head=True)
async def chain_id(ctx: Context) -> int:
    """The chain id that transactions sign for (EIP-155)."""
    return ctx.ledger.config.chain_id


@method("eth_syncing")
async def syncing(ctx: Context) -> bool | Json:
    """How far this node is with what it lacks, as geth tells it; false when it lacks nothing."""
    network = ctx.node.network
    progress = None if network is None else network.progress
    if progress is None:
        return False
    return {
        "startingBlock": hex(progress.started),
        "currentBlock": hex(progress.current),
        "highestBlock": hex(progress.highest),
    }


@method("eth_getBlockByNumber", of_head=True)
async def get_block_by_number(ctx: Context, block: BlockNumber, full: bool = False) -> Json | None:
    """A block by height or tag; "pending" is what the next one would be."""
    if block == "pending":
        if ctx.at_once:
            raise WouldWait
        ready = take_ready(ctx, next_header(ctx, ctx.header(ctx.ledger.height)))
        fields: Json = await ctx.heavy.run(_pending_block, ctx, ready, full)
        # What is not agreed on yet has no hash, as in geth.
        return {**fields, "hash": None, "nonce": None, "miner": None}
    height = ctx.find(block)
    return None if height is None else await ctx.read(height, _block, ctx, height, full)


@method("eth_getBlockByHash", of_head=True)
async def get_block_by_hash(ctx: Context, block_hash: Hash, full: bool = False) -> Json | None:
    """A block by its hash."""
    height = ctx.find(BlockHash(block_hash))
    return None if height is None else await ctx.read(height, _block, ctx, height, full)


def _pending_block(ctx: Context, ready: list[Checked], full: bool) -> Json:
    executed = build_pending(ctx, ready)
    return block_json(executed.block, executed.hash, executed.senders, full=full)


def _block(ctx: Context, height: Height, full: bool) -> Json:
    ledger = ctx.ledger
    senders = ledger.senders(height) if full else ()
    return block_json(ledger.block(height), ledger.hash_at(height), senders, full=full)


@method("eth_getHeaderByNumber", of_head=True)
async def get_header_by_number(ctx: Context, block: BlockNumber) -> Json | None:
    """A block by height or tag, without its body."""
    return _header(ctx, ctx.find(block))


@method("eth_getHeaderByHash", of_head=True)
async def get_header_by_hash(ctx: Context, block_hash: Hash) -> Json | None:
    """A block by its hash, without its body."""
    return _header(ctx, ctx.find(BlockHash(block_hash)))


def _header(ctx: Context, height: Height | None) -> Json | None:
    return None if height is None else header_json(ctx.header(height), ctx.ledger.hash_at(height))


@method("eth_getBlockTransactionCountByNumber", of_head=True)
async def count_transactions_by_number(ctx: Context, block: BlockNumber) -> int | None:
    """How many transactions a block has."""
    if block == "pending":
        return len(take_ready(ctx, next_header(ctx, ctx.header(ctx.ledger.height))))
    height = ctx.find(block)
    return None if height is None else await ctx.read_part(height, _count, ctx, height)


@method("eth_getBlockTransactionCountByHash", of_head=True)
async def count_transactions_by_hash(ctx: Context, block_hash: Hash) -> int | None:
    """How many transactions a block has."""
    height = ctx.find(BlockHash(block_hash))
    return None if height is None else await ctx.read_part(height, _count, ctx, height)


def _count(ctx: Context, height: Height) -> int:
    return len(ctx.ledger.block(height).transactions)


@method("eth_getBlockReceipts", of_head=True)
def get_block_receipts(ctx: Context, block: BlockTag) -> list[dict[str, Any]] | None:
    """The receipts of all transactions of a block; the next one has none yet."""
    if block == "pending":
        return []
    height = ctx.find(block)
    return None if height is None else receipts_at(ctx, height)


def receipts_at(ctx: Context, height: Height) -> list[Json]:
    """The receipts of a block."""
    ledger = ctx.ledger
    block = ledger.block(height)
    return receipts_json(
        block,
        ledger.hash_at(height),
        ledger.senders(height),
        ledger.receipts(height),
        blob_base_fee(ctx, block.header),
    )


def receipt_at(ctx: Context, height: Height, index: int) -> Json:
    """One of them."""
    ledger = ctx.ledger
    block, receipts = ledger.block(height), ledger.receipts(height)
    gas_before = receipts[index - 1].cumulative_gas_used if index else 0
    return receipt_json(
        block.header,
        ledger.hash_at(height),
        block.transactions[index],
        ledger.sender(height, index),
        receipts[index],
        index=index,
        log_index=ledger.logs_before(height, index),
        gas_used=receipts[index].cumulative_gas_used - gas_before,
        blob_base_fee=blob_base_fee(ctx, block.header),
    )


def blob_base_fee(ctx: Context, header: Header) -> int:
    """The fee per blob gas in a block, 0 before there were blobs."""
    if header.excess_blob_gas is None:
        return 0
    return headers.blob_base_fee(header.excess_blob_gas, ctx.fork_of(header))


def next_blob_base_fee(ctx: Context) -> int:
    """The fee per blob gas of the block after the head; 0 after one without."""
    head = ctx.header(ctx.ledger.height)
    if head.excess_blob_gas is None:
        return 0
    return blob_base_fee(ctx, next_header(ctx, head))


@method("eth_getBlockAccessList")
async def get_block_access_list(ctx: Context, block: BlockTag) -> None:
    """What a block read and wrote, where its header commits to that: no fork so far has it."""
    ctx.height(block)


@method("eth_getUncleCountByBlockNumber")
async def count_uncles_by_number(ctx: Context, block: BlockNumber) -> int | None:
    """How many uncles a block has: none from the merge on."""
    height = ctx.find(block)
    return None if height is None else len(ctx.ledger.block(height).ommers)


@method("eth_getUncleCountByBlockHash")
async def count_uncles_by_hash(ctx: Context, block_hash: Hash) -> int | None:
    """How many uncles a block has."""
    height = ctx.find(BlockHash(block_hash))
    return None if height is None else len(ctx.ledger.block(height).ommers)


@method("eth_getUncleByBlockNumberAndIndex")
async def get_uncle_by_number(ctx: Context, block: BlockNumber, index: Index) -> Json | None:
    """One of a block's uncles."""
    return _uncle(ctx, ctx.find(block), index)


@method("eth_getUncleByBlockHashAndIndex")
async def get_uncle_by_hash(ctx: Context, block_hash: Hash, index: Index) -> Json | None:
    """One of a block's uncles."""
    return _uncle(ctx, ctx.find(BlockHash(block_hash)), index)


def _uncle(ctx: Context, height: Height | None, index: int) -> Json | None:
    if height is None:
        return None
    ommers = ctx.ledger.block(height).ommers
    return ommer_json(ommers[index]) if index < len(ommers) else None
