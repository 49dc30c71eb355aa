"""Random state tests come out the same natively; a VM that is wrong is told, and shown."""

import json
from contextlib import suppress

import pytest
from msgspec.structs import replace

from contracts.vm import Interpreter
from node.conformance import fixtures, statetest
from node.conformance.tiers import machine_of
from tests.differential_vm.compare import TooLong, differences, write_reproducer
from tests.differential_vm.worlds import random_test

TESTS = 2_000
SHARDS = 7
COMPILED_TESTS = 40  # compiling takes longer than running


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_state_tests_come_out_the_same_natively(shard):
    """State, gas, output, logs, refunds, and what is warm afterwards; in all forks."""
    machines = [("native", machine_of("native"))]
    ran = 0
    for seed in range(shard, TESTS, SHARDS):
        fork_name, test = random_test(seed)
        try:
            found = differences(test, fork_name, machines)
        except TooLong:
            continue
        ran += 1
        assert not found, f"seed {seed}: {found[0].tier}: {found[0].what}"
    assert ran > TESTS // SHARDS // 2


def test_random_state_tests_come_out_the_same_compiled():
    machines = [("jit", machine_of("jit"))]
    for seed in range(TESTS, TESTS + COMPILED_TESTS):
        fork_name, test = random_test(seed)
        with suppress(TooLong):
            found = differences(test, fork_name, machines)
            assert not found, f"seed {seed}: {found[0].tier}: {found[0].what}"


class Watching(Interpreter):
    """Notes how messages ended, and how many slots and logs there are then."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def execute(self, message, state, *rest):
        outcome = super().execute(message, state, *rest)
        self.ended.append((outcome.halt, len(state.delta().storage), len(state.logs)))
        return outcome


def test_most_random_tests_get_somewhere():
    """Enough of them succeed and leave something behind."""
    machine = Watching()
    for seed in range(150):
        fork_name, test = random_test(seed)
        with suppress(TooLong):
            differences(test, fork_name, [("watching", machine)])
    assert sum(halt is None for halt, _, _ in machine.ended) > 25
    assert sum(slots > 0 for _, slots, _ in machine.ended) > 15
    assert sum(logs > 0 for _, _, logs in machine.ended) > 3


def test_a_difference_is_told_and_kept_as_a_state_test(tmp_path):
    """A VM that takes one gas too much for messages that succeed."""

    class Greedy(Interpreter):
        def execute(self, *message):
            outcome = super().execute(*message)
            return replace(outcome, gas_left=outcome.gas_left - (outcome.halt is None))

    found = []
    for seed in range(40):
        fork_name, test = random_test(seed)
        try:
            found += differences(test, fork_name, [("greedy", Greedy())])
        except TooLong:
            continue
    assert found and all("gas_left is" in difference.what for difference in found)
    path = write_reproducer(tmp_path, "greedy", found[0])
    assert json.loads(path.read_text())["greedy"]["_info"]["comment"] == found[0].what
    (result,) = statetest.run_path(str(path))
    assert result["pass"], result
    (result,) = statetest.run_file(fixtures.load(str(path)), Greedy())
    assert not result["pass"] and "state root" in result["error"]


def test_a_crash_is_a_difference():
    class Broken(Interpreter):
        def execute(self, *message):
            raise ValueError("no such register")

    fork_name, test = random_test(3)
    (difference,) = differences(test, fork_name, [("broken", Broken())])
    assert difference.crash and "no such register" in difference.what
