"""Calls handed to threads by coroutines, or to nobody where there are no other threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InlineExecutor(Executor):
    """Runs each call at once, in the caller's place."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


async def handed(
    threads: Executor, call: Callable[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """What the call gives or raises, made in one of the threads.

    The loop gets no turn where they are the caller's own, as on a ledger in the process.
    """
    if isinstance(threads, InlineExecutor):
        return call(*arguments, **named)
    return await asyncio.wrap_future(threads.submit(call, *arguments, **named))
