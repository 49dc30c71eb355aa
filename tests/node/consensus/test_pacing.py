"""The timers' arithmetic (section 3 of docs/protocol/consensus.md)."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from node.consensus.pacing import (
    DELTA_MAX_MS,
    Timing,
    block_time,
    deadlines,
    delta,
    standstill_after,
)


def timing(delta_ms: int = 100, interval_ms: int = 0, ascending_seconds: bool = False) -> Timing:
    return Timing(
        interval_ms=interval_ms, empty_blocks=False, heartbeat_ms=0, delta_ms=delta_ms,
        build_ms_max=0, ascending_seconds=ascending_seconds,
    )  # fmt: skip


DELTAS = st.integers(min_value=10, max_value=15_000)
VIEWS = st.integers(min_value=1, max_value=10**9)
TIMES = st.integers(min_value=0, max_value=2**43)


def test_delta_is_the_first_one_in_the_view_after_the_final_one() -> None:
    """Section 3: one view that did not finish costs nothing yet."""
    assert delta(timing(100), 8, 7) == 100
    assert delta(timing(100), 7, 7) == 100


def test_delta_grows_by_half_for_each_view_without_finality() -> None:
    """Section 3: delta0 * 1.5^(v - v_finalized - 1)."""
    assert [delta(timing(100), view, 7) for view in range(8, 13)] == [100, 150, 225, 337, 505]


@settings(deadline=None)
@given(delta_ms=DELTAS, view=VIEWS, gap=st.integers(min_value=0, max_value=10**6))
def test_delta_follows_the_formula_and_never_exceeds_its_cap(
    delta_ms: int, view: int, gap: int
) -> None:
    """Section 3: whole milliseconds lose less than one per step, growing with it."""
    found = delta(timing(delta_ms), view + gap, view)
    assert delta_ms <= found <= DELTA_MAX_MS
    exact = delta_ms * Fraction(3, 2) ** min(max(0, gap - 1), 64)
    if exact >= 2 * DELTA_MAX_MS:
        assert found == DELTA_MAX_MS
    elif exact < DELTA_MAX_MS:
        assert exact * Fraction(4, 5) <= found <= exact
    assert found <= delta(timing(delta_ms), view + gap + 1, view)


def test_delta_of_a_billion_views_is_found_at_once() -> None:
    """Section 3: the cap ends the search, not the number of views."""
    assert delta(timing(10), 10**18, 0) == DELTA_MAX_MS


@settings(deadline=None)
@given(
    delta_ms=DELTAS, interval=st.integers(min_value=0, max_value=86_400_000), view=VIEWS,
    gap=st.integers(min_value=0, max_value=30), parent=TIMES, now=TIMES,
)  # fmt: skip
def test_timers_leave_two_deltas_from_when_the_block_was_due_and_one_more(
    delta_ms: int, interval: int, view: int, gap: int, parent: int, now: int
) -> None:
    """Section 3: leader = max(0, parent + interval - now) + 2 delta; advance = leader + delta."""
    rules = timing(delta_ms, interval)
    step = delta(rules, view + gap, view)
    found = deadlines(rules, view + gap, view, parent, now)
    assert found.leader - now == max(0, parent + interval - now) + 2 * step
    assert found.advance == found.leader + step


@settings(deadline=None)
@given(parent=TIMES, now=TIMES)
def test_a_block_of_several_validators_is_never_before_its_parent(parent: int, now: int) -> None:
    """Section 3: the record's milliseconds may equal the parent's, not go back."""
    assert block_time(timing(), parent, now) == max(parent, now)


@settings(deadline=None)
@given(parent=TIMES, now=TIMES)
def test_a_developers_block_is_in_a_later_second_than_its_parent(parent: int, now: int) -> None:
    """Decision 0006: as early as that allows, and never before now."""
    found = block_time(timing(ascending_seconds=True), parent, now)
    assert found // 1000 > parent // 1000
    assert found >= now
    assert found == now or found == (parent // 1000 + 1) * 1000


@settings(deadline=None)
@given(delta_ms=DELTAS, times=st.integers(min_value=0, max_value=10**6))
def test_standstill_waits_are_bounded_on_both_sides(delta_ms: int, times: int) -> None:
    """R8: never sooner than finality takes, never so late that healing waits for it."""
    rules = timing(delta_ms)
    found = standstill_after(rules, times)
    assert max(4 * delta_ms, 1000) <= found <= max(4 * delta_ms, 4000)
    assert found <= standstill_after(rules, times + 1)
