"""Attacks on links, over real sockets. Each time: the node stays up and bounded, an honest peer
stays connected and is served, and the offender is refused or scored."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from chain.errors import Reason
from node.net.addresses import Address
from node.net.certificate import dialling_context, listening_context
from node.net.frames import PART_BYTES
from node.net.messages import FRAME_BYTES_MAX, Goodbye, Peers, Ping, Pong, Votes
from node.net.network import Offence
from tests.node.net.attacker import UPGRADE, Attacker, frame
from tests.node.net.net_nodes import NetNode, connect, identity_of, play, running, until

EVIL = identity_of(66)


@asynccontextmanager
async def attacked(**settings: int) -> AsyncIterator[tuple[NetNode, NetNode]]:
    """A victim with an honest peer, which must have survived in the end."""
    async with running(1, **settings) as victim, running(2) as honest:
        await connect(honest, victim)
        yield victim, honest
        assert honest.peers.send(victim.id, Votes((b"still here",)))
        await until(lambda: victim.recorder.of(Votes)[-1:] == [Votes((b"still here",))])
        assert victim.peers.score(honest.id) == 0
        assert honest.peers.score(victim.id) == 0
        assert ("disconnected", honest.id) not in victim.recorder.events
        assert not victim.peers.failed.done()


def banned(victim: NetNode) -> bool:
    return EVIL.node.hex() in {ban.who for ban in victim.peers.banned()}


# -- after the handshake ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a frame over the limit", frame(b"", length=2**31)),
        ("a fragment that is followed by others", frame(b"\x91", first=0x02)),
        ("an empty fragment", frame(b"", first=0x02)),
        ("text", frame(b"hello", first=0x81)),
        ("a continuation of nothing", frame(b"x", first=0x80)),
        ("a compressed frame", frame(b"x", first=0xC2)),
        ("an unmasked frame", b"\x82\x01x"),
        ("garbage in a frame", frame(b"\xff" * 50)),
        ("a message of no kind", frame(b"\x91\x63")),
        ("a message with too many fields", frame(b"\x94\x15\x01\x02\x03")),
        ("nested arrays", frame(b"\x93\x04" + b"\x91" * 60_000)),
        ("text that is no text", frame(b"\x93\x14\xa1\xff\xa0")),
        ("a kind over its own limit", frame(b"\x92\x15" + bytes(1000))),
        ("a part of an unknown stream", frame(b"\xc1\x05" + bytes(PART_BYTES))),
        ("small parts", frame(b"\xc1\x00x")),
        ("pings of WebSocket without end", frame(b"", first=0x89) * 100_000),
    ],
)
def test_a_proved_peer_that_breaks_the_rules_of_frames_is_banned(name: str, data: bytes) -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as evil:
            await evil.upgrade()
            await evil.prove(EVIL)
            await until(lambda: len(victim.peers.peers()) == 2)
            await evil.send(data)
            await evil.hung_up()
            await until(lambda: banned(victim), f"{name}: nobody was banned")
            async with Attacker(victim) as again:
                await again.upgrade()
                with pytest.raises(Exception, match="peer_banned"):
                    await again.prove(EVIL)

    play(scene)


def test_endless_parts_end_at_the_limit_of_a_message() -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as evil:
            await evil.upgrade()
            await evil.prove(EVIL)
            part = frame(b"\xc1\x01" + bytes(PART_BYTES))
            for _ in range(FRAME_BYTES_MAX // PART_BYTES + 2):
                await evil.send(part)
            await evil.hung_up()
            await until(lambda: banned(victim))

    play(scene)


def test_unfinished_messages_of_all_peers_have_one_limit() -> None:
    """Given several peers that begin long messages and stop, when they pass the limit
    together, then the one that began first is closed."""

    async def scene() -> None:
        async with (
            attacked(receive_bytes_max=16 * 2**20) as (victim, _),
            Attacker(victim) as first,
            Attacker(victim) as second,
        ):
            for evil, identity in ((first, EVIL), (second, identity_of(67))):
                await evil.upgrade()
                await evil.prove(identity)
                for _ in range(12 * 2**20 // PART_BYTES):
                    await evil.send(frame(b"\xc1\x01" + bytes(PART_BYTES)))
            await first.hung_up()
            held = sum(link.bytes_unfinished for link in victim.peers.links)
            assert held <= 16 * 2**20

    play(scene)


def test_a_flood_of_messages_is_slowed_down_scored_and_ended() -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as evil:
            await evil.upgrade()
            await evil.prove(EVIL)
            pings = frame(b"\x92\x15\x01") * 1000

            async def flood() -> None:
                while not evil.writer.is_closing():
                    await evil.send(pings)

            flooding = asyncio.create_task(flood())
            await until(lambda: victim.peers.score(EVIL.node) >= Offence.FLOOD.points)
            flooding.cancel()
            # What was taken is what the rate allows, not what was sent.
            assert victim.peers.traffic.messages_in["Ping"] < 1000

    play(scene)


def test_addresses_that_nobody_asked_for_are_an_offence() -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as evil:
            await evil.upgrade()
            await evil.prove(EVIL)
            await evil.say(Peers(0, ()))
            await until(lambda: victim.peers.score(EVIL.node) >= Offence.UNASKED.points - 1)

    play(scene)


def test_a_peer_that_falls_silent_is_let_go() -> None:
    async def scene() -> None:
        async with (
            attacked(ping_interval_ms=50, silence_max_ms=300) as (victim, honest),
            Attacker(victim) as evil,
        ):
            honest.peers.settings = victim.peers.settings
            await evil.upgrade()
            await evil.prove(EVIL)
            while True:
                try:
                    message = await evil.hear(Goodbye)
                except (asyncio.IncompleteReadError, ConnectionError):
                    raise AssertionError("it hung up without a word") from None
                assert message.reason == Reason.TOO_SLOW.value
                break

    play(scene)


def test_a_peer_that_reads_nothing_fills_its_queue_and_no_more() -> None:
    async def scene() -> None:
        async with attacked(send_bytes_max=2**20) as (victim, _), Attacker(victim) as evil:
            await evil.upgrade()
            await evil.prove(EVIL)
            evil.writer.transport.pause_reading()
            votes = Votes((bytes(500),) * 200)
            await until(lambda: not victim.peers.send(EVIL.node, votes))
            link = next(link for link in victim.peers.links if link.peer.id == EVIL.node)
            assert link.bytes_waiting <= 2**20

    play(scene)


# -- before the handshake --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01garbage" + bytes(1000),
        UPGRADE + frame(b"too early"),
        b"GET / HTTP/1.1\r\nX: " + b"y" * 10_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
        b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_websocket_is_closed(data: bytes) -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as evil:
            await evil.send(data)
            await evil.hung_up()
            await until(lambda: victim.peers.half_open == 0)

    play(scene)


@pytest.mark.parametrize(
    "data",
    [
        frame(b"\x91" + bytes(4096)),
        frame(b"not a hello"),
        frame(b"", first=0x02),
        frame(b"hello", first=0x81),
        frame(msgspec.msgpack.encode(["chain-node", 1])),
        frame(msgspec.msgpack.encode(["chain-node", 2**64 - 1, {}])),
        frame(b"\x81\x90\x01"),
        frame(b"", first=0x88),
    ],
)
def test_garbage_instead_of_a_hello_is_closed(data: bytes) -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as evil:
            await evil.upgrade()
            await evil.send(data)
            await evil.hung_up()
            await until(lambda: victim.peers.half_open == 0)
            assert len(victim.peers.peers()) == 1

    play(scene)


def test_connections_that_say_nothing_lose_to_those_that_do() -> None:
    """Given a flood of connections that stay silent at each step, when an honest node comes,
    then it gets in at once, and the silent ones are never more than the limit."""

    async def scene() -> None:
        async with attacked(handshakes_max=20, host_handshakes_max=30) as (victim, _):
            silent = []
            for _ in range(60):
                _, writer = await asyncio.open_connection("127.0.0.1", victim.peers.port)
                silent.append(writer)
            await until(lambda: victim.peers.half_open == 20)
            async with Attacker(victim) as slow:
                await slow.send(b"GET / HT")
                async with running(3) as newcomer:
                    await connect(newcomer, victim)
                    assert victim.peers.half_open <= 20
            assert victim.peers.connections_refused >= 40
            for writer in silent:
                writer.transport.abort()
            await until(lambda: victim.peers.half_open == 0)

    play(scene)


def test_one_address_has_fewer_half_open_connections_than_all() -> None:
    async def scene() -> None:
        async with attacked(host_handshakes_max=4) as (victim, _):
            writers = []
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", victim.peers.port)
                writers.append(writer)
            await until(lambda: victim.peers.connections_refused >= 16)
            assert victim.peers.half_open <= 4
            for writer in writers:
                writer.transport.abort()

    play(scene)


@pytest.mark.parametrize("stage", ["tcp", "tls", "head", "websocket", "hello"])
def test_a_slow_handshake_ends_at_its_deadline(stage: str) -> None:
    async def scene() -> None:
        async with attacked(handshake_timeout_ms=300) as (victim, _):
            if stage == "tcp":
                reader, writer = await asyncio.open_connection("127.0.0.1", victim.peers.port)
                assert await asyncio.wait_for(reader.read(), 20) == b""
                writer.transport.abort()
                return
            async with Attacker(victim) as evil:
                if stage == "head":
                    dripping = asyncio.create_task(drip(evil))
                    await evil.hung_up()
                    await dripping
                    return
                if stage != "tls":
                    await evil.upgrade()
                if stage == "hello":
                    await evil.send(frame(b"\x91", length=100))
                await evil.hung_up()

    async def drip(evil: Attacker) -> None:
        for byte in UPGRADE * 10:
            if evil.reader.at_eof() or evil.writer.transport.is_closing():
                return
            await evil.send(bytes((byte,)))
            await asyncio.sleep(0.01)

    play(scene)


# -- who is who ------------------------------------------------------------------------------------


def test_a_recorded_handshake_does_not_let_anybody_in() -> None:
    """Given what an honest node sent in its handshake, when it is sent again, then no link."""

    async def scene() -> None:
        async with attacked() as (victim, _):
            sent: list[bytes] = []
            async with Attacker(victim) as evil:
                original = evil.send

                async def record(data: bytes) -> None:
                    sent.append(data)
                    await original(data)

                evil.send = record  # type: ignore[method-assign]
                await evil.upgrade()
                await evil.prove(EVIL)
                await until(lambda: len(victim.peers.peers()) == 2)
            await until(lambda: len(victim.peers.peers()) == 1)
            async with Attacker(victim) as replay:
                await replay.upgrade()
                for data in sent[1:]:
                    await replay.send(data)
                    await replay.receive_frame()
                await replay.hung_up()
            assert len(victim.peers.peers()) == 1
            assert victim.peers.handshakes_refused == 1

    play(scene)


def test_an_interceptor_that_passes_everything_on_gets_no_link() -> None:
    """Given a man in the middle with a certificate of his own who decrypts, reads and passes on
    every byte, when a node dials through him, then neither side takes it for a link."""

    async def scene() -> None:
        context, _ = listening_context()
        seen = bytearray()
        async with running(1) as one, running(2) as two:

            async def intercept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                onward = await asyncio.open_connection(
                    "127.0.0.1", two.peers.port, ssl=dialling_context()
                )
                await asyncio.gather(
                    pump(reader, onward[1]), pump(onward[0], writer), return_exceptions=True
                )

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                try:
                    while data := await source.read(65_536):
                        seen.extend(data)
                        sink.write(data)
                        await sink.drain()
                finally:
                    sink.close()

            proxy = await asyncio.start_server(intercept, "127.0.0.1", 0, ssl=context)
            port = proxy.sockets[0].getsockname()[1]
            one.peers.add_peer(Address(two.id, "127.0.0.1", port))
            await until(lambda: two.peers.handshakes_refused >= 2)
            assert b"chain-node" in seen
            assert not one.peers.peers()
            assert not two.peers.peers()
            assert one.recorder.events == two.recorder.events == []
            one.peers.remove_peer(two.id)
            proxy.close()
            # Without him they find each other.
            await connect(one, two)

    play(scene)


def test_older_tls_is_refused() -> None:
    async def scene() -> None:
        async with attacked() as (victim, _):
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname = False
            old.verify_mode = ssl.CERT_NONE
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", victim.peers.port, ssl=old)

    play(scene)


def test_a_redirect_is_not_followed() -> None:
    """Given a peer that answers with a redirect to another service, when it is dialled, then
    that service is never asked."""

    async def scene() -> None:
        context, _ = listening_context()
        asked = 0

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            await reader.readuntil(b"\r\n\r\n")
            to = f"https://127.0.0.1:{port}/again"
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(redirect, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with running(1) as one:
            one.peers.add_peer(Address(EVIL.node, "127.0.0.1", port))
            await until(lambda: one.peers.dials_failed >= 2)
            assert asked <= one.peers.dials_failed + 1
        server.close()

    play(scene)


def test_an_honest_ping_is_answered() -> None:
    async def scene() -> None:
        async with attacked() as (victim, _), Attacker(victim) as peer:
            await peer.upgrade()
            await peer.prove(EVIL)
            await peer.say(Ping(7))
            assert await peer.hear(Pong) == Pong(7)

    play(scene)
