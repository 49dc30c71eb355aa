"""debug_trace*: transactions of the chain and calls on it, run again under a tracer.

A transaction is traced by executing its block again on the state before it, up to
and including the transaction. That takes a thread, time and memory: all have limits.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from chain.blocks import Block
from chain.errors import Rejected
from chain.execution import BlockExecution
from chain.state import Account, State, StateView
from chain.transactions import Checked
from chain.transition import simulate
from chain.types import ZERO_ADDRESS, Address, Hash, Height
from node.rpc.calls import call_transaction, capped_gas, scene
from node.rpc.context import Context
from node.rpc.errors import RESPONSE_TOO_LARGE, RpcError, message_of, server_error
from node.rpc.formats import Json, data
from node.rpc.overrides import OverriddenView, place_precompiles
from node.rpc.parameters import BlockHash, BlockNumber, BlockTag
from node.rpc.registry import method
from node.rpc.requests import CallRequest
from node.rpc.trace_options import TraceCallOptions, TraceOptions
from node.tracing import Budget, Place, Stopped, Subject
from node.tracing.tracer import Limit

# A trace that can stop by itself does so before its thread is given up.
_GRACE_MS: Final = 1_000


@method("debug_traceTransaction")
async def trace_transaction(
    ctx: Context, transaction_hash: Hash, options: TraceOptions | None = None
) -> Any:
    """What a transaction did, as the chosen tracer tells it; without one, step by step."""
    found = ctx.ledger.locate(transaction_hash)
    if found is None:
        raise server_error("transaction not found")
    height, index = found

    def trace(budget: Budget, options: TraceOptions) -> Any:
        return _Replay(ctx, height).trace(index, budget, options)

    return await _run(ctx, trace, options)


@method("debug_traceBlockByNumber")
async def trace_block_by_number(
    ctx: Context, block: BlockNumber, options: TraceOptions | None = None
) -> list[Json]:
    """The traces of all transactions of a block, in their order."""
    return await _trace_block(ctx, _height(ctx, block), options)


@method("debug_traceBlockByHash")
async def trace_block_by_hash(
    ctx: Context, block_hash: Hash, options: TraceOptions | None = None
) -> list[Json]:
    """The traces of all transactions of a block, in their order."""
    return await _trace_block(ctx, _height(ctx, BlockHash(block_hash)), options)


@method("debug_traceCall")
async def trace_call(
    ctx: Context,
    request: CallRequest,
    block: BlockTag = "latest",
    options: TraceCallOptions | None = None,
) -> Any:
    """What a call would do after a block, or in the middle of it, as the chosen tracer tells it."""
    wanted = options or TraceCallOptions()
    height = _height(ctx, block)

    def trace(budget: Budget, options: TraceOptions) -> Any:
        return _trace_call(ctx, request, height, wanted, budget)

    return await _run(ctx, trace, wanted.trace)


class _Replay:
    """A block of the chain executed again, transaction by transaction."""

    def __init__(self, ctx: Context, height: Height) -> None:
        if height == 0:
            raise server_error("genesis is not traceable")
        ledger = ctx.ledger
        self.block: Block = ledger.block(height)
        self._hash = ledger.hash_at(height)
        self._senders = ledger.senders(height)
        header = self.block.header
        self.execution = BlockExecution(
            ctx.view_at(Height(height - 1)),
            header,
            ctx.fork_of(header),
            ledger.config,
            ctx.node.machine,
            ctx.block_hash,
        )

    def skip(self, count: int, budget: Budget) -> None:
        """Execute the first transactions without watching."""
        for index in range(count):
            budget.check_time()
            self.execution.run(self._checked(index))

    def trace(self, index: int, budget: Budget, options: TraceOptions) -> Any:
        """The trace of one transaction, after those before it."""
        self.skip(index, budget)
        return self._trace(index, budget, options)

    def trace_all(self, budget: Budget, options: TraceOptions) -> list[Json]:
        return [
            {"txHash": data(item.hash), "result": self._trace(index, budget, options)}
            for index, item in enumerate(self.block.transactions)
        ]

    def _checked(self, index: int) -> Checked:
        return Checked(self.block.transactions[index], self._senders[index])

    def _trace(self, index: int, budget: Budget, options: TraceOptions) -> Any:
        checked, execution = self._checked(index), self.execution
        place = Place(self._hash, execution.header.number, checked.transaction.hash, index)
        subject = Subject(
            checked.transaction,
            checked.sender,
            execution.state,
            execution.context.coinbase,
            execution.fork,
            place,
        )
        tracer = options.make(subject, budget)
        return tracer.result(execution.run(checked, tracer))


class _StateBetween(StateView):
    """The state of a block that is not over, as something to run a call on."""

    def __init__(self, state: State) -> None:
        self._state = state

    def account(self, address: Address) -> Account | None:
        return self._state.account(address)

    def storage(self, address: Address, slot: int) -> int:
        return self._state.storage(address, slot)

    def code(self, code_hash: Hash) -> bytes:
        return self._state.code_of(code_hash)


def _trace_call(
    ctx: Context, request: CallRequest, height: Height, options: TraceCallOptions, budget: Budget
) -> Any:
    between = options.index is not None
    where = scene(ctx, height, None if between else options.state, options.around)
    if options.index is not None:
        replay = _Replay(ctx, height)
        if options.index > len(replay.block.transactions):
            raise server_error(f"transaction index {options.index} out of range for block {height}")
        replay.skip(options.index, budget)
        view: StateView = _StateBetween(replay.execution.state)
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
        outcome = simulate(
            state, transaction, sender, where.block, where.machine, where.fork, tracer=tracer
        )
    except Rejected as rejected:
        raise server_error(f"tracing failed: {message_of(rejected)}") from None
    return tracer.result(outcome)


async def _trace_block(ctx: Context, height: Height, options: TraceOptions | None) -> list[Json]:
    def trace(budget: Budget, options: TraceOptions) -> list[Json]:
        return _Replay(ctx, height).trace_all(budget, options)

    traces: list[Json] = await _run(ctx, trace, options)
    return traces


async def _run(
    ctx: Context, trace: Callable[[Budget, TraceOptions], Any], options: TraceOptions | None
) -> Any:
    """A trace made in a thread, within the limits of the node and of the request."""
    settings = ctx.node.settings.rpc
    chosen = options or TraceOptions()
    seconds = settings.trace_timeout_ms / 1000
    if chosen.timeout is not None:
        seconds = min(seconds, chosen.timeout)

    def clock() -> float:
        return math.inf if ctx.heavy.closing else time.monotonic()

    def within_limits() -> Any:
        try:
            return trace(Budget(seconds, settings.trace_bytes_max, clock), chosen)
        except Stopped as stopped:
            if stopped.limit is Limit.TIME:
                raise server_error(stopped.limit.value) from None
            raise RpcError(
                RESPONSE_TOO_LARGE,
                f"{stopped.limit.value}: more than {settings.trace_bytes_max} bytes; "
                "leave out stack or memory, set a limit, or choose another tracer",
            ) from None

    return await ctx.heavy.trace(within_limits, int(seconds * 1000) + _GRACE_MS)


def _height(ctx: Context, block: BlockTag) -> Height:
    """The height of a block to trace; RpcError in geth's words when there is none."""
    if block == "pending":
        raise server_error("tracing on top of pending is not supported")
    found = ctx.find(block)
    if found is None:
        named = data(block.hash) if isinstance(block, BlockHash) else f"#{block}"
        raise server_error(f"block {named} not found")
    return found
