"""debug_storageRangeAt and debug_traceBlock, and the questions that have no answer here."""

import pytest

from chain.crypto.keccak import keccak
from tests.node.rpc.serving import COUNTER_INITCODE, OTHER, Served

# sstore(i, i+1) for i = 4..0:  push1 i+1 push1 i sstore ...
FIVE_SLOTS = "".join(f"60{slot + 1:02x}60{slot:02x}55" for slot in range(5))
KEYS = {"0x" + keccak(slot.to_bytes(32, "big")).hex(): slot for slot in range(5)}


def word(value: int) -> str:
    return f"0x{value:064x}"


@pytest.fixture(scope="module")
def five(served: Served) -> dict[str, str]:
    """The receipt of a contract that filled slots 0 to 4 when it was made."""
    found: dict[str, str] = served.send(data="0x" + FIVE_SLOTS + "60006000f3")
    return found


def test_slots_come_in_the_order_of_their_hashes(served: Served, five: dict[str, str]) -> None:
    asked = (five["blockHash"], 1, five["contractAddress"])
    found = served.call("debug_storageRangeAt", *asked, "0x", 10)
    assert list(found["storage"]) == sorted(KEYS)
    for key, entry in found["storage"].items():
        assert entry == {"key": word(KEYS[key]), "value": word(KEYS[key] + 1)}
    assert found["nextKey"] is None


def test_pages_lead_through_all_slots(served: Served, five: dict[str, str]) -> None:
    start, seen = "0x", []
    while start is not None:
        page = served.call(
            "debug_storageRangeAt", five["blockHash"], 1, five["contractAddress"], start, 2
        )
        assert len(page["storage"]) <= 2
        seen += list(page["storage"])
        start = page["nextKey"]
    assert seen == sorted(KEYS)


def test_the_index_says_how_much_of_the_block_has_happened(served: Served) -> None:
    contract = served.send(data=COUNTER_INITCODE)["contractAddress"]
    served.send(to=contract)
    block = served.send(to=contract)["blockHash"]
    for index, count in ((0, 1), (1, 2)):
        found = served.call("debug_storageRangeAt", block, index, contract, "0x00", 1)
        assert [entry["value"] for entry in found["storage"].values()] == [word(count)]


def test_a_range_of_nothing_is_refused(served: Served, five: dict[str, str]) -> None:
    block, contract = five["blockHash"], five["contractAddress"]
    missing = served.refusal("debug_storageRangeAt", block, 0, contract, "0x", 1)
    assert (missing.code, "doesn't exist" in missing.message) == (-32000, True)
    assert (
        "out of range"
        in served.refusal("debug_storageRangeAt", block, 7, contract, "0x", 1).message
    )
    assert (
        served.refusal("debug_storageRangeAt", block, 0, contract, "0x" + "00" * 33, 1).code
        == -32602
    )
    assert served.call("debug_storageRangeAt", block, 0, OTHER, "0x", 1)["storage"] == {}


def test_a_block_given_in_bytes_is_traced_like_that_on_the_chain(
    served: Served, five: dict[str, str]
) -> None:
    raw = served.call("debug_getRawBlock", five["blockNumber"])
    options = {"tracer": "callTracer"}
    given = served.call("debug_traceBlock", raw, options)
    assert given == served.call("debug_traceBlockByHash", five["blockHash"], options)


def test_a_block_that_can_not_be_run_is_refused(served: Served, five: dict[str, str]) -> None:
    assert "could not decode block" in served.refusal("debug_traceBlock", "0x1234").message
    raw = bytes.fromhex(served.call("debug_getRawBlock", five["blockNumber"])[2:])
    parent = bytes.fromhex(served.call("eth_getHeaderByHash", five["blockHash"])["parentHash"][2:])
    orphan = raw.replace(parent, bytes(32))
    assert "not found" in served.refusal("debug_traceBlock", "0x" + orphan.hex()).message


def test_no_block_is_bad_or_has_an_access_list(served: Served, five: dict[str, str]) -> None:
    assert served.call("debug_getBadBlocks") == []
    assert served.call("eth_getBlockAccessList", five["blockHash"]) is None
    assert served.call("debug_getRawBlockAccessList", five["blockNumber"]) is None
    assert served.refusal("eth_getBlockAccessList", "0xffffffff").code == -32000
