"""Transactions of peers on their way into the pool: checked in line, and judged.

Every check costs the time of a signature. Who sends what no honest node passes on is
blamed and its line dropped; who sends what the pool refuses is checked less and less.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from chain.errors import Reason, Rejected
from chain.types import Hash
from node.gossip.buckets import Bucket
from node.gossip.compact import PREFIX_BYTES
from node.gossip.errands import Errands
from node.gossip.index import Pool
from node.net.bans import BAN_POINTS
from node.net.network import Network, Offence, PeerId

BACKLOG_BYTES_MAX: Final = 8 * 2**20  # of one peer's transactions that wait to be checked
REFUSALS: Final = (2048, 256)  # of one peer's transactions that are checked: the CPU they cost
DOUBTFUL: Final = (1024, 32)  # of those, the ones that an honest peer rarely has
STALE_COST: Final = 0.125  # of a refusal that honest peers cause when blocks overtake them
CHECKED_FIRST: Final = 64  # transactions of a new peer that are checked at a time
CHECKED_NEXT: Final = 1024  # after as many good ones
COMPLAINT_PAUSE_S: Final = 5.0

SEEN_MAX: Final = 65_536
SEEN_S: Final = 60.0  # what was pooled, included or is plainly wrong is not fetched again for
REFUSED_S: Final = 5.0  # the same for what may be welcome later

# What no honest node passes on, whatever the state and the settings.
_OFFENSIVE: Final = frozenset(
    {
        Reason.BAD_RLP,
        Reason.BAD_TRANSACTION,
        Reason.WRONG_CHAIN_ID,
        Reason.BAD_SIGNATURE,
        Reason.NONCE_OVERFLOW,
        Reason.FEE_OVERFLOW,
        Reason.TIP_ABOVE_FEE_CAP,
        Reason.NO_BLOBS,
        Reason.BAD_BLOB_HASH,
        Reason.BAD_BLOB_PROOF,
        Reason.BLOB_CREATES_CONTRACT,
        Reason.NO_AUTHORIZATIONS,
        Reason.AUTHORIZATION_CREATES_CONTRACT,
        Reason.SENDER_NOT_ALLOWED,
    }
)
_STALE: Final = frozenset({Reason.NONCE_TOO_LOW, Reason.REPLACEMENT_UNDERPRICED})
# What pools of other settings, or of another fill, pass on in good faith.
_BLAMELESS: Final = _STALE | {
    Reason.POOL_FULL,
    Reason.SENDER_LIMIT,
    Reason.TOO_LARGE,
    Reason.UNDERPRICED,
}

Outcome = Hash | Rejected
Submit = Callable[[Sequence[bytes], PeerId], Awaitable[Sequence[Outcome]]]


class Seen:
    """Transactions that need not be had again for a while. Sans-IO."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._until: OrderedDict[Hash, float] = OrderedDict()

    def has(self, transaction_hash: Hash, now: float) -> bool:
        """Whether it is pooled, or was here a short while ago."""
        if transaction_hash in self._pool:
            return True
        until = self._until.get(transaction_hash)
        return until is not None and now < until

    def note(self, transaction_hash: Hash, until: float) -> None:
        self._until[transaction_hash] = max(until, self._until.get(transaction_hash, until))
        self._until.move_to_end(transaction_hash)
        if len(self._until) > SEEN_MAX:
            self._until.popitem(last=False)

    def forget(self, transaction_hash: Hash) -> None:
        """It may be had again."""
        self._until.pop(transaction_hash, None)


class _Line:
    """What one peer sent and nobody looked at yet, and how its transactions fared so far."""

    __slots__ = ("checked", "doubtful", "good", "refusals", "running", "size", "waiting")

    def __init__(self, now: float) -> None:
        self.waiting: dict[Hash, bytes] = {}
        self.checked: dict[Hash, bytes] = {}  # the batch under way
        self.size = 0  # bytes
        self.running = False
        self.good = 0
        self.refusals = Bucket(*REFUSALS, now)
        self.doubtful = Bucket(*DOUBTFUL, now)

    def clear(self) -> None:
        self.waiting.clear()
        self.size = 0


class Checking:
    """One line per peer. Of the event loop's thread only."""

    def __init__(
        self,
        network: Network,
        submit: Submit,
        errands: Errands,
        seen: Seen,
        begun: Callable[[Hash], None],
    ) -> None:
        """`begun` hears of each transaction that is about to be checked."""
        self._network = network
        self._submit = submit
        self._errands = errands
        self._seen = seen
        self._begun = begun
        self._lines: dict[PeerId, _Line] = {}

    def arriving(self, prefixes: Collection[bytes]) -> list[tuple[Hash, bytes]]:
        """What is here and not pooled yet, in its network form, by the prefix of its hash.

        Looks through everything: for the rare block that overtakes its transactions.
        """
        return [
            (transaction_hash, raw)
            for line in self._lines.values()
            for known in (line.checked, line.waiting)
            for transaction_hash, raw in known.items()
            if transaction_hash[:PREFIX_BYTES] in prefixes
        ]

    def connected(self, peer: PeerId) -> None:
        self._lines[peer] = _Line(self._now())

    def disconnected(self, peer: PeerId) -> None:
        self._lines.pop(peer, None)

    def take(self, peer: PeerId, named: dict[Hash, bytes]) -> None:
        """Put transactions in line; the peer's other messages don't wait for them."""
        line = self._lines.get(peer)
        if line is None:
            return
        for transaction_hash, raw in named.items():
            if line.size + len(raw) > BACKLOG_BYTES_MAX:
                break
            if transaction_hash not in line.waiting:
                line.waiting[transaction_hash] = raw
                line.size += len(raw)
        if line.waiting and not line.running:
            line.running = self._errands.start(self._run(peer, line))

    async def _run(self, peer: PeerId, line: _Line) -> None:
        """Check and pool; few at a time while the peer has not shown that it is worth it."""
        try:
            while line.waiting and self._lines.get(peer) is line:
                batch = self._next(line)
                if not batch:
                    continue
                line.checked = batch
                outcomes = await self._submit(list(batch.values()), peer)
                line.checked = {}
                if not self._judge(peer, line, list(batch), outcomes):
                    line.clear()
        finally:
            line.running = False

    def _next(self, line: _Line) -> dict[Hash, bytes]:
        """What is next and still unknown, as much as the peer may have checked now."""
        now = self._now()
        if line.refusals.level(now) <= 0:
            line.clear()
        limit = CHECKED_NEXT if line.good >= CHECKED_NEXT else CHECKED_FIRST
        batch: dict[Hash, bytes] = {}
        while line.waiting and len(batch) < limit:
            transaction_hash = next(iter(line.waiting))
            raw = line.waiting.pop(transaction_hash)
            line.size -= len(raw)
            if not self._seen.has(transaction_hash, now):
                # Nobody else's copy is checked meanwhile.
                self._seen.note(transaction_hash, now + REFUSED_S)
                self._begun(transaction_hash)
                batch[transaction_hash] = raw
        return batch

    def _judge(
        self, peer: PeerId, line: _Line, hashes: Sequence[Hash], outcomes: Sequence[Outcome]
    ) -> bool:
        """Count what was refused; False when the rest of what the peer sent is worth nothing."""
        now = self._now()
        points = 0
        for transaction_hash, outcome in zip(hashes, outcomes, strict=True):
            if not isinstance(outcome, Rejected):
                line.good += 1
                continue
            reason = outcome.reason
            if reason is Reason.ALREADY_KNOWN:
                continue
            line.refusals.charge(STALE_COST if reason in _STALE else 1, now)
            if reason in _OFFENSIVE:
                self._note_offensive(transaction_hash, reason, now)
                self._network.blame(peer, Offence.BAD_TRANSACTION, str(outcome)[:128])
                points += Offence.BAD_TRANSACTION.points
                if points > BAN_POINTS:  # not at exactly so many: points fade from the first on
                    return False
            elif reason not in _BLAMELESS:
                line.doubtful.charge(1, now)
        if line.doubtful.overdrawn(now, COMPLAINT_PAUSE_S):
            self._network.blame(peer, Offence.FLOOD, "transactions that can't be pooled")
        return points == 0

    def _note_offensive(self, transaction_hash: Hash, reason: Reason, now: float) -> None:
        if reason is Reason.BAD_BLOB_PROOF:
            # The hash does not cover the blobs: somebody else may have the right ones.
            self._seen.forget(transaction_hash)
        else:
            self._seen.note(transaction_hash, now + SEEN_S)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
