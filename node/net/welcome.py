"""Who is let in, and which of two links to one node stays. Knows no socket.

Times come from the clocks of the caller: bans count in seconds since 1970, the ages of links
in seconds.
"""

from collections.abc import Callable, Container, Sequence
from typing import Final

from msgspec import Struct

from chain.errors import Reason, Rejected
from node.net.addresses import Reach, reach_of
from node.net.bans import Bans
from node.net.network import Peer, PeerId
from node.settings import NetSettings

# Links that two nodes made to each other within this time were dialled by both at once.
_SIMULTANEOUS_SECONDS: Final = 5.0


class Standing(Struct, frozen=True):
    """A link that stands: whose, from where, since how many seconds."""

    peer: Peer
    host: str
    age: float


class Welcome:
    """The rules of docs/protocol/wire.md, section 5, and what operators changed of them."""

    def __init__(
        self,
        me: PeerId,
        settings: NetSettings,
        bans: Bans,
        *,
        allowed: frozenset[bytes],
        persistent: Container[PeerId],
        favours: Callable[[Peer], bool],
    ) -> None:
        """`allowed` are node ids; none of them: everybody."""
        self.trusted: set[PeerId] = set()
        self._me = me
        self._settings = settings
        self._bans = bans
        self._allowed = allowed
        self._persistent = persistent
        self._favours = favours

    def excused(self, node: PeerId) -> bool:
        """Whether a peer is never banned."""
        return node in self.trusted or node in self._persistent

    def check(
        self, peer: Peer, host: str, old: Standing | None, others: Sequence[Standing], now: float
    ) -> None:
        """Whether a node that has proved itself may have this link, beside `others`.

        `old` is a link to the same node, which the new one would replace. Rejected:
        PEER_BANNED, PEER_NOT_ALLOWED, DUPLICATE_LINK, TOO_MANY_PEERS.
        """
        if not self.excused(peer.id):
            ban = self._bans.banned(peer.id, host, now)
            if ban is not None:
                raise Rejected(Reason.PEER_BANNED, ban.why)
        if self._allowed and peer.id not in self._allowed and peer.id not in self.trusted:
            raise Rejected(Reason.PEER_NOT_ALLOWED, f"node {peer.id.hex()} is not on the list")
        if old is not None:
            self._check_duplicate(peer, old)
        elif peer.inbound and not self.excused(peer.id) and not self._favours(peer):
            self._check_room(host, [other for other in others if other.peer.inbound])

    def _check_room(self, host: str, inbound: Sequence[Standing]) -> None:
        if len(inbound) >= self._settings.peers_in_max:
            raise Rejected(Reason.TOO_MANY_PEERS, f"{len(inbound)} have dialled in")
        if reach_of(host) is not Reach.LOOPBACK:
            same = sum(other.host == host for other in inbound)
            if same >= self._settings.host_peers_max:
                raise Rejected(Reason.TOO_MANY_PEERS, f"{same} from {host}")

    def _check_duplicate(self, peer: Peer, old: Standing) -> None:
        """Of two links between two nodes one stays, the same for both of them.

        When each dialled the other at once, it is that of the smaller id. Otherwise the
        newer one: a node dials again only when it knows that the old link is dead.
        """
        if old.peer.inbound is not peer.inbound and old.age < _SIMULTANEOUS_SECONDS:
            dialled_by_me = not peer.inbound
            if dialled_by_me is not (self._me < peer.id):
                raise Rejected(Reason.DUPLICATE_LINK)
