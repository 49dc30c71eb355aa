"""ots_: what the explorer Otterscan asks."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.node.devchain.forking import forked_from
from tests.node.rpc.serving import COUNTER_INITCODE, OTHER, SENDER, Served

NOBODY = "0x" + "99" * 20
PAID = "0x" + "77" * 20
UNKNOWN = "0x" + "1".rjust(64, "0")


def deploy(served: Served, code: str, **fields: Any) -> dict[str, Any]:
    return served.send(data=f"0x60{len(code) // 2:02x}80600b6000396000f3{code}", **fields)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A chain of its own, so that what is searched for is all there is."""
    with Served() as served:
        yield served


@pytest.fixture(scope="module")
def payer(served: Served) -> str:
    """A contract that pays 1 wei to PAID and calls the identity precompile.

    call(gas, PAID, 1, 0, 0, 0, 0) call(gas, 4, 0, 0, 0, 0, 0)
    """
    paying = "60006000600060006001" + "73" + PAID[2:] + "5af1"
    asking = "60006000600060006000" + "6004" + "5af1"
    address: str = deploy(served, paying + asking + "00")["contractAddress"]
    return address


@pytest.fixture(scope="module")
def maker(served: Served) -> str:
    """A contract that makes another one: mstore8(0, 0) create(0, 0, 0) and an invalid one after."""
    # mstore(0, 0x600160005360016000f3 << 176): initcode that deploys the byte 01
    initcode = "600160005360016000f3"
    code = f"69{initcode}60b01b600052600a60006000f000"
    address: str = deploy(served, code)["contractAddress"]
    return address


def test_the_api_level_is_a_number(served: Served) -> None:
    assert served.call("ots_getApiLevel") == 8


def test_accounts_with_code_are_told_from_those_without(served: Served, payer: str) -> None:
    assert served.call("ots_hasCode", payer, "latest") is True
    assert served.call("ots_hasCode", payer) is True
    newest = served.call("eth_getBlockByNumber", "latest", False)["hash"]
    assert served.call("ots_hasCode", payer, newest) is True
    assert served.call("ots_hasCode", payer, {"blockHash": newest}) is True
    assert served.call("ots_hasCode", payer, 0) is False
    assert served.call("ots_hasCode", SENDER, "latest") is False
    assert served.call("ots_hasCode", NOBODY, "latest") is False
    assert served.refusal("ots_hasCode", NOBODY, -1).code == -32602


def test_messages_are_listed_with_their_depth_but_for_precompiles(
    served: Served, payer: str
) -> None:
    name = served.send(to=payer, value="0x5", data="0x12345678")["transactionHash"]
    assert served.call("ots_traceTransaction", name) == [
        {
            "type": "CALL", "depth": 0, "from": SENDER, "to": payer, "value": "0x5",
            "input": "0x12345678", "output": "0x",
        },
        {
            "type": "CALL", "depth": 1, "from": payer, "to": PAID, "value": "0x1",
            "input": "0x", "output": "0x",
        },
    ]  # fmt: skip
    refused = served.refusal("ots_traceTransaction", UNKNOWN)
    assert (refused.code, refused.message) == (-32000, f"transaction {UNKNOWN} not found")


def test_what_contracts_moved_and_made_is_told(served: Served, payer: str, maker: str) -> None:
    name = served.send(to=payer, value="0x5")["transactionHash"]
    assert served.call("ots_getInternalOperations", name) == [
        {"type": 0, "from": payer, "to": PAID, "value": "0x1"}
    ]
    made = served.call("ots_getInternalOperations", served.send(to=maker)["transactionHash"])
    assert [(item["type"], item["from"]) for item in made] == [(2, maker)]
    plain = served.send(to=OTHER, value="0x1")["transactionHash"]
    assert served.call("ots_getInternalOperations", plain) == []


def test_what_was_undone_is_told_of_as_well(served: Served, payer: str) -> None:
    """call(gas, payer, 1, 0, 0, 0, 0) revert(0, 0)"""
    code = "60006000600060006001" + "73" + payer[2:] + "5af1" + "60006000fd"
    undoing = deploy(served, code)["contractAddress"]
    receipt = served.send(to=undoing, value="0x2", gas=hex(200_000))
    assert receipt["status"] == "0x0"
    assert served.call("ots_getInternalOperations", receipt["transactionHash"]) == [
        {"type": 0, "from": undoing, "to": payer, "value": "0x1"},
        {"type": 0, "from": payer, "to": PAID, "value": "0x1"},
    ]


def test_the_data_of_a_revert_is_told(served: Served) -> None:
    counter = served.send(data=COUNTER_INITCODE)["contractAddress"]
    failed = served.send(to=counter, data="0xabcdef", gas="0x186a0")
    assert failed["status"] == "0x0"
    assert served.call("ots_getTransactionError", failed["transactionHash"]) == "0xabcdef"
    fine = served.send(to=counter)["transactionHash"]
    assert served.call("ots_getTransactionError", fine) == "0x"


def test_a_block_is_told_with_its_fees_and_without_its_transactions(served: Served) -> None:
    receipt = served.send(to=OTHER)
    details = served.call("ots_getBlockDetails", int(receipt["blockNumber"], 16))
    assert details == served.call("ots_getBlockDetailsByHash", receipt["blockHash"])
    block = details["block"]
    assert (block["transactionCount"], block["hash"]) == (1, receipt["blockHash"])
    assert "transactions" not in block
    fees = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert details["totalFees"] == hex(fees)
    assert details["issuance"] == {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"}
    assert served.call("ots_getBlockDetails", 10**6) is None
    assert served.call("ots_getBlockDetailsByHash", UNKNOWN) is None


def test_the_pages_of_a_block_begin_at_its_end(served: Served) -> None:
    with Served(builds=False) as idle:
        assert idle.call("ots_getBlockTransactions", 0, 0, 5)["receipts"] == []
    receipt = served.send(to=OTHER, data="0x1234567890", gas="0x186a0")
    number = int(receipt["blockNumber"], 16)
    page = served.call("ots_getBlockTransactions", number, 0, 5)
    assert page["fullblock"]["transactionCount"] == 1
    (transaction,) = page["fullblock"]["transactions"]
    assert (transaction["hash"], transaction["input"]) == (receipt["transactionHash"], "0x12345678")
    assert page["receipts"][0]["logs"] is None
    assert served.call("ots_getBlockTransactions", number, 1, 5)["receipts"] == []
    assert served.refusal("ots_getBlockTransactions", number, 0, 0).code == -32000
    assert served.call("ots_getBlockTransactions", 10**6, 0, 5) is None


def test_the_maker_of_a_contract_is_found(served: Served, payer: str, maker: str) -> None:
    receipt = served.send(to=maker)
    traces = served.call("trace_transaction", receipt["transactionHash"])
    made = traces[1]["result"]["address"]
    assert served.call("ots_getContractCreator", made) == {
        "hash": receipt["transactionHash"], "creator": maker,
    }  # fmt: skip
    assert served.call("ots_getContractCreator", payer)["creator"] == SENDER
    assert served.call("ots_getContractCreator", OTHER) is None
    of_genesis = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
    assert served.call("ots_getContractCreator", of_genesis) is None


def test_a_sender_s_transaction_is_found_by_its_nonce(served: Served) -> None:
    receipt = served.send(to=OTHER)
    nonce = int(served.call("eth_getTransactionCount", SENDER, "latest"), 16) - 1
    found = served.call("ots_getTransactionBySenderAndNonce", SENDER, hex(nonce))
    assert found == receipt["transactionHash"]
    assert served.call("ots_getTransactionBySenderAndNonce", SENDER, hex(nonce + 1)) is None


# -- search ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def payments(served: Served, payer: str) -> list[dict[str, Any]]:
    """Receipts of all transactions in which NOBODY or PAID was paid, the oldest first."""
    target = "0x" + "55" * 20
    return [served.send(to=target, value="0x1") for _ in range(7)]


def hashes(found: dict[str, Any]) -> list[str]:
    assert len(found["txs"]) == len(found["receipts"])
    for transaction, receipt in zip(found["txs"], found["receipts"], strict=True):
        assert transaction["hash"] == receipt["transactionHash"]
        assert transaction["blockTimestamp"] == hex(receipt["timestamp"])
    return [transaction["hash"] for transaction in found["txs"]]


def test_pages_of_an_address_lead_from_the_newest_to_the_oldest(
    served: Served, payments: list[dict[str, Any]]
) -> None:
    address, block, seen, flags = payments[0]["to"], 0, [], []
    while True:
        page = served.call("ots_searchTransactionsBefore", address, block, 3)
        seen += hashes(page)
        flags.append((page["firstPage"], page["lastPage"]))
        if page["lastPage"]:
            break
        block = int(page["txs"][-1]["blockNumber"], 16)
    assert seen == [receipt["transactionHash"] for receipt in reversed(payments)]
    assert flags == [(True, False), (False, False), (False, True)]


def test_pages_of_an_address_lead_back_to_the_newest(
    served: Served, payments: list[dict[str, Any]]
) -> None:
    address, block, seen, flags = payments[0]["to"], 0, [], []
    while True:
        page = served.call("ots_searchTransactionsAfter", address, block, 3)
        seen = hashes(page) + seen
        flags.append((page["firstPage"], page["lastPage"]))
        if page["firstPage"]:
            break
        block = int(page["txs"][0]["blockNumber"], 16)
    assert seen == [receipt["transactionHash"] for receipt in reversed(payments)]
    assert flags == [(False, True), (False, False), (True, False)]


def test_who_was_paid_by_a_contract_is_found(served: Served, payer: str) -> None:
    receipt = served.send(to=payer, value="0x9")
    newest = served.call("ots_searchTransactionsBefore", PAID, 0, 1)
    assert hashes(newest) == [receipt["transactionHash"]]


def test_a_search_for_nobody_finds_nothing(served: Served) -> None:
    for search in ("ots_searchTransactionsBefore", "ots_searchTransactionsAfter"):
        assert served.call(search, NOBODY, 0, 25) == {
            "txs": [], "receipts": [], "firstPage": True, "lastPage": True,
        }  # fmt: skip
        assert served.refusal(search, NOBODY, 0, 0).code == -32000
        assert served.refusal(search, NOBODY, 0, 10**6).code == -32000


def test_the_pages_of_an_address_on_a_fork_begin_with_its_own_blocks(served: Served) -> None:
    """Given a ledger forked from one on which the sender was busy, only what is new is listed."""
    with forked_from(served) as fork:
        empty = {"txs": [], "receipts": [], "firstPage": True, "lastPage": True}
        assert fork.call("ots_searchTransactionsBefore", SENDER, 0, 5) == empty
        name = fork.send(to=OTHER)["transactionHash"]
        for search in ("ots_searchTransactionsBefore", "ots_searchTransactionsAfter"):
            page = fork.call(search, SENDER, 0, 5)
            assert [found["hash"] for found in page["txs"]] == [name]
            assert page["lastPage"] is True
