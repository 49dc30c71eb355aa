"""Every opcode that only computes, on edge operands, beside its semantics in the table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.forks import OSAKA
from contracts.vm import OPCODES
from contracts.vm.opcodes import Shape
from tests.contracts.vm.laboratory import RETURN_TOP, assemble, run
from tests.contracts.vm.native.both import native

PURE = [row for row in OPCODES.values() if row.shape is Shape.PURE]
EXP = OPCODES[0x0A]

near = st.integers(-3, 3)
powers = st.builds(lambda bit, off: (2**bit + off) % 2**256, st.integers(0, 256), near)
sums = st.builds(
    lambda a, b, sign: (2**a + sign * 2**b) % 2**256,
    st.integers(0, 256), st.integers(0, 256), st.sampled_from([1, -1]),
)  # fmt: skip
# Words of limbs that are all ones or zeros provoke the corrections of long division.
limbs = st.lists(
    st.sampled_from([0, 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]), min_size=4, max_size=4
).map(lambda parts: sum(part << 64 * i for i, part in enumerate(parts)))
words = st.one_of(
    st.integers(0, 300), powers, sums, limbs, st.integers(0, 2**256 - 1), st.integers(0, 2**64)
)


def natively(name: str, operands: list[int]) -> int:
    pushes = " ".join(f"PUSH32 {operand}" for operand in reversed(operands))
    result = run(assemble(f"{pushes} {name} {RETURN_TOP}"), machine=native(), fork=OSAKA)
    assert result.halt is None
    return result.word


@pytest.mark.parametrize("row", PURE, ids=[row.name for row in PURE])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_computes_what_the_table_says(row, data):
    operands = [data.draw(words) for _ in range(row.pops)]
    assert natively(row.name, operands) == row.semantics(*operands)


@settings(max_examples=60, deadline=None)
@given(words, words)
def test_powers_are_taken_modulo_the_word(base, exponent):
    assert natively("EXP", [base, exponent]) == pow(base, exponent, 2**256)


@settings(max_examples=300, deadline=None)
@given(limbs, limbs, limbs)
def test_long_division_survives_its_rare_corrections(a, b, n):
    assert natively("MULMOD", [a, b, n]) == (a * b % n if n else 0)
    assert natively("ADDMOD", [a, b, n]) == ((a + b) % n if n else 0)
    assert natively("DIV", [a, n]) == (a // n if n else 0)
    assert natively("MOD", [a, n]) == (a % n if n else 0)


@pytest.mark.parametrize("name", ["DIV", "SDIV", "MOD", "SMOD"])
def test_division_is_right_on_both_sides_of_what_one_instruction_can_do(name):
    """All pairs of words around 0 and the least and greatest of 62, 63, 64 and 256 bits.

    Among them are the ones that a processor traps on: by 0, and the least number by -1.
    """
    semantics = next(row.semantics for row in PURE if row.name == name)
    sizes = [sign * 2**bits for bits in (0, 62, 63, 64, 128, 255) for sign in (1, -1)]
    edges = sorted({(size + off) % 2**256 for size in sizes for off in (-1, 0, 1)} | {0, 7})
    for a in edges:
        for b in edges:
            assert natively(name, [a, b]) == semantics(a, b), (a, b)


@pytest.mark.parametrize("size", range(33))
def test_a_push_takes_its_bytes_also_at_the_end_of_the_code(size):
    operand = bytes(range(1, size + 1))
    code = bytes([0x5F + size]) + operand + assemble(RETURN_TOP)
    assert run(code, machine=native()).word == int.from_bytes(operand, "big")
    for there in range(size):
        jump = assemble(f"PUSH1 {3 + len(assemble(RETURN_TOP))} JUMP")
        cut = jump + assemble(RETURN_TOP) + b"\x5b" + bytes([0x5F + size]) + operand[:there]
        assert run(cut, machine=native()).halt is None
