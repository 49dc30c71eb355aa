"""What a data folder holds, seen from outside; and its keys."""

import json
from pathlib import Path

import pytest

from node import identity
from node.__main__ import Exit, main
from node.commands.inspect import inspect, lines, votes
from node.commands.manifest import load_manifest
from node.commands.testnet import Plan, write_testnet
from node.consensus.log_file import DiskFile
from node.consensus.vote_log import VoteLog
from node.datadir import VOTES, open_ledger, read_genesis


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A validator of a network of three, begun and never run."""
    manifest = write_testnet(Plan(folder=tmp_path / "net", validators=3, powers=(1, 2, 3)))
    folder = Path(manifest.nodes[0].datadir)
    open_ledger(folder, read_genesis(Path(manifest.genesis))).close()
    return folder


def test_it_names_ledger_validators_keys_and_votes(folder: Path) -> None:
    found = inspect(folder)
    manifest = load_manifest(folder.parent)
    assert (found["height"], found["chain_id"]) == (0, 31337)
    assert found["head"] == found["genesis"]
    powers = {item["address"]: item["power"] for item in found["consensus"]["validators"]}
    assert powers == {
        node.validator: power for node, power in zip(manifest.nodes, (1, 2, 3), strict=True)
    }
    assert found["keys"] == {
        "validator": manifest.nodes[0].validator,
        "node": manifest.nodes[0].node_id,
    }
    assert found["votes"]["floor"] == {"epoch": 0, "view": 0}
    assert found["finality"]["height"] == 0 and "certificate" not in found["finality"]


def test_it_prints_json_or_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", "--datadir", str(folder)]
    assert main([*arguments, "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert main(arguments) == Exit.OK
    shown = capsys.readouterr().out.splitlines()
    expected = lines(found)
    # Opening the store writes a little.
    assert [a for a, b in zip(shown, expected, strict=True) if a != b and "bytes" not in a] == []


def test_a_torn_vote_log_is_read_and_left_as_it_is(folder: Path) -> None:
    path = folder / VOTES
    VoteLog(DiskFile(path)).close()
    with path.open("ab") as file:
        file.write(b"\xf5vr\x02torn")
    before = path.read_bytes()
    assert votes(folder) is not None
    assert path.read_bytes() == before


def test_a_folder_in_use_or_without_a_ledger_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = open_ledger(folder, None)
    try:
        assert main(["inspect", "--datadir", str(folder)]) == Exit.DATA_FOLDER
    finally:
        ledger.close()
    assert main(["inspect", "--datadir", str(folder / "none")]) == Exit.BAD_INPUT
    assert main(["inspect", "--datadir", str(folder), "--height", "1"]) == Exit.BAD_INPUT
    shown = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in shown] == [
        "datadir_in_use",
        "bad_genesis",
        "unknown_block",
    ]


def test_keys_shows_addresses_and_keeps_private_keys_unless_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = identity.load_validator_key(folder)
    node = (folder / identity.NODE_KEY).read_text().strip()
    assert key is not None
    manifest = load_manifest(folder.parent)
    for flags in ([], ["--json"]):
        assert main(["keys", "--datadir", str(folder), *flags]) == Exit.OK
        shown = capsys.readouterr().out
        assert str(manifest.nodes[0].validator) in shown and manifest.nodes[0].node_id in shown
        assert key.hex() not in shown and node not in shown
    assert main(["keys", "--datadir", str(folder), "--private"]) == Exit.OK
    shown = capsys.readouterr().out
    assert key.hex() in shown and node in shown


def test_keys_makes_what_is_missing_and_keeps_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["keys", "--datadir", str(tmp_path / "new"), "--json"]
    assert main(arguments) == Exit.USAGE
    assert main([*arguments, "--generate", "node"]) == Exit.OK
    first = json.loads(capsys.readouterr().out)
    assert first["validator"] is None and not first["votes"]
    assert main([*arguments, "--generate", "both"]) == Exit.OK
    second = json.loads(capsys.readouterr().out)
    assert second["node"] == first["node"] and second["validator"] and second["votes"]


def test_keys_warns_of_a_lost_vote_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / VOTES).unlink()
    assert main(["keys", "--datadir", str(folder)]) == Exit.OK
    assert "warning" in capsys.readouterr().out
