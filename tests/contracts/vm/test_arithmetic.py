"""The stack-only opcodes against definitions in big integers, alone and in running code."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.vm import OPCODES
from contracts.vm.opcodes import Shape
from tests.contracts.vm.laboratory import run

M = 2**256
EDGES = [0, 1, 2, 31, 32, 255, 256, 2**128, 2**255 - 1, 2**255, 2**255 + 1, M - 2, M - 1]
words = st.one_of(
    st.sampled_from(EDGES), st.integers(0, M - 1), st.integers(0, 300), st.integers(0, 2**64)
)


def to_signed(word: int) -> int:
    return int.from_bytes(word.to_bytes(32, "big"), "big", signed=True)


def truncated(a: int, b: int) -> int:
    """Exact division of integers towards zero."""
    return a // b if (a >= 0) == (b >= 0) else -(-a // b)


def sign_extended(index: int, word: int) -> int:
    if index >= 31:
        return word
    low = word.to_bytes(32, "big")[31 - index :]
    return int.from_bytes(low, "big", signed=True) % M


DEFINITIONS: dict[str, Callable[..., int]] = {
    "ADD": lambda a, b: (a + b) % M,
    "MUL": lambda a, b: (a * b) % M,
    "SUB": lambda a, b: (a - b) % M,
    "DIV": lambda a, b: 0 if b == 0 else a // b,
    "SDIV": lambda a, b: 0 if b == 0 else truncated(to_signed(a), to_signed(b)) % M,
    "MOD": lambda a, b: 0 if b == 0 else a % b,
    "SMOD": lambda a, b: (
        0 if b == 0 else (to_signed(a) - to_signed(b) * truncated(to_signed(a), to_signed(b))) % M
    ),
    "ADDMOD": lambda a, b, n: 0 if n == 0 else (a + b) % n,
    "MULMOD": lambda a, b, n: 0 if n == 0 else (a * b) % n,
    "SIGNEXTEND": sign_extended,
    "LT": lambda a, b: int(a < b),
    "GT": lambda a, b: int(a > b),
    "SLT": lambda a, b: int(to_signed(a) < to_signed(b)),
    "SGT": lambda a, b: int(to_signed(a) > to_signed(b)),
    "EQ": lambda a, b: int(a == b),
    "ISZERO": lambda a: int(a == 0),
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NOT": lambda a: M - 1 - a,
    "BYTE": lambda i, w: 0 if i > 31 else w.to_bytes(32, "big")[i],
    "SHL": lambda n, w: 0 if n > 255 else w * 2**n % M,
    "SHR": lambda n, w: 0 if n > 255 else w // 2**n,
    "SAR": lambda n, w: to_signed(w) // 2 ** min(n, 256) % M,
    "CLZ": lambda w: 256 - len(f"{w:b}".lstrip("0")),
}
PURE = {opcode.name: opcode for opcode in OPCODES.values() if opcode.shape is Shape.PURE}


def test_every_pure_opcode_has_a_definition_here():
    assert set(DEFINITIONS) == set(PURE)


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_opcodes_compute_what_big_integers_say(name):
    opcode = PURE[name]

    @given(st.tuples(*[words] * opcode.pops))
    def check(operands: tuple[int, ...]) -> None:
        assert opcode.semantics(*operands) == DEFINITIONS[name](*operands)

    check()


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_opcodes_take_their_operands_from_the_top(name):
    """The first operand is the top of the stack, in running code too."""
    operands = [2**255 + 77, 3, 1_000_003][: PURE[name].pops]
    for order in (operands, operands[::-1]):
        pushes = " ".join(str(word) for word in reversed(order))
        result = run(f"{pushes} {name} 0 MSTORE 32 0 RETURN")
        assert result.word == DEFINITIONS[name](*order)


@given(words, words)
def test_exp_is_power_modulo_two_to_the_256(base, exponent):
    assert run(f"{exponent} {base} EXP 0 MSTORE 32 0 RETURN").word == pow(base, exponent, M)
