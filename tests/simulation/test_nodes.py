"""Whole nodes on virtual time: every invariant of section 8, whatever goes wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.simulator.cluster import Plan, run
from node.simulator.command import replay
from node.simulator.faults import Faults, parse_faults
from tests.simulation.mutants import NODE_MUTANTS, Mutant, planted
from tests.simulation.scenarios import plan_of, storm_of

_SEEDS = 24
_PARTS = 4
_SECONDS = 5.0
_MUTANT_SEEDS = 40
_ROOT = Path(__file__).parents[2]
_PRINT = (
    "from node.simulator.cluster import run; from tests.simulation.scenarios import plan_of; "
    "print([run(plan_of(seed, 3.0)).digest for seed in (3, 4)])"
)


@pytest.mark.parametrize("part", range(_PARTS))
def test_no_scenario_breaks_an_invariant(part: int) -> None:
    """Given faults and liars by the seed, nothing is violated and everybody gets on."""
    for seed in range(part, _SEEDS, _PARTS):
        plan = plan_of(seed, _SECONDS)
        assert not run(plan).violations, replay(plan)


def test_four_nodes_serve_receipts_and_agree() -> None:
    """Given a quiet network, every transfer gets its receipt and all have the same height."""
    outcome = run(Plan(seed=1, seconds=5.0))
    assert not outcome.violations
    assert len(set(outcome.heights)) == 1
    assert outcome.heights[0] > 15
    assert outcome.receipts > 30
    assert outcome.finalities[len(outcome.finalities) // 2] < 0.05


def test_seven_nodes_in_seven_regions_are_final_within_a_second() -> None:
    """Given the distances of clouds, half of the receipts come within a second."""
    outcome = run(Plan(seed=1, validators=7, seconds=8.0, distance="cloud"))
    assert not outcome.violations
    assert outcome.latencies[len(outcome.latencies) // 2] < 1.0


def test_epochs_pass() -> None:
    """Given epochs of five heights, consensus goes through several of them."""
    outcome = run(Plan(seed=1, seconds=6.0, epoch_length=5))
    assert not outcome.violations
    assert min(outcome.heights) > 15


def test_a_wiped_validator_catches_up() -> None:
    """Given one empty disk among four, it has every block at the end, and nothing is broken."""
    faults = Faults(frozenset({"wipe"}), pause_s=1.0)
    outcome = run(Plan(seed=1, seconds=8.0, epoch_length=5, faults=faults))
    assert not outcome.violations
    assert max(outcome.heights) - min(outcome.heights) <= 1


@pytest.mark.parametrize(
    "misdeed",
    [
        "equivocate", "withhold", "invalid-state", "forge", "nullify-and-finalize", "replay",
        "selective", "out-of-range", "timestamp",
    ],
)  # fmt: skip
def test_one_liar_of_four_harms_nobody(misdeed: str) -> None:
    """Given one kind of lie, the honest agree, get on, and do not ban each other."""
    outcome = run(Plan(seed=1, seconds=6.0, byzantine=1, misdeeds=frozenset({misdeed})))
    assert not outcome.violations


@pytest.mark.parametrize("seed", range(4))
def test_crashes_all_the_time_lose_nothing(seed: int) -> None:
    """Given nodes that crash again and again, with and without a liar, nothing is violated."""
    plan = storm_of(seed)
    assert not run(plan).violations, replay(plan)


@pytest.mark.parametrize("mutant", NODE_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    """Given a bug of section 8 that only whole nodes can show, some seed shows it."""
    with planted(mutant):
        assert any(run(storm_of(seed)).violations for seed in range(_MUTANT_SEEDS))


def test_the_same_plan_is_the_same_run() -> None:
    """Faults, liars and all: the trace is the same to the last event."""
    plan = Plan(seed=5, seconds=4.0, byzantine=1, faults=parse_faults("crash,loss,partition"))
    assert run(plan) == run(plan)


def test_a_run_does_not_depend_on_the_hash_seed() -> None:
    """Two processes that hash strings and bytes differently see the same traces."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", _PRINT],
            cwd=_ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
