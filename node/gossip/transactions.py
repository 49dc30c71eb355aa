"""Pooled transactions on their way to every node.

Where a transaction enters the network, a small one is pushed in full to a few peers, or to
all when they are few. Everybody else announces hashes, in batches, to peers that are not
known to have them, and fetches in batches what it does not have. What one peer can make
this node do - signatures checked for nothing, bytes, entries in tables - is bounded, and
what only a faulty peer sends is counted against it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from math import isqrt
from random import Random
from typing import Final

from chain import codec
from chain.crypto.keccak import keccak_many
from chain.errors import Rejected
from chain.transactions import Checked, Kind, encode_network_transaction
from chain.types import Address, Hash
from node.gossip.buckets import Bucket
from node.gossip.checking import COMPLAINT_PAUSE_S, SEEN_S, Checking, Seen, Submit
from node.gossip.errands import Errands
from node.gossip.fetching import Wanted
from node.gossip.index import Pool, PoolIndex
from node.gossip.requests import Requests
from node.net.messages import GetTransactions, TransactionHashes, Transactions
from node.net.network import Network, Offence, Peer, PeerId

PUSH_BYTES_MAX: Final = 1024  # of a transaction that may be sent without being asked for
PUSH_PEERS_ALL: Final = 8  # up to so many peers, all are pushed to; of more, the square root
PUSH_DELAY_S: Final = 0.002
ANNOUNCE_PEERS: Final = 8  # that are told at once; the others only of what is pooled much later
ANNOUNCE_DELAY_S: Final = 0.008
LATER_S: Final = 1.0
LATER_STEP_S: Final = 0.1
PUSHERS_MAX: Final = 16_384
LATER_MAX: Final = 65_536  # transactions of which some peers are told later
ANNOUNCE_BATCH_MAX: Final = 1024
RETRY_DELAY_S: Final = 0.1  # after a peer's queue was full
PENDING_PER_PEER_MAX: Final = 16_384  # hashes that wait to be announced to one peer
KNOWN_PER_PEER_MAX: Final = 32_768
SETTLED_S: Final = 0.1  # a peer is thought to have what it was told of so long ago
PUSH_SETTLED_S: Final = 0.03  # and what it was sent: it has to check it

FETCH_TIMEOUT_S: Final = 2.0
FETCHES_PER_PEER_MAX: Final = 2
FETCH_BATCH_MAX: Final = 256
FETCH_BYTES_MAX: Final = 2 * 2**20
ANSWER_BYTES_MAX: Final = 4 * 2**20
SERVED_BYTES: Final = (32 * 2**20, 8 * 2**20)  # to one peer: at once, and per second

PUSHED_BYTES: Final = (8 * 2**20, 2 * 2**20)  # by one peer, accepted: at once, and per second
UNSERVED: Final = (1024, 64)  # transactions that it announced and then did not have
ANNOUNCED: Final = (65_536, 8_192)  # hashes by one peer


class _PeerState:
    """What is remembered of one peer."""

    __slots__ = (
        "announced",
        "known",
        "limit",
        "pending",
        "pushed",
        "served",
        "timer",
        "unserved",
    )

    def __init__(self, now: float) -> None:
        # Hash -> from when on the peer is thought to have it, and not only to have heard of it.
        self.known: OrderedDict[Hash, float] = OrderedDict()
        self.pending: dict[Hash, bool] = {}  # to be told of; True: in full
        self.timer: asyncio.TimerHandle | None = None
        self.pushed = Bucket(*PUSHED_BYTES, now)
        self.limit = Bucket(PUSHED_BYTES[0] / 2, PUSHED_BYTES[1] / 2, now)  # of my pushes
        self.served = Bucket(*SERVED_BYTES, now)
        self.announced = Bucket(*ANNOUNCED, now)
        self.unserved = Bucket(*UNSERVED, now)

    def learn(self, transaction_hash: Hash, settled: float = 0.0) -> None:
        """The peer knows of it; `settled`: when it will have it (0: it showed that it does)."""
        known = self.known
        known[transaction_hash] = min(settled, known.get(transaction_hash, settled))
        known.move_to_end(transaction_hash)
        if len(known) > KNOWN_PER_PEER_MAX:
            known.popitem(last=False)


class TransactionGossip:
    """Of the event loop's thread only."""

    def __init__(
        self,
        network: Network,
        requests: Requests,
        pool: Pool,
        submit: Submit,
        synced: Callable[[], bool],
        errands: Errands,
        *,
        linked: Callable[[PeerId, PeerId], bool],
        builders: Callable[[], Collection[bytes]],
        random: Random,
    ) -> None:
        """`submit` checks and pools transactions in their network form, signatures together,
        and gives one outcome for each. While not `synced`, what peers send is left alone:
        it can't be judged by the state of long ago.

        `linked` says which peers are known to have a link to each other, `builders` which
        validators build next, `random` whom of many to tell.
        """
        self._network = network
        self._requests = requests
        self._pool = pool
        self._synced = synced
        self._errands = errands
        self._index = PoolIndex(pool)
        self._linked = linked
        self._builders = builders
        self._random = random
        self._peers: dict[PeerId, _PeerState] = {}
        # What only some peers were told of, and when the others are; in that order.
        self._later: OrderedDict[Hash, float] = OrderedDict()
        self._later_timer: asyncio.TimerHandle | None = None
        self._pushers: OrderedDict[Hash, PeerId] = OrderedDict()  # of what is being checked
        self._wanted = Wanted()
        self._seen = Seen(pool)
        self._checking = Checking(network, submit, errands, self._seen, self._wanted.drop)

    # -- peers -------------------------------------------------------------------------------------

    def connected(self, peer: Peer) -> None:
        """Tell a new peer what is pooled and can run."""
        state = self._peers[peer.id] = _PeerState(self._now())
        self._checking.connected(peer.id)
        for checked in islice(self._pool.everything(), PENDING_PER_PEER_MAX):
            if self._pool.can_run(checked.transaction.hash):
                state.pending[checked.transaction.hash] = False
        if state.pending:
            self._arm(peer.id, state, ANNOUNCE_DELAY_S)

    def disconnected(self, peer: PeerId) -> None:
        self._checking.disconnected(peer)
        state = self._peers.pop(peer, None)
        if state is not None and state.timer is not None:
            state.timer.cancel()
        for other in self._wanted.forget(peer):
            self._fetch(other)

    # -- out ---------------------------------------------------------------------------------------

    def pooled(self, batch: Sequence[Checked], runnable: Sequence[Checked], *, local: bool) -> None:
        """Transactions are in the pool now, and some can run since then: those are passed on.

        `local`: they entered the network here. Of many peers, a few of each batch are told at
        once, others each time: they tell others.
        """
        now = self._now()
        for checked in batch:
            self._index.add(checked.transaction.hash)
            self._seen.note(checked.transaction.hash, now + SEEN_S)
        told = self._told_at_once()
        late: dict[Hash, None] = {}
        for checked in runnable:
            transaction = checked.transaction
            transaction_hash = transaction.hash
            push: Sequence[PeerId] = ()
            if local and transaction.kind != Kind.BLOB and len(transaction.raw) <= PUSH_BYTES_MAX:
                push = self._push_targets(transaction_hash)
            pusher = self._pushers.pop(transaction_hash, None)
            for peer, state in self._peers.items():
                if transaction_hash in state.known:
                    continue
                if peer in push:
                    state.pending[transaction_hash] = True
                elif peer in told and not (pusher and self._linked(peer, pusher)):
                    self._announce(state, transaction_hash)
                else:
                    late[transaction_hash] = None
        self._tell_later(late, now + LATER_S)
        for peer, state in self._peers.items():
            if state.pending:
                hurry = local or len(state.pending) >= ANNOUNCE_BATCH_MAX
                self._arm(peer, state, PUSH_DELAY_S if hurry else ANNOUNCE_DELAY_S)

    def _announce(self, state: _PeerState, transaction_hash: Hash) -> None:
        if len(state.pending) < PENDING_PER_PEER_MAX:
            state.pending.setdefault(transaction_hash, False)

    def _told_at_once(self) -> Collection[PeerId]:
        peers = list(self._peers)
        if len(peers) <= ANNOUNCE_PEERS:
            return peers
        start = self._random.randrange(len(peers))
        return {
            *peers[start : start + ANNOUNCE_PEERS],
            *peers[: max(0, start + ANNOUNCE_PEERS - len(peers))],
        }

    def _tell_later(self, hashes: Iterable[Hash], due: float) -> None:
        """Those peers that should have had it from others by then, and did not show it."""
        for transaction_hash in hashes:
            self._later[transaction_hash] = due
        while len(self._later) > LATER_MAX:
            self._later.popitem(last=False)
        if self._later and self._later_timer is None:
            # One look for all that came meanwhile.
            when = max(next(iter(self._later.values())), self._now() + LATER_STEP_S)
            self._later_timer = asyncio.get_running_loop().call_at(when, self._tell_late)

    def _tell_late(self) -> None:
        self._later_timer = None
        now = self._now()
        while self._later and next(iter(self._later.values())) <= now:
            transaction_hash, _ = self._later.popitem(last=False)
            if transaction_hash not in self._pool:
                continue
            for peer, state in self._peers.items():
                if transaction_hash not in state.known:
                    self._announce(state, transaction_hash)
                    self._arm(peer, state, ANNOUNCE_DELAY_S)
        self._tell_later((), now)

    def included(self, hashes: Iterable[Hash]) -> None:
        """These are in a block: nobody needs to send them any more."""
        until = self._now() + SEEN_S
        for transaction_hash in hashes:
            self._seen.note(transaction_hash, until)
            self._wanted.drop(transaction_hash)

    def _push_targets(self, transaction_hash: Hash) -> Sequence[PeerId]:
        """Who builds the next blocks first, then validators; which of them, the hash decides."""
        peers = self._network.peers()
        if len(peers) <= PUSH_PEERS_ALL:
            return [peer.id for peer in peers]
        start = int.from_bytes(transaction_hash[-4:], "big") % len(peers)
        turned = [*peers[start:], *peers[:start]]
        builders = self._builders()
        turned.sort(key=lambda peer: (peer.validator not in builders, not peer.validator))
        return [peer.id for peer in turned[: max(PUSH_PEERS_ALL, isqrt(len(peers)))]]

    def _arm(self, peer: PeerId, state: _PeerState, delay: float) -> None:
        """Let `_flush` run in `delay` seconds, or earlier if it was to."""
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if state.timer is not None:
            if state.timer.when() <= when:
                return
            state.timer.cancel()
        state.timer = loop.call_at(when, self._flush, peer, state)

    def _flush(self, peer: PeerId, state: _PeerState) -> None:
        """Tell a peer what waits for it; what its queue does not take waits on."""
        state.timer = None
        now = self._now()
        push: list[tuple[Hash, bytes]] = []
        announce: list[tuple[Hash, int]] = []
        for transaction_hash, full in list(state.pending.items()):
            if len(announce) == ANNOUNCE_BATCH_MAX or len(push) == ANNOUNCE_BATCH_MAX:
                break
            del state.pending[transaction_hash]
            checked = self._pool.get(transaction_hash)
            if checked is None or transaction_hash in state.known:
                continue
            size = len(checked.transaction.raw)
            if full and state.limit.take(size, now):
                push.append((transaction_hash, checked.transaction.raw))
            else:
                announce.append((transaction_hash, self._network_size(checked)))
        sent = True
        if push:
            sent = self._network.send(peer, Transactions(0, tuple(raw for _, raw in push)))
            for transaction_hash, _ in push:
                if sent:
                    state.learn(transaction_hash, now + PUSH_SETTLED_S)
                else:
                    state.pending[transaction_hash] = False
        if announce:
            message = TransactionHashes(
                tuple(each for each, _ in announce), tuple(size for _, size in announce)
            )
            told = sent and self._network.send(peer, message)
            for transaction_hash, _ in announce:
                if told:
                    state.learn(transaction_hash, now + SETTLED_S)
                else:
                    state.pending[transaction_hash] = False
            sent = told
        if state.pending:
            self._arm(peer, state, ANNOUNCE_DELAY_S if sent else RETRY_DELAY_S)

    def _network_size(self, checked: Checked) -> int:
        sidecar = self._pool.sidecar(checked.transaction.hash)
        if sidecar is None:
            return len(checked.transaction.raw)
        return len(encode_network_transaction(checked.transaction, sidecar))

    def asked(self, peer: PeerId, message: GetTransactions) -> None:
        """Answer with those that are pooled, as far as the limits go."""
        state = self._peers.get(peer)
        if state is None:
            return
        now = self._now()
        found: list[bytes] = []
        room = ANSWER_BYTES_MAX
        for transaction_hash in map(Hash, message.hashes):
            checked = self._pool.get(transaction_hash)
            if checked is None:
                continue
            sidecar = self._pool.sidecar(transaction_hash)
            if sidecar is None:
                raw = checked.transaction.raw
            else:
                raw = encode_network_transaction(checked.transaction, sidecar)
            if len(raw) > room or not state.served.take(len(raw), now):
                break
            room -= len(raw)
            found.append(raw)
            state.learn(transaction_hash, now + PUSH_SETTLED_S)
        if state.served.overdrawn(now, COMPLAINT_PAUSE_S):
            self._network.blame(peer, Offence.FLOOD, "fetches transactions without end")
        self._network.send(peer, Transactions(message.request, tuple(found)))

    # -- what peers have ---------------------------------------------------------------------------

    def has(self, peer: PeerId, transaction_hash: Hash) -> bool:
        """Whether the peer is thought to have the transaction itself."""
        state = self._peers.get(peer)
        settled = None if state is None else state.known.get(transaction_hash)
        return settled is not None and settled <= self._now()

    def find(self, prefix: bytes) -> Sequence[Checked]:
        """Pooled transactions by the prefix of their hash."""
        return self._index.find(prefix)

    def arriving(self, prefixes: Collection[bytes]) -> Sequence[tuple[Hash, bytes]]:
        """What is here and being checked, by the prefix of its hash, in its network form."""
        return self._checking.arriving(prefixes)

    def sender(self, transaction_hash: Hash) -> Address | None:
        """Who signed a transaction, if it is pooled."""
        checked = self._pool.get(transaction_hash)
        return None if checked is None else checked.sender

    # -- in: announcements -------------------------------------------------------------------------

    def announced(self, peer: PeerId, message: TransactionHashes) -> None:
        """A peer has these: fetch what is unknown here."""
        state = self._peers.get(peer)
        if state is None:
            return
        if len(message.hashes) != len(message.sizes):
            self._network.blame(peer, Offence.MALFORMED, "not one size per hash")
            return
        now = self._now()
        if not state.announced.take(len(message.hashes), now):
            state.announced.charge(len(message.hashes), now)
            if state.announced.overdrawn(now, COMPLAINT_PAUSE_S):
                self._network.blame(peer, Offence.FLOOD, "announces transactions without end")
            return
        synced = self._synced()
        for transaction_hash, size in zip(map(Hash, message.hashes), message.sizes, strict=True):
            state.learn(transaction_hash)
            state.pending.pop(transaction_hash, None)
            if synced and not self._seen.has(transaction_hash, now):
                self._wanted.add(transaction_hash, size, peer)
        self._fetch(peer)

    def _fetch(self, peer: PeerId) -> None:
        """Ask for what this peer announced, as far as the limits go."""
        while self._peers.get(peer) is not None and self._synced():
            if self._wanted.fetches(peer) >= FETCHES_PER_PEER_MAX:
                return
            hashes = self._wanted.take(peer, FETCH_BATCH_MAX, FETCH_BYTES_MAX)
            if not hashes:
                return
            if not self._errands.start(self._fetched(peer, hashes)):
                self._wanted.give_up(peer, hashes)
                return

    async def _fetched(self, peer: PeerId, hashes: tuple[Hash, ...]) -> None:
        answer = await self._requests.ask(
            peer, lambda request: GetTransactions(request, hashes), timeout=FETCH_TIMEOUT_S
        )
        raws: Sequence[bytes] = answer.transactions if isinstance(answer, Transactions) else ()
        named = dict(zip(self._hashes_of(peer, raws), raws, strict=True))
        asked = set(hashes)
        if any(found not in asked for found in named):
            self._network.blame(peer, Offence.UNASKED, "another transaction than asked for")
        delivered = {found: raw for found, raw in named.items() if found in asked}
        for others in self._wanted.done(peer, hashes, delivered.keys()):
            self._fetch(others)
        state = self._peers.get(peer)
        if state is not None and answer is not None and len(delivered) < len(hashes):
            now = self._now()
            state.unserved.charge(len(hashes) - len(delivered), now)
            if state.unserved.overdrawn(now, COMPLAINT_PAUSE_S):
                self._network.blame(peer, Offence.EMPTY_ANSWER, "announced, and not delivered")
        self._checking.take(peer, delivered)
        self._fetch(peer)

    # -- in: transactions --------------------------------------------------------------------------

    def pushed(self, peer: PeerId, message: Transactions) -> None:
        """Transactions that nobody asked for: small ones only, at a bounded rate."""
        state = self._peers.get(peer)
        if state is None or not self._synced():
            return
        raws = message.transactions
        if any(len(raw) > PUSH_BYTES_MAX or raw[:1] == bytes((Kind.BLOB,)) for raw in raws):
            self._network.blame(peer, Offence.FLOOD, "pushed what must be announced")
            return
        now = self._now()
        size = sum(map(len, raws))
        if not state.pushed.take(size, now):
            state.pushed.charge(size, now)
            if state.pushed.overdrawn(now, COMPLAINT_PAUSE_S):
                self._network.blame(peer, Offence.FLOOD, "pushes transactions without end")
            return
        named = dict(zip(self._hashes_of(peer, raws), raws, strict=True))
        for transaction_hash in named:
            self._pushers.setdefault(transaction_hash, peer)
        while len(self._pushers) > PUSHERS_MAX:
            self._pushers.popitem(last=False)
        self._checking.take(peer, named)

    def _hashes_of(self, peer: PeerId, raws: Sequence[bytes]) -> Sequence[Hash]:
        """The hash of each transaction in its network form; the peer has them."""
        envelopes = [_envelope(raw) for raw in raws]
        hashes = keccak_many(envelopes)
        state = self._peers.get(peer)
        if state is not None:
            for transaction_hash in hashes:
                state.learn(transaction_hash)
                state.pending.pop(transaction_hash, None)
        return hashes

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _envelope(raw: bytes) -> bytes:
    """What the hash is taken of: a blob transaction's without its blobs.

    What is no transaction at all is its own envelope: its hash is nobody's.
    """
    if raw[:1] != bytes((Kind.BLOB,)):
        return raw
    try:
        start, _, is_list = codec.item_bounds(raw, 1)
        _, end, wrapped = codec.item_bounds(raw, start)
    except Rejected:
        return raw
    return raw[:1] + raw[start:end] if is_list and wrapped else raw
