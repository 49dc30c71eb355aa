"""Networks on paper: what `chain-node testnet` writes."""

import socket
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.staking import STAKING_ADDRESS
from contracts.system.genesis import STAKE_UNIT
from node import identity, keys
from node.__main__ import Exit, main
from node.commands.manifest import GENESIS, MANIFEST, Manifest, load_manifest, lock_folder
from node.commands.testnet import Plan, write_testnet
from node.datadir import VOTES, read_genesis
from node.settings import TEST_MNEMONIC, load_settings
from tests.support.daemon import DEV_ADDRESSES


def reason_of(plan: Plan) -> Reason:
    with pytest.raises(Rejected) as caught:
        write_testnet(plan)
    return caught.value.reason


def test_every_node_has_what_it_needs_to_run_alone(tmp_path: Path) -> None:
    """Given a network, each validator has keys and a vote log, and settings that load."""
    manifest = write_testnet(Plan(folder=tmp_path / "net", validators=3, followers=1))
    assert manifest == load_manifest(tmp_path / "net")
    genesis = read_genesis(Path(manifest.genesis))
    named = {"0x" + item.address.hex() for item in genesis.config.ledger.validators}
    assert named == {node.validator for node in manifest.nodes if node.validator}
    assert [node.name for node in manifest.nodes] == ["node0", "node1", "node2", "node3"]
    for node in manifest.nodes:
        folder = Path(node.datadir)
        key = identity.load_validator_key(folder)
        if node.validator is None:
            assert key is None and not (folder / VOTES).exists()
        else:
            assert key is not None and "0x" + address_of(key).hex() == node.validator
            assert (folder / VOTES).exists()
        assert address_of(keys.load_key(folder / identity.NODE_KEY)).hex() == node.node_id
        settings = load_settings({"datadir": str(folder)}, {}).settings
        assert node.rpc_url == f"http://127.0.0.1:{settings.rpc.port}"
        assert settings.chain.genesis == manifest.genesis
        assert node.p2p.startswith(node.node_id + "@127.0.0.1:")
    assert manifest.nodes[3].validator is None


def test_the_well_known_accounts_are_funded_unless_told(tmp_path: Path) -> None:
    write_testnet(Plan(folder=tmp_path / "funded"))
    write_testnet(Plan(folder=tmp_path / "bare", fund=False))
    account = next(iter(keys.dev_accounts(TEST_MNEMONIC, 1)))
    assert "0x" + account.hex() == DEV_ADDRESSES[0]
    funded, bare = (read_genesis(tmp_path / name / GENESIS) for name in ("funded", "bare"))
    assert funded.alloc[account].balance == 10_000 * 10**18
    assert account not in bare.alloc
    for genesis in (funded, bare):
        for validator in genesis.config.ledger.validators:
            assert genesis.alloc[validator.address].balance > 0


def test_what_all_nodes_share_stands_in_the_genesis(tmp_path: Path) -> None:
    plan = Plan(
        folder=tmp_path / "net",
        validators=2,
        powers=(3, 1),
        chain_id=99,
        interval_ms=50,
        empty_blocks=False,
        epoch_length=7,
        free=True,
    )
    manifest = write_testnet(plan)
    genesis = read_genesis(tmp_path / "net" / GENESIS)
    rules = genesis.config.ledger
    assert (genesis.config.chain_id, manifest.chain_id) == (99, 99)
    assert [item.power for item in rules.validators] == [3, 1]
    assert (rules.block_interval_ms, rules.empty_blocks, rules.epoch_length) == (50, False, 7)
    assert rules.free and genesis.base_fee == 0
    contract = genesis.alloc[STAKING_ADDRESS]
    assert contract.code and contract.balance == 4 * STAKE_UNIT


def test_a_folder_that_is_not_empty_is_refused_unless_forced(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path)
    write_testnet(plan)
    assert reason_of(plan) is Reason.BAD_SETTING
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "nodes").mkdir()
    again = write_testnet(Plan(folder=tmp_path, validators=2), force=True)
    assert len(again.nodes) == 2 and not (tmp_path / "node2").exists()
    assert (tmp_path / "mine.txt").read_text() == "kept" and (tmp_path / "nodes").is_dir()


def test_a_running_network_is_not_replaced(tmp_path: Path) -> None:
    write_testnet(Plan(folder=tmp_path))
    with ExitStack() as held:
        lock_folder(tmp_path, held)
        with pytest.raises(Rejected) as caught:
            write_testnet(Plan(folder=tmp_path), force=True)
    assert caught.value.reason is Reason.DATADIR_IN_USE
    assert (tmp_path / MANIFEST).exists()


def test_a_seed_gives_the_same_network_again_and_says_that_it_is_not_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(name: str, seed: str) -> Manifest:
        folder = tmp_path / name
        assert main(["testnet", "--dir", str(folder), "--seed", seed]) == Exit.OK
        return load_manifest(folder)

    first, second, other = made("a", "1"), made("b", "1"), made("c", "2")
    assert [node.node_id for node in first.nodes] == [node.node_id for node in second.nodes]
    genesis = [(tmp_path / name / GENESIS).read_bytes() for name in ("a", "b", "c")]
    assert genesis[0] == genesis[1] != genesis[2]
    assert not {node.validator for node in first.nodes} & {node.validator for node in other.nodes}
    assert first.insecure and "INSECURE" in capsys.readouterr().out
    config = (tmp_path / "a" / "node0" / "config.toml").read_text()
    assert "INSECURE" in config and tomllib.loads(config)


def test_ports_follow_from_the_base_or_are_free(tmp_path: Path) -> None:
    fixed = write_testnet(Plan(folder=tmp_path / "fixed", base_port=20_000, validators=2))
    assert [node.rpc_url.rsplit(":", 1)[1] for node in fixed.nodes] == ["20000", "20001"]
    assert [node.p2p.rsplit(":", 1)[1] for node in fixed.nodes] == ["21000", "21001"]
    free = write_testnet(Plan(folder=tmp_path / "free", base_port=0, validators=3))
    urls = [text for node in free.nodes for text in (node.rpc_url, node.p2p)]
    ports = {int(text.rsplit(":", 1)[1]) for text in urls}
    assert len(ports) == 6
    with ExitStack() as bound:
        for port in ports:
            bound.enter_context(socket.socket()).bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    "change",
    [
        {"validators": 0},
        {"validators": 5000},
        {"followers": -1},
        {"powers": (1, 2)},
        {"powers": (1, 1, 1, 0)},
        {"powers": (2**60, 1, 1, 1)},
        {"base_port": 80},
        {"base_port": 64_533},
        {"chain_id": 0},
        {"interval_ms": -1},
        {"interval_ms": 0},
        {"epoch_length": -1},
        {"gas_limit": 1},
        {"evidence_age": 0},
        {"evidence_age": 10, "unbonding": 10},
        {"jail": -1},
    ],
)
def test_a_plan_that_can_not_be_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    plan = Plan(folder=tmp_path / "net", **change)  # type: ignore[arg-type]
    assert reason_of(plan) is Reason.BAD_SETTING
    assert not (tmp_path / "net").exists()


def test_a_folder_without_a_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        load_manifest(tmp_path)
    assert caught.value.reason is Reason.BAD_SETTING and MANIFEST in caught.value.detail


def test_a_node_is_found_by_name_and_by_place(tmp_path: Path) -> None:
    manifest = write_testnet(Plan(folder=tmp_path / "net"))
    assert manifest.node("2") == manifest.node("node2") == manifest.nodes[2]
    with pytest.raises(Rejected) as caught:
        manifest.node("4")
    assert caught.value.reason is Reason.BAD_SETTING
