"""Who is asked for what while a node is behind. No clock, no network: `now` comes in.

Peers claim heights. A claim is proved by the header at that height; where the epoch's
validators are not known yet, it is believed just enough to be asked. Headers are proved
upwards from the ledger's head, as far as validators are known; bodies follow in ranges from
several peers at once, within a window of bytes, and leave in order of height.
"""

from collections.abc import Iterable
from typing import Final

from chain.blocks import Block
from chain.types import Hash
from node.net.network import PeerId
from node.sync.asks import LIMITS, Ask, Body, Fork, Kind, Limits, headers_to_prove
from node.sync.headers import Proved
from node.sync.progress import Progress
from node.sync.ranges import Ranges

_HEIGHTS_AT_FIRST: Final = 32  # bodies asked of a peer whose speed is not known
_QUICK: Final = 0.5  # seconds; who answers faster is asked for more at a time
_BLOCK_BYTES_AT_FIRST: Final = 4096


class _Peer:
    __slots__ = ("failures", "flights", "hash", "height", "heights", "provable", "proved", "rate",
                 "rests_until")  # fmt: skip

    def __init__(self) -> None:
        self.height = 0  # claimed
        self.hash = Hash(b"")
        self.provable = True
        self.proved = 0  # the highest height that it has proved to have
        self.flights = 0
        self.failures = 0  # in a row
        self.rests_until = 0.0
        self.heights = _HEIGHTS_AT_FIRST  # bodies to ask for at a time
        self.rate = 0.0  # bytes a second


class Plan:
    """The state of catching up. `height` and `block_hash` are the ledger's head."""

    def __init__(self, height: int, block_hash: Hash, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._height = height
        self._hash = block_hash
        self._horizon: int | None = None  # the last height whose validators are known
        self._peers: dict[PeerId, _Peer] = {}
        self._headers: dict[int, Proved] = {}  # from the head's child on, without gaps
        self._bodies: dict[int, Body] = {}
        self._body_bytes = 0
        self._asks: dict[int, Ask] = {}
        self._asked = 0
        self._ranges = Ranges()
        self._repeated: set[int] = set()  # numbers of asks that another peer was given too
        self._block_bytes = float(_BLOCK_BYTES_AT_FIRST)  # the average of late
        self._behind_since: float | None = None
        self._active = False  # whether there is anything to ask for
        self._started: int | None = None  # where the ledger was when this began, for people

    # -- news --------------------------------------------------------------------------------------

    def claim(self, peer: PeerId, height: int, block_hash: Hash, *, provable: bool) -> None:
        """A peer says that `height` is final; `provable`: its validators are known here."""
        known = self._peers.setdefault(peer, _Peer())
        known.height, known.hash, known.provable = height, block_hash, provable

    def forget(self, peer: PeerId) -> None:
        """The peer is gone, or lied. Its questions still end as the others do."""
        self._peers.pop(peer, None)

    def set_horizon(self, height: int | None) -> None:
        """The last height whose validators are known; None: of every height."""
        self._horizon = height
        for known in self._peers.values():
            known.provable = known.provable or height is None or known.height <= height

    def advance(self, height: int, block_hash: Hash) -> Fork | None:
        """The ledger's head moved, by what was handed on here or by consensus."""
        if height <= self._height:
            return None
        ours = self._headers.get(height)
        for passed in range(self._height + 1, height + 1):
            self._headers.pop(passed, None)
            self._drop_body(passed)
        self._height, self._hash = height, block_hash
        self._behind_since = None
        if ours is not None and ours.hash != block_hash:
            return Fork(height, block_hash, ours.hash)
        if ours is None:  # what is above does not hang together any more
            self._headers.clear()
            self._bodies.clear()
            self._body_bytes = 0
            self._ranges.clear()
        self._ranges.pass_over(height)
        return None

    def _drop_body(self, height: int) -> None:
        body = self._bodies.pop(height, None)
        if body is not None:
            self._body_bytes -= body.size

    # -- answers -----------------------------------------------------------------------------------

    def took_proof(self, ask: Ask, now: float, proved: Proved) -> Fork | None:
        """The block that a peer claims is final at its height."""
        known = self._end(ask, now, size=0)
        if known is not None:
            known.proved = max(known.proved, proved.height)
        ours = self._hash_at(proved.height)
        if ours is not None and ours != proved.hash:
            return Fork(proved.height, ours, proved.hash)
        return None

    def took_headers(self, ask: Ask, now: float, found: list[Proved]) -> Fork | None:
        """Proved headers from `ask.first` on."""
        known = self._end(ask, now, size=0)
        if known is not None:
            known.proved = max(known.proved, found[-1].height)
        for proved in found:
            tip, tip_hash = self.tip
            if proved.height > tip + 1:
                break  # the ledger moved below what was asked for, and this hangs in the air
            if proved.height == tip + 1:
                if proved.header.parent_hash != tip_hash:
                    return Fork(tip, tip_hash, proved.header.parent_hash)
                self._headers[proved.height] = proved
            else:
                ours = self._hash_at(proved.height)
                if ours is not None and ours != proved.hash:
                    return Fork(proved.height, ours, proved.hash)
        return None

    def took_bodies(self, ask: Ask, now: float, bodies: list[Body]) -> None:
        """Checked blocks of heights that were asked for."""
        total = sum(body.size for body in bodies)
        self._end(ask, now, size=total, heights=len(bodies))
        for body in bodies:
            height, size = body.proved.height, body.size
            header = self._headers.get(height)
            if header is not None and header.hash == body.proved.hash:
                if height not in self._bodies:
                    self._bodies[height] = body
                    self._body_bytes += size
            self._block_bytes += (size - self._block_bytes) / 64
        self._give_back(self._above(ask))
        # Blocks turned out larger than expected: the last ones can be fetched again.
        while self._body_bytes > 2 * self._limits.window_bytes and len(self._bodies) > 1:
            last = max(self._bodies)
            self._drop_body(last)
            self._give_back((last,))

    def failed(self, ask: Ask, now: float) -> None:
        """No answer, or none that is of use."""
        known = self._end(ask, now, size=0, failed=True)
        if ask.kind is Kind.BODIES:
            self._give_back(self._above(ask))
        if known is not None:
            known.failures += 1
            known.rests_until = now + min(self._limits.rest_max, 2.0 ** min(known.failures, 10))
            known.heights = max(1, known.heights // 2)
            known.rate /= 2

    def _end(
        self, ask: Ask, now: float, *, size: int, heights: int = 0, failed: bool = False
    ) -> _Peer | None:
        if self._asks.pop(ask.number, None) is None:
            return None
        self._repeated.discard(ask.number)
        known = self._peers.get(ask.peer)
        if known is None:
            return None
        known.flights = max(0, known.flights - 1)
        if failed:
            return known
        known.failures = 0
        if ask.kind is Kind.BODIES:
            took = max(now - ask.since, 0.001)
            known.rate += (size / took - known.rate) / (4 if known.rate else 1)
            if took < _QUICK and heights == ask.count:
                known.heights = min(self._limits.bodies_per_ask, 2 * known.heights)
            elif took > self._limits.slow:
                known.heights = max(1, known.heights // 2)
        return known

    # -- what is next ------------------------------------------------------------------------------

    def asks(self, now: float) -> list[Ask]:
        """The questions to put now; each is counted as put."""
        found: list[Ask] = []
        self._judge(now)
        self._ask_proofs(now, found)
        if self._active:
            self._ask_headers(now, found)
            self._ask_bodies(now, found)
        return found

    def ready(self) -> tuple[Proved, Block] | None:
        """The block that follows the ledger's head, if it is here."""
        proved, body = self._headers.get(self._height + 1), self._bodies.get(self._height + 1)
        return None if proved is None or body is None else (proved, body.block)

    def wake_at(self, now: float) -> float | None:
        """When `asks` should be called again if nothing happens."""
        times = [ask.since + self._limits.slow for ask in self._asks.values()]
        if not self._active and self._behind_since is not None:
            times.append(self._behind_since + self._limits.patience)
        if self._behind_since is not None:
            times += [known.rests_until for known in self._peers.values()]
        return min((time for time in times if time > now), default=None)

    @property
    def tip(self) -> tuple[int, Hash]:
        """The highest height that is proved without a gap from the ledger on, and its hash."""
        tip = self._height + len(self._headers)
        return (tip, self._headers[tip].hash) if self._headers else (self._height, self._hash)

    @property
    def progress(self) -> Progress | None:
        """None when there is nothing to catch up with."""
        if self._started is None:
            return None
        return Progress(self._started, self._height, max(self._height, self._highest()))

    @property
    def claimed(self) -> int | None:
        """The highest height that a peer claims and that was not found false; None: no peer."""
        return max((known.height for known in self._peers.values()), default=None)

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies that wait for those before them."""
        return self._body_bytes

    @property
    def open_asks(self) -> int:
        return len(self._asks)

    def header(self, height: int) -> Proved | None:
        """The proved header at a height above the ledger's."""
        return self._headers.get(height)

    def _hash_at(self, height: int) -> Hash | None:
        if height == self._height:
            return self._hash
        proved = self._headers.get(height)
        return None if proved is None else proved.hash

    # -- how far -----------------------------------------------------------------------------------

    def _believed(self, known: _Peer) -> int:
        """How far a peer's claim is worth asking it."""
        if not known.provable:
            return known.height
        if known.height <= known.proved + self._limits.proof_span and known.proved:
            return known.height
        return known.proved

    def _trusted(self) -> list[_Peer]:
        """The peers whose claim was proved, or that bore out what was asked of them so far."""
        return [
            known
            for known in self._peers.values()
            if known.height <= known.proved
            or (not known.failures and (known.provable or known.proved))
        ]

    def _goal(self, peers: Iterable[_Peer]) -> int:
        """The height that these peers let one reach with the validators known now."""
        claimed = max((self._believed(known) for known in peers), default=0)
        goal = max(claimed, self.tip[0])
        return goal if self._horizon is None else min(goal, self._horizon)

    def _highest(self) -> int:
        """Where the others are: the highest proved height, or, beyond the validators known,
        what half of those who claim so claim."""
        trusted = self._trusted()
        proved = max((self._believed(known) for known in trusted if known.provable), default=0)
        beyond = sorted(known.height for known in trusted if not known.provable)
        half = beyond[(len(beyond) - 1) // 2] if beyond else 0
        return max(self.tip[0], proved, half)

    def _judge(self, now: float) -> None:
        """Begin when the gap is wide, or narrow for long; end when it is closed."""
        claimed = max((known.height for known in self._peers.values()), default=0)
        if max(claimed, self.tip[0]) <= self._height:
            self._behind_since = self._started = None
            self._active = False
            return
        if self._behind_since is None:
            self._behind_since = now
        goal = self._goal(self._peers.values())
        wide = goal > self._height + self._patient_gap(now)
        self._active = goal > self._height and (self._active or wide)
        # Who claims a lot and proves nothing is asked, but does not make this node call itself
        # behind.
        if not self._active or self._goal(self._trusted()) <= self._height:
            self._started = None
        elif self._started is None:
            self._started = self._height

    def _patient_gap(self, now: float) -> int:
        """How many heights behind are left to consensus now."""
        since, limits = self._behind_since, self._limits
        return 0 if since is not None and now >= since + limits.patience else limits.gap

    # -- choosing ----------------------------------------------------------------------------------

    def _ask(self, found: list[Ask], kind: Kind, peer: PeerId, first: int, count: int,
             now: float, size: int = 0) -> None:  # fmt: skip
        self._asked += 1
        known = self._peers[peer]
        ask = Ask(self._asked, kind, peer, first, count, now, known.hash, size)
        self._asks[ask.number] = ask
        known.flights += 1
        found.append(ask)

    def _free(self, now: float) -> list[tuple[PeerId, _Peer]]:
        """Who can be asked, the best first: the idle ones, then the fast ones."""
        if len(self._asks) >= self._limits.asks_max:
            return []
        free = [
            (peer, known)
            for peer, known in self._peers.items()
            if known.flights < self._limits.asks_per_peer and now >= known.rests_until
        ]
        free.sort(key=lambda pair: (pair[1].flights, pair[1].failures, -pair[1].rate))
        return free

    def _ask_proofs(self, now: float, found: list[Ask]) -> None:
        """Have claims proved that are ahead of what is known."""
        proving = {ask.peer for ask in self._asks.values() if ask.kind is Kind.PROOF}
        beyond = self._height + self._patient_gap(now)
        for peer, known in self._free(now):
            if peer in proving or not known.provable or known.height <= beyond:
                continue
            if self._believed(known) < known.height and len(self._asks) < self._limits.asks_max:
                count = headers_to_prove(known.height, self._horizon)
                self._ask(found, Kind.PROOF, peer, known.height, count, now)

    def _ask_headers(self, now: float, found: list[Ask]) -> None:
        tip = self.tip[0]
        last = self._height + self._limits.headers_ahead
        if self._horizon is not None:
            last = min(last, self._horizon)
        if tip >= self._goal(self._peers.values()) or tip >= last:
            return
        open_asks = [ask for ask in self._asks.values() if ask.kind is Kind.HEADERS]
        if any(now < ask.since + self._limits.slow for ask in open_asks) or len(open_asks) > 2:
            return
        for peer, known in self._free(now):
            if self._believed(known) > tip and all(ask.peer != peer for ask in open_asks):
                # A whole stretch, even beyond the window: it must reach a certificate.
                count = self._limits.headers_per_ask
                if self._horizon is not None:
                    count = min(count, self._horizon - tip)
                self._ask(found, Kind.HEADERS, peer, tip + 1, count, now)
                return

    def _ask_bodies(self, now: float, found: list[Ask]) -> None:
        limits = self._limits
        expected = sum(ask.bytes_expected for ask in self._asks.values())
        room = limits.window_bytes - self._body_bytes - expected
        each = max(256, int(self._block_bytes))
        while len(self._asks) < limits.asks_max:
            late = self._next_late(now)
            peer = None if late is None else self._choose(late.first, now)
            if peer is None or late is None:
                late = None
                last = min(self.tip[0], self._height + limits.bodies_ahead)
                first, count = self._ranges.lowest(self._height, last)
                peer = self._choose(first, now) if count else None
            else:
                first, count = late.first, late.count
            if peer is None:
                return
            fits = max(0, min(room, limits.answer_bytes)) // each
            size = min(count, limits.bodies_per_ask, fits)
            if not size:
                if first != self._height + 1:
                    return
                size = 1  # what everything else waits for is always asked for
            if late is not None:
                self._repeated.add(late.number)
            else:
                size = min(size, self._peers[peer].heights)
                self._ranges.take(first, size)
            self._ask(found, Kind.BODIES, peer, first, size, now, size * each)
            room -= size * each

    def _choose(self, height: int, now: float) -> PeerId | None:
        """Whom to ask for the body at a height."""
        for peer, known in self._free(now):
            if self._believed(known) >= height and not self._has(peer, height):
                return peer
        return None

    def _has(self, peer: PeerId, height: int) -> bool:
        """Whether a peer is asked for the body at this height already."""
        return any(
            ask.peer == peer
            and ask.kind is Kind.BODIES
            and ask.first <= height < ask.first + ask.count
            for ask in self._asks.values()
        )

    def _next_late(self, now: float) -> Ask | None:
        """The lowest range that is due for long and was not yet asked of another peer."""
        late = [
            ask
            for ask in self._asks.values()
            if ask.kind is Kind.BODIES
            and now >= ask.since + self._limits.slow
            and ask.number not in self._repeated
            and ask.first + ask.count > self._height + 1
            and any(h not in self._bodies for h in self._above(ask))
        ]
        return min(late, key=lambda ask: ask.first, default=None)

    def _above(self, ask: Ask) -> range:
        """The heights of an ask that are not passed yet."""
        return range(max(ask.first, self._height + 1), ask.first + ask.count)

    def _give_back(self, heights: Iterable[int]) -> None:
        """What of these heights is still missing must be asked for again."""
        self._ranges.give_back(heights, self._missing)

    def _missing(self, height: int) -> bool:
        """Whether the body at this height is neither here nor asked for."""
        return (
            height in self._headers
            and height not in self._bodies
            and not any(
                ask.kind is Kind.BODIES and ask.first <= height < ask.first + ask.count
                for ask in self._asks.values()
            )
        )
