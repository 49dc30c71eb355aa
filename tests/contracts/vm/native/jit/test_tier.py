"""What gets compiled, when, and what happens when it can't be: limits, another process, files."""

import select

import pytest

from chain.forks import OSAKA
from contracts.vm import OPCODES
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit import compiler, workshop
from contracts.vm.native.jit.compiler import TooLarge, assembly_of, compile_code, prices_of
from contracts.vm.native.jit.flow import flow_of
from contracts.vm.native.jit.regions import REGION_WEIGHT_MAX, regions_of
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.jit.worker import Job
from contracts.vm.native.jit.workshop import Workshop
from contracts.vm.native.objects import load_native
from tests.contracts.vm.laboratory import RETURN_TOP, assemble, run
from tests.contracts.vm.native.both import CACHE, Case
from tests.contracts.vm.native.jit.compiled import agree

LOOP = assemble("200 JUMPDEST 1 SWAP1 SUB DUP1 PUSH1 2 JUMPI GAS " + RETURN_TOP)
PRICES = prices_of(OSAKA)


def machine(**fields) -> NativeInterpreter:
    return NativeInterpreter(cache=CACHE, jit=JitSettings(cached_files_max=0, **fields))


def until_compiled(ours: NativeInterpreter, code: bytes) -> None:
    """Messages until the code runs compiled or is refused; each gives the same."""
    tier = ours.tier
    assert tier is not None
    expected = run(code).outcome
    for _ in range(10_000_000):
        assert run(code, machine=ours).outcome == expected
        if tier.figures.compiled or tier.figures.refused:
            assert run(code, machine=ours).outcome == expected
            return
        process = tier._workshop._process
        if process is not None and not tier._workshop._sending:
            select.select([process.stdout], [], [])  # until it has answered or ended
    raise AssertionError("never compiled")


def test_code_is_compiled_once_it_is_hot_and_in_another_process():
    ours = machine(hot_gas=20_000)
    tier = ours.tier
    assert tier is not None
    run(LOOP, machine=ours)
    assert tier.waiting == 0 and tier._workshop._process is None
    until_compiled(ours, LOOP)
    assert tier.figures.compiled == 1 and tier.figures.messages > 0 and tier.loaded == 1
    assert tier._workshop._process is None, "the process ends with its last job"


def test_without_the_setting_nothing_is_compiled():
    assert NativeInterpreter(cache=CACHE).tier is None


def test_code_that_takes_too_long_stays_interpreted_for_good():
    """The system ends the process; the code is not tried again."""
    bomb = b"\x5f\x35" * 16 + assemble("DUP2 DUP2 ADD") * 6_000
    ours = machine(hot_gas=1, compile_cpu_seconds_max=0)
    tier = ours.tier
    assert tier is not None
    until_compiled(ours, bomb)
    assert tier.figures.refused == 1 and tier.loaded == 0
    for _ in range(5):
        run(bomb, machine=ours)
    assert tier.waiting == 0 and tier.figures.refused == 1


def test_code_that_takes_too_much_memory_stays_interpreted():
    ours = machine(hot_gas=1, compile_memory_bytes_max=2**26)
    until_compiled(ours, LOOP)
    assert ours.tier is not None and ours.tier.figures.refused == 1


def test_a_process_that_cannot_be_started_is_no_obstacle(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(workshop.subprocess, "Popen", refuse)
    ours = machine(hot_gas=1)
    until_compiled(ours, LOOP)
    assert ours.tier is not None and ours.tier.figures.refused == 1


def test_where_the_system_has_no_limits_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(workshop.os, "name", "nt")
    shop = Workshop(JitSettings())
    shop.give(Job(LOOP, tuple(PRICES)))
    monkeypatch.undo()
    assert shop.poll() == b"" and shop._process is None


def test_an_answer_that_is_too_large_is_not_taken(monkeypatch):
    monkeypatch.setattr(workshop, "OBJECT_BYTES_MAX", 10)
    shop = Workshop(JitSettings())
    shop.give(Job(LOOP, tuple(PRICES)))
    found = shop.poll()
    while found is None:
        assert shop._process is not None
        if not shop._sending:
            select.select([shop._process.stdout], [], [])
        found = shop.poll()
    assert found == b"" and shop._process is None and not shop.busy


def test_more_codes_than_may_wait_have_to_become_hot_again():
    ours = machine(hot_gas=1, waiting_codes_max=2)
    tier = ours.tier
    assert tier is not None
    monopolised = tier._workshop
    monopolised.poll = lambda: None  # compiles for ever
    for number in range(5):
        run(LOOP + bytes([number]), machine=ours)
    assert tier.waiting == 2 and tier.figures.dropped == 3
    ours.tier.close()
    assert tier.waiting == 0


def test_no_more_codes_stay_loaded_than_the_settings_allow():
    ours = machine(at_once=True, loaded_codes_max=3)
    for number in range(8):
        run(LOOP + bytes([number]), machine=ours)
    for number in range(8):  # what is no longer counted as loaded still runs
        assert run(LOOP + bytes([number]), machine=ours).outcome == run(LOOP).outcome
    assert ours.tier is not None and ours.tier.loaded == 3


def test_compiled_code_is_kept_on_disk_and_so_is_that_there_is_none(tmp_path, monkeypatch):
    # The interpreter comes from the tests' cache, compiled code from an empty one.
    native = load_native(CACHE)
    monkeypatch.setattr("contracts.vm.native.interpreter.load_native", lambda _: native)
    folder = tmp_path / "native"
    first = NativeInterpreter(cache=folder, jit=JitSettings(at_once=True))
    monkeypatch.setattr(compiler, "WEIGHT_MAX", 20)
    run(LOOP, machine=first)
    run(assemble("1 2 ADD ") * 40, machine=first)
    assert first.tier is not None
    assert (first.tier.figures.compiled, first.tier.figures.refused) == (1, 1)
    monkeypatch.setattr("contracts.vm.native.jit.tier.compile_code", None)
    second = NativeInterpreter(cache=folder, jit=JitSettings(at_once=True))
    assert run(LOOP, machine=second).outcome == run(LOOP).outcome
    run(assemble("1 2 ADD ") * 40, machine=second)
    assert second.tier is not None
    assert (second.tier.figures.compiled, second.tier.loaded) == (0, 1)
    for path in (folder / "jit").iterdir():
        path.chmod(0o666)  # somebody else may have written it
    third = NativeInterpreter(cache=folder, jit=JitSettings(hot_gas=1))
    run(LOOP, machine=third)
    assert third.tier is not None and third.tier.loaded == 0


@pytest.mark.parametrize(
    ("limits", "ended", "kept"),
    [
        ({}, True, 0),  # by somebody else
        ({"compile_cpu_seconds_max": 0}, False, 1),
        ({"compile_memory_bytes_max": 2**26}, False, 1),
    ],
)
def test_only_what_ends_by_its_limits_is_given_up_for_good(tmp_path, limits, ended, kept):
    ours = NativeInterpreter(cache=CACHE, jit=JitSettings(hot_gas=1, **limits))
    tier = ours.tier
    assert tier is not None
    tier._folder = tmp_path
    code = b"\x5f\x35" * 16 + assemble("DUP2 DUP2 ADD") * 6_000
    while tier._workshop._process is None:
        run(code, machine=ours)
    if ended:
        tier._workshop._process.kill()
    until_compiled(ours, code)
    assert tier.figures.refused == 1
    assert len(list(tmp_path.iterdir())) == kept


def test_old_files_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr("contracts.vm.native.jit.tier._TIDY_EVERY", 4)
    ours = NativeInterpreter(cache=CACHE, jit=JitSettings(at_once=True, cached_files_max=8))
    tier = ours.tier
    assert tier is not None
    tier._folder = tmp_path
    for number in range(20):
        run(LOOP + bytes([number]), machine=ours)
    assert len(list(tmp_path.iterdir())) <= 12


# -- bombs: 24 KB of one opcode --


def bomb(code: int) -> bytes:
    opcode = OPCODES[code]
    body = bytes([0x80] * opcode.pops + [code]) + bytes(opcode.operand_bytes)
    if opcode.shape.name == "SWAP":
        body = bytes([code])
    elif opcode.shape.name == "DUP":
        body = bytes([code, 0x50])
    else:
        body += bytes([0x50] * opcode.pushes)
    return (b"\x5f\x35" * 17 + body * 24_576)[:24_576]


# Of PUSH, DUP and SWAP the shortest and the longest.
_ALIKE = {*range(0x62, 0x7F), *range(0x81, 0x8F), *range(0x91, 0x9F)}
ROWS = [row for row in OPCODES.values() if row.code not in _ALIKE]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_is_handed_to_the_compiler_grows_with_the_code_alone(row):
    """Regions are bounded, so is the text of each, and no block is in two."""
    code = bomb(row.code)
    flow = flow_of(code, PRICES)
    regions = regions_of(flow)
    seen: set[int] = set()
    for region in regions:
        assert sum(member.block.weight for member in region.members.values()) <= REGION_WEIGHT_MAX
        assert not seen & region.members.keys()
        seen |= region.members.keys()


@pytest.mark.parametrize("name", ["JUMPDEST", "MUL", "MULMOD", "SHL"])
def test_bombs_do_the_same_compiled(name):
    code = next(row.code for row in OPCODES.values() if row.name == name)
    agree(Case(bomb(code)[:2_000], gas=10**7))


def test_code_beyond_the_limits_is_refused(monkeypatch):
    with pytest.raises(TooLarge):
        assembly_of(bytes(2**16 + 1), PRICES)
    monkeypatch.setattr(compiler, "OBJECT_BYTES_MAX", 100)
    with pytest.raises(TooLarge):
        compile_code(LOOP, PRICES)


def test_code_with_nothing_to_compile_gives_nothing():
    for code in (b"", b"\x00", b"\xf1", b"\x0c" * 10):
        assert compile_code(code, PRICES) == b""
