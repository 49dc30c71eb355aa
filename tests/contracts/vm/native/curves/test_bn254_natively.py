"""The curve in native code beside its definition and beside py_ecc; every way to be wrong."""

import math

import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.forks import OSAKA
from contracts.vm.native.curves import bn254 as native
from contracts.vm.precompiles import bn254, bn254_curve
from tests.contracts.vm.native.curves.laboratory import (
    P,
    buffer,
    call,
    constants,
    curve,
    from_flat,
    numbers,
    room,
)
from tests.contracts.vm.reference_curves import optimized_bn128

ORDER = bn254_curve.ORDER
G1 = (1, 2)
G2 = tuple(
    (int(number.coeffs[0]), int(number.coeffs[1]))
    for number in optimized_bn128.normalize(optimized_bn128.G2)
)


def words(*numbers: int) -> bytes:
    return b"".join(int(number).to_bytes(32, "big") for number in numbers)


def encoded(point) -> bytes:
    return bytes(64) if point is None else words(*point)


def encoded_twist(point) -> bytes:
    """Imaginary parts first; None is infinity."""
    if point is None:
        return bytes(128)
    (x, x_i), (y, y_i) = point
    return words(x_i, x, y_i, y)


def g1(scalar: int):
    return bn254_curve.multiply((mpz(1), mpz(2)), scalar % ORDER) if scalar % ORDER else None


def multiply_twist(point, scalar: int):
    result = None
    for bit in f"{scalar:b}":
        result = bn254_curve._add_twist(result, result)
        if bit == "1":
            result = bn254_curve._add_twist(result, point)
    return result


def twist(point) -> tuple:
    return tuple((mpz(a), mpz(b)) for a, b in point)


def g2(scalar: int):
    return multiply_twist(twist(G2), scalar % ORDER) if scalar % ORDER else None


@pytest.fixture
def natively(monkeypatch):
    monkeypatch.setattr(bn254, "_native", curve)


@pytest.fixture(params=["plain", "native"])
def either(request, monkeypatch):
    """The precompiles on one, then on the other."""
    found = None if request.param == "plain" else curve()
    monkeypatch.setattr(bn254, "_native", lambda: found)


scalars = st.one_of(
    st.sampled_from([0, 1, 2, 3, 15, 16, 17, ORDER - 1, ORDER, ORDER + 1, 2 * ORDER, 2**256 - 1]),
    st.integers(0, 2**256 - 1),
)


# -- the curve --


@settings(deadline=None)
@given(scalars, scalars)
def test_sums_are_the_definitions(a, b):
    p, q = g1(a), g1(b)
    assert curve().add(encoded(p) + encoded(q)) == encoded(bn254_curve.add(p, q))
    assert curve().add(encoded(p) + encoded(p)) == encoded(bn254_curve.add(p, p))
    if p is not None:
        minus = (p[0], -p[1] % P)
        assert curve().add(encoded(p) + encoded(minus)) == bytes(64)
    assert curve().add(encoded(p) + bytes(64)) == curve().add(bytes(64) + encoded(p)) == encoded(p)


@settings(max_examples=60, deadline=None)
@given(scalars, scalars)
def test_multiples_are_the_definitions_and_those_of_py_ecc(a, b):
    p = g1(a)
    found = curve().multiply(encoded(p) + words(b))
    assert found == encoded(g1(a * b))
    peer = optimized_bn128
    x, y, z = peer.multiply(peer.G1, a * b % ORDER) if a * b % ORDER else peer.Z1
    assert found == (bytes(64) if z == peer.FQ.zero() else words(*peer.normalize((x, y, z))))


def test_small_multiples_add_up():
    """Every digit of a window, also where a point is added to itself."""
    total = None
    for scalar in range(600):
        assert curve().multiply(encoded(G1) + words(scalar)) == encoded(total)
        total = bn254_curve.add(total, (mpz(1), mpz(2)))


@settings(deadline=None)
@given(st.integers(0, P - 1), st.integers(0, P - 1))
def test_what_is_not_on_the_curve_is_refused(x, y):
    on_curve = (y * y - x**3 - 3) % P == 0 or x == y == 0
    point = words(x, y)
    assert (curve().add(point + bytes(64)) is not None) == on_curve
    assert (curve().add(bytes(64) + point) is not None) == on_curve
    assert (curve().multiply(point + words(1)) is not None) == on_curve


# -- pairings --


def test_pairs_of_generators(either):
    minus = (1, P - 2)
    pair = encoded(G1) + encoded_twist(G2)
    opposite = encoded(minus) + encoded_twist(G2)
    assert bn254.pairing(pair + opposite, OSAKA) == words(1)
    assert bn254.pairing(pair, OSAKA) == words(0)
    assert bn254.pairing(pair * 2, OSAKA) == words(0)
    assert bn254.pairing((pair + opposite) * 5, OSAKA) == words(1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(scalars, scalars), max_size=4), st.integers(1, 2**64))
def test_a_product_of_pairings_is_1_just_when_the_scalars_cancel(pairs, factor):
    """Bilinearity: e(aP, bQ) = e(P, Q)^(ab), whatever a and b are."""
    total = sum(a * b for a, b in pairs) % ORDER
    data = b"".join(encoded(g1(a)) + encoded_twist(g2(b)) for a, b in pairs)
    inverse = pow(factor, -1, ORDER)
    closing = encoded(g1(-total * inverse)) + encoded_twist(g2(factor))
    assert curve().pairing_is_one(data + closing) is True
    assert curve().pairing_is_one(closing + data) is True
    assert curve().pairing_is_one(data) is (total == 0)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(scalars, scalars), max_size=3))
def test_the_value_of_a_product_is_the_definitions(scalars_of_pairs):
    """Not only whether it is 1: all twelve numbers agree."""
    pairs = [(g1(a), g2(b)) for a, b in scalars_of_pairs]
    pairs = [(p, q) for p, q in pairs if p is not None and q is not None]
    records = []
    for (x, y), (twist_x, twist_y) in pairs:
        records += [-x, y, *twist_x, *twist_y, *twist_x, *twist_y, 1, 0]
    value = room("fp12")
    call("loop", value, buffer([int(n) for n in records]), len(pairs), constants())
    call("final_power", value, constants())
    expected = bn254_curve._final_power(bn254_curve._miller(pairs))
    assert numbers(value) == from_flat(expected)


def test_infinity_on_either_side_is_a_factor_of_1(either):
    point, twisted = encoded(G1), encoded_twist(G2)
    for data in (
        bytes(64) + twisted,
        point + bytes(128),
        bytes(192),
        bytes(64) + twisted + point + bytes(128),
        b"",
    ):
        assert bn254.pairing(data, OSAKA) == words(1)
    assert bn254.pairing(bytes(192) + point + twisted, OSAKA) == words(0)


def test_a_wrong_point_beside_infinity_is_still_wrong(either):
    assert bn254.pairing(words(1, 1) + bytes(128), OSAKA) is None
    assert bn254.pairing(bytes(64) + words(0, 1, 0, 1), OSAKA) is None


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("excess", [P, "P", 2**256 - 1])
def test_numbers_that_are_not_reduced_are_refused(either, place, excess):
    """Given the prime itself, a right number with it added, or all ones, in each coordinate."""
    data = encoded(G1) + encoded_twist(G2)
    numbers = [int.from_bytes(data[i : i + 32], "big") for i in range(0, 192, 32)]
    numbers[place] = numbers[place] + P if excess == "P" else excess
    assert bn254.pairing(words(*numbers), OSAKA) is None
    if place < 2:
        assert bn254.add(words(*numbers[:2]), OSAKA) is None
        assert bn254.add(bytes(64) + words(*numbers[:2]), OSAKA) is None
        assert bn254.mul(words(*numbers[:2]), OSAKA) is None
    # A prime in place of a 0, too: infinity has one encoding.
    zeros = [0] * 6
    zeros[place] = P
    assert bn254.pairing(words(*zeros), OSAKA) is None


@pytest.mark.parametrize("size", [1, 63, 64, 191, 193, 383])
def test_half_a_pair_is_refused(either, size):
    assert bn254.pairing(bytes(size), OSAKA) is None


def test_short_and_long_input_of_sums_and_multiples(either):
    """Short input has zeros behind it; what is behind the input counts for nothing."""
    point = encoded(G1)
    assert bn254.add(point, OSAKA) == point
    assert bn254.add(point[:63], OSAKA) is None  # 1, 0: not on the curve
    assert bn254.add(b"", OSAKA) == bytes(64)
    assert bn254.add(point + bytes(64) + b"\xff" * 100, OSAKA) == point
    assert bn254.mul(point, OSAKA) == bytes(64)
    assert bn254.mul(point + words(2)[:31], OSAKA) == bytes(64)
    assert bn254.mul(point + b"\x80", OSAKA) == encoded(g1(2**255))
    assert bn254.mul(point + words(1) + b"\xff", OSAKA) == point


# -- the twist's subgroup --

COFACTOR = 2 * P - ORDER


def twist_points():
    """Points of the twist with small x; hardly one of them has the prime order."""
    for x in range(1, 60):
        value = bn254_curve._mul2(bn254_curve._mul2((x, 1), (x, 1)), (x, 1))
        value = tuple((a + b) % P for a, b in zip(value, bn254_curve.TWIST_B))
        root = square_root(value)
        if root is not None:
            yield twist(((x, 1), root))


def square_root(value):
    """In the quadratic extension, or None; by way of the norm, as P = 3 modulo 4."""
    a, b = (int(n) for n in value)
    norm = pow(a * a + b * b, (P + 1) // 4, P)
    for sign in (norm, -norm):
        half = (a + sign) * pow(2, -1, P) % P
        real = pow(half, (P + 1) // 4, P)
        if real and real * real % P == half:
            root = (real, b * pow(2 * real, -1, P) % P)
            if bn254_curve._mul2(root, root) == (a, b):
                return root
    return None


def test_points_of_other_orders_are_refused(either):
    points = list(twist_points())
    assert len(points) > 10
    for point in points[:8]:
        assert bn254.pairing(encoded(G1) + encoded_twist(point), OSAKA) is None


def test_points_of_small_order_are_refused(either):
    """Where the formulas meet their exceptions: orders that the loop runs through many times."""
    found = 0
    for point in twist_points():
        rest = multiply_twist(point, ORDER)
        for small in (10069, 5864401):
            assert COFACTOR % small == 0
            tiny = multiply_twist(rest, COFACTOR // small)
            if tiny is not None:
                assert multiply_twist(tiny, small) is None
                assert bn254.pairing(encoded(G1) + encoded_twist(tiny), OSAKA) is None
                mixed = bn254_curve._add_twist(tiny, twist(G2))
                assert bn254.pairing(encoded(G1) + encoded_twist(mixed), OSAKA) is None
                found += 1
        if found > 3:
            break
    assert found > 3


def test_a_cleared_cofactor_makes_a_point_right(either):
    point = next(twist_points())
    cleared = multiply_twist(point, COFACTOR)
    assert bn254.pairing(encoded(G1) + encoded_twist(cleared), OSAKA) == words(0)


def test_the_short_subgroup_check_has_the_right_numbers():
    """The group of the twist has ORDER * COFACTOR points; only ORDER of them pass."""
    trace = bn254_curve.TWIST_MULTIPLE + 1
    assert P + 1 - trace == ORDER
    assert math.gcd(ORDER, COFACTOR) == 1
    point = next(twist_points())
    assert multiply_twist(point, ORDER * COFACTOR) is None


# -- native code and its absence --


def test_without_the_compiler_the_definition_serves(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "llvmlite", None)
    native.load_curve.cache_clear()
    assert native.load_curve(None) is None
    native.load_curve.cache_clear()


def test_precompiles_find_native_code():
    assert bn254._native() is not None


def test_many_pairs_at_once(natively):
    """Room for what is computed grows with the input."""
    pair = encoded(G1) + encoded_twist(G2)
    opposite = encoded((1, P - 2)) + encoded_twist(G2)
    assert bn254.pairing((pair + opposite) * 100, OSAKA) == words(1)
    assert bn254.pairing((pair + opposite) * 100 + pair, OSAKA) == words(0)
    assert bn254.pairing((pair + opposite) * 100 + words(1, 1) + bytes(128), OSAKA) is None
