"""Clocks that are put back, under whole nodes on virtual time (section 3)."""

import asyncio

import pytest
from msgspec.structs import replace

from node.simulator.cluster import Cluster, Plan
from node.simulator.loop import VirtualLoop

_BACK_S = 14.0


def _heights(cluster: Cluster) -> list[int]:
    return [each.node.ledger.height for each in cluster.processes if each and each.node]


def _set_back(cluster: Cluster, number: int) -> None:
    """The node is started again with a clock that was put back."""
    cluster.crash(number)
    machine = cluster._machines[number]
    cluster._machines[number] = replace(machine, skew_s=machine.skew_s - _BACK_S)
    cluster.restart(number)


@pytest.mark.parametrize("back", [1, 4])
def test_a_ledger_whose_clocks_went_back_waits_until_they_pass_its_last_block(back: int) -> None:
    """Given one of four clocks put back, the others go on and it follows; given all of them,
    no block has an acceptable time before the last one's, and then it goes on by itself."""
    loop = VirtualLoop()
    cluster = Cluster(Plan(seed=1, interval_ms=400), loop)

    async def live() -> None:
        for number in range(4):
            cluster.restart(number)
        await asyncio.sleep(3)
        before = max(_heights(cluster))
        assert before > 5
        for number in range(back):
            _set_back(cluster, number)
        await asyncio.sleep(_BACK_S - 4)
        stood = max(_heights(cluster)) <= before + 1
        assert stood is (back == 4)
        await asyncio.sleep(4 + 16)  # and at most one view, whose timer is at its longest
        assert min(_heights(cluster)) > before + 5

    loop.run(live())
    assert not cluster.invariants.violations
