"""debug_getRaw* and its like: what is on the chain, in its canonical bytes."""

from typing import Any

from chain.blocks import encode_header, encode_receipt
from chain.types import Hash, Height
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import data
from node.rpc.parameters import BlockTag
from node.rpc.registry import METHODS, method


@method("debug_getRawHeader")
async def get_raw_header(ctx: Context, block: BlockTag) -> bytes:
    """A header's RLP."""
    return encode_header(ctx.header(_height(ctx, block)))


@method("debug_getRawBlock")
async def get_raw_block(ctx: Context, block: BlockTag) -> bytes:
    """A block's RLP."""
    return ctx.ledger.raw_block(_height(ctx, block))


@method("debug_getRawReceipts")
def get_raw_receipts(ctx: Context, block: BlockTag) -> list[str]:
    """The receipts of a block in their canonical encoding."""
    return [data(encode_receipt(item)) for item in ctx.ledger.receipts(_height(ctx, block))]


@method("debug_getRawTransaction")
async def get_raw_transaction(ctx: Context, transaction_hash: Hash) -> bytes:
    """A transaction's canonical bytes; none for one that is not known."""
    raw: bytes = await METHODS["eth_getRawTransactionByHash"].function(ctx, transaction_hash)
    return raw


@method("debug_getRawBlockAccessList")
async def get_raw_block_access_list(ctx: Context, block: BlockTag) -> None:
    """What a block read and wrote, encoded, where its header commits to that: no fork has it."""
    _height(ctx, block)


@method("debug_getBadBlocks")
async def get_bad_blocks(ctx: Context) -> list[dict[str, Any]]:
    """Blocks that were refused: none is kept, for only what is final becomes a block here."""
    return []


def _height(ctx: Context, block: BlockTag) -> Height:
    height = ctx.find(block)
    if height is None:
        raise server_error(f"block {block if isinstance(block, int) else ''} not found")
    return height
