"""Clusters of cores under a bad network, crashes and liars: safe always, live once healed."""

from collections.abc import Sequence

import pytest

from tests.node.consensus.mutants import MUTANTS, Mutant
from tests.node.consensus.scenarios import Step, play, scenario, shrink
from tests.node.consensus.watch import Violation


@pytest.mark.parametrize("block", range(8))
def test_the_honest_agree_whatever_happens_and_go_on_when_it_is_over(block: int) -> None:
    """R1 to R8, V1 to V4, sections 5 and 6: 70 scenarios per block.

    Messages are lost, doubled, reordered and cut off by partitions, timers fire whenever,
    members crash with half-written logs, up to a third of the power lies. Afterwards every
    member must deliver three more blocks. A seed that fails is replayed and shortened by
    `python -m tests.node.consensus --replay SEED`.
    """
    heights = 0
    for seed in range(block * 70, block * 70 + 70):
        try:
            heights += len(play(*scenario(seed)).watch.delivered)
        except Violation as violation:
            pytest.fail(f"{violation}: python -m tests.node.consensus --replay {seed}")
    assert heights > 70


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_planted_bug_is_found(mutant: Mutant) -> None:
    assert mutant.seeds_to_find() is not None


def test_a_failing_scenario_is_made_short() -> None:
    """The same violation with a fraction of the steps."""
    mutant = MUTANTS[0]
    with mutant.planted() as rules:
        found = mutant.seeds_to_find()
        assert found is not None
        setting, steps = scenario(found - 1)

        def fails(shorter: Sequence[Step]) -> bool:
            try:
                play(setting, shorter, rules, live=False)
            except Violation:
                return True
            return False

        short = shrink(fails, steps)
    assert fails is not None and 0 < len(short) < len(steps) / 4


def test_the_same_seed_is_the_same_run() -> None:
    first, second = play(*scenario(3)), play(*scenario(3))
    assert first.watch.votes == second.watch.votes
    assert first.watch.delivered == second.watch.delivered
