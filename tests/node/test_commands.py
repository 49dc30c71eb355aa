"""The command line, as far as it needs no running node."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from node import dev, keys
from node.__main__ import Exit, main
from node.settings import OPTIONS, TEST_MNEMONIC
from tests.support.daemon import DEV_ADDRESSES, DEV_KEYS, clean_environment


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests, and a home of its own."""
    monkeypatch.setattr("os.environ", clean_environment({"XDG_DATA_HOME": str(tmp_path / "home")}))


@pytest.mark.parametrize("arguments", [["--help"], ["dev", "--help"], ["config"], ["version"]])
def test_asking_for_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom node.__main__ import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'aiohttp', 'rocksdict', 'llvmlite', 'chain.ledger', 'contracts.vm', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert done.stderr.strip() == "[]"


def test_a_developers_chain_starts_without_what_its_first_block_does_not_need() -> None:
    code = (
        "import sys\nfrom node import serve\n"
        "heavy = {'aiohttp', 'rocksdict', 'llvmlite', 'ckzg', 'importlib.metadata'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert done.stderr.strip() == "[]"


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["dev", "--help"])
    assert caught.value.code == Exit.OK
    shown = capsys.readouterr().out
    for declared in OPTIONS:
        assert f"--{declared.flag}" in shown
    assert "exit status:" in shown


def test_config_prints_the_effective_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--rpc-port", "9999", "--block-time", "2.5"]) == Exit.OK
    shown = capsys.readouterr().out
    tables = tomllib.loads(shown)
    assert tables["rpc"]["port"] == 9999
    assert tables["chain"]["block_time"] == 2.5
    assert "[flag]" in shown
    assert set(tables) == {declared.section for declared in OPTIONS}


def test_bad_settings_have_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--rpc-port", "70000"]) == Exit.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("chain-node: bad_setting: --rpc-port")
    assert shown.err.count("\n") == 1


def test_init_makes_a_folder_with_a_key_for_its_owner_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from chain.genesis import dev_genesis

    genesis = tmp_path / "genesis.json"
    genesis.write_text(dev_genesis(7).source)
    folder = tmp_path / "data"
    arguments = ["init", "--datadir", str(folder), "--genesis", str(genesis)]
    assert main(arguments) == Exit.OK
    first = capsys.readouterr().out
    assert "chain id     7" in first
    key = folder / "validator.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert main(arguments) == Exit.OK
    assert capsys.readouterr().out == first
    genesis.write_text(dev_genesis(8).source)
    assert main(arguments) == Exit.DATA_FOLDER
    assert "wrong_chain" in capsys.readouterr().err


def test_the_dev_accounts_are_the_well_known_ones() -> None:
    accounts = keys.dev_accounts(TEST_MNEMONIC, 3)
    assert ["0x" + address.hex() for address in accounts] == list(DEV_ADDRESSES)
    assert [key.hex() for key in accounts.values()] == list(DEV_KEYS)
    assert dev.checksummed(next(iter(accounts))) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0"), (10**18, "1"), (1, "0.000000000000000001"), (15 * 10**17, "1.5")]
)
def test_amounts_are_exact(wei: int, text: str) -> None:
    assert dev.coins(wei) == text


def test_both_ways_to_ask_for_the_version_tell_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == Exit.OK
    told = capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == Exit.OK
    assert capsys.readouterr().out == told
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert told == f"chain-node {project['project']['version']}\n"


def test_a_host_name_without_an_address_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["dev", "--ephemeral", "--rpc-host", "nobody.invalid", "--rpc-port", "0"]
    assert main(arguments) == Exit.ADDRESS_IN_USE
    shown = capsys.readouterr().err
    assert shown.startswith("chain-node: address_in_use: can't listen on nobody.invalid:0: ")
    assert "error -" not in shown
