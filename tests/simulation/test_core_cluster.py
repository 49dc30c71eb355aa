"""Cores, signers and vote logs among liars, crashes and losses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.core_cluster import run
from tests.simulation.core_watch import Violation
from tests.simulation.mutants import CORE_MUTANTS, Edit, Mutant, planted

_SEEDS = 240
_PARTS = 8
_MUTANT_SEEDS = 400  # the table of docs/protocol/simulation.md needs a tenth of it for most
_ROOT = Path(__file__).parents[2]
_PRINT = "from tests.simulation.core_cluster import run; print([run(s).digest for s in (3, 4)])"


@pytest.mark.parametrize("part", range(_PARTS))
def test_no_seed_breaks_agreement_or_stops_progress(part: int) -> None:
    """Given chaos and up to a third of liars, every invariant of section 8 holds."""
    for seed in range(part, _SEEDS, _PARTS):
        outcome = run(seed)
        assert outcome.violation is None, f"python -m tests.simulation core --seeds {seed}-{seed}"


@pytest.mark.parametrize("mutant", CORE_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    """Given a bug of section 8, some seed within the budget shows it."""
    with planted(mutant):
        assert any(run(seed).violation for seed in range(_MUTANT_SEEDS))


def test_the_same_seed_is_the_same_run() -> None:
    """Two runs of a seed end in the same trace; another seed ends in another."""
    assert run(3) == run(3)
    assert run(3).digest != run(4).digest


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


def test_an_edit_whose_words_are_gone_is_refused() -> None:
    """A mutant that no longer fits the product is not silently nothing."""
    edit = Edit("chain.validators:record_hash", "words that are not there", "")
    with pytest.raises(LookupError), planted(Mutant("none", (edit,))):
        raise Violation("not reached")
