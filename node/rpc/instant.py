"""Requests that need no task of their own: those answered at once, and single ones begun here.

Most requests that programs poll with call methods that look up what is in memory or near it;
answering them in the turn in which they arrive takes a fifth of the time, and less if the
same has been asked before (`node.rpc.remembered`). Heavy calls are answered here too if they
are sure to be short (`node.rpc.quick`), or else go to the threads' line straight away, as
transactions go to the pool's. What is not usual (`node.rpc.usual`) is left to `protocol`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Final

import msgspec
from msgspec import Struct

from node.rpc import protocol
from node.rpc.batches import Batch
from node.rpc.context import Context
from node.rpc.remembered import Results
from node.rpc.usual import Call, UnusualError, UsualRequest, answer, computed, known, read, run
from node.settings import RpcSettings
from node.watch.metrics import CallCounts

_decode_one: Final = msgspec.json.Decoder(UsualRequest).decode
_decode_many: Final = msgspec.json.Decoder(list[UsualRequest]).decode


class Later(Struct, gc=False):
    """A single call that `begin` can begin without a task."""

    call: Call
    results: Results  # from before it is begun


def answer_at_once(
    body: bytes, ctx: Context, settings: RpcSettings, counts: CallCounts
) -> bytes | Coroutine[Any, Any, bytes] | Later | None:
    """The answer; a coroutine that gives it, for long batches; None: let `protocol` answer.

    What takes a thread or the pool is given back for `begin`.
    """
    if ctx.fork is not None:  # whose state may have to be fetched
        return None
    if protocol.has_too_many_values(body):
        return None
    try:
        results = ctx.remembered.results(ctx)
        if body[:1] != b"[":
            start = perf_counter()
            call = read(_decode_one(body), ctx, results)
            answered = run(call, ctx, results)
            if answered is None:
                return Later(call, results)
            counts.count(call.request[0], answered[1], perf_counter() - start)
            return answered[0]
        requests = _decode_many(body)
        if not 0 < len(requests) <= settings.batch_items_max:
            return None
        calls = [read(each, ctx, results) for each in requests]
        if any(call.known is not None and call.known[0].together for call in calls):
            return None
    except (msgspec.DecodeError, UnusualError, RecursionError, UnicodeDecodeError):
        return None
    batch = Batch(calls, ctx, settings, counts)
    if not ctx.heavy.turns.over():
        batch.take_turn()
    return batch.all_answers() if batch.is_over else batch.answer_rest()


def answer_heavy(later: Later, ctx: Context, counts: CallCounts) -> bytes | None:
    """The answer to a heavy call, made by the caller's own thread; None if it is no such call."""
    if not known(later.call)[0].heavy:
        return None
    start = perf_counter()
    text, failed = answer(later.call, computed(later.call, ctx), ctx, later.results)
    counts.count(later.call.request[0], failed, perf_counter() - start)
    return text


def begin(
    later: Later,
    ctx: Context,
    counts: CallCounts,
    loop: asyncio.AbstractEventLoop,
    answered: Callable[[bytes], None],
) -> bool:
    """Have a thread or the pool see to the call; `answered` is called with the answer, in the loop.

    False where it takes a coroutine, and nothing was begun.
    """
    start, call = perf_counter(), later.call
    method, arguments = known(call)

    def told(result: Any, error: BaseException | None) -> None:
        text, failed = answer(call, result if error is None else error, ctx, later.results)
        counts.count(method.name, failed, perf_counter() - start)
        answered(text)

    def pooled(result: Any, error: BaseException | None) -> None:
        told(None if error is not None else protocol.encode_result(result), error)

    if method.heavy:
        ctx.heavy.begin(loop, told, computed, call, ctx)
        return True
    if method.begin is None:
        return False
    try:
        return method.begin(ctx, pooled, *arguments)
    except Exception as error:
        loop.call_soon(told, None, error)
        return True
