"""Which VM runs: the plain interpreter until native code is there, or for good without it."""

import logging
import select
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait

import pytest

from chain.forks import OSAKA
from chain.machine import Message
from chain.state import State
from node.machines import Machines
from node.settings import VmSettings
from node.watch.observation import TierCount
from tests.contracts.vm.laboratory import (
    BLOCK,
    CALLER,
    TARGET,
    TRANSACTION,
    View,
    assemble,
    begin,
    run,
)
from tests.contracts.vm.native.both import CACHE, native

CODE = assemble("1 2 ADD 0 MSTORE 32 0 RETURN")


class Waiting(Executor):
    """Runs what it was given when it is told to."""

    def __init__(self):
        self.given = []
        self.closed = False

    def submit(self, call, /, *arguments):
        self.given.append(lambda: call(*arguments))
        return Future()

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.closed = True

    def run(self):
        for call in self.given:
            call()
        self.given.clear()


def machines_of(tier, load=None, **fields):
    executor = Waiting()
    settings = VmSettings(tier=tier, **fields)
    return Machines(settings, lambda workers, name: executor, load), executor


def ran(machines):
    return {item.tier: item.messages for item in machines.counts() if item.messages}


@pytest.mark.parametrize("tier", ["auto", "native", "jit"])
def test_contracts_run_plainly_until_native_code_is_there(tier):
    machines, executor = machines_of(tier, native)
    machine = machines.new(compiles=True)
    assert run(CODE, machine=machine).word == 3
    assert run(CODE, machine=machine).word == 3
    assert ran(machines) == {"python": 2} and len(executor.given) == 1
    executor.run()
    assert run(CODE, machine=machine).word == 3
    assert run(CODE, machine=machines.new()).word == 3
    assert ran(machines) == {"python": 2, "native": 2} and not executor.given
    machines.close()
    assert executor.closed


def test_native_code_can_be_made_ready_before_anything_runs():
    machines, executor = machines_of("auto", native)
    machines.prepare()
    machines.prepare()
    assert len(executor.given) == 1 and not machines.is_native
    executor.run()
    assert machines.is_native
    assert run(CODE, machine=machines.of_thread()).word == 3
    assert ran(machines) == {"native": 1}


def test_tier_python_loads_nothing():
    machines = Machines(VmSettings(tier="python"), pytest.fail, pytest.fail)
    machines.prepare()
    assert run(CODE, machine=machines.new()).word == 3
    assert ran(machines) == {"python": 1} and not machines.is_native
    machines.close()


@pytest.mark.parametrize(("tier", "level"), [("auto", logging.INFO), ("native", logging.WARNING)])
def test_without_llvmlite_the_plain_interpreter_stays_and_the_log_says_so(tier, level, caplog):
    caplog.set_level(logging.INFO)
    machines, executor = machines_of(tier, lambda: None)
    machines.prepare()
    executor.run()
    assert run(CODE, machine=machines.new()).word == 3
    assert ran(machines) == {"python": 1} and not executor.given
    (record,) = caplog.records
    assert record.levelno == level and "llvmlite is not installed" in record.message


def test_a_compiler_that_fails_is_told_and_done_without(caplog):
    def fail():
        raise RuntimeError("LLVM is not itself today")

    machines, executor = machines_of("auto", fail)
    machines.prepare()
    executor.run()
    assert run(CODE, machine=machines.new()).word == 3
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "not itself today" in record.message


def test_every_thread_has_its_own_machine():
    machines, _ = machines_of("auto", native)
    with ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2)
        other, another = pool.map(lambda _: (machines.of_thread(), barrier.wait())[0], range(2))
    assert len({id(machine) for machine in (machines.of_thread(), other, another)}) == 3
    assert machines.of_thread() is machines.of_thread()


def test_what_a_message_used_is_counted_where_it_ran():
    machines, executor = machines_of("auto", native)
    machine = machines.new()
    outcome = run(CODE, machine=machine, gas=1_000)
    executor.run()
    run(CODE, machine=machine, gas=1_000)
    used = outcome.gas - outcome.outcome.gas_left
    assert machines.counts() == (TierCount("python", 1, used), TierCount("native", 1, used))
    assert used == 24


def test_messages_to_compiled_code_are_counted_as_such(monkeypatch):
    """In tier jit a hot contract is compiled by another process, while messages go on."""
    machines, executor = machines_of("jit", native, jit_hot_gas=1)
    machines.prepare()
    executor.run()
    monkeypatch.setattr("contracts.vm.native.objects.user_cache", lambda: CACHE)
    machine = machines.new(compiles=True)
    while "jit" not in ran(machines):
        assert run(CODE, machine=machine).word == 3
        process = machine._native.tier._workshop._process
        if process is not None and not machine._native.tier._workshop._sending:
            select.select([process.stdout], [], [])
    other = machines.new()
    assert run(CODE, machine=other).word == 3 and other._native.tier is None
    machines.close()


def test_traced_messages_run_on_the_plain_interpreter():
    class Silent:
        wants_steps = False

        def on_step(self, *_):
            pass

        on_enter = on_exit = on_step

    machines, executor = machines_of("auto", native)
    machines.prepare()
    executor.run()
    message = Message(CALLER, TARGET, TARGET, 0, b"", 10**6, CODE, TARGET)
    machine = machines.new()
    machine.execute(message, begin(View()), BLOCK, TRANSACTION, OSAKA, Silent())
    assert ran(machines) == {"python": 1}


def test_a_nudge_ends_native_code_whose_state_has_no_more_time():
    """An endless loop that sends nothing: the state hears of it only when nudged."""

    class Impatient(State):
        ended = False

        def checkpoint(self):
            if self.ended:
                raise TimeoutError
            return super().checkpoint()

    machines, executor = machines_of("auto", native)
    machines.prepare()
    executor.run()
    code = assemble("JUMPDEST 0 JUMP")
    message = Message(CALLER, TARGET, TARGET, 0, b"", 2**62, code, TARGET)
    state = Impatient(View().put(CALLER, balance=1))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            lambda: machines.of_thread().execute(message, state, BLOCK, TRANSACTION, OSAKA)
        )
        for _ in range(20):  # nudged while there is time, it goes on
            machines.nudge()
            assert not wait([running], 0.01).done
        state.ended = True
        while not wait([running], 0.01).done:
            machines.nudge()
        assert isinstance(running.exception(), TimeoutError)
        again = pool.submit(lambda: run(CODE, machine=machines.of_thread()).word)
        machines.nudge()
        assert again.result() == 3


def test_real_threads_and_the_cache_of_machine_code(monkeypatch):
    monkeypatch.setattr("contracts.vm.native.objects.user_cache", lambda: CACHE)
    machines = Machines(VmSettings(), ThreadPoolExecutor)
    machines.prepare()
    machines.close()  # waits
    assert machines.is_native
