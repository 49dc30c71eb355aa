"""The libraries and Foundry at a network with a block a second.

What comes at once elsewhere has to be waited for here: receipts, nonces, events.
"""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.end_to_end.network import Testnet
from tests.support.clients import FOUNDRY, LIBRARIES, Client, Reports, judge

CLIENTS = (*LIBRARIES, FOUNDRY)
PAIRS = [(client, capability) for client in CLIENTS for capability in client.wanted("network")]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("seconds") / "net"
    with Testnet.running(folder, "--interval-ms", "1000", "--chain-id", "7358") as net:
        yield net


@pytest.mark.parametrize(
    ("client", "capability"), PAIRS, ids=[f"{client.name}-{name}" for client, name in PAIRS]
)
def test_a_client_does_all_that_it_is_for_with_a_block_a_second(
    client: Client, capability: str, reports: Reports
) -> None:
    judge(client, capability, reports(client))


def test_the_blocks_are_a_second_apart(net: Testnet) -> None:
    """Though nothing would hold faster blocks up; and all nodes have the same.

    Times are whole seconds here, so two blocks may have the same one (decision 0009).
    """
    rpc = net[0].rpc
    head = rpc.height()
    times = [
        int(rpc.call("eth_getBlockByNumber", hex(height), False)["timestamp"], 16)
        for height in range(1, head + 1)
    ]
    assert all(later >= earlier for earlier, later in pairwise(times))
    assert times[-1] - times[0] >= 0.9 * (head - 1) - 1
    net.check_agreement()
