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


# -- logs ------------------------------------------------------------------------------------------

# log2(0, 0, 7, 5) log1(0, 0, 5):  push1 7 push1 5 push1 0 push1 0 log2 push1 5 push1 0 push1 0 log1
TWICE = "6007600560006000a2" + "600560006000a1" + "00"
FIVE, SEVEN = ("0x" + f"{topic:064x}" for topic in (5, 7))


@pytest.fixture(scope="module")
def twice() -> Iterator[tuple[Served, str, list[list[dict[str, Any]]]]]:
    """A chain on which four transactions log twice each, between others that don't."""
    with Served() as served:
        code = f"0x60{len(TWICE) // 2:02x}80600b6000396000f3{TWICE}"
        contract = served.send(data=code)["contractAddress"]
        logs = []
        for _ in range(4):
            logs.append([_timed(log) for log in served.send(to=contract)["logs"]])
            served.send(to=OTHER)
        yield served, contract, logs


def _timed(log: dict[str, Any]) -> dict[str, Any]:
    fields = dict(log)
    fields["timestamp"] = fields.pop("blockTimestamp")
    return fields


def test_logs_have_the_time_of_their_block(twice: Any) -> None:
    served, contract, logs = twice
    everything = [log for of_one in logs for log in of_one]
    assert served.call("erigon_getLogs", {"address": contract}) == everything
    assert served.call("erigon_getLogs", {}) == everything
    assert served.call("erigon_getLogs", {"toBlock": "0xffffff"}) == everything
    of_one = served.call("erigon_getLogs", {"blockHash": logs[1][0]["blockHash"]})
    assert of_one == logs[1]


def test_the_newest_logs_come_first_by_transaction(twice: Any) -> None:
    served, contract, logs = twice
    newest = [log for of_one in reversed(logs) for log in of_one]
    for count in (1, 2, 3, 8, 20):
        found = served.call("erigon_getLatestLogs", {"address": contract}, {"logCount": count})
        assert found == newest[:count]
    for count in (1, 3, 9):
        found = served.call("erigon_getLatestLogs", {"address": contract}, {"blockCount": count})
        assert found == newest[: 2 * count]
    assert served.call("erigon_getLatestLogs", {"address": contract}, {}) == newest[:1]
    nobody = {"address": OTHER}
    assert served.call("erigon_getLatestLogs", nobody, {"logCount": 5}) == []


def test_topics_may_match_in_any_position(twice: Any) -> None:
    served, _, logs = twice
    asked = {"topics": [[FIVE], [SEVEN]]}
    firsts = [of_one[0] for of_one in reversed(logs)]
    assert served.call("erigon_getLatestLogs", asked, {"logCount": 9}) == firsts
    anywhere = {"logCount": 9, "ignoreTopicsOrder": True}
    assert served.call("erigon_getLatestLogs", {"topics": [[SEVEN]]}, anywhere) == firsts
    assert len(served.call("erigon_getLatestLogs", {"topics": [[FIVE]]}, anywhere)) == 8
    assert len(served.call("erigon_getLatestLogs", {"topics": []}, anywhere)) == 8


def test_the_newest_logs_of_many_are_got_without_reading_all(twice: Any) -> None:
    """Given a chain with more logs than one answer may have, the newest come all the same."""
    with Served(rpc={"logs_max": 2}) as small:
        code = f"0x60{len(TWICE) // 2:02x}80600b6000396000f3{TWICE}"
        contract = small.send(data=code)["contractAddress"]
        for _ in range(4):
            small.send(to=contract)
        for _ in range(3):
            small.send(to=OTHER)
        assert len(small.call("erigon_getLatestLogs", {}, {"logCount": 2})) == 2
        assert small.refusal("erigon_getLatestLogs", {}, {"logCount": 3}).code == -32602
        assert small.refusal("erigon_getLogs", {}).code == -32005


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"logCount": 1, "blockCount": 1}, -32000),
        ({"logCount": -1}, -32602),
        ({"ignoreTopicsOrder": "yes"}, -32602),
        ([], -32602),
    ],
)
def test_options_that_mean_nothing_are_refused(served: Served, options: Any, code: int) -> None:
    assert served.refusal("erigon_getLatestLogs", {}, options).code == code
