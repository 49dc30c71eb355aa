"""Links between real nodes on loopback: connecting, sending, limits, ends."""

from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from chain.errors import Reason, Rejected
from node.net.addresses import Address
from node.net.messages import Block, Status, Votes
from node.net.network import Offence
from node.net.peers import Peers
from tests.node.net.attacker import Attacker
from tests.node.net.net_nodes import (
    SETTINGS,
    NetNode,
    Recorder,
    connect,
    identity_of,
    key_of,
    play,
    running,
    until,
)

STATUS = Status(0, 1, 5, bytes(32), b"c" * 100_000, b"")


def test_two_nodes_connect_and_prove_who_they_are() -> None:
    async def scene() -> None:
        validator = identity_of(2, validator_key=key_of(77))
        async with running(1) as one, running(2, identity=validator) as two:
            await connect(one, two)
            (peer,) = one.peers.peers()
            assert peer.id == two.id
            assert peer.validator == identity_of(77).node
            assert not peer.inbound
            (peer,) = two.peers.peers()
            assert peer.id == one.id
            assert peer.validator == b""
            assert peer.inbound
            assert one.recorder.events == [("connected", two.id)]

    play(scene)


def test_messages_arrive_in_both_directions_long_and_short() -> None:
    async def scene() -> None:
        async with running(1) as one, running(2) as two:
            await connect(one, two)
            body = Block(3, b"", bytes(range(256)) * 4096 * 11)
            assert one.peers.send(two.id, body)
            assert one.peers.send(two.id, Votes((b"vote",)))
            assert two.peers.send(one.id, STATUS)
            await until(lambda: len(two.recorder.messages) == 2)
            await until(lambda: one.recorder.messages == [(two.id, STATUS)])
            assert {type(message) for _, message in two.recorder.messages} == {Block, Votes}
            assert two.recorder.of(Block) == [body]
            assert two.peers.traffic.kind_bytes_in["Block"] > 11 * 2**20

    play(scene)


def test_two_nodes_that_dial_each_other_at_once_keep_one_link() -> None:
    async def scene() -> None:
        async with running(1) as one, running(2) as two:
            one.peers.add_peer(two.address)
            two.peers.add_peer(one.address)
            await until(lambda: one.knows(two) and two.knows(one))
            smaller = one if one.id < two.id else two
            await until(
                lambda: all(
                    [link.peer.inbound for link in node.peers.links] == [node is not smaller]
                    for node in (one, two)
                ),
                "both nodes keep the link that the smaller id dialled",
            )
            assert one.peers.send(two.id, Votes((b"a",)))
            await until(lambda: two.recorder.of(Votes))

    play(scene)


def test_a_node_that_comes_back_takes_the_place_of_its_dead_link() -> None:
    """Given a link whose other end is gone without a word, when the peer dials again, then the
    new link counts, and the receiver hears of an end and a beginning."""

    async def scene() -> None:
        async with running(1) as one, Attacker(one) as ghost:
            await ghost.upgrade()
            await ghost.prove(identity_of(2))
            await until(lambda: one.recorder.events == [("connected", identity_of(2).node)])
            async with running(2) as two:
                await connect(two, one)
                await until(lambda: len(one.recorder.events) == 3)
                assert [name for name, _ in one.recorder.events] == [
                    "connected",
                    "disconnected",
                    "connected",
                ]

    play(scene)


def test_a_persistent_peer_that_was_away_is_back_soon() -> None:
    async def scene() -> None:
        async with running(1) as one:
            async with running(2) as two:
                port = two.peers.port
                await connect(one, two)
            await until(lambda: not one.peers.peers())
            await until(lambda: one.peers.dials_failed >= 3)
            async with running(2, port=port) as two:
                await until(lambda: one.knows(two) and two.knows(one))

    play(scene)


def test_a_stopping_node_says_goodbye() -> None:
    async def scene() -> None:
        async with running(1) as one:
            async with running(2) as two:
                await connect(one, two)
                (link,) = one.peers.links
            await until(lambda: link.gone.is_set())
            assert link.ended is not None
            assert link.ended.reason is Reason.NODE_STOPS
            assert one.recorder.events[-1] == ("disconnected", two.id)

    play(scene)


def test_two_versions_part_politely(caplog: pytest.LogCaptureFixture) -> None:
    """Given two nodes of different versions that want to be peers, then each logs once which
    versions these are, dials no more for a while, and bans nobody."""
    caplog.set_level("INFO", "node.net")

    async def scene() -> None:
        later = identity_of(2, version=2)
        async with running(1) as one, running(2, identity=later) as two:
            one.peers.add_peer(two.address)
            two.peers.add_peer(one.address)
            await until(lambda: one.peers.dials_failed and two.peers.dials_failed)
            for _ in range(8):
                async with Attacker(one) as again:
                    await again.upgrade()
                    with pytest.raises(Rejected) as caught:
                        await again.prove(later)
                    assert caught.value.reason is Reason.WRONG_PROTOCOL_VERSION
                    assert "version 1" in caught.value.detail
                    assert "version 2" in caught.value.detail
            assert one.peers.dials_failed == two.peers.dials_failed == 1
            assert one.peers.banned() == two.peers.banned() == ()

    play(scene)
    told = [record for record in caplog.records if "wrong_protocol_version" in record.message]
    assert len([record for record in told if record.levelname == "INFO"]) <= 4
    assert len(told) >= 2


def test_another_chains_node_is_refused_and_not_banned() -> None:
    async def scene() -> None:
        stranger = identity_of(2, chain_id=99)
        async with running(1) as one, running(2, identity=stranger) as two:
            one.peers.add_peer(two.address)
            await until(lambda: one.peers.dials_failed)
            assert not one.peers.peers()
            assert not two.peers.peers()
            assert not one.peers.banned()
            assert not two.peers.banned()

    play(scene)


def test_a_node_does_not_stay_connected_with_itself() -> None:
    async def scene() -> None:
        async with running(1) as one:
            one.peers.add_peer(one.address)
            assert one.peers.persistent == []
            twin = Address(identity_of(9).node, "127.0.0.1", one.peers.port)
            one.peers.add_peer(twin)
            await until(lambda: one.peers.dials_failed)
            assert not one.peers.peers()

    play(scene)


def test_only_nodes_on_the_list_get_in() -> None:
    async def scene() -> None:
        async with (
            running(1, genesis_allowed=[identity_of(2).node]) as closed,
            running(4, settings=replace(SETTINGS, allowed=(identity_of(3).node.hex(),))) as other,
            running(2) as two,
            running(3) as three,
        ):
            await connect(two, closed)
            await refused_by(closed, 3, Reason.PEER_NOT_ALLOWED)
            await connect(three, other)
            await refused_by(other, 2, Reason.PEER_NOT_ALLOWED)

    play(scene)


def test_trusted_peers_and_validators_get_in_beyond_the_limit() -> None:
    async def scene() -> None:
        async with (
            running(
                1,
                peers_in_max=1,
                trusted=(identity_of(3).node.hex(),),
                favours=lambda peer: bool(peer.validator),
            ) as one,
            running(2) as two,
            running(3) as three,
            running(4, identity=identity_of(4, validator_key=key_of(44))) as four,
        ):
            await connect(two, one)
            await refused_by(one, 5, Reason.TOO_MANY_PEERS)
            await connect(three, one)
            await connect(four, one)

    play(scene)


def test_an_offender_is_banned_until_it_expires_and_over_restarts(tmp_path: Path) -> None:
    now = [1000.0]

    async def scene() -> None:
        async with running(1, folder=tmp_path, clock=lambda: now[0]) as one:
            async with Attacker(one) as evil:
                await evil.upgrade()
                await evil.prove(identity_of(2))
                await until(lambda: len(one.peers.peers()) == 1)
                one.peers.blame(identity_of(2).node, Offence.FALSE_HEIGHT, "5")
                await evil.hung_up()
            assert one.peers.bans_made == 1
        async with running(1, folder=tmp_path, clock=lambda: now[0]) as one:
            await refused_by(one, 2, Reason.PEER_BANNED)
            now[0] += 3601
            async with Attacker(one) as reformed:
                await reformed.upgrade()
                await reformed.prove(identity_of(2))

    play(scene)


def test_persistent_and_trusted_peers_are_never_banned() -> None:
    async def scene() -> None:
        async with running(1) as one, running(2) as two:
            await connect(one, two)
            for _ in range(20):
                one.peers.blame(two.id, Offence.MALFORMED)
            assert one.knows(two)
            assert not one.peers.banned()

    play(scene)


def test_one_bootnode_is_enough_to_find_the_others() -> None:
    """Given nodes that know only one of them, then each comes to know all."""

    async def scene() -> None:
        settings = replace(SETTINGS, discovery=True)
        async with AsyncExitStack() as stack:
            boot = await stack.enter_async_context(running(1, settings=settings))
            nodes = [
                await stack.enter_async_context(
                    running(number, settings=settings, bootnodes=(str(boot.address),))
                )
                for number in range(2, 6)
            ]
            await until(lambda: all(len(node.peers.peers()) == 4 for node in [boot, *nodes]))

    play(scene)


def test_the_address_book_outlives_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        settings = replace(SETTINGS, discovery=True)
        async with running(2, settings=settings) as two:
            async with running(1, settings=settings, folder=tmp_path) as one:
                await connect(one, two)
            async with running(1, settings=settings, folder=tmp_path) as one:
                await until(lambda: one.knows(two))
        (tmp_path / "peers.json").write_text("{")
        async with running(1, folder=tmp_path) as one:
            assert len(one.peers.book) == 0
        assert (tmp_path / "peers.bad").exists()

    play(scene)


def test_a_receiver_that_is_busy_holds_up_its_peer_and_nobody_else() -> None:
    async def scene() -> None:
        async with running(1) as one, running(2) as two, running(3) as three:
            await connect(two, one)
            await connect(three, one)
            one.recorder.gate.clear()
            assert two.peers.send(one.id, Votes((b"first",)))
            assert two.peers.send(one.id, Votes((b"second",)))
            await until(lambda: one.peers.traffic.messages_in["Votes"] == 1)
            assert one.peers.send(three.id, Votes((b"third",)))
            await until(lambda: three.recorder.of(Votes) == [Votes((b"third",))])
            assert one.peers.traffic.messages_in["Votes"] == 1
            one.recorder.gate.set()
            await until(lambda: len(one.recorder.of(Votes)) == 2)

    play(scene)


@pytest.mark.parametrize("where", ["persistent", "bootnodes", "trusted", "allowed"])
def test_settings_that_name_no_peer_are_refused(where: str) -> None:
    with pytest.raises(Rejected) as caught:
        Peers(
            replace(SETTINGS, **{where: ("nobody",)}),
            identity_of(1),
            Recorder(),
            clock=lambda: 0.0,
            random=Random(1),
        )
    assert caught.value.reason is Reason.BAD_PEER_ADDRESS


async def refused_by(node: NetNode, number: int, reason: Reason) -> None:
    """A node that dials is refused for this reason."""
    async with Attacker(node) as visitor:
        await visitor.upgrade()
        with pytest.raises(Rejected) as caught:
            await visitor.prove(identity_of(number))
        assert caught.value.reason is reason
