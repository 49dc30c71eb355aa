"""Addition, multiplication and the pairing check on alt_bn128 (EIP-196, EIP-197, EIP-1108).

What is here, with bn254_curve, is the definition; where there is a compiler, native code does
the same twenty times as fast.
"""

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from chain.forks import Fork
from contracts.vm.frame import padded

if TYPE_CHECKING:
    from contracts.vm.native.curves.bn254 import Curve

_PAIR: Final = 192  # bytes: a point of G1 and one of G2


@cache
def _curve() -> ModuleType:
    # Imported when first needed: it prepares some constants.
    from contracts.vm.precompiles import bn254_curve

    return bn254_curve


@cache
def _native() -> "Curve | None":
    # So is this: its code is loaded, or compiled where the user's cache has none yet.
    from contracts.vm.native.curves.bn254 import load_curve
    from contracts.vm.native.objects import user_cache

    return load_curve(user_cache())


def add_gas(data: bytes, fork: Fork) -> int:
    return fork.gas_bn254_add


def add(data: bytes, fork: Fork) -> bytes | None:
    data = padded(data, 0, 128)
    native = _native()
    if native is not None:
        return native.add(data)
    try:
        a, b = _g1(data[:64]), _g1(data[64:])
    except ValueError:
        return None
    return _encoded(_curve().add(a, b))


def mul_gas(data: bytes, fork: Fork) -> int:
    return fork.gas_bn254_mul


def mul(data: bytes, fork: Fork) -> bytes | None:
    data = padded(data, 0, 96)
    native = _native()
    if native is not None:
        return native.multiply(data)
    try:
        point = _g1(data[:64])
    except ValueError:
        return None
    scalar = int.from_bytes(data[64:], "big")
    return bytes(64) if point is None else _encoded(_curve().multiply(point, scalar))


def pairing_gas(data: bytes, fork: Fork) -> int:
    return fork.gas_bn254_pairing + fork.gas_bn254_pairing_pair * (len(data) // _PAIR)


def pairing(data: bytes, fork: Fork) -> bytes | None:
    """1 when the product of the pairings is the identity, else 0."""
    if len(data) % _PAIR:
        return None
    native = _native()
    if native is not None:
        one = native.pairing_is_one(data)
        return None if one is None else int(one).to_bytes(32, "big")
    pairs = []
    try:
        for start in range(0, len(data), _PAIR):
            p, q = _g1(data[start : start + 64]), _g2(data[start + 64 : start + _PAIR])
            # With infinity on one side the pairing is 1, a factor that changes nothing.
            if p is not None and q is not None:
                pairs.append((p, q))
    except ValueError:
        return None
    return int(_curve().pairing_is_one(pairs)).to_bytes(32, "big")


def _coordinates(data: bytes) -> list[Any]:
    """Field elements of 32 bytes each; raises ValueError when one is not reduced."""
    prime = _curve().P
    values = [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)]
    if max(values) >= prime:
        raise ValueError("coordinate is not below the field's prime")
    return [prime.__class__(value) for value in values]


def _g1(data: bytes) -> Any:
    """A point of the curve, None for infinity; ValueError when it is neither.

    Its group has no cofactor, so being on the curve is enough.
    """
    x, y = _coordinates(data)
    if x == y == 0:
        return None
    if not _curve().is_on_curve(x, y):
        raise ValueError("point is not on the curve")
    return x, y


def _g2(data: bytes) -> Any:
    """A point of the right subgroup of the twist; imaginary parts come first."""
    x_i, x_r, y_i, y_r = _coordinates(data)
    if x_i == x_r == y_i == y_r == 0:
        return None
    point = ((x_r, x_i), (y_r, y_i))
    if not _curve().is_in_twist_group(point):
        raise ValueError("point is not in the subgroup")
    return point


def _encoded(point: Any) -> bytes:
    if point is None:
        return bytes(64)
    return b"".join(int(number).to_bytes(32, "big") for number in point)
