"""pytest's fixtures in a project of their own; pytest finds the plugin by its entry point."""

import json
import subprocess
import sys
from pathlib import Path

from tests.node.rpc.serving import COUNTER_INITCODE

# Plugins of this repository's own that take long to load.
_LEFT_OUT = ("-p", "no:hypothesispytest", "-p", "no:pytest_ethereum", "-p", "no:boa_test")
PROJECT = Path(__file__).parents[3] / "docs" / "examples" / "testing"

TESTS = '''
import pytest

ARTEFACT = {artefact}


@pytest.mark.parametrize("turn", [1, 2])
def test_what_one_test_does_no_other_sees(ledger, accounts, turn):
    assert ledger.request("eth_blockNumber") == "0x0"
    ledger.request("anvil_setBalance", accounts[0], hex(turn))
    ledger.mine()


@pytest.fixture(scope="session")
def counter(session_ledger):
    """Put there once; every test begins with it."""
    w3 = session_ledger.web3
    sent = w3.eth.send_transaction({{"data": ARTEFACT["bytecode"]}})
    return w3.eth.get_transaction_receipt(sent)["contractAddress"]


@pytest.mark.parametrize("turn", [1, 2])
def test_what_a_session_began_stays(counter, w3, turn):
    sent = w3.eth.send_transaction({{"to": counter}})
    (log,) = w3.eth.get_transaction_receipt(sent)["logs"]
    assert int.from_bytes(log["data"], "big") == 1


def test_contracts_are_put_there_in_every_form(deploy, tmp_path, ledger):
    import json, types
    path = tmp_path / "Counter.json"
    path.write_text(json.dumps({{"abi": [], "bytecode": {{"object": ARTEFACT["bytecode"]}}}}))
    for form in (ARTEFACT, path, str(path), types.SimpleNamespace(**ARTEFACT)):
        contract = deploy(form)
        assert ledger.request("eth_getCode", contract.address, "latest") != "0x"
    with pytest.raises(ValueError, match="an artefact has"):
        deploy({{"abi": []}})


def test_settings_of_the_project_count(ledger, accounts):
    assert (len(accounts), ledger.chain_id) == (3, 77)
'''


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *_LEFT_OUT, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_fixtures_give_every_test_a_ledger_as_it_was(tmp_path: Path) -> None:
    """Alone and with xdist, whose workers have a ledger each."""
    artefact = json.dumps({"abi": [], "bytecode": COUNTER_INITCODE})
    (tmp_path / "test_fixtures.py").write_text(TESTS.format(artefact=artefact))
    (tmp_path / "pytest.ini").write_text("[pytest]\nledger_accounts = 3\nledger_chain_id = 77\n")
    for arguments in ((), ("-n", "2")):
        done = _run(tmp_path, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "6 passed" in done.stdout


def test_the_project_of_the_documentation_passes() -> None:
    done = _run(PROJECT, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
