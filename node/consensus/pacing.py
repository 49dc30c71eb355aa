"""When: the timers of a view, the block interval, the heartbeat, the standstill (section 3).

Knows no clock: every question brings the time with it. All times are milliseconds; `now`
and block times are since 1970, so that they can be compared.
"""

from typing import Final

from msgspec import Struct

DELTA_MAX_MS: Final = 15_000
_GROWTH_NUMERATOR: Final = 3  # half as much again for each view without finality
_GROWTH_DENOMINATOR: Final = 2
_STANDSTILL_MAX_MS: Final = 4_000  # however long it lasts, this often is harmless
AHEAD_MAX_MS: Final = 500  # how far a block's time may be ahead of my clock


class Timing(Struct, frozen=True):
    """When blocks are built; of the genesis, or a developer's own choice."""

    interval_ms: int  # the least time between blocks
    empty_blocks: bool  # whether blocks without transactions are built at the interval
    heartbeat_ms: int  # without empty blocks, one after so much quiet; 0: never
    delta_ms: int  # how long a message takes, and then some
    build_ms_max: int  # how long a leader adds transactions; 0: as long as they fit
    ascending_seconds: bool  # whether each block is in a later second than its parent


class Deadlines(Struct, frozen=True):
    """When the timers of a view fire."""

    leader: int
    advance: int


def delta(timing: Timing, view: int, final_view: int) -> int:
    """What a message may take in this view: grows while nothing becomes final, up to 15 s."""
    value = timing.delta_ms
    for _ in range(max(0, view - final_view - 1)):
        value = value * _GROWTH_NUMERATOR // _GROWTH_DENOMINATOR
        if value >= DELTA_MAX_MS:
            return DELTA_MAX_MS
    return value


def deadlines(timing: Timing, view: int, final_view: int, parent_ms: int, now: int) -> Deadlines:
    """For a view that has reason to end in a block from `now` on."""
    step = delta(timing, view, final_view)
    leader = max(now, parent_ms + timing.interval_ms) + 2 * step
    return Deadlines(leader, leader + step)


def block_time(timing: Timing, parent_ms: int, now: int) -> int:
    """The time of a block that is built now: never before its parent's.

    Where seconds must ascend, blocks that are faster than seconds run ahead of the clock; they
    meet again when the load ends (decision 0006).
    """
    if timing.ascending_seconds:
        return max(now, (parent_ms // 1000 + 1) * 1000)
    return max(now, parent_ms)


def standstill_after(timing: Timing, times: int) -> int:
    """How long without finality until everything is sent again, for the `times`-th time (R8)."""
    value = max(4 * timing.delta_ms, 1_000)
    for _ in range(min(times, 16)):
        value = value * _GROWTH_NUMERATOR // _GROWTH_DENOMINATOR
    return min(value, max(_STANDSTILL_MAX_MS, 4 * timing.delta_ms))
