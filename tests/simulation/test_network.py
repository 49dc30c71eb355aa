"""The simulated links: order, bounds, cuts, resets, blame."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from node.net.messages import Message, Ping
from node.net.network import Offence, Peer, PeerId
from node.simulator.loop import VirtualLoop
from node.simulator.network import Blamed, Identity, Internet, Links
from node.simulator.trace import Trace
from node.simulator.weather import Quality, Weather, flat

A, B, C = (PeerId(bytes((number,)) * 20) for number in (1, 2, 3))


class _Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[PeerId, Message]] = []
        self.peers: list[PeerId] = []
        self.events: list[str] = []

    def connected(self, peer: Peer) -> None:
        self.peers.append(peer.id)
        self.events.append("connected")

    async def received(self, peer: PeerId, message: Message) -> None:
        self.heard.append((peer, message))

    def disconnected(self, peer: PeerId) -> None:
        self.peers.remove(peer)
        self.events.append("disconnected")


class _Nobody:
    """Watches and finds nothing."""

    def __init__(self) -> None:
        self.banned: list[Blamed] = []

    def sent(self, node: PeerId, message: Message) -> None: ...

    def blamed(self, blamed: Blamed, *, banned: bool) -> None:
        if banned:
            self.banned.append(blamed)

    def raised(self, node: PeerId, error: Exception) -> None:
        raise error


class _World:
    def __init__(self, quality: Quality, seed: int = 1) -> None:
        loop = asyncio.get_running_loop()
        self.weather = Weather(Random(seed), flat(0.01), quality)
        self.trace = Trace()
        self.watch = _Nobody()
        self.internet = Internet(loop, self.weather, self.trace, bytes.hex, self.watch)
        self.listeners: dict[PeerId, _Listener] = {}
        self.links: dict[PeerId, Links] = {}

    async def join(self, *ids: PeerId) -> None:
        for peer in ids:
            listener = self.listeners[peer] = _Listener()
            self.links[peer] = self.internet.links(Identity(peer, b""), listener)
            await self.links[peer].start()
        await asyncio.sleep(2)

    def numbers(self, peer: PeerId) -> list[int]:
        return [m.request for _, m in self.listeners[peer].heard if isinstance(m, Ping)]


def _simulate(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    VirtualLoop().run(main())


def test_a_link_keeps_its_order_whatever_is_lost_or_doubled() -> None:
    """Lost packets make what follows wait; duplicates come, but nothing overtakes."""

    async def main() -> None:
        world = _World(Quality(loss=0.3, duplicate=0.2, jitter_s=0.05))
        await world.join(A, B)
        for number in range(200):
            assert world.links[A].send(B, Ping(number))
        await asyncio.sleep(600)
        numbers = world.numbers(B)
        assert numbers == sorted(numbers)
        assert sorted(set(numbers)) == list(range(200))
        assert len(numbers) > 200

    _simulate(main)


def test_raw_loss_loses() -> None:
    """Some messages never come, which links do not do and nodes survive."""

    async def main() -> None:
        world = _World(Quality(raw_loss=0.3))
        await world.join(A, B)
        for number in range(200):
            world.links[A].send(B, Ping(number))
        await asyncio.sleep(60)
        assert 50 < len(world.numbers(B)) < 200

    _simulate(main)


def test_a_cut_is_one_way_and_what_it_held_comes_when_it_heals() -> None:
    """Given that nothing gets from A to B, B still reaches A; then everything arrives."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B)
        world.weather.cut([A], [B])
        world.links[A].send(B, Ping(1))
        world.links[B].send(A, Ping(2))
        await asyncio.sleep(5)
        assert world.numbers(B) == []
        assert world.numbers(A) == [2]
        world.internet.heal()
        await asyncio.sleep(1)
        assert world.numbers(B) == [1]

    _simulate(main)


def test_a_split_separates_groups_only() -> None:
    """Those of one side go on hearing each other."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B, C)
        world.weather.split([[A, B], [C]])
        for target in (A, B):
            world.links[C].send(target, Ping(9))
        world.links[A].send(B, Ping(1))
        await asyncio.sleep(5)
        assert world.numbers(B) == [1]
        assert world.numbers(A) == []

    _simulate(main)


def test_what_waits_on_a_cut_way_is_bounded() -> None:
    """A way that nothing leaves fills up, and sending says so."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B)
        world.weather.cut([A], [B])
        sent = [world.links[A].send(B, Ping(number)) for number in range(10_000)]
        assert sent[0]
        assert not sent[-1]
        assert sent.count(True) < 9_000

    _simulate(main)


def test_a_link_that_was_reset_comes_back() -> None:
    """Both ends hear of the end and of the new beginning."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B)
        world.internet.reset(A, B)
        assert world.listeners[A].peers == world.listeners[B].peers == []
        assert not world.links[A].send(B, Ping(1))
        await asyncio.sleep(3)
        expected = ["connected", "disconnected", "connected"]
        assert world.listeners[A].events == world.listeners[B].events == expected
        assert world.links[A].send(B, Ping(2))

    _simulate(main)


def test_a_node_that_left_hears_nothing_and_its_peers_notice() -> None:
    """After a crash the others lose their link, and a new process gets new ones."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B)
        gone = world.listeners[B]
        world.links[A].send(B, Ping(1))
        world.internet.leave(B)
        await asyncio.sleep(2)
        assert world.listeners[A].peers == []
        assert gone.heard == []
        await world.join(B)
        assert world.listeners[A].peers == [B]
        world.links[A].send(B, Ping(2))
        await asyncio.sleep(1)
        assert world.numbers(B) == [2]

    _simulate(main)


def test_a_hundred_points_close_the_link_for_a_while() -> None:
    """Small offences fade, a great one bans; the ban ends."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B)
        world.links[A].blame(B, Offence.NO_ANSWER)
        await asyncio.sleep(60)
        assert world.watch.banned == []
        world.links[A].blame(B, Offence.BAD_SIGNATURE)
        assert [blamed.offence for blamed in world.watch.banned] == [Offence.BAD_SIGNATURE]
        await asyncio.sleep(30)
        assert world.listeners[B].peers == []
        await asyncio.sleep(60)
        assert world.listeners[B].peers == [A]

    _simulate(main)


def test_bytes_that_are_no_message_are_an_offence() -> None:
    """What arrives is decoded as a real link would."""

    async def main() -> None:
        world = _World(Quality())
        await world.join(A, B)
        world.links[A].send_frame(B, b"\xc1 not a message")
        await asyncio.sleep(1)
        assert [blamed.offence for blamed in world.watch.banned] == [Offence.MALFORMED]
        assert world.listeners[B].heard == []

    _simulate(main)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    """Delays, losses and duplicates follow from the seed alone."""

    def digest(seed: int) -> str:
        traces: list[Trace] = []

        async def main() -> None:
            world = _World(Quality(loss=0.1, duplicate=0.1, jitter_s=0.02), seed)
            await world.join(A, B, C)
            for number in range(50):
                world.links[A].send(B, Ping(number))
                world.links[C].send(B, Ping(number))
            await asyncio.sleep(60)
            traces.append(world.trace)

        _simulate(main)
        return traces[0].digest

    assert digest(seed) == digest(seed)
    assert digest(seed) != digest(seed + 1)
