"""Difficulty, genesis and proof-of-work vectors, and the sample chain's import."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain import ethash, headers
from chain.activation import ChainConfig, parse_config
from chain.blocks import decode_block, decode_header, encode_block
from chain.genesis import genesis_block, parse_genesis
from chain.json_values import Key
from chain.types import EMPTY_OMMERS_HASH
from node.conformance.chain_import import import_chain
from node.conformance.networks import fork_named
from node.datadir import open_ledger, read_genesis
from tests.support.conformance import samples

# The parts of the networks' histories that these vectors know of.
MAINNET = {
    "homestead": 1_150_000, "eip150": 2_463_000, "eip155": 2_675_000, "eip158": 2_675_000,
    "byzantium": 4_370_000,
}  # fmt: skip
ROPSTEN = {
    "homestead": 0, "eip150": 0, "eip155": 10, "eip158": 10, "byzantium": 1_700_000,
    "constantinople": 4_230_000,
}  # fmt: skip
HISTORIES = {
    "difficulty": MAINNET,
    "difficultyMainNetwork": MAINNET,
    "difficultyCustomMainNetwork": MAINNET,
    "difficultyCustomHomestead": {"homestead": 0},
    "difficultyRopsten": ROPSTEN,
}


def number(text: str) -> int:
    return int(text, 16) if text.startswith("0x") else int(text)


def history(heights: dict[str, int]) -> ChainConfig:
    config = {f"{name}Block": height for name, height in heights.items()}
    return parse_config(Key({"chainId": 1, **config}, "config"))


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def difficulty_files() -> Iterator[tuple[str, str, dict[str, Any]]]:
    folder = next(samples("basic-tests").rglob("DifficultyTests"))
    for path in sorted(folder.rglob("*.json")):
        for test in load(path).values():
            for network, cases in test.items():
                if network != "_info":
                    yield path.name, network, cases


def test_difficulty_tests_come_out_in_every_fork() -> None:
    """DifficultyTests: each fork's rule, with and without ommers, around the bomb's delays."""
    count = 0
    for file, network, cases in difficulty_files():
        for name, case in cases.items():
            found = headers.difficulty(
                number(case["parentDifficulty"]),
                number(case["parentTimestamp"]),
                number(case["currentTimestamp"]),
                number(case["currentBlockNumber"]),
                fork_named(network),
                number(case["parentUncles"]) != 0,
            )
            assert found == number(case["currentDifficulty"]), f"{file} {name}"
            count += 1
    assert count > 1000


@pytest.mark.parametrize("name", HISTORIES)
def test_difficulty_follows_a_networks_history(name: str) -> None:
    """BasicTests: the difficulty of blocks by number, as the network's forks have it."""
    config = history(HISTORIES[name])
    cases = load(next(samples("basic-tests").rglob(f"{name}.json")))
    for label, case in cases.items():
        height = number(case["currentBlockNumber"])
        ommers = case.get("parentUncles", "0x" + EMPTY_OMMERS_HASH.hex())
        found = headers.difficulty(
            number(case["parentDifficulty"]),
            number(case["parentTimestamp"]),
            number(case["currentTimestamp"]),
            height,
            config.fork_at(height, 0, merged=False),
            ommers != "0x" + EMPTY_OMMERS_HASH.hex(),
        )
        assert found == number(case["currentDifficulty"]), label


def test_genesis_blocks_have_the_recorded_bytes() -> None:
    """GenesisTests: an older spelling of genesis files (`wei`, no config, bare 0x)."""
    tests = load(next(samples("basic-tests").rglob("basic_genesis_tests.json")))
    for name, test in tests.items():
        alloc = {
            address: {"balance": account.get("wei", "0")} | account
            for address, account in test["alloc"].items()
        }
        genesis = parse_genesis({**test, "alloc": alloc, "config": {"chainId": 1}})
        block, _ = genesis_block(genesis)
        assert encode_block(block).hex() == test["result"], name


def test_the_historic_genesis_block_has_the_recorded_hash() -> None:
    """BasicTests: the RLP of Ethereum's first block."""
    test = load(next(samples("basic-tests").rglob("genesishashestest.json")))
    raw = bytes.fromhex(test["genesis_rlp_hex"])
    block = decode_block(raw)
    assert encode_block(block) == raw
    assert headers.header_hash(block.header).hex() == test["genesis_hash"]
    assert block.header.state_root.hex() == test["genesis_state_root"]


def test_proofs_of_work_are_recognised() -> None:
    """PoWTests: cache sizes, seed, mix hash and result of light verification."""
    for name, test in load(next(samples("basic-tests").rglob("ethash_tests.json"))).items():
        header = decode_header(bytes.fromhex(test["header"]))
        assert headers.seal_hash(header).hex() == test["header_hash"], name
        assert ethash.seed_hash(header.number).hex() == test["seed"]
        assert ethash.cache_bytes(header.number) == test["cache_size"]
        assert ethash.dataset_bytes(header.number) == test["full_size"]
        mix, result = ethash.hashimoto_light(
            header.number, headers.seal_hash(header), int(test["nonce"], 16)
        )
        assert (mix.hex(), result.hex()) == (test["mixHash"], test["result"]), name


def test_the_sample_chain_imports_to_its_head(tmp_path: Path) -> None:
    """54 blocks, Homestead to the second blob-parameter fork; a second time none is new."""
    folder = next(samples("rpc-compat").rglob("chain.rlp")).parent
    head = load(folder / "headfcu.json")["params"][0]["headBlockHash"]
    genesis = read_genesis(folder / "genesis.json")
    for expected in (54, 0):
        ledger = open_ledger(tmp_path / "data", genesis)
        lines: list[str] = []
        try:
            assert import_chain(ledger, folder / "chain.rlp", lines.append) == expected
            assert (ledger.height, "0x" + ledger.head_hash.hex()) == (54, head)
        finally:
            ledger.close()
        assert lines
