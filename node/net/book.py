"""The address book: where other nodes were said to listen, and where they did.

Addresses lie in buckets, and each bucket holds few. In which bucket an address lies follows
from a secret, its subnet and, for what is only hearsay, the subnet of who told it: however
many addresses somebody makes up, they end in the few buckets of that somebody's subnet
and push out each other. Sources: Bitcoin's addrman; Heilman et al., "Eclipse Attacks on
Bitcoin's Peer-to-Peer Network", 2015. Knows no clock, disk or socket.
"""

import hmac
from collections.abc import Container, Sequence
from random import Random
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chain.errors import Reason, Rejected
from node.net.addresses import Address, Reach, parse_address, reach_of, subnets_of
from node.net.network import PeerId

NEW_BUCKETS: Final = 256
TRIED_BUCKETS: Final = 64
_BUCKET_ADDRESSES: Final = 32
_SOURCE_BUCKETS: Final = 16  # that one source's subnet can reach
_SUBNET_BUCKETS: Final = 4  # of tried ones, that one subnet can reach
_NARROW_MAX: Final = 16  # addresses of one /24
_WIDE_MAX: Final = 64  # addresses of one /16
_FAILURES_MAX: Final = 5  # in a row, and a new address is forgotten
_TRIED_FAILURES_MAX: Final = 30
_STALE_SECONDS: Final = 30 * 86_400.0


class _Entry:
    __slots__ = ("address", "bucket", "failures", "seen", "source", "tried")

    def __init__(self, address: Address, source: str, seen: float) -> None:
        self.address = address
        self.source = source  # host of who told it
        self.seen = seen  # when it was told, or last reached
        self.failures = 0
        self.tried = False
        self.bucket = 0


class StoredAddress(Struct, frozen=True):
    """An address in the data folder's file."""

    address: Annotated[str, Meta(max_length=320)]
    source: Annotated[str, Meta(max_length=256)]
    seen: float
    failures: int
    tried: bool


class StoredBook(Struct, frozen=True):
    secret: Annotated[str, Meta(min_length=64, max_length=64)]
    addresses: Annotated[list[StoredAddress], Meta(max_length=65_536)]


class Book:
    """Addresses by node, at most `addresses_max`. Times are seconds since 1970.

    Addresses of this machine are exempt from the caps of subnets and from the buckets' size,
    so that many nodes can run on it.
    """

    def __init__(self, me: PeerId, secret: bytes, random: Random, addresses_max: int) -> None:
        """`secret` is 32 bytes of this node's own, so that nobody can aim at buckets."""
        self._me = me
        self._secret = secret
        self._random = random
        self._addresses_max = addresses_max
        self._entries: dict[PeerId, _Entry] = {}
        self._new: dict[int, list[_Entry]] = {}
        self._tried: dict[int, list[_Entry]] = {}
        self._subnets: dict[str, int] = {}
        self.changed = False  # since it was stored last; whoever stores it takes it back

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tried(self) -> int:
        """How many addresses a link was once made to."""
        return sum(map(len, self._tried.values()))

    def add(self, address: Address, source: str, now: float) -> bool:
        """Note what the host `source` said; whether it is in the book now.

        A source may speak only of addresses that reach as far as itself: nobody on the
        Internet is to send us into our own network.
        """
        reach, told_from = reach_of(address.host), reach_of(source)
        if address.node == self._me or reach is None or told_from is None or reach < told_from:
            return False
        known = self._entries.get(address.node)
        if known is not None:
            if known.address == address:
                known.seen = max(known.seen, now)
                return True
            # Only what never worked is replaced by hearsay.
            if known.tried or known.failures == 0:
                return False
            self._remove(known)
        entry = _Entry(address, source, now)
        return self._insert(entry)

    def succeeded(self, address: Address, now: float) -> None:
        """A link was made to it, and its node proved itself."""
        entry = self._entries.get(address.node)
        if reach_of(address.host) is None or address.node == self._me:
            return
        if entry is not None and entry.address == address and entry.tried:
            entry.seen, entry.failures = now, 0
            return
        if entry is not None:
            self._remove(entry)
        entry = _Entry(address, address.host, now)
        entry.tried = True
        self._insert(entry)

    def failed(self, address: Address, now: float) -> None:
        """Nobody was there, or not that node."""
        entry = self._entries.get(address.node)
        if entry is None or entry.address != address:
            return
        entry.failures += 1
        stale = now - entry.seen > _STALE_SECONDS
        if entry.failures >= (_TRIED_FAILURES_MAX if entry.tried else _FAILURES_MAX) or stale:
            self._remove(entry)

    def forget(self, node: PeerId) -> None:
        entry = self._entries.get(node)
        if entry is not None:
            self._remove(entry)

    def pick(self, taken: Container[PeerId]) -> Address | None:
        """One to dial, not among `taken`: by chance a new or a tried one, of a random bucket."""
        first, second = (self._tried, self._new)
        if self._random.random() < 0.5:
            first, second = second, first
        for buckets in (first, second):
            for number in self._random.sample(sorted(buckets), len(buckets)):
                free = [entry for entry in buckets[number] if entry.address.node not in taken]
                if free:
                    # Those that failed are tried again less often.
                    free.sort(key=lambda entry: entry.failures)
                    return free[self._random.randrange((len(free) + 1) // 2)].address
        return None

    def sample(self, count: int, reach: Reach, but: PeerId) -> list[Address]:
        """Some addresses to tell a peer that `reach` reaches: none that reach less far."""
        fitting = [
            entry.address
            for entry in self._entries.values()
            if entry.address.node != but
            and entry.failures < 2
            and (found := reach_of(entry.address.host)) is not None
            and found >= reach
        ]
        return self._random.sample(fitting, min(count, len(fitting)))

    # -- buckets -----------------------------------------------------------------------------------

    def _insert(self, entry: _Entry) -> bool:
        loopback = reach_of(entry.address.host) is Reach.LOOPBACK
        buckets = self._tried if entry.tried else self._new
        entry.bucket = self._bucket_of(entry)
        bucket = buckets.setdefault(entry.bucket, [])
        if not loopback:
            if not entry.tried and not self._subnets_have_room(entry):
                if not bucket:
                    del buckets[entry.bucket]
                return False
            if len(bucket) >= _BUCKET_ADDRESSES:
                self._remove(_worst(bucket))
                bucket = buckets.setdefault(entry.bucket, [])
        bucket.append(entry)
        self._entries[entry.address.node] = entry
        self._count(entry, 1)
        self.changed = True
        while len(self._entries) > self._addresses_max:
            others = [other for other in self._entries.values() if other is not entry]
            self._remove(_worst(others))
        return True

    def _remove(self, entry: _Entry) -> None:
        buckets = self._tried if entry.tried else self._new
        bucket = buckets[entry.bucket]
        bucket.remove(entry)
        if not bucket:
            del buckets[entry.bucket]
        del self._entries[entry.address.node]
        self._count(entry, -1)
        self.changed = True

    def _bucket_of(self, entry: _Entry) -> int:
        wide = _wide(entry.address.host)
        if entry.tried:
            slot = self._hash(f"tried {entry.address}") % _SUBNET_BUCKETS
            return self._hash(f"tried {wide} {slot}") % TRIED_BUCKETS
        source = _wide(entry.source)
        slot = self._hash(f"new {source} {wide}") % _SOURCE_BUCKETS
        return self._hash(f"new {source} {slot}") % NEW_BUCKETS

    def _hash(self, text: str) -> int:
        return int.from_bytes(hmac.digest(self._secret, text.encode(), "sha256")[:8], "big")

    def _subnets_have_room(self, entry: _Entry) -> bool:
        subnets = subnets_of(entry.address.host)
        assert subnets is not None, "only IP addresses are in the book"
        narrow, wide = subnets
        return self._subnets.get(narrow, 0) < _NARROW_MAX and self._subnets.get(wide, 0) < _WIDE_MAX

    def _count(self, entry: _Entry, step: int) -> None:
        for subnet in subnets_of(entry.address.host) or ():
            count = self._subnets.get(subnet, 0) + step
            if count:
                self._subnets[subnet] = count
            else:
                del self._subnets[subnet]

    # -- keeping -----------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """JSON, for the data folder."""
        stored = StoredBook(
            self._secret.hex(),
            [
                StoredAddress(
                    str(entry.address), entry.source, entry.seen, entry.failures, entry.tried
                )
                for entry in self._entries.values()
            ],
        )
        return msgspec.json.format(msgspec.json.encode(stored))

    def restore(self, book: StoredBook) -> None:
        """Take over a book that was stored, its secret with it.

        Rejected(BAD_PEER_ADDRESS) for addresses that are none. Only for an empty book.
        """
        assert not self._entries
        self._secret = bytes.fromhex(book.secret)
        for stored in book.addresses:
            address = parse_address(stored.address)
            known = address.node == self._me or address.node in self._entries
            if known or reach_of(address.host) is None:
                continue
            entry = _Entry(address, stored.source, stored.seen)
            entry.failures, entry.tried = stored.failures, stored.tried
            self._insert(entry)
        self.changed = False


def decode_book(data: bytes) -> StoredBook:
    """What `Book.encode` made; Rejected(BAD_SETTING) for anything else."""
    try:
        stored = msgspec.json.decode(data, type=StoredBook)
        bytes.fromhex(stored.secret)
    except (msgspec.DecodeError, ValueError) as error:
        raise Rejected(Reason.BAD_SETTING, f"not an address book: {error}") from None
    return stored


def _worst(entries: Sequence[_Entry]) -> _Entry:
    """The one that is missed least: hearsay before proved, failed before not, old before young."""
    return min(entries, key=lambda entry: (entry.tried, -entry.failures, entry.seen))


def _wide(host: str) -> str:
    subnets = subnets_of(host)
    return host if subnets is None else subnets[1]
