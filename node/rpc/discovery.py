"""rpc.discover: the methods that a caller may call, as an OpenRPC document.

It is made of what is registered: names, parameters and results come from signatures,
texts from docstrings, so that it can't say anything else than the server does.
"""

import inspect
import types
import typing
from typing import Any, Final

from chain.types import Address, Hash
from node import VERSION
from node.rpc import log_filters, parameters, registry, requests
from node.rpc.context import Context
from node.rpc.formats import Json
from node.rpc.registry import Method, method

_OPENRPC: Final = "1.3.2"
_QUANTITY: Final = "^0x(0|[1-9a-fA-F][0-9a-fA-F]*)$"


def _text(pattern: str, title: str) -> Json:
    return {"type": "string", "pattern": pattern, "title": title}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _fields(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


_TAGS: Final = sorted(parameters.TAGS)
_BLOCK_NUMBER: Final[Json] = {"anyOf": [{"enum": _TAGS}, _ref("Quantity")]}
_AMOUNT: Final[Json] = {
    "anyOf": [_ref("Quantity"), _text("^[0-9]+$", "decimal"), {"type": "integer"}]
}
_SLOTS: Final[Json] = {"type": "object", "additionalProperties": _ref("Hash")}

_COMPONENTS: Final[dict[str, Json]] = {
    "Address": _text("^0x[0-9a-fA-F]{40}$", "20 bytes"),
    "Hash": _text("^0x[0-9a-fA-F]{64}$", "32 bytes"),
    "Data": _text("^0x([0-9a-fA-F]{2})*$", "bytes"),
    "Quantity": _text(_QUANTITY, "integer in hex without leading zeros"),
    "StorageKey": _text("^(0x)?[0-9a-fA-F]{0,64}$", "up to 32 bytes"),
    "BlockNumber": _BLOCK_NUMBER,
    "Block": {
        "anyOf": [
            _ref("BlockNumber"),
            _ref("Hash"),
            _fields(blockHash=_ref("Hash"), requireCanonical={"type": "boolean"}),
            _fields(blockNumber=_ref("BlockNumber")),
        ]
    },
    "Count": _AMOUNT,
    "AccessList": {
        "type": "array",
        "items": _fields(
            address=_ref("Address"), storageKeys={"type": "array", "items": _ref("Hash")}
        ),
    },
    "Call": {
        **_fields(
            **{
                "from": _ref("Address"),
                "to": _ref("Address"),
                "gas": _ref("Quantity"),
                "gasPrice": _ref("Quantity"),
                "maxFeePerGas": _ref("Quantity"),
                "maxPriorityFeePerGas": _ref("Quantity"),
                "value": _ref("Quantity"),
                "nonce": _ref("Quantity"),
                "input": _ref("Data"),
                "data": _ref("Data"),
                "accessList": _ref("AccessList"),
                "chainId": _ref("Quantity"),
                "maxFeePerBlobGas": _ref("Quantity"),
                "blobVersionedHashes": {"type": "array", "items": _ref("Hash")},
                "blobs": {"type": "array", "items": _ref("Data")},
                "commitments": {"type": "array", "items": _ref("Data")},
                "proofs": {"type": "array", "items": _ref("Data")},
                "authorizationList": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "title": "a transaction as a caller describes it",
    },
    "StateOverrides": {
        "type": "object",
        "additionalProperties": _fields(
            nonce=_ref("Quantity"),
            code=_ref("Data"),
            balance=_ref("Quantity"),
            state=_SLOTS,
            stateDiff=_SLOTS,
            movePrecompileToAddress=_ref("Address"),
        ),
    },
    "BlockOverrides": _fields(
        number=_ref("Quantity"),
        time=_ref("Quantity"),
        gasLimit=_ref("Quantity"),
        feeRecipient=_ref("Address"),
        prevRandao=_ref("Hash"),
        baseFeePerGas=_ref("Quantity"),
        blobBaseFee=_ref("Quantity"),
    ),
    "LogFilter": _fields(
        fromBlock=_ref("BlockNumber"),
        toBlock=_ref("BlockNumber"),
        blockHash=_ref("Hash"),
        address={"anyOf": [_ref("Address"), {"type": "array", "items": _ref("Address")}]},
        topics={"type": "array", "maxItems": log_filters.TOPICS_MAX},
    ),
}

_SCHEMAS: Final[dict[Any, Json]] = {
    Address: _ref("Address"),
    Hash: _ref("Hash"),
    bytes: _ref("Data"),
    int: _ref("Quantity"),
    bool: {"type": "boolean"},
    str: {"type": "string"},
    float: {"type": "number"},
    types.NoneType: {"type": "null"},
    parameters.BlockTag: _ref("Block"),
    parameters.BlockNumber: _ref("BlockNumber"),
    parameters.Count: _ref("Count"),
    parameters.Index: _ref("Quantity"),
    parameters.Slot: _ref("StorageKey"),
    parameters.Name: {"type": "string"},
    parameters.StorageKeys: {"type": "array", "items": _ref("StorageKey")},
    parameters.SlotsByAccount: {
        "type": "object",
        "additionalProperties": {"type": "array", "items": _ref("Hash")},
    },
    parameters.Percentiles: {"type": "array", "items": {"type": "number"}},
    requests.CallRequest: _ref("Call"),
    requests.StateOverrides: _ref("StateOverrides"),
    requests.BlockOverrides: _ref("BlockOverrides"),
    log_filters.LogFilter: _ref("LogFilter"),
}


def schema_of(annotation: Any) -> Json:
    """What JSON a parameter or result of this type is; {}, which is any, when nobody said."""
    known = _SCHEMAS.get(annotation)
    if known is not None:
        return known
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return {"type": "array", "items": schema_of(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(item) for item in inner]}
    return {}


@method("rpc.discover")
def discover(ctx: Context) -> Json:
    """The methods that the caller may call, as an OpenRPC document."""
    callable_ = [
        registry.METHODS[name]
        for name in sorted(registry.METHODS)
        if ctx.may_call(registry.METHODS[name])
    ]
    return {
        "openrpc": _OPENRPC,
        "info": {
            "title": "chain-node",
            "description": "JSON-RPC of a ledger node, by position, over HTTP and WebSocket.",
            "version": VERSION,
        },
        "methods": [describe(item) for item in callable_],
        "components": {"schemas": _COMPONENTS},
    }


def describe(described: Method) -> Json:
    """A method's OpenRPC object."""
    summary, _, rest = (inspect.getdoc(described.function) or "").partition("\n\n")
    result = typing.get_type_hints(described.function).get("return", Any)
    shown: Json = {
        "name": described.name,
        "summary": " ".join(summary.split()),
        "paramStructure": "by-position",
        "params": [
            {
                "name": _camel(parameter.name),
                "required": parameter.required,
                "schema": schema_of(parameter.annotation),
            }
            for parameter in described.parameters
        ],
        "result": {"name": "result", "schema": schema_of(result)},
    }
    if rest:
        shown["description"] = " ".join(rest.split())
    return shown


def _camel(name: str) -> str:
    first, *others = name.strip("_").split("_")
    return first + "".join(other.capitalize() for other in others)
