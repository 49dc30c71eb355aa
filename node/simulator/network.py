"""Links between simulated nodes: every message is encoded, travels, and is decoded.

A link is two ways. Each way keeps its order, as TCP does, whatever happens to single
packets; different links overtake one another. What a way can hold is bounded, and a cut way
fills up until sending fails. Both ends hear of a link that was reset, and it comes back.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from chain.errors import Rejected
from node.net.messages import Message, decode_message, encode_message
from node.net.network import Offence, Peer, PeerId, Receiver
from node.simulator.trace import Trace
from node.simulator.weather import Weather

_WAY_MESSAGES_MAX: Final = 8_192
_WAY_BYTES_MAX: Final = 32 * 2**20
_REDIAL_S: Final = 1.0
_BAN_POINTS: Final = 100
_POINTS_FADE_PER_S: Final = 1.0
_BAN_S: Final = 60.0
_OFFENCES_KEPT: Final = 1_000

Namer = Callable[[PeerId], str]


class Observer(Protocol):
    """Who watches everything that honest nodes say."""

    def sent(self, node: PeerId, message: Message) -> None: ...
    def blamed(self, blamed: "Blamed", *, banned: bool) -> None: ...
    def raised(self, node: PeerId, error: Exception) -> None:
        """A receiver let an exception through."""
        ...


class Blamed(Struct, frozen=True):
    """An offence that a node counted."""

    by: PeerId
    peer: PeerId
    offence: Offence
    detail: str


class Identity(Struct, frozen=True):
    """Who a node is to its peers."""

    id: PeerId
    validator: bytes  # empty: none


class Internet:
    """All the links. Nodes join when they start and leave when they stop or crash."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        weather: Weather,
        trace: Trace,
        name: Namer,
        observer: Observer,
    ) -> None:
        self.loop = loop
        self.weather = weather
        self.trace = trace
        self.name = name
        self.observer = observer
        self.offences: deque[Blamed] = deque(maxlen=_OFFENCES_KEPT)
        self.messages = 0
        self.bytes = 0
        self._nodes: dict[PeerId, Links] = {}
        self._bans: dict[tuple[PeerId, PeerId], float] = {}  # (who banned, whom) -> until
        self._points: dict[tuple[PeerId, PeerId], tuple[float, float]] = {}

    def links(self, identity: Identity, receiver: Receiver) -> "Links":
        """A node's end of everything; it reaches others once it is started."""
        return Links(self, identity, receiver)

    def join(self, links: "Links") -> None:
        """A node is up: it gets links to all others as they can be had."""
        me = links.me.id
        self._nodes[me] = links
        for other in self._nodes:
            if other != me:
                self._dial(me, other)

    def leave(self, peer: PeerId) -> None:
        """A node is gone; its peers hear that their links were closed."""
        links = self._nodes.pop(peer, None)
        if links is None:
            return
        links.close()
        for other in list(self._nodes.values()):
            if other.has(peer):
                self.loop.call_later(self.weather.delay(peer, other.me.id, 64), other.drop, peer)

    def reset(self, first: PeerId, second: PeerId) -> None:
        """Close the link between two nodes; it comes back."""
        for one, other in ((first, second), (second, first)):
            links = self._nodes.get(one)
            if links is not None:
                links.drop(other)
        self._dial(first, second)

    def heal(self) -> None:
        """Every way is open again; what was held up comes through."""
        self.weather.heal()
        for links in self._nodes.values():
            links.wake()

    def way_to(self, source: PeerId, target: PeerId) -> "Links | None":
        """The other end, when there is a link to it."""
        other = self._nodes.get(target)
        return other if other is not None and other.has(source) else None

    def blame(self, blamed: Blamed) -> None:
        """Count points, which fade; at a hundred the link is closed for a while."""
        self.offences.append(blamed)
        key, now = (blamed.by, blamed.peer), self.loop.time()
        points, at = self._points.get(key, (0.0, now))
        points = max(0.0, points - (now - at) * _POINTS_FADE_PER_S) + blamed.offence.points
        self._points[key] = (points, now)
        self.trace.add(
            now, self.name(blamed.by), f"blames {self.name(blamed.peer)} {blamed.offence.name}"
        )
        self.observer.blamed(blamed, banned=points >= _BAN_POINTS)
        if points >= _BAN_POINTS:
            self._points[key] = (0.0, now)
            self._bans[key] = now + _BAN_S
            self.reset(blamed.by, blamed.peer)

    def _dial(self, first: PeerId, second: PeerId) -> None:
        round_trip = self.weather.delay(first, second, 512) + self.weather.delay(second, first, 512)
        self.loop.call_later(round_trip * 2, self._connect, first, second)

    def _connect(self, first: PeerId, second: PeerId) -> None:
        one, other = self._nodes.get(first), self._nodes.get(second)
        if one is None or other is None or one.has(second) or other.has(first):
            if one is not None and other is not None and one.has(second) != other.has(first):
                self.loop.call_later(_REDIAL_S, self._connect, first, second)
            return
        now = self.loop.time()
        banned = max(self._bans.get((first, second), 0.0), self._bans.get((second, first), 0.0))
        if now < banned or not (
            self.weather.open(first, second) and self.weather.open(second, first)
        ):
            self.loop.call_later(_REDIAL_S, self._connect, first, second)
            return
        one.add(other.me, inbound=False)
        other.add(one.me, inbound=True)


class _Way:
    """What is on its way to this node from one peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.frames: deque[tuple[float, bytes]] = deque()  # (arrival, frame), in order
        self.bytes = 0
        self.last = 0.0
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def put(self, arrival: float, frame: bytes) -> None:
        self.last = max(self.last, arrival)
        self.frames.append((self.last, frame))
        self.bytes += len(frame)
        self.news.set()

    @property
    def full(self) -> bool:
        return len(self.frames) >= _WAY_MESSAGES_MAX or self.bytes >= _WAY_BYTES_MAX


class Links:
    """One node's end of everything (`node.net.network.Network`)."""

    def __init__(self, internet: Internet, me: Identity, receiver: Receiver) -> None:
        self.me = me
        self._internet = internet
        self._receiver = receiver
        self._ways: dict[PeerId, _Way] = {}
        self._closed = False
        self._encoded: tuple[Message, bytes] | None = None  # broadcasts encode once

    async def start(self) -> None:
        self._internet.join(self)

    async def stop(self) -> None:
        self._internet.leave(self.me.id)

    # -- what the node calls -----------------------------------------------------------------------

    def peers(self) -> Sequence[Peer]:
        return [way.peer for way in self._ways.values()]

    def send(self, peer: PeerId, message: Message) -> bool:
        if self._closed or peer not in self._ways:
            return False
        if self._encoded is None or self._encoded[0] is not message:
            self._encoded = (message, encode_message(message))
            self._internet.observer.sent(self.me.id, message)
        return self.send_frame(peer, self._encoded[1])

    def blame(self, peer: PeerId, offence: Offence, detail: str = "") -> None:
        self._internet.blame(Blamed(self.me.id, peer, offence, detail))

    # -- what the network does ---------------------------------------------------------------------

    def send_frame(self, peer: PeerId, frame: bytes) -> bool:
        """Send bytes, whatever they are; a hostile node may send anything."""
        internet = self._internet
        other = internet.way_to(self.me.id, peer)
        if other is None:
            return peer in self._ways  # closed over there, which is not yet known here
        way = other._ways[self.me.id]
        if way.full:
            return False
        internet.messages += 1
        internet.bytes += len(frame)
        for _ in range(internet.weather.copies()):
            delay = internet.weather.delay(self.me.id, peer, len(frame))
            way.put(internet.loop.time() + delay, frame)
        return True

    def has(self, peer: PeerId) -> bool:
        return peer in self._ways

    def add(self, other: Identity, *, inbound: bool) -> None:
        """A link is there."""
        peer = Peer(id=other.id, validator=other.validator, inbound=inbound, trusted=False)
        way = self._ways[other.id] = _Way(peer)
        self._trace(f"connected {self._internet.name(other.id)}")
        self._receiver.connected(peer)
        way.task = self._internet.loop.create_task(self._deliver(way))

    def drop(self, peer: PeerId) -> None:
        """A link is gone, with what was on its way."""
        way = self._ways.pop(peer, None)
        if way is None:
            return
        if way.task is not None:
            way.task.cancel()
        self._trace(f"disconnected {self._internet.name(peer)}")
        if not self._closed:
            self._receiver.disconnected(peer)

    def close(self) -> None:
        """The process is gone: nobody here hears of anything any more."""
        self._closed = True
        for peer in list(self._ways):
            self.drop(peer)

    def wake(self) -> None:
        """Look again at what is held up."""
        for way in self._ways.values():
            way.news.set()

    async def _deliver(self, way: _Way) -> None:
        internet, source = self._internet, way.peer.id
        loop, weather = internet.loop, internet.weather
        while True:
            while not way.frames or not weather.open(source, self.me.id):
                way.news.clear()
                await way.news.wait()
            arrival, frame = way.frames[0]
            if arrival > loop.time():
                await asyncio.sleep(arrival - loop.time())
                continue  # the way may have been cut meanwhile
            way.frames.popleft()
            way.bytes -= len(frame)
            slowness = weather.slowness.get(self.me.id)
            if slowness:
                await asyncio.sleep(slowness)
            try:
                message = decode_message(frame)
            except Rejected as rejected:
                self.blame(source, Offence.MALFORMED, str(rejected))
                continue
            self._trace(
                f"{internet.name(source)} {type(message).__name__} "
                f"{len(frame)} {zlib.crc32(frame):08x}"
            )
            try:
                await self._receiver.received(source, message)
            except Exception as error:
                internet.observer.raised(self.me.id, error)

    def _trace(self, what: str) -> None:
        internet = self._internet
        internet.trace.add(internet.loop.time(), internet.name(self.me.id), what)
