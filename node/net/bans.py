"""Scores of offences, and bans. Knows no clock: times are seconds since 1970, as arguments."""

import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chain.errors import Reason, Rejected
from node.net.addresses import Reach, reach_of
from node.net.network import Offence, PeerId

BAN_POINTS: Final = 100.0
HOST_POINTS: Final = 300.0  # of all nodes of one host; more than a node's, since hosts are shared
_FADE_SECONDS: Final = 60.0  # in which half of the points are forgotten
_SCORES_MAX: Final = 4096
_BANS_MAX: Final = 4096
_FOREVER: Final = float(2**53)


class Ban(Struct, frozen=True):
    """Who is kept out, until when, and why. `who` is a node id in hex, or an IP address."""

    who: Annotated[str, Meta(max_length=64)]
    until: float
    why: Annotated[str, Meta(max_length=256)]


class _Score(Struct):
    points: float
    then: float


class Bans:
    """What peers did wrong lately, and which of them are kept out.

    A node is banned at BAN_POINTS. Since an offender can have any number of node keys, the
    host's points are counted too; those of this machine and of trusted peers are not.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scores: OrderedDict[str, _Score] = OrderedDict()
        self._bans: OrderedDict[str, Ban] = OrderedDict()
        self.changed = False  # since it was stored last; whoever stores it takes it back

    def offend(self, node: PeerId, host: str, offence: Offence, detail: str, now: float) -> bool:
        """Count an offence; whether the node is banned from now on."""
        why = f"{offence.value[0]}: {detail}"[:256] if detail else offence.value[0]
        self.offend_host(host, offence.points, why, now)
        if self._add(node.hex(), offence.points, now) < BAN_POINTS:
            return False
        self.ban(node.hex(), why, now)
        return True

    def offend_host(self, host: str, points: int, why: str, now: float) -> None:
        """Count what somebody at an IP address did, and ban it when that is too much."""
        if reach_of(host) in (Reach.PRIVATE, Reach.PUBLIC):
            if self._add(host, points, now) >= HOST_POINTS:
                self.ban(host, why, now)

    def score(self, who: str, now: float) -> float:
        """Points now, of a node id in hex or a host."""
        found = self._scores.get(who)
        return 0.0 if found is None else _faded(found, now)

    def ban(self, who: str, why: str, now: float, seconds: float | None = None) -> Ban:
        """Keep somebody out; 0 seconds: for ever. The oldest ban gives way beyond the limit."""
        span = self._seconds if seconds is None else seconds
        made = Ban(who, now + span if span else _FOREVER, why[:256])
        self._bans[who] = made
        self._bans.move_to_end(who)
        self._scores.pop(who, None)
        while len(self._bans) > _BANS_MAX:
            self._bans.popitem(last=False)
        self.changed = True
        return made

    def restore(self, ban: Ban) -> None:
        """Put a ban in force that was so before a restart."""
        self._bans[ban.who] = ban

    def unban(self, who: str) -> bool:
        """Let somebody in again, all forgotten; whether there was a ban."""
        self._scores.pop(who, None)
        found = self._bans.pop(who, None) is not None
        self.changed = self.changed or found
        return found

    def banned(self, node: PeerId, host: str, now: float) -> Ban | None:
        """The ban that keeps this node out."""
        return self._ban_of(node.hex(), now) or self.host_banned(host, now)

    def host_banned(self, host: str, now: float) -> Ban | None:
        return self._ban_of(host, now)

    def everyone(self, now: float) -> tuple[Ban, ...]:
        """The bans in force, the newest last."""
        self._bans = OrderedDict((who, ban) for who, ban in self._bans.items() if ban.until > now)
        return tuple(self._bans.values())

    def _ban_of(self, who: str, now: float) -> Ban | None:
        found = self._bans.get(who)
        if found is None or found.until > now:
            return found
        del self._bans[who]
        self.changed = True
        return None

    def _add(self, who: str, points: int, now: float) -> float:
        score = self._scores.get(who)
        if score is None:
            score = self._scores[who] = _Score(0.0, now)
        score.points = _faded(score, now) + points
        score.then = now
        self._scores.move_to_end(who)
        while len(self._scores) > _SCORES_MAX:
            self._scores.popitem(last=False)
        return score.points


def _faded(score: _Score, now: float) -> float:
    # A clock that was set back forgives nothing and adds nothing.
    return score.points * math.exp2(max(0.0, now - score.then) / -_FADE_SECONDS)


def encode_bans(bans: Iterable[Ban]) -> bytes:
    """JSON, for the data folder."""
    return msgspec.json.format(msgspec.json.encode(list(bans)))


def load_bans(bans: Bans, data: bytes) -> None:
    """Take over what `encode_bans` made; Rejected(BAD_SETTING) when that is not what it is."""
    try:
        found = msgspec.json.decode(data, type=Annotated[list[Ban], Meta(max_length=_BANS_MAX)])
    except msgspec.DecodeError as error:
        raise Rejected(Reason.BAD_SETTING, f"not a list of bans: {error}") from None
    for ban in found:
        bans.restore(ban)
