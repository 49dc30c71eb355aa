"""HTTP as geth speaks it, and what is turned away before any method runs."""

import gzip
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.node.rpc.serving import OTHER, Served
from tests.support.daemon import wait_until

CALL = b'{"jsonrpc":"2.0","id":1,"method":"net_version"}'


def test_a_get_without_a_body_is_a_health_check(served: Served) -> None:
    status, _, body = served.http(None, verb="GET")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH", "HEAD"])
def test_other_verbs_are_not_allowed(served: Served, verb: str) -> None:
    assert served.http(CALL, verb=verb)[0] == 405


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/", 200),
        ("http://127.0.0.1:8545/", 200),
        ("http://evil.example/", 403),
        ("http://localhost@evil.example/", 403),
        ("/http://evil.example/", 404),
    ],
)
def test_a_whole_url_as_target_goes_to_a_host_that_is_ours(
    served: Served, target: str, status: int
) -> None:
    """A name there is as much a name as in the header."""
    assert served.http(CALL, path=target)[0] == status


def test_other_paths_are_not_found(served: Served) -> None:
    assert served.http(CALL, path="/other")[0] == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_content_type_is_refused(served: Served, kind: str) -> None:
    status, _, body = served.http(CALL, {"Content-Type": kind})
    assert status == 415
    assert b"only application/json is supported" in body


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/json-rpc"]
)
def test_json_content_types_are_taken(served: Served, kind: str) -> None:
    status, headers, _ = served.http(CALL, {"Content-Type": kind})
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")


def test_an_empty_body_gets_an_empty_answer(served: Served) -> None:
    assert served.http(b"")[::2] == (200, b"")


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(served: Served) -> None:
    limit = served.node.settings.rpc.body_bytes_max
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as raw:
        raw.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (10**9)
        )
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 413
        assert f"content length too large (1000000000>{limit})".encode() in answer.read()


def test_a_body_in_chunks_that_grows_too_large_is_refused() -> None:
    with Served(rpc={"body_bytes_max": 10_000}) as small:
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=30)
        chunks = iter([b" " * 4_000] * 4)
        connection.request(
            "POST", "/", chunks, {"Content-Type": "application/json"}, encode_chunked=True
        )
        assert connection.getresponse().status == 413
        connection.close()
        assert small.call("net_version") == "31337"


def test_a_compressed_body_is_not_unpacked(served: Served) -> None:
    """A small body that unpacks to a large one must not get past the limit."""
    body = gzip.compress(b" " * 50_000_000 + CALL)
    _, _, answer = served.http(body, {"Content-Encoding": "gzip"})
    assert b"-32700" in answer


def test_a_caller_that_waits_to_be_told_to_continue_is_told(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as raw:
        raw.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CALL)
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 100")
        raw.sendall(CALL)
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert b"31337" in answer.read()


def test_a_body_that_never_ends_is_given_up() -> None:
    with (
        Served(rpc={"read_timeout_ms": 50}) as hasty,
        socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as raw,
    ):
        raw.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 50\r\n\r\n{"
        )
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 408


@pytest.mark.parametrize(
    "begun",
    [b"P", b"POST / HTTP/1.1\r\nHost: localhost\r\nX", b"GET / HTTP/1.1\r\nHost: localhost\r\n"],
)
def test_headers_that_never_end_are_given_up(begun: bytes) -> None:
    with (
        Served(rpc={"read_timeout_ms": 50}) as hasty,
        socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as raw,
        socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as other,
    ):
        other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.recv(4096).startswith(b"HTTP/1.1 200")
        raw.sendall(begun)
        assert raw.recv(4096) == b""
        other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.recv(4096).startswith(b"HTTP/1.1 200")


def test_more_connections_than_allowed_are_turned_away() -> None:
    """Also those that never say a word: each would hold a descriptor."""
    with Served(rpc={"connections_max": 2}) as few:
        silent = [socket.create_connection(("127.0.0.1", few.port)) for _ in range(2)]
        with pytest.raises((ConnectionError, http.client.HTTPException, AssertionError)):
            for _ in range(100):
                assert few.http(CALL)[0] == 200
        for connection in silent:
            connection.close()
        for _ in range(1000):
            try:
                if few.http(CALL)[0] == 200:
                    break
            except (ConnectionError, http.client.HTTPException):
                continue
        assert few.call("net_version") == "31337"


def test_a_burst_of_connections_does_not_pass_the_limit() -> None:
    """All of them are there before the first is served."""
    request = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(CALL) + CALL
    with Served(rpc={"connections_max": 3}) as few:
        callers: list[socket.socket] = []

        async def burst() -> None:
            for _ in range(20):  # in the server's own thread, so that it accepts none meanwhile
                callers.append(socket.create_connection(("127.0.0.1", few.port)))

        few.run(burst)
        answers = []
        for caller in callers:
            caller.settimeout(30)
            try:
                caller.sendall(request)
                answers.append(caller.recv(65_536)[9:12])
            except ConnectionError:
                answers.append(b"503")
        for caller in callers:
            caller.close()
        assert answers.count(b"200") == 3


@pytest.mark.parametrize(
    "sent",
    [b"no HTTP\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", b"\x16\x03\x01\x00"],
)
def test_callers_that_speak_no_http_or_go_away_leave_no_traces_in_the_log(
    served: Served, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as caller:
        caller.settimeout(30)
        caller.sendall(sent)
        caller.shutdown(socket.SHUT_WR)
        while True:
            try:
                if not caller.recv(65_536):
                    break
            except ConnectionError:
                break
    assert served.http(CALL)[0] == 200
    assert not caplog.records


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8545", "LOCALHOST", "127.0.0.1:1", "[::1]:8545", "192.168.0.7"]
)
def test_hosts_that_are_ours_are_served(served: Served, host: str) -> None:
    assert served.http(CALL, {"Host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8545", "localhost.evil.example", "localhost.", "127.0.0.1.evil",
     "[localhost]evil.example", "[localhost]", "[::1].evil.example", "[::1", "127.0.0.1:evil",
     "localhost:80@evil.example", "user@localhost", "localhost,evil.example", "localhost/evil",
     "localhost evil.example", "[evil.example]:8545", "127.1", "0x7f.1"],
)  # fmt: skip
def test_a_host_name_that_is_not_ours_is_refused(served: Served, host: str) -> None:
    """DNS rebinding: a page's own name that resolves to this machine."""
    status, _, body = served.http(CALL, {"Host": host})
    assert status == 403
    assert body == b"invalid host specified\n"


def test_host_names_can_be_allowed() -> None:
    with Served(rpc={"hosts": ("node.example",)}) as named:
        assert named.http(CALL, {"Host": "node.example"})[0] == 200
        assert named.http(CALL, {"Host": "other.example"})[0] == 403


def test_a_browser_of_an_allowed_origin_may_read_the_answer() -> None:
    with Served(rpc={"cors_origins": ("https://app.example",)}) as open_to_one:
        _, headers, _ = open_to_one.http(CALL, {"Origin": "https://app.example"})
        assert headers["Access-Control-Allow-Origin"] == "https://app.example"
        _, headers, _ = open_to_one.http(CALL, {"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in headers


def test_a_page_of_this_machine_may_call_when_no_origins_are_named() -> None:
    """As a dApp's development server needs it."""
    with Served(rpc={"cors_origins": ()}) as usual:
        for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:80"):
            _, headers, _ = usual.http(CALL, {"Origin": origin})
            assert headers["Access-Control-Allow-Origin"] == origin
        for origin in (
            "https://evil.example", "null", "http://localhost.evil.example", "file://",
            "http://localhost@evil.example", "http://evil.example#localhost", "localhost",
            "http://localhost:3000, http://evil.example", "http://localhost:3000/evil",
            "http://localhost:evil", "http://evil.localhost", "http://127.1",
        ):  # fmt: skip
            _, headers, _ = usual.http(CALL, {"Origin": origin})
            assert "Access-Control-Allow-Origin" not in headers
    with Served(rpc={"cors_origins": ("https://app.example",)}) as open_to_one:
        _, headers, _ = open_to_one.http(CALL, {"Origin": "http://localhost:3000"})
        assert "Access-Control-Allow-Origin" not in headers


def test_a_preflight_tells_what_is_allowed() -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    with Served(rpc={"cors_origins": ("*",)}) as open_to_all:
        status, headers, _ = open_to_all.http(None, asked, verb="OPTIONS")
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert headers["Access-Control-Allow-Headers"] == "content-type"
    assert "POST" in headers["Access-Control-Allow-Methods"]


def test_a_preflight_of_an_origin_not_allowed_gets_nothing() -> None:
    with Served(rpc={"cors_origins": ()}) as closed:
        status, headers, _ = closed.http(None, {"Origin": "https://evil.example"}, verb="OPTIONS")
    assert status == 204
    assert not [name for name in headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "request_bytes",
    [
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(
    served: Served, request_bytes: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as raw:
        raw.sendall(request_bytes)
        assert raw.recv(100).split(b" ", 2)[1] == b"400"


def test_a_busy_port_is_an_error(served: Served) -> None:
    second = Served(rpc={"port": served.port})
    with pytest.raises(OSError, match="address already in use"):
        second.__enter__()


def test_blocks_and_cheap_calls_go_on_while_endless_calls_run() -> None:
    """More endless calls than there are threads for: the rest waits in line or is refused."""
    endless = {"data": "0x5b5f5f5f5f60045afa505f56", "gas": hex(10**12)}
    limits = {"call_gas_max": 10**12, "calls_waiting_max": 2, "call_timeout_ms": 1000}
    with Served(rpc=limits) as served, ThreadPoolExecutor(10) as callers:
        running = [callers.submit(served.refusal, "eth_call", endless) for _ in range(10)]
        for _ in range(20):
            assert served.send(to=OTHER, gas="0x5208")["status"] == "0x1"
            assert served.call("eth_getBalance", OTHER) != "0x0"
        assert {job.result().code for job in running} <= {-32002, -32005}


def test_a_batch_of_a_hundred_thousand_is_refused(served: Served) -> None:
    body = b"[" + b",".join([CALL] * 100_000) + b"]"
    assert len(body) <= served.node.settings.rpc.body_bytes_max
    assert served.post(body)[0]["error"]["message"] == "batch too large"


def test_who_has_idled_for_long_makes_room_for_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent connections alone do not keep others out; a request that is coming is not cut off."""
    monkeypatch.setattr("node.rpc.plain._YIELD_SECONDS", 0.0)
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    begun += b"Content-Length: %d\r\n\r\n" % len(CALL)
    with Served(rpc={"connections_max": 2}) as few:
        coming = socket.create_connection(("127.0.0.1", few.port), timeout=30)
        coming.sendall(begun)
        assert few.call("net_version") == "31337"
        wait_until(lambda: few.server._open == 1)
        silent = socket.create_connection(("127.0.0.1", few.port), timeout=30)
        wait_until(lambda: few.server._open == 2)
        for _ in range(5):
            assert few.http(CALL)[0] == 200
        assert silent.recv(1) == b""
        coming.sendall(CALL)
        assert coming.recv(4096).startswith(b"HTTP/1.1 200")
        for caller in (coming, silent):
            caller.close()
