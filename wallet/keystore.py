"""One private key under a password: the Web3 Secret Storage format.

Written: version 3 with scrypt and AES-128-CTR, as geth and every other wallet reads it.
Read as well: PBKDF2, version 1 (AES-CBC), and the sale wallets of 2014.
Source: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage/
"""

import json
from hashlib import pbkdf2_hmac
from hmac import compare_digest
from secrets import token_bytes
from typing import Any, Final
from uuid import UUID

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from Crypto.Util.Padding import unpad
from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.types import Address
from wallet.signer import address_of, check_private_key

FILE_BYTES_MAX: Final = 64 * 1024

_SCRYPT_MEMORY_BYTES_MAX: Final = 2**30
_SCRYPT_WORK_MAX: Final = 2**26  # n * r * p; the standard cost is 2**21, about half a second
_PBKDF2_ROUNDS_MAX: Final = 20_000_000
_DERIVED_BYTES_MAX: Final = 256
_KEY_BYTES: Final = 32
_MAC_BYTES: Final = 32
_IV_BYTES: Final = 16
_SALE_ROUNDS: Final = 2000


class Cost(Struct, frozen=True):
    """What one guess of the password costs: scrypt's parameters (RFC 7914)."""

    n: int  # a power of two; memory is 128 * n * r bytes
    r: int
    p: int


STANDARD: Final = Cost(n=2**18, r=8, p=1)  # 256 MiB and about half a second; geth's default
LIGHT: Final = Cost(n=2**12, r=8, p=6)  # 4 MiB; geth's --lightkdf, for tests and small devices


def encrypt_key(private_key: bytes, password: str, cost: Cost = STANDARD) -> str:
    """The JSON text of a version 3 keystore that holds `private_key` under `password`."""
    check_private_key(private_key)
    salt, iv = token_bytes(32), token_bytes(_IV_BYTES)
    derived = _scrypt(password.encode(), salt, cost, 32)
    ciphertext = _aes_ctr(derived[:16], iv, private_key)
    document = {
        "address": address_of(private_key).hex(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "ciphertext": ciphertext.hex(),
            "cipherparams": {"iv": iv.hex()},
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": cost.n, "p": cost.p, "r": cost.r, "salt": salt.hex()},
            "mac": keccak(derived[16:32] + ciphertext).hex(),
        },
        "id": str(UUID(bytes=token_bytes(16), version=4)),
        "version": 3,
    }
    return json.dumps(document)


def decrypt_key(text: str, password: str) -> bytes:
    """The 32-byte private key in a keystore's JSON text.

    Rejected(BAD_KEYSTORE) for text that is no keystore, costs beyond reason, or a key
    that does not belong to the file's address; Rejected(WRONG_PASSWORD) when the MAC
    does not hold (a damaged ciphertext looks the same).
    """
    document = _parse(text)
    if "encseed" in document:
        key = _decrypt_sale(document, password)
    else:
        key = _decrypt_versioned(document, password)
    key = key.rjust(_KEY_BYTES, b"\0")  # some writers dropped leading zeros
    check_private_key(key)
    claimed = _address(document)
    if claimed is not None and claimed != address_of(key):
        raise _bad("the key in it belongs to another address than the file says")
    return key


def keystore_address(text: str) -> Address | None:
    """The address that a keystore names in the clear; None when it names none.

    Rejected(BAD_KEYSTORE) when `text` is not a keystore.
    """
    return _address(_parse(text))


def _decrypt_versioned(document: dict[str, Any], password: str) -> bytes:
    version = document.get("version")
    crypto = document.get("crypto", document.get("Crypto"))
    if not isinstance(crypto, dict):
        raise _bad("it has no crypto section")
    cipher = crypto.get("cipher")
    first_version = version in (1, "1") and cipher in ("aes-128-cbc", None)
    if not first_version and (version != 3 or cipher != "aes-128-ctr"):
        raise _bad(f"version {version!r} with cipher {cipher!r} is not known")
    ciphertext, mac = _hex(crypto, "ciphertext"), _hex(crypto, "mac")
    parameters = crypto.get("cipherparams")
    if not isinstance(parameters, dict):
        raise _bad("it has no cipherparams")
    iv = _hex(parameters, "iv")
    if len(iv) != _IV_BYTES or len(mac) != _MAC_BYTES:
        raise _bad(f"its iv must be {_IV_BYTES} bytes and its mac {_MAC_BYTES}")
    derived = _derive(crypto, password.encode())
    if not compare_digest(keccak(derived[16:32] + ciphertext), mac):
        raise Rejected(Reason.WRONG_PASSWORD, "the password does not open this key")
    if first_version:
        plain = _aes_cbc(keccak(derived[:16])[:16], iv, ciphertext)
    else:
        plain = _aes_ctr(derived[:16], iv, ciphertext)
    if not 0 < len(plain) <= _KEY_BYTES:
        raise _bad(f"it holds {len(plain)} bytes, not a private key")
    return plain


def _derive(crypto: dict[str, Any], password: bytes) -> bytes:
    kdf, parameters = crypto.get("kdf"), crypto.get("kdfparams")
    if not isinstance(parameters, dict):
        raise _bad("it has no kdfparams")
    salt = _hex(parameters, "salt")
    size = _integer(parameters, "dklen")
    if not _KEY_BYTES <= size <= _DERIVED_BYTES_MAX:
        raise _bad(f"its dklen must be {_KEY_BYTES} to {_DERIVED_BYTES_MAX}")
    if kdf == "scrypt":
        cost = Cost(*(_integer(parameters, name) for name in ("n", "r", "p")))
        return _scrypt(password, salt, cost, size)
    if kdf == "pbkdf2":
        if parameters.get("prf", "hmac-sha256") != "hmac-sha256":
            raise _bad("its prf is not hmac-sha256")
        rounds = _integer(parameters, "c")
        if rounds > _PBKDF2_ROUNDS_MAX:
            raise _bad(f"{rounds} rounds of PBKDF2 are beyond reason")
        return pbkdf2_hmac("sha256", password, salt, rounds, size)
    raise _bad(f"its kdf {kdf!r} is not known (scrypt, pbkdf2)")


def _decrypt_sale(document: dict[str, Any], password: str) -> bytes:
    """The key of a wallet of the 2014 sale: the hash of a seed under AES-CBC.

    It has no MAC; a wrong password shows in the padding or in the address.
    """
    sealed = _hex(document, "encseed")
    iv, ciphertext = sealed[:_IV_BYTES], sealed[_IV_BYTES:]
    if not ciphertext or len(ciphertext) % _IV_BYTES or _address(document) is None:
        raise _bad("its encseed or ethaddr is damaged")
    secret = password.encode()
    derived = pbkdf2_hmac("sha256", secret, secret, _SALE_ROUNDS, 16)
    try:
        seed = _aes_cbc(derived, iv, ciphertext)
        key = bytes(keccak(seed))
    except Rejected as error:
        raise Rejected(Reason.WRONG_PASSWORD, "the password does not open this key") from error
    if address_of(key) != _address(document):
        raise Rejected(Reason.WRONG_PASSWORD, "the password does not open this key")
    return key


def _scrypt(password: bytes, salt: bytes, cost: Cost, size: int) -> bytes:
    # pycryptodome, because OpenSSL refuses r = 1 with a large n, which old files have.
    if cost.n < 2 or cost.n & (cost.n - 1) or min(cost.r, cost.p) < 1:
        raise _bad("scrypt's n must be a power of two, r and p positive")
    if (
        128 * cost.n * cost.r > _SCRYPT_MEMORY_BYTES_MAX
        or cost.n * cost.r * cost.p > _SCRYPT_WORK_MAX
    ):
        raise _bad(f"scrypt with n={cost.n}, r={cost.r}, p={cost.p} is beyond reason")
    derived = scrypt(password, salt, size, cost.n, cost.r, cost.p)  # type: ignore[arg-type]
    assert isinstance(derived, bytes)
    return derived


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(data)


def _aes_cbc(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    try:
        return unpad(AES.new(key, AES.MODE_CBC, iv).decrypt(ciphertext), AES.block_size)
    except ValueError as error:
        raise _bad("its ciphertext is not whole blocks with padding") from error


def _parse(text: str) -> dict[str, Any]:
    if len(text) > FILE_BYTES_MAX:
        raise _bad(f"it is larger than {FILE_BYTES_MAX} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad("it is not JSON") from error
    if not isinstance(document, dict) or not {"crypto", "Crypto", "encseed"} & document.keys():
        raise _bad("it has neither a crypto section nor an encseed")
    return document


def _address(document: dict[str, Any]) -> Address | None:
    name = "ethaddr" if "encseed" in document else "address"
    if document.get(name) in (None, ""):
        return None
    address = _hex(document, name)
    if len(address) != 20:
        raise _bad(f"its {name} is not 20 bytes")
    return Address(address)


def _hex(section: dict[str, Any], name: str) -> bytes:
    value = section.get(name)
    if isinstance(value, str):
        try:
            return bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            value = None  # reported below, with every other wrong value
    raise _bad(f"its {name} is not hexadecimal")


def _integer(section: dict[str, Any], name: str) -> int:
    value = section.get(name)
    if type(value) is not int or not 0 < value < 2**32:
        raise _bad(f"its {name} is not a positive integer")
    return value


def _bad(detail: str) -> Rejected:
    return Rejected(Reason.BAD_KEYSTORE, f"not a usable keystore: {detail}")
