"""eth_simulateV1: blocks of unsigned calls on top of any retained height; nothing is kept.

Simulated blocks are real ones but for the signatures: each has its state root, its
receipts and its hash, and the next one builds on it.
Source: the execution APIs' specification of eth_simulateV1; words and codes are geth's.
"""

import time
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from chain import headers
from chain.blocks import Header, Log
from chain.commitment import commit
from chain.errors import Reason, Rejected
from chain.execution import BlockExecution, Executed, assemble
from chain.forked import lay
from chain.forks import Fork
from chain.machine import Machine, Tracer
from chain.state import State
from chain.transactions import Kind, Transaction, build_transaction
from chain.transition import TransactionResult, simulate
from chain.types import EMPTY_OMMERS_HASH, ZERO_ADDRESS, ZERO_HASH, Address, Hash, Height
from chain.views import TrieView
from node.rpc.calls import (
    EXPLAINING_SECONDS,
    call_fees,
    call_transaction,
    check_call,
    failure,
    told,
)
from node.rpc.context import Context
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    REVERTED,
    TIMED_OUT,
    RpcError,
    message_of,
)
from node.rpc.formats import Json, block_json, data, log_json
from node.rpc.overrides import check_storage, place_precompiles
from node.rpc.parameters import BlockTag
from node.rpc.registry import method
from node.rpc.replay import StateBetween
from node.rpc.requests import CallRequest, StateOverrides
from node.rpc.simulation_request import SimulatedBlock, Simulation, continued
from node.tracing.transfers import TransferTracer

VM_ERROR: Final = -32015
BLOCK_GAS_EXCEEDED: Final = -38015
_CODES: Final[dict[Reason, int]] = {
    Reason.NONCE_TOO_LOW: -38010,
    Reason.NONCE_TOO_HIGH: -38011,
    Reason.FEE_CAP_BELOW_BASE_FEE: -38012,
    Reason.INTRINSIC_GAS_TOO_LOW: -38013,
    Reason.FLOOR_GAS_TOO_LOW: -38013,
    Reason.INSUFFICIENT_FUNDS: -38014,
    Reason.SENDER_NOT_EOA: -38024,
    Reason.INITCODE_TOO_LARGE: -38025,
    Reason.FEE_OVERFLOW: INVALID_PARAMS,
    Reason.TIP_ABOVE_FEE_CAP: INVALID_PARAMS,
}
_EMPTY_BLOOM: Final = bytes(256)
_NONCE_MAX: Final = 2**64 - 1


class _Call(Struct, frozen=True):
    """A call that was run: what it did and the logs to show for it."""

    transaction: Transaction
    sender: Address
    result: TransactionResult
    error: RpcError | None
    logs: list[Log]


class _Simulator:
    """Runs one simulation's blocks in their order."""

    def __init__(self, ctx: Context, asked: Simulation, base: Header, view: TrieView) -> None:
        self._ctx = ctx
        self._asked = asked
        self._parent = base
        self._base_number = base.number
        self._view = view
        self._hashes: dict[int, Hash] = {}  # of simulated blocks
        settings = ctx.node.settings.rpc
        self._gas_left = settings.call_gas_max  # for all calls together
        self._deadline = time.monotonic() + settings.call_timeout_ms / 1000

    def run(self, block: SimulatedBlock) -> Json:
        """Simulate the next block; gives it as the answer shows it."""
        self._check_time()
        header, fork = self._header(block)
        machine: Machine = self._ctx.node.machine
        if block.state.accounts:
            fork, machine = place_precompiles(block.state, fork, machine)
            self._view = _overridden(self._view, block.state)
        execution = BlockExecution(
            self._view, header, fork, self._ctx.ledger.config, machine, self._block_hash
        )
        if block.around.blob_base_fee is not None:
            execution.context = replace(execution.context, blob_base_fee=block.around.blob_base_fee)
        calls = [self._call(execution, call) for call in block.calls]
        executed = assemble(
            execution,
            [call.transaction for call in calls],
            [call.sender for call in calls],
            (block.around.withdrawals or ()) if fork.withdrawals else None,
        )
        self._view = lay(self._view, executed.changes)
        self._parent = executed.block.header
        self._hashes[header.number] = executed.hash
        fields = block_json(executed.block, executed.hash, executed.senders, full=self._asked.full)
        fields["calls"] = _calls_json(calls, executed)
        return fields

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise RpcError(TIMED_OUT, "execution aborted (timeout)")

    def _header(self, block: SimulatedBlock) -> tuple[Header, Fork]:
        """What the block begins with; what its results decide is still empty."""
        parent, around, config = self._parent, block.around, self._ctx.ledger.config
        assert around.number is not None and around.timestamp is not None
        merged = parent.difficulty == 0 or config.merged_after(
            self._ctx.ledger.total_difficulty(Height(self._base_number))
        )
        fork = config.fork_at(around.number, around.timestamp, merged=merged)
        base_fee = around.base_fee
        if base_fee is None and fork.base_fee:
            base_fee = headers.base_fee(parent, fork) if self._asked.validation else 0
        header = Header(
            parent_hash=headers.header_hash(parent),
            ommers_hash=EMPTY_OMMERS_HASH,
            coinbase=parent.coinbase if around.coinbase is None else around.coinbase,
            state_root=ZERO_HASH,
            transactions_root=ZERO_HASH,
            receipts_root=ZERO_HASH,
            logs_bloom=_EMPTY_BLOOM,
            difficulty=0 if merged else parent.difficulty,
            number=around.number,
            gas_limit=parent.gas_limit if around.gas_limit is None else around.gas_limit,
            gas_used=0,
            timestamp=around.timestamp,
            extra_data=b"",
            mix_hash=Hash((around.randomness or 0).to_bytes(32, "big")),
            nonce=bytes(8),
            base_fee=base_fee if fork.base_fee else None,
            withdrawals_root=ZERO_HASH if fork.withdrawals else None,
            blob_gas_used=0 if fork.blobs else None,
            excess_blob_gas=headers.excess_blob_gas(parent, fork) if fork.blobs else None,
            parent_beacon_root=(block.around.beacon_root or ZERO_HASH)
            if fork.beacon_root
            else None,
            requests_hash=ZERO_HASH if fork.requests else None,
        )
        return header, fork

    def _block_hash(self, number: int) -> Hash:
        if number <= self._base_number:
            return self._ctx.block_hash(number)
        return self._hashes.get(number, ZERO_HASH)

    def _call(self, execution: BlockExecution, call: CallRequest) -> _Call:
        """Run a call as the block's next transaction."""
        self._check_time()
        state, sender = execution.state, call.sender or ZERO_ADDRESS
        left = execution.context.gas_limit - execution.gas_used
        gas = left if call.gas is None else call.gas
        if gas > left:
            raise RpcError(
                BLOCK_GAS_EXCEEDED, f"block gas limit reached: remaining: {left}, required: {gas}"
            )
        gas = min(gas, self._gas_left)
        nonce = state.nonce(sender) if call.nonce is None else call.nonce
        tracer = TransferTracer(state) if self._asked.trace_transfers else None
        try:
            transaction = _transaction(call, gas, nonce, execution)
            if self._asked.validation:
                _check_nonce(transaction, sender, execution)
            check_call(call, execution.context, execution.fork)
            if self._asked.validation:
                _check_fee(transaction, sender, execution)
            result = simulate(
                state,
                transaction,
                sender,
                execution.context,
                execution.machine,
                execution.fork,
                tracer=tracer,
                shows_base_fee=True,
            )
        except Rejected as rejected:
            code = _CODES.get(rejected.reason, INTERNAL_ERROR)
            raise RpcError(code, f"err: {message_of(rejected)} (supplied gas {gas})") from None
        self._gas_left -= result.gas_used
        execution.record(transaction, result)
        logs = list(result.logs) if tracer is None else tracer.merged(result.logs)
        error = self._error(execution, call, transaction, result)
        return _Call(transaction, sender, result, error, logs)

    def _error(
        self,
        execution: BlockExecution,
        call: CallRequest,
        transaction: Transaction,
        result: TransactionResult,
    ) -> RpcError | None:
        """How the call failed, if it did: found out on a copy of the state that it left behind.

        A failed call leaves nothing there that could make it end otherwise, but for its fees.
        """

        def run_again(tracer: Tracer) -> TransactionResult:
            return simulate(
                State(StateBetween(execution.state)),
                transaction,
                call.sender or ZERO_ADDRESS,
                execution.context,
                execution.machine,
                execution.fork,
                tracer=tracer,
                shows_base_fee=True,
            )

        deadline = min(self._deadline, time.monotonic() + EXPLAINING_SECONDS)
        with suppress(Rejected):  # what it cost was all that its sender had
            return told(call, result, run_again, deadline)
        return failure(result)


def _transaction(call: CallRequest, gas: int, nonce: int, execution: BlockExecution) -> Transaction:
    """The transaction that a call stands for, encoded with an empty signature."""
    plain = call_transaction(call, gas, nonce, execution.context)
    max_fee, max_priority_fee = call_fees(call)
    return build_transaction(
        kind=Kind.LEGACY if call.gas_price is not None else plain.kind,
        chain_id=plain.chain_id,
        nonce=nonce,
        gas_limit=gas,
        max_fee=max_fee,
        max_priority_fee=max_priority_fee,
        to=plain.to,
        value=plain.value,
        data=plain.data,
        access_list=plain.access_list,
        max_blob_fee=plain.max_blob_fee,
        blob_hashes=plain.blob_hashes,
        authorizations=plain.authorizations,
    )


def _check_nonce(transaction: Transaction, sender: Address, execution: BlockExecution) -> None:
    expected = execution.state.nonce(sender)
    who = f"address 0x{sender.hex()}"
    if transaction.nonce != expected:
        low = transaction.nonce < expected
        raise Rejected(
            Reason.NONCE_TOO_LOW if low else Reason.NONCE_TOO_HIGH,
            f"{who}, tx: {transaction.nonce} state: {expected}",
        )
    if expected == _NONCE_MAX:
        raise Rejected(Reason.NONCE_OVERFLOW, f"{who}, nonce: {expected}")


def _check_fee(transaction: Transaction, sender: Address, execution: BlockExecution) -> None:
    """Also of a call that offers none, which is free elsewhere."""
    base_fee = execution.context.base_fee
    if transaction.max_fee < base_fee:
        raise Rejected(
            Reason.FEE_CAP_BELOW_BASE_FEE,
            f"address 0x{sender.hex()}, maxFeePerGas: {transaction.max_fee}, baseFee: {base_fee}",
        )


def _overridden(view: TrieView, overrides: StateOverrides) -> TrieView:
    """The view with some accounts changed, as if a transaction before the block had done it."""
    state = State(view)
    for address, override in overrides.accounts.items():
        check_storage(address, override)
        if override.nonce is not None:
            state.set_nonce(address, override.nonce)
        if override.code is not None:
            state.set_code(address, override.code)
        if override.balance is not None:
            state.set_balance(address, override.balance)
        if override.state is not None:
            state.override_storage(address, override.state)
        for slot, value in (override.state_diff or {}).items():
            state.set_storage(address, slot, value)
    return lay(view, commit(view, state.delta()))


def _calls_json(calls: list[_Call], executed: Executed) -> list[Json]:
    shown: list[Json] = []
    header, log_index = executed.block.header, 0
    for index, call in enumerate(calls):
        result, error = call.result, call.error
        fields: Json = {
            "returnData": data(result.output if error is None else b""),
            "logs": [
                log_json(
                    log, header, executed.hash, call.transaction.hash, index, log_index + place
                )
                for place, log in enumerate(call.logs)
            ],
            "gasUsed": hex(result.gas_used),
            "maxUsedGas": hex(result.gas_needed),
            "status": "0x1" if error is None else "0x0",
        }
        log_index += len(call.logs)
        if error is not None:
            fields["error"] = _error_json(error)
        shown.append(fields)
    return shown


def _error_json(error: RpcError) -> Json:
    if error.code != REVERTED:
        return {"message": error.message, "code": VM_ERROR}
    return {"message": error.message, "code": REVERTED, "data": error.data}


@method("eth_simulateV1")
def simulate_blocks(
    ctx: Context, asked: Simulation, block: BlockTag = "latest"
) -> list[dict[str, Any]]:
    """Blocks of calls run one after another, each seeing what those before it did."""
    height = ctx.height(block)
    base = ctx.header(height)
    blocks = list(continued(asked.blocks, base))
    simulator = _Simulator(ctx, asked, base, ctx.view_at(height))
    return [simulator.run(item) for item in blocks]
