"""The event loop on virtual time."""

import asyncio

import pytest

from node.simulator.loop import Stuck, VirtualExecutor, VirtualLoop


def test_an_hour_takes_no_time() -> None:
    """Sleeping moves the clock, and timers fire in order."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(loop.time())

        await asyncio.gather(*map(sleeper, (3600.0, 0.5, 60.0)))
        return seen

    assert VirtualLoop().run(main()) == pytest.approx([0.5, 60.0, 3600.0])


def test_waiting_for_nothing_is_a_deadlock() -> None:
    """When nobody will ever wake anybody, the loop says so instead of hanging."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        VirtualLoop().run(main())


def test_spinning_without_time_is_noticed() -> None:
    """A task that never lets the clock move ends the run."""

    async def main() -> None:
        while True:  # noqa: ASYNC110 - spinning is what is tested
            await asyncio.sleep(0)

    with pytest.raises(Stuck):
        VirtualLoop().run(main())


def test_what_is_left_behind_is_cancelled() -> None:
    """Tasks that `main` started and forgot see their cancellation."""
    ended: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("forgotten")

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(forgotten())
        await asyncio.sleep(1)
        assert not task.done()

    VirtualLoop().run(main())
    assert ended == ["forgotten"]


def test_one_virtual_thread_works_in_order_and_takes_its_time() -> None:
    """Calls of one worker happen one after the other; errors reach who asked."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        writer = VirtualExecutor(loop, 1, lambda: 1.0)
        done: list[int] = []
        first = loop.run_in_executor(writer, done.append, 1)
        second = loop.run_in_executor(writer, done.append, 2)
        await first
        assert done == [1]
        assert loop.time() == pytest.approx(1.0)
        await second
        assert done == [1, 2]
        assert loop.time() == pytest.approx(2.0)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(writer, divmod, 1, 0)
        writer.shutdown()
        with pytest.raises(RuntimeError):
            writer.submit(done.append, 3)

    VirtualLoop().run(main())


def test_a_killed_executor_does_nothing_more() -> None:
    """What had not happened when the process died never happens, and nobody is answered."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        writer = VirtualExecutor(loop, 1, lambda: 1.0)
        done: list[int] = []
        waiting = loop.run_in_executor(writer, done.append, 1)
        writer.kill()
        await asyncio.sleep(10)
        assert done == []
        assert not waiting.done()

    VirtualLoop().run(main())


def test_an_orderly_end_finishes_what_was_begun() -> None:
    """`shutdown` that waits leaves no call undone."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        writer = VirtualExecutor(loop, 1, lambda: 1.0)
        done: list[int] = []
        calls = [loop.run_in_executor(writer, done.append, number) for number in range(3)]
        writer.shutdown()
        assert done == [0, 1, 2]
        await asyncio.gather(*calls)

    VirtualLoop().run(main())
