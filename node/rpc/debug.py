"""debug_getRaw* and its like: what is on the chain, in its canonical bytes."""

from typing import Any, Final

from chain.blocks import encode_header, encode_receipt
from chain.types import Hash, Height
from node.rpc.context import Context
from node.rpc.errors import invalid_params, server_error
from node.rpc.formats import data
from node.rpc.parameters import BlockHash, BlockTag
from node.rpc.registry import METHODS, method
from node.rpc.replay import found_height

_CODE_KEY_SIZE: Final = 33


@method("debug_getRawHeader")
async def get_raw_header(ctx: Context, block: BlockTag) -> bytes:
    """A header's RLP; none for a height that is not reached."""
    height = _found(ctx, block, "header")
    return b"" if height is None else encode_header(ctx.header(height))


@method("debug_getRawBlock")
async def get_raw_block(ctx: Context, block: BlockTag) -> bytes:
    """A block's RLP; none for a height that is not reached."""
    height = _found(ctx, block, "block")
    return b"" if height is None else ctx.ledger.raw_block(height)


@method("debug_getRawReceipts")
def get_raw_receipts(ctx: Context, block: BlockTag) -> list[str] | None:
    """The receipts of a block in their canonical encoding; null where there is no block yet."""
    height = ctx.find(block)
    if height is None:
        return [] if isinstance(block, BlockHash) else None
    return [data(encode_receipt(item)) for item in ctx.ledger.receipts(height)]


@method("debug_getRawTransaction")
async def get_raw_transaction(ctx: Context, transaction_hash: Hash) -> bytes:
    """A transaction's canonical bytes; none for one that is not known."""
    raw: bytes = await METHODS["eth_getRawTransactionByHash"].function(ctx, transaction_hash)
    return raw


@method("debug_getRawBlockAccessList")
async def get_raw_block_access_list(ctx: Context, block: BlockTag) -> None:
    """What a block read and wrote, encoded, where its header commits to that: no fork has it."""
    found_height(ctx, block)


@method("debug_getBadBlocks")
async def get_bad_blocks(ctx: Context) -> list[dict[str, Any]]:
    """Blocks that were refused: none is kept, for only what is final becomes a block here."""
    return []


@method("debug_codeByHash")
async def code_by_hash(ctx: Context, code_hash: Hash, block: BlockTag = "latest") -> bytes:
    """The code with a hash, of whichever contract; none when no contract has or had it."""
    return _code(ctx, code_hash)


@method("debug_dbGet")
async def get_from_database(ctx: Context, key: str) -> bytes:
    """A value of geth's database: of its keys only those of code are known, "c" and a hash.

    The key is hex, or the characters themselves.
    """
    try:
        name = bytes.fromhex(key[2:]) if key.startswith("0x") else key.encode("latin-1")
    except ValueError:
        raise invalid_params("invalid argument 0: not a key") from None
    found = _code(ctx, Hash(name[1:])) if len(name) == _CODE_KEY_SIZE and name[:1] == b"c" else b""
    if not found:
        raise server_error("not found")
    return found


def _code(ctx: Context, code_hash: Hash) -> bytes:
    if ctx.fork is not None and (elsewhere := ctx.fork.origin.code(code_hash)) is not None:
        return elsewhere
    return ctx.ledger.code(code_hash) or b""


def _found(ctx: Context, block: BlockTag, what: str) -> Height | None:
    """A block's height, none for one to come; RpcError for a hash that is not known, as by geth."""
    height = ctx.find(block)
    if height is None and isinstance(block, BlockHash):
        raise server_error(f"{what} {data(block.hash)} not found")
    return height
