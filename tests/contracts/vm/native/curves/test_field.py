"""Kernels of the field and its extensions: what Python's integers and the definition give."""

from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.vm.precompiles import bn254_curve as definition
from tests.contracts.vm.native.curves.laboratory import (
    FORM,
    P,
    buffer,
    call,
    constants,
    from_flat,
    numbers,
    operate,
    room,
    to_flat,
)

# Also what stands, in Montgomery form, for the smallest and the largest numbers.
EDGES = [0, 1, 2, P - 1, P - 2, *(n * pow(FORM, -1, P) % P for n in (1, 2, P - 1, 2**64, 2**253))]
fp = st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1))
fp2 = st.lists(fp, min_size=2, max_size=2)
fp12 = st.lists(fp, min_size=12, max_size=12)


def product(a: list[int], b: list[int]) -> list[int]:
    return [(a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P]


def flat_product(a: list[int], b: list[int]) -> list[int]:
    """Of two elements of degree 12 in the kernels' order, by the definition."""
    wide = [[mpz(n) for n in to_flat(element)] for element in (a, b)]
    return from_flat(definition._mul12(*wide))


@settings(deadline=None)
@given(fp, fp)
def test_numbers_add_subtract_and_multiply(a, b):
    assert operate("fp_add", "fp", [a], [b]) == [(a + b) % P]
    assert operate("fp_sub", "fp", [a], [b]) == [(a - b) % P]
    assert operate("fp_mul", "fp", [a], [b]) == [a * b % P]
    assert call("fp_equal", buffer([a]), buffer([b])) == (a == b)
    assert call("fp_is_zero", buffer([a])) == (a == 0)


@settings(deadline=None)
@given(fp.filter(bool))
def test_a_number_times_its_inverse_is_1(a):
    assert operate("fp_invert", "fp", [a], with_constants=True) == [pow(a, -1, P)]


def test_every_power_of_two_has_its_inverse():
    """The greatest common divisor takes the longest and the shortest ways for such numbers."""
    for exponent in range(254):
        for a in (1 << exponent, (1 << exponent) - 1 or 1, P - (1 << exponent)):
            standing = a * pow(FORM, -1, P) % P
            found = operate("fp_invert", "fp", [standing], with_constants=True)
            assert found == [pow(standing, -1, P)]


@settings(deadline=None)
@given(fp2, fp2)
def test_pairs_add_subtract_and_multiply(a, b):
    assert operate("fp2_add", "fp2", a, b) == [(x + y) % P for x, y in zip(a, b)]
    assert operate("fp2_sub", "fp2", a, b) == [(x - y) % P for x, y in zip(a, b)]
    assert operate("fp2_mul", "fp2", a, b) == product(a, b)
    assert operate("fp2_square", "fp2", a) == product(a, a)
    assert operate("fp2_negate", "fp2", a) == [-n % P for n in a]
    assert operate("fp2_conjugate", "fp2", a) == [a[0] % P, -a[1] % P]
    assert operate("fp2_by_root", "fp2", a) == product(a, [9, 1])
    assert operate("fp2_scale", "fp2", a, b[:1]) == [n * b[0] % P for n in a]


@settings(deadline=None)
@given(fp2.filter(any))
def test_a_pair_times_its_inverse_is_1(a):
    assert product(a, operate("fp2_invert", "fp2", a, with_constants=True)) == [1, 0]


@settings(deadline=None)
@given(fp12, fp12, fp2, fp2, fp2)
def test_elements_of_degree_12_multiply(a, b, first, second, third):
    assert operate("fp12_mul", "fp12", a, b) == flat_product(a, b)
    assert operate("fp12_square", "fp12", a) == flat_product(a, a)
    assert (
        operate("fp6_mul", "fp6", a[:6], b[:6])
        == flat_product([*a[:6], *[0] * 6], [*b[:6], *[0] * 6])[:6]
    )
    memory = buffer(a)
    call("fp12_by_line", memory, buffer([*first, *second, *third]))
    line = [*first, *[0] * 4, *second, *third, 0, 0]
    assert numbers(memory) == flat_product(a, line)


@settings(max_examples=25, deadline=None)
@given(fp12)
def test_elements_of_degree_12_are_raised_and_inverted(a):
    flat = [mpz(n) for n in to_flat(a)]
    raised = operate("fp12_frobenius", "fp12", a, with_constants=True)
    assert raised == from_flat(definition._frobenius12(flat))
    assert operate("fp12_conjugate", "fp12", a) == from_flat(
        [n % P for n in definition._conjugate12(flat)]
    )
    if any(a):
        inverse = operate("fp12_invert", "fp12", a, with_constants=True)
        assert flat_product(a, inverse) == [1, *[0] * 11]


def test_one_is_known_and_nothing_else():
    one = room("fp12")
    call("fp12_one", one, constants())
    assert numbers(one) == [1, *[0] * 11]
    assert call("fp12_is_one", one, constants()) == 1
    for place in range(12):
        for other in (2, P - 1):
            changed = [1, *[0] * 11]
            changed[place] = other
            assert call("fp12_is_one", buffer(changed), constants()) == 0


@settings(max_examples=25, deadline=None)
@given(fp12.filter(any))
def test_what_has_been_through_the_easy_powers_is_squared_cheaply(a):
    flat = [mpz(n) for n in to_flat(a)]
    easy = definition._mul12(definition._conjugate12(flat), definition._inverse12(flat))
    easy = definition._mul12(definition._frobenius12(definition._frobenius12(easy)), easy)
    assert operate("cyclotomic_square", "fp12", from_flat(easy)) == from_flat(
        definition._mul12(easy, easy)
    )
    out = room("fp12")
    call("power_u", out, buffer(from_flat(easy)))
    assert numbers(out) == from_flat(definition._pow_u(easy))


@settings(max_examples=10, deadline=None)
@given(fp12.filter(any))
def test_the_final_power_is_the_definitions(a):
    memory = buffer(a)
    call("final_power", memory, constants())
    flat = [mpz(n) for n in to_flat(a)]
    assert numbers(memory) == from_flat(definition._final_power(flat))
