"""Filters of logs are read as geth reads them."""

from typing import Any

import pytest

from node.rpc.errors import RpcError
from node.rpc.log_filters import parse_log_filter

ADDRESS = "0x" + "11" * 20
TOPIC = "0x" + "22" * 32


def test_a_filter_takes_one_address_or_many_and_alternatives_of_topics() -> None:
    assert parse_log_filter({}).addresses == frozenset()
    assert len(parse_log_filter({"address": ADDRESS}).addresses) == 1
    assert len(parse_log_filter({"address": [ADDRESS, "0x" + "33" * 20]}).addresses) == 2
    found = parse_log_filter({"topics": [None, TOPIC, [TOPIC, "0x" + "44" * 32], []]})
    assert [len(alternatives) for alternatives in found.topics] == [0, 1, 2, 0]
    # null among the alternatives takes anything
    assert parse_log_filter({"topics": [[TOPIC, None]]}).topics == (frozenset(),)


@pytest.mark.parametrize(
    "value",
    [
        {"blockHash": TOPIC, "fromBlock": "0x1"},
        {"address": 5},
        {"address": [5]},
        {"address": "0x12"},
        {"topics": "0x"},
        {"topics": [5]},
        {"topics": ["0x12"]},
        {"topics": [[5]]},
        {"fromBlock": "5"},
        [],
        "latest",
    ],
)
def test_what_is_no_filter_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        parse_log_filter(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"topics": [None] * 5}, "exceed max topics"),
        ({"topics": [[TOPIC] * 1001]}, "exceed max topics"),
        ({"topics": [5]}, "invalid topic(s)"),
        ({"topics": [""]}, "empty hex string"),
        ({"topics": ["0x1"]}, "hex string of odd length"),
        ({"topics": ["0x12"]}, "hex has invalid length 1 after decoding; expected 32 for topic"),
        ({"address": "0x1"}, "invalid address: hex string of odd length"),
        ({"address": [ADDRESS, "0x1"]}, "invalid address at index 1: hex string of odd length"),
        ({"address": [ADDRESS, 5]}, "non-string address at index 1"),
        ({"address": 5}, "invalid addresses in query"),
        ({"fromBlock": 1}, "hex string without 0x prefix"),
        (5, "json: cannot unmarshal number into Go value of type filters.input"),
        (
            {"topics": {}},
            (
                "json: cannot unmarshal object into Go struct field "
                "input.topics of type []interface {}"
            ),
        ),
        (
            {"blockHash": "0x1"},
            (
                "json: cannot unmarshal hex string of odd length into Go struct field "
                "input.blockHash of type common.Hash"
            ),
        ),
    ],
)
def test_wrong_filters_are_told_in_geths_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_log_filter(value)
    assert str(error.value) == words


def test_a_filter_takes_so_many_addresses() -> None:
    with pytest.raises(RpcError, match="exceed max addresses or topics per search position"):
        parse_log_filter({"address": [ADDRESS] * 1001})
