"""ECDSA over secp256k1 as Ethereum uses it: sign, verify, recover the signer.

Scalars are integers, hashes 32 bytes, public keys the 64 bytes of x and y. All of it
runs in libsecp256k1 (through coincurve), which is constant time where keys are
secret. Sources: SEC 1, RFC 6979, Yellow Paper appendix F.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from chain.crypto import batch
from chain.crypto.batch import ORDER, Signed
from chain.crypto.keccak import keccak
from chain.types import Address

__all__ = [
    "HALF_ORDER",
    "ORDER",
    "Signed",
    "address_of",
    "address_of_public_key",
    "public_key_of",
    "recover",
    "recover_many",
    "recover_public_key",
    "recover_stream",
    "sign",
    "verify",
]

HALF_ORDER: Final = ORDER // 2  # the largest low s (EIP-2)

_CONTEXT: Final = GLOBAL_CONTEXT.ctx
_UNCOMPRESSED: Final = 2  # SECP256K1_EC_UNCOMPRESSED


def sign(message_hash: bytes, private_key: bytes) -> tuple[int, int, int]:
    """`(y_parity, r, s)` with the low s; the nonce is that of RFC 6979.

    Raises ValueError unless the hash and the key have 32 bytes and the key is in [1, order).
    """
    if len(message_hash) != 32 or len(private_key) != 32:
        raise ValueError("a hash and a private key have 32 bytes")
    signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    # Without coincurve's PrivateKey, which finds the public key first: that takes as long again.
    if not lib.secp256k1_ecdsa_sign_recoverable(
        _CONTEXT, signature, message_hash, private_key, ffi.NULL, ffi.NULL
    ):
        raise ValueError("the private key is not in [1, order)")
    compact, parity = ffi.new("unsigned char [64]"), ffi.new("int *")
    lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(
        _CONTEXT, compact, parity, signature
    )
    scalars = bytes(ffi.buffer(compact))
    return parity[0], int.from_bytes(scalars[:32], "big"), int.from_bytes(scalars[32:], "big")


def public_key_of(private_key: bytes) -> bytes:
    """The public key, 64 bytes. Raises ValueError as `sign` does."""
    if len(private_key) != 32:
        raise ValueError("a private key has 32 bytes")
    public: bytes = PrivateKey(private_key).public_key.format(compressed=False)
    return public[1:]


def address_of(private_key: bytes) -> Address:
    """The account of a private key. Raises ValueError as `sign` does."""
    return address_of_public_key(public_key_of(private_key))


def address_of_public_key(public_key: bytes) -> Address:
    """The account of a public key of 64 bytes."""
    return Address(keccak(public_key)[12:])


def verify(message_hash: bytes, r: int, s: int, public_key: bytes) -> bool:
    """Whether the signature is that key's. Either form of s is right: EIP-2 is no matter here.

    False, too, for scalars out of [1, order) and for a key that is not a point.
    """
    if not (0 < r < ORDER and 0 < s < ORDER) or len(public_key) != 64 or len(message_hash) != 32:
        return False
    point = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_parse(_CONTEXT, point, b"\x04" + public_key, 65):
        return False
    signature = ffi.new("secp256k1_ecdsa_signature *")
    compact = r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")
    if not lib.secp256k1_ecdsa_signature_parse_compact(_CONTEXT, signature, compact):
        return False
    return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, signature, message_hash, point))


def recover_public_key(message_hash: bytes, y_parity: int, r: int, s: int) -> bytes | None:
    """The public key that made the signature, 64 bytes; None when there is none.

    Either form of s is taken: who demands the low one checks it (EIP-2).
    """
    if not (0 <= y_parity <= 1 and 0 < r < ORDER and 0 < s < ORDER) or len(message_hash) != 32:
        return None
    signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
        _CONTEXT, signature, compact, y_parity
    ):
        return None
    point = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ecdsa_recover(_CONTEXT, point, signature, message_hash):
        return None
    public_key = ffi.new("unsigned char [65]")
    size = ffi.new("size_t *", 65)
    lib.secp256k1_ec_pubkey_serialize(_CONTEXT, public_key, size, point, _UNCOMPRESSED)
    return bytes(ffi.buffer(public_key))[1:]


def recover(message_hash: bytes, y_parity: int, r: int, s: int) -> Address | None:
    """The account that made the signature; None when there is none."""
    public_key = recover_public_key(message_hash, y_parity, r, s)
    return None if public_key is None else Address(keccak(public_key)[12:])


def recover_many(items: Sequence[Signed]) -> list[Address | None]:
    """`recover` of each item, in order. Batches run in native code that frees the GIL."""
    kernels = batch.kernels(len(items))
    if kernels is not None:
        return kernels.recover_many(items)
    return [recover(*item) for item in items]


def recover_stream(batches: Iterable[Sequence[Signed]]) -> Iterator[list[Address | None]]:
    """`recover_many` of each batch, in order.

    From the second batch on, other threads work ahead of the caller, who may be busy
    with the results of the earlier ones.
    """
    upcoming = iter(batches)
    first = next(upcoming, None)
    second = next(upcoming, None)
    if first is None:
        return
    kernels = None if second is None else batch.kernels(max(len(first), len(second)))
    if second is None:
        yield recover_many(first)
    elif kernels is None:
        yield from map(recover_many, chain((first, second), upcoming))
    else:
        yield from kernels.recover_stream(chain((first, second), upcoming))
