"""Signed transactions of every kind, made without our own encoder."""

from typing import Any

import coincurve
import rlp
from Crypto.Hash import keccak as pycryptodome_keccak

from tests.differential.cases import CHAIN_ID


def _keccak(data: bytes) -> bytes:
    return bytes(pycryptodome_keccak.new(data=data, digest_bits=256).digest())


def address_of(key: bytes) -> bytes:
    """The address of a private key of 32 bytes."""
    public = coincurve.PrivateKey(key).public_key.format(compressed=False)
    return _keccak(public[1:])[12:]


def sign(key: bytes, digest: bytes) -> tuple[int, int, int]:
    """Parity, r and s over a digest of 32 bytes."""
    signature = coincurve.PrivateKey(key).sign_recoverable(digest, hasher=None)
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    return signature[64], r, s


Item = Any  # what rlp encodes: bytes, int, list


def legacy(key: bytes, fields: list[Item], *, protected: bool) -> bytes:
    """`fields`: nonce, gas price, gas, to, value, data; with or without EIP-155."""
    preimage = [*fields, CHAIN_ID, 0, 0] if protected else fields
    parity, r, s = sign(key, _keccak(rlp.encode(preimage)))
    v = parity + (35 + 2 * CHAIN_ID if protected else 27)
    return bytes(rlp.encode([*fields, v, r, s]))


def typed(key: bytes, kind: int, fields: list[Item]) -> bytes:
    """`fields` of an EIP-2718 envelope up to the signature."""
    parity, r, s = sign(key, _keccak(bytes((kind,)) + rlp.encode(fields)))
    return bytes((kind,)) + bytes(rlp.encode([*fields, parity, r, s]))


def authorization(key: bytes, chain_id: int, address: bytes, nonce: int) -> list[Item]:
    """A signed EIP-7702 tuple."""
    parity, r, s = sign(key, _keccak(b"\x05" + rlp.encode([chain_id, address, nonce])))
    return [chain_id, address, nonce, parity, r, s]
