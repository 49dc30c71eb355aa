"""Calls handed to threads by coroutines."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def handed(
    threads: Executor, call: Callable[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """What the call gives or raises, made in one of the threads.

    The loop gets no turn where it is there at once, as it is on a ledger in the process, whose
    threads are the caller's own.
    """
    job = threads.submit(call, *arguments, **named)
    if job.done():
        return job.result()
    return await asyncio.wrap_future(job)
