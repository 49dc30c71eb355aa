"""Requests that need no task of their own: those answered at once, and single heavy calls.

Most requests that programs poll with call methods that look up what is in memory or near it;
answering them in the turn in which they arrive takes a fifth of the time. Heavy calls go to
the threads' line straight away. Whatever is unusual about a request - its form, its arguments,
a method that waits - is left to `protocol`, which defines what is answered; what is answered
here is the same.
"""

import asyncio
import dis
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from time import perf_counter
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from node.rpc import protocol, registry
from node.rpc.context import Context
from node.rpc.pending import is_pending
from node.settings import RpcSettings
from node.watch.metrics import CallCounts

# Methods of these kinds are short when they don't wait; others may encode whole blocks.
_KINDS: Final = ("eth_", "net_", "web3_")
_AT_ONCE: Final = 128  # calls of a batch before others get a turn
_WAITS: Final = frozenset({"GET_AWAITABLE", "GET_AITER", "BEFORE_ASYNC_WITH"})


class _Request(Struct, gc=False):
    """A call in its usual form; any other is not decoded."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Raw
    params: list[Any] = []


_Call = tuple[bytes, registry.Method, list[Any]]  # its id as it was written, what to run, with what
_decode_one: Final = msgspec.json.Decoder(_Request).decode
_decode_many: Final = msgspec.json.Decoder(list[_Request]).decode


class Heavy(Struct, gc=False):
    """A single call of a method that computes; it goes to a thread."""

    id: bytes
    method: registry.Method
    arguments: list[Any]


class _UnusualError(Exception):
    """Something that `protocol` is to look at."""


@cache
def instant_methods() -> dict[str, registry.Method]:
    """The methods that never wait for anything, by name."""
    return {name: method for name, method in registry.METHODS.items() if _is_instant(method)}


def _is_instant(method: registry.Method) -> bool:
    if method.heavy or not method.name.startswith(_KINDS):
        return False
    return not any(each.opname in _WAITS for each in dis.get_instructions(method.function))


def answer_at_once(
    body: bytes, ctx: Context, settings: RpcSettings, counts: CallCounts
) -> bytes | Coroutine[Any, Any, bytes] | Heavy | None:
    """The answer; a coroutine that gives it, for long batches; None: let `protocol` answer.

    A heavy call is given back for `begin_heavy`.
    """
    if ctx.fork is not None:  # whose state may have to be fetched
        return None
    try:
        if body[:1] != b"[":
            request = _decode_one(body)
            method = registry.METHODS.get(request.method)
            if method is not None and method.heavy:
                return Heavy(*_bound(request, method, ctx))
            call = _read(request, ctx)
            start = perf_counter()
            answer, failed = _run(call, ctx)
            counts.count(call[1].name, failed, perf_counter() - start)
            return answer
        requests = _decode_many(body)
        if not 0 < len(requests) <= settings.batch_items_max:
            return None
        calls = [_read(each, ctx) for each in requests]
    except (msgspec.DecodeError, _UnusualError, RecursionError, UnicodeDecodeError):
        return None
    if len(calls) <= _AT_ONCE:
        return b"[" + b",".join(_part(calls, 0, ctx, settings, counts)) + b"]"
    return _in_parts(calls, ctx, settings, counts)


async def _in_parts(
    calls: Sequence[_Call], ctx: Context, settings: RpcSettings, counts: CallCounts
) -> bytes:
    answers: list[bytes] = []
    size = 0
    for start in range(0, len(calls), _AT_ONCE):
        part = _part(calls[start : start + _AT_ONCE], size, ctx, settings, counts)
        size += sum(map(len, part))
        answers += part
        await asyncio.sleep(0)
    return b"[" + b",".join(answers) + b"]"


def _part(
    calls: Sequence[_Call], size: int, ctx: Context, settings: RpcSettings, counts: CallCounts
) -> list[bytes]:
    """Answers to some calls of a batch whose answers have `size` bytes so far."""
    start = perf_counter()
    answers: list[bytes] = []
    outcomes: Counter[tuple[str, bool]] = Counter()
    for call in calls:
        if size > settings.response_bytes_max:
            answers.append(protocol.too_large(call[0]))
            continue
        answer, failed = _run(call, ctx)
        answers.append(answer)
        size += len(answer)
        outcomes[call[1].name, failed] += 1
    each = (perf_counter() - start) / len(calls)
    for (name, failed), times in outcomes.items():
        counts.count(name, failed, each, times)
    return answers


def _read(request: _Request, ctx: Context) -> _Call:
    """The call that a request makes."""
    method = instant_methods().get(request.method)
    if method is None:
        raise _UnusualError
    return _bound(request, method, ctx)


def _bound(request: _Request, method: registry.Method, ctx: Context) -> _Call:
    if not ctx.may_call(method):
        raise _UnusualError
    request_id = bytes(request.id)
    if not (request_id.isdigit() or _is_plain_text(request_id)):
        raise _UnusualError
    try:
        arguments = method.bind(request.params)
    except Exception:  # whatever it is, `protocol` meets it again and says it
        raise _UnusualError from None
    if is_pending(method, arguments):
        raise _UnusualError
    return request_id, method, arguments


def _is_plain_text(request_id: bytes) -> bool:
    return request_id[:1] == b'"' and request_id.isascii()


def _run(call: _Call, ctx: Context) -> tuple[bytes, bool]:
    """The answer to a call, and whether it is a failure."""
    request_id, method, arguments = call
    try:
        method.function(ctx, *arguments).send(None)
    except StopIteration as end:
        try:
            result = protocol.encode_result(end.value)
        except Exception as error:
            return protocol.failure(request_id, method, error, ctx), True
        return _succeeded(request_id, result), False
    except Exception as error:
        return protocol.failure(request_id, method, error, ctx), True
    raise AssertionError(f"{method.name} waits")


def _succeeded(request_id: bytes, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


def answer_heavy(call: Heavy, ctx: Context, counts: CallCounts) -> bytes:
    """The answer to a heavy call, made by the caller's own thread."""
    start = perf_counter()
    failed = True
    try:
        result = _computed(call.method, ctx, call.arguments)
        failed = False
    except Exception as error:
        return protocol.failure(call.id, call.method, error, ctx)
    finally:
        counts.count(call.method.name, failed, perf_counter() - start)
    return _succeeded(call.id, result)


def begin_heavy(
    call: Heavy,
    ctx: Context,
    counts: CallCounts,
    loop: asyncio.AbstractEventLoop,
    answered: Callable[[bytes], None],
) -> None:
    """Have a thread run the call; `answered` is called with the answer, in the loop."""
    start = perf_counter()

    def told(result: Any, error: BaseException | None) -> None:
        counts.count(call.method.name, error is not None, perf_counter() - start)
        if error is not None:
            answered(protocol.failure(call.id, call.method, error, ctx))
        else:
            answered(_succeeded(call.id, result))

    ctx.heavy.begin(loop, told, _computed, call.method, ctx, call.arguments)


def _computed(method: registry.Method, ctx: Context, arguments: list[Any]) -> bytes:
    # Encoded in the thread, since a long answer would hold up the event loop.
    return protocol.encode_result(method.function(ctx, *arguments))
