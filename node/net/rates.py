"""What each kind of message may cost: its size, its rate, its turn. Knows no clock.

The rates are several times what a busy ledger of a hundred validators needs. Who exceeds
them is read more slowly, so that honest bursts lose nothing; who does so for seconds on end
floods.
"""

from typing import Final

from msgspec import Struct

from chain.errors import Reason, Rejected
from node.net import messages
from node.net.messages import CERTIFICATE_BYTES_MAX, FRAME_BYTES_MAX, Message

URGENT: Final = 0  # consensus, and the link's own; before everything else
BLOCKS: Final = 1  # what the block under way still lacks
TRANSACTIONS: Final = 2
BULK: Final = 3  # what sync asks for and gets
LEVELS: Final = 4

FLOOD_SECONDS: Final = 1.0  # of waiting that make one offence


class Kind(Struct, frozen=True):
    """A kind of message: how long, how often from one peer, and how urgent."""

    name: str
    bytes_max: int
    per_second: float
    burst: float
    level: int


def _kind(
    message: type, bytes_max: int, per_second: float, burst: float, level: int
) -> tuple[type, Kind]:
    return message, Kind(
        message.__name__, min(bytes_max, FRAME_BYTES_MAX), per_second, burst, level
    )


_SHORT: Final = 520  # a record or a vote, with what MessagePack puts before it
_REQUEST: Final = 64
_STATUS: Final = CERTIFICATE_BYTES_MAX + 512

KINDS: Final[dict[type, Kind]] = dict(
    [
        _kind(messages.Status, _STATUS, 50, 500, URGENT),
        _kind(messages.Proposal, FRAME_BYTES_MAX, 50, 500, URGENT),
        _kind(messages.Votes, 256 * _SHORT + 16, 5_000, 20_000, URGENT),
        _kind(messages.Certificates, FRAME_BYTES_MAX, 1_000, 5_000, URGENT),
        _kind(messages.GetCertificates, _REQUEST, 100, 500, URGENT),
        _kind(messages.Evidence, 2 * _SHORT + 16, 10, 100, URGENT),
        _kind(messages.GetBlock, _REQUEST, 100, 500, BLOCKS),
        _kind(messages.Block, FRAME_BYTES_MAX, 100, 500, BLOCKS),
        _kind(messages.GetBlockTransactions, 2**19, 100, 500, BLOCKS),
        _kind(messages.BlockTransactions, FRAME_BYTES_MAX, 100, 500, BLOCKS),
        _kind(messages.TransactionHashes, 4096 * 40 + 64, 500, 2_000, TRANSACTIONS),
        _kind(messages.GetTransactions, 1024 * 34 + 64, 500, 2_000, TRANSACTIONS),
        _kind(messages.Transactions, FRAME_BYTES_MAX, 5_000, 20_000, TRANSACTIONS),
        _kind(messages.GetHeaders, _REQUEST, 100, 500, BULK),
        _kind(messages.Headers, FRAME_BYTES_MAX, 100, 500, BULK),
        _kind(messages.GetBodies, _REQUEST, 100, 500, BULK),
        _kind(messages.Bodies, FRAME_BYTES_MAX, 100, 500, BULK),
        _kind(messages.GetPeers, _REQUEST, 0.5, 10, BULK),
        _kind(messages.Peers, 64 * 288 + 64, 2, 20, BULK),
        _kind(messages.Goodbye, 2 * 1024 + 64, 1, 2, URGENT),
        _kind(messages.Ping, _REQUEST, 25, 100, URGENT),
        _kind(messages.Pong, _REQUEST, 25, 100, URGENT),
    ]
)
_BY_TAG: Final[dict[int, Kind]] = {
    kind.__struct_config__.tag: KINDS[kind]  # type: ignore[attr-defined]
    for kind in KINDS
}


def kind_of(message: Message) -> Kind:
    return KINDS[type(message)]


def kind_of_frame(frame: bytes) -> Kind:
    """The kind that a frame claims to be, its size checked before any of it is decoded.

    Raises Rejected: BAD_MESSAGE, TOO_LARGE.
    """
    # All messages are MessagePack's short arrays, whose second byte is the message's number.
    kind = _BY_TAG.get(frame[1]) if len(frame) >= 2 and frame[0] & 0xF0 == 0x90 else None
    if kind is None:
        raise Rejected(Reason.BAD_MESSAGE, "a frame that begins as no message does")
    if len(frame) > kind.bytes_max:
        raise Rejected(Reason.TOO_LARGE, f"{kind.name} of {len(frame)} bytes")
    return kind


class Bucket:
    """Tokens that come back with time; it may be overdrawn, at the price of waiting."""

    __slots__ = ("_level", "_per_second", "_size", "_then")

    def __init__(self, per_second: float, size: float, now: float) -> None:
        self._per_second = per_second
        self._size = size
        self._level = size
        self._then = now

    def take(self, tokens: float, now: float) -> float:
        """Take tokens; for how many seconds the taker must wait now."""
        self._level = min(self._size, self._level + (now - self._then) * self._per_second) - tokens
        self._then = now
        return 0.0 if self._level >= 0 else -self._level / self._per_second


class Rates:
    """How fast one peer may talk. Times in seconds, of any clock that never goes back."""

    def __init__(self, bytes_per_second: int, now: float) -> None:
        self._bytes = Bucket(bytes_per_second, max(2 * bytes_per_second, FRAME_BYTES_MAX), now)
        self._kinds = {
            kind.name: Bucket(kind.per_second, kind.burst, now) for kind in KINDS.values()
        }
        self._over = 0.0

    def bytes_came(self, size: int, now: float) -> float:
        """Seconds to wait before more bytes are read."""
        return self._bytes.take(size, now)

    def message_came(self, kind: Kind, now: float) -> float:
        """Seconds to wait before the next message is read."""
        wait = self._kinds[kind.name].take(1, now)
        self._over += wait
        return wait

    def flooded(self) -> bool:
        """Whether another offence is full; asked once after each of the calls above."""
        if self._over < FLOOD_SECONDS:
            return False
        self._over = 0.0
        return True
