"""All accounts of a state, page by page; names of hashes; which accounts blocks changed."""

from base64 import b64decode
from typing import Any

import pytest

from chain.crypto.keccak import keccak
from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served

EMPTY = "0x" + keccak(b"").hex()


@pytest.fixture(scope="module")
def counter(served: Served) -> str:
    made: str = served.send(data=COUNTER_INITCODE)["contractAddress"]
    served.send(to=made, gas="0x30000")
    return made


def _hash(address: str) -> str:
    return "0x" + keccak(bytes.fromhex(address[2:])).hex()


def test_accounts_come_in_the_order_of_their_hashes(served: Served, counter: str) -> None:
    dump = served.call("debug_dumpBlock", "latest")
    block = served.call("eth_getBlockByNumber", "latest", False)
    assert dump["root"] == block["stateRoot"][2:]
    assert "next" not in dump
    keys = [account["key"] for account in dump["accounts"].values()]
    assert keys == sorted(keys)
    for address, account in dump["accounts"].items():
        assert (account["address"], account["key"]) == (address, _hash(address))
        assert int(account["balance"]) == int(served.call("eth_getBalance", address, "latest"), 16)
        assert account["nonce"] == int(
            served.call("eth_getTransactionCount", address, "latest"), 16
        )
    told = dump["accounts"][counter]
    proof = served.call("eth_getProof", counter, ["0x0"], "latest")
    assert (told["root"], told["codeHash"]) == (proof["storageHash"], proof["codeHash"])
    assert told["code"] == "0x" + COUNTER
    assert told["storage"] == {"0x" + "00" * 32: "01"}
    plain = dump["accounts"][SENDER]
    assert plain["codeHash"] == EMPTY
    assert not {"code", "storage"} & plain.keys()


def test_pages_lead_through_all_accounts(served: Served, counter: str) -> None:
    whole = served.call("debug_dumpBlock", "latest")["accounts"]
    start, seen = "0x", {}
    while True:
        page: dict[str, Any] = served.call("debug_accountRange", "latest", start, 3)
        assert len(page["accounts"]) <= 3
        seen |= page["accounts"]
        if "next" not in page:
            break
        start = "0x" + b64decode(page["next"]).hex()
    assert seen == whole


def test_code_and_storage_can_be_left_out(served: Served, counter: str) -> None:
    page = served.call("debug_accountRange", "latest", _hash(counter), 1, True, True)
    assert list(page["accounts"]) == [counter]
    assert not {"code", "storage"} & page["accounts"][counter].keys()
    wrong = served.refusal("debug_accountRange", "latest", "0x" + "00" * 33, 1)
    assert wrong.code == -32602


def test_a_hash_of_the_trie_has_a_name(served: Served, counter: str) -> None:
    assert served.call("debug_preimage", _hash(SENDER)) == SENDER
    assert served.call("debug_preimage", "0x" + keccak(bytes(32)).hex()) == "0x" + "00" * 32
    assert served.refusal("debug_preimage", "0x" + "77" * 32).message == "unknown preimage"


def test_which_accounts_blocks_changed(served: Served, counter: str) -> None:
    """Those of one block, or that differ between two; by number and by hash."""
    paid = served.send(to=OTHER, value="0x1")
    height = int(paid["blockNumber"], 16)
    changed = served.call("debug_getModifiedAccountsByNumber", paid["blockNumber"])
    assert {SENDER, OTHER} <= set(changed)
    assert counter not in changed
    assert [_hash(each) for each in changed] == sorted(map(_hash, changed))
    assert served.call("debug_getModifiedAccountsByHash", paid["blockHash"]) == changed
    called = served.send(to=counter, gas="0x30000")
    both = served.call("debug_getModifiedAccountsByNumber", hex(height - 1), called["blockNumber"])
    assert {SENDER, OTHER, counter} <= set(both)
    blocks = (paid["blockHash"], called["blockHash"])
    assert OTHER not in served.call("debug_getModifiedAccountsByHash", *blocks)
    assert counter in served.call("debug_getModifiedAccountsByHash", *blocks)


def test_ranges_that_are_none_are_refused(served: Served, counter: str) -> None:
    refused = served.refusal("debug_getModifiedAccountsByNumber", "0x2", "0x1")
    assert refused.message == "start block height (2) must be less than end block height (1)"
    for method, *params in (
        ("debug_getModifiedAccountsByNumber", "0x0"),
        ("debug_getModifiedAccountsByNumber", "0xffff"),
        ("debug_getModifiedAccountsByHash", "0x" + "77" * 32),
        ("debug_dumpBlock", "0xffff"),
        ("debug_accountRange", "0xffff", "0x", 5),
    ):
        assert served.refusal(method, *params).code == -32000
