"""Calls in their usual form: read, and run where that is over at once.

Whatever is unusual about a request - its form, its arguments - is left to `protocol`, which
defines what is answered; what is answered here is the same.
"""

import dis
from functools import cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct

from node.rpc import protocol, registry
from node.rpc.context import Context, WouldWait
from node.rpc.pending import is_pending
from node.rpc.remembered import Request, Results

# Methods of these kinds are short when they don't wait; others may encode whole blocks.
_KINDS: Final = ("eth_", "net_", "web3_")
_WAITS: Final = frozenset({"GET_AWAITABLE", "GET_AITER", "BEFORE_ASYNC_WITH"})


class UsualRequest(Struct, gc=False):
    """A request in its usual form; any other is not decoded."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Raw
    params: Raw = Raw(b"[]")


class UnusualError(Exception):
    """Something that `protocol` is to look at."""


class Call(NamedTuple):
    """A call that is answered here."""

    id: bytes  # as it was written
    request: Request
    # What to run, with what; None for what is remembered, until that is forgotten.
    known: tuple[registry.Method, list[Any]] | None


# The answer to a call, and whether it is a failure.
Answer: TypeAlias = tuple[bytes, bool]

_decode_params: Final = msgspec.json.Decoder(list[Any]).decode


@cache
def _methods() -> dict[str, registry.Method]:
    """Those, and the ones that are begun and answered later."""
    begun = {
        name: method
        for name, method in registry.METHODS.items()
        if method.heavy or method.begin is not None
    }
    return instant_methods() | begun


@cache
def instant_methods() -> dict[str, registry.Method]:
    """The methods that never wait for anything, or only seldom, by name."""
    return {name: method for name, method in registry.METHODS.items() if _is_instant(method)}


def _is_instant(method: registry.Method) -> bool:
    if method.heavy or not method.name.startswith(_KINDS):
        return False
    if method.of_head:  # which waits for blocks that are not at hand, and can say so
        return True
    return not any(each.opname in _WAITS for each in dis.get_instructions(method.function))


def read(made: UsualRequest, ctx: Context, results: Results) -> Call:
    """The call that a request makes; `UnusualError` where it is not for us."""
    request_id = bytes(made.id)
    if not (request_id.isdigit() or _is_plain_text(request_id)):
        raise UnusualError
    request = made.method, bytes(made.params)
    if request in results:
        return Call(request_id, request, None)
    method = _methods().get(made.method)
    if method is None or not ctx.may_call(method):
        raise UnusualError
    try:
        arguments = method.bind(_decode_params(request[1]))
    except Exception:  # whatever it is, `protocol` meets it again and says it
        raise UnusualError from None
    if is_pending(method, arguments):
        raise UnusualError
    return Call(request_id, request, (method, arguments))


def _is_plain_text(request_id: bytes) -> bool:
    return request_id[:1] == b'"' and request_id.isascii()


def known(call: Call) -> tuple[registry.Method, list[Any]]:
    """What a call runs, also when it was remembered."""
    if call.known is not None:
        return call.known
    method = _methods()[call.request[0]]
    return method, method.bind(_decode_params(call.request[1]))


def run(call: Call, ctx: Context, results: Results) -> Answer | None:
    """The answer to a call; None: it takes a thread, or waits."""
    found = results.get(call.request)
    if found is not None:
        return succeeded(call.id, found), False
    method, arguments = known(call)
    try:
        if method.heavy or method.begin is not None:
            value = None if method.quickly is None else method.quickly(ctx, *arguments)
            if value is None:
                return None
        else:
            value = _given_at_once(method, ctx, arguments)
        result = protocol.encode_result(value)
    except WouldWait:
        return None
    except Exception as error:
        return protocol.failure(call.id, method, error, ctx), True
    if method.of_head:
        ctx.remembered.keep(results, call.request, result)
    return succeeded(call.id, result), False


def _given_at_once(method: registry.Method, ctx: Context, arguments: list[Any]) -> Any:
    """What a coroutine gives; `WouldWait` where it reads more than is read at once."""
    try:
        method.function(ctx.of_this_turn() if method.of_head else ctx, *arguments).send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError(f"{method.name} waits")


def computed(call: Call, ctx: Context) -> bytes | Exception:
    """The result of a heavy call, or why there is none.

    Encoded where it is made, in a thread, since a long one would hold up the event loop.
    """
    method, arguments = known(call)
    try:
        return protocol.encode_result(method.function(ctx, *arguments))
    except Exception as error:
        return error


def answer(call: Call, result: bytes | BaseException, ctx: Context, results: Results) -> Answer:
    """The answer from a result that was waited for; `results` are from before it was begun."""
    method, _ = known(call)
    if isinstance(result, BaseException):
        return protocol.failure(call.id, method, result, ctx), True
    # What could be quick and was not has to run each time: perhaps it prints.
    if method.of_head and method.quickly is None:
        ctx.remembered.keep(results, call.request, result)
    return succeeded(call.id, result), False


def succeeded(request_id: bytes, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)
