"""Random blocks come out the same natively, whatever a machine keeps between their messages."""

import json
from collections import Counter
from typing import ClassVar

import pytest

from contracts.vm import Interpreter
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit.compiler import compile_code
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.objects import user_cache
from contracts.vm.native.session import Session
from node.conformance.tiers import machine_of
from tests.differential_vm.blocks import random_block
from tests.differential_vm.cramped import Cramped
from tests.differential_vm.play import Player, block_difference, write_block
from tests.differential_vm.shrink import smaller

BLOCKS = 1_000
SHARDS = 5
CRAMPED_BLOCKS = 200
COMPILED_BLOCKS = 100  # of the actors' few codes, since compiling takes longer than running


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_blocks_come_out_the_same_natively(shard):
    """After each message, transaction, change from outside and block; on one machine."""
    machine = machine_of("native")
    for seed in range(shard, BLOCKS, SHARDS):
        found = block_difference(random_block(seed), "native", machine)
        assert found is None, f"seed {seed}, step {found.step}: {found.what}"


def test_random_blocks_come_out_the_same_compiled():
    machine = machine_of("jit")
    for seed in range(BLOCKS, BLOCKS + COMPILED_BLOCKS):
        found = block_difference(random_block(seed, programs=False), "jit", machine)
        assert found is None, f"seed {seed}, step {found.step}: {found.what}"


def test_random_blocks_come_out_the_same_where_there_is_no_room(monkeypatch):
    """Each area is full at once, each table has one entry at first, few codes are kept."""
    grown, machine = Counter(), Cramped()
    grow = Session.grow

    def growing(self, what, wanted):
        grown[what] += 1
        grow(self, what, wanted)

    monkeypatch.setattr(Session, "grow", growing)
    for seed in range(CRAMPED_BLOCKS):
        found = block_difference(random_block(seed), "cramped", machine)
        assert found is None, f"seed {seed}, step {found.step}: {found.what}"
    assert len(grown) == 6 and min(grown.values()) > CRAMPED_BLOCKS // 2


def test_random_blocks_come_out_the_same_compiled_where_there_is_no_room():
    """Compiled code gives up wherever something is full."""
    machine = Cramped(JitSettings(at_once=True, loaded_codes_max=64, cached_files_max=0))
    for seed in range(COMPILED_BLOCKS):
        found = block_difference(random_block(seed, programs=False), "cramped", machine)
        assert found is None, f"seed {seed}, step {found.step}: {found.what}"


class AtHand:
    """A compiling process that is always done, and compiles each code once for all machines."""

    found: ClassVar = {}
    busy = False
    lasting = True

    def give(self, job):
        key = (job.code, tuple(job.prices))
        if key not in self.found:
            self.found[key] = compile_code(job.code, job.prices)
        self._answer = self.found[key]

    def poll(self):
        return self._answer

    def close(self):
        pass


def test_code_that_becomes_hot_in_the_midst_of_a_block_does_the_same():
    """What native code knows of an account has the interpreted code, until that is compiled."""
    compiled = 0
    for seed in range(BLOCKS, BLOCKS + COMPILED_BLOCKS):
        settings = JitSettings(hot_gas=20_000, cached_files_max=0)
        machine = NativeInterpreter(cache=user_cache(), jit=settings)
        machine.tier._workshop = AtHand()
        found = block_difference(random_block(seed, programs=False), "jit", machine)
        assert found is None, f"seed {seed}, step {found.step}: {found.what}"
        compiled += machine.tier.figures.compiled
    assert compiled > COMPILED_BLOCKS


def test_much_happens_in_random_blocks():
    """Most messages succeed; accounts come and go, slots and logs are written."""
    ended, changed, wiped, codes, slots, logs = [], 0, 0, 0, 0, 0
    for seed in range(100):
        for seen in Player(random_block(seed), Interpreter()).played():
            if "halt" in seen:
                ended.append(seen["halt"])
            logs += len(seen.get("logs", ()))
            if "root" in seen:
                changed += len(seen["accounts"])
                wiped += len(seen["wiped"])
                codes += len(seen["codes"])
                slots += sum(map(len, seen["storage"].values()))
    assert len(ended) > 200 and ended.count("success") > 0.4 * len(ended)
    assert ended.count("revert") > 5 and ended.count("failure") > 20
    assert changed > 300 and wiped > 4 and codes > 30 and slots > 60 and logs > 5


class Forgetful(Session):
    """Does not hear that an account has got code."""

    def __init__(self, native):
        super().__init__(native)
        self.tables.account_changed = lambda address: None


class Sleepy(Session):
    """Does not hear that a transaction is over."""

    def __init__(self, native):
        super().__init__(native)
        self.tables.next_transaction = lambda: None


def planted(session_class):
    machine = machine_of.__wrapped__("native")
    machine._session = session_class(machine._native)
    return machine


@pytest.mark.parametrize("session_class", [Forgetful, Sleepy])
def test_what_a_machine_must_not_keep_is_found_and_made_small(session_class, tmp_path):
    machine = planted(session_class)
    found = None
    for seed in range(300):
        found = block_difference(random_block(seed), "native", machine)
        if found is not None:
            break
    assert found is not None and not found.crash
    least = smaller(found, lambda told: block_difference(told, "native", planted(session_class)))
    assert len(least.block["steps"]) <= 2
    path = write_block(tmp_path, "native-1", least)
    kept = json.loads(path.read_text())
    assert kept["comment"] == least.what
    assert block_difference(kept, "native", planted(session_class)) == least.__class__(
        "native", least.step, least.what, kept
    )
    assert block_difference(kept, "native", machine_of("native")) is None


def test_a_machine_that_crashes_in_a_block_is_a_difference():
    class Broken(Interpreter):
        def execute(self, *message):
            raise ValueError("no such register")

    found = block_difference(random_block(1), "broken", Broken())
    assert found is not None and found.crash and "no such register" in found.what
