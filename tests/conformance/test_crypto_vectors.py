"""Hashes, signatures, addresses, ABI and typed data against public vectors."""

import hashlib
import json
from typing import Any

import pytest

from chain import abi, codec
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak, keccak_many
from chain.errors import Reason, Rejected
from chain.forks import OSAKA
from chain.messages import typed_data_hash
from contracts.vm.precompiles.signatures import p256_verify
from tests.support.conformance import samples

WYCHEPROOF = (
    "ecdsa_secp256k1_sha256_bitcoin_test",
    "ecdsa_secp256k1_sha256_p1363_test",
    "ecdsa_secp256k1_sha256_test",
    "ecdsa_secp256k1_sha3_256_test",
)


def _load(path: str) -> Any:
    return json.loads((samples("crypto-vectors") / path).read_text())


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _from_der(signature: bytes) -> tuple[int, int] | None:
    """r and s of a strict DER signature; None for any other bytes."""
    numbers = []
    if len(signature) < 2 or signature[0] != 0x30 or signature[1] != len(signature) - 2:
        return None
    rest = signature[2:]
    while rest:
        size = rest[1] if len(rest) > 1 else 0
        body = rest[2 : 2 + size]
        if rest[0] != 0x02 or not 0 < size < 0x80 or len(body) != size:
            return None
        if size > 1 and (body[:1] == b"\0") and body[1] < 0x80:
            return None
        numbers.append(int.from_bytes(body, "big", signed=True))
        rest = rest[2 + size :]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _from_halves(signature: bytes) -> tuple[int, int] | None:
    if len(signature) != 64:
        return None
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


@pytest.mark.parametrize("name", WYCHEPROOF)
def test_every_wycheproof_signature_is_judged_right(name: str) -> None:
    """Given signatures good, broken and malleable; a good one also recovers to its key."""
    for group in _load(f"wycheproof/{name}.json")["testGroups"]:
        public_key = _bytes(group["publicKey"]["uncompressed"])[1:]
        digest = hashlib.new(group["sha"].lower().replace("-", "").replace("sha3256", "sha3_256"))
        for case in group["tests"]:
            hashed = digest.copy()
            hashed.update(_bytes(case["msg"]))
            read = _from_halves if "p1363" in name else _from_der
            scalars = read(_bytes(case["sig"]))
            right = scalars is not None and secp256k1.verify(hashed.digest(), *scalars, public_key)
            if group["type"] == "EcdsaBitcoinVerify" and scalars is not None:
                right = right and scalars[1] <= secp256k1.HALF_ORDER
            assert right == (case["result"] == "valid"), (name, case["tcId"], case["comment"])
            # A smaller r may be that of a point with x = r + order, which Ethereum never recovers.
            if right and scalars is not None and scalars[0] >= 2**129:
                keys = {
                    secp256k1.recover_public_key(hashed.digest(), parity, *scalars)
                    for parity in (0, 1)
                }
                assert public_key in keys, (name, case["tcId"])


@pytest.mark.parametrize(
    "name", ["ecdsa_secp256r1_sha256_p1363_test", "ecdsa_secp256r1_sha256_test"]
)
def test_every_wycheproof_signature_over_p256_is_judged_right(name: str) -> None:
    """Given the precompile's input made of the scalars and the key (EIP-7951)."""
    for group in _load(f"wycheproof/{name}.json")["testGroups"]:
        public_key = _bytes(group["publicKey"]["uncompressed"])[1:]
        for case in group["tests"]:
            scalars = (_from_halves if "p1363" in name else _from_der)(_bytes(case["sig"]))
            right = False
            if scalars is not None and all(0 <= scalar < 2**256 for scalar in scalars):
                words = b"".join(scalar.to_bytes(32, "big") for scalar in scalars)
                digest = hashlib.sha256(_bytes(case["msg"])).digest()
                right = p256_verify(digest + words + public_key, OSAKA) != b""
            assert right == (case["result"] == "valid"), (name, case["tcId"], case["comment"])


def test_every_sample_is_hashed() -> None:
    cases = _load("ethers/hashes.json")
    assert cases
    messages = [_bytes(case["data"]) for case in cases]
    expected = [_bytes(case["keccak256"]) for case in cases]
    assert [keccak(message) for message in messages] == expected
    assert keccak_many(messages * 3) == expected * 3


def test_every_created_contracts_address_is_right() -> None:
    for case in _load("ethers/create.json"):
        for created in case["creates"]:
            preimage = codec.encode([_bytes(case["sender"]), codec.int_bytes(created["nonce"])])
            assert keccak(preimage)[12:] == _bytes(created["address"]), created["name"]
    for case in _load("ethers/create2.json"):
        for created in case["creates"]:
            code_hash = keccak(_bytes(created["initCode"]))
            assert code_hash == _bytes(created["initCodeHash"])
            preimage = b"\xff" + _bytes(case["sender"]) + _bytes(created["salt"]) + code_hash
            assert keccak(preimage)[12:] == _bytes(created["address"]), created["name"]


def _value(verbose: dict[str, Any]) -> Any:
    kind, value = verbose["type"], verbose["value"]
    if kind in ("object", "array"):
        return tuple(_value(each) for each in value)
    if kind == "number":
        return int(value)
    return _bytes(value) if kind in ("address", "hexstring") else value


def test_every_abi_sample_is_encoded_and_decoded() -> None:
    cases = _load("ethers/abi.json")
    assert cases
    for case in cases:
        value, encoded = _value(case["verbose"]), _bytes(case["encoded"])
        assert abi.encode([case["type"]], [value]) == encoded, case["name"]
        assert abi.decode([case["type"]], encoded) == (value,), case["name"]


def test_every_official_abi_sample_is_encoded() -> None:
    samples_of = samples("basic-tests") / "ABITests/basic_abi_tests.json"
    for name, case in json.loads(samples_of.read_text()).items():
        values = [
            _bytes(value)
            if kind == "address"
            else value.encode()
            if kind.startswith("bytes")
            else value
            for kind, value in zip(case["types"], case["args"], strict=True)
        ]
        assert abi.encode(case["types"], values).hex() == case["result"], name


def _from_text(kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_from_text(kind[: kind.rindex("[")], each) for each in value]
    if kind.startswith(("int", "uint")):
        return int(value, 0) if isinstance(value, str) else value
    return _bytes(value) if kind.startswith(("bytes", "address")) else value


def test_every_packed_sample_is_hashed() -> None:
    cases = _load("ethers/solidity-hashes.json")
    assert cases
    for case in cases:
        values = [_from_text(*pair) for pair in zip(case["types"], case["values"], strict=True)]
        packed = abi.encode_packed(case["types"], values)
        assert keccak(packed) == _bytes(case["keccak256"]), case["name"]


def test_every_typed_data_sample_of_ethers_is_hashed() -> None:
    cases = _load("ethers/typed-data.json")
    assert cases
    for case in cases:
        typed = {
            "types": case["types"],
            "primaryType": case["primaryType"],
            "domain": case["domain"],
            "message": case["data"],
        }
        assert typed_data_hash(typed) == _bytes(case["digest"]), case["name"]


@pytest.mark.parametrize("name", ["valid_for_all", "valid_py_and_ethers", "valid_py_and_metamask"])
def test_good_typed_data_of_eth_account_is_hashed_as_it_does(name: str) -> None:
    messages = pytest.importorskip("eth_account.messages")
    for case, typed in _load(f"eth-account/{name}.json").items():
        signable = messages.encode_typed_data(full_message=typed)
        expected = keccak(b"\x19" + signable.version + signable.header + signable.body)
        assert typed_data_hash(typed) == expected, case


@pytest.mark.parametrize("name", ["invalid", "one_arg_invalid"])
def test_bad_typed_data_of_eth_account_is_refused(name: str) -> None:
    for case, typed in _load(f"eth-account/{name}.json").items():
        with pytest.raises(Rejected) as caught:
            typed_data_hash(typed)
        assert caught.value.reason is Reason.BAD_TYPED_DATA, case
