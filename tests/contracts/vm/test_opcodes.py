"""The table itself: what exists in which fork, and at what static price."""

import pytest

from chain import forks
from chain.forks import FORKS, Fork
from chain.machine import Halt
from contracts.vm import OPCODES, disassemble
from contracts.vm.opcodes import Shape
from tests.contracts.vm.laboratory import assemble, run

ADDED = {
    "homestead": {"DELEGATECALL"},
    "byzantium": {"REVERT", "RETURNDATASIZE", "RETURNDATACOPY", "STATICCALL"},
    "constantinople": {"SHL", "SHR", "SAR", "CREATE2", "EXTCODEHASH"},
    "istanbul": {"CHAINID", "SELFBALANCE"},
    "london": {"BASEFEE"},
    "shanghai": {"PUSH0"},
    "cancun": {"TLOAD", "TSTORE", "MCOPY", "BLOBHASH", "BLOBBASEFEE"},
    "osaka": {"CLZ"},
}


def names(fork: Fork) -> set[str]:
    return {opcode.name for opcode in OPCODES.values() if opcode.available(fork)}


def test_each_fork_adds_its_opcodes_and_removes_none():
    before = names(FORKS[0])
    for fork in FORKS[1:]:
        now = names(fork)
        assert now - before == ADDED.get(fork.name, set()), fork.name
        assert before <= now
        before = now


def test_the_table_has_the_opcodes_of_osaka():
    assert len(OPCODES) == len(names(forks.OSAKA)) == 150
    assert all(code == opcode.code for code, opcode in OPCODES.items())
    assert len({opcode.name for opcode in OPCODES.values()}) == len(OPCODES)


@pytest.mark.parametrize(
    ("name", "fork", "gas"),
    [
        ("SLOAD", forks.FRONTIER, 50),
        ("SLOAD", forks.TANGERINE_WHISTLE, 200),
        ("SLOAD", forks.ISTANBUL, 800),
        ("SLOAD", forks.BERLIN, 100),
        ("BALANCE", forks.HOMESTEAD, 20),
        ("BALANCE", forks.BYZANTIUM, 400),
        ("BALANCE", forks.ISTANBUL, 700),
        ("EXTCODEHASH", forks.CONSTANTINOPLE, 400),
        ("EXTCODEHASH", forks.ISTANBUL, 700),
        ("CALL", forks.FRONTIER, 40),
        ("CALL", forks.SPURIOUS_DRAGON, 700),
        ("CALL", forks.LONDON, 100),
        ("SELFDESTRUCT", forks.HOMESTEAD, 0),
        ("SELFDESTRUCT", forks.OSAKA, 5_000),
        ("LOG4", forks.OSAKA, 1_875),
        ("TLOAD", forks.CANCUN, 100),
        ("CLZ", forks.OSAKA, 5),
        ("JUMPDEST", forks.FRONTIER, 1),
        ("CREATE", forks.FRONTIER, 32_000),
    ],
)
def test_static_prices_follow_the_fork(name, fork, gas):
    (opcode,) = (opcode for opcode in OPCODES.values() if opcode.name == name)
    assert opcode.static_gas(fork) == gas


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_every_byte_that_is_no_opcode_halts(fork):
    known = {opcode.code for opcode in OPCODES.values() if opcode.available(fork)}
    for code in set(range(256)) - known:
        result = run(assemble("1 " * 17) + bytes([code]), fork=fork)
        assert result.halt is Halt.BAD_OPCODE
        assert result.outcome.gas_left == 0


@pytest.mark.parametrize("opcode", OPCODES.values(), ids=lambda opcode: opcode.name)
def test_every_opcode_needs_its_operands(opcode):
    if opcode.pops:
        result = run(b"\x60\x01" * (opcode.pops - 1) + bytes([opcode.code]))
        assert result.halt is Halt.STACK_UNDERFLOW
        assert result.outcome.gas_left == 0


@pytest.mark.parametrize("opcode", OPCODES.values(), ids=lambda opcode: opcode.name)
def test_every_opcode_that_grows_the_stack_stops_at_1024(opcode):
    if opcode.pushes > opcode.pops:
        one = bytes([opcode.code]) + bytes(opcode.operand_bytes)
        fill = b"\x60\x01" * 1023
        assert run(fill + one).halt is None
        assert run(fill + b"\x60\x01" + one).halt is Halt.STACK_OVERFLOW


def test_dup_and_swap_reach_their_depth():
    numbers = " ".join(str(n) for n in range(17, 0, -1))  # 1 is on top
    for depth in range(1, 17):
        assert run(f"{numbers} DUP{depth} 0 MSTORE 32 0 RETURN").word == depth
        swapped = run(f"{numbers} SWAP{depth} 0 MSTORE DUP{depth} 32 MSTORE 64 0 RETURN").words
        assert swapped == [depth + 1, 1]


def test_disassembly_names_every_instruction():
    code = assemble("PUSH2 513 ADD JUMPDEST") + b"\x0c" + b"\x62\x01"
    assert list(disassemble(code)) == [
        (0, "PUSH2 0x0201"),
        (3, "ADD"),
        (4, "JUMPDEST"),
        (5, "UNKNOWN 0x0c"),
        (6, "PUSH3 0x01"),
    ]


def test_only_the_interpreters_own_shapes_have_no_semantics():
    own = {Shape.PUSH, Shape.PC, Shape.DUP, Shape.SWAP, Shape.POP, Shape.NOTHING, Shape.JUMP}
    for opcode in OPCODES.values():
        if opcode.shape not in own | {Shape.JUMPI}:
            assert opcode.semantics.__module__.startswith("contracts.vm.")
            assert opcode.doc
