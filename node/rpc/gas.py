"""How much gas a call needs, and what it touches: eth_estimateGas, eth_createAccessList."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from msgspec.structs import replace

from chain.errors import Reason, Rejected
from chain.forks import CALL_STIPEND
from chain.machine import Halt
from chain.transactions import AccessList
from chain.transition import TransactionResult, contract_address
from chain.types import EMPTY_CODE_HASH, ZERO_ADDRESS, Address, Hash
from node.rpc.calls import (
    Scene,
    as_developers_say,
    call_fees,
    capped_gas,
    explained,
    not_started,
    run_call,
    scene,
    tell_failed,
)
from node.rpc.context import Context
from node.rpc.errors import TIMED_OUT, RpcError, message_of, server_error
from node.rpc.formats import Json, access_list_json
from node.rpc.parameters import BlockTag
from node.rpc.registry import method
from node.rpc.requests import BlockOverrides, CallRequest, StateOverrides

# How far above the least gas that is enough an estimate may be, as a part of it; geth's.
_ERROR_RATIO: Final = 0.015
_NOT_ENOUGH: Final = (Reason.INTRINSIC_GAS_TOO_LOW, Reason.FLOOR_GAS_TOO_LOW)
# Rounds until the access list of a call stops changing; it takes two or three.
_ROUNDS_MAX: Final = 16


@method("eth_estimateGas")
def estimate_gas(
    ctx: Context,
    request: CallRequest,
    block: BlockTag = "latest",
    state: StateOverrides | None = None,
    around: BlockOverrides | None = None,
) -> int:
    """The least gas limit with which a call succeeds, at most 1.5% above it."""
    return estimate(ctx, request, scene(ctx, block, state, around))


def estimate(ctx: Context, request: CallRequest, where: Scene) -> int:
    """As geth: run with all the gas there is, then search between that and what was used.

    On a developer's chain a plain transfer of nobody's may be of more than nobody has, as on
    anvil: on the main network the zero address, which it is then from, is rich.
    """
    high = _most_gas(ctx, request, where)
    plain = request.to is not None and not request.data and not _has_code(where, request.to)
    transfer_gas = where.fork.gas_transaction
    if plain and not request.access_list and not request.authorizations and high >= transfer_gas:
        if ctx.node.developer is not None and request.sender is None:
            return transfer_gas
        with suppress(RpcError):  # what is wrong is told of the attempt with all the gas
            result = _attempt(ctx, where, request, transfer_gas)
            if result is not None and result.halt is None:
                return transfer_gas

    result = _attempt(ctx, where, request, high)
    if result is None or result.halt is Halt.OUT_OF_GAS:
        raise server_error(f"gas required exceeds allowance ({high})")
    if (error := explained(ctx, where, request, high, result)) is not None:
        tell_failed(ctx, where, request, high, "eth_estimateGas")
        raise error
    low = result.gas_used - 1  # enough only without refunds, and one less never is
    # Most calls need what they held at most, and a 64th per call level that stays behind.
    likely = (result.gas_needed + CALL_STIPEND) * 64 // 63
    if likely < high:
        low, high = _narrow(ctx, where, request, low, high, likely)
    while low + 1 < high and (high - low) / high >= _ERROR_RATIO:
        # Little is needed as a rule: the search leans to the low side.
        middle = min((low + high) // 2, 2 * low)
        low, high = _narrow(ctx, where, request, low, high, middle)
        if time.monotonic() > where.deadline:
            raise RpcError(TIMED_OUT, "execution aborted (timeout)")
    return high


def _narrow(
    ctx: Context, where: Scene, request: CallRequest, low: int, high: int, gas: int
) -> tuple[int, int]:
    result = _attempt(ctx, where, request, gas)
    enough = result is not None and result.halt is None
    return (low, gas) if enough else (gas, high)


def _attempt(
    ctx: Context, where: Scene, request: CallRequest, gas: int
) -> TransactionResult | None:
    """Run with this much gas; None when it is too little to start with."""
    try:
        return run_call(ctx, where, request, gas)
    except Rejected as rejected:
        if rejected.reason in _NOT_ENOUGH:
            return None
        raise server_error(f"failed with {gas} gas: {message_of(rejected)}") from None


def _most_gas(ctx: Context, request: CallRequest, where: Scene) -> int:
    """The most gas that the caller, the block and the sender's balance allow."""
    gas = request.gas if request.gas and request.gas >= 21_000 else where.block.gas_limit
    gas = min(gas, ctx.node.settings.rpc.call_gas_max)
    if where.fork.transaction_gas_max is not None:
        gas = min(gas, where.fork.transaction_gas_max)
    price, _ = call_fees(as_developers_say(ctx, request, where.block))
    if price:
        account = where.view.account(request.sender or ZERO_ADDRESS)
        available = 0 if account is None else account.balance
        value = request.value or 0
        if value >= available:
            raise server_error("insufficient funds for transfer")
        gas = min(gas, (available - value) // price)
    return gas


def _has_code(where: Scene, address: Address) -> bool:
    account = where.view.account(address)
    return account is not None and account.code_hash != EMPTY_CODE_HASH


# -- access lists ----------------------------------------------------------------------------------

_SLOAD: Final = 0x54
_SSTORE: Final = 0x55
_ADDRESS_FIRST: Final = frozenset({0x31, 0x3B, 0x3C, 0x3F, 0xFF})  # BALANCE, EXTCODE*, SELFDESTRUCT
_ADDRESS_SECOND: Final = frozenset({0xF1, 0xF2, 0xF4, 0xFA})  # CALL and its kind


class AccessTracer:
    """Notes every account and slot that a call touches, reverted or not.

    Accounts in `free` are warm anyway and only listed for their slots.
    """

    wants_steps = True

    def __init__(self, known: AccessList, free: frozenset[Address]) -> None:
        self._free = free
        self._slots: dict[Address, dict[int, None]] = {}
        for address, keys in known:
            if address not in free or keys:
                slots = self._slots.setdefault(address, {})
                slots.update((int.from_bytes(key, "big"), None) for key in keys)

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: Any) -> None:
        stack: Sequence[int] = frame.stack
        if opcode in (_SLOAD, _SSTORE):
            if stack:
                self._slots.setdefault(frame.address, {})[stack[-1]] = None
        elif opcode in _ADDRESS_FIRST:
            if stack:
                self._touch(stack[-1])
        elif opcode in _ADDRESS_SECOND and len(stack) >= 5:
            self._touch(stack[-2])

    def _touch(self, value: int) -> None:
        address = Address((value & (2**160 - 1)).to_bytes(20, "big"))
        if address not in self._free:
            self._slots.setdefault(address, {})

    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None:
        """What a frame is entered with was noted at the step that entered it."""

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """What a frame touched stays noted, however it ends."""

    def access_list(self) -> AccessList:
        return tuple(
            (address, tuple(Hash(slot.to_bytes(32, "big")) for slot in sorted(slots)))
            for address, slots in sorted(self._slots.items())
        )


@method("eth_createAccessList")
def create_access_list(
    ctx: Context,
    request: CallRequest,
    block: BlockTag = "latest",
    state: StateOverrides | None = None,
) -> Json:
    """The access list that makes a call cheapest, the gas it then uses, and its error if any."""
    where = scene(ctx, block, state)
    gas = capped_gas(ctx, request)
    if request.gas is None:
        gas = min(gas, where.block.gas_limit)
        if where.fork.transaction_gas_max is not None:
            gas = min(gas, where.fork.transaction_gas_max)
    free = _free_addresses(where, request)
    known = request.access_list or ()
    for _ in range(_ROUNDS_MAX):
        tracer = AccessTracer(known, free)
        try:
            result = run_call(ctx, where, replace(request, access_list=known), gas, tracer)
        except Rejected as rejected:
            raise not_started(rejected, gas) from None
        found = tracer.access_list()
        if found == known:
            break
        known = found
    answer: Json = {"accessList": access_list_json(known), "gasUsed": hex(result.gas_used)}
    listed = replace(request, access_list=known)
    if (error := explained(ctx, where, listed, gas, result)) is not None:
        answer["error"] = error.message
    return answer


def _free_addresses(where: Scene, request: CallRequest) -> frozenset[Address]:
    """Accounts that every transaction like this one has warm from the start."""
    sender = request.sender or ZERO_ADDRESS
    target = request.to
    if target is None:
        account = where.view.account(sender)
        target = contract_address(sender, 0 if account is None else account.nonce)
    return where.fork.precompiles | {sender, target}
