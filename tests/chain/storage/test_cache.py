"""A cache is never wrong, only forgetful, and never grows beyond its bound."""

from hypothesis import given
from hypothesis import strategies as st

from chain.storage.cache import MISSING, Cache


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 99), st.booleans())),
)
def test_a_cache_answers_with_the_last_value_or_not_at_all(
    entries: int, steps: list[tuple[int, int | None, bool]]
) -> None:
    """None is a value like any other."""
    cache: Cache[int, int | None] = Cache(entries)
    model: dict[int, int | None] = {}
    for key, value, puts in steps:
        if puts:
            cache.put(key, value)
            model[key] = value
            assert cache.get(key) == value or entries < 4
        found = cache.get(key)
        assert found is MISSING or found == model[key]
        assert len(cache) <= max(2, entries)


def test_what_was_used_last_is_kept() -> None:
    cache: Cache[int, int] = Cache(8)
    for key in range(100):
        cache.put(key, key)
        assert cache.get(0) == 0
    assert cache.get(50) is MISSING
    cache.put_all({key: -key for key in range(3)})
    assert cache.get(2) == -2
    cache.clear()
    assert cache.get(2) is MISSING
    assert len(cache) == 0
