"""trace_*: blocks, transactions, calls and filters in Parity's shapes."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.node.rpc.serving import COUNTED, COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served

NOBODY = "0x" + "98" * 20  # who is paid here, so not the one that has nothing elsewhere
UNKNOWN = "0x" + "1".rjust(64, "0")


def word(value: int) -> str:
    return f"0x{value:064x}"


@pytest.fixture(scope="module")
def deployed(served: Served) -> dict[str, Any]:
    return served.send(data=COUNTER_INITCODE)


@pytest.fixture(scope="module")
def counter(deployed: dict[str, Any]) -> str:
    address: str = deployed["contractAddress"]
    return address


@pytest.fixture(scope="module")
def forwarder(served: Served, counter: str) -> str:
    """A contract that calls the counter.

    push1 0 (x5) push20 counter gas call stop
    """
    code = "6000" * 5 + "73" + counter[2:] + "5af100"
    initcode = f"0x60{len(code) // 2:02x}80600b6000396000f3{code}"
    address: str = served.send(data=initcode)["contractAddress"]
    return address


def test_a_transaction_s_messages_have_their_places(served: Served, forwarder: str) -> None:
    receipt = served.send(to=forwarder)
    traces = served.call("trace_transaction", receipt["transactionHash"])
    assert [item["traceAddress"] for item in traces] == [[], [0]]
    for item in traces:
        assert item["blockHash"] == receipt["blockHash"]
        assert item["blockNumber"] == int(receipt["blockNumber"], 16)
        assert item["transactionHash"] == receipt["transactionHash"]
        assert (item["transactionPosition"], item["type"]) == (0, "call")
    assert served.call("trace_block", receipt["blockNumber"]) == traces
    assert served.call("trace_block", receipt["blockHash"]) == traces


def test_one_message_is_got_by_its_path(served: Served, forwarder: str) -> None:
    name = served.send(to=forwarder)["transactionHash"]
    traces = served.call("trace_transaction", name)
    assert served.call("trace_get", name, []) == traces[0]
    assert served.call("trace_get", name, ["0x0"]) == traces[1]
    assert served.call("trace_get", name, ["0x0", "0x3"]) is None
    assert served.refusal("trace_get", name, ["zero"]).code == -32602


def test_what_is_not_there_has_no_traces(served: Served) -> None:
    assert served.call("trace_transaction", UNKNOWN) is None
    assert served.call("trace_get", UNKNOWN, ["0x0"]) is None
    assert served.call("trace_block", "0xffffff") is None
    assert served.call("trace_block", "earliest") == []
    assert served.call("trace_replayBlockTransactions", "earliest", ["trace"]) == []
    refused = served.refusal("trace_replayTransaction", UNKNOWN, ["trace"])
    assert (refused.code, refused.message) == (-32000, "transaction not found")


def test_a_transaction_is_replayed_in_the_parts_asked_for(served: Served, counter: str) -> None:
    before = int(served.call("eth_call", {"to": counter}), 16)
    receipt = served.send(to=counter)
    kinds = ["trace", "stateDiff", "vmTrace"]
    found = served.call("trace_replayTransaction", receipt["transactionHash"], kinds)
    assert found["output"] == word(before)
    assert found["stateDiff"][counter]["storage"] == {
        word(0): {"*": {"from": word(before - 1), "to": word(before)}}
    }
    assert found["vmTrace"]["code"] == "0x" + COUNTER
    assert "blockHash" not in found["trace"][0]
    whole = served.call("trace_replayBlockTransactions", receipt["blockNumber"], kinds)
    assert whole == [{**found, "transactionHash": receipt["transactionHash"]}]
    bare = served.call("trace_replayTransaction", receipt["transactionHash"], [])
    assert bare == {"output": word(before), "trace": [], "stateDiff": None, "vmTrace": None}


def test_the_changes_of_a_transaction_balance(served: Served) -> None:
    """What the sender lost, the recipient and the fees' recipient won, but for the base fee."""
    receipt = served.send(to=NOBODY, value=hex(1000))
    diff = served.call("trace_replayTransaction", receipt["transactionHash"], ["stateDiff"])
    total = 0
    for entry in diff["stateDiff"].values():
        match entry["balance"]:
            case {"*": {"from": old, "to": new}}:
                total += int(new, 16) - int(old, 16)
            case {"+": new}:
                total += int(new, 16)
    header = served.call("eth_getHeaderByHash", receipt["blockHash"])
    assert total == -int(header["baseFeePerGas"], 16) * int(receipt["gasUsed"], 16)


def test_a_call_is_traced_and_leaves_nothing(served: Served, counter: str) -> None:
    before = served.call("eth_call", {"to": counter})
    found = served.call("trace_call", {"from": SENDER, "to": counter}, ["trace", "stateDiff"])
    assert found["output"] == before
    assert found["trace"][0]["result"]["output"] == before
    assert served.call("eth_call", {"to": counter}) == before
    failed = served.call("trace_call", {"to": counter, "data": "0xabcd"}, ["trace"])
    assert (failed["output"], failed["trace"][0]["error"]) == ("0xabcd", "Reverted")


def test_who_calls_need_not_be_able_to_pay(served: Served) -> None:
    """Given an account without money that sends some at a price, it is given what is missing."""
    poor = "0x" + "97" * 20
    price = hex(10**10)
    request = {"from": poor, "to": OTHER, "value": "0x5", "gas": "0x5208", "gasPrice": price}
    found = served.call("trace_call", request, ["trace", "stateDiff"])
    assert found["trace"][0]["action"]["value"] == "0x5"
    paid = found["stateDiff"][poor]["balance"]["*"]
    assert int(paid["from"], 16) == 5 + 21_000 * 10**10
    assert served.call("eth_getBalance", poor, "latest") == "0x0"
    beyond = {**request, "value": hex(2**256 - 1)}
    assert "insufficient funds" in served.refusal("trace_call", beyond, ["trace"]).message


def test_a_call_may_be_traced_in_another_state_and_block(served: Served) -> None:
    """number 0 mstore 32 0 return, where there is no code, in a block that there is not."""
    account = {OTHER: {"code": "0x4360005260206000f3", "balance": "0x7"}}
    asked = ({"to": OTHER, "from": OTHER, "value": "0x1"}, ["trace"], "latest", account)
    found = served.call("trace_call", *asked, {"number": "0x1234"})
    assert found["output"] == found["trace"][0]["result"]["output"] == word(0x1234)
    assert served.call("trace_call", *asked[:3])["output"] == "0x"


def test_calls_in_a_row_see_what_those_before_did(served: Served, counter: str) -> None:
    pair = [{"to": counter}, ["trace"]]
    outputs = [int(item["output"], 16) for item in served.call("trace_callMany", [pair] * 3)]
    assert outputs == [outputs[0], outputs[0] + 1, outputs[0] + 2]
    for wrong in ([["trace"]], [[{"to": counter}, ["nonsense"]]], [[1, []]], [pair] * 1001):
        assert served.refusal("trace_callMany", wrong).code == -32602


def test_a_signed_transaction_is_traced_without_being_sent(served: Served, counter: str) -> None:
    asked = {"from": SENDER, "to": counter, "gas": hex(100_000), "gasPrice": hex(10**10)}
    nonce = served.call("eth_getTransactionCount", SENDER, "pending")
    raw = served.call("eth_signTransaction", {**asked, "nonce": nonce})["raw"]
    found = served.call("trace_rawTransaction", raw, ["trace"])
    assert found["trace"][0]["action"]["from"] == SENDER
    assert served.call("eth_getTransactionCount", SENDER, "pending") == nonce
    assert served.refusal("trace_rawTransaction", "0x01", ["trace"]).code == -32000


@pytest.mark.parametrize("kinds", ["trace", {}, [1], [["trace"]], ["vmtrace"]])
def test_unknown_kinds_are_refused(served: Served, kinds: Any) -> None:
    assert served.refusal("trace_call", {"to": OTHER}, kinds).code == -32602


# -- trace_filter ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def five(served: Served, forwarder: str) -> list[dict[str, Any]]:
    """The receipts of five calls of the counter through the forwarder."""
    return [served.send(to=forwarder) for _ in range(5)]


def bounds(receipts: list[dict[str, Any]]) -> dict[str, str]:
    return {"fromBlock": receipts[0]["blockNumber"], "toBlock": receipts[-1]["blockNumber"]}


def test_messages_are_found_by_recipient_and_sender(
    served: Served, five: list[dict[str, Any]], forwarder: str, counter: str
) -> None:
    inner = served.call("trace_filter", {**bounds(five), "toAddress": [counter]})
    assert [item["transactionHash"] for item in inner] == [
        receipt["transactionHash"] for receipt in five
    ]
    assert {item["action"]["from"] for item in inner} == {forwarder}
    asked = {**bounds(five), "fromAddress": [SENDER], "toAddress": [counter]}
    assert served.call("trace_filter", {**asked, "mode": "intersection"}) == []
    assert len(served.call("trace_filter", {**asked, "mode": "union"})) == 10
    assert len(served.call("trace_filter", asked)) == 10
    assert len(served.call("trace_filter", bounds(five))) == 10


def test_pages_of_messages_are_cut_from_all(served: Served, five: list[dict[str, Any]]) -> None:
    whole = served.call("trace_filter", bounds(five))
    asked = {**bounds(five), "after": 3, "count": 4}
    assert served.call("trace_filter", asked) == whole[3:7]
    assert served.call("trace_filter", {**asked, "count": "0x0"}) == []


def test_a_creation_is_found_by_the_account_created(
    served: Served, deployed: dict[str, Any], counter: str
) -> None:
    where = {"fromBlock": deployed["blockNumber"], "toBlock": deployed["blockNumber"]}
    (item,) = served.call("trace_filter", {**where, "toAddress": [counter]})
    assert (item["type"], item["result"]["address"]) == ("create", counter)


def test_bounds_may_be_numbers_and_lie_above_the_chain(
    served: Served, five: list[dict[str, Any]]
) -> None:
    whole = served.call("trace_filter", bounds(five))
    numbers = {name: int(height, 16) for name, height in bounds(five).items()}
    assert served.call("trace_filter", numbers) == whole
    asked = {"fromBlock": "0xffffff", "toBlock": "0xfffffff"}
    assert served.call("trace_filter", asked) == []
    refused = served.refusal("trace_filter", {"fromBlock": "0x5", "toBlock": "0x1"})
    assert refused.message == "invalid parameters: fromBlock cannot be greater than toBlock"


@pytest.mark.parametrize(
    "asked",
    [
        {"fromBlock": "0x5", "toBlock": "0x1"},
        {"fromBlock": "0xffffff"},
        {"fromBlock": -1},
        {"fromAddress": ["0x12"]},
        {"mode": "both"},
        {"count": -1},
        {"toAddress": [NOBODY] * 1001},
        [],
    ],
)
def test_filters_that_mean_nothing_are_refused(served: Served, asked: Any) -> None:
    assert served.refusal("trace_filter", asked).code == -32602


@pytest.fixture(scope="module")
def narrow() -> Iterator[Served]:
    with Served(rpc={"trace_bytes_max": 2_000, "log_heights_max": 8}) as narrow:
        for _ in range(10):
            narrow.send(to=OTHER)
        yield narrow


def test_too_much_is_refused_with_a_range_that_works(narrow: Served) -> None:
    refused = narrow.refusal("trace_filter", {"fromBlock": "0x1", "toBlock": "0x6"})
    assert refused.code == -32005
    where = {"fromBlock": refused.data["from"], "toBlock": refused.data["to"]}
    assert narrow.call("trace_filter", where)
    refused = narrow.refusal("trace_filter", {"fromBlock": "0x1"})
    assert refused.message.endswith("Try with this block range [0x1, 0x8].")


def test_what_was_undone_is_found_as_well(served: Served, counter: str) -> None:
    """Given a call that reverts after it called the counter, sent by who earns its tips."""
    code = "6000" * 5 + "73" + counter[2:] + "5af1" + "60006000fd"
    initcode = f"0x60{len(code) // 2:02x}80600b6000396000f3{code}"
    undoing = served.send(data=initcode)["contractAddress"]
    receipt = served.send(to=undoing, gas=hex(200_000))
    assert receipt["status"] == "0x0"
    where = {"fromBlock": receipt["blockNumber"], "toBlock": receipt["blockNumber"]}
    (inner,) = served.call("trace_filter", {**where, "toAddress": [counter]})
    assert inner["action"]["from"] == undoing
    miner = served.call("eth_coinbase")
    assert served.call("trace_filter", {**where, "fromAddress": [miner]})


def test_the_index_and_a_search_of_all_blocks_find_the_same(
    served: Served, five: list[dict[str, Any]], forwarder: str, counter: str
) -> None:
    whole = served.call("trace_filter", {"fromBlock": "0x0", "toBlock": "latest"})
    for who in (SENDER, OTHER, forwarder, counter, NOBODY):
        found = served.call("trace_filter", {"fromBlock": "0x0", "toAddress": [who]})
        assert found == [
            item
            for item in whole
            if who in (item["action"].get("to"), (item["result"] or {}).get("address"))
        ]


def test_a_log_s_topic_is_not_an_account(served: Served, five: list[dict[str, Any]]) -> None:
    asked = {**bounds(five), "toAddress": ["0x" + COUNTED[-40:]]}
    assert served.call("trace_filter", asked) == []
