"""Random and chosen code, compiled, beside the plain interpreter: gas, halts, state, logs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.forks import FORKS, OSAKA
from chain.machine import Halt
from contracts.vm import OPCODES
from tests.contracts.vm.laboratory import OTHER, RETURN_TOP, View, assemble
from tests.contracts.vm.native.both import Case, case_of
from tests.contracts.vm.native.jit.compiled import agree
from tests.contracts.vm.native.test_native_interpreter import (
    EDGES,
    KINDS,
    OTHER_WORD,
    gases,
    pieces,
    programs,
    twice,
    world,
)

# Compiling takes tens of milliseconds, so there are fewer examples than of the interpreter.


@settings(max_examples=60, deadline=None)
@given(programs, st.sampled_from(FORKS), gases, st.booleans(), st.booleans())
def test_random_programs_do_the_same_compiled(code, fork, gas, static, creates):
    agree(Case(code, world(), gas=gas, fork=fork, static=static and not creates, creates=creates))


# Code with loops and calls between its parts, as compilers make it.
counters = st.integers(1, 12)
bodies = st.lists(pieces, min_size=1, max_size=10).map(b"".join)


def loop_around(body: bytes, rounds: int) -> bytes:
    """The counter stays on top of the stack around the body, if the body leaves it there."""
    start = bytes([0x60, rounds])
    again = b"\x60\x01\x90\x03\x80\x60" + bytes([len(start)]) + b"\x57"
    return start + b"\x5b" + body + again


@settings(max_examples=60, deadline=None)
@given(bodies, counters, st.sampled_from(FORKS), gases, st.binary(max_size=8))
def test_loops_do_the_same_compiled(body, rounds, fork, gas, tail):
    agree(Case(loop_around(body, rounds) + tail, world(), gas=gas, fork=fork))


@st.composite
def nests(draw) -> bytes:
    """Two loops in each other, with straight code of stack opcodes between."""
    stack = st.sampled_from([0x01, 0x03, 0x10, 0x16, 0x19, 0x50, 0x51, 0x80, 0x81, 0x82, 0x90,
                             0x91, 0x5A, 0x02, 0x1B, 0x1D, 0x52, 0x55, 0x54])  # fmt: skip
    runs = st.lists(stack, max_size=8).map(bytes)
    begin = b"\x60\x07" * draw(st.integers(2, 8)) + draw(runs)
    outer = len(begin) + 2
    code = begin + bytes([0x60, draw(counters)]) + b"\x5b" + draw(runs)
    inner = len(code) + 2
    code += bytes([0x60, draw(counters)]) + b"\x5b" + draw(runs)
    code += b"\x60\x01\x90\x03\x80\x60" + bytes([inner]) + b"\x57\x50" + draw(runs)
    code += b"\x60\x01\x90\x03\x80\x60" + bytes([outer]) + b"\x57" + draw(runs)
    return code + b"\x5f\x52\x60\x40\x5f\xf3"


@settings(max_examples=60, deadline=None)
@given(nests(), gases)
def test_loops_in_loops_do_the_same_compiled(code, gas):
    agree(Case(code, world(), gas=gas))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(FORKS), gases)
def test_random_bytes_do_the_same_compiled(code, fork, gas):
    agree(Case(code, world(), gas=gas, fork=fork))


@pytest.mark.parametrize("row", OPCODES.values(), ids=[row.name for row in OPCODES.values()])
@settings(max_examples=2, deadline=None)
@given(data=st.data())
def test_every_opcode_does_the_same_on_edge_operands_compiled(row, data):
    """Operands that are known when compiling, and operands that are not."""
    operands = data.draw(st.lists(st.sampled_from(EDGES), min_size=max(0, row.pops - 1),
                                  max_size=row.pops))  # fmt: skip
    known = data.draw(st.booleans())
    hidden = "" if known else " 0 CALLDATALOAD 3 BYTE 1 SUB ADD"  # adds 0, which no compiler sees
    pushes = b"".join(assemble(f"PUSH32 {operand}{hidden}") for operand in operands)
    tail = assemble("MSIZE GAS ADD") if row.shape.name != "END" else b""
    gas = data.draw(st.sampled_from([0, 20, 100, 2_000, 40_000, 2**62]))
    if any(2**20 < operand < 2**37 for operand in operands):
        gas = min(gas, 40_000)  # nobody has so much memory
    code, fork = pushes + bytes([row.code]) + tail, data.draw(st.sampled_from(FORKS))
    static = data.draw(st.booleans())
    agree(Case(code, world(), gas=gas, data=b"\0\0\0\1", fork=fork, static=static))


@pytest.mark.parametrize("gas", range(0, 220, 7))
def test_gas_may_run_out_at_every_opcode_of_a_block(gas):
    text = f"1 2 ADD 64 MSTORE 7 0 MSTORE8 GAS 3 4 MUL XOR 70 MLOAD XOR MSIZE ADD {RETURN_TOP}"
    agree(case_of(text, gas=gas))


@pytest.mark.parametrize("gas", [30_000, 25_000, 22_300, 2_310, 2_300, 2_200, 100])
def test_gas_may_run_out_in_storage_opcodes(gas):
    agree(case_of(f"1 SLOAD 5 1 SSTORE 1 SLOAD 9 2 TSTORE 2 TLOAD ADD GAS {RETURN_TOP}", gas=gas))


@pytest.mark.parametrize("gas", range(19_000, 25_000, 200))
def test_a_write_that_only_the_interpreter_can_pay_changes_nothing_before(gas):
    """Compiled code has prepaid the block, so the write fails there and is tried once more.

    The first message fails and leaves a slot that is known but cold.
    """
    view = View().put(OTHER, code=assemble("7 3 SSTORE 0 0 0 0 0 0 LOG4 STOP"))
    message = f"0 0 0 0 0 {OTHER_WORD} {{}} CALL"
    text = f"{message.format(21_000)} {message.format(gas)} {message.format(gas)} ADD ADD GAS ADD"
    agree(case_of(f"{text} {RETURN_TOP}", view=view, gas=10**6))


def test_the_stack_ends_at_1024_words_in_compiled_code():
    for height in (1_000, 1_023, 1_024, 1_025):
        case = Case(bytes([0x5F]) * height, world())
        assert (agree(case).halt is Halt.STACK_OVERFLOW) is (height > 1_024)
    agree(Case(bytes([0x5F]) * 1_020 + b"\x5b" + bytes([0x80]) * 4 + b"\x50\x5b\x01\x01", world()))
    agree(Case(bytes([0x5F]) * 1_020 + b"\x5b" + bytes([0x80]) * 5 + b"\x50\x5b\x01\x01", world()))


def test_a_stack_that_is_too_low_fails_where_it_fails():
    for code in ("5b50", "60015b0150", "6001600160015b5050505b505000", "5f5b90", "5f5b81"):
        agree(Case(bytes.fromhex(code), world()))


def test_a_loop_that_never_ends_ends_with_its_gas():
    for code in ("5b5f56", "5b60015f57", "5b5f5f56", "5b5f5f525f56", "60005b60010180600256"):
        assert agree(Case(bytes.fromhex(code), gas=50_000)).halt is not None


def test_marks_and_compiled_code_cannot_be_seen_by_the_contract():
    """CODECOPY and the like give the code as it was deployed; its marks are no opcode."""
    agree(case_of("JUMPDEST CODESIZE 0 0 CODECOPY CODESIZE 0 RETURN"))
    code = assemble("JUMPDEST 1 POP JUMPDEST") + b"\x0c"
    assert agree(Case(code)).halt is Halt.BAD_OPCODE
    assert agree(Case(b"\x0c")).halt is Halt.BAD_OPCODE
    assert agree(Case(b"\x5b\x0c")).halt is Halt.BAD_OPCODE


def test_jumps_that_are_computed_find_their_way():
    """A function that is called from two places and returns to each."""
    text = (
        "PUSH1 7 PUSH1 6 PUSH1 20 JUMP JUMPDEST PUSH1 14 PUSH1 20 JUMP STOP JUMPDEST "
        f"{RETURN_TOP} STOP JUMPDEST SWAP1 1 ADD SWAP1 JUMP"
    )
    code = bytearray(assemble(text))
    places = [at for at, byte in enumerate(code) if byte == 0x5B]
    code[3], code[5], code[9], code[11] = places[0], places[2], places[1], places[2]
    agree(Case(bytes(code)))
    for target in range(len(code) + 2):
        code[3] = target
        agree(Case(bytes(code)))


@pytest.mark.parametrize("kind", KINDS)
def test_messages_between_compiled_contracts_do_the_same(kind):
    callee = "0 CALLDATALOAD 5 SLOAD ADD 1 ADD DUP1 5 SSTORE 0 MSTORE 64 0"
    for end in ("RETURN", "REVERT", "INVALID", "POP POP"):
        view = View().put(OTHER, code=assemble(f"{callee} {end}"), storage={5: 1})
        text = f"{twice(kind)} {twice(kind)} 0 MLOAD ADD 5 SLOAD GAS {RETURN_TOP}"
        for gas in (40_000, 100_000, 1_000_000):
            agree(case_of(text, view=view, gas=gas, fork=OSAKA))


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_calls_nest_to_depth_1024_and_no_deeper(kind):
    value = "0 " if kind in ("CALL", "CALLCODE") else ""
    case = case_of(f"0 0 0 0 {value}ADDRESS GAS {kind} GAS {RETURN_TOP}", gas=2**61)
    assert agree(case).halt is None


@pytest.mark.parametrize("gas", [2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**70])
def test_compiled_code_counts_gas_beyond_63_bits(gas):
    text = f"5 0 SSTORE 0 0 0 0 0 {OTHER_WORD} GAS CALL GAS {RETURN_TOP}"
    outcome = agree(case_of(text, view=world(), gas=gas))
    assert outcome.halt is None and gas - outcome.gas_left < 100_000
