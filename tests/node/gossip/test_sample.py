"""A fair choice of a few out of many."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from node.gossip.sample import Sample


@given(st.integers(1, 20), st.lists(st.integers(), unique=True), st.integers(0, 2**32))
def test_what_is_chosen_was_put_in_and_is_as_much_as_there_is_room_for(
    most: int, items: list[int], seed: int
) -> None:
    sample: Sample[int] = Sample(most, Random(seed))
    for item in items:
        sample.put(item)
    chosen = sample.take()
    assert len(chosen) == len(set(chosen)) == min(most, len(items))
    assert set(chosen) <= set(items)
    assert sample.take() == []


def test_the_last_is_chosen_as_often_as_the_first() -> None:
    counts: Counter[int] = Counter()
    sample: Sample[int] = Sample(2, Random(1))
    for _ in range(10_000):
        for item in range(10):
            sample.put(item)
        counts.update(sample.take())
    assert all(1_800 < counts[item] < 2_200 for item in range(10))
