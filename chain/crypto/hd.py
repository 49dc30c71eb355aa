"""Keys from words: BIP-39 seeds and BIP-32 derivation of private keys.

Words are not checked here (a seed is defined for any phrase); `wallet.mnemonic`
checks spelling and checksum of phrases that people type.
"""

import hmac
import unicodedata
from hashlib import pbkdf2_hmac
from typing import Final

from fastecdsa.curve import secp256k1
from fastecdsa.keys import get_public_key
from msgspec import Struct

from chain.errors import Reason, Rejected

ETHEREUM_PATH: Final = "m/44'/60'/0'/0"  # BIP-44, coin 60: the parent of accounts 0, 1, 2, ...

HARDENED: Final = 2**31  # added to an index written with ' in a path

_ORDER: Final = int(secp256k1.q)
_SEED_ROUNDS: Final = 2048  # PBKDF2 iterations of BIP-39
_DEPTH_MAX: Final = 255  # the depth is one byte in BIP-32


class ExtendedKey(Struct, frozen=True):
    """A private key together with the chain code its children are derived with (BIP-32)."""

    private_key: bytes  # 32 bytes, in [1, order)
    chain_code: bytes  # 32 bytes


def mnemonic_seed(mnemonic: str, passphrase: str = "") -> bytes:
    """The 64-byte seed of a phrase; both texts are taken in Unicode form NFKD (BIP-39)."""
    words = unicodedata.normalize("NFKD", mnemonic)
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase)
    return pbkdf2_hmac("sha512", words.encode(), salt.encode(), _SEED_ROUNDS)


def master_key(seed: bytes) -> ExtendedKey:
    """The root of the tree of keys of `seed` (BIP-32)."""
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    if not 0 < int.from_bytes(digest[:32]) < _ORDER:
        raise Rejected(Reason.BAD_KEYSTORE, "this seed has no master key; take another phrase")
    return ExtendedKey(digest[:32], digest[32:])


def child_key(parent: ExtendedKey, index: int) -> ExtendedKey:
    """Child `index` of `parent`; from HARDENED on it is a hardened child.

    Rejected(BAD_KEYSTORE) for an index beyond 2^32 - 1, or for one of the (about one
    in 2^127) indices that BIP-32 declares to have no key.
    """
    if not 0 <= index < 2 * HARDENED:
        raise Rejected(Reason.BAD_KEYSTORE, f"key index {index} does not fit 32 bits")
    secret = int.from_bytes(parent.private_key)
    if index >= HARDENED:
        origin = b"\0" + parent.private_key
    else:
        point = get_public_key(secret, secp256k1)
        origin = bytes((2 + (point.y & 1),)) + int(point.x).to_bytes(32)
    digest = hmac.digest(parent.chain_code, origin + index.to_bytes(4), "sha512")
    tweak = int.from_bytes(digest[:32])
    child = (tweak + secret) % _ORDER
    if tweak >= _ORDER or child == 0:
        raise Rejected(Reason.BAD_KEYSTORE, f"there is no key at index {index}; take the next")
    return ExtendedKey(child.to_bytes(32), digest[32:])


def parse_path(path: str) -> tuple[int, ...]:
    """Indices of a path such as m/44'/60'/0'/0/7; ' or h marks a hardened step.

    Rejected(BAD_KEYSTORE) when the text is not a path.
    """
    root, *steps = path.strip().split("/")
    if root != "m" or len(steps) > _DEPTH_MAX:
        raise Rejected(Reason.BAD_KEYSTORE, f"{path!r} is not a derivation path (m/44'/60'/...)")
    indices = []
    for step in steps:
        hardened = step[-1:] in ("'", "h", "H")
        digits = step[:-1] if hardened else step
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise Rejected(Reason.BAD_KEYSTORE, f"{step!r} is not a step of a derivation path")
        index = int(digits)
        if index >= HARDENED:
            raise Rejected(Reason.BAD_KEYSTORE, f"step {step!r} is 2^31 or more")
        indices.append(index + HARDENED * hardened)
    return tuple(indices)


def derive_key(root: ExtendedKey, path: str) -> ExtendedKey:
    """The descendant of `root` at `path`."""
    key = root
    for index in parse_path(path):
        key = child_key(key, index)
    return key


def derive_keys(
    mnemonic: str, count: int, path_prefix: str = ETHEREUM_PATH, *, passphrase: str = ""
) -> list[bytes]:
    """The private keys (32 bytes each) of accounts 0 to `count` - 1 of a phrase."""
    parent = derive_key(master_key(mnemonic_seed(mnemonic, passphrase)), path_prefix)
    return [child_key(parent, index).private_key for index in range(count)]
