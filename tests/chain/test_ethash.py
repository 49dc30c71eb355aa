"""Proof of work: sizes and seeds of epochs, and words that move sixteen at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import ethash


@pytest.mark.parametrize(
    ("number", "cache", "dataset"),
    [
        (0, 16_776_896, 1_073_739_904),
        (29_999, 16_776_896, 1_073_739_904),
        (30_000, 16_907_456, 1_082_130_304),
        (2_047 * 30_000, 285_081_536, 18_245_220_736),
    ],
)
def test_epochs_have_the_sizes_of_the_yellow_papers_appendix(
    number: int, cache: int, dataset: int
) -> None:
    assert ethash.cache_bytes(number) == cache
    assert ethash.dataset_bytes(number) == dataset


def test_the_seed_is_hashed_once_an_epoch() -> None:
    assert ethash.seed_hash(29_999) == bytes(32)
    assert ethash.seed_hash(30_000).hex() == (
        "290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563"
    )


@given(st.binary(min_size=64, max_size=64))
def test_words_come_back_from_their_lanes(data: bytes) -> None:
    assert ethash._gather(ethash._spread(data)) == data


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=64, max_size=64))
def test_sixteen_words_are_mixed_as_one_by_one(left: bytes, right: bytes) -> None:
    """FNV on spread words equals FNV on each word."""
    mixed = (ethash._spread(left) * ethash._PRIME & ethash._WORDS) ^ ethash._spread(right)
    for at in range(0, 64, 4):
        a, b = (int.from_bytes(data[at : at + 4], "little") for data in (left, right))
        expected = (a * 0x01000193 % 2**32) ^ b
        assert ethash._gather(mixed)[at : at + 4] == expected.to_bytes(4, "little")
