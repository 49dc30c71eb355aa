"""Why a precompile refused its input, in geth's words: asked of geth 1.17 case by case."""

import hashlib

import pytest

from chain.forks import OSAKA
from contracts.vm.precompiles import PRECOMPILES
from node.tracing.precompile_words import words_for

P = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
Q = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)
R = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
ENCODING = "invalid fp.Element encoding"
OFF_CURVE = "point is not on curve"
BLS_OFF_CURVE = "invalid point: not on curve"
LENGTH = "invalid input length"
TOP = "invalid field element top bytes"


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def elements(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(64, "big") for number in numbers)


ONE = words(1, 2)  # of alt_bn128
TWIST = words(
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)


def _outside_of_the_twists_group() -> bytes:
    """A point of the twist with the smallest real x, which is in no group of prime order."""
    real, imaginary = (
        0x2B149D40CEB8AAAE81BE18991BE06AC3B5B4C5E559DBEFA33267E6DC24A138E5,
        0x009713B03AF0FED4CD2CAFADEED8FDF4A74FA084E52D1852E4A2BD0685C315D2,
    )
    for x in range(1, 100):
        a, b = (x**3 + real) % P, imaginary
        norm = pow(a * a + b * b, (P + 1) // 4, P)
        for root in (norm, P - norm):
            half = (a + root) * pow(2, -1, P) % P
            y = pow(half, (P + 1) // 4, P)
            if y * y % P == half:
                other = b * pow(2 * y, -1, P) % P
                if (y * y - other * other - a) % P == 0:
                    return words(0, x, other, y)
    raise AssertionError


def _outside_of_the_bls_group() -> bytes:
    """A point of the curve with the smallest x."""
    for x in range(1, 100):
        y = pow(x**3 + 4, (Q + 1) // 4, Q)
        if (y * y - x**3 - 4) % Q == 0:
            return elements(x, y)
    raise AssertionError


OUTSIDE, BLS_OUTSIDE = _outside_of_the_twists_group(), _outside_of_the_bls_group()
BLS_ONE = elements(
    int(
        "17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58"
        "6c55e83ff97a1aeffb3af00adb22c6bb",
        16,
    ),
    int(
        "08b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3ed"
        "d03cc744a2888ae40caa232946c5e7e1",
        16,
    ),
)
INFINITY = b"\xc0" + bytes(47)
NAME = b"\x01" + hashlib.sha256(INFINITY).digest()[1:]


@pytest.mark.parametrize(
    ("number", "data", "expected"),
    [
        (5, words(1025, 0, 0), "one or more of base/exponent/modulus length exceeded 1024 bytes"),
        (6, words(P, 2), ENCODING),
        (6, ONE + words(1, 3), OFF_CURVE),
        (7, words(P, 2), ENCODING),
        (7, words(1), OFF_CURVE),
        (8, b"\x00", "bad elliptic curve pairing size"),
        (8, words(1, 3) + TWIST, OFF_CURVE),
        (8, ONE + words(P) + TWIST[32:], ENCODING),
        (8, ONE + words(1, 1, 1, 1), OFF_CURVE),
        (8, ONE + TWIST + ONE + OUTSIDE, "point is not in correct subgroup"),
        (9, b"", LENGTH),
        (9, bytes(212) + b"\x02", "invalid final flag"),
        (10, b"", LENGTH),
        (10, bytes(192), "mismatched versioned hash"),
        (
            10,
            NAME + words(R, 0) + INFINITY * 2,
            (
                "error verifying kzg proof: scalar is not canonical when interpreted as a "
                "big integer in big-endian"
            ),
        ),
        (
            10,
            NAME + words(1, 1) + INFINITY * 2,
            "error verifying kzg proof: can't verify opening proof",
        ),
        (10, NAME + words(1, 0) + INFINITY + bytes(48), "error verifying kzg proof: short buffer"),
        (
            10,
            NAME + words(1, 0) + INFINITY + b"\xff" * 48,
            "error verifying kzg proof: invalid point encoding",
        ),
        (11, b"", LENGTH),
        (11, BLS_ONE + b"\x01" + BLS_ONE[1:], TOP),
        (11, BLS_ONE + elements(Q) + BLS_ONE[64:], ENCODING),
        (11, elements(1, 1) + b"\x01" + BLS_ONE[1:], BLS_OFF_CURVE),
        (12, b"", LENGTH),
        (12, BLS_ONE + words(1) + BLS_OUTSIDE + words(1), "g1 point is not on correct subgroup"),
        (12, elements(1, 1) + words(1), BLS_OFF_CURVE),
        (13, bytes(256) + elements(1, 1, 1, 1), BLS_OFF_CURVE),
        (14, elements(1, 1, 1, 1) + words(1), BLS_OFF_CURVE),
        (15, bytes(383), LENGTH),
        (15, BLS_OUTSIDE + bytes(256), "g1 point is not on correct subgroup"),
        (15, BLS_OUTSIDE + elements(1, 1, 1, 1), BLS_OFF_CURVE),
        (16, b"\x01" + bytes(63), TOP),
        (16, elements(Q), ENCODING),
        (17, elements(1, Q), ENCODING),
        (17, b"", LENGTH),
    ],
)
def test_what_was_wrong_is_told_as_geth_tells_it(number: int, data: bytes, expected: str) -> None:
    assert PRECOMPILES[number].run(data, OSAKA) is None
    assert words_for(number, data) == expected


def test_what_is_not_known_is_told_all_the_same() -> None:
    assert words_for(0x1234, b"") == "precompiled contract failed"
