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
    r, s = (int.from_bytes(data[i : i + 32], "big") for i in (32, 64))
    # The two numbers' range, and that the key is a point of the curve, are OpenSSL's to check.
    return (1).to_bytes(32, "big") if _p256_verify(data[:32], r, s, data[96:]) else b""


def _p256_verify(digest: bytes, r: int, s: int, key: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        SECP256R1,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.utils import (
        Prehashed,
        encode_dss_signature,
    )
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + key)
        point.verify(encode_dss_signature(r, s), digest, ECDSA(Prehashed(SHA256())))
    except (ValueError, InvalidSignature):
        return False
    return True
