"""A ledger that stands still is noticed once, named with who is missing, and told to go on."""

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.ledger_rules import GenesisValidator, LedgerRules
from chain.types import ZERO_HASH, Address
from chain.validators import Validator, validator_set
from node.settings import ChainSettings
from node.watch.observation import Observation
from node.watch.standstill import (
    QUIET_SECONDS_MIN,
    REPEAT_SECONDS_MAX,
    Pace,
    Resumed,
    Standing,
    StandstillWatch,
    describe,
    pace_of,
    watch_standstill,
)

MEMBERS = tuple(Validator(Address(bytes((place,)) * 20), 1) for place in (1, 2, 3, 4))
STEADY = Pace(1_000, True, 0)
IDLE = Pace(0, False, 0)


def seen(**fields: Any) -> Observation:
    return replace(
        Observation(
            chain_id=7,
            height=5,
            head_hash=ZERO_HASH,
            head_time_ms=0,
            head_gas_used=0,
            gas_limit=30_000_000,
            base_fee=0,
            epoch=0,
            view=9,
            view_seconds=60.0,
            validators=MEMBERS,
            heard={MEMBERS[0].address: 9, MEMBERS[1].address: 9, MEMBERS[2].address: 8},
            networked=True,
            peers_in=2,
        ),
        **fields,
    )


def said(
    watch: StandstillWatch, until: int, since: int = 0, **fields: Any
) -> list[tuple[int, Standing | Resumed]]:
    """What is said, looking once a second."""
    found = ((now, watch.look(seen(**fields), float(now))) for now in range(since, until))
    return [(now, notice) for now, notice in found if notice is not None]


def test_a_ledger_that_stands_still_is_warned_of_at_growing_intervals() -> None:
    warnings = said(StandstillWatch(STEADY), 4_000)
    moments = [now for now, _ in warnings]
    assert moments == [10, 20, 40, 80, 160, 320, 640, 1240, 1840, 2440, 3040, 3640]
    gaps = [later - now for now, later in pairwise(moments)]
    assert max(gaps) == REPEAT_SECONDS_MAX


def test_the_warning_names_who_is_missing_and_what_a_quorum_lacks() -> None:
    _, standing = said(StandstillWatch(STEADY), 11)[0]
    assert standing == Standing(5, 10.0, 0, MEMBERS[2:], 1, 4, True, False)
    assert isinstance(standing, Standing)
    assert describe(standing) == (
        "no block became final for 10 s after height 5, although one was due; "
        f"missing: 0x{'03' * 20} (power 1), 0x{'04' * 20} (power 1); a quorum lacks power 1 of 4"
    )


@given(st.lists(st.integers(1, 100), min_size=2, max_size=6), st.data())
def test_the_lacking_power_is_the_least_that_makes_a_quorum(
    powers: list[int], data: st.DataObject
) -> None:
    members = [Validator(Address(bytes((i + 1,)) * 20), power) for i, power in enumerate(powers)]
    absent = data.draw(st.sets(st.sampled_from(members[1:]), min_size=1))
    heard = {member.address: 9 for member in members if member not in absent}
    fields = {"validators": tuple(members), "heard": heard}
    _, standing = said(StandstillWatch(STEADY), 11, **fields)[0]
    assert isinstance(standing, Standing)
    present = sum(member.power for member in members if member not in absent)
    quorum = validator_set(members).quorum
    assert quorum(present + standing.lacking_power)
    assert standing.lacking_power == 0 or not quorum(present + standing.lacking_power - 1)


def test_many_missing_are_counted_rather_than_listed() -> None:
    members = tuple(Validator(Address(bytes((i + 1,)) * 20), 1) for i in range(100))
    fields = {"validators": members, "heard": {members[0].address: 9}}
    _, standing = said(StandstillWatch(STEADY), 11, **fields)[0]
    assert isinstance(standing, Standing)
    text = describe(standing)
    assert "and 79 more; a quorum lacks power 66 of 100" in text
    assert text.count("0x") == 20


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"heard": {m.address: 9 for m in MEMBERS}}, "; every validator is heard of"),
        ({"heard": {}}, ""),
        ({"heard": {}, "peers_in": 0}, "; this node has no peers"),
        (
            {"heard": {m.address: 9 for m in MEMBERS[:3]}},
            f"; missing: 0x{'04' * 20} (power 1); those heard of are a quorum",
        ),
    ],
)
def test_what_else_may_be_wrong_is_said(fields: dict[str, Any], text: str) -> None:
    _, standing = said(StandstillWatch(STEADY), 11, **fields)[0]
    assert isinstance(standing, Standing)
    assert describe(standing) == (
        f"no block became final for 10 s after height 5, although one was due{text}"
    )


def test_the_first_block_after_a_warning_ends_the_standstill() -> None:
    watch = StandstillWatch(STEADY)
    assert len(said(watch, 15)) == 1
    assert said(watch, 31, since=31 - 1, height=6) == [(30, Resumed(6, 30.0))]
    assert said(watch, 40, since=31, height=6) == []
    assert [now for now, _ in said(watch, 45, since=40, height=6)] == [40]


def test_a_pause_that_nobody_was_warned_of_ends_silently() -> None:
    watch = StandstillWatch(STEADY)
    assert said(watch, 10) == []
    assert said(watch, 12, since=10, height=6) == []


def test_a_ledger_that_rests_is_not_warned_of() -> None:
    assert said(StandstillWatch(IDLE), 5_000) == []


def test_waiting_transactions_are_a_reason_for_a_block_from_when_they_came() -> None:
    watch = StandstillWatch(IDLE)
    assert said(watch, 1_000) == []
    found = said(watch, 1_020, since=1_000, work_waiting=True, pool_pending=3)
    moment, standing = found[0]
    assert isinstance(standing, Standing)
    assert moment == 1_000 + QUIET_SECONDS_MIN
    assert (standing.pending, standing.seconds) == (3, QUIET_SECONDS_MIN)


def test_the_reason_may_go_away() -> None:
    watch = StandstillWatch(IDLE)
    assert said(watch, 4, work_waiting=True) == []
    assert said(watch, 10, since=4) == []
    assert said(watch, 14, since=10, work_waiting=True) == []


def test_a_heartbeat_that_does_not_come_is_noticed() -> None:
    moments = [now for now, _ in said(StandstillWatch(Pace(0, False, 60_000)), 67)]
    assert moments == [66]


def test_a_node_that_follows_the_others_is_not_standing_still() -> None:
    watch = StandstillWatch(STEADY)
    assert said(watch, 100, syncing=True) == []
    assert [now for now, _ in said(watch, 115, since=100)] == [110]


def test_the_pace_is_the_genesis_or_a_developers_own() -> None:
    rules = LedgerRules(
        (GenesisValidator(MEMBERS[0].address, 1),), 250, empty_blocks=False, heartbeat_ms=9
    )
    assert pace_of(rules, ChainSettings(block_time=3.0)) == Pace(250, False, 9)
    assert pace_of(LedgerRules(), ChainSettings(block_time=1.5)) == Pace(1_500, True, 0)


class Still:
    """A node whose height never changes."""

    def observation(self) -> Observation:
        return seen()


def test_the_log_gets_the_facts_beside_the_words(caplog: pytest.LogCaptureFixture) -> None:
    moments = iter((0.0, 12.0))

    def clock() -> float:
        try:
            return next(moments)
        except StopIteration:
            raise asyncio.CancelledError from None

    async def sleep(_: float) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr("node.watch.standstill.asyncio.sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(watch_standstill(Still(), STEADY, clock))
    (record,) = caplog.records
    facts = vars(record)
    assert facts["height"] == 5
    assert facts["lacking_power"] == 1
    assert facts["missing"][1] == {"validator": f"0x{'04' * 20}", "power": 1}
