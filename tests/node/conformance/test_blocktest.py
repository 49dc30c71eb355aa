"""Blockchain tests: which block is the head, what must be refused, what malformed tests give."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from chain import headers
from chain.activation import ChainConfig
from chain.blocks import Block, Header, encode_block
from chain.execution import BlockExecution
from chain.types import ZERO_HASH, Address
from chain.views import Overlay, TrieView
from contracts.vm import Interpreter
from node.conformance import blocktest, fixtures
from node.conformance.networks import network_config
from node.conformance.report import Result
from tests.chain.test_headers import child_of, parent_of

ACCOUNT = "0x" + "01" * 20
PRE = {ACCOUNT: {"nonce": "0x01", "balance": "0x64", "code": "0x", "storage": {}}}
BIG = "DiffC0000"  # total difficulty 786,432: six blocks of the least difficulty


class Link(Struct):
    """A block with the state after it and the total difficulty up to it."""

    header: Header
    view: TrieView
    total: int

    @property
    def hash(self) -> str:
        return "0x" + headers.header_hash(self.header).hex()

    @property
    def raw(self) -> str:
        withdrawals = None if self.header.withdrawals_root is None else ()
        return "0x" + encode_block(Block(self.header, (), (), withdrawals)).hex()


def genesis_of(network: str) -> tuple[Link, ChainConfig]:
    config = network_config(network)
    view = fixtures.view_of(fixtures.parse_state(PRE))
    fork = config.fork_at(0, 0, merged=config.merged_after(0))
    difficulty = 0 if fork.merged else headers.DIFFICULTY_MIN
    header = parent_of(
        fork, number=0, timestamp=0, gas_used=0, state_root=view.root, difficulty=difficulty
    )
    return Link(header, view, difficulty), config


def mine(parent: Link, config: ChainConfig, *, wait: int = 12, mark: int = 0) -> Link:
    """An empty valid block on top of `parent`; `mark` makes siblings different."""
    number, time = parent.header.number + 1, parent.header.timestamp + wait
    fork = config.fork_at(number, time, merged=config.merged_after(parent.total))
    header = child_of(
        parent.header, fork, timestamp=time, gas_used=0, coinbase=Address(bytes(19) + bytes([mark]))
    )
    execution = BlockExecution(
        parent.view, header, fork, config, Interpreter(), lambda number: ZERO_HASH
    )
    changes, _ = execution.finish((), () if fork.withdrawals else None)
    header = replace(header, state_root=changes.root)
    return Link(header, Overlay(parent.view, changes), parent.total + header.difficulty)


def make_test(network: str, genesis: Link, offered: list[Link], head: Link) -> dict[str, Any]:
    return {
        "network": network,
        "sealEngine": "NoProof",
        "pre": PRE,
        "genesisRLP": genesis.raw,
        "blocks": [{"rlp": link.raw, "blockHeader": {}} for link in offered],
        "lastblockhash": head.hash,
    }


def run(test: object) -> Result:
    (result,) = blocktest.run_file(fixtures.FileTests("file.json", {"test": test}))
    return result


def test_the_heaviest_chain_wins_before_the_merge() -> None:
    """Given a longer branch and a heavier one, when both are offered, then the heavier is head."""
    genesis, config = genesis_of("Byzantium")
    slow = [mine(genesis, config, wait=1000)]
    slow.append(mine(slow[0], config, wait=1000))
    quick = mine(mine(genesis, config, wait=1), config, wait=1)
    first = mine(genesis, config, wait=1)
    assert quick.total > slow[1].total
    for offered in ([*slow, first, quick], [first, quick, *slow]):
        result = run(make_test("Byzantium", genesis, offered, quick))
        assert result["pass"], result["error"]
        assert result["stateRoot"] == "0x" + quick.header.state_root.hex()


def test_the_first_seen_of_equals_stays_head() -> None:
    genesis, config = genesis_of("London")
    pair = [mine(genesis, config, mark=mark) for mark in (1, 2)]
    for offered in (pair, pair[::-1]):
        assert run(make_test("London", genesis, offered, offered[0]))["pass"]


def test_the_last_valid_block_is_the_head_after_the_merge() -> None:
    """Also one of less height, on another branch, or offered before."""
    genesis, config = genesis_of("Shanghai")
    one = mine(genesis, config)
    two = mine(one, config)
    other = mine(genesis, config, mark=3)
    for offered in ([one, two, other], [other, one, two], [one, two, other, two]):
        assert run(make_test("Shanghai", genesis, offered, offered[-1]))["pass"]


def test_the_merge_comes_at_the_terminal_total_difficulty() -> None:
    network = f"ArrowGlacierToParisAt{BIG}"
    genesis, config = genesis_of(network)
    chain = [genesis]
    while chain[-1].header.difficulty:
        chain.append(mine(chain[-1], config, wait=1000))
    assert chain[-2].total >= 0xC0000 > chain[-3].total
    late_work = mine(chain[-3], config, wait=1000, mark=9)
    result = run(make_test(network, genesis, [*chain[1:], late_work], chain[-1]))
    assert result["pass"], result["error"]


def test_forks_come_at_their_time() -> None:
    network = "ShanghaiToCancunAtTime15k"
    genesis, config = genesis_of(network)
    before = mine(genesis, config, wait=14_999)
    after = mine(before, config, wait=1)
    assert (before.header.blob_gas_used, after.header.blob_gas_used) == (None, 0)
    assert run(make_test(network, genesis, [before, after], after))["pass"]


def broken(link: Link, **fields: Any) -> Link:
    return Link(replace(link.header, **fields), link.view, link.total)


@pytest.mark.parametrize(
    "fields",
    [
        {"gas_limit": 10**9},
        {"state_root": ZERO_HASH},
        {"parent_hash": ZERO_HASH},
        {"transactions_root": ZERO_HASH},
        {"receipts_root": ZERO_HASH},
        {"gas_used": 1},
        {"logs_bloom": b"\x01" * 256},
        {"withdrawals_root": ZERO_HASH},
        {"requests_hash": ZERO_HASH},
        {"nonce": b"\x01" * 8},
    ],
)
def test_invalid_blocks_do_not_become_head(fields: dict[str, Any]) -> None:
    """And such a test passes only when it says that the block must be refused."""
    genesis, config = genesis_of("Cancun")
    good = mine(genesis, config)
    test = make_test("Cancun", genesis, [good, broken(good, **fields)], good)
    assert not run(test)["pass"]
    test["blocks"][1]["expectException"] = "BlockException.ANY"
    result = run(test)
    assert result["pass"], result["error"]
    del test["blocks"][1]["expectException"], test["blocks"][1]["blockHeader"]
    assert run(test)["pass"]


def test_a_refusal_that_does_not_come_fails() -> None:
    genesis, config = genesis_of("Cancun")
    good = mine(genesis, config)
    test = make_test("Cancun", genesis, [good], good)
    test["blocks"][0]["expectException"] = "BlockException.ANY"
    result = run(test)
    assert not result["pass"]
    assert "accepted" in str(result["error"])


def test_seals_are_checked_unless_there_are_none() -> None:
    """Made-up seals pass as NoProof only."""
    genesis, config = genesis_of("London")
    test = make_test("London", genesis, [mine(genesis, config)], genesis)
    test["sealEngine"] = "Ethash"
    assert "wrong_seal" in str(run(test)["error"])
    assert run(test)["lastBlockHash"] == genesis.hash


def test_expected_values_do_not_enter_the_computation() -> None:
    genesis, config = genesis_of("Cancun")
    good = mine(genesis, config)
    bad = broken(good, gas_limit=5)
    test = make_test("Cancun", genesis, [good, bad], good)
    wanted = run(test)
    for key in ("lastblockhash", "postState", "postStateHash"):
        test[key] = ""
    for entry in test["blocks"]:
        entry["expectException"] = ""
    found = run(test)
    for key in ("lastBlockHash", "stateRoot"):
        assert found[key] == wanted[key]
    assert not found["pass"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("network", "Atlantis"),
        ("network", None),
        ("pre", 5),
        ("pre", {}),
        ("genesisRLP", "0x00"),
        ("genesisRLP", ""),
        ("blocks", {}),
        ("blocks", [5]),
        ("blocks", [{}]),
        ("blocks", [{"rlp": "block"}]),
        ("config", {"chainid": []}),
        ("config", {"blobSchedule": {"Cancun": 5}}),
    ],
)
def test_a_malformed_test_is_an_error_and_no_crash(path: str, value: object) -> None:
    genesis, config = genesis_of("Cancun")
    good = mine(genesis, config)
    test = make_test("Cancun", genesis, [good], good)
    malformed = {**test, path: value}
    results = list(blocktest.run_file(fixtures.FileTests("f", {"a": malformed, "b": test, "c": 3})))
    assert [result["pass"] for result in results] == [False, True, False]
    assert "malformed test" in str(results[0]["error"])


def test_the_genesis_block_may_be_given_by_its_fields() -> None:
    """A header in JSON serves where genesisRLP is absent; its hash is not believed."""
    genesis, config = genesis_of("Cancun")
    header = genesis.header
    good = mine(genesis, config)
    test = make_test("Cancun", genesis, [good], good)
    del test["genesisRLP"]
    test["genesisBlockHeader"] = {
        "hash": "0x" + "00" * 32,
        "parentHash": "0x" + header.parent_hash.hex(),
        "uncleHash": "0x" + header.ommers_hash.hex(),
        "coinbase": "0x" + header.coinbase.hex(),
        "stateRoot": "0x" + header.state_root.hex(),
        "transactionsTrie": "0x" + header.transactions_root.hex(),
        "receiptTrie": "0x" + header.receipts_root.hex(),
        "bloom": "0x" + header.logs_bloom.hex(),
        "difficulty": "0x00",
        "number": "0x00",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": "0x00",
        "timestamp": "0x00",
        "extraData": "0x",
        "mixHash": "0x" + header.mix_hash.hex(),
        "nonce": "0x" + header.nonce.hex(),
        "baseFeePerGas": hex(header.base_fee or 0),
        "withdrawalsRoot": "0x" + (header.withdrawals_root or b"").hex(),
        "blobGasUsed": "0x00",
        "excessBlobGas": "0x00",
        "parentBeaconBlockRoot": "0x" + bytes(32).hex(),
    }
    result = run(test)
    assert result["pass"], result["error"]


def test_the_command_prints_one_object_per_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genesis, config = genesis_of("Cancun")
    good = mine(genesis, config)
    test = make_test("Cancun", genesis, [good], good)
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"one": test, "two": {**test, "network": "Paris"}}))
    parser = argparse.ArgumentParser()
    blocktest.add_arguments(parser)
    for more, names in (([], ["one", "two"]), (["--fork", "Cancun"], ["one"])):
        assert blocktest.run_blocktest(parser.parse_args(["--json", *more, str(file)])) == 0
        results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [result["name"] for result in results] == names
        keys = {"name", "fork", "pass", "lastBlockHash", "stateRoot", "error", "file"}
        assert all(set(result) == keys for result in results)
        assert results[0]["lastBlockHash"] == good.hash
