"""What a fork is told: servers that refuse, stall, mumble or have fields of their own; the file."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import Reason, Rejected, SourceFailed
from chain.records import decode_stored_header, encode_stored_header
from chain.types import Address, Hash, Height
from node.devchain.fork.answers import Answers
from node.devchain.fork.headers import parse_header
from node.devchain.fork.origin import ForkOrigin, NotFetched, turn
from node.devchain.fork.source import Refusal, Source

Reply = Callable[[Any], tuple[int, bytes]]
SOMEBODY = Address(b"\x11" * 20)


class Server:
    """An HTTP server that answers with what `reply` makes of a request's JSON."""

    def __init__(self, reply: Reply) -> None:
        self.requests: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                status, answer = reply(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def source(self) -> Source:
        return Source(self.url, pause=lambda seconds: None)


def _origin(server: Server) -> ForkOrigin:
    return ForkOrigin(server.source(), Answers(None), Height(5), Hash(bytes(32)), sure=True)


def _result(request: Any, result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def _answers(result_of: Callable[[str, Any], Any]) -> Reply:
    def reply(body: Any) -> tuple[int, bytes]:
        if isinstance(body, list):
            found: Any = [_result(each, result_of(each["method"], each["params"])) for each in body]
            found.reverse()  # in any order
        else:
            found = _result(body, result_of(body["method"], body["params"]))
        return 200, json.dumps(found).encode()

    return reply


def _account(method: str, params: Any) -> Any:
    return {"eth_getBalance": "0x5", "eth_getTransactionCount": "0x2", "eth_getCode": "0x6001"}.get(
        method, "0x" + "00" * 31 + "09"
    )


def test_an_account_is_one_request_and_is_never_asked_for_again() -> None:
    with Server(_answers(_account)) as server:
        origin = _origin(server)
        for _ in range(2):
            account = origin.account(SOMEBODY)
            assert account is not None
            assert (account.balance, account.nonce) == (5, 2)
            assert origin.code(account.code_hash) == b"\x60\x01"
            assert origin.storage(SOMEBODY, 1) == 9
        assert [len(each) if isinstance(each, list) else 1 for each in server.requests] == [3, 1]
        assert {each["params"][-1] for each in server.requests[0]} == {"0x5"}


def test_many_accounts_go_in_batches_that_a_server_may_refuse() -> None:
    """A server without batches answers one error to them; it is asked one by one from then on."""

    def reply(body: Any) -> tuple[int, bytes]:
        if isinstance(body, list):
            return 400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batch"}}'
        return 200, json.dumps(_result(body, _account(body["method"], None))).encode()

    addresses = [Address(bytes([index]) * 20) for index in range(1, 6)]
    for chosen, requests in ((_answers(_account), 1), (reply, 1 + 3 * 5)):
        with Server(chosen) as server:
            origin = _origin(server)
            origin.fetch_accounts(addresses)
            assert len(server.requests) == requests
            assert all(origin.account(address) for address in addresses)
            assert len(server.requests) == requests


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"not json"),
        (200, b'"text"'),
        (200, b"[]"),
        (200, b'{"id":0}'),
        (404, b"<html>"),
        (503, b"{}"),
        (200, b'{"id":0,"error":{"code":-32000,"message":"missing trie node"}}'),
    ],
)
def test_no_sense_is_no_state(answer: tuple[int, bytes]) -> None:
    with Server(lambda body: answer) as server:
        origin = _origin(server)
        for ask in (lambda: origin.account(SOMEBODY), lambda: origin.storage(SOMEBODY, 0)):
            with pytest.raises(SourceFailed):
                ask()


@pytest.mark.parametrize("value", [None, 5, "", "0x", "xyz", "-0x1", "0x1" + "0" * 64, {}, "0xzz"])
def test_values_that_are_none_are_refused(value: Any) -> None:
    with Server(_answers(lambda method, params: value)) as server:
        origin = _origin(server)
        with pytest.raises(SourceFailed):
            origin.storage(SOMEBODY, 0)
        with pytest.raises(SourceFailed):
            origin.account(SOMEBODY)


def test_a_busy_source_is_asked_again() -> None:
    busy = iter([(429, b"slow down"), (503, b"")])
    limited = iter([{"code": -32005, "message": "limit exceeded"}])

    def reply(body: Any) -> tuple[int, bytes]:
        if (said := next(busy, None)) is not None:
            return said
        if (error := next(limited, None)) is not None:
            return 200, json.dumps({"id": 0, "error": error}).encode()
        return 200, json.dumps(_result(body, "0x7")).encode()

    with Server(reply) as server:
        assert server.source().ask("eth_blockNumber") == "0x7"


@pytest.mark.parametrize(("busy", "waited"), [(4, 7.0), (5, 7.0)])
def test_a_busy_source_is_waited_for_some_seconds(busy: int, waited: float) -> None:
    """Public servers have limits per second, which is longer than a lost connection takes."""
    left, pauses = iter(range(busy)), list[float]()

    def reply(body: Any) -> tuple[int, bytes]:
        if next(left, None) is not None:
            return 429, b"slow down"
        return 200, json.dumps(_result(body, "0x7")).encode()

    with Server(reply) as server:
        source = Source(server.url, pause=pauses.append)
        if busy == 4:
            assert source.ask("eth_blockNumber") == "0x7"
        else:
            with pytest.raises(SourceFailed, match="429: slow down"):
                source.ask("eth_blockNumber")
    assert sum(pauses) == waited


def test_a_sources_own_error_is_a_refusal_with_its_words() -> None:
    error = {"code": -32601, "message": "no such method", "data": [1]}
    answer = json.dumps({"id": 0, "error": error}).encode()
    with Server(lambda body: (200, answer)) as server:
        with pytest.raises(Refusal) as caught:
            server.source().ask("ots_getApiLevel")
        assert caught.value.error == error


def test_a_name_in_errors_has_no_keys_in_it() -> None:
    url = "http://user:secret@127.0.0.1:1/v3/key?token=x"
    with pytest.raises(SourceFailed) as caught:
        Source(url, pause=lambda seconds: None).ask("eth_blockNumber")
    assert caught.value.source == "http://127.0.0.1:1"
    assert "secret" not in str(caught.value)
    assert "key" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://x", "127.0.0.1:8545", "http://", "http://x:99999"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Rejected) as caught:
        Source(url, pause=lambda seconds: None)
    assert caught.value.reason is Reason.BAD_SETTING


def test_in_a_turn_of_the_event_loop_nothing_is_fetched() -> None:
    with Server(_answers(_account)) as server:
        origin = _origin(server)
        with turn():
            with pytest.raises(NotFetched) as caught:
                origin.storage(SOMEBODY, 3)
            assert not server.requests
        caught.value.fetch()
        with turn():
            assert origin.storage(SOMEBODY, 3) == 9


def test_headers_of_other_ledgers_are_taken_with_what_they_have() -> None:
    """Fields that are missing stand as in an empty block; the hash is the source's own."""
    plain = {
        "number": "0x10",
        "hash": "0x" + "22" * 32,
        "gasLimit": "0x4000000000000",
        "timestamp": "0x5",
    }
    stored = parse_header({**plain, "l1BlockNumber": "0x1", "withdrawalsRoot": "0x" + "33" * 32})
    assert stored.hash == b"\x22" * 32
    assert stored.header.number == 16
    assert stored.header.withdrawals_root is None  # no base fee, so nothing can follow it
    assert decode_stored_header(encode_stored_header(stored)) == stored
    for field in ("number", "hash", "gasLimit", "timestamp"):
        with pytest.raises(ValueError):
            parse_header({**plain, field: None})
    for field, value in (("miner", "0x12"), ("gasUsed", 5), ("difficulty", "0x1" + "0" * 64)):
        with pytest.raises(ValueError):
            parse_header({**plain, field: value})


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "folder" / "answers"


def test_answers_are_there_again_whatever_was_cut_off(file: Path) -> None:
    answers = Answers(file)
    answers.add((b"a", b"1"), (b"b", b"2" * 1000))
    answers.add((b"a", b"other"))
    answers.pass_on(b"c", b"3")
    assert (answers.get(b"a"), answers.get(b"c")) == (b"1", b"3")
    answers.close()
    whole = file.read_bytes()
    for size in [*range(60), len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:size])
        again = Answers(file)
        again.add((b"d", b"4"))
        again.close()
        once_more = Answers(file)
        assert once_more.get(b"d") == b"4"
        assert once_more.get(b"a") in (None, b"1")
        assert once_more.get(b"c") is None
        once_more.close()


@settings(max_examples=50, deadline=None)
@given(noise=st.binary(max_size=200), at=st.integers(0, 60))
def test_noise_in_the_file_is_nothing_that_was_said(
    noise: bytes, at: int, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("answers") / "file"
    answers = Answers(path)
    answers.add((b"key", b"value"))
    answers.close()
    data = path.read_bytes()
    path.write_bytes(data[:at] + noise + data[at + len(noise) :])
    again = Answers(path)
    assert again.get(b"key") in (None, b"value")
    again.close()


def test_answers_have_a_limit() -> None:
    answers = Answers(None, bytes_max=100)
    answers.add((b"a", b"1" * 50))
    with pytest.raises(Rejected) as caught:
        answers.add((b"b", b"2" * 50))
    assert caught.value.reason is Reason.TOO_LARGE
    assert answers.get(b"b") is None
