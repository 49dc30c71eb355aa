"""Asking several peers for one thing without asking all of them at once."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from node.net.network import PeerId

T = TypeVar("T")


async def first_of(
    peers: Sequence[PeerId],
    ask: Callable[[PeerId], Coroutine[Any, Any, T | None]],
    patience: float,
) -> tuple[PeerId, T] | None:
    """The first answer that is not None, and whose it is; None when nobody has one.

    The next peer is asked when the one before failed, or took longer than `patience`
    seconds. Who is still being asked when an answer comes is asked no more.
    """
    waiting = list(peers)
    asked: dict[asyncio.Task[T | None], PeerId] = {}
    try:
        while waiting or asked:
            if waiting:
                peer = waiting.pop(0)
                asked[asyncio.create_task(ask(peer))] = peer
            done, _ = await asyncio.wait(
                asked, timeout=patience if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in [task for task in asked if task in done]:
                peer, found = asked.pop(task), task.result()
                if found is not None:
                    return peer, found
        return None
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
