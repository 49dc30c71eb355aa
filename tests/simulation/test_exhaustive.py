"""The exhaustive search of the core: complete where it is small, and able to find a bug."""

from random import Random

import pytest

from node.consensus.core import Core
from node.consensus.messages import AdvanceTimeout
from tests.node.consensus.mutants import MUTANTS, Mutant
from tests.node.consensus.world import START, address
from tests.simulation.exhaustive import (
    SCHEDULES,
    Schedule,
    Search,
    copy_core,
    epoch_led_by,
    fingerprint,
    search,
)


def test_one_view_is_searched_to_the_end() -> None:
    """Whoever leads it."""
    for report in search(seconds=60, views=1):
        assert report.complete and not report.wrong and report.states > 100


@pytest.mark.parametrize("schedule", [(0, 1), (1, 2), (1, 1)])
def test_two_views_are_searched_to_the_end(schedule: Schedule) -> None:
    """Every order of everything, with a byzantine member that has signed every ballot."""
    report = Search(schedule, Random(1)).run(seconds=120)
    assert report.complete and not report.wrong and report.states > 10_000


@pytest.mark.parametrize("schedule", SCHEDULES[:4])
def test_a_part_of_three_views_holds(schedule: Schedule) -> None:
    """`python -m tests.simulation.exhaustive --seconds 600` goes on from here."""
    report = Search(schedule, Random(2)).run(seconds=1)
    assert not report.wrong


@pytest.mark.parametrize(
    ("mutant", "schedule"),
    [
        (MUTANTS[0], (0, 1, 2)),
        (MUTANTS[1], (0, 1, 2)),
        (MUTANTS[3], (0, 1, 0)),
    ],
    ids=["finalize after nullify", "nullify after finalize", "skip proof unchecked"],
)
def test_the_search_finds_a_planted_bug(mutant: Mutant, schedule: Schedule) -> None:
    with mutant.planted():
        assert Search(schedule, Random(0)).run(seconds=120).wrong


def test_a_copied_core_leaves_the_first_one_alone() -> None:
    """What the numbering of states stands on."""
    core = Core(epoch_led_by((0, 1)), START, address(2))
    core.start()
    before = fingerprint(core, 2)
    copied = copy_core(core)
    assert copied.handle(AdvanceTimeout(1))
    assert fingerprint(core, 2) == before
    assert core.handle(AdvanceTimeout(1))
