"""How a trace is wanted: geth's TraceConfig and TraceCallConfig."""

import re
from functools import partial
from typing import Any, Final

from msgspec import Struct

from node.rpc.errors import server_error
from node.rpc.parameters import (
    GoError,
    Parser,
    json_kind,
    parse_bool,
    parse_index,
    parse_text,
)
from node.rpc.requests import (
    BlockOverrides,
    StateOverrides,
    parse_block_overrides,
    parse_state_overrides,
)
from node.rpc.structures import Structure
from node.tracing import Factory, choose
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
    return _trace_options(_TRACE.read(value), "")


def parse_trace_call_options(value: Any) -> TraceCallOptions:
    fields = _TRACE_CALL.read(value)
    return TraceCallOptions(
        _trace_options(fields, "TraceConfig."),
        state=fields.get("StateOverrides"),
        around=fields.get("BlockOverrides"),
        index=fields.get("TxIndex"),
    )


def _trace_options(fields: dict[str, Any], within: str) -> TraceOptions:
    timeout, name = fields.get(f"{within}Timeout"), fields.get(f"{within}Tracer")
    seconds = None if timeout is None else _parse_duration(timeout)
    if not name:
        plain = _struct_log_options(fields, f"{within}Config.")
        return TraceOptions(partial(StructLogTracer, options=plain), seconds)
    try:
        make = choose(name, fields.get(f"{within}TracerConfig"))
    except ValueError as error:
        raise server_error(str(error)) from None
    return TraceOptions(make, seconds)


def _struct_log_options(fields: dict[str, Any], within: str) -> StructLogOptions:
    def flag(name: str) -> bool:
        return bool(fields.get(within + name, False))

    return StructLogOptions(
        memory=flag("EnableMemory"),
        stack=not flag("DisableStack"),
        storage=not flag("DisableStorage"),
        return_data=flag("EnableReturnData"),
        limit=fields.get(f"{within}Limit", 0),
    )


def _parse_integer(value: Any) -> int:
    if type(value) is float:
        raise GoError(f"number {value:g}", "int")
    if type(value) is not int:
        raise GoError(json_kind(value), "int")
    return value


def _parse_natural(value: Any) -> int:
    if type(value) is int and not 0 <= value < 2**64:
        raise GoError(f"number {value}", "uint64")
    if type(value) is not int:
        raise GoError(json_kind(value), "uint64")
    return value


def _trace_fields(within: str) -> dict[str, Parser]:
    """Of geth's TraceConfig, which is laid into others."""
    return {
        f"{within}Config.EnableMemory": parse_bool,
        f"{within}Config.DisableStack": parse_bool,
        f"{within}Config.DisableStorage": parse_bool,
        f"{within}Config.EnableReturnData": parse_bool,
        f"{within}Config.Limit": _parse_integer,
        f"{within}Reexec": _parse_natural,
        f"{within}Tracer": parse_text,
        f"{within}Timeout": parse_text,
        f"{within}TracerConfig": lambda value: value,
    }


_TRACE: Final = Structure("tracers.TraceConfig", _trace_fields(""))
_TRACE_CALL: Final = Structure(
    "tracers.TraceCallConfig",
    {
        **_trace_fields("TraceConfig."),
        "StateOverrides": parse_state_overrides,
        "BlockOverrides": parse_block_overrides,
        "TxIndex": parse_index,
    },
)


def _parse_duration(text: str) -> float:
    """Seconds from Go's notation, such as "1m30s" or "500ms"."""
    if len(text) > _DURATION_CHARACTERS_MAX or not _DURATION.fullmatch(text):
        raise server_error(f'time: invalid duration "{text[:_DURATION_CHARACTERS_MAX]}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
