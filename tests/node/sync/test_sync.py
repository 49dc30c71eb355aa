"""Catching up over a network of honest, lying, slow and silent peers, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chain.errors import Fault
from chain.types import Height
from chain.validators import Certificate
from node.consensus.outbox import ProposedBlock
from node.gossip.requests import Requests
from node.handing import InlineExecutor
from node.net.messages import Bodies, GetBodies, GetHeaders, Headers, Message
from node.net.network import Offence, Peer, PeerId
from node.sync.asks import LIMITS, Limits
from node.sync.serve import Serving
from node.sync.sync import Sync
from tests.node.sync.chains import DOMAIN, Chain, Copy
from tests.support.network import End, Hub, until, virtually

Answering = Callable[["Server", PeerId, GetHeaders | GetBodies], Awaitable[None]]


async def honestly(server: "Server", peer: PeerId, message: GetHeaders | GetBodies) -> None:
    server.serving.asked(peer, message)


class Server:
    """A peer that has blocks, and how it answers."""

    def __init__(self, hub: Hub, number: int, copy: Copy, answer: Answering = honestly) -> None:
        self.end = hub.end(number)
        self.end.receiver = self
        self.copy = copy
        self.serving = Serving(self.end, copy.ledger, InlineExecutor())
        self._answer = answer

    def connected(self, peer: Peer) -> None:
        pass

    async def received(self, peer: PeerId, message: Message) -> None:
        if isinstance(message, GetHeaders | GetBodies):
            await self._answer(self, peer, message)

    def disconnected(self, peer: PeerId) -> None:
        self.serving.forget(peer)


class Learner:
    """The node that is behind. A peer with a hundred points is cut off, as the links do."""

    def __init__(self, hub: Hub, copy: Copy, *, limits: Limits = LIMITS) -> None:
        self.hub = hub
        self.end: End = hub.end(0)
        self.end.receiver = self
        self.copy = copy
        self.requests = Requests(self.end)
        self.applied: list[int] = []
        self.certified: dict[int, Certificate] = {}
        self.held_most = 0
        self.sync = Sync(
            network=self.end, requests=self.requests, ledger=copy.ledger, domain=DOMAIN,
            set_of=copy.set_of, apply=self._apply, threads=InlineExecutor(), limits=limits,
        )  # fmt: skip
        self.running: asyncio.Task[None] | None = None

    async def _apply(self, proposed: ProposedBlock, certificate: Certificate | None) -> None:
        await asyncio.sleep(0.0005)
        height = proposed.record.height
        if height <= self.copy.height:
            return  # consensus was faster
        assert height == self.copy.height + 1
        assert proposed.hash == self.copy.chain.hashes[height]
        self.copy.height = Height(height)
        self.applied.append(height)
        if certificate is not None:
            self.certified[height] = certificate
        self.held_most = max(self.held_most, self.sync._plan.held_bytes)

    def connected(self, peer: Peer) -> None:
        pass

    async def received(self, peer: PeerId, message: Message) -> None:
        if isinstance(message, Headers | Bodies):
            self.requests.answer(peer, message)

    def disconnected(self, peer: PeerId) -> None:
        self.sync.peer_gone(peer)
        self.requests.forget(peer)

    def start(self) -> None:
        self.running = asyncio.create_task(self.sync.run())

    async def stop(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    def hear(self, server: Server, height: int | None = None) -> None:
        """A status of a peer that is connected and not banned."""
        if server.end.id in self.end.links:
            chain = server.copy.chain
            at = chain.height if height is None else height
            self.sync.peer_status(server.end.id, chain.status(at))

    def ban(self) -> None:
        for peer, points in self.end.points().items():
            if points >= 100 and peer in self.end.links:
                self.hub.disconnect(self.end.id, peer)

    async def reach(self, height: int, *servers: Server) -> None:
        """Hear the peers twice a second until the ledger is there."""
        assert self.running is not None
        while self.copy.height < height and not self.running.done():
            self.ban()
            for server in servers:
                self.hear(server)
            await asyncio.sleep(0.5)
        if self.running.done():
            self.running.result()

    def offences(self, server: Server) -> set[Offence]:
        return {offence for peer, offence, _ in self.end.blamed if peer == server.end.id}


async def silently(server: Server, peer: PeerId, message: GetHeaders | GetBodies) -> None:
    """Never answers."""


async def slowly(server: Server, peer: PeerId, message: GetHeaders | GetBodies) -> None:
    await asyncio.sleep(4)
    server.serving.asked(peer, message)


async def with_others_bodies(server: Server, peer: PeerId, message: GetHeaders | GetBodies) -> None:
    """Honest headers, bodies of other heights."""
    if isinstance(message, GetBodies):
        wrong = server.copy.raw_block(max(1, message.first - 1))
        server.end.send(peer, Bodies(message.request, (wrong,) * message.count))
    else:
        server.serving.asked(peer, message)


def world(
    chain: Chain, *answers: Answering, start: int = 0, limits: Limits = LIMITS
) -> tuple[Learner, list[Server]]:
    hub = Hub()
    learner = Learner(hub, Copy(chain, start), limits=limits)
    servers = [
        Server(hub, number, Copy(chain, chain.height), answer)
        for number, answer in enumerate(answers, 1)
    ]
    for server in servers:
        hub.connect(learner.end.id, server.end.id)
    learner.start()
    return learner, servers


@pytest.fixture(scope="module")
def long_chain() -> Chain:
    return Chain(10_000, certified_every=256)


@pytest.fixture(scope="module")
def chain(long_chain: Chain) -> Chain:
    return Chain(2_500, after=(long_chain, 2_500))


def test_ten_thousand_heights_come_in_spite_of_a_liar_a_mute_and_a_sloth(long_chain: Chain) -> None:
    """Of four peers one sends wrong bodies, one nothing, one all of it late."""

    async def scenario() -> None:
        learner, servers = world(long_chain, honestly, with_others_bodies, silently, slowly)
        await learner.reach(10_000, *servers)
        await learner.stop()
        honest, liar, mute, sloth = servers
        assert learner.applied == list(range(1, 10_001))
        assert learner.offences(liar) == {Offence.BAD_BLOCK}
        assert liar.end.id not in learner.end.links
        assert learner.offences(honest) == set()
        assert learner.offences(mute) <= {Offence.NO_ANSWER}
        assert learner.offences(sloth) == set()
        assert learner.sync.progress is None
        assert asyncio.get_running_loop().time() < 60

    virtually(scenario())


def test_the_certificates_of_synced_headers_suffice_to_serve_others(chain: Chain) -> None:
    """What a synced node keeps reaches a certificate in every stretch of 512 heights."""

    async def scenario() -> None:
        learner, servers = world(chain, honestly)
        await learner.reach(2_500, *servers)
        await learner.stop()
        certified = sorted(learner.certified)
        assert certified[-1] == 2_500
        assert all(b - a <= 512 for a, b in zip([0, *certified], certified, strict=False))

    virtually(scenario())


def test_epochs_are_followed_as_their_validators_become_known() -> None:
    chain = Chain(
        400,
        epoch_length=20,
        certified_every=7,
        rotation=lambda epoch: tuple((epoch + step) % 8 for step in range(4)),
    )

    async def scenario() -> None:
        learner, servers = world(chain, honestly, honestly)
        await learner.reach(400, *servers)
        await learner.stop()
        assert learner.applied == list(range(1, 401))
        assert not learner.end.blamed
        assert set(range(20, 401, 20)) <= set(learner.certified)

    virtually(scenario())


def test_a_gap_of_three_heights_is_left_to_consensus_for_a_while() -> None:
    chain = Chain(43)

    async def scenario() -> None:
        learner, (server,) = world(chain, honestly, start=40)
        learner.hear(server)
        await asyncio.sleep(1)
        assert not learner.hub.sent
        await until(lambda: learner.copy.height == 43)
        await learner.stop()

    virtually(scenario())


def test_a_wider_gap_is_closed_at_once() -> None:
    chain = Chain(44)

    async def scenario() -> None:
        learner, (server,) = world(chain, honestly, start=40)
        learner.hear(server)
        await asyncio.sleep(0.5)
        assert learner.copy.height == 44
        await learner.stop()

    virtually(scenario())


def test_a_claim_to_a_height_that_is_not_there_bans_the_claimant() -> None:
    """A true certificate under a false height: nothing of it is believed."""
    chain = Chain(100)

    async def scenario() -> None:
        learner, (liar, honest) = world(chain, honestly, honestly)
        status = chain.status(90)
        false = type(status)(0, 90, 10**9, status.block_hash, status.finalization, b"")
        learner.sync.peer_status(liar.end.id, false)
        await asyncio.sleep(0.2)
        assert learner.sync.progress is None or learner.sync.progress.highest <= 100
        await learner.reach(100, honest)
        assert learner.offences(liar) == {Offence.FALSE_HEIGHT}
        assert learner.offences(honest) == set()
        await learner.stop()

    virtually(scenario())


def test_a_claim_beyond_the_known_epochs_that_is_not_kept_bans_the_claimant() -> None:
    """Nobody can check it at first; the peer must bear it out up to where one can."""
    chain = Chain(100, epoch_length=10)

    async def nothing(server: Server, peer: PeerId, message: GetHeaders | GetBodies) -> None:
        assert isinstance(message, GetHeaders)
        server.end.send(peer, Headers(message.request, ()))

    async def scenario() -> None:
        learner, (liar, honest) = world(chain, nothing, honestly)
        learner.hear(liar)
        await asyncio.sleep(0.2)
        assert learner.offences(liar) == {Offence.FALSE_HEIGHT}
        await learner.reach(100, honest)
        await learner.stop()

    virtually(scenario())


def test_headers_without_a_valid_certificate_ban_their_sender() -> None:
    chain = Chain(100)
    other = Chain(100, salt=b"x", rotation=lambda epoch: (4, 5, 6, 7))

    async def scenario() -> None:
        hub = Hub()
        learner = Learner(hub, Copy(chain))
        liar, honest = Server(hub, 1, Copy(other, 100)), Server(hub, 2, Copy(chain, 100))
        for server in (liar, honest):
            hub.connect(learner.end.id, server.end.id)
        learner.start()
        await learner.reach(100, liar, honest)
        assert learner.offences(liar) == {Offence.FALSE_HEIGHT}
        assert learner.offences(honest) == set()
        await learner.stop()

    virtually(scenario())


@pytest.mark.parametrize("start", [20, 40])
def test_a_final_chain_beside_our_own_is_an_alarm_and_never_followed(start: int) -> None:
    """More than a third signed twice: the chains part at height 11."""
    ours = Chain(40)
    theirs = Chain(60, salt=b"fork", after=(ours, 10))

    async def scenario() -> None:
        hub = Hub()
        learner = Learner(hub, Copy(ours, start))
        server = Server(hub, 1, Copy(theirs, 60))
        hub.connect(learner.end.id, server.end.id)
        learner.start()
        with pytest.raises(Fault, match="agreement is broken"):
            await learner.reach(60, server)
        assert learner.applied == []

    virtually(scenario())


def test_another_final_block_at_a_height_that_is_passed_is_an_alarm() -> None:
    ours = Chain(40)
    theirs = Chain(30, salt=b"fork", after=(ours, 10))

    async def scenario() -> None:
        hub = Hub()
        learner = Learner(hub, Copy(ours, 40))
        server = Server(hub, 1, Copy(theirs, 30))
        hub.connect(learner.end.id, server.end.id)
        learner.start()
        learner.hear(server)
        with pytest.raises(Fault, match="agreement is broken: at height 30"):
            await learner.reach(60)

    virtually(scenario())


def test_after_a_restart_it_goes_on_where_the_ledger_is(chain: Chain) -> None:
    async def scenario() -> None:
        first, servers = world(chain, honestly, honestly)
        await first.reach(700, *servers)
        await first.stop()
        reached = first.copy.height
        again, servers = world(chain, honestly, honestly, start=reached)
        await again.reach(2_500, *servers)
        await again.stop()
        assert again.applied == list(range(reached + 1, 2_501))

    virtually(scenario())


def test_the_window_bounds_what_waits(chain: Chain) -> None:
    limits = Limits(window_bytes=64 * 1024, answer_bytes=16 * 1024)

    async def scenario() -> None:
        learner, servers = world(chain, honestly, honestly, slowly, limits=limits)
        await learner.reach(1_500, *servers)
        await learner.stop()
        assert learner.held_most <= 2 * limits.window_bytes

    virtually(scenario())


def test_peers_that_go_in_the_middle_are_replaced(chain: Chain) -> None:
    async def scenario() -> None:
        learner, servers = world(chain, honestly, honestly, honestly)
        await learner.reach(400, *servers)
        learner.hub.disconnect(learner.end.id, servers[0].end.id)
        await learner.reach(1_200, *servers)
        learner.hub.disconnect(learner.end.id, servers[1].end.id)
        await learner.reach(2_500, *servers)
        await learner.stop()
        assert not learner.end.blamed

    virtually(scenario())


def test_what_consensus_delivers_meanwhile_is_not_asked_for_again(chain: Chain) -> None:
    async def scenario() -> None:
        learner, servers = world(chain, honestly)
        await learner.reach(500, *servers)
        learner.copy.height = Height(2_200)
        learner.sync.advanced()
        learner.applied.clear()
        await learner.reach(2_500, *servers)
        await learner.stop()
        assert learner.applied == list(range(2_201, 2_501))

    virtually(scenario())


def test_progress_is_true_while_there_is_something_to_catch_up_with(chain: Chain) -> None:
    async def scenario() -> None:
        learner, servers = world(chain, honestly)
        await learner.reach(100, *servers)
        progress = learner.sync.progress
        assert progress is not None
        assert (progress.started, progress.highest) == (0, 2_500)
        assert progress.current == learner.copy.height
        await learner.reach(2_500, *servers)
        await asyncio.sleep(1)
        assert learner.sync.progress is None
        await learner.stop()

    virtually(scenario())


def test_a_block_that_is_refused_after_its_proof_is_a_fault() -> None:
    chain = Chain(20)

    async def scenario() -> None:
        learner, (server,) = world(chain, honestly)

        async def refuse(*_: Any) -> None:
            raise Fault("block 1 is final and invalid")

        learner.sync._apply = refuse
        with pytest.raises(Fault, match="final and invalid"):
            await learner.reach(20, server)

    virtually(scenario())


def test_it_works_with_threads_and_a_clock_as_well() -> None:
    """The one test on real time: nothing depends on virtual executors."""
    chain = Chain(300)

    async def scenario() -> None:
        learner, servers = world(chain, honestly, honestly)
        with ThreadPoolExecutor(2) as threads:
            learner.sync._threads = threads
            await learner.reach(300, *servers)
            await learner.stop()
        assert learner.applied == list(range(1, 301))

    asyncio.run(asyncio.wait_for(scenario(), 60))
