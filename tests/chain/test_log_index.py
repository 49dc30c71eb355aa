"""Heights found by addresses and topics are exactly those that have such logs."""

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import log_index
from chain.blocks import Log, Receipt
from chain.storage import MemoryStore, Store, schema
from chain.types import Address, Hash

ADDRESSES = [Address(bytes((number,)) * 20) for number in range(4)]
TOPICS = [Hash(bytes((number,)) * 32) for number in range(4)]
FAR = 70_000  # beyond one window of the index

LOGS = st.builds(
    Log,
    st.sampled_from(ADDRESSES),
    st.lists(st.sampled_from(TOPICS), max_size=4).map(tuple),
    st.just(b""),
)
CHAINS = st.dictionaries(
    st.one_of(st.integers(0, 60), st.integers(FAR, FAR + 30), st.integers(2 * FAR, 2 * FAR + 5)),
    st.lists(LOGS, max_size=4),
    max_size=40,
)
ALTERNATIVES = st.lists(st.sampled_from(TOPICS), max_size=3)


def receipt(logs: Sequence[Log]) -> Receipt:
    return Receipt(2, 1, None, 21_000, bytes(256), tuple(logs))


def index(chain: dict[int, list[Log]]) -> Store:
    store = MemoryStore()
    for height, logs in chain.items():
        # Two receipts: what they share is written once.
        rows = list(log_index.rows(height, [receipt(logs), receipt(logs[:1])]))
        assert len(rows) == len(set(rows))
        store.write([(schema.LOG_INDEX, key, b"") for key in rows], sync=False)
    return store


def matches(log: Log, addresses: Collection[Address], topics: Sequence[Collection[Hash]]) -> bool:
    if addresses and log.address not in addresses:
        return False
    padded = (*log.topics, *[None] * 4)
    return all(not wanted or padded[place] in wanted for place, wanted in enumerate(topics))


@given(
    chain=CHAINS,
    addresses=st.lists(st.sampled_from(ADDRESSES), max_size=3),
    topics=st.lists(ALTERNATIVES, max_size=4),
    bounds=st.tuples(st.integers(0, 70), st.one_of(st.integers(0, 80), st.just(3 * FAR))),
)
def test_what_matches_is_found_and_nothing_is_found_twice(
    chain: dict[int, list[Log]],
    addresses: list[Address],
    topics: list[list[Hash]],
    bounds: tuple[int, int],
) -> None:
    """Every height with a match is there, in order; those found have all values somewhere."""
    where = range(*bounds)
    found = list(log_index.find(index(chain), addresses, topics, where, lambda _: None))
    assert found == sorted(set(found))
    for height, logs in chain.items():
        if height in where and any(matches(log, addresses, topics) for log in logs):
            assert height in found
    for height in found:
        assert height in where
        logs = chain[height]
        assert not addresses or any(log.address in addresses for log in logs)
        for place, wanted in enumerate(topics):
            assert not wanted or any(
                len(log.topics) > place and log.topics[place] in wanted for log in logs
            )


def test_two_dense_values_that_rarely_meet_are_told_of_on_the_way() -> None:
    """Given values on even and on odd heights, the search ends when the caller has enough of it."""
    one, other = (Log(address, (), b"") for address in ADDRESSES[:2])
    marked = Log(ADDRESSES[0], (TOPICS[0],), b"")
    assert one.address != other.address
    store = index({height: [marked if height % 2 else other] for height in range(2_000)})
    seen: list[int] = []

    def tick(height: int) -> None:
        seen.append(height)
        if height > 500:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(log_index.find(store, [other.address], [[TOPICS[0]]], range(2_000), tick))
    assert seen == sorted(seen)


def test_a_block_without_logs_has_no_rows() -> None:
    assert list(log_index.rows(7, [receipt([]), receipt([])])) == []
