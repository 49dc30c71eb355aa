"""debug_storageRangeAt and debug_traceBlock, and the questions that have no answer here."""

import pytest

from chain.crypto.keccak import keccak
from node.devchain.compose import Developing
from tests.node.rpc.serving import COUNTER_INITCODE, OTHER, SENDER, Served

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


@pytest.fixture(scope="module")
def later(served: Served, five: dict[str, str]) -> str:
    """The hash of a block after that one."""
    found: str = served.send(to=OTHER)["blockHash"]
    return found


def test_slots_come_in_the_order_of_their_hashes(
    served: Served, five: dict[str, str], later: str
) -> None:
    asked = (later, 0, five["contractAddress"])
    found = served.call("debug_storageRangeAt", *asked, "0x", 10)
    assert list(found["storage"]) == sorted(KEYS)
    for key, entry in found["storage"].items():
        assert entry == {"key": word(KEYS[key]), "value": word(KEYS[key] + 1)}
    assert found["nextKey"] is None


def test_pages_lead_through_all_slots(served: Served, five: dict[str, str], later: str) -> None:
    start, seen = "0x", []
    while start is not None:
        asked = (later, 0, five["contractAddress"], start, 2)
        page = served.call("debug_storageRangeAt", *asked)
        assert len(page["storage"]) <= 2
        seen += list(page["storage"])
        start = page["nextKey"]
    assert seen == sorted(KEYS)


def test_the_index_says_how_much_of_the_block_has_happened() -> None:
    """Given a block with three calls of a counter, each sees the slot as those before left it."""
    with Served(developing=Developing()) as served:
        served.call("evm_setAutomine", False)
        fields = {"from": SENDER, "gas": hex(300_000)}
        made = served.call("eth_sendTransaction", {**fields, "data": COUNTER_INITCODE})
        served.call("evm_mine")
        contract = served.call("eth_getTransactionReceipt", made)["contractAddress"]
        for _ in range(3):
            served.call("eth_sendTransaction", {**fields, "to": contract})
        served.call("evm_mine")
        asked = ("latest", 0, contract, "0x00", 1)
        assert served.call("debug_storageRangeAt", *asked)["storage"] is None
        for index in (1, 2):
            found = served.call("debug_storageRangeAt", "latest", index, contract, "0x00", 1)
            (entry,) = found["storage"].values()
            assert entry == {"key": word(0), "value": word(index)}


def test_a_range_of_nothing_is_null(served: Served, five: dict[str, str], later: str) -> None:
    """Also where there is no account; behind the last slot it is empty."""
    block, contract = five["blockHash"], five["contractAddress"]
    nothing = {"storage": None, "nextKey": None}
    assert served.call("debug_storageRangeAt", block, 0, OTHER, "0x", 1) == nothing
    assert served.call("debug_storageRangeAt", block, 0, contract, "0x", 1) == nothing
    behind = served.call("debug_storageRangeAt", later, 0, contract, "0x" + "ff" * 33, 1)
    assert behind == {"storage": {}, "nextKey": None}


def test_an_index_that_the_block_has_not_is_refused(served: Served, five: dict[str, str]) -> None:
    block, contract = five["blockHash"], five["contractAddress"]
    for index in (1, 7):
        refused = served.refusal("debug_storageRangeAt", block, index, contract, "0x", 1)
        assert refused.message == f"transaction index {index} out of range for block {block}"
    genesis = served.refusal("debug_storageRangeAt", "0x0", 0, contract, "0x", 1)
    assert genesis.message == "no transaction in genesis"


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


def test_what_is_not_there_has_no_bytes(served: Served) -> None:
    """A height that is not reached is no error, as by geth; a hash that nothing has is one."""
    far, unknown = "0xffffff", "0x" + "77" * 32
    assert served.call("debug_getRawHeader", far) == "0x"
    assert served.call("debug_getRawBlock", far) == "0x"
    assert served.call("debug_getRawReceipts", far) is None
    assert served.call("debug_getRawReceipts", unknown) == []
    header = served.refusal("debug_getRawHeader", unknown)
    assert (header.code, header.message) == (-32000, f"header {unknown} not found")
    assert served.refusal("debug_getRawBlock", unknown).message == f"block {unknown} not found"
