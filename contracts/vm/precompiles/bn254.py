"""Addition, multiplication and the pairing check on alt_bn128 (EIP-196, EIP-197, EIP-1108)."""

import sys
from functools import cache
from types import ModuleType
from typing import Any, Final

from chain.forks import Fork
from contracts.vm.frame import padded

_PRIME: Final = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
_ORDER: Final = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001
_PAIR: Final = 192  # bytes: a point of G1 and one of G2


@cache
def _curve() -> ModuleType:
    # The import alone takes a noticeable part of a second. It also raises the limit of
    # recursion for the whole process, so far that nested JSON would overrun the C stack
    # instead of being refused: the limit goes back to what it was.
    limit = sys.getrecursionlimit()
    from py_ecc import optimized_bn128

    sys.setrecursionlimit(limit)
    return optimized_bn128


def add_gas(data: bytes, fork: Fork) -> int:
    return fork.gas_bn254_add


def add(data: bytes, fork: Fork) -> bytes | None:
    data = padded(data, 0, 128)
    a, b = _g1(data[:64]), _g1(data[64:])
    if a is None or b is None:
        return None
    return _encoded(_curve().add(a, b))


def mul_gas(data: bytes, fork: Fork) -> int:
    return fork.gas_bn254_mul


def mul(data: bytes, fork: Fork) -> bytes | None:
    data = padded(data, 0, 96)
    point = _g1(data[:64])
    if point is None:
        return None
    scalar = int.from_bytes(data[64:], "big") % _ORDER
    return _encoded(_curve().multiply(point, scalar))


def pairing_gas(data: bytes, fork: Fork) -> int:
    return fork.gas_bn254_pairing + fork.gas_bn254_pairing_pair * (len(data) // _PAIR)


def pairing(data: bytes, fork: Fork) -> bytes | None:
    """1 when the product of the pairings is the identity, else 0."""
    if len(data) % _PAIR:
        return None
    curve = _curve()
    product = curve.FQ12.one()
    for start in range(0, len(data), _PAIR):
        p, q = _g1(data[start : start + 64]), _g2(data[start + 64 : start + _PAIR])
        if p is None or q is None:
            return None
        product *= curve.pairing(q, p, final_exponentiate=False)
    one = curve.final_exponentiate(product) == curve.FQ12.one()
    return int(one).to_bytes(32, "big")


def _coordinates(data: bytes) -> list[int] | None:
    """Field elements of 32 bytes each; None when one is not reduced."""
    values = [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)]
    return values if max(values) < _PRIME else None


def _g1(data: bytes) -> Any:
    """A point on the curve, projective; None when it is not one. Its group has no cofactor."""
    values = _coordinates(data)
    if values is None:
        return None
    curve = _curve()
    x, y = values
    if x == y == 0:
        return curve.Z1
    point = (curve.FQ(x), curve.FQ(y), curve.FQ(1))
    return point if curve.is_on_curve(point, curve.b) else None


def _g2(data: bytes) -> Any:
    """A point of the right subgroup of the twist; imaginary parts come first."""
    values = _coordinates(data)
    if values is None:
        return None
    curve = _curve()
    x_i, x_r, y_i, y_r = values
    if not any(values):
        return curve.Z2
    point = (curve.FQ2([x_r, x_i]), curve.FQ2([y_r, y_i]), curve.FQ2.one())
    if not curve.is_on_curve(point, curve.b2):
        return None
    return point if curve.is_inf(curve.multiply(point, _ORDER)) else None


def _encoded(point: Any) -> bytes:
    curve = _curve()
    if curve.is_inf(point):
        return bytes(64)
    x, y = curve.normalize(point)
    return int(x.n).to_bytes(32, "big") + int(y.n).to_bytes(32, "big")
