"""Transactions filled in, sent with a wait for their receipt, and shown while they wait."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from chain.errors import Fault
from chain.transactions import decode_transaction, sign_transaction
from node.pool import intake
from node.rpc.instant import Later, answer_at_once, begin
from node.watch.metrics import CallCounts
from tests.node.rpc.serving import ACCOUNTS, COUNTER_INITCODE, OTHER, SENDER, Served

NOBODY = "0x" + "99" * 20


def signed(served: Served, nonce: int, **fields: Any) -> str:
    """The raw transaction of the first account, filled in by the node."""
    asked = {"from": SENDER, "to": OTHER, "gas": "0x5208", "nonce": hex(nonce), **fields}
    raw: str = served.call("eth_signTransaction", {**fees(served), **asked})["raw"]
    return raw


def fees(served: Served) -> dict[str, str]:
    price = served.call("eth_gasPrice")
    return {"maxFeePerGas": hex(2 * int(price, 16)), "maxPriorityFeePerGas": "0x1"}


def next_nonce(served: Served) -> int:
    return int(served.call("eth_getTransactionCount", SENDER, "pending"), 16)


@pytest.fixture(scope="module")
def idle() -> Iterator[Served]:
    """A node that builds no blocks."""
    with Served(builds=False) as idle:
        yield idle


def test_a_transaction_sent_and_waited_for_gives_its_receipt(served: Served) -> None:
    raw = signed(served, next_nonce(served))
    receipt = served.call("eth_sendRawTransactionSync", raw)
    assert receipt == served.call("eth_getTransactionReceipt", receipt["transactionHash"])
    assert receipt["status"] == "0x1"


def test_one_that_is_not_built_in_time_is_refused_with_its_hash(idle: Served) -> None:
    """The transaction stays in the pool; the code is EIP-7966's."""
    raw = signed(idle, 0)
    refused = idle.refusal("eth_sendRawTransactionSync", raw, "0x32")
    assert refused.code == 4
    assert refused.message.endswith("wasn't processed in 50ms.")
    waiting = idle.call("eth_getTransactionByHash", refused.data)
    assert waiting["blockHash"] is None
    assert idle.call("eth_pendingTransactions") == [waiting]


def test_what_the_pool_refuses_is_refused_at_once(idle: Served) -> None:
    refused = idle.refusal("eth_sendRawTransactionSync", "0x00")
    assert refused.code == -32000
    refused = idle.refusal("eth_sendRawTransactionSync", signed(idle, 0, value="0x1"), 10**9)
    assert "replacement" in refused.message


def test_a_request_is_filled_in_but_not_signed(served: Served) -> None:
    asked = {"from": SENDER, "to": OTHER, "value": "0x7"}
    filled = served.call("eth_fillTransaction", asked)
    shown = filled["tx"]
    assert (shown["gas"], shown["nonce"]) == ("0x5208", hex(next_nonce(served)))
    assert (shown["value"], shown["type"], shown["gasPrice"]) == ("0x7", "0x2", None)
    assert (shown["v"], shown["r"], shown["s"]) == ("0x0", "0x0", "0x0")
    assert int(shown["maxFeePerGas"], 16) >= int(shown["maxPriorityFeePerGas"], 16)
    assert "from" not in shown
    transaction = decode_transaction(bytes.fromhex(filled["raw"][2:]))
    assert (transaction.nonce, transaction.value) == (int(shown["nonce"], 16), 7)


def test_a_filled_request_of_a_stranger_needs_no_key(served: Served) -> None:
    asked = {"from": NOBODY, "to": OTHER, "gasPrice": "0x3b9aca00", "gas": "0x5208"}
    shown = served.call("eth_fillTransaction", asked)["tx"]
    assert (shown["type"], shown["nonce"]) == ("0x0", "0x0")
    assert shown["maxFeePerGas"] is None
    assert shown["gasPrice"] == "0x3b9aca00"


def test_a_blob_transaction_is_filled_in_with_its_blob_fee(served: Served) -> None:
    blob = "0x01" + "11" * 31
    asked = {"from": SENDER, "to": OTHER, "blobVersionedHashes": [blob], "gas": "0x5208"}
    shown = served.call("eth_fillTransaction", asked)["tx"]
    assert (shown["type"], shown["blobVersionedHashes"]) == ("0x3", [blob])
    assert shown["maxFeePerBlobGas"] == hex(2 * int(served.call("eth_blobBaseFee"), 16))
    refused = served.refusal("eth_fillTransaction", {**asked, "maxFeePerBlobGas": "0x0"})
    assert "must be non-zero" in refused.message
    asked.pop("to")
    assert 'missing "to"' in served.refusal("eth_fillTransaction", asked).message


def test_a_request_that_would_revert_is_not_filled_in(served: Served) -> None:
    contract = served.send(data=COUNTER_INITCODE)["contractAddress"]
    asked = {"from": SENDER, "to": contract, "input": "0x1234"}
    assert served.refusal("eth_fillTransaction", asked).code == 3
    assert "without any data" in served.refusal("eth_fillTransaction", {"from": SENDER}).message


def test_a_filled_in_transaction_can_be_signed_elsewhere_and_sent(served: Served) -> None:
    filled = served.call("eth_fillTransaction", {"from": SENDER, "to": OTHER})
    unsigned = decode_transaction(bytes.fromhex(filled["raw"][2:]))
    key = ACCOUNTS[next(iter(ACCOUNTS))]
    receipt = served.call(
        "eth_sendRawTransactionSync", "0x" + sign_transaction(unsigned, key).raw.hex()
    )
    assert receipt["from"] == SENDER


def test_the_node_says_whose_blocks_it_builds(served: Served, idle: Served) -> None:
    assert served.call("eth_coinbase") == SENDER
    assert served.call("eth_mining") is True
    assert served.call("eth_hashrate") == "0x0"
    assert idle.refusal("eth_coinbase").message == "etherbase must be explicitly specified"
    assert idle.call("eth_mining") is False


def begun(served: Served, body: bytes) -> bytes:
    """The answer of what is begun without a task."""
    server = served.server

    async def answer() -> bytes:
        loop, answered = asyncio.get_running_loop(), asyncio.Event()
        answers: list[bytes] = []

        def tell(given: bytes) -> None:
            answers.append(given)
            answered.set()

        made = answer_at_once(body, server._context, server._settings, CallCounts())
        assert isinstance(made, Later)
        assert begin(made, server._context, CallCounts(), loop, tell)
        assert not answers  # before a later turn
        await answered.wait()
        return answers[0]

    given: bytes = served.run(answer)
    return given


def test_what_is_sent_is_answered_the_same_with_a_task_and_without(idle: Served) -> None:
    raws = [
        "0x",
        "0x00",
        "0x02c0",
        "0xc0",
        signed(idle, 0, value="0x1"),  # instead of the one that waits, for the same price
        signed(idle, 10**6),
        signed(idle, 3),
    ]
    for raw in raws:
        body = json.dumps(
            {"jsonrpc": "2.0", "id": 7, "method": "eth_sendRawTransaction", "params": [raw]}
        ).encode()
        first = begun(idle, body)
        (again,) = idle.post(b"[" + body + b"]")  # by the definition
        if b"result" in first:
            assert idle.call("eth_getTransactionByHash", json.loads(first)["result"])
            assert again["error"]["message"] == "already known"
        else:
            assert json.loads(first) == again


def test_a_full_line_is_said(idle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_WAITING_MAX", 0)
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x00"]}'
    assert b"txpool is full" in begun(idle, body)


def test_a_node_that_has_failed_takes_none(idle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise Fault("broken disk")

    monkeypatch.setattr(idle.node, "_refuse_when_failed", refuse)
    monkeypatch.setattr(idle.node, "failed", idle.run(_future))
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x00"]}'
    assert b"internal error" in begun(idle, body)


async def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


def test_in_a_batch_transactions_are_pooled_in_their_order(idle: Served) -> None:
    raws = [signed(idle, nonce) for nonce in (10, 11, 12)]
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_sendRawTransaction", "params": [raw]}
        for number, raw in enumerate(raws)
    ]
    answers = idle.post(json.dumps(calls).encode())
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    assert all("result" in answer for answer in answers)
