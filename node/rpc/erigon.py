"""erigon_*: what Erigon answers besides the Ethereum execution APIs, and its explorers ask for."""

from bisect import bisect_left
from typing import Any, Final

from msgspec import Struct

from chain.types import Hash, Height
from node.rpc.blocks import receipts_at
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import Json, block_json, data, header_json
from node.rpc.parameters import (
    BlockHash,
    BlockNumber,
    BlockTag,
    Count,
    parse_block,
    parse_block_number,
)
from node.rpc.registry import method, parsed_by


def _height(value: Any) -> int | None:
    """A height that is a JSON number, as Otterscan sends them."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def parse_named_block(value: Any) -> "NamedBlock":
    """A tag or a height, which may be a JSON number."""
    height = _height(value)
    return NamedBlock(parse_block_number(value) if height is None else height)


def parse_any_block(value: Any) -> "AnyBlock":
    """A tag, a height, which may be a JSON number, or a hash."""
    height = _height(value)
    return AnyBlock(parse_block(value) if height is None else height)


@parsed_by(parse_named_block)
class NamedBlock(Struct, frozen=True):
    """A block as callers of Erigon name it."""

    number: BlockNumber


@parsed_by(parse_any_block)
class AnyBlock(Struct, frozen=True):
    """A block as callers of Erigon name it, also by its hash."""

    tag: BlockTag


LATEST: Final = AnyBlock("latest")
_HEAD: Final = NamedBlock("latest")


@method("erigon_getHeaderByNumber")
async def get_header_by_number(ctx: Context, block: NamedBlock) -> Json | None:
    """A block's header, for explorers that look for Erigon."""
    return _header(ctx, ctx.find(block.number))


@method("erigon_getHeaderByHash")
async def get_header_by_hash(ctx: Context, block_hash: Hash) -> Json | None:
    """A block's header, by its hash."""
    return _header(ctx, ctx.find(BlockHash(block_hash)))


def _header(ctx: Context, height: Height | None) -> Json | None:
    return None if height is None else header_json(ctx.header(height), ctx.ledger.hash_at(height))


@method("erigon_blockNumber")
async def block_number(ctx: Context, block: NamedBlock = _HEAD) -> int | None:
    """The height that a tag stands for; of the head without one."""
    return ctx.find(block.number)


@method("erigon_getBlockByTimestamp")
async def get_block_by_timestamp(ctx: Context, timestamp: Count, full: bool = False) -> Json:
    """The first block that is no older than a time, in Unix seconds; the head if none is."""
    heights = range(ctx.ledger.first, ctx.ledger.height + 1)
    later = bisect_left(
        heights, int(timestamp), key=lambda height: ctx.header(Height(height)).timestamp
    )
    height = Height(heights[min(later, len(heights) - 1)])
    return await ctx.read(height, _block, ctx, height, full)


def _block(ctx: Context, height: Height, full: bool) -> Json:
    ledger = ctx.ledger
    senders = ledger.senders(height) if full else ()
    return block_json(ledger.block(height), ledger.hash_at(height), senders, full=full)


@method("erigon_forks")
async def forks(ctx: Context) -> dict[str, Any]:
    """The genesis block's hash, and the heights and times at which the rules change (EIP-2124)."""
    ledger = ctx.ledger
    genesis_time = ctx.header(ledger.first).timestamp
    return {
        "genesis": data(ledger.genesis_hash),
        "heightForks": list(ledger.config.announced_heights),
        "timeForks": sorted({time for time, _ in ledger.config.times if time > genesis_time}),
    }


@method("erigon_getLogsByHash")
def get_logs_by_hash(ctx: Context, block_hash: Hash) -> list[list[Json] | None] | None:
    """The logs of a block, a list for each transaction; null for one without any."""
    height = ctx.find(BlockHash(block_hash))
    if height is None:
        return None
    return [receipt["logs"] or None for receipt in receipts_at(ctx, height)]


@method("erigon_getBlockReceiptsByBlockHash")
def get_block_receipts(ctx: Context, block_hash: Hash) -> list[dict[str, Any]]:
    """The receipts of all transactions of a block."""
    height = ctx.find(BlockHash(block_hash))
    if height is None:
        raise server_error(f"block not found {block_hash.hex()}")
    return receipts_at(ctx, height)
