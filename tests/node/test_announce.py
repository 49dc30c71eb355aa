"""Announcements: order, slow readers, the end."""

import asyncio
from typing import Any, cast

import pytest

from node.announce import Announcements, Closed


def item(number: int) -> Any:
    """Announcements carry whatever they are given; a number is easy to follow."""
    return cast(Any, number)


def test_a_subscriber_hears_everything_in_order() -> None:
    async def scenario() -> list[int]:
        news = Announcements(queue_max=10)
        subscription = news.subscribe("transactions")
        for number in range(5):
            news.publish_transaction(item(number))
        return [cast(int, await subscription.get()) for _ in range(5)]

    assert asyncio.run(scenario()) == [0, 1, 2, 3, 4]


def test_a_waiting_subscriber_wakes_up() -> None:
    async def scenario() -> int:
        news = Announcements()
        subscription = news.subscribe("blocks")
        waiting = asyncio.create_task(subscription.get())
        await asyncio.sleep(0)
        news.publish_block(item(7))
        return cast(int, await waiting)

    assert asyncio.run(scenario()) == 7


def test_a_slow_subscriber_is_dropped_and_the_others_are_not() -> None:
    async def scenario() -> None:
        news = Announcements(queue_max=3)
        slow, quick = news.subscribe("blocks"), news.subscribe("blocks")
        for number in range(4):
            news.publish_block(item(number))
            assert await quick.get() == number
        assert slow.closed
        with pytest.raises(Closed):
            await slow.get()
        assert not quick.closed

    asyncio.run(scenario())


def test_closing_ends_every_subscription_after_what_is_queued() -> None:
    async def scenario() -> list[int]:
        news = Announcements()
        subscription = news.subscribe("blocks")
        news.publish_block(item(1))
        news.close()
        assert news.closed
        return [cast(int, number) async for number in subscription]

    assert asyncio.run(scenario()) == [1]


def test_a_closed_subscription_hears_no_more() -> None:
    async def scenario() -> int | None:
        news = Announcements()
        subscription = news.subscribe("blocks")
        subscription.close()
        news.publish_block(item(1))
        return cast("int | None", subscription.get_nowait())

    assert asyncio.run(scenario()) is None
