"""Blocks on demand, by the clock, and as transactions come; blocks that are taken back."""

import json
from itertools import pairwise
from typing import Any

from eth_utils.address import to_checksum_address

from tests.node.rpc.serving import OTHER, SENDER, Served


def _height(dev: Served) -> int:
    return int(dev.call("eth_blockNumber"), 16)


def _pay(dev: Served, value: int = 1, **fields: Any) -> str:
    request = {"from": SENDER, "to": OTHER, "value": hex(value), **fields}
    sent: str = dev.call("eth_sendTransaction", request)
    return sent


def _times(dev: Served, first: int) -> list[int]:
    return [
        int(dev.call("eth_getBlockByNumber", hex(height), False)["timestamp"], 16)
        for height in range(first, _height(dev) + 1)
    ]


def test_a_transaction_is_in_a_block_when_its_hash_is_answered(dev: Served) -> None:
    """Nobody has to wait for the receipt, as with other tools that build at once."""
    for number in range(1, 6):
        receipt = dev.call("eth_getTransactionReceipt", _pay(dev))
        assert (receipt["status"], int(receipt["blockNumber"], 16)) == ("0x1", number)
    assert _height(dev) == 5


def test_without_automine_transactions_wait_for_a_block_on_demand(dev: Served) -> None:
    assert dev.call("hardhat_getAutomine") is True
    assert dev.call("miner_stop") is True
    assert dev.call("anvil_getAutomine") is False
    sent = [_pay(dev, value) for value in (1, 2, 3)]
    assert _height(dev) == 0
    assert dev.call("eth_getTransactionReceipt", sent[0]) is None
    assert dev.call("evm_mine") == "0x0"
    block = dev.call("eth_getBlockByNumber", "latest", False)
    assert (block["number"], block["transactions"]) == ("0x1", sent)
    dev.call("evm_mine")
    assert _height(dev) == 2
    waiting = _pay(dev)
    assert dev.call("miner_start") is True
    assert dev.receipt(waiting)["blockNumber"] == "0x3"


def test_many_blocks_at_once_have_their_distance(dev: Served) -> None:
    assert dev.call("hardhat_mine", "0x5", "0x3c") is True
    times = _times(dev, 1)
    assert [after - before for before, after in pairwise(times)] == [60] * 4
    assert dev.call("anvil_mine", 3, 1000) is None
    later = _times(dev, 6)
    assert later[0] >= times[-1] + 1000
    assert all(995 <= b - a <= 1005 for a, b in pairwise(later))
    dev.call("hardhat_mine")
    assert _height(dev) == 9


def test_too_many_blocks_at_once_are_refused(dev: Served) -> None:
    refused = dev.refusal("anvil_mine", hex(10**9))
    assert refused.code == -32602
    assert _height(dev) == 0


def test_blocks_are_told_in_full_when_asked_for(dev: Served) -> None:
    dev.call("evm_setAutomine", False)
    sent = _pay(dev)
    (block,) = dev.call("evm_mine_detailed")
    assert [item["hash"] for item in block["transactions"]] == [sent]
    blocks = dev.call("anvil_mine_detailed", {"blocks": 2, "timestamp": 4_000_000_000})
    assert [block["number"] for block in blocks] == ["0x2", "0x3"]
    assert blocks[0]["timestamp"] == hex(4_000_000_000)


def test_an_interval_builds_by_the_clock_and_ends(dev: Served) -> None:
    dev.call("evm_setIntervalMining", [1000, 1000])
    assert dev.call("anvil_getIntervalMining") == 1
    assert dev.call("hardhat_getAutomine") is False
    dev.receipt(_pay(dev))  # once the second is over
    dev.call("anvil_setIntervalMining", 0)
    assert dev.call("anvil_getIntervalMining") is None
    waiting = _pay(dev)
    assert dev.call("eth_getTransactionReceipt", waiting) is None


def test_an_interval_beside_automine_does_both(dev: Served) -> None:
    dev.call("anvil_setIntervalMining", 3600)
    dev.call("evm_setAutomine", True)
    assert dev.call("anvil_getIntervalMining") == 3600
    assert dev.call("eth_getTransactionReceipt", _pay(dev)) is not None


def test_transactions_can_be_dropped_from_the_pool(dev: Served) -> None:
    dev.call("evm_setAutomine", False)
    first, second = _pay(dev, 1), _pay(dev, 2)
    assert dev.call("anvil_dropTransaction", second) == second
    assert dev.call("anvil_dropTransaction", second) is None
    assert dev.call("hardhat_dropTransaction", second) is False
    assert dev.call("hardhat_dropTransaction", first) is True
    _pay(dev, 3)
    assert dev.call("anvil_removePoolTransactions", OTHER) is None
    assert dev.call("txpool_status")["pending"] == "0x1"
    assert dev.call("anvil_removePoolTransactions", SENDER) is None
    assert dev.call("txpool_status")["pending"] == "0x0"
    _pay(dev, 3)
    assert dev.call("anvil_dropAllTransactions") is None
    assert dev.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_a_transaction_behind_a_gap_is_answered_and_waits(dev: Served) -> None:
    late = _pay(dev, nonce="0x1")
    assert dev.call("eth_getTransactionReceipt", late) is None
    _pay(dev, nonce="0x0")
    assert dev.receipt(late)["status"] == "0x1"


def test_an_offer_that_no_block_is_ever_built_for_is_refused(dev: Served) -> None:
    """As by anvil and Hardhat, instead of leaving its sender to wait for a receipt.

    What empty blocks bring the fee down to is taken, as is anything where blocks come otherwise.
    """
    base_fee = int(dev.call("anvil_nodeInfo")["environment"]["baseFee"], 16)
    request = {"from": SENDER, "to": OTHER, "gas": "0x5208"}
    for fees in ({"gasPrice": "0x1"}, {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x0"}):
        refused = dev.refusal("eth_sendTransaction", request | fees)
        assert refused.code == -32000
        assert refused.message == (
            f"max fee per gas less than block base fee: address {to_checksum_address(SENDER)}, "
            f"maxFeePerGas: 1, baseFee: {base_fee}"
        )
    assert dev.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    assert dev.send(to=OTHER, gas="0x5208", gasPrice=hex(base_fee // 2))["status"] == "0x1"
    dev.call("evm_setAutomine", False)
    waits = dev.call("eth_sendTransaction", request | {"gasPrice": "0x1"})
    dev.call("anvil_setNextBlockBaseFeePerGas", "0x1")
    dev.call("evm_mine")
    assert dev.receipt(waits)["status"] == "0x1"


def test_blocks_can_be_taken_back(dev: Served) -> None:
    sent = [_pay(dev, 10**18) for _ in range(3)]
    balance = dev.call("eth_getBalance", OTHER, "0x1")
    assert dev.call("anvil_rollback", 2) is None
    assert _height(dev) == 1
    assert dev.call("eth_getBalance", OTHER, "latest") == balance
    assert dev.call("eth_getTransactionByHash", sent[2]) is None
    assert dev.call("eth_getTransactionCount", SENDER, "pending") == "0x1"
    assert dev.refusal("anvil_rollback", 2).code == -32602
    again = dev.call("eth_getTransactionReceipt", _pay(dev))
    assert again["blockNumber"] == "0x2"


def test_a_reorganization_puts_other_blocks_in_the_place_of_the_last(dev: Served) -> None:
    """As many, with other hashes and the transactions that were given for them."""
    for _ in range(4):
        _pay(dev)
    before = [dev.call("eth_getBlockByNumber", hex(n), False)["hash"] for n in range(5)]
    watching = dev.call("eth_newBlockFilter")
    extra = {"from": SENDER, "to": OTHER, "value": "0x63"}
    assert dev.call("anvil_reorg", 2, [[extra, 0], [{**extra, "value": "0x64"}, 1]]) is None
    after = [dev.call("eth_getBlockByNumber", hex(n), True) for n in range(5)]
    assert [block["hash"] for block in after[:3]] == before[:3]
    assert not {block["hash"] for block in after[3:]} & set(before)
    assert [block["transactions"][0]["value"] for block in after[3:]] == ["0x63", "0x64"]
    assert dev.call("eth_getFilterChanges", watching) == [block["hash"] for block in after[3:]]
    assert dev.refusal("anvil_reorg", 99).code == -32602


def test_hundreds_at_once_are_all_built_and_no_block_is_empty(dev: Served) -> None:
    """None lost, none waiting for a kick."""
    total = 600
    for start in range(0, total, 200):
        requests = [
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "eth_sendTransaction",
                "params": [{"from": SENDER, "to": OTHER, "value": "0x1", "gas": "0x5208"}],
            }
            for number in range(start, start + 200)
        ]
        answers = dev.post(json.dumps(requests).encode())
        assert all("result" in answer for answer in answers)
    assert dev.call("eth_getTransactionCount", SENDER, "latest") == hex(total)
    sizes = [
        int(dev.call("eth_getBlockTransactionCountByNumber", hex(number)), 16)
        for number in range(1, _height(dev) + 1)
    ]
    assert sum(sizes) == total
    assert all(sizes)
