"""JSON-RPC 2.0: from the bytes of a request or a batch to the bytes of the answer.

Ids are kept as the bytes they came in, so that every JSON value is echoed exactly:
integers beyond 64 bits, floats, strings. Refusals use geth's codes and words.
"""

import asyncio
import logging
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from chain.errors import Fault, Rejected
from node.rpc import registry
from node.rpc.context import Context
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    RESPONSE_TOO_LARGE,
    RpcError,
    error_of,
    invalid_params,
)
from node.settings import RpcSettings

_log = logging.getLogger(__name__)

_ABSENT: Final = Raw(b"")
_NULL: Final = b"null"
_VERSION: Final = b'"2.0"'
# How many calls of a batch run before others get a turn.
_BATCH_TURN: Final = 32


class _Request(Struct):
    """The members of a request object, undecoded."""

    jsonrpc: Raw = _ABSENT
    id: Raw = _ABSENT
    method: Raw = _ABSENT
    params: Raw = _ABSENT


_decode_request: Final = msgspec.json.Decoder(_Request).decode
_decode_requests: Final = msgspec.json.Decoder(list[_Request]).decode
_decode_items: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_params: Final = msgspec.json.Decoder(list[Any]).decode
_encode: Final = msgspec.json.encode


def encode_result(value: Any) -> bytes:
    """A method's result as JSON: integers as quantities, bytes as data, the rest as it is."""
    if type(value) is int:
        return b'"0x%x"' % value
    if type(value) is bytes:
        return f'"0x{value.hex()}"'.encode()
    encoded: bytes = _encode(value)
    return encoded


def encode_error(request_id: bytes, error: RpcError) -> bytes:
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return b'{"jsonrpc":"2.0","id":' + request_id + b',"error":' + _encode(body) + b"}"


class Dispatcher:
    """Answers requests by calling the registered methods."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings

    async def answer(self, body: bytes, ctx: Context) -> bytes | None:
        """The response to a request or a batch; None when there is nothing to say."""
        try:
            if body.lstrip(b" \t\r\n").startswith(b"["):
                return await self._answer_batch(body, ctx)
            request = _decode_request(body)
        except msgspec.ValidationError:  # JSON, but no object
            return encode_error(_NULL, RpcError(INVALID_REQUEST, "invalid request"))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return encode_error(_NULL, RpcError(PARSE_ERROR, "parse error"))
        return await self._answer_one(request, ctx)

    async def _answer_batch(self, body: bytes, ctx: Context) -> bytes | None:
        try:
            requests: list[_Request | None] = list(_decode_requests(body))
        except msgspec.ValidationError:
            requests = [_request_or_none(item) for item in _decode_items(body)]
        if not requests:
            return encode_error(_NULL, RpcError(INVALID_REQUEST, "empty batch"))
        if len(requests) > self._settings.batch_items_max:
            ids = (bytes(request.id) for request in requests if request and request.id)
            error = RpcError(INVALID_REQUEST, "batch too large")
            return b"[" + encode_error(next(ids, _NULL), error) + b"]"
        responses: list[bytes] = []
        size = turns = index = 0
        while index < len(requests):
            if size > self._settings.response_bytes_max:
                responses += _too_large(requests[index:])
                break
            end = _end_of_group(requests, index)
            if end - index > 1:
                answers = await asyncio.gather(
                    *(self._answer_one(request, ctx) for request in requests[index:end])
                )
            else:
                answers = [await self._answer_one(requests[index], ctx)]
                turns += 1
                if turns % _BATCH_TURN == 0:
                    await asyncio.sleep(0)
            for answer in answers:
                if answer is not None:
                    responses.append(answer)
                    size += len(answer)
            index = end
        return b"[" + b",".join(responses) + b"]" if responses else None

    async def _answer_one(self, request: _Request | None, ctx: Context) -> bytes | None:
        if request is None:
            return encode_error(_NULL, RpcError(INVALID_REQUEST, "invalid request"))
        request_id = bytes(request.id)
        try:
            if request_id[:1] in (b"{", b"["):
                request_id = _NULL
                raise RpcError(INVALID_REQUEST, "invalid request")
            if request_id[:1] == b'"':
                msgspec.json.decode(request_id)  # a string must be text to be echoed
            name = _method_name(request)
            method = registry.METHODS.get(name)
            if method is None:
                raise registry.not_found(name)
            arguments = method.bind(_positional(request.params))
            if method.heavy:
                result = await ctx.heavy.run(method.function, ctx, *arguments)
            else:
                result = await method.function(ctx, *arguments)
            if not request_id:
                return None
            return (
                b'{"jsonrpc":"2.0","id":'
                + request_id
                + b',"result":'
                + (encode_result(result) + b"}")
            )
        except RpcError as error:
            failure = error
        except Rejected as rejected:
            failure = error_of(rejected)
        except (msgspec.DecodeError, UnicodeDecodeError):
            request_id = _NULL
            failure = RpcError(PARSE_ERROR, "parse error")
        except Fault as fault:
            # Our disk or our bug: whoever waits for this ends the process.
            if not ctx.node.failed.done():
                ctx.node.failed.set_exception(fault)
            failure = RpcError(INTERNAL_ERROR, "internal error")
        except Exception:  # a bug of ours must not take the other callers down
            _log.exception("method handler crashed: %s", bytes(request.method)[:100])
            failure = RpcError(INTERNAL_ERROR, "method handler crashed")
        # An invalid request without an id gets an answer, a notification gets none.
        if not request_id:
            if failure.code != INVALID_REQUEST:
                return None
            request_id = _NULL
        return encode_error(request_id, failure)


def _request_or_none(item: Raw) -> _Request | None:
    try:
        return _decode_request(item)
    except msgspec.ValidationError:
        return None


def _together(request: _Request) -> bool:
    method = registry.METHODS.get(bytes(request.method)[1:-1].decode(errors="replace"))
    return method is not None and method.together


def _end_of_group(requests: list[_Request | None], start: int) -> int:
    """Where the calls from `start` on end that may run together; one call at least."""
    first, end = requests[start], start + 1
    if first is not None and _together(first):
        while (
            end < len(requests)
            and (following := requests[end]) is not None
            and bytes(following.method) == bytes(first.method)
        ):
            end += 1
    return end


def _too_large(requests: list[_Request | None]) -> list[bytes]:
    """The answers to the calls of a batch that has said enough already."""
    error = RpcError(RESPONSE_TOO_LARGE, "response too large")
    return [
        encode_error(bytes(request.id), error) for request in requests if request and request.id
    ]


def _method_name(request: _Request) -> str:
    name = bytes(request.method)
    if bytes(request.jsonrpc) != _VERSION or len(name) < 3 or name[:1] != b'"':
        raise RpcError(INVALID_REQUEST, "invalid request")
    decoded: str = msgspec.json.decode(name)
    return decoded


def _positional(params: Raw) -> list[Any]:
    if bytes(params) in (b"", _NULL):
        return []
    try:
        return _decode_params(params)
    except msgspec.ValidationError as error:
        if bytes(params).startswith(b"["):
            raise invalid_params(str(error)) from None
        raise invalid_params("non-array args") from None
    except RecursionError:
        raise invalid_params("nested too deeply") from None
