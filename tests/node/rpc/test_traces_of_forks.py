"""Traces of the execution APIs' sample chain, through all forks, beside what the chain says."""

from collections.abc import Iterator
from typing import Any

import pytest

from chain.genesis import parse_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.conformance.chain_import import import_chain
from tests.node.rpc.serving import Served
from tests.support.conformance import samples

ETHER = 10**18
# Their queues are emptied by the block itself, after its transactions.
QUEUES = {
    "0x00000961ef480eb55e80d19ad83579a64c007002",
    "0x0000bbddc7ce488642fb579f8b00f3a590007251",
}
KINDS = ["trace", "vmTrace", "stateDiff"]


@pytest.fixture(scope="module")
def sampled() -> Iterator[Served]:
    folder = samples("rpc-compat")
    ledger = Ledger.open(MemoryStore(), parse_genesis((folder / "genesis.json").read_text()))
    import_chain(ledger, folder / "chain.rlp", lambda line: None)
    with Served(ledger=ledger, builds=False) as sampled:
        yield sampled


def heights(served: Served) -> range:
    return range(1, int(served.call("eth_blockNumber"), 16) + 1)


def value(entry: Any) -> str | None:
    """What a field of a stateDiff is afterwards; None when it is as before."""
    match entry:
        case {"*": {"to": new}} | {"+": new}:
            return str(new)
        case {"-": _}:
            return "0x0"
    return None


def test_the_changes_of_all_transactions_lead_to_the_state_of_the_chain(sampled: Served) -> None:
    """Balances, nonces and slots after each block are those of the last change told."""
    checked = 0
    for height in heights(sampled):
        number = hex(height)
        block = sampled.call("eth_getBlockByNumber", number, False)
        # Others than transactions change these balances at the end of a block.
        credited = {item["address"] for item in block.get("withdrawals", ())} | {block["miner"]}
        after: dict[tuple[str, str], str] = {}
        for item in sampled.call("trace_replayBlockTransactions", number, KINDS):
            for address, entry in item["stateDiff"].items():
                for field in ("balance", "nonce"):
                    if (new := value(entry[field])) is not None:
                        after[address, field] = new
                for slot, change in entry["storage"].items():
                    after[address, slot] = value(change) or ""
        for (address, field), wanted in after.items():
            if address in QUEUES:
                continue
            match field:
                case "balance" if address not in credited:
                    found = sampled.call("eth_getBalance", address, number)
                case "nonce":
                    found = sampled.call("eth_getTransactionCount", address, number)
                case slot if slot.startswith("0x"):
                    found = sampled.call("eth_getStorageAt", address, slot, number)
                case _:
                    continue
            assert int(found, 16) == int(wanted, 16), (height, address, field)
            checked += 1
    assert checked > 100


def test_machine_and_messages_tell_the_same_gas(sampled: Served) -> None:
    """What the machine's trace has left at its end is what the first message did not use."""
    codes = 0
    for height in heights(sampled):
        for item in sampled.call("trace_replayBlockTransactions", hex(height), KINDS):
            root, machine = item["trace"][0], item["vmTrace"]
            if not machine["ops"] or "error" in root or root["type"] == "create":
                continue
            left = machine["ops"][-1]["ex"]["used"]
            gas = int(root["action"]["gas"], 16)
            assert gas - left == int(root["result"]["gasUsed"], 16)
            codes += 1
    assert codes > 10


def test_what_was_mined_before_the_merge_shows_its_reward(sampled: Served) -> None:
    """The reward comes after the transactions' messages, with the miner and what it got."""
    rewarded = 0
    for height in heights(sampled):
        block = sampled.call("eth_getBlockByNumber", hex(height), False)
        traces = sampled.call("trace_block", hex(height))
        rewards = [item for item in traces if item["type"] == "reward"]
        assert bool(rewards) == (block["difficulty"] != "0x0")
        if rewards:
            action = rewards[0]["action"]
            assert (action["author"], action["rewardType"]) == (block["miner"], "block")
            assert len(rewards) == 1 + len(block["uncles"])
            # A 32nd more for each uncle.
            base = int(action["value"], 16) * 32 // (32 + len(block["uncles"]))
            assert base in {2 * ETHER, 3 * ETHER, 5 * ETHER}
            assert traces[-1] == rewards[-1]
            rewarded += 1
            wanted = {
                "fromBlock": hex(height),
                "toBlock": hex(height),
                "toAddress": [block["miner"]],
            }
            assert rewards[0] in sampled.call("trace_filter", wanted)
    assert rewarded


def test_the_explorer_finds_every_transaction_of_its_sender(sampled: Served) -> None:
    """Walking an address' pages gives all that it sent, through all forks."""
    sent: dict[str, list[str]] = {}
    for height in heights(sampled):
        for item in sampled.call("eth_getBlockByNumber", hex(height), True)["transactions"]:
            sent.setdefault(item["from"], []).append(item["hash"])
    for sender, wanted in sent.items():
        found = sampled.call("ots_searchTransactionsAfter", sender, 0, 1_000)
        assert found["firstPage"] is True
        assert set(wanted) <= {item["hash"] for item in found["txs"]}
