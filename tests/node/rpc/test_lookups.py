"""Accounts whole, transactions by sender and nonce, and what the node says it keeps."""

from collections.abc import Iterator

import pytest

from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served

NOBODY = "0x" + "99" * 20


def test_an_account_is_shown_whole(served: Served) -> None:
    contract = served.send(data=COUNTER_INITCODE)["contractAddress"]
    assert served.call("eth_getAccountInfo", contract) == {
        "balance": "0x0", "nonce": "0x1", "code": "0x" + COUNTER,
    }  # fmt: skip
    info = served.call("eth_getAccountInfo", SENDER, "earliest")
    assert (info["nonce"], info["code"]) == ("0x0", "0x")
    empty = {"balance": "0x0", "nonce": "0x0", "code": "0x"}
    assert served.call("eth_getAccountInfo", NOBODY, "latest") == empty


def test_each_transaction_of_a_sender_is_found_by_its_nonce(served: Served) -> None:
    """Given some blocks in between, every nonce leads to the transaction that had it."""
    sent = [served.send(to=OTHER, value="0x1") for _ in range(4)]
    for receipt in sent:
        transaction = served.call("eth_getTransactionByHash", receipt["transactionHash"])
        assert transaction == served.call(
            "eth_getTransactionBySenderAndNonce", SENDER, transaction["nonce"]
        )
    following = served.call("eth_getTransactionCount", SENDER, "latest")
    assert served.call("eth_getTransactionBySenderAndNonce", SENDER, following) is None
    assert served.call("eth_getTransactionBySenderAndNonce", NOBODY, "0x0") is None


def test_everything_is_kept_unless_a_window_is_set(served: Served) -> None:
    found = served.call("eth_capabilities")
    assert found["head"]["number"] == served.call("eth_blockNumber")
    assert {found[key]["oldestBlock"] for key in found if key != "head"} == {"0x0"}
    assert "deleteStrategy" not in found["state"]


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Served]:
    ledger = Ledger.open(MemoryStore(), dev_genesis(), retain_heights=2)
    with Served(ledger=ledger) as forgetful:
        yield forgetful


def test_a_window_of_states_is_told_and_transactions_before_it_are_still_found(
    forgetful: Served,
) -> None:
    for _ in range(6):
        forgetful.send(to=OTHER)
    found = forgetful.call("eth_capabilities")
    height, oldest = (
        int(text, 16) for text in (found["head"]["number"], found["state"]["oldestBlock"])
    )
    assert height - oldest == 2
    assert found["state"]["deleteStrategy"] == {"type": "window", "retentionBlocks": "0x3"}
    assert found["tx"] == {"disabled": False, "oldestBlock": "0x0"}
    forgetful.call("eth_getBalance", OTHER, hex(oldest))
    for nonce in range(6):
        seen = forgetful.call("eth_getTransactionBySenderAndNonce", SENDER, hex(nonce))
        assert seen["nonce"] == hex(nonce)
    assert forgetful.call("eth_getTransactionBySenderAndNonce", OTHER, "0x0") is None
    recent = hex(int(forgetful.call("eth_getTransactionCount", SENDER, "latest"), 16) - 1)
    assert forgetful.call("eth_getTransactionBySenderAndNonce", SENDER, recent)["nonce"] == recent


def test_a_transaction_in_the_pool_is_found(forgetful: Served) -> None:
    nonce = hex(int(forgetful.call("eth_getTransactionCount", SENDER, "pending"), 16) + 5)
    request = {"from": SENDER, "to": OTHER, "gas": "0x5208", "nonce": nonce}
    sent = forgetful.call("eth_sendTransaction", request)
    found = forgetful.call("eth_getTransactionBySenderAndNonce", SENDER, nonce)
    assert (found["hash"], found["blockNumber"]) == (sent, None)
