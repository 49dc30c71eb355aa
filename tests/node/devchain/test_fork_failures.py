"""A fork whose source fails while contracts run: told as such, survived, and over when it is over.

On every machine that runs contracts, since each reads accounts and slots in its own way.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from node.devchain.compose import Developing
from tests.node.devchain.forking import forked_from
from tests.node.devchain.moods import Mood, Moody, after
from tests.node.rpc.serving import SENDER, Served
from tests.support.daemon import RpcFailure, running, wait_until

SLOTS = 10


def _reader() -> str:
    """Runtime code: the sum of ten slots, and the balance of whom slot 10 names."""
    code = "6000"
    for slot in range(SLOTS):
        code += f"60{slot:02x}5401"
    code += "600a543101"
    return code + "60005260206000f3"


def _writer() -> str:
    """Runtime code: slot 1 is what slot 0 was, and slot 2 the balance of whom slot 10 names."""
    return "600054600155600a543160025500"


@pytest.fixture(scope="module")
def source() -> Iterator[Served]:
    """A ledger with many contracts alike, each of which a test can be the first to read."""
    with Served(developing=Developing()) as served:
        for number in range(0x2000, 0x2040):
            address = f"0x{number:040x}"
            code = _reader() if number % 2 else _writer()
            served.call("anvil_setCode", address, "0x" + code)
            for slot in range(SLOTS):
                served.call("anvil_setStorageAt", address, hex(slot), hex(slot + 1))
            served.call("anvil_setStorageAt", address, "0xa", hex(number + 0x1000))
            served.call("anvil_setBalance", f"0x{number + 0x1000:040x}", "0x64")
        served.call("anvil_mine", 1)
        yield served


class Forked:
    """A node on a fork of a source that can be put into a mood, and contracts nobody has read."""

    def __init__(self, moody: Moody, served: Served) -> None:
        self.moody = moody
        self.served = served
        self.call = served.call
        self._numbers = iter(range(0x2000, 0x2040, 2))

    def pair(self) -> tuple[str, str]:
        """A contract that writes and one that reads."""
        number = next(self._numbers)
        return f"0x{number:040x}", f"0x{number + 1:040x}"

    def told(self, method: str, *params: Any) -> str:
        """The detail of a source's failure, which is what the error must be."""
        failure = self.served.refusal(method, *params)
        assert failure.code == -32000
        assert failure.data["reason"] == "fork_source_failed"
        assert failure.data["source"] == self.moody.url
        return str(failure.data["detail"])


@pytest.fixture(scope="module", params=["native", "jit", "python"])
def fork(source: Served, request: pytest.FixtureRequest) -> Iterator[Forked]:
    with Moody(source.port) as moody, forked_from(moody.url, vm=request.param) as served:
        point = served.node.developer and served.node.developer.fork
        assert point is not None
        point.origin.source.pause = lambda seconds: None
        yield Forked(moody, served)
        assert not served.node.failed.done()


def _hang_up(body: bytes) -> None:
    return None


def _too_many(body: bytes) -> tuple[int, bytes]:
    return 429, b"slow down"


def _limited(body: bytes) -> tuple[int, bytes]:
    error = {"code": -32005, "message": "daily request count exceeded"}
    return 200, json.dumps({"jsonrpc": "2.0", "id": 0, "error": error}).encode()


def _page(body: bytes) -> tuple[int, bytes]:
    return 200, b"<html>maintenance</html>"


def _wrong_values(body: bytes) -> tuple[int, bytes]:
    asked = json.loads(body)
    calls = asked if isinstance(asked, list) else [asked]
    found = [{"jsonrpc": "2.0", "id": each["id"], "result": "0xzz"} for each in calls]
    return 200, json.dumps(found if isinstance(asked, list) else found[0]).encode()


def _pruned(body: bytes) -> tuple[int, bytes]:
    asked = json.loads(body)
    calls = asked if isinstance(asked, list) else [asked]
    error = {"code": -32000, "message": "missing trie node"}
    found = [{"jsonrpc": "2.0", "id": each["id"], "error": error} for each in calls]
    return 200, json.dumps(found if isinstance(asked, list) else found[0]).encode()


MOODS: list[tuple[Mood, str]] = [
    (_hang_up, "Disconnected"),
    (_too_many, "429"),
    (_limited, "daily request count exceeded"),
    (_page, "HTTP status 200"),
    (_wrong_values, "0xzz"),
    (_pruned, "missing trie node"),
]


@pytest.mark.parametrize(("mood", "words"), MOODS, ids=[mood.__name__[1:] for mood, _ in MOODS])
@pytest.mark.parametrize("answered", [0, 4], ids=["at-once", "in-the-middle"])
def test_a_source_that_fails_is_told_and_then_forgiven(
    fork: Forked, mood: Mood, words: str, answered: int
) -> None:
    """Given a failure at once or in the middle of a call, calls and transactions say so; when it is
    over, the same succeed, and nothing that was not answered has been taken for zero."""
    writer, reader = fork.pair()
    transaction = {"from": SENDER, "to": writer, "gas": "0x30000"}
    nonce = fork.call("eth_getTransactionCount", SENDER, "latest")
    height = fork.call("eth_blockNumber")
    try:
        fork.moody.mood = after(answered, fork.moody, mood)
        assert words in fork.told("eth_call", {"to": reader}, "latest")
        fork.moody.mood = after(answered, fork.moody, mood) if answered < 4 else mood
        assert words in fork.told("eth_estimateGas", transaction)
        assert words in fork.told("eth_sendTransaction", transaction)
        assert fork.call("eth_blockNumber") == height
        assert fork.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    finally:
        fork.moody.mood = None
    assert int(fork.call("eth_call", {"to": reader}, "latest"), 16) == 55 + 100
    receipt = fork.call("eth_sendTransactionSync", {**transaction, "nonce": nonce})
    assert receipt["status"] == "0x1"
    slots = [fork.call("eth_getStorageAt", writer, hex(slot), "latest") for slot in range(4)]
    assert [int(slot, 16) for slot in slots] == [1, 1, 100, 4]
    trace = fork.call("debug_traceTransaction", receipt["transactionHash"])
    assert trace["failed"] is False


def test_a_slow_source_holds_up_nobody_else(fork: Forked) -> None:
    """While a call waits for the source, what needs none is answered; then the call is, too."""
    _, reader = fork.pair()
    go = threading.Event()
    before = fork.moody.asked

    def slow(body: bytes) -> tuple[int, bytes]:
        assert go.wait(60)
        return fork.moody.passed_on(body)

    found: list[Any] = []
    waiting = threading.Thread(
        target=lambda: found.append(fork.call("eth_call", {"to": reader}, "latest"))
    )
    fork.moody.mood = slow
    try:
        waiting.start()
        wait_until(lambda: fork.moody.asked > before)
        assert fork.call("eth_chainId") == hex(31337)
        sent = fork.call("eth_sendTransactionSync", {"from": SENDER, "to": SENDER, "value": "0x1"})
        assert sent["status"] == "0x1"
        assert not found
    finally:
        go.set()
        waiting.join(60)
        fork.moody.mood = None
    assert int(found[0], 16) == 155


def test_another_ledger_in_the_sources_place_is_found_out(fork: Forked) -> None:
    """The source goes away and a ledger with other blocks comes: its state is not taken."""
    writer, reader = fork.pair()
    right = fork.moody.port
    with Served(developing=Developing()) as other:
        other.call("anvil_mine", 5)
        other.call("anvil_setCode", reader, "0x606460005260206000f3")
        try:
            fork.moody.mood = _hang_up
            fork.told("eth_getBalance", reader, "latest")
            fork.moody.mood, fork.moody.port = None, other.port
            assert "which was forked" in fork.told("eth_call", {"to": reader}, "latest")
            assert "which was forked" in fork.told("eth_getCode", writer, "latest")
        finally:
            fork.moody.mood, fork.moody.port = None, right
    assert int(fork.call("eth_call", {"to": reader}, "latest"), 16) == 155


def test_the_daemon_outlives_its_source(source: Served) -> None:
    """Gone in the middle of a call, and back: the process is the same, and goes on."""
    writer, reader = f"0x{0x203E:040x}", f"0x{0x203F:040x}"
    with Moody(source.port) as moody:
        arguments = ("--fork-url", moody.url, "--ephemeral", "--vm", "native")
        with running("dev", *arguments) as daemon:
            moody.mood = after(4, moody, _hang_up)
            with pytest.raises(RpcFailure) as caught:
                daemon.rpc.call("eth_call", {"to": reader}, "latest")
            assert caught.value.data["reason"] == "fork_source_failed"
            moody.mood = None
            assert int(daemon.rpc.call("eth_call", {"to": reader}, "latest"), 16) == 155
            transaction = {"from": SENDER, "to": writer, "gas": "0x30000"}
            assert daemon.rpc.call("eth_sendTransactionSync", transaction)["status"] == "0x1"
            assert daemon.process.poll() is None


def test_many_callers_find_the_source_again_together(source: Served) -> None:
    """Threads that doubt the source at the same time all go on when it is the same one."""
    with Moody(source.port) as moody, forked_from(moody.url) as served:
        fork = Forked(moody, served)
        readers = [fork.pair()[1] for _ in range(8)]
        moody.mood = _hang_up
        fork.told("eth_getBalance", readers[0], "latest")
        moody.mood = None
        found: list[str] = []
        callers = [
            threading.Thread(
                target=lambda to=reader: found.append(fork.call("eth_call", {"to": to}, "latest"))
            )
            for reader in readers
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert [int(each, 16) for each in found] == [155] * len(readers)
