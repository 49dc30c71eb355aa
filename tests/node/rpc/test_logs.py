"""eth_getLogs over long ranges: by the index, by blooms where there is none, within limits."""

from collections.abc import Iterator
from typing import Any

import pytest

from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage import schema
from chain.storage.memory import MemoryStore
from chain.storage.store import Change
from tests.node.rpc.serving import COUNTED, COUNTER_INITCODE, OTHER, Refused, Served

WHOLE = {"fromBlock": "0x0", "toBlock": "latest"}


@pytest.fixture(scope="module")
def old() -> Iterator[tuple[Served, str, list[Any]]]:
    """A ledger whose first blocks are from before there was an index, a counter, and its logs."""
    store = MemoryStore()
    with Served(ledger=Ledger.open(store, dev_genesis())) as served:
        address: str = served.send(data=COUNTER_INITCODE)["contractAddress"]
        logs = [served.send(to=address)["logs"][0] for _ in range(3)]
        served.send(to=OTHER)
        snapshot = contents(store)
    younger = MemoryStore()
    rows = [change for change in snapshot if change[0] != schema.LOG_INDEX]
    rows.append((schema.META, schema.SCHEMA, (1).to_bytes(4, "big")))
    younger.write(rows, sync=True)
    with Served(ledger=Ledger.open(younger)) as served:
        logs += [served.send(to=address)["logs"][0] for _ in range(2)]
        yield served, address, logs


def contents(store: MemoryStore) -> list[Change]:
    return [(table, *pair) for table in schema.TABLES for pair in store.scan(table, b"")]


def test_old_blocks_are_searched_as_well_as_indexed_ones(
    old: tuple[Served, str, list[Any]],
) -> None:
    served, address, logs = old
    for wanted in ({}, {"address": address}, {"topics": [[COUNTED]]}):
        assert served.call("eth_getLogs", {**WHOLE, **wanted}) == logs
    assert served.call("eth_getLogs", {**WHOLE, "address": OTHER}) == []
    assert served.call("eth_getLogs", {**WHOLE, "topics": [None, COUNTED]}) == []


def test_the_range_that_a_refusal_names_can_be_walked_to_the_end() -> None:
    """Following each refusal's advice, all logs come, each once."""
    with Served(rpc={"logs_max": 2}) as small:
        address = small.send(data=COUNTER_INITCODE)["contractAddress"]
        logs = [small.send(to=address)["logs"][0] for _ in range(7)]
        head = int(small.call("eth_blockNumber"), 16)
        found: list[Any] = []
        first, last = 0, head
        while first <= head:
            wanted = {"fromBlock": hex(first), "toBlock": hex(last), "address": address}
            try:
                found += small.call("eth_getLogs", wanted)
            except Refused as refused:
                assert refused.code == -32005
                last = int(refused.data["to"], 16)
                continue
            first, last = last + 1, head
        assert found == logs


def test_blocks_taken_back_leave_no_logs() -> None:
    store = MemoryStore()
    with Served(ledger=Ledger.open(store, dev_genesis())) as served:
        address = served.send(data=COUNTER_INITCODE)["contractAddress"]
        logs = [served.send(to=address)["logs"][0] for _ in range(3)]
        kept = contents(store)
    again = MemoryStore()
    again.write(kept, sync=True)
    ledger = Ledger.open(again)
    ledger.rollback(ledger.height_of(bytes.fromhex(logs[1]["blockHash"][2:])))
    assert len([1 for _ in again.scan(schema.LOG_INDEX, b"")]) == 3 * 2
    with Served(ledger=ledger) as served:
        assert served.call("eth_getLogs", {**WHOLE, "address": address}) == logs[:2]
