"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from node.gossip.buckets import Bucket


def test_a_bucket_starts_full_and_fills_again_with_time() -> None:
    bucket = Bucket(10, 2, 0)
    assert bucket.take(10, 0)
    assert not bucket.take(1, 0.4)
    assert bucket.take(1, 0.5)
    assert bucket.level(1000) == 10


def test_what_is_charged_is_owed_up_to_one_capacity() -> None:
    bucket = Bucket(10, 1, 0)
    bucket.charge(1000, 0)
    assert bucket.level(0) == -10
    assert not bucket.take(1, 10)
    assert bucket.take(1, 11)


def test_a_complaint_is_made_once_in_a_while() -> None:
    bucket = Bucket(2, 0.001, 0)
    assert not bucket.overdrawn(0, 5)
    bucket.charge(4, 0)
    assert [bucket.overdrawn(now, 5) for now in (0, 1, 4.9, 5, 6)] == [
        True,
        False,
        False,
        True,
        False,
    ]


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 20)), max_size=50))
def test_no_more_is_taken_than_was_there_and_came(steps: list[tuple[float, float]]) -> None:
    bucket = Bucket(10, 2, 0)
    now = taken = 0.0
    for pause, amount in steps:
        now += pause
        if bucket.take(amount, now):
            taken += amount
    assert taken <= 10 + 2 * now + 1e-6
