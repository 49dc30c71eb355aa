"""Work that goes on after a message was taken: bounded, and its failures are the node's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

ERRANDS_MAX: Final = 512


class Errands:
    """Tasks in the background. `failed` hears of what one of them raised: it is a bug here."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order of starting

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do it in the background; False when there are too many already."""
        if len(self._tasks) >= ERRANDS_MAX:
            work.close()
            return False
        task = asyncio.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._failed(error)

    async def stop(self) -> None:
        """Cancel everything and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
