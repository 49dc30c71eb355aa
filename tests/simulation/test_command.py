"""`chain-node simulate`."""

import argparse

import pytest

from chain.errors import Reason, Rejected
from node.simulator.cluster import Plan, run
from node.simulator.command import add_arguments, replay, run_simulate
from node.simulator.faults import parse_faults


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run_simulate(parser.parse_args(words))


def test_a_run_prints_its_trace_and_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """One seed: hash, heights, latencies; status 0 when nothing is violated."""
    assert _run("--seed", "3", "--seconds", "3") == 0
    printed = capsys.readouterr().out
    assert run(Plan(seed=3, seconds=3.0)).digest in printed
    assert "finality" in printed
    assert "VIOLATION" not in printed


def test_many_seeds_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A range of seeds is silent but for failures and the sum."""
    assert _run("--seeds", "1-3", "--seconds", "1", "--validators", "1") == 0
    assert capsys.readouterr().out == "3 seeds, 0 with violations\n"


def test_the_printed_command_replays_the_very_run() -> None:
    """What `replay` prints is parsed into the same plan."""
    plan = Plan(
        seed=9,
        validators=5,
        byzantine=1,
        misdeeds=frozenset({"forge", "replay"}),
        seconds=2.0,
        faults=parse_faults("crash,reset"),
        epoch_length=4,
    )
    words = replay(plan).split()[2:]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(words)
    assert arguments.seed == 9
    assert arguments.faults == "crash,reset"
    assert arguments.misdeeds == "forge,replay"
    assert arguments.epoch_length == 4


@pytest.mark.parametrize(
    "words",
    [
        ("--validators", "0"),
        ("--validators", "3", "--byzantine", "1"),
        ("--faults", "locusts"),
        ("--faults", "crash,wipe", "--byzantine", "1"),
        ("--faults", "wipe", "--validators", "3"),
        ("--misdeeds", "sloth"),
        ("--seeds", "7-3"),
        ("--seconds", "0"),
        ("--jobs", "0"),
    ],
)
def test_what_cannot_be_run_is_refused(words: tuple[str, ...]) -> None:
    """Bad arguments are named."""
    with pytest.raises(Rejected) as caught:
        _run(*words)
    assert caught.value.reason is Reason.BAD_SETTING


def test_all_faults_are_those_that_leave_a_quorum() -> None:
    """A wiped validator is silent for an epoch: with liars up to the limit nobody is wiped."""
    every = parse_faults("all")
    assert every.bearable(validators=4, liars=0) == every
    assert every.bearable(validators=7, liars=1) == every
    for validators, liars in ((4, 1), (7, 2), (3, 0), (1, 0)):
        assert every.bearable(validators, liars).kinds == every.kinds - {"wipe"}


def test_liars_and_all_faults_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    """`--faults all` is run with a liar at the limit, and nothing is violated."""
    words = ("--faults", "all", "--byzantine", "1", "--epoch-length", "5", "--seconds", "4")
    assert _run("--seed", "5", *words) == 0
    assert "VIOLATION" not in capsys.readouterr().out
