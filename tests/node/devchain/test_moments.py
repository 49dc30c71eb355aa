"""Snapshots and the way back, a fresh start, states as files; over a restart as well."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.errors import Fault
from chain.headers import header_hash
from chain.types import Hash
from node.devchain.compose import Developing
from node.devchain.fork.headers import parse_header
from node.devchain.notes import Notes, Snapshot
from tests.node.rpc.serving import COUNTER, COUNTER_INITCODE, OTHER, SENDER, Served
from tests.support.daemon import start

NOBODY = "0x" + "ab" * 20


def _picture(dev: Any) -> tuple[Any, ...]:
    """What a caller sees of a moment."""
    return (
        dev.call("eth_getBlockByNumber", "latest", True),
        dev.call("eth_getBalance", SENDER, "latest"),
        dev.call("eth_getBalance", NOBODY, "latest"),
        dev.call("eth_getCode", NOBODY, "latest"),
        dev.call("eth_getTransactionCount", SENDER, "pending"),
        dev.call("eth_getProof", NOBODY, ["0x0"], "latest"),
    )


STEPS = st.sampled_from(["pay", "mine", "balance", "code", "slot", "snapshot", "revert"])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=4, max_size=20), chance=st.randoms(use_true_random=False))
def test_any_way_back_leads_to_the_moment_it_was_taken_at(
    dev: Served, steps: list[str], chance: Any
) -> None:
    """Given any mix of blocks and direct changes, nested snapshots restore all of it."""
    dev.call("anvil_reset")
    taken: list[tuple[str, tuple[Any, ...]]] = []
    for count, step in enumerate([*steps, "revert"]):
        match step:
            case "pay":
                dev.call("eth_sendTransaction", {"from": SENDER, "to": NOBODY, "value": "0x1"})
            case "mine":
                dev.call("anvil_mine", chance.randint(1, 3))
            case "balance":
                dev.call("anvil_setBalance", NOBODY, hex(chance.randint(0, 3)))
            case "code":
                dev.call("anvil_setCode", NOBODY, chance.choice(["0x", "0x" + COUNTER]))
            case "slot":
                dev.call("anvil_setStorageAt", NOBODY, "0x0", hex(chance.randint(0, 2) + count))
            case "snapshot":
                taken.append((dev.call("evm_snapshot"), _picture(dev)))
            case "revert" if taken:
                index = chance.randrange(len(taken))
                name, picture = taken[index]
                assert dev.call("evm_revert", name) is True
                assert _picture(dev) == picture
                assert dev.call("evm_revert", name) is False
                del taken[index:]


def test_numbers_of_snapshots_ascend_and_unknown_ones_are_told(dev: Served) -> None:
    assert [dev.call("evm_snapshot") for _ in range(3)] == ["0x0", "0x1", "0x2"]
    assert dev.call("evm_revert", "0x63") is False
    assert dev.call("anvil_revert", "0x1") is True
    assert dev.call("evm_revert", "0x2") is False
    assert dev.call("evm_snapshot") == "0x3"
    shown = dev.call("anvil_metadata")["snapshots"]
    assert list(shown) == ["0x0", "0x3"]
    assert shown["0x0"][0] == 0


def test_the_clock_goes_back_with_the_snapshot(dev: Served) -> None:
    dev.call("evm_mine")
    before = int(dev.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    name = dev.call("evm_snapshot")
    dev.call("evm_increaseTime", 10**6)
    dev.call("evm_mine")
    dev.call("evm_revert", name)
    dev.call("evm_mine")
    after = int(dev.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    assert before < after < before + 600


def test_the_pool_loses_what_came_after_the_snapshot(dev: Served) -> None:
    dev.call("evm_setAutomine", False)
    fields = {"from": SENDER, "to": OTHER, "value": "0x1"}
    first = dev.call("eth_sendTransaction", fields)
    name = dev.call("evm_snapshot")
    second = dev.call("eth_sendTransaction", fields)
    dev.call("evm_revert", name)
    assert dev.call("eth_getTransactionByHash", second) is None
    dev.call("evm_mine")
    assert dev.receipt(first)["status"] == "0x1"


def test_a_snapshot_of_blocks_that_are_gone_is_of_no_use(dev: Served) -> None:
    dev.call("evm_mine")
    name = dev.call("evm_snapshot")
    dev.call("anvil_rollback", 1)
    dev.call("evm_increaseTime", 1000)
    dev.call("evm_mine")
    assert dev.call("evm_revert", name) is False


def test_a_reset_begins_again(dev: Served) -> None:
    first = _picture(dev)
    instance = dev.call("hardhat_metadata")["instanceId"]
    dev.call("anvil_setBalance", NOBODY, "0x5")
    name = dev.call("evm_snapshot")
    dev.call("hardhat_mine", "0x10")
    dev.call("evm_setAutomine", False)
    dev.call("eth_sendTransaction", {"from": SENDER, "to": OTHER, "value": "0x1"})
    dev.call("anvil_impersonateAccount", NOBODY)
    assert dev.call("hardhat_reset", {"forking": {}}) is True
    assert _picture(dev) == first
    assert dev.call("evm_revert", name) is False
    assert dev.call("hardhat_metadata")["instanceId"] != instance
    assert dev.call("hardhat_getAutomine") is True
    assert dev.refusal("eth_sendTransaction", {"from": NOBODY, "to": OTHER}).code == -32000
    assert dev.refusal("anvil_reset", {"forking": {"jsonRpcUrl": "ipc:x"}}).code == -32602


def test_a_log_filter_tells_of_the_blocks_in_the_place_of_those_taken_back(dev: Served) -> None:
    name = dev.call("evm_snapshot")
    dev.call("anvil_mine", 3)
    watching = dev.call("eth_newBlockFilter")
    dev.call("evm_revert", name)
    dev.call("evm_increaseTime", 5000)
    dev.call("evm_mine")
    block = dev.call("eth_getBlockByNumber", "latest", False)
    assert dev.call("eth_getFilterChanges", watching) == [block["hash"]]


# -- states as files -------------------------------------------------------------------------------


def test_a_state_goes_from_one_chain_to_another_by_file(dev: Served) -> None:
    dev.call("anvil_setCode", NOBODY, "0x" + COUNTER)
    dev.call("anvil_setStorageAt", NOBODY, "0x0", "0x63")
    dev.send(to=OTHER, value="0x64")
    file = dev.call("anvil_dumpState")
    with Served(developing=Developing()) as other:
        assert other.call("anvil_loadState", file) is True
        for name, argument in (
            ("eth_getBalance", SENDER),
            ("eth_getBalance", OTHER),
            ("eth_getTransactionCount", SENDER),
            ("eth_getCode", NOBODY),
        ):
            assert other.call(name, argument, "latest") == dev.call(name, argument, "latest")
        assert int(other.call("eth_call", {"to": NOBODY}, "latest"), 16) == 0x64
        receipt = other.send(to=NOBODY, gas="0x186a0")
        assert int(receipt["logs"][0]["data"], 16) == 0x64


def test_a_dump_has_anvils_shape(dev: Served) -> None:
    dev.call("anvil_setCode", NOBODY, "0x" + COUNTER)
    dev.call("anvil_setStorageAt", NOBODY, "0x1", "0x5")
    document = json.loads(gzip.decompress(bytes.fromhex(dev.call("anvil_dumpState")[2:])))
    assert document["accounts"][NOBODY] == {
        "nonce": 0,
        "balance": "0x0",
        "code": "0x" + COUNTER,
        "storage": {f"0x{1:064x}": f"0x{5:064x}"},
    }
    assert document["best_block_number"] == "0x0"
    assert {"block", "blocks", "transactions", "historical_states"} < document.keys()


def test_a_dump_has_the_blocks_and_their_transactions(dev: Served) -> None:
    """Every header hashes to its block's hash again; every receipt names where it stands."""
    created = dev.send(data=COUNTER_INITCODE)["contractAddress"]
    for fields in ({"to": created}, {"to": created, "data": "0x12"}, {"to": OTHER, "value": "0x1"}):
        dev.send(gas="0x30000", **fields)
    document = json.loads(gzip.decompress(bytes.fromhex(dev.call("anvil_dumpState")[2:])))
    assert [int(block["header"]["number"], 16) for block in document["blocks"]] == [0, 1, 2, 3, 4]
    for block in document["blocks"]:
        told = dev.call("eth_getBlockByNumber", block["header"]["number"], False)
        parsed = parse_header({**block["header"], "hash": told["hash"]}).header
        assert "0x" + header_hash(parsed).hex() == told["hash"]
        hashes = [body["transaction"]["hash"] for body in block["transactions"]]
        assert hashes == told["transactions"]
    assert len(document["transactions"]) == 4
    for entry in document["transactions"]:
        info = entry["info"]
        receipt = dev.call("eth_getTransactionReceipt", info["transaction_hash"])
        assert entry["block_hash"] == receipt["blockHash"]
        assert entry["block_number"] == int(receipt["blockNumber"], 16)
        assert entry["receipt"]["logs"] == receipt["logs"]
        assert info["gas_used"] == int(receipt["gasUsed"], 16)
        assert info["exit"] == ("Stop" if receipt["status"] == "0x1" else "Revert")
        assert (info["from"], info["to"]) == (receipt["from"], receipt["to"])


def test_files_that_make_no_sense_are_refused(dev: Served) -> None:
    def packed(document: object) -> str:
        return "0x" + gzip.compress(json.dumps(document).encode()).hex()

    for wrong in (
        "0x",
        "0x1f8b00",
        packed([]),
        packed({}),
        packed({"accounts": {"0x12": {}}}),
        packed({"accounts": {NOBODY: {"balance": "0x1" + "00" * 32}}}),
        packed({"accounts": {NOBODY: {"nonce": -1}}}),
        packed({"accounts": {NOBODY: {"storage": {"x": "0x1"}}}}),
        packed({"accounts": {NOBODY: 7}}),
    ):
        assert dev.refusal("anvil_loadState", wrong).code == -32602


# -- notes -----------------------------------------------------------------------------------------


def _snapshot(number: int) -> Snapshot:
    return Snapshot(number, number, Hash(bytes(32)), 0, 1000 + number, None)


def test_notes_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "dev.log"
    notes = Notes(path)
    for number in range(4):
        notes.add(_snapshot(number))
    notes.take(2)
    notes.shift(77)
    notes.close()
    for _ in range(2):
        again = Notes(path)
        assert list(again.snapshots.values()) == [_snapshot(0), _snapshot(1)]
        assert (again.next_id, again.offset) == (4, 77)
        again.close()


def test_a_line_cut_short_by_a_crash_is_passed_over_and_nonsense_is_not(tmp_path: Path) -> None:
    path = tmp_path / "dev.log"
    notes = Notes(path)
    notes.add(_snapshot(0))
    notes.close()
    cut = tmp_path / "cut.log"
    shutil.copy(path, cut)
    with cut.open("a") as file:
        file.write('{"taken":')
    assert list(Notes(cut).snapshots) == [0]
    path.write_text('{"unheard": 1}\n')
    with pytest.raises(Fault, match="line 1 makes no sense"):
        Notes(path)


def test_snapshots_and_set_state_survive_a_restart(tmp_path: Path) -> None:
    """kill -9 between: the daemon comes back with all of it."""
    daemon = start("dev", "--datadir", str(tmp_path / "data"))
    try:
        daemon.rpc.call("anvil_setBalance", NOBODY, "0x7b")
        moment = _picture(daemon.rpc)
        name = daemon.rpc.call("evm_snapshot")
        daemon.rpc.call("anvil_setBalance", NOBODY, "0x1")
        daemon.rpc.call("anvil_mine", 5)
        daemon.rpc.call("evm_increaseTime", 10**7)
        daemon.rpc.call("evm_mine")
        latest = daemon.rpc.call("eth_getBlockByNumber", "latest", False)
        daemon.kill()
        daemon = start("dev", "--datadir", str(tmp_path / "data"))
        assert daemon.rpc.call("eth_getBlockByNumber", "latest", False) == latest
        assert daemon.rpc.call("eth_getBalance", NOBODY, "0x0") == "0x1"
        pending = daemon.rpc.call("eth_getBlockByNumber", "pending", False)
        assert int(pending["timestamp"], 16) - int(latest["timestamp"], 16) < 600
        assert daemon.rpc.call("evm_revert", name) is True
        assert _picture(daemon.rpc) == moment
    finally:
        assert daemon.stop() == 0
