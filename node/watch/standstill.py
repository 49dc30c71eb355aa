"""When the ledger stands still: notice it, say who is missing, and say when it goes on.

`StandstillWatch` decides on snapshots and moments that it is handed; `watch_standstill`
hands it both and writes to the log.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chain.ledger_rules import LedgerRules
from chain.validators import Validator
from node.settings import ChainSettings
from node.watch.observation import Observation, Observed

SLACK: Final = 10  # how many times longer than expected a block may take
QUIET_SECONDS_MIN: Final = 5.0  # before the first warning, however short the interval is
REPEAT_SECONDS_MAX: Final = 600.0
_LOOK_SECONDS: Final = 1.0
_NAMED_MAX: Final = 20  # missing validators in a warning; the others are counted

_log: Final = logging.getLogger("node.standstill")


class Pace(Struct, frozen=True):
    """When blocks are to be expected, of the genesis or a developer's own choice."""

    interval_ms: int  # the least time between blocks; 0: as soon as there is something
    empty_blocks: bool  # whether there are blocks without transactions at the interval
    heartbeat_ms: int  # without empty blocks, one after so much quiet; 0: never


def pace_of(rules: LedgerRules, chain: ChainSettings) -> Pace:
    """The genesis' pace, or the settings' where it names no validators."""
    if rules.validators:
        return Pace(rules.block_interval_ms, rules.empty_blocks, rules.heartbeat_ms)
    return Pace(round(chain.block_time * 1000), chain.empty_blocks, 0)


class Standing(Struct, frozen=True):
    """No block became final for `seconds`, although there was reason to."""

    height: int
    seconds: float
    pending: int  # transactions that wait
    missing: tuple[Validator, ...]
    lacking_power: int  # that those heard of are short of a quorum; 0: they are one
    total_power: int
    hears_votes: bool  # whether this node can tell who is missing
    alone: bool  # whether it has a network and no peer


class Resumed(Struct, frozen=True):
    """The first final block after a standstill that was warned of."""

    height: int
    seconds: float


class StandstillWatch:
    """Sans-IO. `look` is given a snapshot every now and then."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._height = -1  # none seen yet
        self._since = 0.0  # when the last block became final, as far as is known
        self._reason_since: float | None = None  # since when a block is to be expected
        self._next_warning: float | None = None  # None: not warned of

    def look(self, seen: Observation, now: float) -> Standing | Resumed | None:
        """What is to be said now, if anything. `now` in seconds since whenever."""
        if seen.height != self._height:
            return self._moved(seen, now)
        if seen.syncing:
            # The others go on; this node is busy following them.
            self._since, self._reason_since, self._next_warning = now, None, None
            return None
        if not self._due(seen, now):
            self._reason_since = None
            return None
        if self._reason_since is None:
            self._reason_since = now
        # What wakes a resting ledger gets the same time as a block after a block.
        begin = max(self._since, self._reason_since)
        patience = max(SLACK * self._pace.interval_ms / 1000, QUIET_SECONDS_MIN)
        if now < begin + patience or (self._next_warning is not None and now < self._next_warning):
            return None
        quiet = now - begin
        self._next_warning = now + min(quiet, REPEAT_SECONDS_MAX)
        return _standing(seen, quiet)

    def _moved(self, seen: Observation, now: float) -> Resumed | None:
        warned = self._next_warning is not None
        begin = max(self._since, self._reason_since or self._since)
        self._height, self._since = seen.height, now
        self._reason_since = now if self._due(seen, now) else None
        self._next_warning = None
        return Resumed(seen.height, now - begin) if warned else None

    def _due(self, seen: Observation, now: float) -> bool:
        """Whether there is reason for a block."""
        pace = self._pace
        if seen.work_waiting or (pace.empty_blocks and pace.interval_ms):
            return True
        return bool(pace.heartbeat_ms) and now - self._since > pace.heartbeat_ms / 1000


def _standing(seen: Observation, quiet: float) -> Standing:
    missing = seen.missing
    total = sum(member.power for member in seen.validators)
    heard = total - sum(member.power for member in missing)
    return Standing(
        height=seen.height,
        seconds=quiet,
        pending=seen.pool_pending,
        missing=missing,
        lacking_power=max(2 * total // 3 + 1 - heard, 0),
        total_power=total,
        hears_votes=bool(seen.heard),
        alone=seen.networked and not seen.peers,
    )


def describe(standing: Standing) -> str:
    """The warning in words."""
    text = (
        f"no block became final for {standing.seconds:.0f} s after height {standing.height}, "
        "although one was due"
    )
    if standing.alone:
        text += "; this node has no peers"
    if not standing.missing:
        return f"{text}; every validator is heard of" if standing.hears_votes else text
    named = ", ".join(
        f"0x{member.address.hex()} (power {member.power})"
        for member in standing.missing[:_NAMED_MAX]
    )
    if len(standing.missing) > _NAMED_MAX:
        named += f" and {len(standing.missing) - _NAMED_MAX} more"
    text += f"; missing: {named}; "
    if standing.lacking_power:
        return text + f"a quorum lacks power {standing.lacking_power} of {standing.total_power}"
    return text + "those heard of are a quorum"


async def watch_standstill(observed: Observed, pace: Pace, clock: Callable[[], float]) -> None:
    """Warn of standstills until cancelled. `clock` in seconds, never going back."""
    watch = StandstillWatch(pace)
    while True:
        match watch.look(observed.observation(), clock()):
            case Standing() as standing:
                _log.warning(
                    "%s",
                    describe(standing),
                    extra={
                        "height": standing.height,
                        "standstill_seconds": round(standing.seconds, 3),
                        "pending": standing.pending,
                        "missing": [
                            {"validator": f"0x{member.address.hex()}", "power": member.power}
                            for member in standing.missing
                        ],
                        "lacking_power": standing.lacking_power,
                        "total_power": standing.total_power,
                    },
                )
            case Resumed(height, seconds):
                _log.warning(
                    "the ledger goes on: height %d after %.0f s",
                    height,
                    seconds,
                    extra={"height": height, "standstill_seconds": round(seconds, 3)},
                )
            case None:
                pass
        await asyncio.sleep(_LOOK_SECONDS)
