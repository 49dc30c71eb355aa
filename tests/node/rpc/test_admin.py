"""admin_*: what an operator sees of the peers and does to them, and that others can't."""

import json
import time
from collections.abc import Iterator
from random import SystemRandom
from types import SimpleNamespace
from typing import Any

import pytest

from node.net.peers import Peers
from tests.node.net.net_nodes import SETTINGS, Recorder, identity_of
from tests.node.rpc.serving import Served

OTHER = identity_of(9).node.hex()


class Links:
    """What a node's network is asked by the methods of this test."""

    def __init__(self, links: Peers) -> None:
        self.links = links


class Operated(Served):
    """A served node with links of its own, and the links of another one that it may dial."""

    def __enter__(self) -> "Operated":
        super().__enter__()
        self.run(self._connect)
        return self

    async def _connect(self) -> None:
        self.peers, self.other = (
            Peers(
                SETTINGS,
                identity_of(number),
                Recorder(),
                clock=lambda: 1000.0,
                random=SystemRandom(),
            )
            for number in (8, 9)
        )
        await self.peers.start()
        await self.other.start()
        self.node.network = SimpleNamespace(links=self.peers, progress=None)  # type: ignore[assignment]

    async def _stop(self) -> None:
        await self.peers.stop()
        await self.other.stop()
        self.node.network = None
        await super()._stop()

    def connected(self) -> dict[str, Any]:
        """The other node, once it is a peer."""
        self.call("admin_addPeer", str(self.other.address()))
        (peer,) = self.peers_become(1)
        return peer

    def peers_become(self, count: int) -> list[dict[str, Any]]:
        """The peers, once there are so many."""
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            found: list[dict[str, Any]] = self.call("admin_peers")
            if len(found) == count:
                return found
        raise AssertionError(f"the peers never became {count}")


@pytest.fixture
def operated() -> Iterator[Operated]:
    with Operated() as operated:
        yield operated


def test_a_peer_is_added_shown_and_removed(operated: Operated) -> None:
    peer = operated.connected()
    assert peer["id"] == OTHER
    assert peer["enode"] == f"enode://{OTHER}@127.0.0.1:{operated.other.port}"
    assert peer["network"]["inbound"] is False
    assert peer["network"]["static"] is True
    assert peer["network"]["remoteAddress"] == f"127.0.0.1:{operated.other.port}"
    assert operated.call("admin_removePeer", OTHER) is True
    operated.peers_become(0)
    assert operated.call("admin_removePeer", OTHER) is False


def test_the_node_shows_itself(operated: Operated) -> None:
    shown = operated.call("admin_nodeInfo")
    assert shown["id"] == identity_of(8).node.hex()
    assert shown["address"] == f"{shown['id']}@127.0.0.1:{operated.peers.port}"
    assert shown["ports"]["listener"] == operated.peers.port
    assert shown["protocols"]["chain"]["network"] == 31337


def test_a_banned_node_is_cut_off_and_listed_until_it_is_let_in(operated: Operated) -> None:
    operated.connected()
    assert operated.call("admin_ban", OTHER, "0x3c") is True
    operated.peers_become(0)
    assert operated.call("admin_bans") == [
        {"who": OTHER, "until": "1970-01-01T00:17:40+00:00", "reason": "by the operator"}
    ]
    assert operated.call("admin_unban", OTHER) is True
    assert operated.call("admin_unban", OTHER) is False
    assert operated.call("admin_bans") == []
    assert operated.call("admin_ban", "10.1.2.3", "0x0") is True
    assert operated.call("admin_bans")[0]["until"] is None


def test_a_trusted_peer_is_shown_as_one(operated: Operated) -> None:
    operated.connected()
    assert operated.call("admin_addTrustedPeer", str(operated.other.address())) is True
    assert operated.call("admin_peers")[0]["network"]["trusted"] is True
    assert operated.call("admin_removeTrustedPeer", OTHER) is True
    assert operated.call("admin_peers")[0]["network"]["trusted"] is False


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Origin": "https://example.com"},
    ],
)
def test_only_this_machine_may_ask(operated: Operated, headers: dict[str, str]) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "admin_peers", "params": []}
    _, _, body = operated.http(json.dumps(request).encode(), headers)
    assert json.loads(body)["error"]["code"] == -32601
    _, _, body = operated.http(json.dumps([request]).encode(), headers)
    assert json.loads(body)[0]["error"]["code"] == -32601
    assert operated.call("admin_peers") == []


@pytest.mark.parametrize("peer", ["", "nobody", "127.0.0.1:1", "aa@127.0.0.1:1", f"{OTHER}@host:0"])
def test_what_is_no_peer_is_refused(operated: Operated, peer: str) -> None:
    assert operated.refusal("admin_addPeer", peer).code == -32602


def test_a_node_without_links_says_so(served: Served) -> None:
    assert served.refusal("admin_peers").message == "this node has no network"
