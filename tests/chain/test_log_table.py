"""Tables of a block's logs: found is what matches, all of it, in order."""

from collections.abc import Sequence
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from chain.blocks import Block, Log, Receipt
from chain.genesis import dev_genesis, genesis_block
from chain.log_table import LogTable, LogTables, PlacedLog, matches
from chain.transactions import Kind, Transaction, build_transaction, sign_transaction
from chain.types import Address, Hash

ADDRESSES = [Address(bytes((number,)) * 20) for number in range(3)]
TOPICS = [Hash(bytes((number,)) * 32) for number in range(3)]

one_log = st.builds(
    Log,
    st.sampled_from(ADDRESSES),
    st.lists(st.sampled_from(TOPICS), max_size=4).map(tuple),
    st.just(b""),
)
blocks = st.lists(st.lists(one_log, max_size=4).map(tuple), max_size=4)


@cache
def transactions(count: int) -> tuple[Transaction, ...]:
    return tuple(
        sign_transaction(
            build_transaction(
                kind=Kind.LEGACY, chain_id=1, nonce=nonce, gas_limit=21_000, max_fee=1,
                max_priority_fee=1, to=ADDRESSES[0], value=0, data=b"",
            ),
            bytes(31) + b"\x01",
        )
        for nonce in range(count)
    )  # fmt: skip


def table(logs: Sequence[tuple[Log, ...]], number: int = 0) -> LogTable:
    block = Block(genesis_block(dev_genesis(1))[0].header, transactions(len(logs)))
    receipts = [Receipt(0, 1, None, 0, bytes(256), each) for each in logs]
    return LogTable(block, Hash(number.to_bytes(32, "big")), receipts)


@given(
    blocks,
    st.lists(st.sampled_from(ADDRESSES), max_size=2),
    st.lists(st.lists(st.sampled_from(TOPICS), max_size=2), max_size=4),
)
def test_found_is_every_log_that_matches_in_order(
    logs: list[tuple[Log, ...]], addresses: list[Address], topics: list[list[Hash]]
) -> None:
    placed = [(log, at) for at, some in enumerate(logs) for log in some]
    expected = [
        PlacedLog(log, transactions(len(logs))[at].hash, at, index)
        for index, (log, at) in enumerate(placed)
        if matches(addresses, topics, log)
    ]
    assert list(table(logs).find(addresses, topics)) == expected


def test_more_places_than_a_log_has_topics_match_nothing_even_if_any_would_do() -> None:
    log = Log(ADDRESSES[0], (TOPICS[0],), b"")
    assert list(table([(log,)]).find([], [[], []])) == []
    assert len(list(table([(log,)]).find([], [[]]))) == 1


def test_the_tables_asked_for_last_are_kept_within_the_limit() -> None:
    log = Log(ADDRESSES[0], (), b"")
    tables = LogTables(logs_max=20)
    for number in range(5):
        tables.put(table([(log,) * 4], number))
        tables.get(Hash(bytes(32)))  # the first one is asked for again and again
    kept = [number for number in range(5) if tables.get(Hash(number.to_bytes(32, "big")))]
    assert kept == [0, 2, 3, 4]
    assert len(tables) == len(kept)


def test_a_table_too_large_for_the_limit_is_kept_alone() -> None:
    log = Log(ADDRESSES[0], (), b"")
    tables = LogTables(logs_max=2)
    tables.put(table([(log,)], 1))
    tables.put(table([(log,) * 10], 2))
    assert tables.get(Hash((1).to_bytes(32, "big"))) is None
    assert tables.get(Hash((2).to_bytes(32, "big"))) is not None
