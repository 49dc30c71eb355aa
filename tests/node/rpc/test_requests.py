"""Calls, overrides and filters are read as geth reads them."""

from typing import Any

import pytest

from node.rpc.errors import INVALID_PARAMS, RpcError
from node.rpc.requests import (
    OVERRIDDEN_SLOTS_MAX,
    parse_block_overrides,
    parse_call,
    parse_log_filter,
    parse_state_overrides,
)

ADDRESS = "0x" + "11" * 20
TOPIC = "0x" + "22" * 32


def test_input_and_data_may_both_be_there_when_equal() -> None:
    assert parse_call({"data": "0x01", "input": "0x01"}).data == b"\x01"
    assert parse_call({"data": "0x01"}).data == b"\x01"
    assert parse_call({"input": "0x02"}).data == b"\x02"
    with pytest.raises(RpcError) as error:
        parse_call({"data": "0x01", "input": "0x02"})
    assert error.value.code == INVALID_PARAMS


def test_unknown_keys_and_nulls_of_a_call_are_ignored() -> None:
    request = parse_call({"from": ADDRESS, "to": None, "gas": None, "kind": "whatever"})
    assert request.sender == bytes.fromhex("11" * 20)
    assert request.to is None
    assert request.gas is None


def test_a_call_with_a_wrong_field_names_it() -> None:
    with pytest.raises(ValueError, match="gas"):
        parse_call({"gas": 5})
    with pytest.raises(ValueError, match="hex string has length"):
        parse_call({"accessList": [{"address": "0x12"}]})


def test_access_lists_and_authorizations_are_read() -> None:
    request = parse_call(
        {
            "accessList": [{"address": ADDRESS, "storageKeys": [TOPIC]}, {"address": ADDRESS}],
            "authorizationList": [
                {"chainId": "0x1", "address": ADDRESS, "nonce": "0x2", "yParity": "0x1",
                 "r": "0x3", "s": "0x4"}
            ],
        }
    )  # fmt: skip
    assert request.access_list is not None
    assert [len(keys) for _, keys in request.access_list] == [1, 0]
    assert request.authorizations is not None
    assert request.authorizations[0].nonce == 2


def test_an_account_with_state_and_state_diff_is_refused() -> None:
    override = {"state": {TOPIC: TOPIC}, "stateDiff": {TOPIC: TOPIC}}
    with pytest.raises(RpcError, match="has both 'state' and 'stateDiff'"):
        parse_state_overrides({ADDRESS: override})


@pytest.mark.parametrize("accounts", [1, 2])
def test_overrides_of_more_slots_than_the_limit_are_refused(accounts: int) -> None:
    each = OVERRIDDEN_SLOTS_MAX // accounts
    told = {
        f"0x{address:040x}": {"stateDiff": {hex(slot): TOPIC for slot in range(each)}}
        for address in range(accounts)
    }
    assert len(parse_state_overrides(told).accounts) == accounts
    told[f"0x{0:040x}"]["stateDiff"]["0xfffff"] = TOPIC
    with pytest.raises(RpcError, match="too many storage slots overridden"):
        parse_state_overrides(told)


def test_overrides_of_accounts_and_blocks_are_read() -> None:
    found = parse_state_overrides(
        {ADDRESS: {"balance": "0x5", "nonce": "0x6", "code": "0x00", "stateDiff": {"0x1": TOPIC}}}
    )
    override = found.accounts[next(iter(found.accounts))]
    assert (override.balance, override.nonce, override.code) == (5, 6, b"\0")
    assert override.state_diff == {1: int(TOPIC, 16)}
    around = parse_block_overrides(
        {"number": "0x5", "time": "0x6", "feeRecipient": ADDRESS, "baseFeePerGas": "0x7"}
    )
    assert (around.number, around.timestamp, around.base_fee) == (5, 6, 7)


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
    "value",
    [
        {"topics": [None] * 5},
        {"address": [ADDRESS] * 1001},
        {"topics": [[TOPIC] * 1001]},
    ],
)
def test_a_filter_has_limits(value: Any) -> None:
    with pytest.raises(RpcError) as error:
        parse_log_filter(value)
    assert error.value.code == INVALID_PARAMS
