"""WebSocket on the same port: requests, subscriptions, and clients that misbehave."""

import json
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from chain.execution import Executed
from node.rpc.subscriptions import _sync_status
from node.sync.progress import Progress
from tests.node.rpc.serving import (
    COUNTED,
    COUNTER_INITCODE,
    OTHER,
    SENDER,
    Refused,
    Served,
)


class Caller:
    """A WebSocket client that keeps answers and notifications apart."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.news: list[Any] = []
        self._next_id = 0

    def receive(self) -> Any:
        return json.loads(self.socket.recv(timeout=30))

    def call(self, method: str, *params: Any) -> Any:
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        self.socket.send(json.dumps(request))
        while True:
            message = self.receive()
            if message.get("id") == self._next_id:
                if "error" in message:
                    raise Refused(message["error"])
                return message["result"]
            self.news.append(message)

    def next_of(self, subscription: str) -> Any:
        """The next notification of a subscription."""
        for index, message in enumerate(self.news):
            if message["params"]["subscription"] == subscription:
                return self.news.pop(index)["params"]["result"]
        while True:
            message = self.receive()
            if message["params"]["subscription"] == subscription:
                return message["params"]["result"]
            self.news.append(message)


def dial(served: Served, **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{served.port}", **options)


def test_requests_and_batches_are_answered(served: Served) -> None:
    with dial(served) as socket:
        socket.send('{"jsonrpc":"2.0","id":1.0,"method":"net_version"}')
        assert socket.recv(timeout=30) == '{"jsonrpc":"2.0","id":1.0,"result":"31337"}'
        socket.send(b'[{"jsonrpc":"2.0","id":1,"method":"net_version"},5]')
        answers = json.loads(socket.recv(timeout=30))
        assert len(answers) == 2
        socket.send("{nonsense")
        assert json.loads(socket.recv(timeout=30))["error"]["code"] == -32700


def test_a_slow_call_does_not_hold_up_the_next_one(served: Served) -> None:
    with dial(served) as socket:
        slow = {"data": "0x5b600056", "gas": "0x2faf080"}  # loops until the gas is gone
        for request in (
            {"jsonrpc": "2.0", "id": "slow", "method": "eth_call", "params": [slow]},
            {"jsonrpc": "2.0", "id": "quick", "method": "eth_blockNumber"},
        ):
            socket.send(json.dumps(request))
        ids = [json.loads(socket.recv(timeout=60))["id"] for _ in range(2)]
    assert ids == ["quick", "slow"]


def test_transactions_sent_at_the_same_time_get_one_nonce_each(served: Served) -> None:
    with dial(served) as socket:
        for index in range(50):
            params = [{"from": SENDER, "to": OTHER, "value": "0x1"}]
            request = {"jsonrpc": "2.0", "id": index, "method": "eth_sendTransaction"}
            socket.send(json.dumps({**request, "params": params}))
        answers = [json.loads(socket.recv(timeout=30)) for _ in range(50)]
    hashes = {answer["result"] for answer in answers}
    assert len(hashes) == 50
    for transaction_hash in hashes:
        assert served.receipt(transaction_hash)["status"] == "0x1"


def test_new_heads_logs_and_pending_transactions_are_pushed(served: Served) -> None:
    counter = served.send(data=COUNTER_INITCODE)["contractAddress"]
    with dial(served) as socket:
        caller = Caller(socket)
        heads = caller.call("eth_subscribe", "newHeads")
        wanted = {"address": counter, "topics": [COUNTED]}
        logs = caller.call("eth_subscribe", "logs", wanted)
        nothing = caller.call("eth_subscribe", "logs", {"address": OTHER})
        hashes = caller.call("eth_subscribe", "newPendingTransactions")
        whole = caller.call("eth_subscribe", "newPendingTransactions", True)
        syncing = caller.call("eth_subscribe", "syncing")
        assert len({heads, logs, nothing, hashes, whole, syncing}) == 6

        receipt = served.send(to=counter)
        head = caller.next_of(heads)
        assert head["hash"] == receipt["blockHash"]
        assert "transactions" not in head
        assert caller.next_of(logs) == receipt["logs"][0]
        assert caller.next_of(hashes) == receipt["transactionHash"]
        shown = caller.next_of(whole)
        assert (shown["hash"], shown["from"]) == (receipt["transactionHash"], SENDER)
        assert not [item for item in caller.news if item["params"]["subscription"] == nothing]

        assert caller.call("eth_unsubscribe", heads) is True
        with pytest.raises(Refused, match="subscription not found"):
            caller.call("eth_unsubscribe", heads)
        served.send(to=counter)
        caller.next_of(logs)
        caller.call("net_version")
        assert not [item for item in caller.news if item["params"]["subscription"] == heads]


def test_the_receipt_of_an_announced_block_is_already_there(served: Served) -> None:
    with dial(served) as socket:
        caller = Caller(socket)
        heads = caller.call("eth_subscribe", "newHeads", False)  # some clients send more
        for _ in range(5):
            sent = caller.call("eth_sendTransaction", {"from": SENDER, "to": OTHER})
            head = caller.next_of(heads)
            assert caller.call("eth_getTransactionReceipt", sent)["blockHash"] == head["hash"]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (["newBlocks"], -32601, 'no "newBlocks" subscription in eth namespace'),
        ([], -32602, "expected subscription name as first argument"),
        ([5], -32602, "expected subscription name as first argument"),
        (["logs", {"fromBlock": "pending"}], -32602, "pending logs are not supported"),
        (["logs", {"toBlock": "0x1"}], -32602, "invalid block range params"),
        (
            ["newPendingTransactions", "x"],
            -32602,
            "invalid argument 1: json: cannot unmarshal string into Go value of type bool",
        ),
        (
            ["transactionReceipts", {"transactionHashes": ["0x" + "11" * 32] * 201}],
            -32000,
            (
                "exceed max number of transaction hashes allowed per transactionReceipts "
                "subscription"
            ),
        ),
        (["logs", {"address": 5}], -32602, "invalid argument 1: invalid addresses in query"),
    ],
)
def test_subscriptions_that_do_not_exist_are_refused(
    served: Served, params: list[Any], code: int, message: str
) -> None:
    with dial(served) as socket, pytest.raises(Refused) as refused:
        Caller(socket).call("eth_subscribe", *params)
    assert (refused.value.code, refused.value.message) == (code, message)


def test_receipts_are_pushed_block_by_block(served: Served) -> None:
    with dial(served) as socket:
        caller = Caller(socket)
        every = caller.call("eth_subscribe", "transactionReceipts")
        receipt = served.send(to=OTHER)
        assert caller.next_of(every) == [receipt]
        # The same transaction comes only once, and another one is not asked for.
        named = {"transactionHashes": [receipt["transactionHash"]]}
        past = caller.call("eth_subscribe", "transactionReceipts", named)
        following = served.send(to=OTHER)
        assert caller.next_of(every) == [following]
        assert not [item for item in caller.news if item["params"]["subscription"] == past]


def test_logs_are_pushed_between_the_heights_asked_for(served: Served) -> None:
    counter = served.send(data=COUNTER_INITCODE)["contractAddress"]
    with dial(served) as socket:
        caller = Caller(socket)
        head = int(served.call("eth_blockNumber"), 16)
        bounds = {"address": counter, "fromBlock": hex(head), "toBlock": hex(head + 1)}
        logs = caller.call("eth_subscribe", "logs", bounds)
        heads = caller.call("eth_subscribe", "newHeads")
        first = served.send(to=counter)
        assert caller.next_of(logs) == first["logs"][0]
        caller.next_of(heads)
        served.send(to=counter)
        caller.next_of(heads)
        caller.call("net_version")
        assert not [item for item in caller.news if item["params"]["subscription"] == logs]


def test_the_beginning_and_the_end_of_catching_up_are_pushed() -> None:
    """Told with the first block for which it has changed, each once."""
    network = SimpleNamespace(progress=None)
    context: Any = SimpleNamespace(node=SimpleNamespace(network=network))
    render, block = _sync_status(context), cast(Executed, None)
    assert list(render(block)) == []
    network.progress = Progress(started=1, current=5, highest=9)
    status = {"StartingBlock": 1, "CurrentBlock": 5, "HighestBlock": 9}
    assert list(render(block)) == [{"syncing": True, "status": status}]
    assert list(render(block)) == []
    network.progress = None
    assert list(render(block)) == [False]
    assert list(render(block)) == []


def test_subscriptions_need_a_websocket(served: Served) -> None:
    refused = served.refusal("eth_subscribe", "newHeads")
    assert (refused.code, refused.message) == (-32601, "notifications not supported")


def test_a_connection_has_a_limit_of_subscriptions() -> None:
    with Served(rpc={"subscriptions_max": 2}) as few, dial(few) as socket:
        caller = Caller(socket)
        for _ in range(2):
            caller.call("eth_subscribe", "newHeads")
        with pytest.raises(Refused) as refused:
            caller.call("eth_subscribe", "newHeads")
        assert refused.value.code == -32005


def test_a_message_that_is_too_large_ends_the_connection(served: Served) -> None:
    """Whether the client still gets the code (1009) depends on how much it has sent by then."""
    too_much = "1" * (served.node.settings.rpc.body_bytes_max + 1)
    with pytest.raises(ConnectionClosed), dial(served, max_size=None) as socket:
        socket.send(too_much)
        socket.recv(timeout=30)
    assert served.call("net_version") == "31337"


def test_a_page_of_another_origin_may_not_connect(served: Served) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1"):
        with dial(served, origin=origin) as socket:
            assert Caller(socket).call("net_version") == "31337"
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        with pytest.raises(InvalidStatus) as refused:
            dial(served, origin=origin)
        assert refused.value.response.status_code == 403


def test_an_allowed_origin_may_connect() -> None:
    with (
        Served(rpc={"cors_origins": ("https://app.example",)}) as open_to_one,
        dial(open_to_one, origin="https://app.example") as socket,
    ):
        assert Caller(socket).call("net_version") == "31337"


def test_a_subscriber_that_never_reads_is_cut_off_and_holds_up_nobody() -> None:
    """Its socket fills, then its queue; the node neither waits nor remembers."""
    with Served(rpc={"subscription_queue_max": 16}) as served:
        with dial(served, max_queue=1, compression=None, close_timeout=0.1) as deaf:
            caller = Caller(deaf)
            for _ in range(100):
                caller.call("eth_subscribe", "newPendingTransactions", True)
            blobs = "0x" + "5f" * 20_000  # each announcement is 40 kB, a hundred times over
            for _ in range(40):
                served.send(to=OTHER, data=blobs)
            for _ in range(100_000):
                if not served.server.sockets:
                    break
                served.call("net_version")
            assert not served.server.sockets
        assert served.call("net_version") == "31337"


def test_the_server_says_goodbye_when_it_stops() -> None:
    with ExitStack() as stack:
        with Served() as served:
            socket = stack.enter_context(dial(served))
            Caller(socket).call("eth_subscribe", "newHeads")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


def test_others_are_answered_while_one_floods(served: Served) -> None:
    with dial(served) as flooding, dial(served) as other:
        flood = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
        for _ in range(2_000):
            flooding.send(flood)
        assert Caller(other).call("eth_blockNumber") == hex(served.node.ledger.height)
        for _ in range(2_000):
            assert json.loads(flooding.recv(timeout=30))["result"] == "0x7a69"


def test_long_batches_are_answered_in_turns(served: Served) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_getBalance", "params": [OTHER]}
        for number in range(600)
    ]
    with dial(served) as socket:
        socket.send(json.dumps(calls))
        answers = json.loads(socket.recv(timeout=30))
    assert [answer["id"] for answer in answers] == list(range(600))
