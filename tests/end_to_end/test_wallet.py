"""chain-wallet as a process against the daemon: coins sent, receipts seen, refusals told."""

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import DevLedger
from wallet.outcome import Exit

TEST_PHRASE = "test test test test test test test test test test test junk"
RICH = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SECONDS_MAX = 60

# PUSH1 0 PUSH1 0 REVERT, deployed by code that returns these five bytes.
REVERTS = "0x6460006000fd6000526005601bf3"

Wallet = Callable[..., Any]


@pytest.fixture
def wallet(ledger: DevLedger, tmp_path: Path) -> Wallet:
    """Runs `chain-wallet --json ...` with a key folder of its own; returns (exit code, JSON)."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CHAIN_WALLET_")
    }
    (tmp_path / "password").write_text("correct horse\n")
    environment |= {
        "CHAIN_WALLET_RPC": ledger.rpc_url,
        "CHAIN_WALLET_KEYSTORE": str(tmp_path / "keys"),
        "CHAIN_WALLET_PASSWORD_FILE": str(tmp_path / "password"),
    }

    def run(*words: str, stdin: str = "") -> tuple[int, Any]:
        finished = subprocess.run(
            [sys.executable, "-m", "wallet", "--json", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            env=environment,
            check=False,
        )
        assert "Traceback" not in finished.stderr
        return finished.returncode, json.loads(finished.stdout)

    return run


def test_the_wallet_sends_coins_and_sees_the_receipt(wallet: Wallet) -> None:
    """A new key is paid by a dev account of the test phrase, and pays a part back."""
    code, made = wallet("new", "--light")
    assert code == Exit.OK
    code, rich = wallet("import", "-", "--light", stdin=TEST_PHRASE)
    assert (code, rich["address"]) == (Exit.OK, RICH)

    code, paid = wallet("send", made["address"], "2.5", "--from", RICH)
    assert (code, paid["status"]) == (Exit.OK, "success")
    assert paid["gasLimit"] == 21_000
    code, balance = wallet("balance", made["address"])
    assert (code, balance["coins"]) == (Exit.OK, "2.5")

    code, back = wallet("send", RICH, "1", "--from", made["address"])
    assert (code, back["status"], back["nonce"]) == (Exit.OK, "success", 0)
    receipt = back["receipt"]
    fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    code, balance = wallet("balance", made["address"])
    assert int(balance["wei"]) == 15 * 10**17 - fee

    code, shown = wallet("receipt", back["hash"])
    assert (code, shown["receipt"]) == (Exit.OK, receipt)


def test_refusals_and_failures_have_their_exit_codes(wallet: Wallet) -> None:
    assert wallet("import", "-", "--light", stdin=TEST_PHRASE)[0] == Exit.OK
    code, shown = wallet("send", "0x" + "12" * 20, "1000000000")
    assert code == Exit.REFUSED
    assert "insufficient funds" in shown["error"]["message"]

    code, created = wallet("send", "create", "0", "--data", REVERTS)
    assert (code, created["status"]) == (Exit.OK, "success")
    contract = created["receipt"]["contractAddress"]
    code, shown = wallet("send", contract, "0")
    assert (code, shown["error"]["code"]) == (Exit.REFUSED, 3)
    code, shown = wallet("send", contract, "0", "--gas-limit", "50000")
    assert (code, shown["status"]) == (Exit.REFUSED, "failed")

    code, shown = wallet("receipt", "0x" + "ab" * 32)
    assert (code, shown["error"]["status"]) == (Exit.NOT_INCLUDED, "unknown")
    code, shown = wallet("send", RICH, "1", "--chain-id", "1")
    assert (code, shown["error"]["chainId"]) == (Exit.REFUSED, 31337)


def test_passwords_and_keys_are_asked_for_without_showing_them(tmp_path: Path) -> None:
    """At a real terminal: what is typed never appears on it."""
    key = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
    answers = {"Private key or phrase: ": key, "under: ": "tr0ub4dor", "again: ": "tr0ub4dor"}
    keys = tmp_path / "keys"
    code, shown = _at_a_terminal(("import", "--light", "--keystore", str(keys)), answers)
    assert code == Exit.OK
    assert "0x70997970C51812dc3A010C7d01b50e0d17dc79C8" in shown
    assert key not in shown and "tr0ub4dor" not in shown
    assert len(list(keys.iterdir())) == 1


def _at_a_terminal(words: tuple[str, ...], answers: dict[str, str]) -> tuple[int, str]:
    """Run chain-wallet on a terminal of its own and answer each prompt once, when it comes."""
    process, terminal = pty.fork()
    if process == 0:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("CHAIN_WALLET_")}
        os.execve(sys.executable, [sys.executable, "-m", "wallet", *words], kept)
    shown, waiting = "", dict(answers)
    while select.select([terminal], [], [], SECONDS_MAX)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        shown += piece.decode()
        for prompt in [prompt for prompt in waiting if prompt in shown]:
            os.write(terminal, waiting.pop(prompt).encode() + b"\n")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown
