"""What comes in masses takes turns, and leaves the loop's others theirs."""

import asyncio

from node.rpc.turns import Turns


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_work_goes_on_as_long_as_there_is_time() -> None:
    async def run() -> None:
        clock = _Clock()
        turns = Turns(clock=clock)
        others: list[str] = []
        asyncio.get_running_loop().call_soon(others.append, "other")
        for _ in range(100):
            await turns.take()
            clock.now += 0.00001
        assert not others
        clock.now += 1
        await turns.take()
        assert others == ["other"]

    asyncio.run(run())


def test_those_who_wait_are_served_in_their_order() -> None:
    """Given tasks that each use all the time there is, no one is served twice before another."""

    async def run() -> None:
        clock = _Clock()
        turns = Turns(clock=clock)
        served: list[int] = []

        async def begin() -> None:
            assert not turns.over()
            clock.now += 1

        async def work(name: int) -> None:
            for _ in range(3):
                await turns.take()
                served.append(name)
                clock.now += 1

        await asyncio.gather(begin(), *(work(name) for name in range(40)))
        assert served == [*range(40)] * 3

    asyncio.run(run())


def test_a_loop_that_is_not_busy_with_others_counts_each_of_its_turns_anew() -> None:
    async def run() -> None:
        clock = _Clock()
        turns = Turns(clock=clock)
        assert not turns.over()
        clock.now += 1
        assert turns.over()
        await asyncio.sleep(0)
        assert not turns.over()

    asyncio.run(run())


def test_what_is_called_later_is_called_once() -> None:
    async def run() -> None:
        turns = Turns(clock=_Clock())
        called: list[int] = []
        for number in range(100):
            turns.later(lambda number=number: called.append(number))  # type: ignore[misc]
        for _ in range(10):
            await asyncio.sleep(0)
        assert called == list(range(100))

    asyncio.run(run())


def test_who_is_cancelled_holds_up_nobody() -> None:
    async def run() -> None:
        clock = _Clock()
        turns = Turns(clock=clock)
        assert not turns.over()
        clock.now += 1
        gone = [asyncio.create_task(turns.take()) for _ in range(3)]
        waits = asyncio.create_task(turns.take())
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        async with asyncio.timeout(10):
            await waits

    asyncio.run(run())


def test_a_loop_that_is_nobody_elses_has_no_turns() -> None:
    """A ledger inside a program is asked without a running loop."""
    turns = Turns(shared=False, clock=_Clock())
    assert not turns.over()
    waiting = turns.take()
    try:
        waiting.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")
