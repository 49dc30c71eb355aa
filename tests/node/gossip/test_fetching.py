"""Which announced transactions are asked for, and of whom."""

from hypothesis import given
from hypothesis import strategies as st

from chain.types import Hash
from node.gossip.fetching import WANTED_MAX, WANTED_PER_PEER_MAX, Wanted
from node.net.network import PeerId
from tests.support.network import peer_id

ONE, TWO = peer_id(1), peer_id(2)


def name(number: int) -> Hash:
    return Hash(number.to_bytes(32, "big"))


def test_one_peer_at_a_time_is_asked_and_the_other_when_it_fails() -> None:
    wanted = Wanted()
    wanted.add(name(1), 100, ONE)
    wanted.add(name(1), 100, TWO)
    assert wanted.take(ONE, 10, 1000) == (name(1),)
    assert wanted.take(TWO, 10, 1000) == ()
    assert wanted.done(ONE, [name(1)], ()) == [TWO]
    assert wanted.take(ONE, 10, 1000) == ()
    assert wanted.take(TWO, 10, 1000) == (name(1),)
    assert wanted.done(TWO, [name(1)], {name(1)}) == []
    assert len(wanted) == 0


def test_a_batch_is_bounded_by_count_and_by_announced_bytes() -> None:
    wanted = Wanted()
    for number in range(10):
        wanted.add(name(number), 400, ONE)
    assert len(wanted.take(ONE, 3, 10_000)) == 3
    assert len(wanted.take(ONE, 10, 1_000)) == 2
    assert wanted.fetches(ONE) == 2
    wanted.add(name(99), 10_000, TWO)
    assert wanted.take(TWO, 10, 1_000) == (name(99),)


def test_what_was_not_asked_after_all_can_be_asked_for_again() -> None:
    wanted = Wanted()
    wanted.add(name(1), 100, ONE)
    batch = wanted.take(ONE, 10, 1000)
    wanted.give_up(ONE, batch)
    assert wanted.fetches(ONE) == 0
    assert wanted.take(ONE, 10, 1000) == batch


def test_what_only_a_peer_that_left_had_is_no_longer_wanted() -> None:
    wanted = Wanted()
    wanted.add(name(1), 100, ONE)
    wanted.add(name(2), 100, ONE)
    wanted.add(name(2), 100, TWO)
    assert wanted.forget(ONE) == [TWO]
    assert len(wanted) == 1
    assert wanted.take(TWO, 10, 1000) == (name(2),)


def test_what_is_wanted_is_bounded_per_peer_and_in_all() -> None:
    wanted = Wanted()
    for number in range(WANTED_PER_PEER_MAX + 10):
        wanted.add(name(number), 100, ONE)
    assert len(wanted) == WANTED_PER_PEER_MAX
    for number in range(5 * WANTED_MAX):
        wanted.add(name(number), 100, peer_id(10 + number // WANTED_PER_PEER_MAX))
    assert len(wanted) <= WANTED_MAX


@given(st.data())
def test_nothing_is_ever_asked_of_two_at_once_or_left_behind(data: st.DataObject) -> None:
    """Whatever happens in whatever order, when all batches are done nothing is left."""
    wanted = Wanted()
    peers = [peer_id(number) for number in range(1, 5)]
    asked: list[tuple[PeerId, tuple[Hash, ...]]] = []
    for _ in range(data.draw(st.integers(0, 60))):
        peer = data.draw(st.sampled_from(peers))
        step = data.draw(st.sampled_from(["add", "add", "take", "done", "forget", "drop"]))
        if step == "add":
            wanted.add(name(data.draw(st.integers(0, 8))), 100, peer)
        elif step == "take":
            batch = wanted.take(peer, 3, 1000)
            under_way = {each for _, hashes in asked for each in hashes}
            assert not under_way & set(batch) or not batch
            if batch:
                asked.append((peer, batch))
        elif step == "done" and asked:
            by, batch = asked.pop(data.draw(st.integers(0, len(asked) - 1)))
            wanted.done(by, batch, data.draw(st.sets(st.sampled_from(batch))))
        elif step == "forget":
            wanted.forget(peer)
    for by, batch in asked:
        wanted.done(by, batch, ())
    for _ in range(20):
        for peer in peers:
            batch = wanted.take(peer, 100, 10**6)
            if batch:
                wanted.done(peer, batch, ())
    assert len(wanted) == 0
    assert not any(wanted.fetches(peer) for peer in peers)
