"""The plan alone: whom it asks, what it holds, and that it comes to an end."""

import heapq
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.types import Hash
from node.net.network import PeerId
from node.sync.asks import Ask, Body, Kind, Limits
from node.sync.headers import Proved, check_headers
from node.sync.plan import Plan
from node.sync.progress import Progress, progress_line
from tests.node.sync.chains import Chain
from tests.support.network import peer_id

CHAIN: Final = Chain(600, certified_every=50)
PROVED: Final = check_headers([CHAIN.item(height) for height in range(1, 601)], 1, CHAIN.trust())
SIZE: Final = 1000
LIMITS: Final = Limits(
    headers_per_ask=100, headers_ahead=300, bodies_per_ask=16, bodies_ahead=128,
    window_bytes=60 * SIZE, answer_bytes=20 * SIZE,
)  # fmt: skip
A, B, C = peer_id(1), peer_id(2), peer_id(3)


def plan_at(height: int = 0, limits: Limits = LIMITS) -> Plan:
    return Plan(height, CHAIN.hashes[height], limits)


def claim(plan: Plan, peer: PeerId, height: int, *, provable: bool = True) -> None:
    block_hash = CHAIN.hashes[height] if height <= CHAIN.height else Hash(b"\x01" * 32)
    plan.claim(peer, height, block_hash, provable=provable)


def headers(first: int, last: int) -> list[Proved]:
    return PROVED[first - 1 : last]


def bodies(ask: Ask, count: int | None = None) -> list[Body]:
    last = ask.first + (ask.count if count is None else count) - 1
    return [Body(proved, CHAIN.blocks[proved.height], SIZE) for proved in headers(ask.first, last)]


def kinds(asks: list[Ask]) -> list[Kind]:
    return [ask.kind for ask in asks]


def begun(*peers: PeerId, limits: Limits = LIMITS) -> tuple[Plan, Ask]:
    """A plan whose peers have proved 600, and the first question for headers."""
    plan = plan_at(limits=limits)
    for peer in peers:
        claim(plan, peer, 600)
    asks = plan.asks(0)
    assert kinds(asks) == [Kind.PROOF] * len(peers)
    found: list[Ask] = []
    for ask in asks:
        assert (ask.first, ask.claimed) == (600, CHAIN.hashes[600])
        assert plan.took_proof(ask, 0.1, PROVED[-1]) is None
    found = plan.asks(0.1)
    assert kinds(found) == [Kind.HEADERS]
    return plan, found[0]


def test_a_claim_is_proved_before_anything_is_asked_on_the_strength_of_it() -> None:
    begun(A, B)


def test_a_claim_within_the_gap_is_left_alone_for_a_while() -> None:
    plan = plan_at(597)
    claim(plan, A, 600)
    assert plan.asks(0) == []
    assert plan.progress is None
    assert plan.wake_at(0) == LIMITS.patience
    assert kinds(plan.asks(LIMITS.patience)) == [Kind.PROOF]


def test_a_chain_that_goes_on_gives_no_reason_to_ask() -> None:
    """Peers are a block ahead all the time, and the ledger follows."""
    plan = plan_at(100)
    for height in range(101, 400):
        claim(plan, A, height)
        claim(plan, B, min(600, height + 2))
        assert plan.asks(float(height)) == []
        plan.advance(height, CHAIN.hashes[height])


def test_claims_near_what_was_proved_need_no_new_proof() -> None:
    plan = plan_at()
    claim(plan, A, 100)
    (ask,) = plan.asks(0)
    plan.took_proof(ask, 0, PROVED[99])
    claim(plan, A, 600)
    assert kinds(plan.asks(0)) == [Kind.HEADERS]


def test_a_proof_reaches_no_further_than_the_validators_that_are_known() -> None:
    """What lies beyond the horizon can't be judged, and an honest peer would seem to lie."""
    plan = plan_at()
    plan.set_horizon(15)
    claim(plan, A, 14)
    claim(plan, B, 15)
    assert [(ask.first, ask.count) for ask in plan.asks(0)] == [(14, 2), (15, 1)]
    far = plan_at()
    far.set_horizon(600)
    claim(far, A, 14)
    assert [(ask.first, ask.count) for ask in far.asks(0)] == [(14, 16)]


def test_headers_stop_where_the_validators_are_not_known() -> None:
    plan = plan_at()
    plan.set_horizon(150)
    claim(plan, A, 600, provable=False)
    (ask,) = plan.asks(0)
    assert (ask.kind, ask.first, ask.count) == (Kind.HEADERS, 1, 100)
    plan.took_headers(ask, 0, headers(1, 100))
    (ask,) = [ask for ask in plan.asks(0) if ask.kind is Kind.HEADERS]
    assert (ask.first, ask.count) == (101, 50)
    plan.took_headers(ask, 0, headers(101, 150))
    assert Kind.HEADERS not in kinds(plan.asks(0))
    plan.set_horizon(300)
    claim(plan, B, 600, provable=False)
    assert Kind.HEADERS in kinds(plan.asks(0))


def test_headers_stay_within_their_window() -> None:
    plan, ask = begun(A, B)
    now = 0.1
    while True:
        plan.took_headers(ask, now, headers(ask.first, ask.first + ask.count - 1))
        asked = [ask for ask in plan.asks(now) if ask.kind is Kind.HEADERS]
        if not asked:
            break
        (ask,) = asked
    assert plan.tip[0] == LIMITS.headers_ahead


def test_ranges_of_bodies_go_to_different_peers_and_never_twice_in_time() -> None:
    plan, ask = begun(A, B, C)
    plan.took_headers(ask, 0.2, headers(1, 100))
    asked = [ask for ask in plan.asks(0.2) if ask.kind is Kind.BODIES]
    assert {ask.peer for ask in asked} == {A, B, C}
    heights = [h for ask in asked for h in range(ask.first, ask.first + ask.count)]
    assert sorted(heights) == list(range(1, len(heights) + 1))
    assert not [ask for ask in plan.asks(0.3) if ask.kind is Kind.BODIES]


def test_a_late_range_is_given_to_another_peer() -> None:
    plan, ask = begun(A, B)
    plan.took_headers(ask, 0.2, headers(1, 100))
    first = min(
        (ask for ask in plan.asks(0.2) if ask.kind is Kind.BODIES), key=lambda ask: ask.first
    )
    other = B if first.peer == A else A
    for ask in list(plan._asks.values()):
        if ask.peer == other and ask.kind is Kind.BODIES:
            plan.took_bodies(ask, 0.3, bodies(ask))
    again = [ask for ask in plan.asks(0.2 + LIMITS.slow) if ask.first == first.first]
    assert [(ask.kind, ask.peer) for ask in again] == [(Kind.BODIES, other)]
    plan.took_bodies(again[0], 2.5, bodies(again[0]))
    assert plan.ready() is not None
    plan.failed(first, 12.0)
    held = plan.held_bytes
    plan.took_bodies(first, 12.5, bodies(first))
    assert plan.held_bytes == held


def test_what_a_peer_left_out_is_asked_for_again() -> None:
    plan, ask = begun(A)
    plan.took_headers(ask, 0.2, headers(1, 100))
    ask = next(ask for ask in plan.asks(0.2) if ask.first == 1)
    plan.took_bodies(ask, 0.3, bodies(ask, 3))
    assert any(ask.first == 4 for ask in plan.asks(0.3))


def test_a_peer_that_failed_rests_longer_each_time() -> None:
    plan = plan_at()
    claim(plan, A, 600, provable=False)
    plan.set_horizon(600)
    now, pauses = 0.0, []
    for _ in range(8):
        (ask,) = plan.asks(now)
        plan.failed(ask, now)
        assert plan.asks(now) == []
        woken = plan.wake_at(now)
        assert woken is not None
        pauses.append(woken - now)
        now = woken
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_the_window_of_bytes_is_kept_but_what_is_next_is_always_asked_for() -> None:
    limits = Limits(window_bytes=10, answer_bytes=10)
    plan, ask = begun(A, B, limits=limits)
    plan.took_headers(ask, 0.2, headers(1, 100))
    asked = [ask for ask in plan.asks(0.2) if ask.kind is Kind.BODIES]
    assert [(ask.first, ask.count) for ask in asked] == [(1, 1)]


def test_a_fork_is_told_apart_from_a_slow_answer() -> None:
    other = Chain(600, salt=b"x", certified_every=600, after=(CHAIN, 60))
    theirs = check_headers([other.item(h) for h in range(61, 601)], 61, other.trust())
    plan, ask = begun(A)
    plan.took_headers(ask, 0.2, headers(1, 100))
    (ask,) = [ask for ask in plan.asks(0.2) if ask.kind is Kind.HEADERS]
    assert plan.took_headers(ask, 0.3, headers(90, 200)) is None
    assert plan.tip[0] == 200
    fork = plan.took_headers(ask, 0.3, theirs[40:60])
    assert fork is not None and fork.height == 101
    assert plan.advance(150, CHAIN.hashes[150]) is None
    fork = plan.advance(151, other.hashes[151])
    assert fork is not None and fork.theirs == CHAIN.hashes[151]


def test_who_claims_without_proof_is_asked_but_makes_nobody_call_itself_behind() -> None:
    """At the head of the chain, a peer claims an epoch that nobody knows, and is silent."""
    plan = plan_at(600)
    plan.set_horizon(800)
    claim(plan, A, 600)
    claim(plan, B, 10**6, provable=False)
    (ask,) = plan.asks(0)
    assert (ask.kind, ask.peer, ask.first) == (Kind.HEADERS, B, 601)
    assert plan.progress is None
    plan.failed(ask, 6.0)
    assert plan.asks(6.0) == []
    assert plan.progress is None


def test_what_a_peer_does_not_bear_out_any_more_is_not_shown() -> None:
    plan = plan_at(400)
    claim(plan, A, 500)
    (ask,) = plan.asks(0)
    plan.took_proof(ask, 0, PROVED[499])
    (ask,) = plan.asks(0)
    assert plan.progress is not None
    plan.took_headers(ask, 0, headers(401, 500))
    plan.advance(500, CHAIN.hashes[500])
    claim(plan, A, 590)
    (ask,) = [ask for ask in plan.asks(1) if ask.first == 501]
    assert plan.progress is not None
    plan.failed(ask, 7)
    plan.asks(7)
    assert plan.progress is None


def test_false_claims_do_not_show_in_the_progress() -> None:
    plan, _ = begun(A, B)
    claim(plan, C, 10**9)
    plan.asks(0.2)
    progress = plan.progress
    assert progress is not None and progress.highest == 600
    plan.set_horizon(400)
    claim(plan, A, 600, provable=False)
    claim(plan, B, 600, provable=False)
    claim(plan, C, 10**9, provable=False)
    progress = plan.progress
    assert progress is not None and progress.highest == 600
    assert plan.claimed == 10**9
    plan.forget(C)
    assert plan.claimed == 600


@pytest.mark.parametrize("seed", range(30))
def test_it_ends_whatever_most_peers_do(seed: int) -> None:
    """One honest peer of four; the others answer late, in part, or not at all."""
    drive(seed, honest=1, others=3)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 5))
def test_limits_hold_and_blocks_leave_in_order(seed: int, honest: int, others: int) -> None:
    drive(seed, honest, others)


def drive(seed: int, honest: int, others: int) -> None:
    """Run a plan against peers that are driven by a seed; asserts the limits throughout."""
    random = Random(seed)
    plan = plan_at()
    peers = [peer_id(number) for number in range(1, honest + others + 1)]
    good = set(peers[:honest])
    for peer in peers:
        claim(plan, peer, 600)
    waiting: list[tuple[float, int, Ask]] = []
    now, applied, turns = 0.0, 0, 0
    while applied < 600:
        turns += 1
        assert turns < 50_000
        for ask in plan.asks(now):
            late = random.random() * (0.3 if ask.peer in good else 15.0)
            heapq.heappush(waiting, (now + late, ask.number, ask))
        assert plan.open_asks <= LIMITS.asks_max
        for peer in peers:
            assert sum(ask.peer == peer for _, _, ask in waiting) <= LIMITS.asks_per_peer
        assert plan.held_bytes <= 2 * LIMITS.window_bytes
        assert plan.tip[0] <= applied + LIMITS.headers_ahead + LIMITS.headers_per_ask
        while (ready := plan.ready()) is not None and random.random() < 0.8:
            proved, block = ready
            assert proved.height == applied + 1 and block is CHAIN.blocks[applied + 1]
            applied += 1
            assert plan.advance(applied, proved.hash) is None
        woken = plan.wake_at(now)
        times = [time for time in (woken, waiting[0][0] if waiting else None) if time is not None]
        if plan.ready() is not None:
            times.append(now + 0.01)
        if not times:
            assert applied == 600
            return
        now = max(now, min(times))
        while waiting and waiting[0][0] <= now:
            answer(plan, heapq.heappop(waiting)[2], now, random, good)
    plan.asks(now)
    assert plan.progress is None


def answer(plan: Plan, ask: Ask, now: float, random: Random, good: set[PeerId]) -> None:
    if ask.peer not in good and random.random() < 0.7:
        plan.failed(ask, now)
        return
    last = min(600, ask.first + ask.count - 1)
    match ask.kind:
        case Kind.PROOF:
            assert plan.took_proof(ask, now, PROVED[ask.first - 1]) is None
        case Kind.HEADERS:
            end = last - last % 50 if last < 600 else last
            if end < ask.first:
                plan.failed(ask, now)
            else:
                assert plan.took_headers(ask, now, headers(ask.first, end)) is None
        case Kind.BODIES:
            plan.took_bodies(ask, now, bodies(ask, random.randint(1, ask.count)))


@pytest.mark.parametrize(
    ("progress", "speed", "line"),
    [
        (Progress(0, 0, 100), 0.0, "sync [" + "-" * 30 + "]   0%  0 of 100"),
        (
            Progress(100, 1_600, 3_100),
            50.0,
            "sync [" + "#" * 15 + "-" * 15 + "]  50%  1,600 of 3,100  50 blocks/s  30 s left",
        ),
        (
            Progress(0, 1, 1_000_000),
            100.0,
            "sync [" + "-" * 30 + "]   0%  1 of 1,000,000  100 blocks/s  2 h 46 min left",
        ),
        (Progress(5, 9, 9), 10.0, "sync [" + "#" * 30 + "] 100%  9 of 9"),
    ],
)
def test_a_line_says_how_far_it_is(progress: Progress, speed: float, line: str) -> None:
    assert progress_line(progress, speed) == line
