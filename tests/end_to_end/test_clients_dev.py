"""Every capability of the clients that developers use, at a developer's chain.

One process of a client does all that it is for; each capability is judged by itself. Which client
does what, and how it is judged: tests/support/clients.py and tests/support/capabilities.py. Those
that need an environment of their own take their turn in `make e2e`.
"""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.end_to_end.conftest import DevLedger
from tests.support.capabilities import Facts
from tests.support.clients import EVERY, QUICK, Chain, Client, Reports, deploy_token, judge, report
from tests.support.daemon import Rpc, running

CLIENTS = EVERY if "CHAIN_NETWORK_LONG" in os.environ else QUICK
PAIRS = [(client, capability) for client in CLIENTS for capability in client.wanted("dev")]


@pytest.fixture(scope="module")
def chain(ledger: DevLedger) -> Chain:
    """The ledger, with a token."""
    token = deploy_token(Rpc(ledger.rpc_url))
    return Chain("dev", ledger.rpc_url, ledger.ws_url, 31337, token=token)


@pytest.fixture(scope="module")
def reports(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What each client saw, asked once."""
    known: dict[str, dict[str, Facts]] = {}

    def ask(client: Client) -> dict[str, Facts]:
        if client.name not in known:
            folder = tmp_path_factory.mktemp("client")
            known[client.name] = report_with_fork(client, chain, folder)
        return known[client.name]

    return ask


def report_with_fork(client: Client, chain: Chain, folder: Path) -> dict[str, Facts]:
    """A report of a client that gets a fork of the ledger if it is asked to do something there."""
    if "fork" not in client.capabilities:
        return report(client, chain, folder)
    with running("dev", "--datadir", str(folder / "fork"), "--fork-url", chain.rpc) as fork:
        return report(client, replace(chain, fork=fork.url), folder)


@pytest.mark.parametrize(
    ("client", "capability"), PAIRS, ids=[f"{client.name}-{name}" for client, name in PAIRS]
)
def test_a_client_does_all_that_it_is_for_at_a_dev_chain(
    client: Client, capability: str, reports: Reports
) -> None:
    judge(client, capability, reports(client))
