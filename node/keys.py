"""The keys a node holds: its validator's own, and a developer ledger's funded accounts."""

import os
import secrets
from pathlib import Path
from typing import Final

from chain.crypto.hd import derive_keys
from chain.crypto.secp256k1 import address_of
from chain.errors import Fault, Reason, Rejected
from chain.types import Address

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # secp256k1


def dev_accounts(mnemonic: str, count: int) -> dict[Address, bytes]:
    """Address to private key of the first `count` accounts of a phrase, in order."""
    return {address_of(key): key for key in derive_keys(mnemonic, count)}


def new_key() -> bytes:
    """A fresh private key from the operating system's randomness."""
    return (secrets.randbelow(_ORDER - 1) + 1).to_bytes(32, "big")


def load_key(path: Path) -> bytes:
    """The private key in a file of 64 hex digits; Rejected(BAD_KEYSTORE) when it holds none."""
    try:
        text = path.read_text(encoding="ascii").strip().removeprefix("0x")
        key = bytes.fromhex(text)
    except OSError as error:
        raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error
    except ValueError:
        raise Rejected(Reason.BAD_KEYSTORE, f"{path} does not hold a key in hex") from None
    if len(key) != 32 or not 0 < int.from_bytes(key, "big") < _ORDER:
        raise Rejected(Reason.BAD_KEYSTORE, f"{path} does not hold a secp256k1 key")
    return key


def create_key(path: Path, key: bytes | None = None) -> bytes:
    """Write a key, by default a fresh one, readable by its owner only; one that is there stays.

    Gives the key that the file holds afterwards.
    """
    key = key or new_key()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, key.hex().encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
    except FileExistsError:
        return load_key(path)
    except OSError as error:
        raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error
    return key
