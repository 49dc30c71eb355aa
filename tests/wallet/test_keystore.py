"""Keystores: they open with their password and with nothing else."""

import json
from hashlib import pbkdf2_hmac
from typing import Any, Literal

import pytest
from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from Crypto.Util.Padding import pad
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from wallet.keystore import (
    FILE_BYTES_MAX,
    LIGHT,
    STANDARD,
    Cost,
    decrypt_key,
    encrypt_key,
    keystore_address,
)
from wallet.signer import ORDER, address_of

KEYS = st.integers(min_value=1, max_value=ORDER - 1).map(lambda secret: secret.to_bytes(32))
CHEAP = Cost(n=2, r=1, p=1)
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


@settings(max_examples=25, deadline=None)
@given(KEYS, st.text(max_size=20))
def test_decrypting_inverts_encrypting(key: bytes, password: str) -> None:
    text = encrypt_key(key, password, CHEAP)
    assert decrypt_key(text, password) == key
    assert keystore_address(text) == address_of(key)


def test_a_key_under_the_standard_cost_opens_in_another_wallet() -> None:
    text = encrypt_key(KEY, "correct horse", STANDARD)
    assert Account.decrypt(text, "correct horse") == KEY
    parameters = json.loads(text)["crypto"]["kdfparams"]
    assert (parameters["n"], parameters["r"], parameters["p"]) == (262144, 8, 1)


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_a_key_of_another_wallet_opens_here(kdf: Literal["scrypt", "pbkdf2"]) -> None:
    made = Account.encrypt(KEY, "pass", kdf=kdf, iterations=4096)
    assert decrypt_key(json.dumps(made), "pass") == KEY


def test_a_key_of_version_1_opens() -> None:
    """AES-CBC under a hash of the derived key, as geth wrote it in 2014."""
    salt, iv = b"s" * 32, b"i" * 16
    derived = pbkdf2_hmac("sha256", b"pass", salt, 1000, 32)
    cipher = AES.new(keccak(derived[:16])[:16], AES.MODE_CBC, iv)
    ciphertext = cipher.encrypt(pad(KEY, 16))
    document = {
        "version": "1",
        "address": address_of(KEY).hex(),
        "Crypto": {
            "cipher": "aes-128-cbc",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "pbkdf2",
            "kdfparams": {"c": 1000, "dklen": 32, "prf": "hmac-sha256", "salt": salt.hex()},
            "mac": keccak(derived[16:] + ciphertext).hex(),
        },
    }
    assert decrypt_key(json.dumps(document), "pass") == KEY
    with pytest.raises(Rejected) as rejection:
        decrypt_key(json.dumps(document), "word")
    assert rejection.value.reason is Reason.WRONG_PASSWORD


def test_a_wallet_of_the_2014_sale_opens() -> None:
    """A seed under AES-CBC whose hash is the key; only the address tells a wrong password."""
    seed = b"ab" * 20
    iv, key = b"i" * 16, pbkdf2_hmac("sha256", b"pass", b"pass", 2000, 16)
    sealed = iv + AES.new(key, AES.MODE_CBC, iv).encrypt(pad(seed, 16))
    document = {"encseed": sealed.hex(), "ethaddr": address_of(keccak(seed)).hex()}
    assert decrypt_key(json.dumps(document), "pass") == keccak(seed)
    for password in ("word", "", "passs"):
        with pytest.raises(Rejected) as rejection:
            decrypt_key(json.dumps(document), password)
        assert rejection.value.reason is Reason.WRONG_PASSWORD


def _scrypt(password: str, salt: str) -> bytes:
    derived = scrypt(password, bytes.fromhex(salt), 32, CHEAP.n, CHEAP.r, CHEAP.p)  # type: ignore[arg-type]
    assert isinstance(derived, bytes)
    return derived


@pytest.mark.parametrize("size", [30, 31])
def test_a_key_whose_leading_zeros_were_dropped_opens_as_32_bytes(size: int) -> None:
    key = bytes(32 - size) + b"\x7f" * size
    document = json.loads(encrypt_key(key, "x", CHEAP))
    crypto = document["crypto"]
    derived = _scrypt("x", crypto["kdfparams"]["salt"])
    iv = bytes.fromhex(crypto["cipherparams"]["iv"])
    cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=iv)
    crypto["ciphertext"] = cipher.encrypt(key[32 - size :]).hex()
    crypto["mac"] = keccak(derived[16:] + bytes.fromhex(crypto["ciphertext"])).hex()
    assert decrypt_key(json.dumps(document), "x") == key


def test_two_files_of_one_key_share_nothing_secret() -> None:
    first, second = (json.loads(encrypt_key(KEY, "x", CHEAP)) for _ in range(2))
    assert first["crypto"]["ciphertext"] != second["crypto"]["ciphertext"]
    assert first["crypto"]["kdfparams"]["salt"] != second["crypto"]["kdfparams"]["salt"]
    assert first["id"] != second["id"]
    assert KEY.hex() not in json.dumps(first)


@pytest.mark.parametrize("password", ["", "passwor", "password ", "PASSWORD", "p\u00e4ssword"])
def test_a_wrong_password_is_refused(password: str) -> None:
    with pytest.raises(Rejected) as rejection:
        decrypt_key(encrypt_key(KEY, "password", CHEAP), password)
    assert rejection.value.reason is Reason.WRONG_PASSWORD


def test_a_damaged_ciphertext_is_refused() -> None:
    document = json.loads(encrypt_key(KEY, "x", CHEAP))
    sealed = document["crypto"]["ciphertext"]
    document["crypto"]["ciphertext"] = ("0" if sealed[0] != "0" else "1") + sealed[1:]
    with pytest.raises(Rejected) as rejection:
        decrypt_key(json.dumps(document), "x")
    assert rejection.value.reason is Reason.WRONG_PASSWORD


def test_a_file_that_names_another_address_is_refused() -> None:
    document = json.loads(encrypt_key(KEY, "x", CHEAP)) | {"address": "00" * 20}
    with pytest.raises(Rejected, match="another address") as rejection:
        decrypt_key(json.dumps(document), "x")
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def _edited(**changes: Any) -> str:
    document = json.loads(encrypt_key(KEY, "x", LIGHT))
    for path, value in changes.items():
        *sections, name = path.split("__")
        section = document
        for each in sections:
            section = section[each]
        if value is None:
            del section[name]
        else:
            section[name] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"crypto": []},
        {"version": 4},
        {"version": True},
        {"address": "xyz"},
        {"address": "00"},
        {"crypto__cipher": "aes-256-gcm"},
        {"crypto__ciphertext": None},
        {"crypto__ciphertext": "0"},
        {"crypto__mac": 5},
        {"crypto__mac": "00"},
        {"crypto__cipherparams": None},
        {"crypto__cipherparams__iv": "00"},
        {"crypto__kdf": "argon2"},
        {"crypto__kdf": ["scrypt"]},
        {"crypto__kdfparams": 1},
        {"crypto__kdfparams__salt": None},
        {"crypto__kdfparams__dklen": 16},
        {"crypto__kdfparams__dklen": 2**31},
        {"crypto__kdfparams__n": 3},
        {"crypto__kdfparams__n": 2**31},
        {"crypto__kdfparams__n": "4096"},
        {"crypto__kdfparams__r": 2**24},
        {"crypto__kdfparams__p": 2**30},
        {"crypto__kdfparams__p": 0},
        {"crypto__kdfparams__p": True},
        {"crypto__kdf": "pbkdf2"},
    ],
    ids=str,
)
def test_a_malformed_keystore_is_refused_before_costly_work(changes: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as rejection:
        decrypt_key(_edited(**changes), "x")
    assert rejection.value.reason is Reason.BAD_KEYSTORE


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '"x"', "[" * 20_000, " " * (FILE_BYTES_MAX + 1)]
)
def test_text_that_is_no_keystore_is_refused(text: str) -> None:
    with pytest.raises(Rejected) as rejection:
        decrypt_key(text, "x")
    assert rejection.value.reason is Reason.BAD_KEYSTORE


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_of_any_shape_is_refused_and_never_crashes(value: object) -> None:
    for document in (value, {"crypto": value, "version": 3}, {"encseed": value, "ethaddr": value}):
        with pytest.raises(Rejected) as rejection:
            decrypt_key(json.dumps(document), "x")
        assert rejection.value.reason is Reason.BAD_KEYSTORE
