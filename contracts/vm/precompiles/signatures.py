"""ECRECOVER (Yellow Paper, appendix E) and P256VERIFY (EIP-7951)."""

from typing import Final

from chain.crypto import secp256k1
from chain.forks import Fork
from chain.types import Hash
from contracts.vm.frame import padded

_P256_INPUT: Final = 160  # hash, r, s, x, y


def recover_gas(data: bytes, fork: Fork) -> int:
    return 3_000


def recover(data: bytes, fork: Fork) -> bytes:
    """The signer's address in a word; nothing, but no failure, for a bad signature."""
    data = padded(data, 0, 128)
    v = int.from_bytes(data[32:64], "big")
    if v not in (27, 28):
        return b""
    r, s = int.from_bytes(data[64:96], "big"), int.from_bytes(data[96:128], "big")
    address = secp256k1.recover(Hash(data[:32]), v - 27, r, s)
    return b"" if address is None else bytes(12) + address


def p256_gas(data: bytes, fork: Fork) -> int:
    return 6_900


def p256_verify(data: bytes, fork: Fork) -> bytes:
    """A one in a word when the signature is right, else nothing; it never fails."""
    if len(data) != _P256_INPUT:
        return b""
    digest, r, s, x, y = (int.from_bytes(data[i : i + 32], "big") for i in range(0, 160, 32))
    return (1).to_bytes(32, "big") if _p256_verify(digest, r, s, x, y) else b""


def _p256_verify(digest: int, r: int, s: int, x: int, y: int) -> bool:
    from fastecdsa.curve import P256
    from fastecdsa.point import Point  # type: ignore[attr-defined]

    order, prime = P256.q, P256.p
    if not (0 < r < order and 0 < s < order and x < prime and y < prime):
        return False
    # Also refuses (0, 0), the encoding of infinity, which is not on the curve.
    if (y * y - (x * x * x + P256.a * x + P256.b)) % prime:
        return False
    inverse = pow(s, -1, order)
    u1, u2 = digest * inverse % order, r * inverse % order
    point = Point(x, y, P256) * u2
    if u1:
        point = P256.G * u1 + point
    # Infinity has x = 0 here, which no r equals.
    return bool(point.x % order == r)
