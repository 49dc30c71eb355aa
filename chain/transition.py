"""One transaction applied to a state (Yellow Paper section 6 and the EIPs named below).

`apply_transaction` refuses with `Rejected` before it changes anything; from then on
the transaction is part of the block, whether it succeeds or fails. `simulate` runs a
call that nobody signed, for RPC.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from chain import codec
from chain.blocks import Log
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.forks import GAS_PER_BLOB, NONCE_MAX, Fork
from chain.machine import (
    BlockContext,
    Halt,
    Machine,
    Message,
    Outcome,
    Tracer,
    TransactionContext,
)
from chain.state import State
from chain.transactions import Checked, Transaction, authority_of, effective_gas_price
from chain.types import EMPTY_CODE_HASH, Address
from chain.validation import floor_gas, intrinsic_gas

# EIP-7702: an account whose code is this prefix and an address runs that address's code.
DELEGATION_PREFIX: Final = b"\xef\x01\x00"
_DELEGATION_SIZE: Final = 23


class TransactionResult(Struct, frozen=True):
    """What a transaction did. Gas in units, fees in wei."""

    gas_used: int  # after refunds and the floor: what is paid for
    gas_needed: int  # the most gas held at any time: what the gas limit must cover
    gas_price: int  # effective, per gas
    halt: Halt | None  # None: success
    output: bytes  # return or revert data; a creation's code
    logs: tuple[Log, ...]  # none when it failed
    created: Address | None  # the contract's address, when the transaction is a creation


def delegate_of(code: bytes) -> Address | None:
    """The address that an account's code delegates to, or None (EIP-7702)."""
    if len(code) == _DELEGATION_SIZE and code.startswith(DELEGATION_PREFIX):
        return Address(code[3:])
    return None


def contract_address(sender: Address, nonce: int) -> Address:
    """Where a creation by `sender` with `nonce` deploys."""
    payload = codec.encode_list((codec.encode_bytes(sender), codec.encode_int(nonce)))
    return Address(keccak(payload)[12:])


def apply_transaction(
    state: State,
    checked: Checked,
    block: BlockContext,
    machine: Machine,
    fork: Fork,
    *,
    gas_available: int,
    blob_gas_available: int = 0,
    tracer: Tracer | None = None,
) -> TransactionResult:
    """Apply a checked transaction; `state` afterwards holds its effect.

    `gas_available` and `blob_gas_available` are what the block has left. Raises
    `Rejected`, with `state` unchanged, when the transaction can't be in this block.
    """
    transaction, sender = checked.transaction, checked.sender
    _check_sender(state, transaction.nonce, sender, fork)
    if transaction.gas_limit > gas_available:
        raise Rejected(
            Reason.BLOCK_GAS_EXCEEDED, f"gas limit {transaction.gas_limit}, left {gas_available}"
        )
    if len(transaction.blob_hashes) * GAS_PER_BLOB > blob_gas_available:
        raise Rejected(Reason.BLOB_GAS_EXCEEDED, f"{len(transaction.blob_hashes)} blobs")
    if transaction.max_fee < block.base_fee:
        raise Rejected(
            Reason.FEE_CAP_BELOW_BASE_FEE,
            f"address 0x{sender.hex()}, maxFeePerGas: {transaction.max_fee}, "
            f"baseFee: {block.base_fee}",
        )
    return _execute(state, transaction, sender, block, machine, fork, tracer)


def simulate(
    state: State,
    transaction: Transaction,
    sender: Address,
    block: BlockContext,
    machine: Machine,
    fork: Fork,
    *,
    tracer: Tracer | None = None,
    shows_base_fee: bool = False,
) -> TransactionResult:
    """Run an unsigned call as if it were a transaction, for eth_call and its like.

    Nonce, sender code and block gas are not checked. Without fees (both zero) the
    base fee is not checked either and reads as zero, as in geth, unless
    `shows_base_fee`. Raises `Rejected` for insufficient funds, fees below the base
    fee and too little gas to start.
    """
    if transaction.max_fee == 0 and transaction.max_priority_fee == 0:
        if shows_base_fee:
            return _execute(state, transaction, sender, block, machine, fork, tracer)
        pays_for_blobs = transaction.max_blob_fee > 0 or not transaction.blob_hashes
        block = without_fees(block, keep_blob_fee=pays_for_blobs)
    elif transaction.max_fee < block.base_fee:
        raise Rejected(
            Reason.FEE_CAP_BELOW_BASE_FEE,
            f"address 0x{sender.hex()}, maxFeePerGas: {transaction.max_fee}, "
            f"baseFee: {block.base_fee}",
        )
    return _execute(state, transaction, sender, block, machine, fork, tracer)


@lru_cache(maxsize=2)  # calls come in rows, and a machine knows the block again
def without_fees(block: BlockContext, *, keep_blob_fee: bool) -> BlockContext:
    """The block as a call without fees sees it."""
    return BlockContext(
        number=block.number,
        timestamp=block.timestamp,
        coinbase=block.coinbase,
        gas_limit=block.gas_limit,
        chain_id=block.chain_id,
        base_fee=0,
        randomness=block.randomness,
        blob_base_fee=block.blob_base_fee if keep_blob_fee else 0,
        block_hash=block.block_hash,
    )


def _check_sender(state: State, nonce: int, sender: Address, fork: Fork) -> None:
    """The nonce is the sender's next one, and the sender is no contract (EIP-3607)."""
    account = state.account(sender)
    expected = 0 if account is None else account.nonce
    if nonce < expected:
        raise Rejected(
            Reason.NONCE_TOO_LOW, f"address 0x{sender.hex()}, tx: {nonce} state: {expected}"
        )
    if nonce > expected:
        raise Rejected(
            Reason.NONCE_TOO_HIGH, f"address 0x{sender.hex()}, tx: {nonce} state: {expected}"
        )
    if nonce >= NONCE_MAX:
        raise Rejected(Reason.NONCE_OVERFLOW, f"address 0x{sender.hex()}, nonce: {nonce}")
    if fork.contracts_may_send:
        return
    if account is not None and account.code_hash != EMPTY_CODE_HASH:
        code = state.code_of(account.code_hash)
        if not (fork.delegations and delegate_of(code) is not None):
            detail = f"address 0x{sender.hex()}, len(code): {len(code)}"
            raise Rejected(Reason.SENDER_NOT_EOA, detail)


def _execute(
    state: State,
    transaction: Transaction,
    sender: Address,
    block: BlockContext,
    machine: Machine,
    fork: Fork,
    tracer: Tracer | None,
) -> TransactionResult:
    """Buy gas, run the message, refund, pay the coinbase."""
    gas_limit = transaction.gas_limit
    gas_price = effective_gas_price(transaction, block.base_fee)
    intrinsic = intrinsic_gas(transaction, fork)
    floor = floor_gas(transaction.data, fork)
    if gas_limit < intrinsic:
        raise Rejected(Reason.INTRINSIC_GAS_TOO_LOW, f"have {gas_limit}, want {intrinsic}")
    if gas_limit < floor:
        raise Rejected(Reason.FLOOR_GAS_TOO_LOW, f"have {gas_limit}, want {floor}")

    upfront = _upfront_cost(state, transaction, sender, gas_price, block.blob_base_fee)
    state.begin_transaction()
    account = state.account(sender)
    nonce = 0 if account is None else account.nonce
    state.charge_and_count(sender, upfront)
    if transaction.authorizations:
        _apply_authorizations(state, transaction, block.chain_id, fork)

    outcome, created = _run(
        state, transaction, sender, nonce, gas_limit - intrinsic, gas_price,
        block, machine, fork, tracer,
    )  # fmt: skip

    used = gas_limit - outcome.gas_left
    needed = max(used, floor)
    used -= min(used // fork.refund_quotient, state.refund)
    used = max(used, floor)
    state.add_balance(sender, (gas_limit - used) * gas_price)
    # Only a simulated call may pay less than the base fee.
    earned = gas_price if fork.keeps_base_fee else max(gas_price - block.base_fee, 0)
    state.add_balance(block.coinbase, used * earned)
    state.end_transaction(fork)
    return TransactionResult(
        gas_used=used,
        gas_needed=needed,
        gas_price=gas_price,
        halt=outcome.halt,
        output=outcome.output,
        logs=tuple(state.logs),
        created=created,
    )


def _upfront_cost(
    state: State, transaction: Transaction, sender: Address, gas_price: int, blob_base_fee: int
) -> int:
    """What gas and blobs cost in advance; the balance must bear the worst case and the value."""
    worst = transaction.gas_limit * transaction.max_fee + transaction.value
    cost = transaction.gas_limit * gas_price
    if transaction.blob_hashes:
        if transaction.max_blob_fee < blob_base_fee:
            raise Rejected(
                Reason.BLOB_FEE_CAP_TOO_LOW,
                f"address 0x{sender.hex()} blobGasFeeCap: {transaction.max_blob_fee}, "
                f"blobBaseFee: {blob_base_fee}",
            )
        blob_gas = len(transaction.blob_hashes) * GAS_PER_BLOB
        worst += blob_gas * transaction.max_blob_fee
        cost += blob_gas * blob_base_fee
    balance = state.balance(sender)
    if worst >= 2**256:
        raise Rejected(
            Reason.INSUFFICIENT_FUNDS,
            f"address 0x{sender.hex()} required balance exceeds 256 bits",
        )
    if balance < worst:
        raise Rejected(
            Reason.INSUFFICIENT_FUNDS, f"address 0x{sender.hex()} have {balance} want {worst}"
        )
    return cost


def _warm_up(
    state: State, transaction: Transaction, sender: Address, coinbase: Address, fork: Fork
) -> None:
    """What a transaction has touched before it runs (EIP-2929, EIP-2930, EIP-3651)."""
    state.prewarm(fork.precompiles)
    state.warm_address(sender)
    if transaction.to is not None:
        state.warm_address(transaction.to)
    if fork.warm_coinbase:
        state.warm_address(coinbase)
    for address, slots in transaction.access_list:
        state.warm_address(address)
        for slot in slots:
            state.warm_slot(address, int.from_bytes(slot, "big"))


def _apply_authorizations(
    state: State, transaction: Transaction, chain_id: int, fork: Fork
) -> None:
    """Point the signers' accounts at code; a tuple that does not fit is skipped (EIP-7702)."""
    for authorization in transaction.authorizations:
        if authorization.chain_id not in (0, chain_id) or authorization.nonce >= NONCE_MAX:
            continue
        authority = authority_of(authorization)
        if authority is None:
            continue
        state.warm_address(authority)
        code = state.code(authority)
        if code and delegate_of(code) is None:
            continue
        if state.nonce(authority) != authorization.nonce:
            continue
        if state.exists(authority):
            state.refund += fork.gas_authorization_refund
        cleared = not any(authorization.address)
        state.set_code(authority, b"" if cleared else DELEGATION_PREFIX + authorization.address)
        state.set_nonce(authority, authorization.nonce + 1)


def _run(
    state: State,
    transaction: Transaction,
    sender: Address,
    nonce: int,
    gas: int,
    gas_price: int,
    block: BlockContext,
    machine: Machine,
    fork: Fork,
    tracer: Tracer | None,
) -> tuple[Outcome, Address | None]:
    """The top-level message; returns its outcome and the address of a creation."""
    target = transaction.to
    created: Address | None = None
    if target is None:
        created = contract_address(sender, nonce)
        message = Message(
            caller=sender,
            to=None,
            address=created,
            value=transaction.value,
            data=b"",
            gas=gas,
            code=transaction.data,
            code_address=created,
        )
    else:
        code = state.code(target)
        if fork.delegations and code and (delegate := delegate_of(code)) is not None:
            state.warm_address(delegate)
            code = state.code(delegate)
        if not code and tracer is None and target not in fork.precompiles:
            # Nothing to run: the machine would only move the value.
            state.sub_balance(sender, transaction.value)
            state.add_balance(target, transaction.value)
            return Outcome(gas, b"", None), None
        message = Message(
            caller=sender,
            to=target,
            address=target,
            value=transaction.value,
            data=transaction.data,
            gas=gas,
            code=code,
            code_address=target,
        )
    if fork.access_lists:
        _warm_up(state, transaction, sender, block.coinbase, fork)
    context = TransactionContext(sender, gas_price, transaction.blob_hashes)
    return machine.execute(message, state, block, context, fork, tracer), created
