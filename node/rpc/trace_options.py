"""How a trace is wanted: geth's TraceConfig and TraceCallConfig."""

import re
from functools import partial
from typing import Any, Final

from msgspec import Struct

from node.rpc.errors import server_error
from node.rpc.parameters import json_kind, parse_count, parse_object, parse_text
from node.rpc.requests import (
    BlockOverrides,
    StateOverrides,
    parse_block_overrides,
    parse_state_overrides,
)
from node.tracing import Factory, choose
from node.tracing.choice import flag
from node.tracing.struct_logs import StructLogOptions, StructLogTracer

_DURATION: Final = re.compile(r"(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_PART: Final = re.compile(r"([\d.]+)([^\d.]+)", re.ASCII)
_SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_DURATION_CHARACTERS_MAX: Final = 64


class TraceOptions(Struct, frozen=True):
    """What makes the tracer, and the time it has in seconds (None: the node's limit)."""

    make: Factory = partial(StructLogTracer, options=StructLogOptions())
    timeout: float | None = None


class TraceCallOptions(Struct, frozen=True):
    """The same for a call that is on no chain, with what is to be different around it.

    With `index` it runs before the block's transaction of that index, else after all.
    """

    trace: TraceOptions = TraceOptions()
    state: StateOverrides | None = None
    around: BlockOverrides | None = None
    index: int | None = None


def parse_trace_options(value: Any) -> TraceOptions:
    """ValueError for options that are not what they should be.

    RpcError (-32000) for a tracer that is unknown or refuses its own, and for a bad duration.
    """
    fields = parse_object(value)
    timeout, name = fields.get("timeout"), parse_text(fields.get("tracer"))
    seconds = None if timeout is None else _parse_duration(parse_text(timeout))
    plain = _struct_log_options(fields)
    if not name:
        return TraceOptions(partial(StructLogTracer, options=plain), seconds)
    try:
        make = choose(name, parse_object(fields.get("tracerConfig")))
    except ValueError as error:
        raise server_error(str(error)) from None
    return TraceOptions(make, seconds)


def parse_trace_call_options(value: Any) -> TraceCallOptions:
    fields = parse_object(value)
    state, around, index = (
        fields.get(key) for key in ("stateOverrides", "blockOverrides", "txIndex")
    )
    return TraceCallOptions(
        parse_trace_options(fields),
        state=None if state is None else parse_state_overrides(state),
        around=None if around is None else parse_block_overrides(around),
        index=None if index is None else parse_count(index),
    )


def _struct_log_options(fields: dict[str, Any]) -> StructLogOptions:
    limit = fields.get("limit") or 0
    if type(limit) is not int or limit < 0:
        raise ValueError(f"json: cannot unmarshal {json_kind(limit)} into Go value of type int")
    return StructLogOptions(
        memory=flag(fields, "enableMemory"),
        stack=not flag(fields, "disableStack"),
        storage=not flag(fields, "disableStorage"),
        return_data=flag(fields, "enableReturnData"),
        limit=limit,
    )


def _parse_duration(text: str) -> float:
    """Seconds from Go's notation, such as "1m30s" or "500ms"."""
    if len(text) > _DURATION_CHARACTERS_MAX or not _DURATION.fullmatch(text):
        raise server_error(f'time: invalid duration "{text[:_DURATION_CHARACTERS_MAX]}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
