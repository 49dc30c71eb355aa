"""The daemon that a module's tests share."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
from msgspec import Struct

from tests.support.daemon import running

# Attackers need minutes and a machine of their own: `make e2e` runs them.
collect_ignore: Final = [] if "CHAIN_NETWORK_LONG" in os.environ else ["test_network_attacks.py"]


class DevLedger(Struct, frozen=True):
    """Where a running `chain-node dev` answers."""

    rpc_url: str
    ws_url: str


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevLedger]:
    """A dev ledger of its own for each module, on a disk and a free port."""
    with running("dev", "--datadir", str(tmp_path_factory.mktemp("ledger"))) as daemon:
        yield DevLedger(daemon.url, daemon.url.replace("http", "ws", 1))
