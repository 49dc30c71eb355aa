"""web3.py against the daemon: an OpenZeppelin token, the dev accounts, filters."""

from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.address import to_canonical_address
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.exceptions import TransactionNotFound, Web3RPCError

from tests.end_to_end.conftest import DevLedger
from tests.support.contracts import solidity
from tests.support.token_life import (
    DEPLOYER,
    FRIEND,
    STRANGER,
    expect_token_life,
    live_with_web3,
)

COIN = 10**18


@pytest.fixture
def web3(ledger: DevLedger) -> Any:
    return Web3(HTTPProvider(ledger.rpc_url))


def test_an_openzeppelin_token_lives_its_life_through_web3(ledger: DevLedger) -> None:
    """Deploy, transfer, filter, subscribe; custom errors, a panic and words decoded."""
    artefact = solidity("Coin.sol", "Coin")
    seen = live_with_web3(ledger.rpc_url, ledger.ws_url, artefact)
    expect_token_life(seen, "Coin")
    refusals = seen["refusals"]
    lacking = artefact.selector_of_error("ERC20InsufficientBalance")
    for way in ("call", "estimate", "overWebSocket"):
        assert refusals[way]["kind"] == "custom", way
        assert refusals[way]["data"].startswith(lacking), way
    arguments = decode(
        ["address", "uint256", "uint256"], HexBytes("0x" + refusals["call"]["data"][10:])
    )
    assert arguments == (STRANGER.lower(), 0, 5)
    assert refusals["owner"]["kind"] == "custom"
    unauthorized = artefact.selector_of_error("OwnableUnauthorizedAccount")
    assert refusals["owner"]["data"].startswith(unauthorized)
    assert refusals["panic"]["kind"] == "panic"
    assert "0x12" in refusals["panic"]["message"]
    assert refusals["words"]["kind"] == "words"
    assert "execution reverted: cap exceeded" in refusals["words"]["message"]


def test_a_dev_account_sends_without_a_key_at_hand(web3: Any) -> None:
    before = web3.eth.get_balance(STRANGER)
    fields = {"from": DEPLOYER, "to": STRANGER, "value": COIN}
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(fields), 30, 0.02)
    assert receipt["status"] == 1
    assert web3.eth.get_balance(STRANGER) == before + COIN
    at_parent = receipt["blockNumber"] - 1
    assert web3.eth.get_balance(STRANGER, at_parent) == before
    transaction = web3.eth.get_transaction(receipt["transactionHash"])
    assert transaction["blockNumber"] == receipt["blockNumber"]
    assert transaction["value"] == COIN


def test_block_and_pending_filters_tell_what_happened_since(web3: Any) -> None:
    blocks, pending = web3.eth.filter("latest"), web3.eth.filter("pending")
    sent = web3.eth.send_transaction({"from": DEPLOYER, "to": FRIEND, "value": 1})
    receipt = web3.eth.wait_for_transaction_receipt(sent, 30, 0.02)
    assert HexBytes(receipt["blockHash"]) in blocks.get_new_entries()
    assert sent in pending.get_new_entries()
    assert blocks.get_new_entries() == []
    assert blocks.filter_id is not None
    assert web3.eth.uninstall_filter(blocks.filter_id)
    with pytest.raises(Web3RPCError, match="filter not found"):
        blocks.get_new_entries()


def test_a_block_hash_is_that_of_its_header_and_links_to_its_parent(web3: Any) -> None:
    """As any client would recompute it, here with an independent header codec."""
    from eth.vm.forks.prague.blocks import PragueBlockHeader

    sent = web3.eth.send_transaction({"from": DEPLOYER, "to": FRIEND, "value": 1})
    height = web3.eth.wait_for_transaction_receipt(sent, 30, 0.02)["blockNumber"]
    block = web3.eth.get_block(height)
    header = PragueBlockHeader(
        parent_hash=block["parentHash"],
        uncles_hash=block["sha3Uncles"],
        coinbase=to_canonical_address(block["miner"]),
        state_root=block["stateRoot"],
        transaction_root=block["transactionsRoot"],
        receipt_root=block["receiptsRoot"],
        bloom=int.from_bytes(block["logsBloom"]),
        difficulty=block["difficulty"],
        block_number=block["number"],
        gas_limit=block["gasLimit"],
        gas_used=block["gasUsed"],
        timestamp=block["timestamp"],
        extra_data=block["extraData"],
        mix_hash=block["mixHash"],
        nonce=block["nonce"],
        base_fee_per_gas=block["baseFeePerGas"],
        withdrawals_root=block["withdrawalsRoot"],
        blob_gas_used=block["blobGasUsed"],
        excess_blob_gas=block["excessBlobGas"],
        parent_beacon_block_root=block["parentBeaconBlockRoot"],
        requests_hash=block["requestsHash"],
    )
    assert header.hash == block["hash"]
    assert block["parentHash"] == web3.eth.get_block(height - 1)["hash"]


def test_fees_and_history_serve_the_clients_estimates(web3: Any) -> None:
    base_fee = web3.eth.get_block("latest")["baseFeePerGas"]
    assert web3.eth.gas_price >= base_fee
    assert web3.eth.max_priority_fee >= 0
    history = web3.eth.fee_history(1, "latest", [50.0])
    assert history["baseFeePerGas"][0] == base_fee
    assert web3.eth.estimate_gas({"from": DEPLOYER, "to": FRIEND, "value": 1}) == 21_000


def test_refused_transactions_say_why_in_the_words_clients_know(web3: Any) -> None:
    poor = "0x" + "12" * 20
    with pytest.raises(Web3RPCError, match="insufficient funds for gas \\* price \\+ value"):
        web3.eth.send_transaction({"from": DEPLOYER, "to": poor, "value": 10**30, "gas": 21_000})
    with pytest.raises(Web3RPCError, match="nonce too low"):
        web3.eth.send_transaction({"from": DEPLOYER, "to": poor, "value": 1, "nonce": 0})
    with pytest.raises(TransactionNotFound):
        web3.eth.get_transaction_receipt(HexBytes(bytes(32)))


def test_the_tracing_module_reads_all_traces(web3: Any) -> None:
    """Of a transaction that makes a contract, and two more whose initcodes revert and fail.

    Each stores its initcode and runs it: mstore(0, INITCODE) create(0, offset, size) pop
    """
    makes = "69600160005360016000f3600052" + "600a60166000f050"  # deploys the byte 01
    reverts = "625f5ffd600052" + "6003601d6000f050"
    fails = "60fe600053" + "600160006000f050"
    fields = {"from": DEPLOYER, "data": "0x" + makes + reverts + fails + "00", "gas": 2_000_000}
    name = web3.eth.send_transaction(fields)
    receipt = web3.eth.wait_for_transaction_receipt(name, 30, 0.02)
    tracing = web3.tracing
    traces = tracing.trace_transaction(name)
    assert [item["traceAddress"] for item in traces] == [[], [0], [1], [2]]
    assert [item.get("error") for item in traces] == [
        None, None, "Reverted", "Bad instruction",
    ]  # fmt: skip
    assert tracing.trace_block(receipt["blockNumber"]) == traces
    bounds = {"fromBlock": receipt["blockNumber"], "toBlock": receipt["blockNumber"]}
    assert tracing.trace_filter({**bounds, "after": 1, "count": 2}) == traces[1:3]
    kinds = ["trace", "vmTrace", "stateDiff"]
    (replayed,) = tracing.trace_replay_block_transactions(receipt["blockNumber"], kinds)
    whole = tracing.trace_replay_transaction(name, kinds)
    assert replayed["transactionHash"] == name
    assert (replayed["trace"], replayed["vmTrace"]) == (whole["trace"], whole["vmTrace"])
    made = traces[1]["result"]["address"].lower()
    assert whole["stateDiff"][made]["code"]["+"] == "0x01"
    called = tracing.trace_call({"to": traces[1]["result"]["address"]}, ["trace"], "latest")
    assert (called["trace"][0]["error"], called["trace"][0]["result"]) == ("Stack underflow", None)
