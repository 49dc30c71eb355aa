"""trace_*: what transactions and calls did, in Parity's shapes, which explorers and indexers read.

`trace`: the messages as a list; `vmTrace`: every opcode; `stateDiff`: what changed. The
gas of messages is that of their execution, without what a transaction costs by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from chain import headers
from chain.errors import Rejected
from chain.state import State
from chain.transactions import Transaction, decode_network_transaction
from chain.transition import simulate
from chain.types import ZERO_ADDRESS, Address, Hash, Height
from chain.validation import check_transaction
from node.rpc.calls import Scene, call_transaction, capped_gas, scene
from node.rpc.context import Context
from node.rpc.errors import invalid_params, message_of, server_error
from node.rpc.formats import Json, data
from node.rpc.parameters import BlockTag, parse_count
from node.rpc.registry import method
from node.rpc.replay import Replay, replay_of, run_trace, traced_height
from node.rpc.requests import BlockOverrides, CallRequest, StateOverrides, parse_call
from node.rpc.trace_options import TraceOptions
from node.tracing import Budget, Subject
from node.tracing.parity import MESSAGES, PARTS, parts

_CALLS_MAX: Final = 1_000  # in one trace_callMany


@method("trace_block")
async def trace_block(ctx: Context, block: BlockTag) -> list[Json] | None:
    """All messages of a block's transactions, with their places."""
    height = ctx.find(block)
    if height is None:
        return None

    def trace(budget: Budget, _: TraceOptions) -> list[Json]:
        return list(block_traces(ctx, height, budget))

    found: list[Json] = await run_trace(ctx, trace)
    return found


@method("trace_transaction")
async def trace_transaction(ctx: Context, transaction_hash: Hash) -> list[Json] | None:
    """All messages of a transaction, with their places."""
    found: list[Json] | None = await _transaction_traces(ctx, transaction_hash, list)
    return found


@method("trace_get")
async def get(ctx: Context, transaction_hash: Hash, path: list[Any]) -> Json | None:
    """The message of a transaction at a path of indices; none when there is no such message."""
    try:
        wanted = [parse_count(index) for index in path]
    except ValueError as error:
        raise invalid_params(f"invalid argument 1: {error}") from None

    def chosen(traces: Iterator[Json]) -> Json | None:
        return next((item for item in traces if item["traceAddress"] == wanted), None)

    found: Json | None = await _transaction_traces(ctx, transaction_hash, chosen)
    return found


async def _transaction_traces(
    ctx: Context, transaction_hash: Hash, show: Callable[[Iterator[Json]], Any]
) -> Any:
    """What `show` makes of a transaction's messages; None when there is no such transaction."""
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        return None
    height, index = place

    def trace(budget: Budget, _: TraceOptions) -> Any:
        replay = replay_of(ctx, height)
        replay.skip(index, budget)
        return show(_placed(ctx, replay, height, index, budget))

    return await run_trace(ctx, trace)


def block_traces(ctx: Context, height: Height, budget: Budget) -> Iterator[Json]:
    """All messages of a block and, before the merge, its rewards."""
    if height == 0:
        return
    header = ctx.header(height)
    if header.gas_used:
        replay = replay_of(ctx, height)
        for index in range(len(replay.block.transactions)):
            yield from _placed(ctx, replay, height, index, budget)
    fork = ctx.fork_of(header)
    if not fork.block_reward:
        return
    ommers = ctx.ledger.block(height).ommers
    *uncles, block = headers.rewards(header, ommers, fork)
    for kind, (author, amount) in (("block", block), *(("uncle", uncle) for uncle in uncles)):
        yield {
            "action": {"author": data(author), "rewardType": kind, "value": hex(amount)},
            "blockHash": data(ctx.ledger.hash_at(height)),
            "blockNumber": int(height),
            "result": None,
            "subtraces": 0,
            "traceAddress": [],
            "transactionHash": None,
            "transactionPosition": None,
            "type": "reward",
        }


def _placed(
    ctx: Context, replay: Replay, height: Height, index: int, budget: Budget
) -> Iterator[Json]:
    place = {
        "blockHash": data(ctx.ledger.hash_at(height)),
        "blockNumber": int(height),
        "transactionHash": data(replay.block.transactions[index].hash),
        "transactionPosition": index,
    }
    for item in replay.trace_next(budget, MESSAGES):
        yield {**item, **place}


@method("trace_replayTransaction")
async def replay_transaction(ctx: Context, transaction_hash: Hash, kinds: list[Any]) -> Json:
    """A transaction run again: its output and what is asked of trace, vmTrace and stateDiff."""
    wanted = _wanted(kinds)
    place = ctx.ledger.locate(transaction_hash)
    if place is None:
        raise server_error("transaction not found")
    height, index = place

    def trace(budget: Budget, _: TraceOptions) -> Any:
        replay = replay_of(ctx, height)
        replay.skip(index, budget)
        return replay.trace_next(budget, parts(wanted))

    found: Json = await run_trace(ctx, trace)
    return found


@method("trace_replayBlockTransactions")
async def replay_block_transactions(
    ctx: Context, block: BlockTag, kinds: list[Any]
) -> list[dict[str, Any]]:
    """A block's transactions run again, each as by trace_replayTransaction."""
    wanted = _wanted(kinds)
    height = traced_height(ctx, block)

    def trace(budget: Budget, _: TraceOptions) -> list[Json]:
        if height == 0:
            return []
        replay = replay_of(ctx, height)
        return [
            {**replay.trace_next(budget, parts(wanted)), "transactionHash": data(item.hash)}
            for item in replay.block.transactions
        ]

    found: list[Json] = await run_trace(ctx, trace)
    return found


@method("trace_call")
async def call(
    ctx: Context,
    request: CallRequest,
    kinds: list[Any],
    block: BlockTag = "latest",
    state: StateOverrides | None = None,
    around: BlockOverrides | None = None,
) -> Json:
    """What a call would do after a block, in the parts asked for."""
    asked = [(request, _wanted(kinds))]
    found: Json = await _calls(ctx, asked, lambda: scene(ctx, block, state, around), alone=True)
    return found


@method("trace_callMany")
async def call_many(
    ctx: Context, calls: list[Any], block: BlockTag = "latest"
) -> list[dict[str, Any]]:
    """What calls would do one after another, each given as a call and the parts asked for."""
    if len(calls) > _CALLS_MAX:
        raise invalid_params(f"too many calls (max {_CALLS_MAX})")
    asked: list[tuple[CallRequest, Sequence[str]]] = []
    for index, item in enumerate(calls):
        if not isinstance(item, list) or len(item) != 2:
            raise invalid_params(f"invalid argument 0: call {index} is no pair of call and kinds")
        try:
            asked.append((parse_call(item[0]), _wanted(item[1])))
        except ValueError as error:
            raise invalid_params(f"invalid argument 0: call {index}: {error}") from None
    found: list[Json] = await _calls(ctx, asked, lambda: scene(ctx, block), alone=False)
    return found


async def _calls(
    ctx: Context,
    asked: Sequence[tuple[CallRequest, Sequence[str]]],
    place: Callable[[], Scene],
    *,
    alone: bool,
) -> Any:
    """The answers about calls made one after another, or the one about the only call."""

    def trace(budget: Budget, _: TraceOptions) -> Any:
        where = place()
        state = State(where.view)
        answers = []
        for request, wanted in asked:
            budget.check_time()
            sender = request.sender or ZERO_ADDRESS
            gas = capped_gas(ctx, request)
            transaction = call_transaction(request, gas, state.nonce(sender), where.block)
            answers.append(_simulated(where, state, transaction, sender, wanted, budget))
        return answers[0] if alone else answers

    return await run_trace(ctx, trace)


@method("trace_rawTransaction")
async def raw_transaction(ctx: Context, raw: bytes, kinds: list[Any]) -> Json:
    """What a signed transaction would do in the next block; it is not sent."""
    wanted = _wanted(kinds)

    def trace(budget: Budget, _: TraceOptions) -> Any:
        where = scene(ctx, "pending")
        transaction, _sidecar = decode_network_transaction(raw)
        checked = check_transaction(transaction, where.fork, where.block.chain_id)
        return _simulated(where, State(where.view), transaction, checked.sender, wanted, budget)

    found: Json = await run_trace(ctx, trace)
    return found


def _simulated(
    where: Scene,
    state: State,
    transaction: Transaction,
    sender: Address,
    wanted: Sequence[str],
    budget: Budget,
) -> Any:
    # Who can't pay is given what is missing, as by Parity.
    cost = transaction.value + transaction.gas_limit * transaction.max_fee
    if (balance := state.balance(sender)) < cost < 2**256:
        state.add_balance(sender, cost - balance)
    subject = Subject(transaction, sender, state, where.block.coinbase, where.fork)
    tracer = parts(wanted)(subject, budget)
    try:
        outcome = simulate(
            state, transaction, sender, where.block, where.machine, where.fork, tracer=tracer
        )
    except Rejected as rejected:
        raise server_error(f"tracing failed: {message_of(rejected)}") from None
    return tracer.result(outcome)


def _wanted(kinds: Any) -> list[str]:
    """Names of parts, each once."""
    if not isinstance(kinds, list):
        raise invalid_params("the kinds of traces are not a list")
    for kind in kinds:
        if not isinstance(kind, str) or kind not in PARTS:
            raise invalid_params(f"unknown kind of trace {kind!r:.80}, want {', '.join(PARTS)}")
    return list(dict.fromkeys(kinds))
