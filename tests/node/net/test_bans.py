"""Scores that fade, bans that end, and waits between dials."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from node.net.addresses import Address
from node.net.bans import BAN_POINTS, Bans, encode_bans, load_bans
from node.net.dialing import DialPlan
from node.net.network import Offence, PeerId

PEER = PeerId(b"\1" * 20)


def test_a_grave_offence_bans_at_once_and_a_slip_does_not() -> None:
    bans = Bans(60)
    assert not bans.offend(PEER, "127.0.0.1", Offence.FLOOD, "", 0.0)
    assert bans.banned(PEER, "127.0.0.1", 0.0) is None
    assert bans.offend(PEER, "127.0.0.1", Offence.BAD_BLOCK, "", 0.0)
    assert bans.banned(PEER, "127.0.0.1", 59.0) is not None
    assert bans.banned(PEER, "127.0.0.1", 60.0) is None


def test_points_fade() -> None:
    bans = Bans(60)
    for minute in range(100):
        assert not bans.offend(PEER, "127.0.0.1", Offence.FLOOD, "", minute * 60.0)
    for _ in range(2):
        bans.offend(PEER, "127.0.0.1", Offence.FLOOD, "", 6000.0)
    assert bans.score(PEER.hex(), 6000.0) < BAN_POINTS
    assert bans.score(PEER.hex(), 6600.0) < 1


def test_a_host_with_ever_new_keys_is_banned_and_this_machine_is_not() -> None:
    bans = Bans(60)
    for host in ("11.1.1.1", "127.0.0.1"):
        for number in range(10):
            bans.offend(PeerId(bytes([number]) * 20), host, Offence.MALFORMED, "", 0.0)
    assert bans.host_banned("11.1.1.1", 1.0) is not None
    assert bans.host_banned("127.0.0.1", 1.0) is None


def test_an_operators_ban_lasts_as_long_as_he_says_and_ends_when_he_says() -> None:
    bans = Bans(60)
    bans.ban("11.1.1.1", "x", 0.0, 5)
    bans.ban(PEER.hex(), "y", 0.0, 0)
    assert [ban.who for ban in bans.everyone(4.0)] == ["11.1.1.1", PEER.hex()]
    assert [ban.who for ban in bans.everyone(1e12)] == [PEER.hex()]
    assert bans.unban(PEER.hex())
    assert not bans.unban(PEER.hex())


def test_memory_is_bounded() -> None:
    bans = Bans(60)
    for number in range(10_000):
        bans.offend(PeerId(number.to_bytes(20, "big")), "", Offence.MALFORMED, "", 0.0)
        bans.offend(PeerId((number + 2**64).to_bytes(20, "big")), "", Offence.FLOOD, "", 0.0)
    assert len(bans.everyone(1.0)) == 4096
    assert len(bans._scores) <= 4096


@given(st.lists(st.tuples(st.text(max_size=64), st.floats(1, 1e9), st.text(max_size=200))))
def test_bans_read_back_as_they_are_stored(given_bans: list[tuple[str, float, str]]) -> None:
    bans, again = Bans(60), Bans(60)
    for who, seconds, why in given_bans:
        bans.ban(who, why, 0.0, seconds)
    load_bans(again, encode_bans(bans.everyone(0.0)))
    assert again.everyone(0.0) == bans.everyone(0.0)


def test_a_file_that_holds_no_bans_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        load_bans(Bans(60), b"{}")
    assert caught.value.reason is Reason.BAD_SETTING


# -- dialling --------------------------------------------------------------------------------------


def nobody(_: object) -> None:
    return None


def plan_of(*, persistent: int = 0, bootnodes: int = 0) -> DialPlan:
    plan = DialPlan(Random(1))
    for number in range(persistent):
        address = Address(PeerId(bytes([number]) * 20), "h", 1)
        plan.persistent[address.node] = address
    for number in range(100, 100 + bootnodes):
        address = Address(PeerId(bytes([number]) * 20), "h", 1)
        plan.bootnodes[address.node] = address
    return plan


def test_persistent_peers_are_dialled_beyond_what_is_wanted() -> None:
    plan = plan_of(persistent=3, bootnodes=1)
    assert len(plan.due(0.0, set(), 16, 0, nobody)) == 3
    assert len(plan.due(0.0, set(), 2, 0, nobody)) == 2
    assert len(plan.due(0.0, set(plan.persistent), 16, 5, nobody)) == 1


def test_a_persistent_peer_is_never_left_alone_for_more_than_two_seconds() -> None:
    plan = plan_of(persistent=1)
    (node,) = plan.persistent
    now = 0.0
    for _ in range(50):
        plan.failed(node, None, now)
        assert not plan.due(now, set(), 16, 0, nobody)
        now += 2.0
        assert plan.due(now, set(), 16, 0, nobody)


def test_others_wait_longer_each_time_and_those_of_another_version_a_minute_at_least() -> None:
    plan = plan_of(bootnodes=1)
    (node,) = plan.bootnodes
    plan.failed(node, Reason.WRONG_PROTOCOL_VERSION, 0.0)
    assert not plan.due(44.0, set(), 16, 1, nobody)
    assert plan.due(60.0, set(), 16, 1, nobody)
    for _ in range(20):
        plan.failed(node, None, 0.0)
    assert not plan.due(449.0, set(), 16, 1, nobody)
    assert plan.due(600.0, set(), 16, 1, nobody)
    plan.hurry(node)
    assert plan.due(0.0, set(), 16, 1, nobody)


def test_a_link_that_ends_at_once_is_a_failure_and_one_that_lasted_is_none() -> None:
    plan = plan_of(persistent=1)
    (node,) = plan.persistent
    for _ in range(9):
        plan.ended(node, 0.1, 0.0)
    assert not plan.due(1.4, set(), 16, 0, nobody)
    plan.ended(node, 100.0, 0.0)
    assert plan.due(0.26, set(), 16, 0, nobody)
