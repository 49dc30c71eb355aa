"""Transactions and receipts by hash and by place; sending signed ones."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

from chain.transactions import Checked
from chain.types import Hash, Height
from node.announce import Closed
from node.pool.intake import Outcome
from node.rpc.blocks import receipt_at
from node.rpc.calls import next_header
from node.rpc.context import Context
from node.rpc.errors import NOT_IN_TIME, RpcError, server_error
from node.rpc.formats import Json, data, mined_transaction_json, pending_transaction_json
from node.rpc.line import Told
from node.rpc.parameters import BlockHash, BlockNumber, Count, Index
from node.rpc.pending import take_ready
from node.rpc.registry import method

_WAIT_MS: Final = 20_000  # for a receipt when no time is named; geth's
_WAIT_MS_MAX: Final = 60_000


@method("eth_getTransactionByHash")
async def get_transaction_by_hash(ctx: Context, transaction_hash: Hash) -> Json | None:
    """A transaction of the chain or of the pool."""
    place = ctx.ledger.locate(transaction_hash)
    if place is not None:
        return await ctx.read_part(place[0], _transaction, ctx, *place)
    checked = ctx.node.mempool.get(transaction_hash)
    if checked is None:
        return None
    return pending_transaction_json(checked.transaction, checked.sender)


@method("eth_getTransactionByBlockHashAndIndex", of_head=True)
async def get_transaction_by_block_hash(
    ctx: Context, block_hash: Hash, index: Index
) -> Json | None:
    """A transaction by its place."""
    return await _transaction_at(ctx, ctx.find(BlockHash(block_hash)), index)


@method("eth_getTransactionByBlockNumberAndIndex", of_head=True)
async def get_transaction_by_block_number(
    ctx: Context, block: BlockNumber, index: Index
) -> Json | None:
    """A transaction by its place; of "pending" one that the next block would take."""
    if block == "pending":
        ready = _next_transactions(ctx)[index : index + 1]
        return pending_transaction_json(ready[0].transaction, ready[0].sender) if ready else None
    return await _transaction_at(ctx, ctx.find(block), index)


def _next_transactions(ctx: Context) -> list[Checked]:
    return take_ready(ctx, next_header(ctx, ctx.header(ctx.ledger.height)))


async def _transaction_at(ctx: Context, height: Height | None, index: int) -> Json | None:
    return None if height is None else await ctx.read_part(height, _transaction, ctx, height, index)


def _transaction(ctx: Context, height: Height, index: int) -> Json | None:
    block = ctx.ledger.block(height)
    if index >= len(block.transactions):
        return None
    return mined_transaction_json(
        block.transactions[index],
        ctx.ledger.sender(height, index),
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


@method("eth_getRawTransactionByBlockHashAndIndex", of_head=True)
async def get_raw_transaction_by_block_hash(ctx: Context, block_hash: Hash, index: Index) -> bytes:
    """A transaction's canonical bytes by its place."""
    return await _raw_at(ctx, ctx.find(BlockHash(block_hash)), index)


@method("eth_getRawTransactionByBlockNumberAndIndex", of_head=True)
async def get_raw_transaction_by_block_number(
    ctx: Context, block: BlockNumber, index: Index
) -> bytes:
    """A transaction's canonical bytes by its place."""
    if block == "pending":
        ready = _next_transactions(ctx)[index : index + 1]
        return ready[0].transaction.raw if ready else b""
    return await _raw_at(ctx, ctx.find(block), index)


async def _raw_at(ctx: Context, height: Height | None, index: int) -> bytes:
    return b"" if height is None else await ctx.read_part(height, _raw, ctx, height, index)


def _raw(ctx: Context, height: Height, index: int) -> bytes:
    transactions = ctx.ledger.block(height).transactions
    return transactions[index].raw if index < len(transactions) else b""


@method("eth_getTransactionReceipt", of_head=True)
async def get_transaction_receipt(ctx: Context, transaction_hash: Hash) -> Json | None:
    """The outcome of a transaction that is in a block."""
    return await _receipt(ctx, transaction_hash)


async def _receipt(ctx: Context, transaction_hash: Hash) -> Json | None:
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        return None
    height, index = place
    return await ctx.read_part(height, receipt_at, ctx, height, index)


def _begin_sending(ctx: Context, told: Told, raw: bytes) -> bool:
    """As `send_raw_transaction`, where a transaction is settled as soon as it is pooled."""

    def pooled(outcomes: Sequence[Outcome], error: BaseException | None) -> None:
        (outcome,) = outcomes or (error,)
        if isinstance(outcome, BaseException):
            told(None, outcome)
        else:
            told(outcome, None)

    return ctx.node.begin_submitting(raw, pooled, ctx.acceptance.check)


@method("eth_sendRawTransaction", together=True, begin=_begin_sending)
async def send_raw_transaction(ctx: Context, raw: bytes) -> Hash:
    """Pool a signed transaction, given with its blobs if it has any; gives its hash."""
    transaction_hash = await ctx.node.submit(raw, ctx.acceptance.check)
    await ctx.node.settled(transaction_hash)
    return transaction_hash


@method("eth_sendRawTransactionSync", together=True)
async def send_raw_transaction_sync(
    ctx: Context, raw: bytes, timeout_ms: Count | None = None
) -> Json:
    """Pool a signed transaction and wait for its receipt (EIP-7966).

    After the time, by default 20 s and at most 60 s, an error with the code 4 and the
    transaction's hash; it stays in the pool.
    """
    return await receipt_of(ctx, ctx.node.submit(raw, ctx.acceptance.check), timeout_ms)


async def receipt_of(ctx: Context, sending: Awaitable[Hash], timeout_ms: int | None = None) -> Json:
    """The receipt of the transaction that `sending` pools, waited for as above."""
    wait_ms = min(timeout_ms or _WAIT_MS, _WAIT_MS_MAX)
    blocks = ctx.node.announcements.subscribe("blocks")
    try:
        transaction_hash = await sending
        async with asyncio.timeout(wait_ms / 1000):
            while (receipt := await _receipt(ctx, transaction_hash)) is None:
                await blocks.get()
    except TimeoutError:
        raise RpcError(
            NOT_IN_TIME,
            "The transaction was added to the transaction pool but wasn't processed in "
            f"{_go_duration(wait_ms)}.",
            data(transaction_hash),
        ) from None
    except Closed:
        raise server_error("the node stops; the transaction stays in its pool") from None
    finally:
        blocks.close()
    return receipt


def _go_duration(milliseconds: int) -> str:
    """As Go writes it: 1m0s, 20s, 1.5s, 250ms."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{f'{minutes}m' if minutes else ''}{rest / 1000:g}s"
