"""Private keys and the signatures they make.

fastecdsa signs (RFC 6979: no randomness to get wrong); what it made is then
recovered with libsecp256k1 before it leaves, so that neither library is trusted alone.
"""

from secrets import token_bytes
from typing import Final

from fastecdsa import ecdsa
from fastecdsa.curve import secp256k1
from fastecdsa.keys import get_public_key

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import recover
from chain.errors import Fault, Reason, Rejected
from chain.types import Address, Hash

ORDER: Final = int(secp256k1.q)
KEY_BYTES: Final = 32


def new_private_key() -> bytes:
    """A private key of the operating system's randomness, uniform in [1, order)."""
    while True:
        key = token_bytes(KEY_BYTES)
        if 0 < int.from_bytes(key) < ORDER:
            return key


def check_private_key(private_key: bytes) -> None:
    """Rejected(BAD_KEYSTORE) unless it is 32 bytes in [1, order). The key is never in the text."""
    if len(private_key) != KEY_BYTES or not 0 < int.from_bytes(private_key) < ORDER:
        raise Rejected(Reason.BAD_KEYSTORE, "a private key is 32 bytes, from 1 to the order - 1")


def address_of(private_key: bytes) -> Address:
    """The account that `private_key` signs for: the hash of its public key, last 20 bytes."""
    check_private_key(private_key)
    point = get_public_key(int.from_bytes(private_key), secp256k1)
    return Address(keccak(int(point.x).to_bytes(32) + int(point.y).to_bytes(32))[12:])


def sign_hash(message_hash: Hash, private_key: bytes) -> tuple[int, int, int]:
    """`(y_parity, r, s)` with the low s (EIP-2). Fault when the signature does not recover."""
    address = address_of(private_key)
    r, s = ecdsa.sign(message_hash, int.from_bytes(private_key), secp256k1, prehashed=True)
    if s > ORDER // 2:
        s = ORDER - s
    for y_parity in (0, 1):
        if recover(message_hash, y_parity, r, s) == address:
            return y_parity, r, s
    raise Fault("the signature just made does not recover to its signer")
