"""Links between real nodes on loopback: connecting, sending, limits, ends."""

from node.net.messages import Block, Status, Votes
from tests.node.net.net_nodes import connect, identity_of, key_of, play, running, until

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
