"""The KZG point evaluation (EIP-4844).

Verifying one evaluation needs a single point of the ceremony's result: tau times
the generator of G2. What is here is the definition; native code has blst do the same.
"""

import hashlib
from functools import cache
from types import ModuleType
from typing import Any, Final

from chain.forks import Fork

_INPUT: Final = 192  # versioned hash, z, y, commitment, proof
_ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_IS_INFINITE: Final = 0x40  # in the first byte of a compressed point
_INFINITY: Final = b"\xc0" + bytes(47)
_FIELD_ELEMENTS_PER_BLOB: Final = 4_096
OUTPUT: Final = _FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + _ORDER.to_bytes(32, "big")

# Element 1 of `g2_monomial` in the result of the KZG ceremony of 2023.
TAU_G2: Final = bytes.fromhex(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d"
    "2914e5870cb452d2afaaab24f3499f72185cbfee53492714734429b7b38608e2"
    "3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
)


def gas(data: bytes, fork: Fork) -> int:
    return 50_000


def run(data: bytes, fork: Fork) -> bytes | None:
    if len(data) != _INPUT:
        return None
    commitment = data[96:144]
    if data[:32] != b"\x01" + hashlib.sha256(commitment).digest()[1:]:
        return None
    z, y = int.from_bytes(data[32:64], "big"), int.from_bytes(data[64:96], "big")
    if z >= _ORDER or y >= _ORDER:
        return None
    return OUTPUT if _verify(commitment, z, y, data[144:]) else None


def _is_canonical(point: bytes) -> bool:
    """Whether a point that claims to be infinity has nothing else to say: arkworks takes it so."""
    return not point[0] & _IS_INFINITE or point == _INFINITY


@cache
def _curve() -> ModuleType:
    import py_arkworks_bls12381

    return py_arkworks_bls12381


@cache
def _tau_g2() -> Any:
    return _curve().G2Point.from_compressed_bytes(TAU_G2)


def _verify(commitment: bytes, z: int, y: int, proof: bytes) -> bool:
    """Whether the committed polynomial is y at z: e(C - y, 1) = e(proof, tau - z).

    Brought to e(C - y + z proof, 1) e(-proof, tau) = 1, all multiples are in the smaller group.
    """
    curve = _curve()
    if not (_is_canonical(commitment) and _is_canonical(proof)):
        return False
    try:
        c = curve.G1Point.from_compressed_bytes(commitment)
        p = curve.G1Point.from_compressed_bytes(proof)
    except ValueError:
        return False
    minus_y, plus_z = (
        curve.Scalar.from_be_bytes((n % _ORDER).to_bytes(32, "big")) for n in (-y, z)
    )
    left = c + curve.G1Point() * minus_y + p * plus_z
    return bool(curve.GT.pairing_check([left, -p], [curve.G2Point(), _tau_g2()]))
