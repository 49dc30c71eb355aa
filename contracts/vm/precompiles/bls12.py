"""Operations on the curve BLS12-381 (EIP-2537).

A field element takes 64 bytes, the upper 16 of them zero; an element of the
quadratic extension is its real part, then its imaginary part. Infinity is all zeros.
Additions accept any point of the curve, multiplications and pairings only those of
the prime-order subgroup. What is here is the definition; native code has blst do the same.
"""

from functools import cache
from types import ModuleType
from typing import Any, Final

from chain.forks import Fork
from contracts.vm.precompiles.bls12_discounts import G1_DISCOUNTS, G2_DISCOUNTS

ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_G1: Final = 128  # bytes of a point
_G2: Final = 256
_SCALAR: Final = 32
_G1_TERM: Final = _G1 + _SCALAR
_G2_TERM: Final = _G2 + _SCALAR
_PAIR: Final = _G1 + _G2

_GAS_G1_MUL: Final = 12_000
_GAS_G2_MUL: Final = 22_500
_GAS_PAIRING: Final = 37_700
_GAS_PAIRING_PAIR: Final = 32_600


@cache
def _curve() -> ModuleType:
    import py_arkworks_bls12381

    return py_arkworks_bls12381


def _compact(data: bytes) -> bytes:
    """Field elements without their padding; raises ValueError when it is not zero."""
    pieces = []
    for start in range(0, len(data), 64):
        if any(data[start : start + 16]):
            raise ValueError("padding of a field element is not zero")
        pieces.append(data[start + 16 : start + 64])
    return b"".join(pieces)


def _spread(elements: bytes) -> bytes:
    pieces = (elements[i : i + 48] for i in range(0, len(elements), 48))
    return b"".join(bytes(16) + piece for piece in pieces)


def _g1(data: bytes, *, subgroup: bool) -> Any:
    """A point of the curve; raises ValueError when it is not one."""
    point_type = _curve().G1Point
    if not any(data):
        return point_type.identity()
    read = point_type.from_xy_bytes_be if subgroup else point_type.from_xy_bytes_unchecked_be
    return read(_compact(data))


def _g2(data: bytes, *, subgroup: bool) -> Any:
    point_type = _curve().G2Point
    if not any(data):
        return point_type.identity()
    read = point_type.from_xy_bytes_be if subgroup else point_type.from_xy_bytes_unchecked_be
    return read(_compact(data))


def _encoded(point: Any) -> bytes:
    elements = point.to_xy_bytes_be()
    return b"".join(bytes(16) + elements[i : i + 48] for i in range(0, len(elements), 48))


def _scalar(data: bytes) -> Any:
    number = int.from_bytes(data, "big") % ORDER
    return _curve().Scalar.from_be_bytes(number.to_bytes(32, "big"))


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def g1_add_gas(data: bytes, fork: Fork) -> int:
    return 375


def g1_add(data: bytes, fork: Fork) -> bytes | None:
    if len(data) != 2 * _G1:
        return None
    try:
        a, b = (_g1(piece, subgroup=False) for piece in _pieces(data, _G1))
    except ValueError:
        return None
    return _encoded(a + b)


def g2_add_gas(data: bytes, fork: Fork) -> int:
    return 600


def g2_add(data: bytes, fork: Fork) -> bytes | None:
    if len(data) != 2 * _G2:
        return None
    try:
        a, b = (_g2(piece, subgroup=False) for piece in _pieces(data, _G2))
    except ValueError:
        return None
    return _encoded(a + b)


def _discounted(terms: int, price: int, discounts: tuple[int, ...]) -> int:
    """The price of a sum of multiples; the more terms, the cheaper each."""
    if terms == 0:
        return 0
    return terms * price * discounts[min(terms, len(discounts)) - 1] // 1_000


def g1_msm_gas(data: bytes, fork: Fork) -> int:
    return _discounted(len(data) // _G1_TERM, _GAS_G1_MUL, G1_DISCOUNTS)


def g1_msm(data: bytes, fork: Fork) -> bytes | None:
    """The sum of points times scalars; scalars need not be reduced."""
    if not data or len(data) % _G1_TERM:
        return None
    terms = _pieces(data, _G1_TERM)
    try:
        points = [_g1(term[:_G1], subgroup=True) for term in terms]
    except ValueError:
        return None
    scalars = [_scalar(term[_G1:]) for term in terms]
    return _encoded(_curve().G1Point.multiexp_unchecked(points, scalars))


def g2_msm_gas(data: bytes, fork: Fork) -> int:
    return _discounted(len(data) // _G2_TERM, _GAS_G2_MUL, G2_DISCOUNTS)


def g2_msm(data: bytes, fork: Fork) -> bytes | None:
    """The sum of points times scalars; scalars need not be reduced."""
    if not data or len(data) % _G2_TERM:
        return None
    terms = _pieces(data, _G2_TERM)
    try:
        points = [_g2(term[:_G2], subgroup=True) for term in terms]
    except ValueError:
        return None
    scalars = [_scalar(term[_G2:]) for term in terms]
    return _encoded(_curve().G2Point.multiexp_unchecked(points, scalars))


def pairing_gas(data: bytes, fork: Fork) -> int:
    return _GAS_PAIRING + _GAS_PAIRING_PAIR * (len(data) // _PAIR)


def pairing(data: bytes, fork: Fork) -> bytes | None:
    """1 when the product of the pairings is the identity, else 0."""
    if not data or len(data) % _PAIR:
        return None
    pairs = _pieces(data, _PAIR)
    try:
        g1s = [_g1(pair[:_G1], subgroup=True) for pair in pairs]
        g2s = [_g2(pair[_G1:], subgroup=True) for pair in pairs]
    except ValueError:
        return None
    return int(_curve().GT.pairing_check(g1s, g2s)).to_bytes(32, "big")


def map_fp_gas(data: bytes, fork: Fork) -> int:
    return 5_500


def map_fp(data: bytes, fork: Fork) -> bytes | None:
    """A field element mapped into the subgroup of G1."""
    if len(data) != 64:
        return None
    try:
        return _encoded(_curve().G1Point.map_from_fp_be(_compact(data)))
    except ValueError:
        return None


def map_fp2_gas(data: bytes, fork: Fork) -> int:
    return 23_800


def map_fp2(data: bytes, fork: Fork) -> bytes | None:
    """An element of the extension mapped into the subgroup of G2."""
    if len(data) != 128:
        return None
    try:
        return _encoded(_curve().G2Point.map_from_fp2_be(_compact(data)))
    except ValueError:
        return None
