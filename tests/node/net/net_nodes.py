"""Nodes of the tests: real links on loopback, with a receiver that writes down what it is told."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from chain.crypto.keccak import keccak
from chain.types import Hash
from node.net.addresses import Address
from node.net.handshake import Identity
from node.net.messages import Message
from node.net.network import Peer, PeerId
from node.net.peers import Peers
from node.settings import NetSettings

GENESIS = Hash(b"\x11" * 32)
CHAIN_ID = 7
PATIENCE = 20.0

SETTINGS = NetSettings(host="127.0.0.1", port=0, discovery=False)


def key_of(number: int) -> bytes:
    return keccak(b"key %d" % number)


def identity_of(number: int, **changes: Any) -> Identity:
    made = Identity(
        node_key=key_of(number),
        validator_key=None,
        chain_id=CHAIN_ID,
        genesis_hash=GENESIS,
        agent="test",
    )
    return replace(made, **changes)


class Recorder:
    """A receiver; `gate` holds up whatever comes after it was cleared."""

    def __init__(self) -> None:
        self.events: list[tuple[str, PeerId]] = []
        self.messages: list[tuple[PeerId, Message]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def connected(self, peer: Peer) -> None:
        self.events.append(("connected", peer.id))

    async def received(self, peer: PeerId, message: Message) -> None:
        await self.gate.wait()
        self.messages.append((peer, message))

    def disconnected(self, peer: PeerId) -> None:
        self.events.append(("disconnected", peer))

    def of(self, kind: type) -> list[Any]:
        return [message for _, message in self.messages if isinstance(message, kind)]


class NetNode:
    """A node that is nothing but its links."""

    def __init__(self, peers: Peers, recorder: Recorder) -> None:
        self.peers = peers
        self.recorder = recorder

    @property
    def id(self) -> PeerId:
        return self.peers.node

    @property
    def address(self) -> Address:
        return Address(self.id, "127.0.0.1", self.peers.port)

    def knows(self, other: "NetNode") -> bool:
        return other.id in {peer.id for peer in self.peers.peers()}


@asynccontextmanager
async def running(
    number: int,
    *,
    settings: NetSettings = SETTINGS,
    identity: Identity | None = None,
    folder: Path | None = None,
    clock: Callable[[], float] = time.time,
    genesis_allowed: Iterable[bytes] = (),
    **changes: Any,
) -> AsyncIterator[NetNode]:
    """A node that listens; `changes` go to `Peers`, or to the settings that have that name."""
    for name in NetSettings.__struct_fields__:
        if name in changes:
            settings = replace(settings, **{name: changes.pop(name)})
    recorder = Recorder()
    # Seeded by the system: nonces must differ between nodes and runs.
    random = Random(os.urandom(16))
    peers = Peers(
        settings,
        identity or identity_of(number),
        recorder,
        clock=clock,
        random=random,
        folder=folder,
        allowed=genesis_allowed,
        **changes,
    )
    await peers.start()
    try:
        yield NetNode(peers, recorder)
        assert peers.failed is not None
        if peers.failed.done():
            await peers.failed
    finally:
        await peers.stop()


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Wait for a condition; AssertionError when it never comes true."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, what or "the condition never came true"
        await asyncio.sleep(0.01)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene in an event loop of its own."""
    asyncio.run(scene())


async def connect(one: NetNode, other: NetNode) -> None:
    """Have `one` dial `other`, until both know of it."""
    one.peers.add_peer(other.address)
    await until(lambda: one.knows(other) and other.knows(one), "the nodes did not connect")
