"""What stands between the links and the node: the door, and who is told of catching up."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, cast

from chain.errors import Rejected
from chain.types import Hash
from node.consensus.driver import Driver
from node.environment import Environment
from node.handing import InlineExecutor
from node.net.messages import Message
from node.net.network import Peer, PeerId
from node.networking import CatchingUp, Door, Networking
from node.sync.asks import LIMITS
from tests.node.consensus.shell import ADDRESSES, FINALIZE, START_S, Author, Shell, virtual
from tests.support.network import End, Hub, peer_id

PEER = peer_id(9)


def peer(validator: bytes = b"") -> Peer:
    return Peer(PEER, validator, True, False)


# -- the door --------------------------------------------------------------------------------------


@virtual
async def test_before_there_is_anybody_to_receive_the_door_lets_nothing_through() -> None:
    door = Door(lambda error: None)
    door.connected(peer())
    door.disconnected(PEER)
    await door.received(PEER, cast(Message, None))
    assert not door.favours(peer(ADDRESSES[0]))


@virtual
async def test_the_door_hands_on_once_there_is() -> None:
    door = Door(lambda error: None)
    heard: list[object] = []

    class Noting:
        def connected(self, peer: Peer) -> None:
            heard.append(peer)

        async def received(self, peer: PeerId, message: Message) -> None:
            heard.append(message)

        def disconnected(self, peer: PeerId) -> None:
            heard.append(peer)

    door.receiver = Noting()
    door.connected(peer())
    await door.received(PEER, cast(Message, "a message"))
    door.disconnected(PEER)
    assert heard == [peer(), "a message", PEER]


@virtual
async def test_validators_of_the_epoch_are_let_in_beyond_the_limits() -> None:
    """By the address that the handshake proved; whoever proves none is like everybody."""
    shell = Shell(Author(), None)
    door = Door(lambda error: None)
    door.driver = shell.driver
    assert door.favours(peer(ADDRESSES[0]))
    assert not door.favours(peer(ADDRESSES[4]))
    assert not door.favours(peer())


# -- catching up -----------------------------------------------------------------------------------


class Synced:
    """As much of sync as there is to ask."""

    def __init__(self) -> None:
        self.claimed: int | None = None
        self.progress: object | None = None


class Told:
    """A driver that is told."""

    def __init__(self) -> None:
        self.times = 0

    def caught_up(self) -> None:
        self.times += 1


@virtual
async def test_the_driver_is_told_once_nothing_is_lacking() -> None:
    """V5: a claim must be there, nothing under way, and the distance one that needs no sync."""
    shell = Shell(Author(), None)
    sync, told = Synced(), Told()
    catching_up = CatchingUp(cast(Any, sync), cast(Any, None), cast(Driver, told), shell.ledger)
    catching_up.look()
    assert told.times == 0  # nobody said how far the others are
    sync.claimed = LIMITS.gap + 1
    catching_up.look()
    assert told.times == 0  # too far
    sync.claimed = LIMITS.gap
    sync.progress = object()
    catching_up.look()
    assert told.times == 0  # under way
    sync.progress = None
    catching_up.look()
    assert told.times == 1


# -- two nodes -------------------------------------------------------------------------------------


class Links:
    """An end of a hub that is begun and ended."""

    def __init__(self, end: End, door: Door) -> None:
        self._end = end
        end.receiver = door
        self.started = 0
        self.stopped = 0

    def peers(self) -> Sequence[Peer]:
        return self._end.peers()

    def send(self, peer: PeerId, message: Message) -> bool:
        return self._end.send(peer, message)

    def blame(self, peer: PeerId, offence: Any, detail: str = "") -> None:
        self._end.blame(peer, offence, detail)

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1


class Node:
    """A driver with its networking on a hub, without the rest of a node."""

    def __init__(self, hub: Hub, number: int, author: Author) -> None:
        self.failures: list[BaseException] = []
        self.shell = shell = Shell(author, None)
        loop = asyncio.get_running_loop()
        environment = Environment(
            clock=lambda: START_S + loop.time(), monotonic=loop.time, stopwatch=loop.time,
            random=Random(number), threads=lambda count, name: InlineExecutor(),
        )  # fmt: skip
        self.end = hub.end(number)

        async def submit(raws: Sequence[bytes], peer: PeerId) -> Sequence[Hash | Rejected]:
            return []

        self.networking = Networking(
            lambda door: Links(self.end, door),
            shell.ledger,
            shell.mempool,
            submit,
            shell.driver.epochs.set_of,
            environment,
            self.failures.append,
        )
        shell.driver.outbox = self.networking.consensus
        self.networking.attach(shell.driver, author.domain, InlineExecutor())
        shell.driver._on_commit = lambda committed: self.networking.committed(committed.executed)

    async def start(self) -> None:
        await self.shell.__aenter__()
        await self.networking.start()

    async def stop(self) -> None:
        await self.networking.stop()
        await self.shell.__aexit__(None, None, None)


@virtual
async def test_a_node_that_was_away_gets_what_it_lacks_and_stops_cleanly() -> None:
    """Section 7: status, headers, bodies, apply; and nothing goes on after `stop`."""
    author = Author()
    hub = Hub()
    ahead, behind = Node(hub, 1, author), Node(hub, 2, author)
    height = LIMITS.gap + 3
    await ahead.start()
    for view in range(1, height + 1):
        block = author.block(view)
        final = author.certify(FINALIZE, block)
        author.commit(block, final)
        await ahead.shell.driver.apply_final(block, final)
    await behind.start()
    assert behind.networking.synced()
    hub.connect(ahead.end.id, behind.end.id)
    await behind.shell.until(lambda: behind.shell.ledger.height == height)
    await behind.shell.until(behind.networking.synced)
    assert behind.shell.ledger.head_hash == ahead.shell.ledger.head_hash
    assert ahead.end.blamed == [] and behind.end.blamed == []
    for node in (behind, ahead):
        await node.stop()
        assert node.failures == []
        links = cast(Links, node.networking.links)
        assert (links.started, links.stopped) == (1, 1)


@virtual
async def test_a_fault_in_sync_ends_the_node() -> None:
    """Agreement is broken, or the disk: whoever composes the node hears of it."""
    author = Author()
    node = Node(Hub(), 1, author)
    await node.start()
    assert node.networking._catching_up is not None
    sync = node.networking._catching_up.sync
    broken = RuntimeError("a bug")
    sync._fail(broken)
    await node.shell.until(lambda: bool(node.failures))
    assert node.failures == [broken]
    await node.stop()


@virtual
async def test_questions_before_there_is_a_driver_have_quiet_answers() -> None:
    """Networking is made before the driver that it serves."""
    author = Author()
    shell = Shell(author, None)
    door: list[Door] = []

    def factory(found: Door) -> Links:
        door.append(found)
        return Links(Hub().end(1), found)

    async def submit(raws: Sequence[bytes], peer: PeerId) -> Sequence[Hash | Rejected]:
        return []

    loop = asyncio.get_running_loop()
    environment = Environment(
        clock=loop.time, monotonic=loop.time, stopwatch=loop.time, random=Random(0),
        threads=lambda count, name: InlineExecutor(),
    )  # fmt: skip
    networking = Networking(
        factory, shell.ledger, shell.mempool, submit, lambda epoch: None, environment,
        lambda error: None,
    )  # fmt: skip
    assert networking.progress is None and networking.synced()
    assert door[0].receiver is None
    assert networking._addresses(7) == ()
    assert networking._final_block(Hash(bytes(32))) is None
