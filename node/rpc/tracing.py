"""debug_trace*: transactions of the chain and calls on it, run again under a tracer."""

from typing import Any

from msgspec.structs import replace

from chain.blocks import decode_block
from chain.commitment import commit
from chain.errors import Rejected
from chain.state import State, StateView
from chain.transition import simulate
from chain.types import ZERO_ADDRESS, ZERO_HASH, Hash, Height
from node.rpc.calls import call_transaction, capped_gas, check_call, scene
from node.rpc.context import Context
from node.rpc.errors import message_of, server_error
from node.rpc.formats import Json, data
from node.rpc.overrides import OverriddenView, place_precompiles
from node.rpc.parameters import BlockHash, BlockNumber, BlockTag
from node.rpc.registry import method
from node.rpc.replay import (
    Replay,
    StateBetween,
    replay_before,
    replay_given,
    replay_of,
    run_trace,
    traced_height,
)
from node.rpc.requests import CallRequest
from node.rpc.trace_options import TraceCallOptions, TraceOptions
from node.tracing import Budget, Subject


@method("debug_traceTransaction")
async def trace_transaction(
    ctx: Context, transaction_hash: Hash, options: TraceOptions | None = None
) -> Any:
    """What a transaction did, as the chosen tracer tells it; without one, step by step."""
    found = ctx.ledger.locate(transaction_hash)
    if found is None:
        if transaction_hash == ZERO_HASH and ctx.node.developer is not None:
            # Tools find out by it whether there are traces at all; anvil answers so.
            return {"failed": False, "gas": 0, "returnValue": "0x", "structLogs": []}
        raise server_error("transaction not found")
    height, index = found

    def trace(budget: Budget, options: TraceOptions) -> Any:
        replay = replay_of(ctx, height)
        replay.skip(index, budget)
        return replay.trace_next(budget, options.make)

    return await run_trace(ctx, trace, options)


@method("debug_traceBlockByNumber")
async def trace_block_by_number(
    ctx: Context, block: BlockNumber, options: TraceOptions | None = None
) -> list[Json]:
    """The traces of all transactions of a block, in their order."""
    return await _trace_block(ctx, traced_height(ctx, block), options)


@method("debug_traceBlockByHash")
async def trace_block_by_hash(
    ctx: Context, block_hash: Hash, options: TraceOptions | None = None
) -> list[Json]:
    """The traces of all transactions of a block, in their order."""
    return await _trace_block(ctx, traced_height(ctx, BlockHash(block_hash)), options)


@method("debug_traceBlock")
async def trace_block(ctx: Context, raw: bytes, options: TraceOptions | None = None) -> list[Json]:
    """The traces of a block's transactions, given its RLP; its parent must be on the chain."""

    def trace(budget: Budget, options: TraceOptions) -> list[Json]:
        try:
            block = decode_block(raw)
        except Rejected as rejected:
            raise server_error(f"could not decode block: {message_of(rejected)}") from None
        return _trace_all(replay_given(ctx, block), budget, options)

    traces: list[Json] = await run_trace(ctx, trace, options)
    return traces


@method("debug_traceBadBlock")
async def trace_bad_block(
    ctx: Context, block_hash: Hash, options: TraceOptions | None = None
) -> list[Json]:
    """The traces of a block that was refused: none is kept, as debug_getBadBlocks tells."""
    raise server_error(f"bad block {data(block_hash)} not found")


@method("debug_intermediateRoots")
async def intermediate_roots(
    ctx: Context, block_hash: Hash, options: TraceOptions | None = None
) -> list[str]:
    """The state's roots after each of a block's transactions."""
    height = ctx.find(BlockHash(block_hash))
    if height is None:
        raise server_error(f"block {data(block_hash)} not found")

    def roots(budget: Budget, _: TraceOptions) -> list[str]:
        replay = replay_of(ctx, height)
        execution = replay.execution
        found = []
        for _transaction in replay.block.transactions:
            replay.skip(1, budget)
            found.append(data(commit(execution.view, execution.state.delta()).root))
        return found

    found: list[str] = await run_trace(ctx, roots, options)
    return found


def _trace_all(replay: Replay, budget: Budget, options: TraceOptions) -> list[Json]:
    return [
        {"txHash": data(item.hash), "result": replay.trace_next(budget, options.make)}
        for item in replay.block.transactions
    ]


@method("debug_traceCall")
async def trace_call(
    ctx: Context,
    request: CallRequest,
    block: BlockTag = "latest",
    options: TraceCallOptions | None = None,
) -> Any:
    """What a call would do after a block, or in the middle of it, as the chosen tracer tells it."""
    wanted = options or TraceCallOptions()
    height = traced_height(ctx, block)

    def trace(budget: Budget, options: TraceOptions) -> Any:
        return _trace_call(ctx, request, height, wanted, budget)

    return await run_trace(ctx, trace, wanted.trace)


def _trace_call(
    ctx: Context, request: CallRequest, height: Height, options: TraceCallOptions, budget: Budget
) -> Any:
    between = options.index is not None
    where = scene(ctx, height, None if between else options.state, options.around)
    if options.index is not None:
        replay = replay_before(ctx, height, options.index, budget)
        view: StateView = StateBetween(replay.execution.state)
        fork, machine = where.fork, where.machine
        if options.state is not None:
            view = OverriddenView(view, options.state)
            fork, machine = place_precompiles(options.state, fork, machine)
        where = replace(where, view=view, fork=fork, machine=machine)
    state, sender = State(where.view), request.sender or ZERO_ADDRESS
    gas = capped_gas(ctx, request)
    transaction = call_transaction(request, gas, state.nonce(sender), where.block)
    subject = Subject(transaction, sender, state, where.block.coinbase, where.fork)
    tracer = options.trace.make(subject, budget)
    try:
        check_call(request, where.block, where.fork)
        outcome = simulate(
            state, transaction, sender, where.block, where.machine, where.fork, tracer=tracer
        )
    except Rejected as rejected:
        raise server_error(f"tracing failed: {message_of(rejected)}") from None
    return tracer.result(outcome)


async def _trace_block(ctx: Context, height: Height, options: TraceOptions | None) -> list[Json]:
    def trace(budget: Budget, options: TraceOptions) -> list[Json]:
        return _trace_all(replay_of(ctx, height), budget, options)

    traces: list[Json] = await run_trace(ctx, trace, options)
    return traces
