"""Whose votes reach a peer without this node."""

from hypothesis import given
from hypothesis import strategies as st

from chain.types import ZERO_HASH
from node.gossip.hearing import Hearing
from node.net.messages import Message, Status
from node.net.network import Offence, Peer, PeerId
from tests.node.gossip.plain_blocks import ADDRESSES
from tests.support.network import peer_id


class Links:
    """A network that only knows its peers."""

    def __init__(self, peers: list[Peer]) -> None:
        self._peers = peers

    def peers(self) -> list[Peer]:
        return self._peers

    def send(self, peer: PeerId, message: Message) -> bool:
        return False

    def blame(self, peer: PeerId, offence: Offence, detail: str = "") -> None:
        raise AssertionError(detail)


def status(hears: bytes, epoch: int = 0, view: int = 1) -> Status:
    return Status(epoch, view, 0, ZERO_HASH, b"", hears)


def hearing_of(validators: list[int]) -> Hearing:
    peers = [Peer(peer_id(at + 1), ADDRESSES[at], False, False) for at in validators]
    hearing = Hearing(Links(peers), lambda epoch: ADDRESSES if epoch == 0 else ())
    for peer in peers:
        hearing.connected(peer.id, peer.validator)
    return hearing


@given(st.sets(st.integers(0, 11)))
def test_the_bitmap_of_one_node_is_understood_by_another(heard: set[int]) -> None:
    mine = hearing_of(sorted(heard)).mine(0)
    other = hearing_of([0])
    other.note(peer_id(1), status(mine))
    for number, address in enumerate(ADDRESSES):
        assert other.hears(peer_id(1), address) is (number in heard | {0})


def test_a_peer_of_unknown_status_or_epoch_hears_only_itself() -> None:
    hearing = hearing_of([0, 1])
    assert hearing.hears(peer_id(1), ADDRESSES[0])
    assert not hearing.hears(peer_id(1), ADDRESSES[1])
    hearing.note(peer_id(1), status(b"\xff" * 128, epoch=5))
    assert not hearing.hears(peer_id(1), ADDRESSES[1])
    assert not hearing.hears(peer_id(9), ADDRESSES[1])
    assert hearing.mine(5) == b""


def test_a_short_or_a_long_bitmap_is_read_as_far_as_it_goes() -> None:
    hearing = hearing_of([0])
    hearing.note(peer_id(1), status(b"\x02"))
    assert hearing.hears(peer_id(1), ADDRESSES[1])
    assert not hearing.hears(peer_id(1), ADDRESSES[9])
    hearing.note(peer_id(1), status(b"\x02" + b"\xff" * 100))
    assert hearing.hears(peer_id(1), ADDRESSES[9])


def test_a_view_that_a_peer_has_reached_never_goes_back() -> None:
    hearing = hearing_of([0])
    hearing.note_view(peer_id(1), 1, 3)
    hearing.note(peer_id(1), status(b"", epoch=0, view=9))
    assert hearing.reached(peer_id(1)) == (1, 3)
    hearing.disconnected(peer_id(1))
    assert hearing.reached(peer_id(1)) == (0, 0)
