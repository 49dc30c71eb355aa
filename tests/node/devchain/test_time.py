"""The chain's clock, and what a developer wants of the next block."""

import time

import pytest

from node.devchain.times import Times
from tests.node.rpc.serving import OTHER, SENDER, Served


def _latest(dev: Served) -> dict[str, str]:
    block: dict[str, str] = dev.call("eth_getBlockByNumber", "latest", False)
    return block


def _mined_time(dev: Served) -> int:
    dev.call("evm_mine")
    return int(_latest(dev)["timestamp"], 16)


def test_times_ascend_whatever_is_wanted() -> None:
    times = Times()
    assert times.upcoming(1000.9, 500) == 1000
    assert times.upcoming(1000.9, 1000) == 1001
    times.offset = -600
    assert times.upcoming(1000.0, 900) == 901
    times.interval = 10
    assert times.upcoming(1000.0, 900) == 910
    times.interval, times.exact = None, 5000
    assert times.upcoming(1000.0, 900) == 5000
    times.passed(1000.0, 5000)
    assert times.chain_time(1003.0) == 5003
    assert times.upcoming(1003.0, 5000) == 5003


def test_time_put_forward_stays_forward(dev: Served) -> None:
    before = _mined_time(dev)
    assert dev.call("evm_increaseTime", 86_400) == 86_400
    assert dev.call("evm_increaseTime", "0x10") == 86_416
    after = _mined_time(dev)
    assert 86_416 <= after - before <= 86_500
    assert _mined_time(dev) - after < 60


def test_time_is_put_forward_from_a_block_that_runs_ahead_of_the_clock(dev: Served) -> None:
    """What opens a day after a block is open when a day has passed, however many came at once."""
    dev.call("anvil_mine", 50)
    head = int(_latest(dev)["timestamp"], 16)
    dev.call("evm_increaseTime", 86_400)
    assert head + 86_400 <= _mined_time(dev) < head + 90_000
    dev.call("evm_mine", {"blocks": 50})
    head = int(_latest(dev)["timestamp"], 16)
    dev.call("anvil_mine", 2, 10)
    assert int(_latest(dev)["timestamp"], 16) >= head + 20


def test_the_next_block_has_the_time_it_was_given(dev: Served) -> None:
    wanted = int(time.time()) + 10_000_000
    assert dev.call("evm_setNextBlockTimestamp", wanted) is None
    assert int(dev.call("eth_getBlockByNumber", "pending", False)["timestamp"], 16) == wanted
    assert _mined_time(dev) == wanted
    assert wanted < _mined_time(dev) < wanted + 60
    refused = dev.refusal("hardhat_setNextBlockTimestamp", wanted)
    assert (refused.code, "lower than or equal" in refused.message) == (-32602, True)


@pytest.mark.parametrize("factor", [1, 1000])
def test_the_clock_is_set_in_seconds_or_milliseconds(dev: Served, factor: int) -> None:
    wanted = int(time.time()) + 5_000_000
    moved = dev.call("evm_setTime", wanted * factor)
    assert 4_999_990 <= moved <= 5_000_000
    assert wanted <= _mined_time(dev) < wanted + 60


def test_a_clock_that_is_set_is_the_next_blocks_time(dev: Served) -> None:
    """As on anvil, the last word on the time counts."""
    now = _mined_time(dev)
    dev.call("evm_setNextBlockTimestamp", now + 90_000)
    dev.call("evm_setTime", now + 5_000)
    assert now + 5_000 <= _mined_time(dev) < now + 9_000


def test_a_fixed_distance_between_blocks(dev: Served) -> None:
    assert dev.call("anvil_setBlockTimestampInterval", 7) is None
    first = _mined_time(dev)
    assert [_mined_time(dev) for _ in range(3)] == [first + 7, first + 14, first + 21]
    assert dev.call("anvil_removeBlockTimestampInterval") is True
    assert dev.call("anvil_removeBlockTimestampInterval") is False
    assert dev.call("hardhat_setBlockTimestampInterval", 7_000) is True  # viem's milliseconds
    first = _mined_time(dev)
    assert _mined_time(dev) == first + 7


def test_the_next_block_is_as_wished_once(dev: Served) -> None:
    randao = "0x" + "42" * 32
    assert dev.call("hardhat_setNextBlockBaseFeePerGas", "0x77359400") is True
    assert dev.call("anvil_setPrevRandao", randao) is None
    assert dev.call("eth_getBlockByNumber", "pending", False)["baseFeePerGas"] == "0x77359400"
    dev.call("evm_mine")
    block = _latest(dev)
    assert (block["baseFeePerGas"], block["mixHash"]) == ("0x77359400", randao)
    dev.call("evm_mine")
    block = _latest(dev)
    assert block["baseFeePerGas"] == hex(2_000_000_000 * 7 // 8)
    assert block["mixHash"] != randao


def test_coinbase_and_gas_limit_stay_as_set(dev: Served) -> None:
    recipient = "0x" + "c0" * 20
    dev.call("anvil_setCoinbase", recipient)
    assert dev.call("evm_setBlockGasLimit", 12_345_678) is True
    dev.call("evm_mine")
    dev.send(to=OTHER, value="0x1", maxPriorityFeePerGas="0x3b9aca00", maxFeePerGas="0x2540be400")
    block = _latest(dev)
    assert (block["miner"], int(block["gasLimit"], 16)) == (recipient, 12_345_678)
    assert int(dev.call("eth_getBalance", recipient, "latest"), 16) == 21_000 * 10**9
    refused = dev.refusal("eth_sendTransaction", {"from": SENDER, "to": OTHER, "gas": hex(2**24)})
    assert refused.message.startswith("exceeds block gas limit")


def test_a_transaction_that_waits_for_a_lower_base_fee_goes_when_it_is_set(dev: Served) -> None:
    dev.call("evm_setAutomine", False)
    fees = {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x0", "gas": "0x5208"}
    fields = {"from": SENDER, "to": OTHER, **fees}
    sent = dev.call("eth_sendTransaction", fields)
    dev.call("evm_mine")
    assert dev.call("eth_getTransactionReceipt", sent) is None
    dev.call("anvil_setNextBlockBaseFeePerGas", "0x0")
    dev.call("evm_mine")
    assert dev.call("eth_getTransactionReceipt", sent)["effectiveGasPrice"] == "0x0"


def test_a_least_gas_price_is_refused_as_elsewhere(dev: Served) -> None:
    refused = dev.refusal("anvil_setMinGasPrice", "0x1")
    assert refused.message == "anvil_setMinGasPrice is not supported when EIP-1559 is active"
