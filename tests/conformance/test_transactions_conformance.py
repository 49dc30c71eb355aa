"""Transactions against public vectors: every refusal, hash, sender and signature."""

import json
from typing import Any

import pytest

from chain import forks
from chain.errors import Rejected
from chain.transactions import Transaction, build_transaction, decode_transaction, sign_transaction
from chain.types import Address, Hash
from chain.validation import check_transaction, check_transactions, intrinsic_gas
from tests.support.conformance import samples

FORKS = {
    "Frontier": forks.FRONTIER,
    "Homestead": forks.HOMESTEAD,
    "EIP150": forks.TANGERINE_WHISTLE,
    "EIP158": forks.SPURIOUS_DRAGON,
    "Byzantium": forks.BYZANTIUM,
    "Constantinople": forks.CONSTANTINOPLE,
    "ConstantinopleFix": forks.PETERSBURG,
    "Istanbul": forks.ISTANBUL,
    "Berlin": forks.BERLIN,
    "London": forks.LONDON,
    "Paris": forks.PARIS,
    "Shanghai": forks.SHANGHAI,
    "Cancun": forks.CANCUN,
}
MAINNET = 1
VARIANTS = {  # of one transaction in the vectors: our kind and the name of its price
    "Legacy": 0,
    "Eip155": 0,
    "Berlin": 1,
    "London": 2,
    "Cancun": 3,
}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _number(value: str | int) -> int:
    return int(value, 0) if isinstance(value, str) else value


def _judge(raw: bytes, fork: forks.Fork) -> dict[str, str] | None:
    """What the vectors want of a good transaction; None when it is refused."""
    try:
        transaction = decode_transaction(raw)
        checked = check_transaction(transaction, fork, MAINNET)
    except Rejected:
        return None
    assert check_transactions([transaction], fork, MAINNET) == [checked]
    return {
        "hash": f"0x{transaction.hash.hex()}",
        "sender": f"0x{checked.sender.hex()}",
        "intrinsicGas": f"{intrinsic_gas(transaction, fork):#x}",
    }


def test_every_sample_is_accepted_or_refused_as_it_should_be_in_every_fork() -> None:
    count = 0
    for path in sorted(samples("transaction-tests").rglob("*.json")):
        for name, case in json.loads(path.read_text()).items():
            for fork, expected in case["result"].items():
                found = _judge(_bytes(case["txbytes"]), FORKS[fork])
                if "exception" in expected:
                    assert found is None, (path.name, name, fork)
                else:
                    wanted = expected | {"intrinsicGas": f"{int(expected['intrinsicGas'], 16):#x}"}
                    assert found == wanted, (path.name, name, fork)
                count += 1
    assert count >= 925


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_signed_sample_is_made_and_read_to_the_byte(variant: str) -> None:
    """Given fields and a key, then building and signing give the known bytes (RFC 6979)."""
    cases = json.loads((samples("crypto-vectors") / "ethers/transactions.json").read_text())
    made = 0
    for case in cases:
        if not case.get(f"signed{variant}"):
            continue  # without a chain id there is no such form
        signed = sign_transaction(
            _unsigned(case["transaction"], variant), _bytes(case["privateKey"])
        )
        assert signed.raw.hex() == case[f"signed{variant}"][2:], case["name"]
        assert decode_transaction(signed.raw) == signed, case["name"]
        signature = case[f"signature{variant}"]
        assert (signed.r, signed.s) == (_number(signature["r"]), _number(signature["s"]))
        made += 1
    assert made > 100


def _unsigned(fields: dict[str, Any], variant: str) -> Transaction:
    kind = VARIANTS[variant]
    fee = fields.get("maxFeePerGas" if kind >= 2 else "gasPrice", 0)
    changes: dict[str, Any] = {}
    if kind >= 1:
        changes["access_list"] = tuple(
            (
                Address(_bytes(entry["address"])),
                tuple(Hash(_bytes(k)) for k in entry["storageKeys"]),
            )
            for entry in fields.get("accessList", [])
        )
    if kind >= 2:
        changes["max_priority_fee"] = _number(fields.get("maxPriorityFeePerGas", 0))
    if kind == 3:
        changes["max_blob_fee"] = _number(fields.get("maxFeePerBlobGas", 0))
        changes["blob_hashes"] = [
            Hash(_bytes(each)) for each in fields.get("blobVersionedHashes", [])
        ]
    return build_transaction(
        kind=kind,
        chain_id=None if variant == "Legacy" else _number(fields.get("chainId", 0)),
        nonce=_number(fields.get("nonce", 0)),
        gas_limit=_number(fields.get("gasLimit", 0)),
        max_fee=_number(fee),
        to=Address(_bytes(fields["to"])) if fields.get("to") else None,
        value=_number(fields.get("value", 0)),
        data=_bytes(fields.get("data", "0x")),
        **changes,
    )
