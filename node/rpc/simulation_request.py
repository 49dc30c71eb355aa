"""What eth_simulateV1 is asked for: blocks of calls, and how they continue the chain."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from chain.blocks import Header
from node.rpc.errors import CLIENT_LIMIT_EXCEEDED, RpcError, invalid_params
from node.rpc.parameters import parse_bool
from node.rpc.requests import (
    BlockOverrides,
    CallRequest,
    StateOverrides,
    parse_block_overrides,
    parse_call,
    parse_state_overrides,
)
from node.rpc.structures import Structure, listed

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


class Simulation(Struct, frozen=True):
    blocks: tuple[SimulatedBlock, ...]
    trace_transfers: bool = False
    validation: bool = False
    full: bool = False  # whole transactions in the answer


def parse_simulation(value: Any) -> Simulation:
    """The argument of eth_simulateV1; ValueError or RpcError when it is malformed."""
    fields = _SIMULATION.read(value)
    blocks = fields.get("BlockStateCalls", ())
    if not blocks:
        raise invalid_params("empty input")
    if len(blocks) > BLOCKS_MAX:
        raise RpcError(CLIENT_LIMIT_EXCEEDED, "too many blocks")
    if (calls := sum(len(block.calls) for block in blocks)) > CALLS_MAX:
        raise RpcError(CLIENT_LIMIT_EXCEEDED, f"too many calls: {calls} > {CALLS_MAX}")
    return Simulation(
        blocks,
        trace_transfers=fields.get("TraceTransfers", False),
        validation=fields.get("Validation", False),
        full=fields.get("ReturnFullTransactions", False),
    )


def _parse_block(value: Any) -> SimulatedBlock:
    fields = _BLOCK.read(value)
    return SimulatedBlock(
        around=fields.get("BlockOverrides", BlockOverrides()),
        state=fields.get("StateOverrides", StateOverrides({})),
        calls=fields.get("Calls", ()),
    )


_BLOCK: Final = Structure(
    "ethapi.simBlock",
    {
        "BlockOverrides": parse_block_overrides,
        "StateOverrides": parse_state_overrides,
        "Calls": listed("[]ethapi.TransactionArgs", parse_call),
    },
)
_SIMULATION: Final = Structure(
    "ethapi.simOpts",
    {
        "BlockStateCalls": listed("[]ethapi.simBlock", _parse_block),
        "TraceTransfers": parse_bool,
        "Validation": parse_bool,
        "ReturnFullTransactions": parse_bool,
    },
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
