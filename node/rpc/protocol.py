"""JSON-RPC 2.0: from the bytes of a request or a batch to the bytes of the answer.

Ids are kept as the bytes they came in, so that every JSON value is echoed exactly:
integers beyond 64 bits, floats, strings. Refusals use geth's codes and words.
"""

import asyncio
import json
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from chain.errors import Fault, Rejected, SourceFailed
from node.rpc import forked, pending, registry
from node.rpc.context import Context
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    RESPONSE_TOO_LARGE,
    SERVER_ERROR,
    RpcError,
    error_of,
    invalid_params,
)
from node.settings import RpcSettings
from node.watch.metrics import OTHER_METHODS, CallCounts

_log = logging.getLogger(__name__)

_ABSENT: Final = Raw(b"")
_NULL: Final = b"null"
_VERSION: Final = b'"2.0"'
_SPACE: Final = b" \t\r\n"
# Values in a request's lists and objects. Decoding makes an object of each in the event loop,
# and 5 MB of empty lists take almost a second.
_VALUES_MAX: Final = 100_000
_FIRST_BYTES: Final = 4096  # of a batch, in which its first id is looked for
# For how long calls of a batch share a thread's turn.
HEAVY_TURN_SECONDS: Final = 0.01


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
_scan: Final = json.JSONDecoder().raw_decode  # which stops at the end of a value
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


def has_too_many_values(body: bytes) -> bool:
    """Whether a request has more values than are decoded; commas in texts count as well."""
    if len(body) <= _VALUES_MAX:
        return False
    return sum(body.count(sign) for sign in (b",", b"[", b"{")) > _VALUES_MAX


def _refusal_unread(body: bytes) -> bytes:
    """The answer to a batch that is not decoded, with its first call's id where that is near.

    RecursionError where it nests too deeply.
    """
    text = body.lstrip(_SPACE)[1:_FIRST_BYTES].decode(errors="ignore").lstrip()
    try:
        _, end = _scan(text)
        request_id = bytes(_decode_request(text[:end].encode()).id)
    except (ValueError, msgspec.DecodeError):
        request_id = _NULL
    return _batch_too_large(request_id or _NULL)


def _batch_too_large(request_id: bytes) -> bytes:
    return b"[" + encode_error(request_id, RpcError(INVALID_REQUEST, "batch too large")) + b"]"


class Dispatcher:
    """Answers requests by calling the registered methods."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._most = settings.batch_items_max
        self.counts = CallCounts()

    async def answer(self, body: bytes, ctx: Context) -> bytes | None:
        """The response to a request or a batch; None when there is nothing to say."""
        try:
            if body.lstrip(_SPACE).startswith(b"["):
                if has_too_many_values(body):
                    return _refusal_unread(body)
                return await self._answer_batch(body, ctx)
            request = _decode_request(body)
        except msgspec.ValidationError:  # JSON, but no object
            return encode_error(_NULL, RpcError(INVALID_REQUEST, "invalid request"))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return encode_error(_NULL, RpcError(PARSE_ERROR, "parse error"))
        call = _read(request, ctx)
        return _answer(call, (await self._counted([call], ctx))[0], ctx)

    async def _counted(self, calls: list["_Call"], ctx: Context) -> list[Any]:
        """`_run`, counted."""
        start = time.perf_counter()
        outcomes = await _run(calls, ctx)
        each = (time.perf_counter() - start) / len(outcomes)
        for call, outcome in zip(calls, outcomes, strict=False):
            name = OTHER_METHODS if call.method is None else call.method.name
            self.counts.count(name, isinstance(outcome, BaseException), each)
        return outcomes

    async def _answer_batch(self, body: bytes, ctx: Context) -> bytes | None:
        try:
            requests: list[_Request | None] = list(_decode_requests(body))
        except msgspec.ValidationError:
            items = _decode_items(body)
            requests = [_request_or_none(item) for item in items[: self._most + 1]]
        if not requests:
            return encode_error(_NULL, RpcError(INVALID_REQUEST, "empty batch"))
        if len(requests) > self._most:
            ids = (bytes(request.id) for request in requests if request and request.id)
            return _batch_too_large(next(ids, _NULL))
        calls = [_read(request, ctx) for request in requests]
        responses: list[bytes] = []
        size = index = 0
        while index < len(calls):
            if size > self._settings.response_bytes_max:
                responses += _too_large(calls[index:])
                break
            end = _end_of_group(calls, index)
            outcomes = await self._counted(calls[index:end], ctx)
            for call, outcome in zip(calls[index:end], outcomes, strict=False):
                answer = _answer(call, outcome, ctx)
                if answer is not None:
                    responses.append(answer)
                    size += len(answer)
            index += len(outcomes)
            await ctx.heavy.turns.take()
        return b"[" + b",".join(responses) + b"]" if responses else None


# -- one call --------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """A request taken apart: what to run with what, or why it can't be run."""

    id: bytes  # as it was written; empty: a notification
    method: registry.Method | None
    arguments: list[Any]
    refusal: Exception | None
    given: Sequence[Any] = ()  # the arguments as they came


def _read(request: _Request | None, ctx: Context) -> _Call:
    """The call that a request makes; None is an item of a batch that is no object."""
    if request is None:
        return _Call(_NULL, None, [], RpcError(INVALID_REQUEST, "invalid request"))
    request_id = bytes(request.id)
    method = None
    try:
        if request_id[:1] in (b"{", b"["):
            request_id = _NULL
            raise RpcError(INVALID_REQUEST, "invalid request")
        if request_id[:1] == b'"':
            msgspec.json.decode(request_id)  # a string must be text to be echoed
        name = _method_name(request)
        method = registry.METHODS.get(name)
        if method is None or not ctx.may_call(method):
            raise registry.not_found(name)
        given = _positional(request.params)
        return _Call(request_id, method, method.bind(given), None, given)
    except RpcError as error:
        # An invalid request gets an answer even without an id, since it is no notification.
        if error.code == INVALID_REQUEST and not request_id:
            request_id = _NULL
        return _Call(request_id, method, [], error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Call(_NULL, None, [], RpcError(PARSE_ERROR, "parse error"))
    except Exception as error:
        return _Call(request_id, method, [], error)


async def _run(calls: list[_Call], ctx: Context) -> list[Any]:
    """The outcomes of calls that may run together, results or exceptions.

    Heavy ones may stop short: then only the first so many have an outcome.
    """
    first = calls[0]
    try:
        if first.refusal is not None or first.method is None:
            return [first.refusal]
        if first.method.heavy:
            outcomes: list[Any] = await ctx.heavy.run(_run_heavy, calls, ctx)
            return outcomes
        if len(calls) == 1:
            return [await _called(first, ctx)]
    except Exception as error:
        return [error]
    running = (_called(call, ctx) for call in calls)
    return await asyncio.gather(*running, return_exceptions=True)


def _called(call: _Call, ctx: Context) -> Coroutine[Any, Any, Any]:
    """A call of a method that runs in the event loop."""
    assert call.method is not None
    if pending.is_pending(call.method, call.arguments):
        return pending.answer(ctx, call.method, call.arguments, call.given)
    if ctx.fork is not None:
        return forked.answer(ctx, call.method, call.arguments, call.given)
    running: Coroutine[Any, Any, Any] = call.method.function(ctx, *call.arguments)
    return running


def _run_heavy(calls: list[_Call], ctx: Context) -> list[Any]:
    """Outcomes of calls of heavy methods one after another, for some milliseconds."""
    outcomes: list[Any] = []
    stop = time.monotonic() + HEAVY_TURN_SECONDS
    for call in calls:
        outcomes.append(_outcome(call, ctx))
        if time.monotonic() > stop:
            break
    return outcomes


def _outcome(call: _Call, ctx: Context) -> Any:
    """What comes of a heavy call: its encoded result, or what it raised."""
    assert call.method is not None
    try:
        where = ctx
        if pending.is_pending(call.method, call.arguments):
            where = pending.on_pending_in_thread(ctx)
        if ctx.fork is None:
            outcome = call.method.function(where, *call.arguments)
        else:
            outcome = forked.answer_in_thread(where, call.method, call.arguments, call.given)
        # Encoded here, since a long answer would hold up the event loop.
        return Raw(encode_result(outcome))
    except Exception as error:
        return error


def _answer(call: _Call, outcome: Any, ctx: Context) -> bytes | None:
    """The response for an outcome; None for a notification."""
    if not isinstance(outcome, BaseException):
        if not call.id:
            return None
        head = b'{"jsonrpc":"2.0","id":' + call.id
        try:
            return head + b',"result":' + encode_result(outcome) + b"}"
        except Exception as error:
            outcome = error
    failure = _error(call, outcome, ctx)
    return encode_error(call.id, failure) if call.id else None


def failure(
    request_id: bytes, method: registry.Method, error: BaseException, ctx: Context
) -> bytes:
    """The answer to a call that failed."""
    return encode_error(request_id, _error(_Call(request_id, method, [], None), error, ctx))


def _error(call: _Call, failure: BaseException, ctx: Context) -> RpcError:
    """What the caller is told of a failure."""
    told = _told(call, failure, ctx)
    if not isinstance(failure, Fault):  # whoever ends the process shows where it came from
        _let_go(failure)
    return told


def _let_go(failure: BaseException) -> None:
    """Have an exception that is answered hold nothing any more.

    Its frames hold each other, it, and the request: megabytes that would wait for the collector
    of cycles, which comes seldom.
    """
    left: list[BaseException | None] = [failure]
    while left:
        error = left.pop()
        if error is not None and error.__traceback__ is not None:
            left += (error.__context__, error.__cause__)
            error.__traceback__ = error.__context__ = error.__cause__ = None


def _told(call: _Call, failure: BaseException, ctx: Context) -> RpcError:
    match failure:
        case RpcError():
            return failure
        case Rejected():
            return error_of(failure)
        case SourceFailed():
            facts = {
                "reason": "fork_source_failed",
                "source": failure.source,
                "detail": failure.detail,
            }
            return RpcError(SERVER_ERROR, str(failure), facts)
        case Fault():
            # Our disk or our bug: whoever waits for this ends the process.
            if not ctx.node.failed.done():
                ctx.node.failed.set_exception(failure)
            return RpcError(INTERNAL_ERROR, "internal error")
    # A bug of ours must not take the other callers down.
    name = "" if call.method is None else call.method.name
    _log.error("method handler crashed: %s", name, exc_info=failure)
    return RpcError(INTERNAL_ERROR, "method handler crashed")


def _end_of_group(calls: list[_Call], start: int) -> int:
    """Where the calls from `start` on end that may run in one go; one call at least.

    Heavy calls share a thread's turn; those of a method marked so wait together.
    """
    first = calls[start]
    method = first.method
    if method is None or first.refusal is not None or not (method.heavy or method.together):
        return start + 1
    for end in range(start + 1, len(calls)):
        call = calls[end]
        if call.method is None or call.refusal is not None:
            return end
        if (call.method.heavy, call.method.together) != (method.heavy, method.together):
            return end
    return len(calls)


def _too_large(calls: list[_Call]) -> list[bytes]:
    """The answers to the calls of a batch that has said enough already."""
    return [too_large(call.id) for call in calls if call.id]


def too_large(request_id: bytes) -> bytes:
    """The answer to a call of a batch that has said enough already."""
    return encode_error(request_id, RpcError(RESPONSE_TOO_LARGE, "response too large"))


def _request_or_none(item: Raw) -> _Request | None:
    try:
        return _decode_request(item)
    except msgspec.ValidationError:
        return None


def _method_name(request: _Request) -> str:
    name = bytes(request.method)
    if bytes(request.jsonrpc) != _VERSION or len(name) < 3 or name[:1] != b'"':
        raise RpcError(INVALID_REQUEST, "invalid request")
    decoded: str = msgspec.json.decode(name)
    return decoded


def _positional(params: Raw) -> list[Any]:
    if bytes(params) in (b"", _NULL):
        return []
    if has_too_many_values(bytes(params)):
        raise RpcError(INVALID_REQUEST, f"too many values in params, at most {_VALUES_MAX}")
    try:
        return _decode_params(params)
    except msgspec.ValidationError as error:
        if bytes(params).startswith(b"["):
            raise invalid_params(str(error)) from None
        raise invalid_params("non-array args") from None
    except RecursionError:
        raise invalid_params("nested too deeply") from None
