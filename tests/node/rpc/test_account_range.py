"""All accounts of a state, page by page; names of hashes; which accounts blocks changed."""

from typing import Any

import pytest

from chain.crypto.keccak import keccak
from chain.types import Address
from node.rpc.formats import checksummed
from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served

EMPTY = "0x" + keccak(b"").hex()


@pytest.fixture(scope="module")
def counter(served: Served) -> str:
    made: str = served.send(data=COUNTER_INITCODE)["contractAddress"]
    served.send(to=made, gas="0x30000")
    return made


def _hash(address: str) -> str:
    return "0x" + keccak(bytes.fromhex(address[2:])).hex()


def _mixed(address: str) -> str:
    return checksummed(Address(bytes.fromhex(address[2:])))


def test_accounts_come_in_the_order_of_their_hashes(served: Served, counter: str) -> None:
    dump = served.call("debug_dumpBlock", "latest")
    block = served.call("eth_getBlockByNumber", "latest", False)
    assert dump["root"] == block["stateRoot"][2:]
    assert "next" not in dump
    keys = [account["key"] for account in dump["accounts"].values()]
    assert keys == sorted(keys)
    for name, account in dump["accounts"].items():
        address = account["address"]
        assert (name, account["key"]) == (_mixed(address), _hash(address))
        assert int(account["balance"]) == int(served.call("eth_getBalance", address, "latest"), 16)
        assert account["nonce"] == int(
            served.call("eth_getTransactionCount", address, "latest"), 16
        )
    told = dump["accounts"][_mixed(counter)]
    proof = served.call("eth_getProof", counter, ["0x0"], "latest")
    assert (told["root"], told["codeHash"]) == (proof["storageHash"], proof["codeHash"])
    assert told["code"] == "0x" + COUNTER
    assert told["storage"] == {"0x" + "00" * 32: "01"}
    plain = dump["accounts"][_mixed(SENDER)]
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
        start = page["next"]
    assert seen == whole


def test_code_and_storage_can_be_left_out(served: Served, counter: str) -> None:
    page = served.call("debug_accountRange", "latest", _hash(counter), 1, True, True)
    assert list(page["accounts"]) == [_mixed(counter)]
    assert not {"code", "storage"} & page["accounts"][_mixed(counter)].keys()
    behind = served.call("debug_accountRange", "latest", _hash(counter) + "00", 1)
    assert _mixed(counter) not in behind["accounts"]


def test_a_hash_of_the_trie_has_a_name(served: Served, counter: str) -> None:
    assert served.call("debug_preimage", _hash(SENDER)) == SENDER
    assert served.call("debug_preimage", "0x" + keccak(bytes(32)).hex()) == "0x" + "00" * 32
    assert served.refusal("debug_preimage", "0x" + "77" * 32).message == "unknown preimage"


def test_which_accounts_blocks_changed(served: Served, counter: str) -> None:
    """Those of one block, or that differ between two; by number and by hash."""
    paid = served.send(to=OTHER, value="0x1")
    height = int(paid["blockNumber"], 16)
    changed = served.call("debug_getModifiedAccountsByNumber", height)
    assert served.call("debug_getModifiedAccountsByNumber", paid["blockNumber"]) == changed
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


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        (
            "debug_getModifiedAccountsByNumber",
            [2, 1],
            "start block height (2) must be less than end block height (1)",
        ),
        ("debug_getModifiedAccountsByNumber", [0], "block 0 has no parent"),
        ("debug_getModifiedAccountsByNumber", [99], "start block 63 not found"),
        ("debug_getModifiedAccountsByNumber", [1, 99], "end block 99 not found"),
        (
            "debug_getModifiedAccountsByHash",
            ["0x" + "77" * 32],
            f"start block {'77' * 32} not found",
        ),
        ("debug_dumpBlock", ["0x99"], "block #153 not found"),
        ("debug_dumpBlock", ["0x" + "77" * 32], f"block 0x{'77' * 32} not found"),
        ("debug_accountRange", ["0x99", "0x", 5], "block #153 not found"),
    ],
)
def test_ranges_that_are_none_are_refused(
    served: Served, counter: str, method: str, params: list[Any], words: str
) -> None:
    refused = served.refusal(method, *params)
    assert (refused.code, refused.message) == (-32000, words)
