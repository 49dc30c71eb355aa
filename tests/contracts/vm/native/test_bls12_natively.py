"""BLS12-381 and the point evaluation in native code: what the definitions say, in gas and output.

The definitions use another library, arkworks; native code uses blst.
"""

import hashlib
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain.forks import CANCUN, OSAKA
from contracts.vm.native.precompiled import blst
from contracts.vm.native.precompiled.contracts import kernel_of
from contracts.vm.precompiles import PRECOMPILES, bls12, kzg
from tests.contracts.vm.native.precompiled_kernels import by_definition, has_kernel, natively

pytestmark = pytest.mark.skipif(not has_kernel(0x0B), reason="this ckzg does not show blst")

G1_ADD, G1_SUM, G2_ADD, G2_SUM, PAIRING, MAP_G1, MAP_G2 = range(0x0B, 0x12)
EVALUATION = 0x0A
P = blst._PRIME


def word(number: int, size: int = 32) -> bytes:
    return number.to_bytes(size, "big")


def agree(number, data, gas=None, fork=OSAKA):
    """The output, or None, which is the definition's."""
    price = PRECOMPILES[number].gas(data, fork)
    gas = price if gas is None else gas
    found = natively(number, data, fork, gas)
    assert found == by_definition(number, data, fork, gas)
    assert price == 0 or natively(number, data, fork, price - 1) is None
    return None if found is None else found[1]


@cache
def member(group: int, seed: int) -> bytes:
    """A point of the subgroup."""
    if group == 1:
        return bls12.map_fp(word(seed + 2, 64), OSAKA)
    return bls12.map_fp2(word(seed + 2, 64) + word(seed + 3, 64), OSAKA)


def opposite(point: bytes) -> bytes:
    half = len(point) // 2
    numbers = [int.from_bytes(point[i : i + 64], "big") for i in range(half, len(point), 64)]
    return point[:half] + b"".join(word(-number % P, 64) for number in numbers)


def square_root(number: int) -> int | None:
    root = pow(number, (P + 1) // 4, P)
    return root if root * root % P == number % P else None


@cache
def stray(group: int, seed: int) -> bytes:
    """A point of the curve outside the subgroup; in G2 with a real x and y or none there."""
    for x in range(seed, seed + 2_000):
        if group == 1:
            y = square_root(x**3 + 4)
            if y is not None:
                return word(x, 64) + word(y, 64)
            continue
        # y^2 = x^3 + 4 + 4i for a real x: y = a + bi, with 2ab = 4 and a^2 - b^2 = x^3 + 4.
        real = x**3 + 4
        norm = square_root(real * real + 16)
        if norm is None:
            continue
        for sign in (norm, -norm):
            a = square_root((real + sign) * pow(2, -1, P) % P)
            if a:
                return word(x, 64) + bytes(64) + word(a, 64) + word(2 * pow(a, -1, P) % P, 64)
    raise AssertionError("no point found")


def points(group: int):
    """Mostly good ones: some twice, with its opposite, infinity; strays; wrong ones."""
    size = 128 * group
    good = st.integers(0, 6).map(lambda seed: member(group, seed))
    wrong = st.one_of(
        st.just(word(1, 64) * (2 * group)),
        st.just(word(P, 64) + bytes(size - 64)),
        st.just(bytes(size - 64) + word(P, 64)),
        st.just(word(P + 1, 64) * (2 * group)),
        st.just(b"\x01" + member(group, 1)[1:]),
        st.just(bytes(15) + b"\x01" + bytes(size - 16)),
        st.just(bytes(16) + b"\x40" + bytes(size - 17)),
        st.just(bytes(16) + b"\xff" * 48 + bytes(size - 64)),
        st.just(bytes(64 * group) + word(2, 64) + bytes(64 * (group - 1))),
        st.binary(min_size=size, max_size=size),
    )
    usual = st.one_of(good, good, good, good.map(opposite), st.just(bytes(size)))
    strays = st.sampled_from([2, 40, 300]).map(lambda seed: stray(group, seed))
    return st.integers(0, 15).flatmap(
        lambda kind: wrong if kind == 0 else strays if kind == 1 else usual
    )


scalars = st.one_of(
    st.sampled_from([0, 1, 2, bls12.ORDER - 1, bls12.ORDER, bls12.ORDER + 1, 2 * bls12.ORDER,
                     2 * bls12.ORDER + 5, 2**255, 2**256 - 1]),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**64),
).map(word)  # fmt: skip
sized = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 32])


def resized(data: bytes, by: int) -> bytes:
    return data + bytes(by) if by > 0 else data[: len(data) + by]


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([1, 2]).flatmap(lambda g: st.tuples(st.just(g), points(g), points(g))), sized
)
def test_additions(chosen, by):
    group, a, b = chosen
    agree(G1_ADD if group == 1 else G2_ADD, resized(a + b, by))


@pytest.mark.parametrize("group", [1, 2])
def test_additions_of_equal_opposite_and_stray_points(group):
    number = G1_ADD if group == 1 else G2_ADD
    for a in (member(group, 3), stray(group, 2), stray(group, 40)):
        assert agree(number, a + a) is not None
        assert agree(number, a + opposite(a)) == bytes(128 * group)
        assert agree(number, a + bytes(128 * group)) == a
        assert agree(number, a + member(group, 4)) is not None
    assert agree(number, bytes(256 * group)) == bytes(128 * group)


def test_a_point_whose_x_is_zero():
    """It is on the curve, of order 3, and has nothing to do with infinity."""
    a = bytes(64) + word(2, 64)
    assert agree(G1_ADD, a + a) == opposite(a)
    assert agree(G1_SUM, a + word(1)) is None
    assert agree(PAIRING, a + member(2, 0)) is None


def terms(group):
    return st.lists(st.tuples(points(group), scalars).map(b"".join), min_size=1, max_size=5)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from([1, 2]).flatmap(lambda g: st.tuples(st.just(g), terms(g))), sized)
def test_sums_of_few_multiples(chosen, by):
    group, found = chosen
    agree(G1_SUM if group == 1 else G2_SUM, resized(b"".join(found), by))


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("count", [8, 31, 32, 33, 64, 127, 128, 129, 257])
def test_sums_of_many_multiples(group, count):
    """Some terms are infinite, have a zero for a scalar, or come twice; then one is wrong."""
    found = []
    for i in range(count):
        point = bytes(128 * group) if i % 13 == 5 else member(group, i * 7 % 20)
        scalar = bls12.ORDER * (i % 3) if i % 11 == 3 else pow(7, i * 1_000 + 1, 2**256)
        found.append(point + word(scalar))
    number = G1_SUM if group == 1 else G2_SUM
    assert agree(number, b"".join(found)) is not None
    found[-1] = stray(group, 2) + word(1)
    assert agree(number, b"".join(found)) is None


@pytest.mark.parametrize("group", [1, 2])
def test_sums_that_vanish(group):
    number = G1_SUM if group == 1 else G2_SUM
    for scalar in (1, 5, 2**255):
        a = member(group, 3)
        both = a + word(scalar) + opposite(a) + word(scalar)
        assert agree(number, both) == bytes(128 * group)
        assert agree(number, both * 20) == bytes(128 * group)
        assert agree(number, a + word(bls12.ORDER) + a + word(0)) == bytes(128 * group)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(points(1), points(2)).map(b"".join), max_size=4), sized)
@example([], 0)
def test_pairings(pairs, by):
    agree(PAIRING, resized(b"".join(pairs), by))


@pytest.mark.parametrize("count", [15, 16, 17, 33])
def test_pairings_of_more_pairs_than_go_together(count):
    a, b = member(1, 1), member(2, 1)
    pairs = [(a if i % 2 else opposite(a)) + b for i in range(count)]
    assert agree(PAIRING, b"".join(pairs)) == word(1 - count % 2)
    pairs[0] = bytes(128) + b
    assert agree(PAIRING, b"".join(pairs)) == word(count % 2)
    pairs[-1] = a + stray(2, 2)
    assert agree(PAIRING, b"".join(pairs)) is None


def test_a_wrong_point_is_not_hidden_by_infinity():
    assert agree(PAIRING, bytes(128) + stray(2, 2)) is None
    assert agree(PAIRING, stray(1, 2) + bytes(256)) is None
    assert agree(PAIRING, bytes(384)) == word(1)


elements = st.one_of(
    st.integers(0, P - 1),
    st.sampled_from([0, 1, P - 1, P, P + 1, 2**381, 2**384 - 1, 2**384, 2**511]),
).map(lambda number: word(number, 64))


@settings(max_examples=150, deadline=None)
@given(elements, elements, sized)
def test_maps(a, b, by):
    agree(MAP_G1, resized(a, by))
    agree(MAP_G2, resized(a + b, by))


# -- point evaluation --

INFINITY = b"\xc0" + bytes(47)


@cache
def commitment(seed: int) -> tuple[bytes, bytes, bytes]:
    """A commitment, and y and a proof for the point 12345."""
    import ckzg

    from chain.blobs import _trusted_setup

    blob = b"".join(word((number * seed) ** 3) for number in range(4_096))
    proof, y = ckzg.compute_kzg_proof(blob, word(12_345), _trusted_setup())
    return ckzg.blob_to_kzg_commitment(blob, _trusted_setup()), y, proof


def opening(c: bytes, z: bytes, y: bytes, proof: bytes) -> bytes:
    return b"\x01" + hashlib.sha256(c).digest()[1:] + z + y + c + proof


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_openings_hold_or_do_not(seed):
    """Seed 0 is the zero polynomial, whose commitment and proof are infinity."""
    c, y, proof = commitment(seed)
    z = word(12_345)
    good = opening(c, z, y, proof)
    assert agree(EVALUATION, good, fork=CANCUN) == kzg.OUTPUT
    other = commitment(7)
    above = word(int.from_bytes(y, "big") + bls12.ORDER)
    for data in (
        opening(c, word(12_346), other[1], proof),
        opening(c, z, word(int.from_bytes(y, "big") ^ 1), proof),
        opening(c, z, y, other[2]),
        opening(other[0], z, y, proof),
        opening(c, z, above, proof),
        opening(c, word(12_345 + bls12.ORDER), y, proof),
        b"\x00" + good[1:],
        good[:31] + bytes([good[31] ^ 1]) + good[32:],
        good[:-1],
        good + b"\0",
        b"",
    ):
        assert agree(EVALUATION, data) is None


def test_constant_polynomials_have_infinity_for_a_proof():
    from py_arkworks_bls12381 import G1Point, Scalar

    for y in (1, 7, bls12.ORDER - 1):
        c = bytes((G1Point() * Scalar.from_be_bytes(word(y))).to_compressed_bytes())
        for z in (0, 5, bls12.ORDER - 1):
            assert agree(EVALUATION, opening(c, word(z), word(y), INFINITY)) == kzg.OUTPUT
        assert agree(EVALUATION, opening(c, word(5), word(y - 1), INFINITY)) is None


def compressed(x: int, flags: int) -> bytes:
    data = bytearray(word(x % 2**384, 48))
    data[0] |= flags
    return bytes(data)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.sampled_from([INFINITY, commitment(5)[0], commitment(5)[2]]),
        st.builds(
            compressed,
            st.one_of(st.integers(0, 60), st.integers(0, P + 5), st.sampled_from([0, P - 1, P])),
            st.sampled_from([0x80, 0xA0, 0xC0, 0xE0, 0x40, 0x20, 0]),
        ),
        st.binary(min_size=48, max_size=48),
    ),
    st.booleans(),
)
@example(compressed(0, 0x80), True)
@example(b"\xc0" + bytes(46) + b"\x01", False)
@example(b"\xe0" + bytes(47), True)
def test_points_that_are_badly_compressed(point, first):
    """As commitment or as proof: what is no member of the group fails."""
    c, y, proof = commitment(5)
    parts = (point, word(12_345), y, proof) if first else (c, word(12_345), y, point)
    agree(EVALUATION, opening(*parts))


# -- the library --


def test_without_the_library_python_does_it(monkeypatch):
    monkeypatch.setattr(blst, "load", lambda: None)
    assert kernel_of(PRECOMPILES[G1_ADD]) == "run_in_python"


def test_another_library_is_not_used(monkeypatch):
    """Given types of other sizes, or functions that are hidden, then there is none."""
    load = blst.load.__wrapped__
    with monkeypatch.context() as patch:
        patch.setitem(blst._SIZES, "blst_p1_sizeof", 145)
        assert load() is None
    with monkeypatch.context() as patch:
        patch.setitem(blst._OF_GROUP, "multiply", "blst_hidden")
        assert load() is None
    assert load() is not None
