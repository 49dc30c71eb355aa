"""Compact blocks: what was left out is found again, and nothing wrong is ever found."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.blocks import encode_block
from chain.errors import Reason, Rejected
from chain.transactions import Checked
from chain.types import Hash
from chain.validators import encode_record
from node.gossip.compact import (
    PREFIX_BYTES,
    SHORT_ID_BYTES,
    Compactor,
    check_block,
    open_compact,
    short_ids,
)
from node.gossip.index import PoolIndex
from tests.node.gossip.plain_blocks import proposed
from tests.node.gossip.plain_pool import PlainPool, transfer

SALT = b"saltsalt"


def pool_of(numbers: Sequence[int]) -> PlainPool:
    pool = PlainPool()
    for number in numbers:
        pool.admit(transfer(number))
    return pool


def has_all(_: Hash) -> bool:
    return True


def has_none(_: Hash) -> bool:
    return False


def test_a_block_whose_transactions_are_all_pooled_is_rebuilt_with_its_senders() -> None:
    _, block = proposed([transfer(number) for number in range(40)])
    compact = Compactor(block, SALT).build(has_all)
    assert all(len(entry) == SHORT_ID_BYTES for entry in compact.entries)
    rebuild = open_compact(compact, block.hash, PoolIndex(pool_of(range(100))).find)
    assert rebuild.missing == []
    assert rebuild.finish() == block


def test_a_receiver_without_a_pool_gets_everything_and_no_senders() -> None:
    _, block = proposed([transfer(number) for number in range(20)])
    compact = Compactor(block, SALT).build(has_none)
    rebuilt = open_compact(compact, block.hash, PoolIndex(PlainPool()).find).finish()
    assert rebuilt == replace(block, senders=(None,) * 20)


def test_what_is_being_checked_is_taken_without_its_sender() -> None:
    numbers = range(10)
    _, block = proposed([transfer(number) for number in numbers])
    compact = Compactor(block, SALT).build(has_all)
    late = [transfer(number).transaction for number in numbers[5:]]
    rebuild = open_compact(
        compact,
        block.hash,
        PoolIndex(pool_of(numbers[:5])).find,
        lambda prefixes: [
            (each.hash, each.raw) for each in late if each.hash[:PREFIX_BYTES] in prefixes
        ],
    )
    assert rebuild.missing == []
    assert rebuild.finish() == replace(block, senders=(*block.senders[:5], *(None,) * 5))


def test_what_is_being_checked_and_is_no_transaction_stays_missing() -> None:
    _, block = proposed([transfer(0)])
    compact = Compactor(block, SALT).build(has_all)
    claimed = [(transfer(0).transaction.hash, b"\x03")]
    rebuild = open_compact(compact, block.hash, lambda prefix: (), lambda prefixes: claimed)
    assert rebuild.missing == [0]


def test_a_block_without_transactions_is_rebuilt() -> None:
    _, block = proposed([])
    compact = Compactor(block, SALT).build(has_all)
    assert open_compact(compact, block.hash, PoolIndex(PlainPool()).find).finish() == block


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 60), unique=True, max_size=40),
    st.sets(st.integers(0, 60)),
    st.sets(st.integers(0, 60)),
    st.binary(min_size=8, max_size=8),
)
def test_what_the_pool_lacks_is_asked_for_and_completes_the_block(
    inside: list[int], thought: set[int], pooled: set[int], salt: bytes
) -> None:
    """Whatever the sender thinks and the receiver has, the block comes out as it was."""
    _, block = proposed([transfer(number) for number in inside])
    believed = {transfer(number).transaction.hash for number in thought}
    compact = Compactor(block, salt).build(believed.__contains__)
    rebuild = open_compact(compact, block.hash, PoolIndex(pool_of(sorted(pooled))).find)
    lacking = [at for at, number in enumerate(inside) if number in thought - pooled]
    assert rebuild.missing == lacking
    rebuild.fill([block.block.transactions[at].raw for at in lacking])
    assert rebuild.finish().block == block.block


def test_two_pooled_transactions_with_one_prefix_are_told_apart_by_the_salted_half() -> None:
    """Who grinds equal first halves gains nothing: the second half depends on the salt."""
    _, block = proposed([transfer(1)])
    compact = Compactor(block, SALT).build(has_all)

    def find(prefix: bytes) -> Sequence[Checked]:
        return [transfer(2), transfer(1), transfer(3)]

    assert open_compact(compact, block.hash, find).finish() == block


def test_a_short_id_that_stands_for_two_transactions_is_asked_for() -> None:
    _, block = proposed([transfer(1), transfer(2)])
    compact = Compactor(block, SALT).build(has_all)
    twin = transfer(1)

    def find(prefix: bytes) -> Sequence[Checked]:
        pooled = PoolIndex(pool_of([1, 2])).find(prefix)
        return [*pooled, twin] if twin in pooled else pooled

    rebuild = open_compact(compact, block.hash, find)
    assert rebuild.missing == [0]
    rebuild.fill([transfer(1).transaction.raw])
    assert rebuild.finish().block == block.block


def test_a_wrong_transaction_in_the_place_of_a_right_one_is_found_out() -> None:
    _, block = proposed([transfer(1), transfer(2)])
    compact = Compactor(block, SALT).build(has_none)
    forged = replace(compact, entries=(compact.entries[0], transfer(3).transaction.raw))
    rebuild = open_compact(forged, block.hash, PoolIndex(PlainPool()).find)
    with pytest.raises(Rejected) as rejected:
        rebuild.finish()
    assert rejected.value.reason is Reason.WRONG_TRANSACTIONS_ROOT


def test_an_unfinished_block_is_none() -> None:
    _, block = proposed([transfer(1)])
    rebuild = open_compact(
        Compactor(block, SALT).build(has_all), block.hash, PoolIndex(PlainPool()).find
    )
    with pytest.raises(Rejected) as rejected:
        rebuild.finish()
    assert rejected.value.reason is Reason.BAD_BLOCK


@pytest.mark.parametrize("raws", [[], [transfer(1).transaction.raw] * 2])
def test_more_or_fewer_transactions_than_asked_for_are_refused(raws: list[bytes]) -> None:
    _, block = proposed([transfer(1)])
    rebuild = open_compact(
        Compactor(block, SALT).build(has_all), block.hash, PoolIndex(PlainPool()).find
    )
    with pytest.raises(Rejected) as rejected:
        rebuild.fill(raws)
    assert rejected.value.reason is Reason.BAD_BLOCK


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: replace(c, header=b"\xc0"), Reason.BAD_BLOCK),
        (lambda c: replace(c, header=b"\xff"), Reason.BAD_RLP),
        (lambda c: replace(c, record=b"\xc0"), Reason.BAD_BLOCK),
        (lambda c: replace(c, record=encode_record(proposed([], view=9)[1].record)), None),
        (lambda c: replace(c, entries=(b"", *c.entries[1:])), Reason.BAD_BLOCK),
        (lambda c: replace(c, entries=(b"seven b", *c.entries[1:])), Reason.BAD_BLOCK),
        (lambda c: replace(c, entries=(b"\x05no transaction", *c.entries[1:])), None),
        (lambda c: replace(c, entries=c.entries * 2), Reason.BAD_BLOCK),
    ],
)
def test_what_does_not_belong_to_the_block_is_refused(
    change: Callable[..., object], reason: Reason | None
) -> None:
    _, block = proposed([transfer(number) for number in range(3)])
    compact = Compactor(block, SALT).build(has_all)
    with pytest.raises(Rejected) as rejected:
        open_compact(change(compact), block.hash, PoolIndex(PlainPool()).find)  # type: ignore[arg-type]
    assert rejected.value.reason is reason or reason is None


def test_a_header_of_another_hash_is_refused() -> None:
    _, block = proposed([transfer(1)])
    with pytest.raises(Rejected) as rejected:
        open_compact(Compactor(block, SALT).build(has_all), Hash(bytes(32)), lambda _: [])
    assert rejected.value.reason is Reason.BAD_BLOCK


def test_a_whole_block_is_held_to_the_hash_that_was_asked_for() -> None:
    _, block = proposed([transfer(1)])
    record, data = encode_record(block.record), encode_block(block.block)
    assert check_block(record, data, block.hash).block == block.block
    _, other = proposed([transfer(2)])
    with pytest.raises(Rejected) as rejected:
        check_block(record, data, other.hash)
    assert rejected.value.reason is Reason.BAD_BLOCK
    swapped = replace(block.block, transactions=other.block.transactions)
    with pytest.raises(Rejected) as rejected:
        check_block(record, encode_block(swapped), block.hash)
    assert rejected.value.reason is Reason.WRONG_TRANSACTIONS_ROOT


def test_short_ids_begin_with_the_hash_and_end_with_the_salt() -> None:
    hashes = [transfer(number).transaction.hash for number in range(20)]
    one, two = short_ids(b"a" * 8, hashes), short_ids(b"b" * 8, hashes)
    assert all(short[:PREFIX_BYTES] == each[:PREFIX_BYTES] for short, each in zip(one, hashes))
    assert not set(one) & set(two)


def test_the_index_forgets_what_left_the_pool() -> None:
    pool = PlainPool()
    index = PoolIndex(pool)
    for number in range(6000):
        checked = transfer(number)
        pool.admit(checked)
        index.add(checked.transaction.hash)
        if number >= 10:
            del pool.checked[transfer(number - 10).transaction.hash]
    assert index._count <= 2 * len(pool) + 4096
    assert index.find(transfer(0).transaction.hash[:PREFIX_BYTES]) == []
    assert index.find(transfer(5999).transaction.hash[:PREFIX_BYTES]) == [transfer(5999)]
