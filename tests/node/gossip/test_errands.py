"""Work in the background: bounded, and its failures are told."""

import asyncio

from node.gossip.errands import ERRANDS_MAX, Errands
from tests.support.network import virtually


def test_what_an_errand_raises_is_told() -> None:
    async def main() -> None:
        failures: list[BaseException] = []
        errands = Errands(failures.append)

        async def fail() -> None:
            raise ZeroDivisionError

        assert errands.start(fail())
        await asyncio.sleep(1)
        assert [type(error) for error in failures] == [ZeroDivisionError]
        assert len(errands) == 0

    virtually(main())


def test_errands_are_bounded_and_end_with_the_node() -> None:
    async def main() -> None:
        failures: list[BaseException] = []
        errands = Errands(failures.append)
        started = [errands.start(asyncio.sleep(60)) for _ in range(ERRANDS_MAX + 1)]
        assert started == [True] * ERRANDS_MAX + [False]
        await errands.stop()
        assert len(errands) == 0 and not failures
        assert asyncio.get_running_loop().time() < 1

    virtually(main())
