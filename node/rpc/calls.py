"""Calls that nobody signed: eth_call on any retained state, with overrides.

A call runs exactly as its transaction would, on a copy of the state that is thrown
away. Its gas is capped; without fees it pays none.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain import headers
from chain.abi import decode_revert
from chain.blobs import VERSION_BYTE
from chain.blocks import Header
from chain.errors import Reason, Rejected
from chain.execution import block_context
from chain.forks import Fork
from chain.machine import BlockContext, Halt, Machine, Outcome, Tracer
from chain.state import State, StateView
from chain.transactions import Kind, Transaction
from chain.transition import TransactionResult, simulate
from chain.types import ZERO_ADDRESS, ZERO_HASH, Hash, Height
from node.devchain.aloud import Asked, run_aloud, tell_failure
from node.rpc.context import Context
from node.rpc.errors import REVERTED, TIMED_OUT, RpcError, message_of, server_error
from node.rpc.formats import data
from node.rpc.overrides import OverriddenView, overridden_block, place_precompiles
from node.rpc.parameters import BlockTag
from node.rpc.registry import method
from node.rpc.requests import BlockOverrides, CallRequest, StateOverrides
from node.tracing.last_step import TOLD, LastStepTracer, TooLong
from node.tracing.precompile_words import words_for

# An explanation is not worth more.
EXPLAINING_SECONDS: Final = 0.25


class TimedState(State):
    """A state that ends the call it is for when its time is over.

    Every message that a contract sends begins with a checkpoint; what runs without
    sending any is bounded by its gas.
    """

    __slots__ = ("_deadline",)

    def __init__(self, view: StateView, deadline: float) -> None:
        super().__init__(view)
        self._deadline = deadline

    def checkpoint(self) -> int:
        if time.monotonic() > self._deadline:
            raise RpcError(TIMED_OUT, "execution aborted (timeout)")
        return super().checkpoint()


class Scene(Struct, frozen=True):
    """Where calls run: a state, a block around it, the rules in force, by whom, and until when."""

    view: StateView
    block: BlockContext
    fork: Fork
    machine: Machine
    deadline: float  # of time.monotonic()


def next_header(ctx: Context, parent: Header) -> Header:
    """The header that a block on top of `parent` would begin with; its roots mean nothing."""
    developer = ctx.node.developer
    if developer is not None and parent.number == ctx.ledger.height:
        return developer.upcoming()
    timestamp = parent.timestamp + 1
    config = ctx.ledger.config
    merged = parent.difficulty == 0 or config.merged_after(
        ctx.ledger.total_difficulty(Height(parent.number))
    )
    fork = config.fork_at(parent.number + 1, timestamp, merged=merged)
    excess = headers.excess_blob_gas(parent, fork) if fork.blobs else None
    return replace(
        parent,
        number=parent.number + 1,
        timestamp=timestamp,
        difficulty=0 if merged else parent.difficulty,
        base_fee=headers.base_fee(parent, fork) if fork.base_fee else None,
        excess_blob_gas=excess,
        mix_hash=ZERO_HASH,
    )


def scene(
    ctx: Context,
    block: BlockTag,
    state: StateOverrides | None = None,
    around: BlockOverrides | None = None,
) -> Scene:
    """The scene after a block, or in the next one when `block` is "pending"."""
    height = ctx.height(block)
    view: StateView = ctx.view(block)
    header = ctx.header(height)
    if block == "pending":
        header = next_header(ctx, header)
    if around is not None and around.timestamp is not None:
        header = replace(header, timestamp=around.timestamp)
    if around is not None and around.number is not None:
        header = replace(header, number=around.number)

    if block == "pending" or around is not None:
        fork, context = _made_surroundings(ctx, header)
    else:
        fork, context = surroundings(ctx, header)
    if around is not None:
        context = overridden_block(context, around)
    machine: Machine = ctx.node.machine
    if state is not None:
        view = OverriddenView(view, state)
        fork, machine = place_precompiles(state, fork, machine)
    seconds = ctx.node.settings.rpc.call_timeout_ms / 1000
    return Scene(view, context, fork, machine, time.monotonic() + seconds)


def surroundings(ctx: Context, header: Header) -> tuple[Fork, BlockContext]:
    """The fork and the block of a header of the ledger's."""
    return ctx.surroundings.of(header, _made_surroundings, ctx)


def _made_surroundings(ctx: Context, header: Header) -> tuple[Fork, BlockContext]:
    fork = ctx.fork_of(header)
    return fork, block_context(header, fork, ctx.ledger.config, ctx.block_hash)


def call_fees(call: CallRequest) -> tuple[int, int]:
    """The fee cap and the priority fee that a call is to pay: none where it names none."""
    if call.gas_price is None:
        return call.max_fee or 0, call.max_priority_fee or 0
    if call.max_fee is not None or call.max_priority_fee is not None:
        raise server_error("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    return call.gas_price, call.gas_price


def as_developers_say(ctx: Context, call: CallRequest, block: BlockContext) -> CallRequest:
    """The call; on a developer's chain one that names a priority fee alone has a cap as well."""
    if ctx.node.developer is None or call.max_fee is not None or call.max_priority_fee is None:
        return call
    return replace(call, max_fee=call.max_priority_fee + 2 * block.base_fee)


def call_transaction(call: CallRequest, gas: int, nonce: int, block: BlockContext) -> Transaction:
    """The transaction that a call describes, unsigned."""
    if call.chain_id is not None and call.chain_id != block.chain_id:
        raise server_error(
            f"chainId does not match node's (have={call.chain_id}, want={block.chain_id})"
        )
    max_fee, max_priority_fee = call_fees(call)
    max_blob_fee = call.max_blob_fee or 0
    if call.authorizations is not None:
        kind = Kind.SET_CODE
    elif call.blob_hashes:
        kind = Kind.BLOB
    elif call.gas_price is None:
        kind = Kind.DYNAMIC_FEE
    else:
        kind = Kind.ACCESS_LIST if call.access_list else Kind.LEGACY
    return Transaction(
        kind=kind,
        chain_id=block.chain_id,
        nonce=nonce,
        max_priority_fee=max_priority_fee,
        max_fee=max_fee,
        gas_limit=gas,
        to=call.to,
        value=call.value or 0,
        data=call.data or b"",
        v=0,
        r=0,
        s=0,
        raw=b"",
        hash=ZERO_HASH,
        signing_hash=ZERO_HASH,
        access_list=call.access_list or (),
        max_blob_fee=max_blob_fee,
        blob_hashes=call.blob_hashes or (),
        authorizations=call.authorizations or (),
    )


def check_call(call: CallRequest, block: BlockContext, fork: Fork) -> None:
    """Raises `Rejected`, in geth's order and words, for what no transaction could be like."""
    cap, tip = call_fees(call)
    who = f"address 0x{(call.sender or ZERO_ADDRESS).hex()}"
    if cap < tip:
        raise Rejected(
            Reason.TIP_ABOVE_FEE_CAP,
            f"{who}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}",
        )
    if (cap or tip) and cap < block.base_fee:
        raise Rejected(
            Reason.FEE_CAP_BELOW_BASE_FEE,
            f"{who}, maxFeePerGas: {cap}, baseFee: {block.base_fee}",
        )
    if call.blob_hashes is not None:
        _check_blobs(call, call.blob_hashes, fork)
    if call.authorizations is not None:
        _check_authorizations(call)
    size, limit = len(call.data or b""), fork.initcode_size_max
    if call.to is None and limit is not None and size > limit:
        raise Rejected(Reason.INITCODE_TOO_LARGE, f"code size {size} limit {limit}")


def _check_authorizations(call: CallRequest) -> None:
    sender = f"(sender 0x{(call.sender or ZERO_ADDRESS).hex()})"
    if call.to is None:
        raise Rejected(Reason.AUTHORIZATION_CREATES_CONTRACT, sender)
    if not call.authorizations:
        raise Rejected(Reason.NO_AUTHORIZATIONS, sender)


def _check_blobs(call: CallRequest, hashes: tuple[Hash, ...], fork: Fork) -> None:
    if call.to is None:
        raise Rejected(Reason.BLOB_CREATES_CONTRACT)
    if not hashes:
        raise Rejected(Reason.NO_BLOBS)
    most = fork.transaction_blobs_max
    if most is not None and len(hashes) > most:
        raise Rejected(Reason.TOO_MANY_BLOBS, "blob transaction has too many blobs")
    for index, blob_hash in enumerate(hashes):
        if blob_hash[0] != VERSION_BYTE:
            raise Rejected(Reason.BAD_BLOB_HASH, f"blob {index} has invalid hash version")


def run_call(
    ctx: Context,
    where: Scene,
    call: CallRequest,
    gas: int,
    tracer: Tracer | None = None,
) -> TransactionResult:
    """Run a call with this much gas on a fresh copy of the scene's state.

    Raises `Rejected` when it could not even start. On a developer's chain it may offer less than
    the base fee, which is then what it offers: with a block per transaction base fees fall, and
    tools (Ape) offer the next block's for a call after the last one.
    """
    sender = call.sender or ZERO_ADDRESS
    state = TimedState(where.view, where.deadline)
    account = where.view.account(sender)
    nonce = 0 if account is None else account.nonce
    block = where.block
    call = as_developers_say(ctx, call, block)
    transaction = call_transaction(call, gas, nonce, block)
    if ctx.node.developer is not None and 0 < transaction.max_fee < block.base_fee:
        block = replace(block, base_fee=transaction.max_fee)
    check_call(call, block, where.fork)
    return simulate(state, transaction, sender, block, where.machine, where.fork, tracer=tracer)


def run_told(
    ctx: Context, where: Scene, call: CallRequest, gas: int, method: str
) -> TransactionResult:
    """As `run_call`; on a developer's chain what the call prints is told, as `method`'s."""
    developer = ctx.node.developer
    if developer is None or developer.ears is None:
        return run_call(ctx, where, call, gas)
    return run_aloud(_asked(ctx, where, call, gas, method), developer.ears)


def tell_failed(ctx: Context, where: Scene, call: CallRequest, gas: int, method: str) -> None:
    """On a developer's chain, tell of a call that failed, which won't be sent for that."""
    developer = ctx.node.developer
    if developer is not None and developer.ears is not None:
        with suppress(RpcError):
            tell_failure(_asked(ctx, where, call, gas, method), developer.ears)


def _asked(ctx: Context, where: Scene, call: CallRequest, gas: int, method: str) -> Asked:
    def run(view: StateView, tracer: Tracer | None) -> TransactionResult:
        return run_call(ctx, replace(where, view=view), call, gas, tracer)

    return Asked(method, call.to, call.data or b"", where.view, run)


def capped_gas(ctx: Context, call: CallRequest) -> int:
    limit = ctx.node.settings.rpc.call_gas_max
    return limit if call.gas is None else min(call.gas, limit)


def not_started(rejected: Rejected, gas: int) -> RpcError:
    """The error for a call that was refused before it ran."""
    return server_error(f"err: {message_of(rejected)} (supplied gas {gas})")


def failure(result: TransactionResult | Outcome) -> RpcError | None:
    """The error for a call that failed, None for one that did not.

    A revert has code 3, its data, and its reason in words where it has any.
    """
    if result.halt is None:
        return None
    if result.halt is not Halt.REVERT:
        return server_error(result.halt.value)
    reason = decode_revert(result.output)
    message = "execution reverted" if reason is None else f"execution reverted: {reason}"
    return RpcError(REVERTED, message, data(result.output))


def explained(
    ctx: Context, where: Scene, call: CallRequest, gas: int, result: TransactionResult
) -> RpcError | None:
    """As `failure`, with what was wrong: the opcode, or the input of a precompile."""
    deadline = min(where.deadline, time.monotonic() + EXPLAINING_SECONDS)
    return told(call, result, lambda tracer: run_call(ctx, where, call, gas, tracer), deadline)


def told(
    call: CallRequest,
    result: TransactionResult,
    run_again: Callable[[Tracer], TransactionResult],
    deadline: float,
) -> RpcError | None:
    """As `explained`: where an opcode was wrong, the call runs again, step by step, for a while."""
    if result.halt is Halt.PRECOMPILE and call.to is not None:
        return server_error(words_for(int.from_bytes(call.to, "big"), call.data or b""))
    if result.halt in TOLD:
        tracer = LastStepTracer(deadline)
        with suppress(TooLong):
            if run_again(tracer).halt is result.halt:
                return server_error(tracer.words(result.halt))
    return failure(result)


def _call_quickly(
    ctx: Context,
    request: CallRequest,
    block: BlockTag,
    state: StateOverrides | None,
    around: BlockOverrides | None,
) -> bytes | None:
    """As `call`, in the event loop; None where that might take long."""
    if ctx.quick is None or state is not None or around is not None:
        return None
    outcome = ctx.quick.ask(ctx, request, block)
    if outcome is None or outcome.halt in TOLD or outcome.halt is Halt.PRECOMPILE:
        return None
    if (error := failure(outcome)) is not None:
        raise error
    return outcome.output


@method("eth_call", of_head=True, quickly=_call_quickly)
def call(
    ctx: Context,
    request: CallRequest,
    block: BlockTag = "latest",
    state: StateOverrides | None = None,
    around: BlockOverrides | None = None,
) -> bytes:
    """What a call returns, run after a block; nothing is kept."""
    where = scene(ctx, block, state, around)
    gas = capped_gas(ctx, request)
    try:
        result = run_told(ctx, where, request, gas, "eth_call")
    except Rejected as rejected:
        raise not_started(rejected, gas) from None
    if (error := explained(ctx, where, request, gas, result)) is not None:
        raise error
    return result.output
