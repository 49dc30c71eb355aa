"""Watches the clock for the driver: arms a view's timers, says when a block is due.

Idle, nothing is armed: a view ends only when there is a reason to (section 3).
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from chain.types import Address
from node.consensus.messages import AdvanceTimeout, LeaderTimeout, ProposalDue, Standstill
from node.consensus.pacing import deadlines, delta, standstill_after
from node.pool.mempool import Mempool

if TYPE_CHECKING:
    from node.consensus.driver import Driver

# A base fee falls by at most an eighth per block: after 16 empty blocks it is about an
# eighth of what it was. Transactions that wait for less than that wait for real blocks.
_FEE_FALL_MAX: Final = 8
_FEE_FALLS_FROM: Final = 8  # wei; an eighth of less rounds to nothing


class Pacemaker:
    """The timers of the current view. Used in the event loop's thread."""

    def __init__(self, driver: "Driver", mempool: Mempool) -> None:
        self.allow_empty = False  # whether the block that is due may be empty
        self._driver = driver
        self._mempool = mempool
        self._entered_ms = driver.now_ms()
        self._asked = False  # the block of this view was called for
        self._nothing_fits = False  # the last attempt came to nothing: wait for news
        self._unsettled_since: int | None = None
        self._standstills = 0
        self._timers: list[asyncio.TimerHandle] = []  # of the view
        self._armed_on = 0  # the last final view when they were armed
        self._next_poll: asyncio.TimerHandle | None = None
        self._standstill: asyncio.TimerHandle | None = None

    @property
    def view_ms(self) -> int:
        """How long ago the view was entered."""
        return max(0, self._driver.now_ms() - self._entered_ms)

    def stop(self) -> None:
        self._disarm()
        for timer in (self._next_poll, self._standstill):
            if timer is not None:
                timer.cancel()

    # -- what happened -----------------------------------------------------------------------------

    def entered(self) -> None:
        """A new view: its timers are armed when there is a reason."""
        self._disarm()
        self._asked = False
        self._entered_ms = self._driver.now_ms()

    def finalized(self) -> None:
        """A block is on disk."""
        self._nothing_fits = False
        self._unsettled_since = None
        self._standstills = 0
        if self._standstill is not None:
            self._standstill.cancel()
            self._standstill = None

    def pooled(self) -> None:
        """A transaction was pooled: what did not fit may fit now."""
        self._nothing_fits = False

    def nothing_fits(self, *, news: bool) -> None:
        """Building came to nothing; `news`: because of transactions that are now dropped."""
        self._asked = False
        self._nothing_fits = not news

    # -- what to do --------------------------------------------------------------------------------

    def poll(self) -> None:
        """Look whether a block is due, and arm or disarm accordingly."""
        driver = self._driver
        core = driver.core
        now = driver.now_ms()
        if core.finished:
            self._disarm()
            return
        due = self._due_at(now)
        if due is None or due > now:
            self._disarm()
            if due is not None:
                self._poll_at(due, now)
            return
        parent_ms = min(driver.candidates.time_ms(core.tip()), self._entered_ms)
        if self._timers and core.base.view > self._armed_on + 1:
            self._disarm()  # much became final meanwhile: these count on nothing being so
        if not self._timers:
            self._arm(parent_ms, now)
        self._expect_finality()
        if core.leader(core.view) == driver.validator and not self._asked:
            earliest = parent_ms + driver.timing.interval_ms
            if now >= earliest:
                self._asked = True
                driver.feed([ProposalDue(core.view)])
            else:
                self._poll_at(earliest, now)

    def _due_at(self, now: int) -> int | None:
        """Since or from when there is a reason for a block; None: not before something happens."""
        driver = self._driver
        core, timing = driver.core, driver.timing
        self.allow_empty = True
        parent_ms = min(driver.candidates.time_ms(core.tip()), self._entered_ms)
        if core.unsettled:
            # The next block makes the one before final, should its own votes be lost.
            if self._unsettled_since is None:
                self._unsettled_since = now
            settle = self._unsettled_since + 2 * delta(timing, core.view, core.base.view)
        else:
            self._unsettled_since = None
            settle = None
        if core.stirring and not self._alone():
            return now
        if timing.empty_blocks:
            return now
        if self._something_to_build():
            return now
        candidates = [settle] if settle is not None else []
        if timing.heartbeat_ms:
            candidates.append(parent_ms + timing.heartbeat_ms)
        return min(candidates, default=None)

    def _alone(self) -> bool:
        return len(self._driver.validators.validators) == 1

    def _something_to_build(self) -> bool:
        """Whether a block would have content, or would bring a waiting one nearer.

        A transaction whose fee cap was overtaken by the base fee gets in only when
        the fee falls again, which takes blocks; without others they are empty.
        """
        if self._nothing_fits or not len(self._mempool):
            return False
        driver = self._driver
        tip = driver.core.tip()
        candidate = driver.candidates.executed(tip)
        parent = driver.ledger.head if candidate is None else candidate.executed.block.header
        base_fee = driver.next_base_fee(parent, driver.now_ms())
        after: Mapping[Address, int] = {}
        if candidate is not None:
            after = driver.candidates.next_nonces(tip)
        self.allow_empty = False
        if self._mempool.has_ready(base_fee, after):
            return True
        best = self._mempool.best_fee_cap()
        self.allow_empty = base_fee >= _FEE_FALLS_FROM and best * _FEE_FALL_MAX >= base_fee
        return self.allow_empty and best < base_fee

    # -- timers ------------------------------------------------------------------------------------

    def _arm(self, parent_ms: int, now: int) -> None:
        driver = self._driver
        if self._alone():
            return  # nobody waits for anybody
        core = driver.core
        view = core.view
        self._armed_on = core.base.view
        times = deadlines(driver.timing, view, core.base.view, parent_ms, now)
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later((times.leader - now) / 1000, driver.feed, [LeaderTimeout(view)]),
            loop.call_later((times.advance - now) / 1000, driver.feed, [AdvanceTimeout(view)]),
        ]

    def _expect_finality(self) -> None:
        """While a view's timers run there is a limit to the quiet, also after a commit."""
        if self._timers and self._standstill is None:
            wait = standstill_after(self._driver.timing, self._standstills)
            loop = asyncio.get_running_loop()
            self._standstill = loop.call_later(wait / 1000, self._stand_still)

    def _stand_still(self) -> None:
        self._standstill = None
        self._standstills += 1
        driver = self._driver
        if self._timers or driver.core.unsettled:
            driver.feed([Standstill()])
            wait = standstill_after(driver.timing, self._standstills)
            self._standstill = asyncio.get_running_loop().call_later(wait / 1000, self._stand_still)

    def _disarm(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []

    def _poll_at(self, when: int, now: int) -> None:
        if self._next_poll is not None:
            self._next_poll.cancel()
        self._next_poll = asyncio.get_running_loop().call_later(
            max(0, when - now) / 1000, self._driver.wake
        )
