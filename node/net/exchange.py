"""Peers tell each other of peers: who is asked when, and what is answered. Knows no socket."""

import math
from random import Random
from typing import Final

from node.net.addresses import Address, Reach, is_ip, plain_host
from node.net.book import Book
from node.net.messages import GetPeers, PeerAddress, Peers
from node.net.network import PeerId

TOLD_MAX: Final = 32  # addresses in an answer; more in one that comes are passed over
_ASK_SECONDS: Final = 30.0  # between questions, and between two to the same peer
_FEW: Final = 32  # addresses; with fewer in the book questions come sooner:
_FEW_ASK_SECONDS: Final = 0.5
_FEW_AGAIN_SECONDS: Final = 3.0


class Exchange:
    """Questions for addresses, one open per peer. Times are the loop's, but for `told`."""

    def __init__(self, book: Book, random: Random) -> None:
        self._book = book
        self._random = random
        self._open: dict[PeerId, int] = {}
        self._asked: dict[PeerId, float] = {}  # when each peer was asked last
        self._next = 0.0
        self._request = 0

    def due(self, peers: list[PeerId], now: float) -> tuple[PeerId, GetPeers] | None:
        """Whom to ask now, if anybody: the one that was not asked for longest."""
        if now < self._next or not peers:
            return None
        few = len(self._book) < _FEW
        again = _FEW_AGAIN_SECONDS if few else _ASK_SECONDS
        free = [
            peer
            for peer in peers
            if peer not in self._open and now - self._asked.get(peer, -math.inf) >= again
        ]
        if not free:
            return None
        self._next = now + (_FEW_ASK_SECONDS if few else _ASK_SECONDS)
        peer = min(free, key=lambda one: (self._asked.get(one, -math.inf), self._random.random()))
        self._request = (self._request + 1) % 2**32
        self._open[peer] = self._request
        self._asked[peer] = now
        return peer, GetPeers(self._request)

    def answer(self, peer: PeerId, request: int, reach: Reach) -> Peers:
        """Some addresses for a peer, of those that it can reach."""
        return Peers(
            request,
            tuple(
                PeerAddress(address.node, address.host, address.port)
                for address in self._book.sample(TOLD_MAX, reach, peer)
            ),
        )

    def told(self, peer: PeerId, message: Peers, host: str, clock: float) -> bool:
        """Take an answer from `host`, at `clock` seconds since 1970; False: nobody asked."""
        if self._open.get(peer) != message.request:
            return False
        del self._open[peer]
        for found in message.peers[:TOLD_MAX]:
            # Names are for operators: a peer could have us ask anybody's name server.
            if is_ip(found.host):
                address = Address(PeerId(found.node), plain_host(found.host), found.port)
                self._book.add(address, host, clock)
        return True

    def forget(self, peer: PeerId) -> None:
        """The peer is gone."""
        self._open.pop(peer, None)
        self._asked.pop(peer, None)
