"""Plain requests: what counts as one, and that connections behave as HTTP's ought to."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.heads import read_fields
from tests.node.rpc.serving import Served
from tests.support.daemon import wait_until

CALL = b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":[]}'
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
# Waits in a thread: eth_call of nothing to nobody.
SLOW = b'{"jsonrpc":"2.0","id":%d,"method":"eth_call","params":[{"to":"0x%040x"}]}'


def request(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def raw(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as raw:
        yield raw


def answers(raw: socket.socket, count: int) -> list[dict[str, object]]:
    """So many answers on one connection, decoded."""
    found = []
    with raw.makefile("rb") as lines:
        for _ in range(count):
            assert lines.readline().split(b" ")[1] == b"200"
            headers = http.client.parse_headers(lines)
            body = lines.read(int(headers["Content-Length"]))
            found.append(json.loads(body) if body else {})
    return found


# -- what is plain -----------------------------------------------------------------------------


def test_the_headers_that_matter_are_read() -> None:
    fields = read_fields(
        b"POST / HTTP/1.1\r\nHOST:example:80\r\ncontent-type:  application/json \r\n"
        b"Content-Length: 12\r\nOrigin: http://a\r\nConnection: Close\r\nX-Other: 1\r\n\r\n"
    )
    assert fields is not None
    assert (fields.host, fields.content_type) == ("example:80", "application/json")
    assert (fields.size, fields.closes, fields.origin) == (12, True, "http://a")
    assert fields.others == {"x-other"}


@pytest.mark.parametrize(
    "lines",
    [
        b"",  # no length
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 9999999999999\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding:\r\n",
        b"Content-Length: 5\r\nContent-Encoding: gzip\r\n",
        b"Content-Length: 5\r\nExpect: 100-continue\r\n",
        b"Content-Length: 5\r\nUpgrade: websocket\r\n",
        b"Content-Length: 5\r\nConnection: upgrade\r\n",
        b"Content-Length: 5\r\nHost: a\r\nHost: b\r\n",
        b"Content-Length: 5\r\nOrigin: a\r\nOrigin: b\r\n",
        b"Content-Length : 5\r\n",
        b" Content-Length: 5\r\n",
        b"Content-Length: 5\r\n folded: 1\r\n",
        b"Content-Length: 5\r\nX: a\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nX: a\rTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nX: a\x00\r\n",
        b"Content-Length: 5\r\nX: \xff\r\n",
        b"Content-Length: 5\r\nno colon\r\n",
        b"Content-Length: 5\r\n: nameless\r\n",
        b"Content-Length: 5\r\nX: " + b"x" * 9000 + b"\r\n",
    ],
)
def test_what_could_be_read_in_another_way_is_not_plain(lines: bytes) -> None:
    assert read_fields(b"POST / HTTP/1.1\r\n" + lines + b"\r\n") is None


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"POST / HTTP/1.0", b"POST  / HTTP/1.1",
        b"post / HTTP/1.1", b"POST http://a/ HTTP/1.1", b"POST /? HTTP/1.1", b"\r\nPOST / HTTP/1.1",
    ],
)  # fmt: skip
def test_only_posts_to_the_root_are_plain(line: bytes) -> None:
    assert read_fields(line + b"\r\nContent-Length: 5\r\n\r\n") is None


@given(st.binary(max_size=60))
def test_no_bytes_among_the_headers_crash_the_reading(noise: bytes) -> None:
    fields = read_fields(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n" + noise + b"\r\n\r\n")
    assert fields is None or fields.size == 5


# -- connections -------------------------------------------------------------------------------


def test_requests_that_come_together_are_answered_in_their_order(raw: socket.socket) -> None:
    """Some at once and some by threads, in one piece of bytes."""
    bodies = [
        SLOW % (number, number) if number % 3 == 0 else CALL % (number, b"eth_blockNumber")
        for number in range(50)
    ]
    raw.sendall(b"".join(map(request, bodies)))
    assert [answer["id"] for answer in answers(raw, 50)] == list(range(50))


def test_a_request_that_comes_byte_by_byte_is_answered(raw: socket.socket) -> None:
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request(CALL % (7, b"eth_chainId")):
        raw.sendall(bytes((byte,)))
    assert answers(raw, 1)[0]["result"] == "0x7a69"


def test_a_body_may_come_after_its_head(raw: socket.socket) -> None:
    body = CALL % (7, b"eth_chainId")
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(3):
        raw.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        raw.sendall(body[:10])
        raw.sendall(body[10:])
        assert answers(raw, 1)[0]["id"] == 7


def test_other_requests_on_the_same_connection_are_answered_too(raw: socket.socket) -> None:
    body = CALL % (7, b"eth_chainId")
    health = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    raw.sendall(request(body) + health + HEAD + chunked + request(body))
    assert [answer.get("id") for answer in answers(raw, 4)] == [7, None, 7, 7]


def test_a_connection_ends_when_the_caller_wants_it_to(raw: socket.socket) -> None:
    raw.sendall(request(CALL % (7, b"eth_chainId"), HEAD + b"Connection: close\r\n"))
    assert answers(raw, 1)[0]["id"] == 7
    assert raw.recv(1) == b""


def test_a_caller_that_has_said_all_still_gets_its_answers(raw: socket.socket) -> None:
    raw.sendall(request(SLOW % (1, 1)) + request(SLOW % (2, 2)))
    raw.shutdown(socket.SHUT_WR)
    assert [answer["id"] for answer in answers(raw, 2)] == [1, 2]
    assert raw.recv(1) == b""


def test_a_notification_gets_an_empty_answer(raw: socket.socket) -> None:
    raw.sendall(request(b'{"jsonrpc":"2.0","method":"eth_chainId"}'))
    assert answers(raw, 1) == [{}]


def test_a_host_that_is_not_ours_is_refused_after_one_that_is(raw: socket.socket) -> None:
    """Nothing that was allowed once is taken for allowed again."""
    body = CALL % (7, b"eth_chainId")
    raw.sendall(request(body))
    assert answers(raw, 1)[0]["id"] == 7
    raw.sendall(request(body, HEAD.replace(b"localhost", b"evil.test")))
    assert raw.recv(100).split(b" ", 2)[1] == b"403"


def test_a_caller_through_a_proxy_is_not_of_this_machine(served: Served) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"admin_nodeInfo"}'
    assert json.loads(served.http(body)[2])["error"]["code"] == -32000  # it has no network
    refused = json.loads(served.http(body, {"X-Forwarded-For": "9.9.9.9"})[2])
    assert refused["error"]["code"] == -32601
    foreign = json.loads(served.http(body, {"Origin": "http://evil.test"})[2])
    assert foreign["error"]["code"] == -32601


def test_a_caller_that_never_reads_is_not_answered_without_end() -> None:
    """Requests are left unread once their answers are."""
    with (
        Served() as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=2) as raw,
    ):
        many = request(CALL % (1, b"web3_clientVersion")) * 1_000
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 300_000:
                raw.sendall(many)
                sent += 1_000
        assert served.call("eth_chainId") == "0x7a69"


def test_nobody_computes_for_a_caller_who_is_gone(served: Served) -> None:
    """Given that connections break off while their traces wait in line, the line is empty."""
    trace = CALL.replace(b"[]", b'[{"data":"0x5b5f56"},"latest",{"limit":1}]')
    gone = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    for raw in gone:
        raw.sendall(request(trace % (1, b"debug_traceCall")))
    line = served.server._heavy._traces
    wait_until(lambda: line.unfinished > 10)
    for raw in gone:  # with this, closing breaks off
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
    wait_until(lambda: not served.server._plain or not len(served.server._plain))
    assert sum(not place.left for place in line._waiting) == 0
