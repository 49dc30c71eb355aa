"""A block executed again, transaction by transaction, within limits.

A transaction is traced by executing its block on the state before it, up to and
including the transaction. That takes a thread, time and memory: all have limits.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from chain.blocks import Block
from chain.errors import Rejected
from chain.execution import BlockExecution
from chain.headers import header_hash
from chain.state import Account, State, StateView
from chain.transactions import Checked
from chain.types import Address, Hash, Height
from chain.validation import check_transactions
from node.rpc.context import Context
from node.rpc.errors import RESPONSE_TOO_LARGE, RpcError, message_of, server_error
from node.rpc.formats import data
from node.rpc.parameters import BlockHash, BlockTag
from node.rpc.trace_options import TraceOptions
from node.tracing import Budget, Factory, Place, Stopped, Subject
from node.tracing.tracer import Limit

# A trace that can stop by itself does so before its thread is given up.
_GRACE_MS: Final = 1_000


class Replay:
    """A block on top of a committed one. Its transactions are taken in order, each once."""

    def __init__(
        self, ctx: Context, block: Block, block_hash: Hash, senders: Sequence[Address]
    ) -> None:
        self.block = block
        self._hash = block_hash
        self._senders = senders
        self._next = 0
        self._logs = 0  # of the transactions so far
        header = block.header
        self.execution = BlockExecution(
            ctx.view_at(Height(header.number - 1)),
            header,
            ctx.fork_of(header),
            ctx.ledger.config,
            ctx.node.machine,
            ctx.block_hash,
        )

    def skip(self, count: int, budget: Budget) -> None:
        """Execute the next transactions without watching."""
        for _ in range(count):
            budget.check_time()
            self._run(None)

    def trace_next(self, budget: Budget, make: Factory) -> Any:
        """What the tracer that `make` gives tells of the next transaction."""
        budget.check_time()
        index = self._next
        transaction = self.block.transactions[index]
        execution = self.execution
        tracer = make(
            Subject(
                transaction,
                self._senders[index],
                execution.state,
                execution.context.coinbase,
                execution.fork,
                Place(self._hash, execution.header.number, transaction.hash, index, self._logs),
            ),
            budget,
        )
        return tracer.result(self._run(tracer))

    def _run(self, tracer: Any) -> Any:
        index = self._next
        self._next += 1
        checked = Checked(self.block.transactions[index], self._senders[index])
        try:
            result = self.execution.run(checked, tracer)
        except Rejected as rejected:  # only a block that is not on the chain
            transaction_hash = data(checked.transaction.hash)
            raise server_error(
                f"transaction {transaction_hash} failed: {message_of(rejected)}"
            ) from None
        self._logs += len(result.logs)
        return result


def replay_of(ctx: Context, height: Height) -> Replay:
    """The block at a height, before its first transaction."""
    if height == 0:
        raise server_error("genesis is not traceable")
    ledger = ctx.ledger
    return Replay(ctx, ledger.block(height), ledger.hash_at(height), ledger.senders(height))


def replay_before(ctx: Context, height: Height, index: int, budget: Budget) -> Replay:
    """The block at a height, before its transaction of an index.

    RpcError in geth's words when it has none; only an empty block may be asked for the first.
    """
    if height == ctx.ledger.first:
        raise server_error("no transaction in genesis")
    replay = replay_of(ctx, height)
    if index and index >= len(replay.block.transactions):
        where = data(ctx.ledger.hash_at(height))
        raise server_error(f"transaction index {index} out of range for block {where}")
    replay.skip(index, budget)
    return replay


def replay_given(ctx: Context, block: Block) -> Replay:
    """A block that need not be on the chain, but whose parent must be."""
    header = block.header
    if header.number == 0:
        raise server_error("genesis is not traceable")
    parent = ctx.ledger.height_of(header.parent_hash)
    if parent is None or parent != header.number - 1:
        raise server_error(f"parent {data(header.parent_hash)} not found")
    senders: list[Address] = []
    fork = ctx.fork_of(header)
    for checked in check_transactions(block.transactions, fork, ctx.ledger.config.chain_id):
        if isinstance(checked, Rejected):
            raise server_error(f"block has a bad transaction: {message_of(checked)}")
        senders.append(checked.sender)
    return Replay(ctx, block, header_hash(header), senders)


class StateBetween(StateView):
    """The state of a block that is not over, as something to run a call on."""

    def __init__(self, state: State) -> None:
        self._state = state

    def account(self, address: Address) -> Account | None:
        return self._state.account(address)

    def storage(self, address: Address, slot: int) -> int:
        return self._state.storage(address, slot)

    def code(self, code_hash: Hash) -> bytes:
        return self._state.code_of(code_hash)


async def run_trace(
    ctx: Context,
    trace: Callable[[Budget, TraceOptions], Any],
    options: TraceOptions | None = None,
) -> Any:
    """A trace made and encoded in a thread, within the limits of the node and of the request."""
    settings = ctx.node.settings.rpc
    chosen = options or TraceOptions()
    seconds = settings.trace_timeout_ms / 1000
    if chosen.timeout is not None:
        seconds = min(seconds, chosen.timeout)

    def clock() -> float:
        return math.inf if ctx.heavy.closing else time.monotonic()

    def within_limits() -> Any:
        try:
            found = trace(Budget(seconds, settings.trace_bytes_max, clock), chosen)
            return msgspec.Raw(msgspec.json.encode(found))
        except Stopped as stopped:
            if stopped.limit is Limit.TIME:
                raise server_error(stopped.limit.value) from None
            raise RpcError(
                RESPONSE_TOO_LARGE,
                f"{stopped.limit.value}: more than {settings.trace_bytes_max} bytes; "
                "leave out stack or memory, set a limit, or choose another tracer",
            ) from None

    return await ctx.heavy.trace(within_limits, int(seconds * 1000) + _GRACE_MS)


def traced_height(ctx: Context, block: BlockTag) -> Height:
    """The height of a block to trace; RpcError in geth's words when there is none."""
    if block == "pending":
        raise server_error("tracing on top of pending is not supported")
    return found_height(ctx, block)


def found_height(ctx: Context, block: BlockTag) -> Height:
    """The height of a block; RpcError in the words of geth's debug_ methods when there is none."""
    found = ctx.find(block)
    if found is None:
        named = data(block.hash) if isinstance(block, BlockHash) else f"#{block}"
        raise server_error(f"block {named} not found")
    return found
