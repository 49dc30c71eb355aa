"""News inside the process: what was committed and what was pooled.

A subscriber has a bounded queue. One that does not keep up is dropped: its next
`get` raises `Closed`; it never holds up the node or the other subscribers.
"""

import asyncio
from collections import deque
from enum import StrEnum
from typing import Generic, Literal, TypeVar, overload

from chain.execution import Executed
from chain.transactions import Checked

T = TypeVar("T")


class Topic(StrEnum):
    BLOCKS = "blocks"  # Executed, after it is on disk
    TRANSACTIONS = "transactions"  # Checked, once it is pooled and can run


class Closed(Exception):
    """The subscription is over: closed, dropped for being slow, or the node stops."""


class Subscription(Generic[T]):
    """A bounded queue of announcements for one reader; of the event loop's thread only."""

    def __init__(self, topic: "_Topic[T]", queue_max: int) -> None:
        self._topic = topic
        self._queue: deque[T] = deque()
        self._queue_max = queue_max
        self._news = asyncio.Event()
        self._end = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._end.is_set()

    async def wait_closed(self) -> None:
        """Wait until the subscription is over, whatever is still queued."""
        await self._end.wait()

    def _put(self, item: T) -> None:
        if len(self._queue) >= self._queue_max:
            self._queue.clear()
            self.close()
        else:
            self._queue.append(item)
            self._news.set()

    async def get(self) -> T:
        """The next announcement, in order. Raises `Closed` when there will be none."""
        while not self._queue:
            if self.closed:
                raise Closed
            self._news.clear()
            await self._news.wait()
        return self._queue.popleft()

    def get_nowait(self) -> T | None:
        """The next announcement if one is there."""
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        """Stop listening. What is queued can still be read."""
        self._end.set()
        self._topic.subscribers.discard(self)
        self._news.set()

    def __aiter__(self) -> "Subscription[T]":
        return self

    async def __anext__(self) -> T:
        try:
            return await self.get()
        except Closed:
            raise StopAsyncIteration from None


class _Topic(Generic[T]):
    def __init__(self) -> None:
        self.subscribers: set[Subscription[T]] = set()

    def publish(self, item: T) -> None:
        for subscriber in tuple(self.subscribers):
            subscriber._put(item)

    def close(self) -> None:
        for subscriber in tuple(self.subscribers):
            subscriber.close()


class Announcements:
    """The two topics of a node. Used from the event loop's thread only."""

    def __init__(self, queue_max: int = 4096) -> None:
        self._queue_max = queue_max
        self._blocks: _Topic[Executed] = _Topic()
        self._transactions: _Topic[Checked] = _Topic()
        self.closed = False

    @overload
    def subscribe(self, topic: Literal["blocks", Topic.BLOCKS]) -> Subscription[Executed]: ...
    @overload
    def subscribe(
        self, topic: Literal["transactions", Topic.TRANSACTIONS]
    ) -> Subscription[Checked]: ...
    def subscribe(self, topic: str) -> Subscription[Executed] | Subscription[Checked]:
        """Listen to a topic from now on."""
        if Topic(topic) is Topic.BLOCKS:
            blocks = Subscription(self._blocks, self._queue_max)
            self._blocks.subscribers.add(blocks)
            return blocks
        transactions = Subscription(self._transactions, self._queue_max)
        self._transactions.subscribers.add(transactions)
        return transactions

    def publish_block(self, executed: Executed) -> None:
        self._blocks.publish(executed)

    def publish_transaction(self, checked: Checked) -> None:
        self._transactions.publish(checked)

    def close(self) -> None:
        """End every subscription (the node stops)."""
        self.closed = True
        self._blocks.close()
        self._transactions.close()
