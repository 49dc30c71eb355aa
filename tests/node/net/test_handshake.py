"""The handshake without sockets: who is let in, and every way to be somebody else."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from chain.types import Hash
from node.net.handshake import HANDSHAKE_BYTES_MAX, Handshake, Identity, Proof, goodbye
from node.net.network import PeerId
from tests.node.net.net_nodes import identity_of, key_of

CERTIFICATE = b"\xce" * 32
NONCES = (b"\x01" * 32, b"\x02" * 32)


def side(
    identity: Identity,
    *,
    dialling: bool,
    fingerprint: bytes = CERTIFICATE,
    nonce: bytes | None = None,
    expected: PeerId | None = None,
) -> Handshake:
    return Handshake(
        identity,
        dialling=dialling,
        nonce=nonce or NONCES[dialling],
        fingerprint=fingerprint,
        expected=expected,
    )


def shake(
    dialler: Handshake,
    listener: Handshake,
    change: Callable[[int, bytes], bytes] = lambda number, frame: frame,
) -> None:
    """Carry the frames to and fro; `change` sees each with its number, from 0 on."""
    number = 0
    waiting = [(listener, frame) for frame in dialler.start()]
    while waiting:
        receiver, frame = waiting.pop(0)
        answers = receiver.receive(change(number, frame))
        number += 1
        other = dialler if receiver is listener else listener
        waiting += [(other, answer) for answer in answers]


def refused(dialler: Handshake, listener: Handshake, **changes: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        shake(dialler, listener, **changes)
    return caught.value


def test_both_sides_learn_who_the_other_is() -> None:
    first = identity_of(1, validator_key=key_of(50), port=7, agent="one")
    dialler, listener = side(first, dialling=True), side(identity_of(2), dialling=False)
    shake(dialler, listener)
    assert dialler.proven is not None
    assert listener.proven is not None
    assert dialler.proven.node == identity_of(2).node
    assert dialler.proven.validator == b""
    assert listener.proven.node == first.node
    assert listener.proven.validator == identity_of(50).node
    assert (listener.proven.port, listener.proven.agent) == (7, "one")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": 8}, Reason.WRONG_CHAIN),
        ({"genesis_hash": Hash(bytes(32))}, Reason.WRONG_CHAIN),
        ({"version": 2}, Reason.WRONG_PROTOCOL_VERSION),
        ({"node_key": key_of(1)}, Reason.SELF_CONNECTION),
    ],
)
def test_nodes_that_do_not_belong_together_part(changes: dict[str, Any], reason: Reason) -> None:
    stranger = identity_of(2, **changes)
    one = identity_of(1)
    found = refused(side(stranger, dialling=True), side(one, dialling=False))
    assert found.reason is reason
    found = refused(side(one, dialling=True), side(stranger, dialling=False))
    assert found.reason is reason


def test_another_version_is_told_both_versions() -> None:
    found = refused(
        side(identity_of(1), dialling=True), side(identity_of(2, version=9), dialling=False)
    )
    assert found.reason is Reason.WRONG_PROTOCOL_VERSION
    assert "version 9" in found.detail
    assert "version 1" in found.detail
    # The one who is told understands, whatever else changed between the versions.
    other = side(identity_of(3), dialling=True)
    other.start()
    with pytest.raises(Rejected) as caught:
        other.receive(goodbye(found))
    assert caught.value.reason is Reason.WRONG_PROTOCOL_VERSION
    assert "version 9" in caught.value.detail


def test_a_hello_of_a_later_version_may_look_different() -> None:
    listener = side(identity_of(1), dialling=False)
    with pytest.raises(Rejected) as caught:
        listener.receive(msgspec.msgpack.encode(["chain-node", 3, {"all": "new"}]))
    assert caught.value.reason is Reason.WRONG_PROTOCOL_VERSION


def test_another_node_at_the_address_is_not_the_one_that_was_dialled() -> None:
    dialler = side(identity_of(1), dialling=True, expected=identity_of(3).node)
    assert refused(dialler, side(identity_of(2), dialling=False)).reason is Reason.WRONG_PEER


def test_an_interceptors_certificate_is_noticed_by_both_sides() -> None:
    """Given somebody in between who passes on every frame, when the dialling side has seen its
    certificate, then neither side proves anything."""
    dialler = side(identity_of(1), dialling=True, fingerprint=b"\xee" * 32)
    listener = side(identity_of(2), dialling=False)
    assert refused(dialler, listener).reason is Reason.BAD_HANDSHAKE
    assert listener.proven is None
    assert dialler.proven is None


def test_a_recorded_handshake_is_worthless() -> None:
    """Given all frames of the dialling side, when they are sent again, then the fresh nonce of
    the listening side makes them those of another exchange."""
    frames: list[bytes] = []

    def record(number: int, frame: bytes) -> bytes:
        frames.append(frame)
        return frame

    shake(side(identity_of(1), dialling=True), side(identity_of(2), dialling=False), record)
    again = side(identity_of(2), dialling=False, nonce=b"\x09" * 32)
    again.receive(frames[0])
    with pytest.raises(Rejected) as caught:
        again.receive(frames[2])
    assert caught.value.reason is Reason.BAD_HANDSHAKE
    # A listening side that is replayed to a dialling one fares no better.
    dialler = side(identity_of(1), dialling=True, nonce=b"\x0a" * 32)
    dialler.start()
    dialler.receive(frames[1])
    with pytest.raises(Rejected) as caught:
        dialler.receive(frames[3])
    assert caught.value.reason is Reason.BAD_HANDSHAKE


def test_a_proof_is_not_reflected() -> None:
    """Given a listening side without a key, when it sends my own frames back, then I notice."""
    dialler = side(identity_of(1), dialling=True)
    (hello,) = dialler.start()
    with pytest.raises(Rejected) as caught:
        dialler.receive(hello)
    assert caught.value.reason is Reason.SELF_CONNECTION


def test_a_validator_is_not_claimed_without_its_key() -> None:
    for claim in (
        {"validator": identity_of(60).node},
        {"validator": identity_of(60).node, "validator_signature": bytes(65)},
        {"validator_signature": bytes(65)},
    ):

        def lie(number: int, frame: bytes, claim: dict[str, Any] = claim) -> bytes:
            if number != 2:
                return frame
            proof = msgspec.msgpack.decode(frame, type=Proof)
            return msgspec.msgpack.encode(msgspec.structs.replace(proof, **claim))

        dialler, listener = (
            side(identity_of(number, validator_key=key_of(50)), dialling=number == 1)
            for number in (1, 2)
        )
        if "validator" not in claim:
            dialler = side(identity_of(1), dialling=True)
        assert refused(dialler, listener, change=lie).reason is Reason.BAD_HANDSHAKE


def test_a_validators_signature_does_not_move_to_another_node() -> None:
    """Given a validator's proof, when another node shows it as its own, then it is refused."""
    frames: dict[int, bytes] = {}
    honest = identity_of(1, validator_key=key_of(50))
    shake(
        side(honest, dialling=True),
        side(identity_of(2), dialling=False),
        lambda number, frame: frames.setdefault(number, frame),
    )
    stolen = msgspec.msgpack.decode(frames[2], type=Proof)

    def show(number: int, frame: bytes) -> bytes:
        if number != 2:
            return frame
        own = msgspec.msgpack.decode(frame, type=Proof)
        return msgspec.msgpack.encode(
            Proof("chain-node/proof", own.signature, stolen.validator, stolen.validator_signature)
        )

    thief, victim = side(identity_of(3), dialling=True), side(identity_of(2), dialling=False)
    assert refused(thief, victim, change=show).reason is Reason.BAD_HANDSHAKE


def test_a_frame_too_many_or_too_long_is_refused() -> None:
    dialler, listener = (side(identity_of(number), dialling=number == 1) for number in (1, 2))
    shake(dialler, listener)
    for party in (dialler, listener):
        with pytest.raises(Rejected) as caught:
            party.receive(b"\x90")
        assert caught.value.reason is Reason.BAD_HANDSHAKE
    with pytest.raises(Rejected) as caught:
        side(identity_of(1), dialling=False).receive(bytes(HANDSHAKE_BYTES_MAX + 1))
    assert caught.value.reason is Reason.BAD_HANDSHAKE


@given(st.binary(max_size=200))
def test_garbage_is_refused_as_such(garbage: bytes) -> None:
    with pytest.raises(Rejected):
        side(identity_of(1), dialling=False).receive(garbage)


@given(st.integers(0, 3), st.data())
def test_a_changed_bit_anywhere_ends_the_handshake(number: int, data: st.DataObject) -> None:
    """Whatever somebody on the way changes, at least one side refuses."""

    def flip(at: int, frame: bytes) -> bytes:
        if at != number:
            return frame
        bit = data.draw(st.integers(0, 8 * len(frame) - 1))
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    dialler, listener = (
        side(identity_of(key, validator_key=key_of(40 + key)), dialling=key == 1) for key in (1, 2)
    )
    refused(dialler, listener, change=flip)
