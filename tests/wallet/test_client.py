"""The JSON-RPC client: whatever the other side sends, the failure is clear and typed."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.wallet.fake_node import FakeNode, RpcError, fake_node
from wallet.client import Client, RpcRefused
from wallet.outcome import Exit, Failed


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as node:
        yield node


def test_calls_share_a_connection_and_return_results(node: FakeNode) -> None:
    client = Client(node.url)
    assert client.call("eth_getTransactionByHash", "0x00") is None
    assert [client.quantity("eth_chainId") for _ in range(3)] == [31337] * 3
    client.close()


def test_a_call_after_the_node_closed_the_connection_is_repeated() -> None:
    with fake_node() as node:
        client = Client(node.url)
        assert client.quantity("eth_chainId") == 31337
        assert client._connection.sock is not None
        client._connection.sock.shutdown(socket.SHUT_RDWR)
        assert client.quantity("eth_chainId") == 31337


def test_an_error_keeps_its_code_message_and_data(node: FakeNode) -> None:
    def refuse(params: list[object]) -> object:
        raise RpcError(3, "execution reverted: no", "0x08c379a0")

    node.answers["eth_call"] = refuse
    with pytest.raises(RpcRefused) as refusal:
        Client(node.url).call("eth_call", {})
    error = refusal.value
    assert (error.code, error.message, error.data) == (3, "execution reverted: no", "0x08c379a0")
    assert not error.is_unknown_method


def test_an_unknown_method_is_told_apart(node: FakeNode) -> None:
    with pytest.raises(RpcRefused) as refusal:
        Client(node.url).call("eth_nothing")
    assert refusal.value.is_unknown_method


def test_a_nodes_text_cannot_steer_the_terminal(node: FakeNode) -> None:
    def refuse(params: list[object]) -> object:
        raise RpcError(-32000, "\x1b[2Jgone\n" + "x" * 5000)

    node.answers["eth_call"] = refuse
    with pytest.raises(RpcRefused) as refusal:
        Client(node.url).call("eth_call")
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 400


@pytest.mark.parametrize(
    "reply",
    [
        *(b"", b"hello", b"[]", b"{}", b"null", b"[" * 20_000, b"\xff\xfe", b'{"id":1}'),
        b'{"id":1,"error":"text"}',
        b'{"id":7,"result":"0x1"}',
        b'{"id":1,"result":7}',
        b'{"id":1,"result":"7"}',
        b'{"id":1,"result":"0x"}',
        b'{"id":1,"result":"0x01"}',
        b'{"id":1,"result":null}',
    ],
)
def test_a_reply_that_makes_no_sense_counts_as_no_node(node: FakeNode, reply: bytes) -> None:
    node.raw_reply = reply
    with pytest.raises(Failed, match="does not answer as a node does") as failure:
        Client(node.url).quantity("eth_chainId")
    assert failure.value.exit_code is Exit.UNREACHABLE


def test_an_error_without_an_id_is_still_an_answer(node: FakeNode) -> None:
    error = {"code": -32700, "message": "parse error"}
    node.raw_reply = json.dumps({"id": None, "error": error}).encode()
    with pytest.raises(RpcRefused, match="parse error"):
        Client(node.url).call("eth_chainId")


def test_an_http_error_is_reported_with_its_status(node: FakeNode) -> None:
    node.raw_reply, node.http_status = b"<html>", 502
    with pytest.raises(Failed, match="502") as failure:
        Client(node.url).call("eth_chainId")
    assert failure.value.exit_code is Exit.UNREACHABLE


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(Failed, match="no node answers at") as failure:
            Client(url).call("eth_chainId")
    assert failure.value.exit_code is Exit.UNREACHABLE


def test_a_node_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Failed, match="no answer") as failure:
            Client(url, timeout_seconds=0.05).call("eth_chainId")
    assert failure.value.exit_code is Exit.UNREACHABLE


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8545", "http://", "http://h:port", "file:///etc"])
def test_an_address_that_is_not_http_is_a_usage_error(url: str) -> None:
    with pytest.raises(Failed) as failure:
        Client(url)
    assert failure.value.exit_code is Exit.USAGE


def test_a_bare_host_and_port_is_taken_as_http(node: FakeNode) -> None:
    assert Client(node.url.removeprefix("http://")).quantity("eth_chainId") == 31337
