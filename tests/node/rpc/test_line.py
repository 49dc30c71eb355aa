"""The line in front of threads: order, results, errors, who leaves, and who is held up."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from node.rpc.line import Line


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await main

    return asyncio.run(bounded())


def test_results_and_errors_come_back_to_whom_they_belong() -> None:
    async def main() -> None:
        with ThreadPoolExecutor(2) as threads:
            line = Line(threads, 2)
            running = [line.run(divmod, 100, number) for number in range(50)]
            found = await asyncio.gather(*running, return_exceptions=True)
            assert isinstance(found[0], ZeroDivisionError)
            assert found[1:] == [divmod(100, number) for number in range(1, 50)]
            assert line.unfinished == 0

    run(main())


def test_one_thread_takes_them_in_their_order() -> None:
    order: list[int] = []

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            line = Line(threads, 1)
            await asyncio.gather(*(line.run(order.append, number) for number in range(100)))

    run(main())
    assert order == list(range(100))


def test_those_behind_a_slow_one_are_taken_by_another_thread() -> None:
    """The slow one ends only when the last of the others is done."""
    others_done = threading.Event()

    async def main() -> None:
        with ThreadPoolExecutor(2) as threads:
            line = Line(threads, 2)
            slow = asyncio.create_task(line.run(others_done.wait, 60))
            await asyncio.gather(*(line.run(abs, number) for number in range(20)))
            assert not slow.done()
            others_done.set()
            assert await slow

    run(main())


def test_no_more_threads_work_than_are_allowed() -> None:
    at_work: list[int] = []
    lock = threading.Lock()
    most = 0
    go = threading.Event()

    def work() -> None:
        nonlocal most
        with lock:
            at_work.append(1)
            most = max(most, len(at_work))
            if most == 3:
                go.set()
        go.wait(60)
        with lock:
            at_work.pop()

    async def main() -> None:
        with ThreadPoolExecutor(8) as threads:
            line = Line(threads, 3)
            await asyncio.gather(*(line.run(work) for _ in range(12)))

    run(main())
    assert most == 3


def test_who_is_cancelled_in_line_is_not_run() -> None:
    ran: list[str] = []
    go = threading.Event()

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            line = Line(threads, 1)
            first = asyncio.create_task(line.run(go.wait, 60))
            second = asyncio.create_task(line.run(ran.append, "second"))
            third = asyncio.create_task(line.run(ran.append, "third"))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
            go.set()
            await asyncio.gather(first, third)
            with pytest.raises(asyncio.CancelledError):
                await second
            assert line.unfinished == 0

    run(main())
    assert ran == ["third"]


def test_those_in_line_are_given_up_at_the_end() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return go.wait(60)

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            line = Line(threads, 1)
            first = asyncio.create_task(line.run(work))
            second = asyncio.create_task(line.run(abs, -1))
            assert await asyncio.to_thread(begun.wait, 60)
            line.give_up()
            with pytest.raises(asyncio.CancelledError):
                await second
            go.set()
            assert await first
            assert line.unfinished == 0

    run(main())
