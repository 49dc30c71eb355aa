"""erigon_*: headers, blocks by their time and what else explorers ask of Erigon."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.node.rpc.serving import COUNTER_INITCODE, OTHER, Served

UNKNOWN = "0x" + "1".rjust(64, "0")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as served:
        for _ in range(3):
            served.send(to=OTHER)
        yield served


@pytest.fixture(scope="module")
def logging(served: Served) -> dict[str, Any]:
    """The receipt of a call that logs."""
    counter = served.send(data=COUNTER_INITCODE)["contractAddress"]
    receipt = served.send(to=counter)
    assert receipt["logs"]
    return receipt


def test_a_header_is_given_to_those_who_look_for_erigon(served: Served) -> None:
    header = served.call("erigon_getHeaderByNumber", "latest")
    assert header == served.call("eth_getHeaderByNumber", "latest")
    assert served.call("erigon_getHeaderByNumber", int(header["number"], 16)) == header
    assert served.call("erigon_getHeaderByHash", header["hash"]) == header
    assert served.call("erigon_getHeaderByNumber", 10**6) is None
    assert served.call("erigon_getHeaderByHash", UNKNOWN) is None


def test_a_tag_stands_for_a_height(served: Served) -> None:
    head = served.call("eth_blockNumber")
    assert served.call("erigon_blockNumber") == head
    assert served.call("erigon_blockNumber", "finalized") == head
    assert served.call("erigon_blockNumber", "earliest") == "0x0"


@pytest.mark.parametrize("form", [hex, str, int])
def test_a_block_is_found_by_its_time(served: Served, form: Any) -> None:
    """The first that is no older, and the head for what is still to come."""
    blocks = [served.call("eth_getBlockByNumber", hex(height), False) for height in range(4)]
    times = [int(block["timestamp"], 16) for block in blocks]
    for time in (times[0], times[0] + 1, times[1], times[2], times[3]):
        expected = next(item for item in blocks if int(item["timestamp"], 16) >= time)
        assert served.call("erigon_getBlockByTimestamp", form(time)) == expected
    head = served.call("eth_getBlockByNumber", "latest", True)
    assert served.call("erigon_getBlockByTimestamp", form(2**40), True) == head


def test_the_genesis_and_the_times_of_the_rules_are_told(served: Served) -> None:
    told = served.call("erigon_forks")
    assert told["genesis"] == served.call("eth_getBlockByNumber", "earliest", False)["hash"]
    assert told["heightForks"] == told["timeForks"] == []


def test_the_logs_and_receipts_of_a_block_are_got_by_its_hash(
    served: Served, logging: dict[str, Any]
) -> None:
    assert served.call("erigon_getLogsByHash", logging["blockHash"]) == [logging["logs"]]
    assert served.call("erigon_getBlockReceiptsByBlockHash", logging["blockHash"]) == [logging]
    plain = served.send(to=OTHER)
    assert served.call("erigon_getLogsByHash", plain["blockHash"]) == [None]
    assert served.call("erigon_getLogsByHash", UNKNOWN) is None
    refused = served.refusal("erigon_getBlockReceiptsByBlockHash", UNKNOWN)
    assert (refused.code, refused.message) == (-32000, f"block not found {UNKNOWN[2:]}")
