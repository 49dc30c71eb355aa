"""What was wrong with the input of a precompile: geth tells that.

Asked only about calls that failed, so that the precompiles themselves need not know.
Source of the words: core/vm/contracts.go of go-ethereum, and the libraries of curves that it uses.
"""

import hashlib
from collections.abc import Callable
from typing import Final

from chain.forks import OSAKA
from contracts.vm.precompiles import PRECOMPILES, bls12, bn254

_UNKNOWN: Final = "precompiled contract failed"
_LENGTH: Final = "invalid input length"
_ENCODING: Final = "invalid fp.Element encoding"
_P: Final = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
_Q: Final = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)
# Of the twist of alt_bn128, y^2 = x^3 + this: real and imaginary part.
_TWIST: Final = (
    0x2B149D40CEB8AAAE81BE18991BE06AC3B5B4C5E559DBEFA33267E6DC24A138E5,
    0x009713B03AF0FED4CD2CAFADEED8FDF4A74FA084E52D1852E4A2BD0685C315D2,
)


def words_for(number: int, data: bytes) -> str:
    """Why the precompile of a number, counted as its address, refused the input."""
    tell = _TOLD.get(number)
    return (tell(data) if tell is not None else None) or _UNKNOWN


def _modexp(data: bytes) -> str:
    return "one or more of base/exponent/modulus length exceeded 1024 bytes"


def _blake2(data: bytes) -> str:
    return _LENGTH if len(data) != 213 else "invalid final flag"


def _kzg(data: bytes) -> str:
    if len(data) != 192:
        return _LENGTH
    if data[:32] != b"\x01" + hashlib.sha256(data[96:144]).digest()[1:]:
        return "mismatched versioned hash"
    if any(int.from_bytes(data[at : at + 32], "big") >= bls12.ORDER for at in (32, 64)):
        wrong = "scalar is not canonical when interpreted as a big integer in big-endian"
    else:
        wrong = _compressed(data[96:144]) or _compressed(data[144:]) or "can't verify opening proof"
    return f"error verifying kzg proof: {wrong}"


def _compressed(point: bytes) -> str | None:
    """What is wrong with the marks of a point, in the first three bits."""
    marks = point[0] >> 5
    if marks in (0b000, 0b010):  # it has two coordinates
        return "short buffer"
    return "invalid point encoding" if marks in (0b011, 0b111) else None


# -- alt_bn128 -------------------------------------------------------------------------------------


def _elements(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[at : at + size], "big") for at in range(0, len(data), size)]


def _bn254_g1(data: bytes) -> str | None:
    x, y = _elements(data, 32)
    if x >= _P or y >= _P:
        return _ENCODING
    if (x or y) and (y * y - x * x * x - 3) % _P:
        return "point is not on curve"
    return None


def _bn254_g2(data: bytes) -> str | None:
    elements = _elements(data, 32)
    if any(item >= _P for item in elements):
        return _ENCODING
    if not any(elements):
        return None
    x, y = (elements[1], elements[0]), (elements[3], elements[2])
    left, cube = _product(y, y), _product(_product(x, x), x)
    if any((a - b - c) % _P for a, b, c in zip(left, cube, _TWIST, strict=True)):
        return "point is not on curve"
    if bn254.pairing(bytes(64) + data, OSAKA) is None:
        return "point is not in correct subgroup"
    return None


def _product(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return (a[0] * b[0] - a[1] * b[1]) % _P, (a[0] * b[1] + a[1] * b[0]) % _P


def _bn254_add(data: bytes) -> str | None:
    data = data[:128].ljust(128, b"\0")
    return _bn254_g1(data[:64]) or _bn254_g1(data[64:])


def _bn254_multiply(data: bytes) -> str | None:
    return _bn254_g1(data[:64].ljust(64, b"\0"))


def _bn254_pairing(data: bytes) -> str | None:
    if len(data) % 192:
        return "bad elliptic curve pairing size"
    for at in range(0, len(data), 192):
        if wrong := _bn254_g1(data[at : at + 64]) or _bn254_g2(data[at + 64 : at + 192]):
            return wrong
    return None


# -- BLS12-381 -------------------------------------------------------------------------------------

_Wrong = Callable[[bytes], str | None]


def _field(data: bytes) -> str | None:
    """What is wrong with field elements, the first of them first."""
    for at in range(0, len(data), 64):
        if any(data[at : at + 16]):
            return "invalid field element top bytes"
        if int.from_bytes(data[at + 16 : at + 64], "big") >= _Q:
            return _ENCODING
    return None


def _bls_g1(data: bytes) -> str | None:
    off = bls12.g1_add(data + bytes(128), OSAKA) is None
    return _field(data) or ("invalid point: not on curve" if off else None)


def _bls_g2(data: bytes) -> str | None:
    off = bls12.g2_add(data + bytes(256), OSAKA) is None
    return _field(data) or ("invalid point: not on curve" if off else None)


def _in_g1(data: bytes) -> str | None:
    outside = bls12.g1_msm(data + bytes(32), OSAKA) is None
    return "g1 point is not on correct subgroup" if outside else None


def _in_g2(data: bytes) -> str | None:
    outside = bls12.g2_msm(data + bytes(32), OSAKA) is None
    return "g2 point is not on correct subgroup" if outside else None


def _term(size: int, decode: _Wrong, check: _Wrong) -> _Wrong:
    """For sums of multiples: points of so many bytes, each with a scalar behind it."""

    def tell(data: bytes) -> str | None:
        if not data or len(data) % (size + 32):
            return _LENGTH
        for at in range(0, len(data), size + 32):
            point = data[at : at + size]
            if wrong := decode(point) or check(point):
                return wrong
        return None

    return tell


def _sum(size: int, decode: _Wrong) -> _Wrong:
    def tell(data: bytes) -> str | None:
        if len(data) != 2 * size:
            return _LENGTH
        return decode(data[:size]) or decode(data[size:])

    return tell


def _bls_pairing(data: bytes) -> str | None:
    if not data or len(data) % 384:
        return _LENGTH
    for at in range(0, len(data), 384):
        p, q = data[at : at + 128], data[at + 128 : at + 384]
        if wrong := _bls_g1(p) or _bls_g2(q) or _in_g1(p) or _in_g2(q):
            return wrong
    return None


def _map(size: int) -> _Wrong:
    return lambda data: _LENGTH if len(data) != size else _field(data)


_TOLD: Final[dict[int, _Wrong]] = {
    0x05: _modexp,
    0x06: _bn254_add,
    0x07: _bn254_multiply,
    0x08: _bn254_pairing,
    0x09: _blake2,
    0x0A: _kzg,
    0x0B: _sum(128, _bls_g1),
    0x0C: _term(128, _bls_g1, _in_g1),
    0x0D: _sum(256, _bls_g2),
    0x0E: _term(256, _bls_g2, _in_g2),
    0x0F: _bls_pairing,
    0x10: _map(64),
    0x11: _map(128),
}
assert _TOLD.keys() <= PRECOMPILES.keys()
