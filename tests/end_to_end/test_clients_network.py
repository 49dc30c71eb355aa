"""Every capability of the clients at a network of four validators, whichever node they ask.

`make test` has the libraries; the tools around them, which do the same through the same requests,
take their turn in `make e2e`.
"""

import os
from collections.abc import Iterator

import pytest

from tests.end_to_end.network import Testnet
from tests.support.clients import EVERY, LIBRARIES, Client, Reports, judge

CLIENTS = EVERY if "CHAIN_NETWORK_LONG" in os.environ else LIBRARIES
PAIRS = [(client, capability) for client in CLIENTS for capability in client.wanted("network")]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("clients") / "net"
    # Not a developer's chain id: tools take such a chain for one that they control.
    with Testnet.running(folder, "--interval-ms", "100", "--chain-id", "7357") as net:
        yield net


@pytest.mark.parametrize(
    ("client", "capability"), PAIRS, ids=[f"{client.name}-{name}" for client, name in PAIRS]
)
def test_a_client_does_all_that_it_is_for_at_a_network(
    client: Client, capability: str, reports: Reports
) -> None:
    judge(client, capability, reports(client))


def test_the_nodes_agree_after_all_that(net: Testnet) -> None:
    net.check_agreement()
