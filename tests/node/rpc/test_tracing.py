"""debug_trace* over HTTP: on transactions, blocks and calls, with its refusals and limits."""

import http.client
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from tests.node.rpc.serving import (
    COUNTED,
    COUNTER,
    COUNTER_INITCODE,
    OTHER,
    SENDER,
    Refused,
    Served,
)

ONE = "0x" + "1".rjust(64, "0")
NOBODY = "0x" + "99" * 20


@pytest.fixture(scope="module")
def counter(served: Served) -> str:
    """The address of a counter that was called twice."""
    address: str = served.send(data=COUNTER_INITCODE)["contractAddress"]
    served.send(to=address)
    served.send(to=address)
    return address


def calls(**config: Any) -> dict[str, Any]:
    return {"tracer": "callTracer", "tracerConfig": config}


def test_a_transaction_is_traced_as_it_ran(served: Served, counter: str) -> None:
    """Given a contract that changes, each transaction is traced on the state it ran on."""
    for _ in range(2):
        before = int(served.call("eth_call", {"to": counter}), 16)
        receipt = served.send(to=counter)
        root = served.call(
            "debug_traceTransaction", receipt["transactionHash"], calls(withLog=True)
        )
        assert int(root["output"], 16) == before
        assert root["gasUsed"] == receipt["gasUsed"]
        assert [log["topics"] for log in root["logs"]] == [[COUNTED]]


def test_the_steps_of_a_transaction_are_the_default(served: Served, counter: str) -> None:
    receipt = served.send(to=counter)
    trace = served.call("debug_traceTransaction", receipt["transactionHash"], {"limit": 160})
    assert trace["gas"] == int(receipt["gasUsed"], 16)
    assert trace["failed"] is False
    assert [step["op"] for step in trace["structLogs"]] == ["CALLDATASIZE", "PUSH1", "JUMPI"]


def test_a_block_gives_a_trace_for_each_transaction(served: Served, counter: str) -> None:
    receipt = served.send(to=counter)
    options = {"tracer": "flatCallTracer"}
    by_number = served.call("debug_traceBlockByNumber", receipt["blockNumber"], options)
    assert by_number == served.call("debug_traceBlockByHash", receipt["blockHash"], options)
    assert [item["txHash"] for item in by_number] == [receipt["transactionHash"]]
    assert by_number[0]["result"][0]["blockHash"] == receipt["blockHash"]


def test_a_call_is_traced_with_overrides(served: Served) -> None:
    options = {
        "stateOverrides": {NOBODY: {"code": "0x434160005260206000f3"}},  # NUMBER COINBASE MSTORE..
        "blockOverrides": {"feeRecipient": OTHER},
    }
    trace = served.call("debug_traceCall", {"to": NOBODY}, "latest", options)
    assert trace["returnValue"] == "0x" + OTHER[2:].rjust(64, "0")


def test_a_call_can_be_traced_within_a_block(served: Served, counter: str) -> None:
    """Given a block that counts once, a call before its transaction sees the old count."""
    height = served.send(to=counter)["blockNumber"]
    request = {"to": counter}
    before, after = (
        int(served.call("debug_traceCall", request, height, {**calls(), **where})["output"], 16)
        for where in ({"txIndex": "0x0"}, {})
    )
    assert after == before + 1
    name = served.call("eth_getHeaderByNumber", height)["hash"]
    for index in (1, 9):
        refusal = served.refusal("debug_traceCall", request, height, {"txIndex": hex(index)})
        words = f"transaction index {index} out of range for block {name}"
        assert (refusal.code, refusal.message) == (-32000, words)
    genesis = served.refusal("debug_traceCall", request, "0x0", {"txIndex": "0x0"})
    assert genesis.message == "no transaction in genesis"


def test_a_reverting_call_is_traced_with_its_data(served: Served, counter: str) -> None:
    root = served.call("debug_traceCall", {"to": counter, "data": "0xabcd"}, "latest", calls())
    assert (root["error"], root["output"]) == ("execution reverted", "0xabcd")


def test_a_call_that_could_not_start_is_refused(served: Served) -> None:
    refusal = served.refusal("debug_traceCall", {"from": NOBODY, "to": OTHER, "value": hex(10**18)})
    assert refusal.code == -32000
    assert refusal.message.startswith("tracing failed: insufficient funds")
    assert f"address {to_checksum_address(NOBODY)} have" in refusal.message


@pytest.mark.parametrize(
    ("method", "parameter", "message"),
    [
        ("debug_traceTransaction", ONE, "transaction not found"),
        ("debug_traceBlockByHash", ONE, f"block {ONE} not found"),
        ("debug_traceBlockByNumber", "0xffffff", f"block #{0xFFFFFF} not found"),
        ("debug_traceBlockByNumber", "earliest", "genesis is not traceable"),
        ("debug_traceBlockByNumber", "pending", "tracing on top of pending is not supported"),
    ],
)
def test_what_can_not_be_traced_is_refused(
    served: Served, method: str, parameter: str, message: str
) -> None:
    refusal = served.refusal(method, parameter)
    assert (refusal.code, refusal.message) == (-32000, message)


@pytest.mark.parametrize(
    "options",
    [
        [],
        "callTracer",
        {"tracer": 1},
        {"enableMemory": "yes"},
        {"disableStack": 1},
        {"limit": "0x1"},
        {"timeout": 5},
    ],
)
def test_options_that_mean_nothing_are_refused(served: Served, options: Any) -> None:
    assert served.refusal("debug_traceBlockByNumber", "latest", options).code == -32602
    assert served.refusal("debug_traceCall", {"to": OTHER}, "latest", options).code == -32602


@pytest.mark.parametrize(
    "options",
    [
        {"tracer": "nonsense"},
        {"tracer": "callTracer", "tracerConfig": []},
        {"tracer": "callTracer", "tracerConfig": {"withLog": "yes"}},
        {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True, "includeEmpty": True}},
        {"timeout": "5"},
        {"timeout": "5 s"},
        {"timeout": "-5s"},
        {"timeout": "1s" * 1000},
    ],
)
def test_what_a_tracer_does_not_take_is_refused_by_it(served: Served, options: Any) -> None:
    assert served.refusal("debug_traceBlockByNumber", "latest", options).code == -32000
    assert served.refusal("debug_traceCall", {"to": OTHER}, "latest", options).code == -32000


def test_a_trace_that_takes_longer_than_asked_is_given_up(served: Served) -> None:
    options = {"timeout": "1ns", "stateOverrides": {NOBODY: {"code": "0x5b600056"}}}
    refusal = served.refusal("debug_traceCall", {"to": NOBODY}, "latest", options)
    assert (refusal.code, refusal.message) == (-32000, "execution timeout")


@pytest.fixture(scope="module")
def narrow() -> Iterator[Served]:
    with Served(rpc={"trace_bytes_max": 10_000, "trace_timeout_ms": 20_000}) as narrow:
        yield narrow


def test_a_trace_larger_than_the_node_allows_is_refused(narrow: Served) -> None:
    """Given an endless loop, the steps stop at the limit; fewer of them are answered."""
    options: dict[str, Any] = {"stateOverrides": {NOBODY: {"code": "0x5b600056"}}}
    refusal = narrow.refusal("debug_traceCall", {"to": NOBODY, "gas": "0xfffff"}, "latest", options)
    assert (refusal.code, "10000 bytes" in refusal.message) == (-32003, True)
    trace = narrow.call(
        "debug_traceCall", {"to": NOBODY, "gas": "0xfffff"}, "latest", {**options, "limit": 5}
    )
    assert len(trace["structLogs"]) == 1


def test_the_counter_is_what_its_steps_say(served: Served, counter: str) -> None:
    trace = served.call(
        "debug_traceCall",
        {"from": SENDER, "to": counter},
        "latest",
        {"enableMemory": True, "enableReturnData": True},
    )
    assert trace["structLogs"][-1]["op"] == "RETURN"
    assert served.call("eth_getCode", counter) == "0x" + COUNTER
    assert trace["structLogs"][-1]["memory"] == [trace["returnValue"]]


def test_calls_go_on_beside_endless_traces_and_the_node_still_stops() -> None:
    """Given more traces than there are threads, a call is answered, and stopping ends them."""
    loop = {"stateOverrides": {NOBODY: {"code": "0x5b600056"}}, "limit": 1}
    request = {"to": NOBODY, "gas": hex(2**40)}
    refusals: list[int] = []
    with Served(rpc={"call_gas_max": 2**40}) as node:

        def trace() -> None:
            try:
                node.call("debug_traceCall", request, "latest", loop)
            except Refused as refused:
                refusals.append(refused.code)
            except (OSError, http.client.HTTPException):
                refusals.append(0)  # the connection went with the node

        threads = [threading.Thread(target=trace) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert node.call("eth_call", {"to": OTHER}) == "0x"
    for thread in threads:
        thread.join(30)
    assert len(refusals) == 8


def test_the_roots_between_a_blocks_transactions_lead_to_its_own(
    served: Served, counter: str
) -> None:
    receipt = served.send(to=counter)
    block = served.call("eth_getBlockByHash", receipt["blockHash"], False)
    roots = served.call("debug_intermediateRoots", block["hash"])
    assert len(roots) == len(block["transactions"])
    assert roots[-1] == block["stateRoot"]
    missing = served.refusal("debug_intermediateRoots", ONE)
    assert (missing.code, missing.message) == (-32000, f"block {ONE} not found")


def test_no_refused_block_can_be_traced(served: Served) -> None:
    refused = served.refusal("debug_traceBadBlock", ONE)
    assert (refused.code, refused.message) == (-32000, f"bad block {ONE} not found")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "array into Go value of type tracers.TraceConfig"),
        ({"tracer": 1}, "number into Go struct field TraceConfig.Tracer of type string"),
        ({"limit": "0x1"}, "string into Go struct field TraceConfig.Config.Limit of type int"),
        ({"limit": 1.5}, "number 1.5 into Go struct field TraceConfig.Config.Limit of type int"),
        ({"reexec": -1}, "number -1 into Go struct field TraceConfig.Reexec of type uint64"),
        (
            {"enableMemory": 1},
            "number into Go struct field TraceConfig.Config.EnableMemory of type bool",
        ),
    ],
)
def test_options_of_another_kind_are_refused_in_geths_words(
    served: Served, options: Any, words: str
) -> None:
    refused = served.refusal("debug_traceTransaction", ONE, options)
    assert (refused.code, refused.message) == (
        -32602,
        f"invalid argument 1: json: cannot unmarshal {words}",
    )


def test_options_of_calls_are_named_where_they_are_in_geth(served: Served) -> None:
    for options, words in (
        ({"limit": "x"}, "string into Go struct field TraceCallConfig.TraceConfig.Config.Limit"),
        ({"txIndex": 0}, "non-string into Go struct field TraceCallConfig.TxIndex of type"),
        ({"stateOverrides": 1}, "number into Go struct field TraceCallConfig.StateOverrides of"),
    ):
        refused = served.refusal("debug_traceCall", {"to": OTHER}, "latest", options)
        assert words in refused.message


def test_options_of_tracers_are_refused_in_geths_words(served: Served, counter: str) -> None:
    receipt = served.send(to=counter)
    for config, words in (
        ([], "array into Go value of type native.callTracerConfig"),
        ({"withLog": 1}, "number into Go struct field callTracerConfig.withLog of type bool"),
    ):
        options = {"tracer": "callTracer", "tracerConfig": config}
        refused = served.refusal("debug_traceTransaction", receipt["transactionHash"], options)
        assert (refused.code, refused.message) == (-32000, f"json: cannot unmarshal {words}")
