"""Callers that ask for too much: each is refused, blocks keep coming, others are served."""

import gc
import json
import resource
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.node.rpc.serving import OTHER, Served

NOBODY = "0x" + "99" * 20
# jumpdest push0 jump: never ends before its gas does.
LOOP = "0x5b5f56"
# Logs nothing 256 times: push2 256 jumpdest push0 push0 log0 push1 1 swap1 sub dup1 push1 3 jumpi
LOGGER = "6101005b5f5fa0600190038060035700"


@pytest.fixture(scope="module")
def abused() -> Iterator[Served]:
    limits = {
        "trace_timeout_ms": 2_000,
        "trace_bytes_max": 200_000,
        "logs_max": 1_000,
        "call_gas_max": 3_000_000,
    }
    with Served(rpc=limits) as abused:
        yield abused
        # Whatever was asked of it, it still builds blocks and answers.
        assert abused.send(to=OTHER)["status"] == "0x1"
        assert abused.call("eth_chainId") == "0x7a69"


def batch(served: Served, *requests: tuple[str, list[Any]]) -> list[dict[str, Any]]:
    body = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(requests)
    ]
    answers: list[dict[str, Any]] = served.post(json.dumps(body).encode())
    return answers


def test_ten_thousand_filters_end_at_the_limit(abused: Served) -> None:
    """Given the limit of 1,000, the others are refused; a filter that is given up makes room."""
    names: list[str] = []
    refusals = 0
    for _ in range(10):
        for answer in batch(
            abused, *[("eth_newFilter", [{"topics": [NOBODY.ljust(66, "0")]}])] * 1000
        ):
            if "result" in answer:
                names.append(answer["result"])
            else:
                refusals += 1
                assert answer["error"]["code"] == -32005
    assert (len(names), refusals) == (1_000, 9_000)
    assert abused.call("eth_uninstallFilter", names.pop())
    names.append(abused.call("eth_newBlockFilter"))
    batch(abused, *[("eth_uninstallFilter", [name]) for name in names])


def test_all_logs_of_everything_are_refused_with_a_range_that_works(abused: Served) -> None:
    """Given blocks full of logs, asking for all of them at once ends at the limit, cheaply."""
    code = f"0x60{len(LOGGER) // 2:02x}80600b6000396000f3{LOGGER}"
    contract = abused.send(data=code)["contractAddress"]
    for _ in range(6):
        assert len(abused.send(to=contract, gas="0x2dc6c0")["logs"]) == 256
    everything = {"fromBlock": "0x0", "toBlock": "latest"}
    refused = abused.refusal("eth_getLogs", everything)
    assert (refused.code, "more than 1000 results" in refused.message) == (-32005, True)
    where = {"fromBlock": refused.data["from"], "toBlock": refused.data["to"]}
    assert abused.call("eth_getLogs", where)
    with ThreadPoolExecutor(8) as callers:
        jobs = [callers.submit(abused.refusal, "eth_getLogs", everything) for _ in range(32)]
        assert abused.send(to=OTHER)["status"] == "0x1"
        assert {job.result().code for job in jobs} == {-32005}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("trace_call", [{"data": LOOP, "gas": hex(2**40)}, ["vmTrace"]]),
        ("debug_traceCall", [{"data": LOOP, "gas": hex(2**40)}, "latest"]),
        ("debug_traceCall", [{"data": LOOP}, "latest", {"enableMemory": True}]),
    ],
)
def test_huge_traces_end_at_their_size(abused: Served, method: str, params: list[Any]) -> None:
    refused = abused.refusal(method, *params)
    assert (refused.code, "too large" in refused.message) == (-32003, True)


def test_a_thousand_endless_calls_in_a_row_end_at_their_time(abused: Served) -> None:
    asked = [[{"data": LOOP, "gas": hex(2**40)}, []]] * 1_000
    refused = abused.refusal("trace_callMany", asked)
    assert (refused.code, refused.message) in {
        (-32000, "execution timeout"),
        (-32002, "execution aborted (timeout = 3s)"),
    }


def test_a_batch_of_traces_shares_the_threads_that_there_are(abused: Served) -> None:
    """Given twenty traces at once, each is answered or refused, and calls go on meanwhile."""
    trace = ("trace_call", [{"data": LOOP}, ["stateDiff"]])
    with ThreadPoolExecutor(4) as callers:
        jobs = [callers.submit(batch, abused, *[trace] * 5) for _ in range(4)]
        assert abused.call("eth_getBalance", OTHER) != "0x0"
        for job in jobs:
            for answer in job.result():
                assert "result" in answer or answer["error"]["code"] in (-32000, -32002, -32005)


@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_bytes_that_are_no_block_are_refused(abused: Served, size: int) -> None:
    """Lists in lists in lists, and lengths that promise what is not there."""
    for raw in (b"\xc1" * size, b"\xf9\xff\xff" * size, b"\xff" * size, b"\xbf" * size):
        assert abused.refusal("debug_traceBlock", "0x" + raw.hex()).code == -32000


def test_a_range_of_storage_without_end_is_cut(abused: Served) -> None:
    block = abused.send(to=OTHER)["blockHash"]  # there are no states within the genesis
    params = [block, 0, OTHER, "0x", 2**63]
    assert abused.call("debug_storageRangeAt", *params) == {"storage": None, "nextKey": None}


def test_waiting_for_receipts_that_never_come_is_not_for_ever(abused: Served) -> None:
    """A transaction whose nonce is far ahead waits; the call does not."""
    asked = {
        "from": abused.call("eth_accounts")[2], "to": OTHER, "gas": "0x5208", "nonce": "0x64",
        "gasPrice": hex(10**10),
    }  # fmt: skip
    raw = abused.call("eth_signTransaction", asked)["raw"]
    assert abused.refusal("eth_sendRawTransactionSync", raw, 20).code == 4


def test_none_of_it_takes_memory_without_end(abused: Served) -> None:
    """Given many refused traces, the process has not grown by what they would have taken."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        assert abused.refusal("trace_call", {"data": LOOP}, ["vmTrace"]).code == -32003
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # KiB


LARGE = "0x5b5f56" + "00" * 250_000


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", [{"data": LARGE}]),
        ("eth_call", [{"data": "5" + LARGE}]),
        ("eth_estimateGas", [{"data": LARGE}]),
        ("eth_sendRawTransaction", ["0x02" + LARGE[2:]]),
        ("eth_sendTransaction", [{"from": OTHER, "data": LARGE}]),
        ("debug_traceCall", [{"data": LARGE}, "latest"]),
        ("debug_traceBlock", [LARGE]),
        ("eth_get" + LARGE, []),
        ("debug_traceCall", [{"data": LOOP}, "latest"]),
        ("debug_traceCall", [{"data": LOOP}, "latest", {"enableMemory": True}]),
        ("trace_call", [{"data": LOOP}, ["vmTrace"]]),
    ],
)
def test_a_large_request_that_is_refused_is_forgotten_at_once(
    abused: Served, method: str, params: list[Any]
) -> None:
    """Its memory is free when it is answered, not when cycles are looked for."""
    abused.refusal(method, *params)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(10):
            abused.refusal(method, *params)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 1_500_000  # it was 2.5 MB at least when each waited for the collector


@pytest.mark.parametrize("item", [b"1", b"{}", b'""', b"[[[[]]]]", b'{"a":1}'])
def test_what_millions_of_values_mean_is_not_looked_at(abused: Served, item: bytes) -> None:
    """Decoding them all would hold up the event loop for a second."""
    many = b",".join([item] * (2 * 10**6 // len(item)))
    for size in (10**6, len(many)):  # as plain requests come, and larger
        some = many[: size - (size + 1) % (len(item) + 1)]
        (batch,) = abused.post(b"[" + some + b"]")
        assert batch["error"] == {"code": -32600, "message": "batch too large"}
        call = b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[' + some + b"]}"
        assert abused.post(call)["error"] == {
            "code": -32600,
            "message": "too many values in params, at most 100000",
        }


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"net_version"}', 7),
        (b'{"jsonrpc":"2.0","id":"a\\"}","method":"net_version"}', 'a"}'),
        (b"7", None),
        (b'"' + b"a" * 10_000 + b'"', None),
    ],
)
def test_a_batch_that_is_not_read_is_refused_with_its_first_id(
    abused: Served, first: bytes, told: Any
) -> None:
    body = b" [ " + first + b",1" * 200_000 + b"]"
    assert abused.post(body) == [
        {
            "jsonrpc": "2.0",
            "id": told,
            "error": {"code": -32600, "message": "batch too large"},
        }
    ]


def test_lists_in_lists_without_end_are_a_parse_error(abused: Served) -> None:
    for body in (b"[" * 1_000_000, b"[" * 2_000_000 + b"]" * 2_000_000):
        assert abused.post(body)["error"] == {"code": -32700, "message": "parse error"}
