"""The daemon that a module's tests share, and the record of what clients can do."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from tests.end_to_end.network import Testnet
from tests.support.capabilities import Facts
from tests.support.clients import Chain, Client, Reports, furnish, report
from tests.support.daemon import running

# What needs minutes: `make e2e` runs it. Attackers need a machine of their own, too.
_LONG: Final = ["test_network_attacks.py", "test_clients_network_seconds.py"]
collect_ignore: Final = [] if "CHAIN_NETWORK_LONG" in os.environ else _LONG


class DevLedger(Struct, frozen=True):
    """Where a running `chain-node dev` answers."""

    rpc_url: str
    ws_url: str


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevLedger]:
    """A dev ledger of its own for each module, on a disk and a free port."""
    with running("dev", "--datadir", str(tmp_path_factory.mktemp("ledger"))) as daemon:
        yield DevLedger(daemon.url, daemon.url.replace("http", "ws", 1))


@pytest.fixture(scope="module")
def reports(net: Testnet, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What each client saw at the module's network, asked once; each asks another node."""
    multicall = furnish(net[0].rpc)
    known: dict[str, dict[str, Facts]] = {}

    def ask(client: Client) -> dict[str, Facts]:
        if client.name not in known:
            url = net[len(known) % len(net.nodes)].url
            chain = Chain("network", url, url.replace("http", "ws", 1), net.chain_id, multicall)
            known[client.name] = report(client, chain, tmp_path_factory.mktemp("client"))
        return known[client.name]

    return ask


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Each scenario of a client that ran is a line of CHAIN_COMPATIBILITY (make compat)."""
    report = yield
    known = getattr(item, "callspec", None)
    file = os.environ.get("CHAIN_COMPATIBILITY")
    if file and known is not None and "capability" in known.params and report.outcome != "skipped":
        if report.when == "call" or report.outcome == "failed":
            line = {
                "client": known.params["client"].name,
                "capability": known.params["capability"],
                "chain": "network" if "network" in item.path.name else "dev",
                "passed": report.outcome == "passed",
            }
            with Path(file).open("a") as lines:
                lines.write(json.dumps(line) + "\n")
    return report
