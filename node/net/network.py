"""What the parts above the links know of the network: peers, messages, offences.

Two implementations of `Network` exist: the links of `node.net.peers` and the simulator's
virtual ones. Everything above - consensus, gossip, sync - is the same code on both.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NewType, Protocol

from msgspec import Struct

from node.net.messages import Message

PeerId = NewType("PeerId", bytes)  # 20 bytes: the address of the peer's node key


class Offence(Enum):
    """What a peer can do wrong: (name, points). A hundred points and it is banned.

    Points fade with time, so that a slip costs nothing for ever.
    """

    MALFORMED = ("malformed", 100)  # a frame that no version of this program sends
    BAD_SIGNATURE = ("bad_signature", 100)  # a vote or certificate that does not verify
    BAD_BLOCK = ("bad_block", 100)  # a block that is not what its hash or certificate says
    FALSE_HEIGHT = ("false_height", 100)  # a claim to a height without its proof
    BAD_TRANSACTION = ("bad_transaction", 20)  # one that no honest node would pass on
    FLOOD = ("flood", 20)  # above the rate that the protocol needs
    OUT_OF_RANGE = ("out_of_range", 5)  # a vote for a view far ahead (R7)
    UNASKED = ("unasked", 20)  # an answer to no question
    NO_ANSWER = ("no_answer", 10)  # a question that was not answered in time
    EMPTY_ANSWER = ("empty_answer", 5)  # it announced or certified what it then did not have

    @property
    def points(self) -> int:
        return self.value[1]


class Peer(Struct, frozen=True):
    """A peer that is connected and has proved who it is."""

    id: PeerId
    validator: bytes  # the validator address that its node claims and proved; empty: none
    inbound: bool
    trusted: bool


class Network(Protocol):
    """The links of this node."""

    def peers(self) -> Sequence[Peer]:
        """Those connected now, in the order of connecting."""
        ...

    def send(self, peer: PeerId, message: Message) -> bool:
        """Queue a message; never blocks. False: the peer is gone, or its queue is full."""
        ...

    def blame(self, peer: PeerId, offence: Offence, detail: str = "") -> None:
        """Count an offence; enough of them, and the link is closed and the peer banned."""
        ...


class Receiver(Protocol):
    """Who is told what the network brings; called in the event loop's thread."""

    def connected(self, peer: Peer) -> None: ...

    async def received(self, peer: PeerId, message: Message) -> None:
        """Take a message. Until this returns, the same peer's next one waits."""
        ...

    def disconnected(self, peer: PeerId) -> None: ...
