"""Links in memory: every message is encoded, travels for a moment, and is decoded.

Run it on `node.simulator.loop.VirtualLoop`, where no moment takes time:
`virtually(main())`. A way from one node to another can be held, cut or full.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from node.net.messages import Message, decode_message, encode_message
from node.net.network import Offence, Peer, PeerId, Receiver
from node.simulator.loop import VirtualLoop

R = TypeVar("R")


def virtually(main: Coroutine[Any, Any, R]) -> R:
    """The result of `main`, on virtual time."""
    return VirtualLoop().run(main)


async def until(condition: Callable[[], bool]) -> None:
    """Wait, in virtual time, until something holds."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def peer_id(number: int) -> PeerId:
    return PeerId(number.to_bytes(20, "big"))


class Sent(Struct, frozen=True):
    """A message that was delivered, or is on its way."""

    source: PeerId
    target: PeerId
    message: Message
    size: int


class Way:
    """One direction of a link."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.news = asyncio.Event()
        self.held = False
        self.full = False
        self.task: asyncio.Task[None] | None = None


class Hub:
    """All nodes and links of a test. `sent` is everything that was ever sent."""

    def __init__(self, latency: float = 0.001) -> None:
        self.latency = latency
        self.ends: dict[PeerId, End] = {}
        self.sent: list[Sent] = []
        self.ways: dict[tuple[PeerId, PeerId], Way] = {}

    def end(self, number: int, validator: bytes = b"") -> "End":
        """A new node; give it a `receiver` before it is connected."""
        end = End(self, peer_id(number), validator)
        self.ends[end.id] = end
        return end

    def connect(self, first: PeerId, second: PeerId) -> None:
        for source, target in ((first, second), (second, first)):
            way = self.ways[source, target] = Way()
            way.task = asyncio.create_task(self._carry(source, target, way))
        for me, other, inbound in ((first, second, False), (second, first, True)):
            peer = Peer(other, self.ends[other].validator, inbound, False)
            self.ends[me].links[other] = peer
        for me, other in ((first, second), (second, first)):
            self.ends[me].receiver.connected(self.ends[me].links[other])

    def disconnect(self, first: PeerId, second: PeerId) -> None:
        for source, target in ((first, second), (second, first)):
            way = self.ways.pop((source, target))
            assert way.task is not None
            way.task.cancel()
            del self.ends[source].links[target]
        for me, other in ((first, second), (second, first)):
            self.ends[me].receiver.disconnected(other)

    def way(self, source: PeerId, target: PeerId) -> Way:
        return self.ways[source, target]

    def release(self, source: PeerId, target: PeerId) -> None:
        """Let a held way carry again, and what waited first."""
        way = self.ways[source, target]
        way.held = False
        way.news.set()

    async def _carry(self, source: PeerId, target: PeerId, way: Way) -> None:
        while True:
            while way.held or not way.frames:
                way.news.clear()
                await way.news.wait()
            frame = way.frames.popleft()
            await asyncio.sleep(self.latency)
            await self.ends[target].receiver.received(source, decode_message(frame))

    def of_kind(self, kind: type[Message]) -> list[Sent]:
        return [sent for sent in self.sent if type(sent.message) is kind]


class End:
    """One node's `Network`."""

    def __init__(self, hub: Hub, own_id: PeerId, validator: bytes) -> None:
        self._hub = hub
        self.id = own_id
        self.validator = validator
        self.links: dict[PeerId, Peer] = {}
        self.receiver: Receiver
        self.blamed: list[tuple[PeerId, Offence, str]] = []

    def peers(self) -> Sequence[Peer]:
        return list(self.links.values())

    def send(self, peer: PeerId, message: Message) -> bool:
        way = self._hub.ways.get((self.id, peer))
        if way is None or way.full:
            return False
        frame = encode_message(message)
        self._hub.sent.append(Sent(self.id, peer, message, len(frame)))
        way.frames.append(frame)
        way.news.set()
        return True

    def blame(self, peer: PeerId, offence: Offence, detail: str = "") -> None:
        self.blamed.append((peer, offence, detail))

    def points(self) -> Counter[PeerId]:
        """The points of each peer so far."""
        total: Counter[PeerId] = Counter()
        for peer, offence, _ in self.blamed:
            total[peer] += offence.points
        return total
