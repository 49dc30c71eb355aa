"""JSON-RPC methods by name; what each takes comes from its Python signature.

    @method("eth_getBalance")
    async def get_balance(ctx: Context, address: Address, block: BlockTag = "latest") -> int:
        return ctx.view(block).account(address).balance

An `async def` runs in the event loop and must be cheap. A plain `def` is heavy: it
runs in a bounded pool of threads, so that cheap calls and block production never
wait for it. An `int` result is sent as a quantity, `bytes` as data, all else as it is.
"""

import inspect
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chain.types import Address, Hash
from node.rpc import log_filters, parameters, requests, simulation_request, trace_options
from node.rpc.errors import METHOD_NOT_FOUND, RpcError, invalid_params, server_error
from node.rpc.parameters import Parser

if TYPE_CHECKING:
    pass


PARSERS: Final[dict[Any, Parser]] = {
    Address: parameters.parse_address,
    Hash: parameters.parse_hash,
    int: parameters.parse_quantity,
    bytes: parameters.parse_data,
    bool: parameters.parse_bool,
    str: parameters.parse_text,
    dict[str, Any]: parameters.parse_object,
    list[Any]: parameters.parse_list,
    Any: lambda value: value,
    parameters.BlockTag: parameters.parse_block,
    parameters.BlockNumber: parameters.parse_block_number,
    parameters.Count: parameters.parse_count,
    parameters.Index: parameters.parse_index,
    parameters.Slot: parameters.parse_slot,
    parameters.Name: parameters.parse_name,
    parameters.StorageKeys: parameters.parse_storage_keys,
    parameters.SlotsByAccount: parameters.parse_slots_by_account,
    parameters.Percentiles: parameters.parse_percentiles,
    requests.CallRequest: requests.parse_call,
    requests.StateOverrides: requests.parse_state_overrides,
    requests.BlockOverrides: requests.parse_block_overrides,
    log_filters.LogFilter: log_filters.parse_log_filter,
    simulation_request.Simulation: simulation_request.parse_simulation,
    trace_options.TraceOptions: trace_options.parse_trace_options,
    trace_options.TraceCallOptions: trace_options.parse_trace_call_options,
}


def parsed_by(parse: Parser) -> Callable[[type], type]:
    """Mark a class as the type of parameters that `parse` makes of JSON values."""

    def register(kind: type) -> type:
        PARSERS[kind] = parse
        return kind

    return register


class Parameter(typing.NamedTuple):
    """One positional argument. `default` stands when `required` is False."""

    name: str
    annotation: Any
    parse: Parser
    required: bool
    default: Any


class Method:
    """A registered method: its name, its function and how its arguments are read."""

    __slots__ = (
        "begin",
        "developer_only",
        "function",
        "heavy",
        "local_only",
        "name",
        "of_head",
        "parameters",
        "quickly",
        "together",
    )

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        together: bool,
        local_only: bool,
        developer_only: bool,
        of_head: bool,
        quickly: Callable[..., Any] | None,
        begin: Callable[..., bool] | None,
    ) -> None:
        self.name = name
        self.begin = begin
        self.of_head = of_head
        self.quickly = quickly
        self.developer_only = developer_only
        self.local_only = local_only
        self.together = together
        self.function = function
        self.heavy = not inspect.iscoroutinefunction(function)
        self.parameters = _parameters(function)

    def bind(self, values: list[Any]) -> list[Any]:
        """The arguments for positional JSON values; `RpcError` (-32602) when they don't fit."""
        given = len(values)
        if given > len(self.parameters):
            raise invalid_params(f"too many arguments, want at most {len(self.parameters)}")
        arguments = []
        for index, parameter in enumerate(self.parameters):
            value = values[index] if index < given else None
            if value is None and not parameter.required:
                arguments.append(parameter.default)
                continue
            if index >= given or (value is None and parameter.annotation is Any):
                raise invalid_params(f"missing value for required argument {index}")
            try:
                arguments.append(parameter.parse(value))
            except ValueError as error:
                raise invalid_params(f"invalid argument {index}: {error}") from None
        return arguments


METHODS: Final[dict[str, Method]] = {}


def method(
    name: str,
    *,
    together: bool = False,
    local_only: bool = False,
    developer_only: bool = False,
    of_head: bool = False,
    quickly: Callable[..., Any] | None = None,
    begin: Callable[..., bool] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function below as the method `name`.

    `together`: calls that follow each other in a batch begin in their order, but do
    not wait for each other to end. `local_only`: for callers on this machine alone; to
    others there is no such method. `developer_only`: on developers' chains alone; on other
    ledgers there is no such method. `of_head`: what is given depends on the arguments and on
    the chain up to its head alone, but for "pending" (`node.rpc.remembered`). `quickly` does the
    same as a heavy function, in the event loop, where that is sure to be short; elsewhere it
    gives None. `begin` does the same as a coroutine without being one: after the context it
    takes a `node.rpc.line.Told`, and gives False where it has to be the coroutine.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        assert name not in METHODS, name
        METHODS[name] = Method(
            name,
            function,
            together=together,
            local_only=local_only,
            developer_only=developer_only,
            of_head=of_head,
            quickly=quickly,
            begin=begin,
        )
        return function

    return register


def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    hints = typing.get_type_hints(function)
    found = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        annotation = _without_none(hints[parameter.name])
        required = parameter.default is inspect.Parameter.empty
        found.append(
            Parameter(
                name=parameter.name,
                annotation=annotation,
                parse=PARSERS[annotation],
                required=required,
                default=None if required else parameter.default,
            )
        )
    return tuple(found)


def _without_none(annotation: Any) -> Any:
    """`X | None` as `X`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        kept = [part for part in typing.get_args(annotation) if part is not types.NoneType]
        if len(kept) == 1:
            return kept[0]
        return typing.Union[tuple(kept)]  # noqa: UP007 - built from a list at run time
    return annotation


def not_found(name: str) -> RpcError:
    """The refusal of a method that is not registered."""
    if name.endswith("_subscribe"):
        return RpcError(METHOD_NOT_FOUND, "notifications not supported")
    if name.endswith("_unsubscribe"):
        return server_error("subscription not found")
    return RpcError(METHOD_NOT_FOUND, f"the method {name} does not exist/is not available")
