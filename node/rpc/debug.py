"""debug_getRaw* and its like: what is on the chain, in its canonical bytes."""

from typing import Any, Final

from chain.blocks import encode_header, encode_receipt
from chain.types import Hash, Height
from node.rpc.context import Context
from node.rpc.errors import invalid_params, server_error
from node.rpc.formats import data
from node.rpc.parameters import BlockTag
from node.rpc.registry import METHODS, method

_CODE_KEY_SIZE: Final = 33


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


def _height(ctx: Context, block: BlockTag) -> Height:
    height = ctx.find(block)
    if height is None:
        raise server_error(f"block {block if isinstance(block, int) else ''} not found")
    return height
