"""The block that the pool would make now: what "pending" shows, and the state after it."""

import asyncio
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from chain.blocks import Header
from chain.errors import Rejected
from chain.execution import BlockBuilder, Executed
from chain.forked import lay
from chain.transactions import Checked
from chain.views import TrieView
from node.rpc import forked
from node.rpc.calls import next_header
from node.rpc.context import Context
from node.rpc.registry import Method

# Transactions in a pending block at most, so that asking for it has a bounded price.
_TRANSACTIONS_MAX: Final = 1_000
# On a network nobody can know the next block: these bound what guessing it costs.
_BUILD_SECONDS: Final = 0.25
_GUESS_SECONDS: Final = 1.0
_LOOP_SECONDS: Final = 5.0  # until the event loop gives a thread the pool's transactions

# Methods that read the state after a block, and for "pending" the state after the next one.
OF_STATE: Final = frozenset(
    {
        "eth_call",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_getAccount",
        "eth_getAccountInfo",
        "eth_getBalance",
        "eth_getCode",
        "eth_getStorageAt",
        "eth_getStorageValues",
    }
)


def is_pending(method: Method, arguments: Sequence[Any]) -> bool:
    """Whether a call asks for the state after the next block."""
    return method.name in OF_STATE and "pending" in arguments


async def answer(ctx: Context, method: Method, arguments: list[Any], given: Sequence[Any]) -> Any:
    """The result of a method of the event loop on the pending state."""
    ctx = await on_pending(ctx)
    if ctx.fork is not None:
        return await forked.answer(ctx, method, arguments, given)
    return await method.function(ctx, *arguments)


async def on_pending(ctx: Context) -> Context:
    """The context whose "pending" is the state after the block that the pool would make."""
    if not len(ctx.node.mempool):
        return ctx
    found: Context = await ctx.heavy.run(on_pending_in_thread, ctx)
    return found


def on_pending_in_thread(ctx: Context) -> Context:
    """As `on_pending`, in one of the threads for heavy calls."""
    view = _pending_view(ctx) if len(ctx.node.mempool) else None
    return ctx if view is None else ctx.of_pending(view)


def _pending_view(ctx: Context) -> TrieView | None:
    """The state after the pending block; None while nothing can run. The last one is kept."""
    ledger, known = ctx.ledger, ctx.pending_states
    with known.building:
        height = ledger.height
        mempool = ctx.node.mempool
        head = (ledger.head_hash, ledger.amendments(height))
        pool = (mempool.arrivals, len(mempool))
        fresh = ctx.node.developer is None and known.age() < _GUESS_SECONDS
        if known.head == head and (known.pool == pool or fresh):
            return known.view
        ready = _ready(ctx, next_header(ctx, ctx.header(height)))
        view: TrieView | None = None
        if ready:
            seconds = _BUILD_SECONDS if ctx.node.developer is None else None
            base = ledger.view(height)
            view = lay(base, build_pending(ctx, ready, seconds).changes)
        known.remember(head, pool, view)
        return view


def _ready(ctx: Context, header: Header) -> list[Checked]:
    """What would come next, asked of the event loop by its threads."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = ctx.node.failed.get_loop()
        taking = asyncio.run_coroutine_threadsafe(_take(ctx, header), loop)
        return taking.result(_LOOP_SECONDS)
    return take_ready(ctx, header)


def pending_block(ctx: Context) -> Executed:
    """The block that the pool would make now, as far as that is quick.

    Of threads for heavy calls only.
    """
    ready = _ready(ctx, next_header(ctx, ctx.header(ctx.ledger.height)))
    return build_pending(ctx, ready, _BUILD_SECONDS)


async def _take(ctx: Context, header: Header) -> list[Checked]:
    return take_ready(ctx, header)


def take_ready(ctx: Context, header: Header) -> list[Checked]:
    """The transactions that would come next. Of the event loop's thread only."""
    return list(islice(ctx.node.mempool.ready(header.base_fee or 0), _TRANSACTIONS_MAX))


def build_pending(ctx: Context, ready: list[Checked], seconds: float | None = None) -> Executed:
    """The block that these make on top of the head, or as many as fit in some seconds."""
    ledger = ctx.ledger
    height = ledger.height
    parent = ctx.header(height)
    header = next_header(ctx, parent)
    if ctx.fork is not None:
        ctx.fork.origin.presume(header.number, header.timestamp)
    builder = BlockBuilder(
        ledger.view(height),
        parent,
        ctx.node.machine,
        ledger.config,
        ctx.block_hash,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        randomness=header.mix_hash,
        base_fee=header.base_fee,
    )
    end = None if seconds is None else time.monotonic() + seconds
    for checked in ready:
        if end is not None and time.monotonic() > end:
            break
        if checked.transaction.gas_limit > builder.gas_left:
            continue
        try:
            builder.add(checked)
        except Rejected:
            continue  # it may wait for a later block, or be dropped by the pool
    return builder.seal()
