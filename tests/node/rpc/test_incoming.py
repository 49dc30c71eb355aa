"""Large requests: only so many bytes of them are held at a time, over whatever they come."""

import json
import socket
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from node.rpc.incoming import CROWDED, Incoming
from node.rpc.outgoing import LARGE
from tests.node.rpc.serving import Served
from tests.support.daemon import wait_until

CALL = b'{"jsonrpc":"2.0","id":1,"method":"net_version"}'
LARGE_CALL = CALL + b" " * (2 * LARGE)
PLAIN = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = PLAIN + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(LARGE_CALL), LARGE_CALL)


@pytest.fixture
def small() -> Iterator[Served]:
    """A server that holds one such request, and not two."""
    with Served() as small:
        small.server._incoming.held_max = 3 * LARGE
        yield small


def held(served: Served) -> int:
    return served.server._incoming.held


def test_what_is_released_makes_room() -> None:
    incoming = Incoming(4 * LARGE)
    first, second, third = incoming.request(), incoming.request(), incoming.request()
    assert first.take(2 * LARGE)
    assert first.take(LARGE)
    assert second.take(LARGE)  # small ones are not counted
    assert incoming.held == 3 * LARGE
    assert not second.take(LARGE)
    first.release()
    first.release()
    assert second.take(LARGE)
    second.release()
    assert third.take(9 * LARGE)  # alone
    third.release()
    assert incoming.held == 0


@pytest.mark.parametrize(
    "begun",
    [
        PLAIN + b"Content-Length: %d\r\n\r\n{" % len(LARGE_CALL),
        PLAIN + b"X-Odd: \xc3\xa4\r\nContent-Length: %d\r\n\r\n{" % len(LARGE_CALL),
        CHUNKED + CHUNK,
    ],
)
def test_while_one_is_held_others_are_told_to_come_again(small: Served, begun: bytes) -> None:
    """Small ones are answered meanwhile; a caller who goes away gives its room back."""
    with socket.create_connection(("127.0.0.1", small.port)) as slow:
        slow.sendall(begun)
        wait_until(lambda: held(small) > 0)
        for odd in ({}, {"X-Odd": "ä"}):
            status, _, words = small.http(LARGE_CALL, odd)
            assert (status, words.decode()) == (503, CROWDED + "\n")
        with socket.create_connection(("127.0.0.1", small.port), timeout=30) as other:
            other.sendall(CHUNKED + CHUNK)
            assert other.recv(100).startswith(b"HTTP/1.1 503")
        with connect(f"ws://127.0.0.1:{small.port}") as caller:
            caller.send(LARGE_CALL.decode())
            refusal = json.loads(caller.recv(timeout=30))
            assert refusal["error"] == {"code": -32005, "message": CROWDED}
            caller.send(CALL.decode())
            assert json.loads(caller.recv(timeout=30))["result"] == "31337"
        assert small.call("net_version") == "31337"
    wait_until(lambda: held(small) == 0)
    assert small.http(LARGE_CALL)[0] == 200


def test_what_is_answered_is_no_longer_held(small: Served) -> None:
    batch = b"[" + CALL + b"]" + b" " * 2 * LARGE
    endless = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_call",
         "params": [{"data": "0x5b5f56" + "00" * LARGE, "gas": "0x989680"}]}
    ).encode()  # fmt: skip
    with connect(f"ws://127.0.0.1:{small.port}") as caller:
        for body in (LARGE_CALL, batch, endless, b" " * 2 * LARGE + b"nonsense"):
            for odd in ({}, {"X-Odd": "ä"}):
                assert small.http(body, odd)[0] == 200
                wait_until(lambda: held(small) == 0)
            caller.send(body.decode())
            assert "jsonrpc" in str(caller.recv(timeout=30))
            wait_until(lambda: held(small) == 0)
