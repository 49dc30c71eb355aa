"""What eth_simulateV1 is asked for: blocks of calls, and how they continue the chain."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from chain.blocks import Header, Withdrawal
from chain.types import Hash
from node.rpc.errors import CLIENT_LIMIT_EXCEEDED, RpcError, invalid_params
from node.rpc.parameters import (
    parse_address,
    parse_bool,
    parse_hash,
    parse_list,
    parse_object,
    parse_uint64,
)
from node.rpc.requests import (
    BlockOverrides,
    CallRequest,
    StateOverrides,
    parse_block_overrides,
    parse_call,
    parse_state_overrides,
)

BLOCKS_MAX: Final = 256
CALLS_MAX: Final = 1000
_SECONDS_APART: Final = 12  # blocks whose time is not given

NUMBER_NOT_IN_ORDER: Final = -38020
TIME_NOT_IN_ORDER: Final = -38021


class SimulatedBlock(Struct, frozen=True):
    """A block as it is wanted. `around.number` and `.timestamp` may be None before `continued`."""

    around: BlockOverrides = BlockOverrides()
    state: StateOverrides = StateOverrides({})
    calls: tuple[CallRequest, ...] = ()
    beacon_root: Hash | None = None
    withdrawals: tuple[Withdrawal, ...] = ()


class Simulation(Struct, frozen=True):
    blocks: tuple[SimulatedBlock, ...]
    trace_transfers: bool = False
    validation: bool = False
    full: bool = False  # whole transactions in the answer


def parse_simulation(value: Any) -> Simulation:
    """The argument of eth_simulateV1; ValueError or RpcError when it is malformed."""
    fields = parse_object(value)
    items = fields.get("blockStateCalls")
    blocks = tuple(_parse_block(item) for item in parse_list([] if items is None else items))
    if not blocks:
        raise invalid_params("empty input")
    if len(blocks) > BLOCKS_MAX:
        raise RpcError(CLIENT_LIMIT_EXCEEDED, "too many blocks")
    if (calls := sum(len(block.calls) for block in blocks)) > CALLS_MAX:
        raise RpcError(CLIENT_LIMIT_EXCEEDED, f"too many calls: {calls} > {CALLS_MAX}")
    return Simulation(
        blocks,
        trace_transfers=_flag(fields, "traceTransfers"),
        validation=_flag(fields, "validation"),
        full=_flag(fields, "returnFullTransactions"),
    )


def _flag(fields: dict[str, Any], key: str) -> bool:
    value = fields.get(key)
    return False if value is None else bool(parse_bool(value))


def _parse_block(value: Any) -> SimulatedBlock:
    fields = parse_object(value)
    around = dict(parse_object(fields.get("blockOverrides") or {}))
    beacon_root, withdrawals = around.pop("beaconRoot", None), around.pop("withdrawals", None)
    return SimulatedBlock(
        around=parse_block_overrides(around),
        state=parse_state_overrides(fields.get("stateOverrides") or {}),
        calls=tuple(parse_call(item) for item in parse_list(fields.get("calls") or [])),
        beacon_root=None if beacon_root is None else parse_hash(beacon_root),
        withdrawals=tuple(parse_withdrawal(item) for item in parse_list(withdrawals or [])),
    )


def parse_withdrawal(value: Any) -> Withdrawal:
    fields = parse_object(value)
    return Withdrawal(
        index=parse_uint64(fields.get("index")),
        validator_index=parse_uint64(fields.get("validatorIndex")),
        address=parse_address(fields.get("address")),
        amount=parse_uint64(fields.get("amount")),
    )


def continued(blocks: tuple[SimulatedBlock, ...], base: Header) -> Iterator[SimulatedBlock]:
    """The blocks with their numbers and times, after `base`; gaps are filled with empty ones.

    RpcError when numbers or times don't rise, or when there would be too many blocks.
    """
    number, time = base.number, base.timestamp
    for block in blocks:
        wanted = number + 1 if block.around.number is None else block.around.number
        if wanted <= number:
            raise RpcError(
                NUMBER_NOT_IN_ORDER, f"block numbers must be in order: {wanted} <= {number}"
            )
        if wanted - base.number > BLOCKS_MAX:
            raise RpcError(CLIENT_LIMIT_EXCEEDED, "too many blocks")
        for missing in range(number + 1, wanted):
            time += _SECONDS_APART
            yield SimulatedBlock(BlockOverrides(number=missing, timestamp=time))
        at = time + _SECONDS_APART if block.around.timestamp is None else block.around.timestamp
        if at <= time:
            raise RpcError(TIME_NOT_IN_ORDER, f"block timestamps must be in order: {at} <= {time}")
        number, time = wanted, at
        yield replace(block, around=replace(block.around, number=number, timestamp=time))
