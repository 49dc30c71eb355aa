"""The loop of a ledger in the process: whose thread runs it, and when it takes one of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from node.testing.borrowed_loop import BorrowedLoop


@pytest.fixture
def loop() -> Iterator[BorrowedLoop]:
    made = BorrowedLoop(60)
    yield made
    if not made.is_closed:
        made.close()


async def own_thread() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


def test_a_single_caller_runs_it_in_his_own_thread(loop: BorrowedLoop) -> None:
    assert loop.run(own_thread()) == loop.run(own_thread()) == threading.get_ident()


def test_what_the_work_raises_is_raised(loop: BorrowedLoop) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            loop.run(fail())
        loop.take_thread()


def test_work_that_never_ends_is_given_up() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    for alone in (True, False):
        loop = BorrowedLoop(0.01)
        if not alone:
            loop.take_thread()
        with pytest.raises(TimeoutError):
            loop.run(never())
        loop.close()


def test_a_caller_may_wait_for_what_another_does(loop: BorrowedLoop) -> None:
    """Each waits for the event of the other, in threads of their own."""
    first, second = asyncio.Event(), asyncio.Event()

    async def meet(mine: asyncio.Event, other: asyncio.Event) -> bool:
        mine.set()
        return await other.wait()

    other = threading.Thread(target=lambda: loop.run(meet(second, first)))
    other.start()
    assert loop.run(meet(first, second))
    other.join(60)
    assert not other.is_alive()


def test_a_caller_in_an_event_loop_is_answered(loop: BorrowedLoop) -> None:
    async def main() -> tuple[int, int]:
        return loop.run(own_thread()), await loop.run_async(own_thread())

    by_waiting, by_awaiting = asyncio.run(main())
    assert by_waiting == by_awaiting != threading.get_ident()


def test_it_goes_on_by_itself_once_it_has_a_thread(loop: BorrowedLoop) -> None:
    done = threading.Event()

    async def later() -> None:
        asyncio.get_running_loop().call_later(0.001, done.set)

    loop.run(later())
    loop.take_thread()
    assert done.wait(60)


def test_what_needs_no_loop_is_done_in_the_callers_thread_while_nobody_runs_it(
    loop: BorrowedLoop,
) -> None:
    assert loop.call(threading.get_ident) == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 // 0)

    async def called_inside() -> int | None:
        return loop.call(threading.get_ident)

    assert loop.run(called_inside()) is None
    assert loop.call(threading.get_ident) == threading.get_ident()
    loop.take_thread()
    assert loop.call(threading.get_ident) is None
    loop.close()
    assert loop.call(threading.get_ident) is None


def test_work_by_hand_gives_what_it_would_in_the_loop(loop: BorrowedLoop) -> None:
    async def at_once() -> int:
        assert asyncio.get_running_loop().is_running() is False
        return 5

    async def fail(waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)
        raise ZeroDivisionError

    async def forgive() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "in time"

    async def begin_and_forgive() -> str:
        await asyncio.sleep(0)
        return await forgive()

    assert loop.run(at_once(), by_hand=True) == 5
    assert loop.run(own_thread(), by_hand=True) == threading.get_ident()
    assert loop.run(begin_and_forgive(), by_hand=True) == "late"
    for waits in (False, True):
        with pytest.raises(ZeroDivisionError):
            loop.run(fail(waits), by_hand=True)
    loop.take_thread()
    assert loop.run(own_thread(), by_hand=True) != threading.get_ident()


def test_work_by_hand_leaves_nothing_in_the_callers_context(loop: BorrowedLoop) -> None:
    variable = ContextVar("variable", default=0)

    async def change(waits: bool) -> int:
        token = variable.set(1)
        if waits:
            await asyncio.sleep(0)
        found = variable.get()
        variable.reset(token)
        variable.set(found + 1)
        return found

    for waits in (False, True):
        assert loop.run(change(waits), by_hand=True) == 1
        assert variable.get() == 0


def test_what_waits_by_hand_may_wait_for_the_loop(loop: BorrowedLoop) -> None:
    """A task that it began, and a call of the loop's, are done while it waits."""

    async def with_help() -> list[int]:
        running = asyncio.get_running_loop()
        called: asyncio.Future[int] = running.create_future()
        running.call_later(0.001, called.set_result, 2)
        task = running.create_task(asyncio.sleep(0, 1))
        return [await task, await called]

    assert loop.run(with_help(), by_hand=True) == [1, 2]


def test_work_by_hand_is_done_in_the_thread_of_a_caller_with_a_loop(loop: BorrowedLoop) -> None:
    """As long as it waits for nothing; and then in the loop's, with what it has begun."""
    variable = ContextVar("variable", default=0)

    async def work(waits: bool) -> tuple[int, int, bool]:
        mine = asyncio.get_running_loop()
        begun = threading.get_ident()
        token = variable.set(1)
        if waits:
            await asyncio.sleep(0.001)
        variable.reset(token)
        return begun, threading.get_ident(), asyncio.get_running_loop() is mine

    async def caller() -> None:
        here, around = threading.get_ident(), asyncio.get_running_loop()
        assert await loop.run_async(work(False), by_hand=True) == (here, here, True)
        assert loop.run(work(False), by_hand=True) == (here, here, True)
        assert asyncio.get_running_loop() is around
        begun, ended, same = await loop.run_async(work(True), by_hand=True)
        assert (begun, same) == (here, True)
        assert ended != here
        begun, ended, same = await loop.run_async(work(False), by_hand=True)
        assert begun == ended != here

    asyncio.run(caller())


def test_what_work_by_hand_raises_a_caller_with_a_loop_is_told(loop: BorrowedLoop) -> None:
    async def fail(waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)
        raise ZeroDivisionError

    async def caller() -> None:
        for waits in (False, True):
            with pytest.raises(ZeroDivisionError):
                await loop.run_async(fail(waits), by_hand=True)

    asyncio.run(caller())


def test_a_closed_one_takes_no_work(loop: BorrowedLoop) -> None:
    loop.run(own_thread())
    loop.close()
    with pytest.raises(RuntimeError, match="not running"):
        loop.run(own_thread())
