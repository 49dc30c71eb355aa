"""Validators that lie: real nodes whose messages are turned into attacks on their way out.

The node inside follows the rules and knows nothing; a wrapper round its network, with its
validator's key, says other things than the node meant, to whom it likes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain.blocks import Header, decode_header, encode_header
from chain.crypto.secp256k1 import address_of
from chain.headers import header_hash
from chain.types import ZERO_HASH, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Domain,
    ValidatorSet,
    Vote,
    VoteKind,
    decode_record,
    decode_vote,
    encode_certificate,
    encode_record,
    encode_vote,
    randomness,
    record_hash,
    sign_ballot,
)
from node.net.messages import (
    Block,
    BlockTransactions,
    Bodies,
    Certificates,
    CompactBlock,
    Message,
    Proposal,
    Votes,
)
from node.net.network import Offence, Peer, PeerId
from node.simulator.network import Links

MISDEEDS: Final = (
    "equivocate", "withhold", "invalid-state", "forge", "nullify-and-finalize", "replay",
    "selective", "out-of-range", "timestamp",
)  # fmt: skip
_REMEMBERED: Final = 256
_PAUSE_S: Final = 0.2  # between two attacks that nothing prompts
_FAR: Final = 10_000  # views ahead


class Liar(Struct, frozen=True):
    """Who lies, and how."""

    key: bytes
    domain: Domain
    validators: ValidatorSet
    misdeeds: frozenset[str]
    random: Random


class HostileLinks:
    """Links that lie. Every change of a message is made for one peer at a time."""

    def __init__(self, inner: Links, liar: Liar) -> None:
        self._inner = inner
        self._liar = liar
        self._me = address_of(liar.key)
        self._sent: deque[Message] = deque(maxlen=_REMEMBERED)
        self._twins: dict[tuple[int, int], Proposal] = {}
        self._last: Ballot | None = None
        self._attacking: asyncio.Task[None] | None = None
        self._changes: dict[str, Callable[[PeerId, Message], Message | None]] = {
            "equivocate": self._equivocate,
            "withhold": self._withhold,
            "invalid-state": self._invalid_state,
            "nullify-and-finalize": self._nullify_and_finalize,
            "selective": self._selective,
            "timestamp": self._timestamp,
        }
        self._attacks: dict[str, Callable[[], Message | None]] = {
            "forge": self._forge,
            "replay": self._replay,
            "out-of-range": self._out_of_range,
        }

    async def start(self) -> None:
        await self._inner.start()
        self._attacking = asyncio.get_running_loop().create_task(self._attack())

    async def stop(self) -> None:
        if self._attacking is not None:
            self._attacking.cancel()
        await self._inner.stop()

    def peers(self) -> Sequence[Peer]:
        return self._inner.peers()

    def blame(self, peer: PeerId, offence: Offence, detail: str = "") -> None:
        self._inner.blame(peer, offence, detail)

    def send(self, peer: PeerId, message: Message) -> bool:
        """What the node meant to say, after each misdeed had its way with it."""
        self._sent.append(message)
        if isinstance(message, Proposal):
            self._last = decode_vote(message.vote).ballot
        said: Message | None = message
        for name in MISDEEDS:
            if name in self._liar.misdeeds and name in self._changes and said is not None:
                said = self._changes[name](peer, said)
        return True if said is None else self._inner.send(peer, said)

    async def _attack(self) -> None:
        """What needs no occasion; runs until cancelled."""
        names = [name for name in MISDEEDS if name in self._liar.misdeeds & set(self._attacks)]
        while names:
            await asyncio.sleep(self._liar.random.expovariate(1 / _PAUSE_S))
            message = self._attacks[self._liar.random.choice(names)]()
            peers = self._inner.peers()
            if message is not None and peers:
                self._inner.send(self._liar.random.choice(peers).id, message)

    # -- instead of what was meant -----------------------------------------------------------------

    def _half(self, peer: PeerId) -> bool:
        """The same half of the peers each time."""
        return peer[-1] % 2 == 0

    def _equivocate(self, peer: PeerId, message: Message) -> Message | None:
        """Another block, just as good, to half of them, and votes for it."""
        if isinstance(message, Proposal) and message.block is not None and self._half(peer):
            twin = self._reproposed(message, lambda header: replace(header, extra_data=b"twin"))
            ballot = decode_vote(message.vote).ballot
            self._twins[ballot.epoch, ballot.view] = twin
            while len(self._twins) > _REMEMBERED:
                del self._twins[next(iter(self._twins))]
            return twin
        if isinstance(message, Votes) and self._half(peer):
            return Votes(tuple(self._other_vote(data) for data in message.votes))
        return message

    def _other_vote(self, data: bytes) -> bytes:
        vote = decode_vote(data)
        ballot = vote.ballot
        twin = self._twins.get((ballot.epoch, ballot.view))
        if vote.signer != self._me or twin is None or ballot.kind is VoteKind.NULLIFY:
            return data
        block_hash = decode_vote(twin.vote).ballot.block_hash
        return encode_vote(self._sign(replace(ballot, block_hash=block_hash)))

    def _withhold(self, peer: PeerId, message: Message) -> Message | None:
        """No bodies, and proposals only to some."""
        if isinstance(message, Block | BlockTransactions | Bodies):
            return None
        if isinstance(message, Proposal) and not self._half(peer):
            return None
        return message

    def _invalid_state(self, peer: PeerId, message: Message) -> Message | None:
        """A block whose state root is not what comes out, now and then."""
        if isinstance(message, Proposal) and message.block is not None:
            ballot = decode_vote(message.vote).ballot
            if ballot.view % 2:
                root = Hash(bytes(31) + b"\x01")
                return self._reproposed(message, lambda header: replace(header, state_root=root))
        return message

    def _nullify_and_finalize(self, peer: PeerId, message: Message) -> Message | None:
        """Both, in every view."""
        if not isinstance(message, Votes):
            return message
        votes = list(message.votes)
        for data in message.votes:
            vote = decode_vote(data)
            if vote.signer == self._me and vote.ballot.kind is VoteKind.FINALIZE:
                ballot = vote.ballot
                nullify = Ballot(VoteKind.NULLIFY, ballot.epoch, ballot.view, ZERO_HASH, 0)
                votes.append(encode_vote(self._sign(nullify)))
        return Votes(tuple(votes))

    def _selective(self, peer: PeerId, message: Message) -> Message | None:
        """Every other message gets lost, for some peers more than for others."""
        chance = 0.9 if self._half(peer) else 0.2
        return None if self._liar.random.random() < chance else message

    def _timestamp(self, peer: PeerId, message: Message) -> Message | None:
        """A block of ten seconds ahead, or long ago."""
        if not isinstance(message, Proposal) or message.block is None:
            return message
        compact = message.block
        record = decode_record(compact.record)
        shift = 10_000 if record.view % 2 else -10_000
        other = replace(record, timestamp_ms=max(0, record.timestamp_ms + shift))
        moved = replace(message, block=replace(compact, record=encode_record(other)))
        return self._reproposed(
            moved,
            lambda header: replace(
                header,
                timestamp=other.timestamp_ms // 1000,
                parent_beacon_root=record_hash(other),
                mix_hash=randomness(other),
            ),
        )

    def _reproposed(self, message: Proposal, change: Callable[[Header], Header]) -> Proposal:
        compact = message.block
        assert isinstance(compact, CompactBlock)
        header = change(decode_header(compact.header))
        ballot = replace(decode_vote(message.vote).ballot, block_hash=header_hash(header))
        block = replace(compact, header=encode_header(header))
        return Proposal(encode_vote(self._sign(ballot)), block)

    def _sign(self, ballot: Ballot) -> Vote:
        return sign_ballot(ballot, self._liar.domain, self._liar.key)

    # -- out of the blue ---------------------------------------------------------------------------

    def _forge(self) -> Message | None:
        """A certificate in which one signature stands for everybody."""
        if self._last is None:
            return None
        ballot = replace(self._last, kind=VoteKind.FINALIZE, view=self._last.view + 1)
        count = len(self._liar.validators.validators)
        everybody = ((1 << count) - 1).to_bytes((count + 7) // 8, "little")
        signature = self._sign(ballot).signature
        forged = Certificate(ballot, everybody, (signature,) * count)
        return Certificates(0, (encode_certificate(forged),))

    def _replay(self) -> Message | None:
        """Something said before."""
        return self._liar.random.choice(self._sent) if self._sent else None

    def _out_of_range(self) -> Message | None:
        """A vote for a view far ahead."""
        if self._last is None:
            return None
        ahead = replace(self._last, kind=VoteKind.NOTARIZE, view=self._last.view + _FAR)
        return Votes((encode_vote(self._sign(ahead)),))
