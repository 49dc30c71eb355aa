"""Every capability of Hardhat 3: Ignition deploys by its module, `hardhat run` does the rest.
Reports as tests/support/capabilities.py expects."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from stage import ORDER, perform

PROJECT = Path(ORDER["project"])
SECONDS_MAX = 400


def hardhat(*words: str) -> str:
    settings = {"LEDGER": json.dumps(ORDER), "CI": "1", "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}
    settings["HARDHAT_IGNITION_CONFIRM_DEPLOYMENT"] = "false"
    done = subprocess.run(
        [ORDER["node"], "node_modules/hardhat/dist/src/cli.js", *words],
        cwd=PROJECT,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"hardhat {words[0]}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done.stdout


def ignition() -> dict[str, Any]:
    module = "ignition/modules/Shop.js"
    given = PROJECT / "parameters.json"
    given.write_text(json.dumps({"Shop": {"friend": ORDER["friend"]}}))
    words = ["--network", "ledger", "--parameters", str(given), "--deployment-id", "shop"]
    hardhat("ignition", "deploy", module, *words)
    folder = PROJECT / "ignition" / "deployments" / "shop"
    lines = (folder / "journal.jsonl").read_text().splitlines()
    journal = [json.loads(line) for line in lines if line]
    # Once more: Ignition reads the ledger, and finds that all is there.
    again = hardhat("ignition", "deploy", module, *words)
    return {
        "addresses": json.loads((folder / "deployed_addresses.json").read_text()),
        "statuses": [
            entry["receipt"]["status"]
            for entry in journal
            if entry["type"] == "TRANSACTION_CONFIRM"
        ],
        "again": "Nothing new to deploy" in again or "already deployed" in again,
    }


@cache
def connected() -> dict[str, Any]:
    """What scripts/scenarios.js saw."""
    out = hardhat("run", "scripts/scenarios.js", "--network", "ledger")
    (line,) = (line for line in out.splitlines() if line.startswith("SEEN "))
    seen: dict[str, Any] = json.loads(line.removeprefix("SEEN "))
    return seen


def deploy() -> dict[str, Any]:
    return connected()["deploy"]


def log_query() -> dict[str, Any]:
    return connected()["log_query"]


def revert_reasons() -> dict[str, Any]:
    return connected()["revert_reasons"]


def snapshots() -> dict[str, Any]:
    return connected()["snapshots"]


def forked_by_it() -> dict[str, Any]:
    return connected()["forked_by_it"]


perform(ignition, deploy, log_query, revert_reasons, snapshots, forked_by_it)
