"""MODEXP in native code: pow()'s results at the definition's price, whatever sizes are claimed."""

import ctypes
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain import forks
from chain.errors import Fault
from chain.forks import BERLIN, BYZANTIUM, OSAKA
from contracts.vm.native.precompiled import gmp, powers
from contracts.vm.native.precompiled.contracts import code_of
from contracts.vm.native.precompiled.definition import Definition
from contracts.vm.precompiles import PRECOMPILES, modexp
from tests.contracts.vm.laboratory import assemble
from tests.contracts.vm.native.both import Case, agree
from tests.contracts.vm.native.precompiled_kernels import natively

# Python makes a message's first call; the second one is native, and its output returned.
TWICE = (
    "CALLDATASIZE 0 0 CALLDATACOPY 0 0 0 0 5 GAS STATICCALL POP"
    " 0 0 CALLDATASIZE 0 5 {gas} STATICCALL 0x3000 MSTORE"
    " RETURNDATASIZE 0 0x3020 RETURNDATACOPY RETURNDATASIZE 32 ADD 0x3000 RETURN"
)


def packed(base, exponent, modulus, sizes=None):
    sizes = sizes or tuple(len(part) for part in (base, exponent, modulus))
    return b"".join(size.to_bytes(32, "big") for size in sizes) + base + exponent + modulus


def called(data, fork, gas):
    """What a native call gives: whether it succeeded, and its output."""
    code = assemble(TWICE.format(gas=gas))
    outcome = agree(Case(code, data=data, gas=gas * 2 + 5_000_000, fork=fork))
    assert outcome.halt is None
    return outcome.output[31], outcome.output[32:]


def number_bytes(sizes):
    """Bytes of such sizes, often with zeros before or all ones."""

    def of(size):
        return st.one_of(
            st.binary(min_size=size, max_size=size),
            st.just(b"\xff" * size),
            st.just(bytes(size)),
            st.integers(0, 2**64).map(lambda n: (n % 2 ** (8 * size)).to_bytes(size, "big")),
            st.binary(min_size=size // 2, max_size=size // 2).map(lambda b: b.rjust(size, b"\0")),
        )

    return sizes.flatmap(of)


small = st.one_of(st.integers(0, 70), st.sampled_from([31, 32, 33, 63, 64, 65, 96, 128, 200]))
large = st.sampled_from([255, 256, 257, 300, 1_023, 1_024])
price_forks = st.sampled_from([BYZANTIUM, BERLIN, OSAKA])


@settings(max_examples=300, deadline=None)
@given(number_bytes(small), number_bytes(small), number_bytes(small), price_forks)
@example(b"", b"", b"", OSAKA)
@example(b"", b"", b"\x01", OSAKA)
@example(b"\x00", b"\x00", b"\x03", OSAKA)
@example(b"\x02", b"", b"\x01", BERLIN)
@example(b"\xff" * 32, b"\xff" * 32, b"\xff" * 32, BYZANTIUM)
@example(b"\xff" * 96, b"\xff" * 96, b"\xff" * 33, OSAKA)
@example(b"\x02", b"\x00" * 40 + b"\x05", b"\x00" * 60 + b"\x07", OSAKA)
def test_powers_are_those_of_pow(base, exponent, modulus, fork):
    data = packed(base, exponent, modulus)
    b, e, m = (int.from_bytes(part, "big") for part in (base, exponent, modulus))
    expected = (pow(b, e, m) if m else 0).to_bytes(len(modulus), "big")
    price = PRECOMPILES[5].gas(data, fork)
    assert called(data, fork, price) == (1, expected)
    if price:
        assert called(data, fork, price - 1) == (0, b"")


@settings(max_examples=25, deadline=None)
@given(number_bytes(large), number_bytes(st.integers(0, 6)), number_bytes(large), price_forks)
def test_powers_of_and_modulo_long_numbers(base, exponent, modulus, fork):
    data = packed(base, exponent, modulus)
    b, e, m = (int.from_bytes(part, "big") for part in (base, exponent, modulus))
    expected = (pow(b, e, m) if m else 0).to_bytes(len(modulus), "big")
    assert called(data, fork, PRECOMPILES[5].gas(data, fork)) == (1, expected)


@settings(max_examples=40, deadline=None)
@given(number_bytes(st.integers(0, 9)), number_bytes(st.sampled_from([33, 64, 255, 400])),
       number_bytes(small.map(lambda size: size | 1)))  # fmt: skip
def test_powers_with_long_exponents(base, exponent, modulus):
    data = packed(base, exponent, modulus)
    b, e, m = (int.from_bytes(part, "big") for part in (base, exponent, modulus))
    expected = (pow(b, e, m) if m else 0).to_bytes(len(modulus), "big")
    assert called(data, BERLIN, PRECOMPILES[5].gas(data, BERLIN)) == (1, expected)


numbers = st.one_of(
    st.integers(0, 2**64),
    st.integers(0, 2**256),
    st.integers(0, 2**2_048 - 1),
    st.integers(0, 2_100).map(lambda bits: 2**bits),
    st.integers(1, 2_100).map(lambda bits: 2**bits - 1),
)


def sized(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


@settings(max_examples=500, deadline=None)
@given(numbers, st.one_of(st.integers(0, 2**40), numbers), numbers, st.integers(0, 2_050))
@example(3, 5, 1, 1)
@example(2, 3, 1, 64)
@example(0, 0, 1, 64)
@example(7, 2**64, 2**64 + 1, 64)
@example(2**64 - 1, 3, 2**128 - 1, 65)
@example(2**2_047, 2, 2**2_047 - 1, 1)
def test_powers_modulo_numbers_that_two_divides_often(base, exponent, odd, zeros):
    """By our own products and by the library's, whichever is there."""
    modulus = (odd | 1) << zeros
    for wanted in (modulus, modulus % 2**2_048):
        data = packed(sized(base), sized(exponent), sized(wanted))
        expected = pow(base, exponent, wanted) if wanted else 0
        for code in (None, without_library()):
            found = natively(5, data, BERLIN, 2**60, code)
            assert found is not None
            assert found[1] == expected.to_bytes(len(sized(wanted)), "big")


NO_LIBRARY = (ctypes.c_uint64 * 2)(powers.PRICINGS[BERLIN.modexp_pricing], 0)


@cache
def without_library():
    """MODEXP of a process in which gmpy2 does not show GMP's functions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gmp, "record", lambda pricing: NO_LIBRARY)
        return code_of(PRECOMPILES[5], BERLIN, 0)


def test_a_library_with_other_limbs_or_memory_is_not_used(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(gmp, "_LIMB", 32)
        assert gmp._power_function() == 0
    with monkeypatch.context() as patch:
        patch.setattr(gmp, "_address", lambda library, symbol: 1)
        assert gmp._power_function() == 0


sizes = st.one_of(
    st.integers(0, 40), st.sampled_from([1_023, 1_024, 1_025, 1_100, 2**64, 2**64 + 1, 2**255])
)


@settings(max_examples=200, deadline=None)
@given(st.tuples(sizes, sizes, sizes), st.binary(max_size=120), price_forks)
@example((0, 2**255, 0), b"", BERLIN)
@example((1_025, 0, 0), b"", OSAKA)
@example((0, 1_025, 1), b"\x01", OSAKA)
def test_claimed_sizes_that_the_input_does_not_have(claimed, rest, fork):
    """Also more than is allowed or can be paid for: native code does as Python does."""
    whole = packed(rest, b"", b"", claimed)
    for data in (whole, whole[: len(whole) // 2]):
        price = PRECOMPILES[5].gas(data, fork)
        gas = min(price, 20_000_000)
        expected = modexp.run(data, fork) if price <= gas else None
        assert called(data, fork, gas) == ((0, b"") if expected is None else (1, expected))


@pytest.mark.parametrize("fork", [BYZANTIUM, BERLIN, OSAKA])
def test_short_moduli_never_need_python(fork, monkeypatch):
    """Given sizes that native code serves, then the definition runs for the first call only."""
    asked = []
    monkeypatch.setattr(Definition, "_run", lambda self, data, gas: asked.append(data))
    for last in (b"\x09", b"\x08", b"\x00"):
        data = packed(b"\x05" * 33, b"\x07" * 31, b"\x09" * 40 + last)
        assert called(data, fork, PRECOMPILES[5].gas(data, fork))[0] == 1
    assert asked == []


def test_every_pricing_has_a_number_that_the_kernel_knows():
    assert {fork.modexp_pricing for fork in forks.FORKS} == set(powers.PRICINGS)
    assert len(set(powers.PRICINGS.values())) == 3


def test_an_error_in_the_definition_is_a_fault(monkeypatch, capsys):
    """Given a definition that fails, then the message does not go on with a wrong answer."""

    def wrong(self, data, gas):
        raise KeyError("it is broken")

    long = packed(bytes(1_024) + b"\x05", b"\x01", b"\x08")
    price = PRECOMPILES[5].gas(long, BERLIN)
    assert called(long, BERLIN, price) == (1, b"\x05")
    with monkeypatch.context() as patch, pytest.raises(Fault, match="definition failed"):
        patch.setattr(Definition, "_run", wrong)
        called(long, BERLIN, price)
    assert "it is broken" in capsys.readouterr().err
    assert called(long, BERLIN, price) == (1, b"\x05")
