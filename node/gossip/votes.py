"""Votes, certificates and evidence: sent where they are not, each once.

A vote goes from its author to all its peers; others pass it on only to peers that do not
hear the author. So that who tells each peer something else is found, a few of the votes that
came are also shown to peers drawn by lot, whomever these hear (section 6). A certificate
goes to every peer that has not sent it; of many peers the first few get it at once, and the
others a little later unless it was shown by then that they need it no more. Nothing is
passed on that was not verified here.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, TypeVar

from chain.errors import Rejected
from chain.evidence import evidence_of
from chain.types import Address
from chain.validators import (
    Ballot,
    Certificate,
    Vote,
    VoteKind,
    certificate_ballot,
    decode_certificate,
    decode_vote,
    encode_certificate,
    encode_vote,
)
from node.gossip.buckets import Bucket
from node.gossip.hearing import Hearing
from node.gossip.sample import Sample
from node.net.messages import Certificates, Evidence, Votes
from node.net.network import Network, Offence, PeerId

VOTES_PER_MESSAGE_MAX: Final = 256
CERTIFICATES_PER_MESSAGE_MAX: Final = 64
VOTES_REMEMBERED_MAX: Final = 8_192
RELAY_AFTER_S: Final = 1.0  # from connecting on: who is new does not know yet whom it hears
RELAYS_WAITING_MAX: Final = 2_048  # votes for one peer that is new
CERTIFICATES_REMEMBERED_MAX: Final = 1_024
OFFENCES_REMEMBERED_MAX: Final = 1_024
CERTIFICATE_PEERS_AT_ONCE: Final = 8
CERTIFICATE_HEARERS_AT_ONCE: Final = 2  # of many peers that get the votes in it anyway
CERTIFICATE_DELAY_S: Final = 0.15  # before others that lack votes get it,
CERTIFICATE_PATIENCE_S: Final = 1.0  # and before all others do
SHOWN_MAX: Final = 64  # votes of others that are shown at a time
SHOWN_PEERS: Final = 2  # to how many
SHOWN_EVERY_S: Final = 0.5  # soon enough that the views still count (R7)
OWN_VOTES_FOR_NEW: Final = 16  # of mine, for a peer that connects
RESEND_PEERS_MAX: Final = 8  # R8
RESEND_BYTES_MAX: Final = 512 * 2**10  # per peer
VOTES_RATE: Final = (8_192, 2_048)  # by one peer: at once, and per second
CERTIFICATES_RATE: Final = (256, 64)
EVIDENCE_RATE: Final = (16, 1)
STATUSES_RATE: Final = (64, 8)  # each may bring a certificate to verify
QUESTIONS_RATE: Final = (64, 16)  # for certificates
COMPLAINT_PAUSE_S: Final = 5.0


Key = TypeVar("Key")


class _PeerState:
    __slots__ = (
        "certificates",
        "evidence",
        "questions",
        "settling",
        "statuses",
        "votes",
        "waiting",
    )

    def __init__(self, now: float) -> None:
        self.settling: asyncio.TimerHandle | None = None  # until it has said whom it hears
        self.waiting: OrderedDict[tuple[Ballot, Address], None] = OrderedDict()  # for that
        self.votes = Bucket(*VOTES_RATE, now)
        self.certificates = Bucket(*CERTIFICATES_RATE, now)
        self.evidence = Bucket(*EVIDENCE_RATE, now)
        self.questions = Bucket(*QUESTIONS_RATE, now)
        self.statuses = Bucket(*STATUSES_RATE, now)


class _Held:
    """A verified certificate; its bytes only as long as some peers wait for it."""

    __slots__ = ("ballot", "data", "signers", "timer")

    def __init__(self, certificate: Certificate) -> None:
        self.ballot = certificate.ballot
        self.signers = int.from_bytes(certificate.signers, "little")
        self.data = encode_certificate(certificate)
        self.timer: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        """Nobody waits any more."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None
        self.data = b""


class _Seen:
    """A verified vote: its bytes, and who has it."""

    __slots__ = ("data", "holders")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.holders: set[PeerId] = set()


class VoteGossip:
    """Of the event loop's thread only."""

    def __init__(self, network: Network, hearing: Hearing, random: Random) -> None:
        """`random` draws what is shown to whom; nobody else must be able to guess it."""
        self._network = network
        self._hearing = hearing
        self._peers: dict[PeerId, _PeerState] = {}
        self._votes: OrderedDict[tuple[Ballot, Address], _Seen] = OrderedDict()  # verified
        # Who sent or was sent the certificate of a ballot; verified or not.
        self._holders: OrderedDict[Ballot, set[PeerId]] = OrderedDict()
        self._held: OrderedDict[Ballot, _Held] = OrderedDict()  # verified
        self._offences: OrderedDict[tuple[Address, int, int], None] = OrderedDict()
        self._own: deque[_Seen] = deque(maxlen=OWN_VOTES_FOR_NEW)
        self._last_final = (0, 0)  # epoch and view of the last finalization that was sent
        self._turn = 0  # of the peers that get what is sent to some
        self._random = random
        self._shown: Sample[_Seen] = Sample(SHOWN_MAX, random)
        self._showing: asyncio.TimerHandle | None = None

    def connected(self, peer: PeerId) -> None:
        """What goes round already is passed on to it too, once it is known what it lacks."""
        state = self._peers[peer] = _PeerState(self._now())
        state.waiting.update(dict.fromkeys(list(self._votes)[-RELAYS_WAITING_MAX:]))
        loop = asyncio.get_running_loop()
        state.settling = loop.call_later(RELAY_AFTER_S, self._settled, peer, state)

    def greet(self, peer: PeerId) -> None:
        """My latest votes, which nobody else would send to who has a link to me."""
        self._pass_on(peer, list(self._own))

    def disconnected(self, peer: PeerId) -> None:
        state = self._peers.pop(peer, None)
        if state is not None and state.settling is not None:
            state.settling.cancel()
        for seen in self._votes.values():
            seen.holders.discard(peer)  # what it had may be lost with it
        for holders in self._holders.values():
            holders.discard(peer)

    def stop(self) -> None:
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None
        for held in self._held.values():
            held.settle()
        for state in self._peers.values():
            if state.settling is not None:
                state.settling.cancel()

    # -- votes -------------------------------------------------------------------------------------

    def send_votes(self, votes: Sequence[Vote]) -> None:
        """My own votes, to every peer."""
        own = [self._note_vote(vote) for vote in votes]
        self._own.extend(own)
        for message in _votes_messages([seen.data for seen in own]):
            for peer in self._network.peers():
                self._network.send(peer.id, message)

    def relay_votes(self, votes: Sequence[Vote], source: PeerId) -> None:
        """Verified votes of others, to the peers that do not hear their signers; once."""
        lacking: dict[PeerId, list[_Seen]] = {}
        for vote in votes:
            if self._hearing.is_validator(source, vote.signer):
                self._hearing.note_view(source, vote.ballot.epoch, vote.ballot.view)
            key = (vote.ballot, vote.signer)
            if key in self._votes:
                self._votes[key].holders.add(source)
                continue
            seen = self._note_vote(vote)
            seen.holders.add(source)
            self._show_later(seen)
            for peer in self._hearing.deaf(vote.signer):
                state = self._peers.get(peer)
                if state is None or peer in seen.holders:
                    continue
                if state.settling is None:
                    lacking.setdefault(peer, []).append(seen)
                else:
                    state.waiting[key] = None
                    if len(state.waiting) > RELAYS_WAITING_MAX:
                        state.waiting.popitem(last=False)
        for peer, mine in lacking.items():
            self._pass_on(peer, mine)

    def show_leaders_vote(self, vote: Vote, source: PeerId) -> None:
        """The verified vote of a proposal, which travels with its block."""
        seen = _Seen(encode_vote(vote))
        seen.holders.add(source)
        self._show_later(seen)

    def _show_later(self, seen: _Seen) -> None:
        self._shown.put(seen)
        if self._showing is None:
            loop = asyncio.get_running_loop()
            self._showing = loop.call_later(SHOWN_EVERY_S, self._show)

    def _show(self) -> None:
        """Some votes of others to some peers, who may have been told another one."""
        self._showing = None
        votes, peers = self._shown.take(), list(self._network.peers())
        for peer in self._random.sample(peers, min(SHOWN_PEERS, len(peers))):
            self._pass_on(peer.id, [seen for seen in votes if peer.id not in seen.holders])

    def _settled(self, peer: PeerId, state: _PeerState) -> None:
        """The peer had time to connect to others: it gets what it lacks nevertheless."""
        state.settling = None
        unheard = {
            signer
            for signer in {signer for _, signer in state.waiting}
            if not self._hearing.hears(peer, signer)
        }
        mine = []
        for key in state.waiting if unheard else ():
            seen = self._votes.get(key)
            if key[1] in unheard and seen is not None and peer not in seen.holders:
                mine.append(seen)
        state.waiting.clear()
        self._pass_on(peer, mine)

    def _pass_on(self, peer: PeerId, votes: Sequence[_Seen]) -> None:
        for seen in votes:
            seen.holders.add(peer)
        for message in _votes_messages([seen.data for seen in votes]):
            self._network.send(peer, message)

    def _note_vote(self, vote: Vote) -> _Seen:
        key = (vote.ballot, vote.signer)
        seen = self._votes.get(key)
        if seen is None:
            seen = self._votes[key] = _Seen(encode_vote(vote))
            if len(self._votes) > VOTES_REMEMBERED_MAX:
                self._votes.popitem(last=False)
        return seen

    def is_news(self, vote: Vote) -> bool:
        """Whether a vote was not verified yet, as far as is remembered."""
        return (vote.ballot, vote.signer) not in self._votes

    def votes_received(self, peer: PeerId, message: Votes) -> list[Vote]:
        """What is worth verifying: well-formed and not verified before."""
        if not self.within(peer, "votes", len(message.votes)):
            return []
        fresh: dict[tuple[Ballot, Address], Vote] = {}
        for data in message.votes:
            try:
                vote = decode_vote(data)
            except Rejected as rejected:
                self._network.blame(peer, Offence.MALFORMED, f"a vote: {rejected}")
                return []
            key = (vote.ballot, vote.signer)
            seen = self._votes.get(key)
            if seen is None:
                fresh[key] = vote
                continue
            seen.holders.add(peer)
        return list(fresh.values())

    # -- certificates ------------------------------------------------------------------------------

    def send_certificate(self, certificate: Certificate) -> None:
        """A verified certificate, to every peer that is not known to have it; once."""
        ballot = certificate.ballot
        if ballot in self._held:
            return
        held = self._held[ballot] = _Held(certificate)
        while len(self._held) > CERTIFICATES_REMEMBERED_MAX:
            self._held.popitem(last=False)[1].settle()
        if ballot.kind is VoteKind.FINALIZE:
            self._last_final = max(self._last_final, (ballot.epoch, ballot.view))
        lacking, hearing = self._lacking(held)
        if len(lacking) + len(hearing) <= CERTIFICATE_PEERS_AT_ONCE:
            first = [*lacking, *hearing]
        else:
            first = lacking[:CERTIFICATE_PEERS_AT_ONCE]
            first += hearing[:CERTIFICATE_HEARERS_AT_ONCE]
        for peer in first:
            self._give(peer, (held,))
        if len(first) == len(lacking) + len(hearing):
            held.settle()
        else:
            loop = asyncio.get_running_loop()
            held.timer = loop.call_later(CERTIFICATE_DELAY_S, self._send_to_lacking, held)

    def _lacking(self, held: _Held) -> tuple[list[PeerId], list[PeerId]]:
        """Peers not known to have a certificate: those that lack votes in it, and those that
        get them all. Others come first each time.
        """
        holders = _remember(self._holders, held.ballot, CERTIFICATES_REMEMBERED_MAX)
        peers = [peer.id for peer in self._network.peers()]
        self._turn = (self._turn + CERTIFICATE_PEERS_AT_ONCE) % (len(peers) or 1)
        lacking: list[PeerId] = []
        hearing: list[PeerId] = []
        for peer in (*peers[self._turn :], *peers[: self._turn]):
            if peer not in holders:
                (hearing if self._hears_all(peer, held) else lacking).append(peer)
        return lacking, hearing

    def _hears_all(self, peer: PeerId, held: _Held) -> bool:
        return not held.signers & ~self._hearing.heard(peer, held.ballot.epoch)

    def _needless(self, peer: PeerId, ballot: Ballot) -> bool:
        """Who is in a later view needs no certificate that leads out of this one, and a later
        finalization says all that an earlier one does.
        """
        at = (ballot.epoch, ballot.view)
        if ballot.kind is VoteKind.FINALIZE:
            return at < self._last_final
        return self._hearing.reached(peer) > at

    def _send_to_lacking(self, held: _Held) -> None:
        for peer in self._lacking(held)[0]:
            if not self._needless(peer, held.ballot):
                self._give(peer, (held,))
        wait = CERTIFICATE_PATIENCE_S - CERTIFICATE_DELAY_S
        held.timer = asyncio.get_running_loop().call_later(wait, self._send_to_rest, held)

    def _send_to_rest(self, held: _Held) -> None:
        for peers in self._lacking(held):
            for peer in peers:
                if not self._needless(peer, held.ballot):
                    self._give(peer, (held,))
        held.settle()

    def flush_certificates(self, epoch: int, before_view: int) -> None:
        """Give every peer now what it would get later: a proposal stands on it."""
        waiting = [
            held
            for held in self._held.values()
            if held.timer is not None
            and (held.ballot.epoch, held.ballot.view) < (epoch, before_view)
        ]
        for peer in self._network.peers():
            self._give(
                peer.id, [held for held in waiting if not self._needless(peer.id, held.ballot)]
            )
        for held in waiting:
            held.settle()

    def _give(self, peer: PeerId, certificates: Sequence[_Held]) -> None:
        """Send what the peer is not known to have."""
        lacking = [held for held in certificates if peer not in self._holders.get(held.ballot, ())]
        for message in _certificate_messages(0, [held.data for held in lacking]):
            if not self._network.send(peer, message):
                return
        for held in lacking:
            _remember(self._holders, held.ballot, CERTIFICATES_REMEMBERED_MAX).add(peer)

    def give_certificates(
        self, peer: PeerId, certificates: Sequence[Certificate], request: int
    ) -> None:
        """Certificates for one peer that asked (`request`), or that connects (0)."""
        data = [encode_certificate(certificate) for certificate in certificates]
        messages = _certificate_messages(request, data)
        if request:
            self._network.send(peer, next(messages, Certificates(request, ())))
            return
        for message in messages:
            if not self._network.send(peer, message):
                return
        for certificate in certificates:
            _remember(self._holders, certificate.ballot, CERTIFICATES_REMEMBERED_MAX).add(peer)

    def certificates_received(self, peer: PeerId, message: Certificates) -> list[Certificate]:
        """What is worth verifying: well-formed and, unless asked for, not verified before."""
        if not message.request and not self.within(peer, "certificates", len(message.certificates)):
            return []
        fresh: dict[Ballot, Certificate] = {}
        for data in message.certificates:
            try:
                ballot = certificate_ballot(data)
                if message.request or ballot not in self._held:
                    fresh[ballot] = decode_certificate(data)
            except Rejected as rejected:
                self._network.blame(peer, Offence.MALFORMED, f"a certificate: {rejected}")
                return []
            _remember(self._holders, ballot, CERTIFICATES_REMEMBERED_MAX).add(peer)
        return list(fresh.values())

    # -- R8 ----------------------------------------------------------------------------------------

    def resend(self, certificates: Sequence[Certificate], votes: Sequence[Vote]) -> None:
        """Certificates first, then votes, known or not, to some peers: others each time."""
        data: list[bytes] = []
        room = RESEND_BYTES_MAX
        for certificate in certificates:
            encoded = encode_certificate(certificate)
            if len(encoded) <= room:
                room -= len(encoded)
                data.append(encoded)
        messages: list[Certificates | Votes] = [
            *_certificate_messages(0, data),
            *_votes_messages([encode_vote(vote) for vote in votes[:VOTES_PER_MESSAGE_MAX]]),
        ]
        peers = self._network.peers()
        if not peers:
            return
        start = self._turn % len(peers)
        self._turn = start + RESEND_PEERS_MAX
        for peer in [*peers[start:], *peers[:start]][:RESEND_PEERS_MAX]:
            for message in messages:
                self._network.send(peer.id, message)

    # -- evidence ----------------------------------------------------------------------------------

    def accuse(self, first: Vote, second: Vote) -> None:
        """Verified evidence, to every peer; of one offence once, whatever the votes."""
        evidence = evidence_of(first, second)  # in the order that everybody demands
        if not self._note_offence(evidence.first):
            return
        message = Evidence(encode_vote(evidence.first), encode_vote(evidence.second))
        for peer in self._network.peers():
            self._network.send(peer.id, message)

    def evidence_received(self, peer: PeerId, message: Evidence) -> tuple[Vote, Vote] | None:
        """Evidence that is worth verifying: well-formed, of an offence that is news."""
        if not self.within(peer, "evidence", 1):
            return None
        try:
            first, second = decode_vote(message.first), decode_vote(message.second)
        except Rejected as rejected:
            self._network.blame(peer, Offence.MALFORMED, f"evidence: {rejected}")
            return None
        return None if _offence(first) in self._offences else (first, second)

    def _note_offence(self, vote: Vote) -> bool:
        key = _offence(vote)
        if key in self._offences:
            return False
        self._offences[key] = None
        if len(self._offences) > OFFENCES_REMEMBERED_MAX:
            self._offences.popitem(last=False)
        return True

    # -- limits ------------------------------------------------------------------------------------

    def within(self, peer: PeerId, what: str, count: int) -> bool:
        """Whether the peer keeps to its rate; otherwise it is dropped, and blamed now and then."""
        state = self._peers.get(peer)
        if state is None:
            return False
        bucket: Bucket = getattr(state, what)
        now = self._now()
        if bucket.take(count, now):
            return True
        bucket.charge(count, now)
        if bucket.overdrawn(now, COMPLAINT_PAUSE_S):
            self._network.blame(peer, Offence.FLOOD, f"{what} without end")
        return False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _remember(table: OrderedDict[Key, set[PeerId]], key: Key, entries_max: int) -> set[PeerId]:
    """The set under a key, made if it is not there; the oldest of too many goes."""
    found = table.setdefault(key, set())
    if len(table) > entries_max:
        table.popitem(last=False)
    return found


def _votes_messages(data: Sequence[bytes]) -> Iterator[Votes]:
    for start in range(0, len(data), VOTES_PER_MESSAGE_MAX):
        yield Votes(tuple(data[start : start + VOTES_PER_MESSAGE_MAX]))


def _certificate_messages(request: int, data: Sequence[bytes]) -> Iterator[Certificates]:
    for start in range(0, len(data), CERTIFICATES_PER_MESSAGE_MAX):
        yield Certificates(request, tuple(data[start : start + CERTIFICATES_PER_MESSAGE_MAX]))


def _offence(vote: Vote) -> tuple[Address, int, int]:
    """Who, and in which epoch and view."""
    return vote.signer, vote.ballot.epoch, vote.ballot.view
