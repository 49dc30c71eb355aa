"""Long answers: sent piece by piece, as fast as they are read, and only so many at a time."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from node.rpc.outgoing import LARGE, Outgoing
from tests.node.rpc.serving import Served
from tests.support.daemon import wait_until

NOBODY = "0x" + "99" * 20
# Returns 4 MiB of zeros: push3 4194304 push0 return
HUGE = [{"to": NOBODY}, "latest", {NOBODY: {"code": "0x624000005ff3"}}]
REQUEST = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": HUGE}).encode()
SIZE = 2 * 4 * 2**20  # of the answer, about


@pytest.fixture
def small() -> Iterator[Served]:
    """A server on whose way one such answer may be, and not two."""
    with Served() as small:
        small.server._outgoing.waiting_max = SIZE + SIZE // 2
        yield small


def test_what_is_given_back_can_be_taken_again() -> None:
    outgoing = Outgoing(10)
    assert outgoing.take(6)
    assert not outgoing.take(6)
    assert outgoing.take(4)
    outgoing.give_back(6)
    outgoing.give_back(4)
    assert outgoing.take(1_000)  # nothing else waits
    assert not outgoing.take(1)


def test_a_long_answer_comes_whole_and_is_counted_only_while_it_is_sent(small: Served) -> None:
    for _ in range(3):
        status, headers, answer = small.http(REQUEST, {"Origin": "http://localhost"})
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert headers["Access-Control-Allow-Origin"] == "http://localhost"
        assert int(headers["Content-Length"]) == len(answer) > LARGE
        assert json.loads(answer)["result"] == "0x" + "00" * 4 * 2**20
        # Who has read the last byte is a moment ahead of the server.
        wait_until(lambda: small.server._outgoing.waiting == 0)


def test_answers_that_nobody_reads_are_limited_and_others_are_served(small: Served) -> None:
    """Given a caller that does not read, the next long answer is refused, until it goes away."""
    idle = socket.create_connection(("127.0.0.1", small.port))
    with idle:
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(REQUEST)}\r\n"
        idle.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + REQUEST)
        idle.recv(1, socket.MSG_PEEK)  # the answer has begun
        status, _, text = small.http(REQUEST)
        assert (status, b"waiting to be read" in text) == (503, True)
        assert small.call("eth_chainId") == "0x7a69"
    give_up = time.monotonic() + 30
    while small.http(REQUEST)[0] != 200:
        assert time.monotonic() < give_up
