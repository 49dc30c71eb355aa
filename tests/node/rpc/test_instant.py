"""What is answered at once is what would be answered otherwise."""

import asyncio
import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from node.rpc import context
from node.rpc.instant import answer_at_once
from node.rpc.usual import instant_methods
from node.watch.metrics import CallCounts
from tests.node.rpc.serving import OTHER, SENDER, Served

CALLS: list[tuple[str, list[Any]]] = [
    ("eth_blockNumber", []),
    ("eth_getBalance", [SENDER, "latest"]),
    ("eth_getBalance", [OTHER]),
    ("eth_getBalance", [OTHER, "0x999999"]),
    ("eth_getBalance", [OTHER, {"blockNumber": "0x0"}]),
    ("eth_getTransactionCount", [SENDER, "pending"]),
    ("eth_getCode", [OTHER, "latest"]),
    ("eth_getStorageAt", [OTHER, "0x0", "latest"]),
    ("eth_getHeaderByNumber", ["latest"]),
    ("eth_chainId", []),
    ("net_version", []),
    ("web3_sha3", ["0x68656c6c6f"]),
]


def encoded(method: str, params: list[Any], id_: str = "1") -> bytes:
    text = json.dumps(params)
    return f'{{"jsonrpc":"2.0","id":{id_},"method":"{method}","params":{text}}}'.encode()


def both(served: Served, body: bytes) -> tuple[bytes | None, bytes | None]:
    """The answer at once (None: none) and the one of the dispatcher."""
    server = served.server

    async def answer() -> tuple[bytes | None, bytes | None]:
        made = answer_at_once(body, server._context, server._settings, CallCounts())
        at_once = await made if asyncio.iscoroutine(made) else made
        assert at_once is None or isinstance(at_once, bytes)
        return at_once, await server._dispatcher.answer(body, server._context)

    result: tuple[bytes | None, bytes | None] = served.run(answer)
    return result


@pytest.mark.parametrize(("method", "params"), CALLS)
@pytest.mark.parametrize("id_", ["1", '"a b"', '"\\u00e9"', "18446744073709551617000"])
def test_the_answer_is_the_same(served: Served, method: str, params: list[Any], id_: str) -> None:
    at_once, otherwise = both(served, encoded(method, params, id_))
    assert at_once is not None
    assert at_once == otherwise


@pytest.mark.parametrize("count", [1, 12, 129, 600])
def test_batches_are_answered_the_same(served: Served, count: int) -> None:
    calls = [encoded(*CALLS[number % len(CALLS)], str(number)) for number in range(count)]
    at_once, otherwise = both(served, b"[" + b",".join(calls) + b"]")
    assert at_once is not None
    assert at_once == otherwise


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"',
        b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":5}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x1"]}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_unknown"}',
        b'{"jsonrpc":"2.0","id":1,"method":"admin_nodeInfo"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice"}',  # waits
        b'[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},1]',
        b'[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","method":"eth_call"}]',
        b'{"jsonrpc":"2.0","id":"\xff","method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":' + b"[" * 5000 + b"]" * 5000
        + b"}",
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_the_dispatcher(served: Served, body: bytes) -> None:
    assert both(served, body)[0] is None


def test_more_calls_than_a_batch_may_have_are_left_to_the_dispatcher(served: Served) -> None:
    batch = b"[" + b",".join([encoded("eth_chainId", [])] * 1001) + b"]"
    assert both(served, batch)[0] is None


def test_a_batch_that_says_too_much_is_cut_at_the_same_call() -> None:
    calls = [encoded("eth_getHeaderByNumber", ["latest"], str(number)) for number in range(200)]
    with Served(rpc={"response_bytes_max": 100_000}) as served:
        at_once, otherwise = both(served, b"[" + b",".join(calls) + b"]")
        assert at_once == otherwise
        assert at_once is not None and b"response too large" in at_once


def test_methods_that_wait_or_compute_are_not_instant() -> None:
    names = instant_methods()
    assert "eth_getBalance" in names
    assert not {"eth_call", "eth_getLogs", "eth_sendRawTransaction", "eth_gasPrice"} & set(names)


def test_a_method_that_crashes_does_not_take_its_batch_along(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(ctx: object) -> int:
        raise ZeroDivisionError

    method = instant_methods()["eth_mining"]
    function: Callable[..., Any] = method.function
    monkeypatch.setattr(method, "function", crash)
    body = b"[" + encoded("eth_mining", []) + b"," + encoded("net_version", [], "2") + b"]"
    at_once, otherwise = both(served, body)
    assert at_once == otherwise
    first, second = json.loads(at_once or b"")
    assert first["error"]["message"] == "method handler crashed"
    assert second["result"] == "31337"
    monkeypatch.setattr(method, "function", function)


def test_calls_are_counted_by_method_and_outcome(served: Served) -> None:
    counts = CallCounts()
    body = b"[" + b",".join(encoded("eth_getBalance", [OTHER]) for _ in range(5)) + b"]"
    server = served.server

    async def answer() -> None:
        answer_at_once(body, server._context, server._settings, counts)

    served.run(answer)
    (family, _) = counts.families()
    samples = {(dict(each.labels)["method"], dict(each.labels)["outcome"]): each.value
               for each in family.samples}  # fmt: skip
    assert samples["eth_getBalance", "success"] == 5


def test_a_heavy_call_over_http_is_what_the_dispatcher_answers(served: Served) -> None:
    """Also when it fails, and when its arguments are wrong."""
    server = served.server
    reverts = {"data": "0x5f5ffd"}
    for params in ([{"to": OTHER}], [reverts, "latest"], [{"to": "0x1"}], [], [{}, "0x999999"]):
        body = encoded("eth_call", params)

        async def otherwise(body: bytes = body) -> bytes | None:
            return await server._dispatcher.answer(body, server._context)

        assert served.http(body)[2] == served.run(otherwise)


def test_heavy_calls_beyond_the_limit_are_refused_and_the_rest_is_answered() -> None:
    endless = {"data": "0x5b5f5f5f5f60045afa505f56", "gas": hex(10**12)}
    limits = {"call_gas_max": 10**12, "calls_waiting_max": 2, "call_timeout_ms": 500}
    many = encoded("eth_call", [endless])
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(many) + many
    with Served(rpc=limits) as served:
        callers = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(12)]
        for caller in callers:
            caller.settimeout(60)
            caller.sendall(request)
        codes = set()
        for caller in callers:
            with caller, caller.makefile("rb") as lines:
                assert lines.readline().split(b" ")[1] == b"200"
                size = int(http.client.parse_headers(lines)["Content-Length"])
                codes.add(json.loads(lines.read(size))["error"]["code"])
        assert codes == {-32002, -32005}
        assert served.call("eth_chainId") == "0x7a69"


def test_blocks_that_have_to_be_decoded_first_are_read_in_a_thread(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = served.send(to=OTHER)
    calls = [
        encoded("eth_chainId", [], "1"),
        encoded("eth_getTransactionReceipt", [receipt["transactionHash"]], "2"),
        encoded("eth_getBlockByNumber", [receipt["blockNumber"], True], "3"),
        encoded("eth_getBlockByNumber", ["pending", False], "4"),
        encoded("eth_blockNumber", [], "5"),
    ]
    expected = [served.post(call) for call in calls]
    monkeypatch.setattr(context, "_SMALL_BLOCK_GAS", -1)
    served.node.ledger._forget()
    served.server._context.remembered._begin()
    for call, answer in zip(calls, expected, strict=True):
        assert served.post(call) == answer
    served.node.ledger._forget()
    served.server._context.remembered._begin()
    at_once, otherwise = both(served, b"[" + b",".join(calls) + b"]")
    assert at_once == otherwise
    assert json.loads(at_once or b"") == expected
