"""Keys in every public form: keystores, phrases, derivation paths, checksummed addresses."""

import json
from hashlib import sha256
from typing import Any

import pytest

from chain.crypto.hd import ExtendedKey, derive_key, master_key, mnemonic_seed
from chain.errors import Reason, Rejected
from tests.support.conformance import samples
from wallet.addresses import checksum_address, parse_address
from wallet.keystore import decrypt_key
from wallet.mnemonic import decode_mnemonic, encode_mnemonic, english_words
from wallet.signer import address_of

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _load(suite: str, path: str) -> Any:
    return json.loads((samples(suite) / path).read_text())


def _root_text(key: ExtendedKey) -> str:
    """A root key as BIP-32 writes it: version, depth, parent and index 0, chain code, key."""
    payload = bytes.fromhex("0488ade4") + bytes(9) + key.chain_code + b"\0" + key.private_key
    payload += sha256(sha256(payload).digest()).digest()[:4]
    number, digits = int.from_bytes(payload), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return digits


def test_every_keystore_of_the_official_vectors_opens() -> None:
    cases = _load("basic-tests", "KeyStoreTests/basic_tests.json")
    assert cases
    for name, case in cases.items():
        text = json.dumps(case["json"])
        assert decrypt_key(text, case["password"]).hex() == case["priv"], name
        with pytest.raises(Rejected) as rejection:
            decrypt_key(text, case["password"] + "x")
        assert rejection.value.reason is Reason.WRONG_PASSWORD


def test_every_wallet_of_the_ethers_vectors_opens() -> None:
    cases = _load("crypto-vectors", "ethers/wallets.json")
    assert cases
    for case in cases:
        password = bytes.fromhex(case["password"][2:]).decode()
        key = decrypt_key(case["content"], password)
        assert checksum_address(address_of(key)) == case["address"], case["name"]


def test_every_account_of_the_ethers_vectors_has_its_checksummed_address() -> None:
    cases = _load("crypto-vectors", "ethers/accounts.json")
    assert len(cases) > 100
    for case in cases:
        address = parse_address(case["address"])
        assert checksum_address(address) == case["address"], case["name"]
        if case.get("privateKey"):
            assert address_of(bytes.fromhex(case["privateKey"][2:])) == address, case["name"]


def test_every_phrase_of_the_bip39_vectors_has_its_seed_and_root_key() -> None:
    languages = _load("crypto-vectors", "bip39/vectors.json")
    assert "english" in languages
    for language, cases in languages.items():
        for entropy, phrase, seed, root in cases:
            assert mnemonic_seed(phrase, "TREZOR").hex() == seed, (language, phrase)
            assert _root_text(master_key(bytes.fromhex(seed))) == root, (language, phrase)
            if language == "english":
                assert encode_mnemonic(bytes.fromhex(entropy)) == phrase
                assert decode_mnemonic(phrase).hex() == entropy


def test_the_english_words_are_the_published_ones() -> None:
    published = (samples("crypto-vectors") / "bip39/english.txt").read_text()
    assert tuple(published.split()) == english_words()


def test_every_node_of_the_ethers_mnemonics_is_derived() -> None:
    cases = _load("crypto-vectors", "ethers/mnemonics.json")
    nodes = 0
    for case in cases:
        phrase = bytes.fromhex(case["phrase"][2:]).decode()
        passphrase = bytes.fromhex(case["password"][2:]).decode()
        seed = mnemonic_seed(phrase, passphrase)
        assert "0x" + seed.hex() == case["seed"], case["name"]
        if case["locale"] == "en":
            assert "0x" + decode_mnemonic(phrase).hex() == case["entropy"], case["name"]
        root = master_key(seed)
        for node in case["nodes"]:
            key = derive_key(root, node["path"])
            assert "0x" + key.private_key.hex() == node["privateKey"], (case["name"], node["path"])
            assert "0x" + key.chain_code.hex() == node["chainCode"], (case["name"], node["path"])
            nodes += 1
    assert nodes > 1000
