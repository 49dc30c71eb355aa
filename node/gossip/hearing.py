"""Where the peers are, and whose votes reach them without this node."""

from collections.abc import Callable, Sequence
from typing import Final

from chain.types import Address
from node.net.messages import Status
from node.net.network import Network, PeerId

_EPOCHS_MAX: Final = 4  # whose members are kept
_DEAF_MAX: Final = 4096  # signers for whom it is known who does not hear them

Members = Callable[[int], Sequence[Address]]  # of an epoch, in the set's order; empty: unknown


class _Peer:
    __slots__ = ("hears", "reached", "status", "validator")

    def __init__(self, validator: bytes) -> None:
        self.validator = validator  # empty: none
        self.status: Status | None = None
        self.hears: tuple[int, bytes] | None = None  # an epoch, and whom of its members
        self.reached = (0, 0)  # epoch and view that the peer has entered


class Hearing:
    """Each connected peer's latest proved status. Sans-IO but for the list of peers."""

    def __init__(self, network: Network, members: Members) -> None:
        self._network = network
        self._members = members
        self._peers: dict[PeerId, _Peer] = {}
        self._indices: dict[int, dict[bytes, int]] = {}
        # By signer, of those that were asked about since anything changed.
        self._deaf: dict[bytes, tuple[PeerId, ...]] = {}

    def connected(self, peer: PeerId, validator: bytes) -> None:
        self._peers[peer] = _Peer(validator)
        self._deaf.clear()

    def disconnected(self, peer: PeerId) -> None:
        self._peers.pop(peer, None)
        self._deaf.clear()

    def note(self, peer: PeerId, status: Status) -> None:
        """A status whose claim was proved."""
        state = self._peers.get(peer)
        if state is not None:
            state.status = status
            self.note_view(peer, status.epoch, status.view)
            self.note_hears(peer, status)

    def note_hears(self, peer: PeerId, status: Status) -> None:
        """Whose votes the peer says it gets: that needs no proof, and concerns only itself."""
        state = self._peers.get(peer)
        hears = (status.epoch, status.hears)
        if state is not None and state.hears != hears:
            state.hears = hears
            self._deaf.clear()

    def note_view(self, peer: PeerId, epoch: int, view: int) -> None:
        """The peer itself says that it is in this view."""
        state = self._peers.get(peer)
        if state is not None:
            state.reached = max(state.reached, (epoch, view))

    def reached(self, peer: PeerId) -> tuple[int, int]:
        """The highest epoch and view that the peer says it is in."""
        state = self._peers.get(peer)
        return (0, 0) if state is None else state.reached

    def status(self, peer: PeerId) -> Status | None:
        """The peer's latest proved status."""
        state = self._peers.get(peer)
        return None if state is None else state.status

    def is_validator(self, peer: PeerId, validator: bytes) -> bool:
        """Whether the peer is the node of this validator."""
        state = self._peers.get(peer)
        return state is not None and state.validator == validator != b""

    def hears(self, peer: PeerId, validator: bytes) -> bool:
        """Whether the peer has a link to this validator's node, or is it."""
        state = self._peers.get(peer)
        if state is None:
            return False
        if state.validator == validator:
            return True
        if state.hears is None:
            return False
        epoch, bitmap = state.hears
        index = self._index(epoch).get(validator)
        return (
            index is not None
            and index // 8 < len(bitmap)
            and bool(bitmap[index // 8] >> index % 8 & 1)
        )

    def heard(self, peer: PeerId, epoch: int) -> int:
        """The epoch's members whose votes the peer says it gets, itself included, bit by bit."""
        state = self._peers.get(peer)
        if state is None:
            return 0
        own = self._index(epoch).get(state.validator)
        heard = 0 if own is None else 1 << own
        if state.hears is not None and state.hears[0] == epoch:
            heard |= int.from_bytes(state.hears[1], "little")
        return heard

    def linked(self, peer: PeerId, other: PeerId) -> bool:
        """Whether two peers are known to have a link to each other."""
        one, two = self._peers.get(peer), self._peers.get(other)
        if one is None or two is None:
            return False
        return (two.validator != b"" and self.hears(peer, Address(two.validator))) or (
            one.validator != b"" and self.hears(other, Address(one.validator))
        )

    def deaf(self, validator: bytes) -> Sequence[PeerId]:
        """The peers that don't hear this validator, as far as is known.

        Asked for every vote: the answer is kept until a link or what a peer hears changes.
        """
        found = self._deaf.get(validator)
        if found is None:
            found = tuple(peer for peer in self._peers if not self.hears(peer, validator))
            epochs = {state.hears[0] for state in self._peers.values() if state.hears is not None}
            if epochs <= self._indices.keys() and len(self._deaf) < _DEAF_MAX:
                self._deaf[validator] = found
        return found

    def mine(self, epoch: int) -> bytes:
        """The bitmap of the epoch's validators that this node has a link to."""
        indices = self._index(epoch)
        bitmap = bytearray((len(indices) + 7) // 8)
        for peer in self._network.peers():
            index = indices.get(peer.validator)
            if index is not None:
                bitmap[index // 8] |= 1 << index % 8
        return bytes(bitmap)

    def _index(self, epoch: int) -> dict[bytes, int]:
        found = self._indices.get(epoch)
        if found is None:
            members = self._members(epoch)
            if not members:
                return {}
            found = {bytes(member): index for index, member in enumerate(members)}
            self._indices[epoch] = found
            while len(self._indices) > _EPOCHS_MAX:
                del self._indices[next(iter(self._indices))]
        return found
