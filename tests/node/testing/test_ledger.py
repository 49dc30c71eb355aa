"""A ledger in the process: by JSON-RPC, by web3.py, from any thread and any event loop."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractLogicError

from chain.errors import Fault
from node.testing import EthereumTesterProvider, Ledger, Provider, RequestError
from tests.node.rpc.serving import COUNTED, COUNTER_INITCODE

COIN = 10**18


@pytest.fixture(scope="module")
def shared() -> Iterator[Ledger]:
    with Ledger() as ledger:
        yield ledger


@pytest.fixture
def ledger(shared: Ledger) -> Iterator[Ledger]:
    with shared.moment():
        yield shared


def _balance(ledger: Ledger, account: str) -> int:
    return int(ledger.request("eth_getBalance", account, "latest"), 16)


def test_requests_are_answered_and_refusals_raised(ledger: Ledger) -> None:
    assert ledger.request("eth_chainId") == hex(31337)
    assert len(ledger.accounts) == len(ledger.keys) == 10
    assert ledger.request("web3_sha3", b"") == ledger.request("web3_sha3", "0x")
    with pytest.raises(RequestError, match="insufficient funds") as refused:
        ledger.request(
            "eth_sendTransaction",
            {"from": ledger.accounts[0], "to": ledger.accounts[1], "value": hex(10**30)},
        )
    assert refused.value.code == -32000
    with pytest.raises(RequestError, match="does not exist") as refused:
        ledger.request("eth_nonsense")
    assert refused.value.code == -32601


def test_a_call_that_fails_is_refused_as_over_http(ledger: Ledger) -> None:
    reverts = {"data": "0x60206000fd"}
    with pytest.raises(RequestError) as caught:
        ledger.request("eth_call", reverts, "latest")
    assert (caught.value.code, caught.value.data) == (3, "0x" + "00" * 32)
    with pytest.raises(RequestError) as caught:
        ledger.request("eth_call", reverts, "0x999999")
    assert (caught.value.code, caught.value.message) == (-32000, "header not found")


def test_a_filter_hears_of_what_came_after_it_and_nothing_else(ledger: Ledger) -> None:
    transfer = {"from": ledger.accounts[0], "to": ledger.accounts[1], "value": "0x1"}
    ledger.request("eth_sendTransaction", transfer)
    watched = ledger.request("eth_newPendingTransactionFilter")
    sent = ledger.request("eth_sendTransaction", transfer)
    assert ledger.request("eth_getFilterChanges", watched) == [sent]


def test_signed_for_by_the_ledger_is_as_valid_as_sent_raw(ledger: Ledger) -> None:
    """The sender that the ledger knows is the one that the signature gives."""
    transfer = {"from": ledger.accounts[2], "to": ledger.accounts[1], "value": "0x1"}
    sent = ledger.request("eth_sendTransaction", transfer)
    raw = ledger.request("eth_getRawTransactionByHash", sent)
    assert Account.recover_transaction(raw) == ledger.accounts[2]
    assert ledger.request("eth_getTransactionByHash", sent)["from"] == ledger.accounts[2].lower()


def test_a_transaction_is_done_when_it_is_sent(ledger: Ledger) -> None:
    before = _balance(ledger, ledger.accounts[1])
    fields = {"from": ledger.accounts[0], "to": ledger.accounts[1], "value": hex(COIN)}
    sent = ledger.request("eth_sendTransaction", fields)
    assert ledger.request("eth_getTransactionReceipt", sent)["status"] == "0x1"
    assert _balance(ledger, ledger.accounts[1]) == before + COIN


def test_moments_nest_and_are_taken_back(ledger: Ledger) -> None:
    other = ledger.accounts[1]
    start = _balance(ledger, other)
    with ledger.moment():
        ledger.request("anvil_setBalance", other, "0x1")
        with ledger.moment():
            ledger.mine(3)
            ledger.request("anvil_setBalance", other, "0x2")
        assert (_balance(ledger, other), ledger.request("eth_blockNumber")) == (1, "0x0")
    assert _balance(ledger, other) == start
    with pytest.raises(ValueError, match="there is no snapshot 0x999"):
        ledger.revert("0x999")


def test_web3_deploys_calls_and_reads_logs(ledger: Ledger) -> None:
    w3: Any = ledger.web3
    sent = w3.eth.send_transaction({"data": COUNTER_INITCODE})
    contract = w3.eth.get_transaction_receipt(sent)["contractAddress"]
    assert contract is not None
    w3.eth.send_transaction({"to": contract})
    (log,) = w3.eth.get_logs({"address": contract, "fromBlock": 0})
    assert "0x" + bytes(log["topics"][0]).hex() == COUNTED
    with pytest.raises(ContractLogicError, match="execution reverted"):
        w3.eth.call({"to": contract, "data": "0x1234"})


def test_web3_signs_for_the_keys_that_the_ledger_tells(ledger: Ledger) -> None:
    w3, (first, second) = ledger.web3, ledger.accounts[:2]
    signed = w3.eth.account.sign_transaction(
        {
            "to": second,
            "value": 5,
            "nonce": w3.eth.get_transaction_count(Web3.to_checksum_address(first)),
            "gas": 21_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 1,
            "chainId": ledger.chain_id,
        },
        ledger.keys[first],
    )
    sent = w3.eth.send_raw_transaction(signed.raw_transaction)
    assert w3.eth.get_transaction_receipt(sent)["status"] == 1


def test_web3_batches_come_back_in_order(ledger: Ledger) -> None:
    w3: Any = ledger.web3
    with w3.batch_requests() as batch:
        for account in ledger.accounts[:3]:
            batch.add(w3.eth.get_balance(Web3.to_checksum_address(account)))
        batch.add(w3.eth.get_block("latest"))
        answers = batch.execute()
    assert answers[:3] == [10_000 * COIN] * 3
    assert answers[3]["number"] == 0


def test_the_asynchronous_side_runs_in_the_callers_loop(ledger: Ledger) -> None:
    async def many(w3: Any) -> list[int]:
        sent = await w3.eth.send_transaction({"to": ledger.accounts[1], "value": 1})
        assert (await w3.eth.get_transaction_receipt(sent))["status"] == 1
        addresses = [Web3.to_checksum_address(account) for account in ledger.accounts]
        return list(await asyncio.gather(*(w3.eth.get_balance(address) for address in addresses)))

    balances = asyncio.run(many(ledger.async_web3))
    assert balances[1] == 10_000 * COIN + 1


def test_callers_in_many_threads_lose_nothing(ledger: Ledger) -> None:
    """Transactions of ten senders at once: every one is in a block when it is answered."""
    target = "0x" + "77" * 20

    def send(sender: str) -> None:
        for _ in range(20):
            fields = {"from": sender, "to": target, "value": "0x1", "gas": "0x5208"}
            sent = ledger.request("eth_sendTransaction", fields)
            assert ledger.request("eth_getTransactionReceipt", sent) is not None

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(send, ledger.accounts))
    assert _balance(ledger, target) == 200


def test_a_batch_of_bytes_is_answered_as_over_http(ledger: Ledger) -> None:
    body = [{"jsonrpc": "2.0", "id": i, "method": "eth_blockNumber"} for i in range(3)]
    answers = json.loads(ledger.answer(json.dumps(body).encode()))
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    assert ledger.answer(b'{"jsonrpc":"2.0","method":"eth_blockNumber"}') == b""
    assert json.loads(ledger.answer(b"nonsense"))["error"]["code"] == -32700


def test_a_date_after_the_first_block_is_still_to_come() -> None:
    """A contract that locks something for a day after the newest block's time can be made."""
    with Ledger() as ledger:
        first = int(ledger.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        ledger.mine()
        second = int(ledger.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        assert 0 < second - first < 3_600


def test_ledgers_live_side_by_side_and_end_cleanly() -> None:
    first, second = Ledger(chain_id=5, accounts=2, balance=1), Ledger(chain_id=6)
    with first, second:
        first.mine(2)
        assert first.request("eth_blockNumber") == "0x2"
        assert second.request("eth_blockNumber") == "0x0"
        assert first.request("eth_chainId") == "0x5"
        assert _balance(first, first.accounts[1]) == COIN
    first.close()
    with pytest.raises(RuntimeError, match="not running"):
        first.request("eth_chainId")
    with pytest.raises(RuntimeError, match="started before"):
        first.start()


@pytest.mark.parametrize("broken", [Fault("the disk is full"), ZeroDivisionError("ours")])
def test_a_block_that_breaks_the_ledger_ends_it(
    monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise broken

    with Ledger() as ledger:
        transfer = {"from": ledger.accounts[0], "to": ledger.accounts[1], "value": "0x1"}
        monkeypatch.setattr(ledger._node.ledger, "commit", fail)
        for _ in range(2):  # it can't go on, and says so each time
            with pytest.raises(RequestError) as caught:
                ledger.request("eth_sendTransaction", transfer)
            assert caught.value.code == -32603
        assert isinstance(ledger._node.failed.exception(), Fault)


def test_a_program_that_never_closes_its_ledger_ends_in_silence() -> None:
    code = (
        "from node.testing import EthereumTesterProvider\n"
        "provider = EthereumTesterProvider()\n"
        "provider.ethereum_tester.mine_blocks(2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_ledger_needs_no_web3() -> None:
    """Neither it nor pytest's plugin loads it, and the plugin does not even load the node."""
    script = (
        "import sys, node.testing.plugin\n"
        "assert 'node.node' not in sys.modules\n"
        "from node.testing import Ledger\n"
        "with Ledger() as ledger: ledger.mine()\n"
        "assert 'web3' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# -- in the place of eth-tester --------------------------------------------------------------------


def test_web3s_tester_provider_is_replaced_as_it_is() -> None:
    provider = EthereumTesterProvider()
    w3: Any = Web3(provider)
    tester = provider.ethereum_tester
    assert isinstance(provider, Provider)
    first, second = (Web3.to_checksum_address(name) for name in tester.get_accounts()[:2])
    moment = tester.take_snapshot()
    for _ in range(2):
        sent = w3.eth.send_transaction({"from": first, "to": second, "value": COIN})
        assert w3.eth.wait_for_transaction_receipt(sent)["status"] == 1
        assert tester.get_balance(second) == 1_000_001 * COIN
        assert tester.get_nonce(first) == 1
        tester.revert_to_snapshot(moment)
        assert tester.get_balance(second) == 1_000_000 * COIN
    assert len(tester.mine_blocks(3)) == 3
    head = tester.get_block_by_number()
    assert head["number"] == 3
    tester.time_travel(head["timestamp"] + 1000)
    assert w3.eth.get_block("latest")["timestamp"] == head["timestamp"] + 1000
    with pytest.raises(ValueError, match="is not after"):
        tester.time_travel(head["timestamp"])
    tester.disable_auto_mine_transactions()
    waiting = w3.eth.send_transaction({"from": first, "to": second, "value": 1})
    tester.mine_block()
    assert w3.eth.get_transaction_receipt(waiting)["status"] == 1
    added = tester.add_account("0x" + "11" * 32)
    w3.eth.send_transaction({"from": first, "to": added, "value": COIN})
    tester.mine_block()
    tester.enable_auto_mine_transactions()
    back = w3.eth.send_transaction(
        {"from": Web3.to_checksum_address(added), "to": first, "value": 1}
    )
    assert w3.eth.get_transaction_receipt(back)["status"] == 1
    tester.reset_to_genesis()
    assert w3.eth.block_number == 0
    provider.ledger.close()


def test_blocks_come_by_the_clock_while_nobody_calls(ledger: Ledger) -> None:
    """Given an interval, when nothing is asked for a while, then there are blocks."""
    seen = threading.Event()
    before = int(ledger.request("eth_blockNumber"), 16)
    ledger.request("evm_setIntervalMining", 10)
    publish = ledger._node.announcements.publish_block

    def published(executed: Any) -> None:
        publish(executed)
        seen.set()

    ledger._node.announcements.publish_block = published  # type: ignore[method-assign]
    assert seen.wait(60)
    ledger.request("evm_setIntervalMining", 0)
    assert int(ledger.request("eth_blockNumber"), 16) > before
