"""Calls, overrides and filters are read as geth reads them."""

from typing import Any

import pytest

from node.rpc.errors import RpcError
from node.rpc.requests import (
    OVERRIDDEN_SLOTS_MAX,
    parse_block_overrides,
    parse_call,
    parse_state_overrides,
)

ADDRESS = "0x" + "11" * 20
TOPIC = "0x" + "22" * 32


def test_input_and_data_may_both_be_there() -> None:
    """Given both, then input counts; that they differ is known to whoever signs."""
    assert parse_call({"data": "0x01", "input": "0x01"}).data == b"\x01"
    assert parse_call({"data": "0x01"}).data == b"\x01"
    assert parse_call({"input": "0x02"}).data == b"\x02"
    assert not parse_call({"data": "0x0a", "input": "0x0A"}).ambiguous
    differ = parse_call({"data": "0x01", "input": "0x02"})
    assert (differ.data, differ.ambiguous) == (b"\x02", True)


def test_keys_may_be_in_any_case() -> None:
    assert parse_call({"To": ADDRESS, "DATA": "0x01"}) == parse_call(
        {"to": ADDRESS, "data": "0x01"}
    )
    assert parse_block_overrides({"NUMBER": "0x5"}).number == 5


def test_unknown_keys_and_nulls_of_a_call_are_ignored() -> None:
    request = parse_call({"from": ADDRESS, "to": None, "gas": None, "kind": "whatever"})
    assert request.sender == bytes.fromhex("11" * 20)
    assert request.to is None
    assert request.gas is None


_ENTRY = {"address": ADDRESS, "storageKeys": []}
_SIGNED = {
    "chainId": "0x1", "address": ADDRESS, "nonce": "0x2", "yParity": "0x1", "r": "0x3", "s": "0x4"
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gas": 5}, "non-string into Go struct field TransactionArgs.gas of type hexutil.Uint64"),
        (
            {"to": "0x1"},
            (
                "hex string of odd length into Go struct field TransactionArgs.to of type "
                "common.Address"
            ),
        ),
        (
            {"accessList": {}},
            "object into Go struct field TransactionArgs.accessList of type types.AccessList",
        ),
        (
            {"accessList": [5]},
            "number into Go struct field TransactionArgs.accessList of type types.AccessTuple",
        ),
        (
            {"accessList": [{**_ENTRY, "storageKeys": [5]}]},
            (
                "non-string into Go struct field TransactionArgs.accessList.storageKeys of type "
                "common.Hash"
            ),
        ),
        (
            {"authorizationList": [{**_SIGNED, "r": "x"}]},
            (
                "hex string without 0x prefix into Go struct field "
                "TransactionArgs.authorizationList.r of type *uint256.Int"
            ),
        ),
        (
            {"blobs": ["0x1"]},
            (
                "hex string of odd length into Go struct field TransactionArgs.blobs of type "
                "kzg4844.Blob"
            ),
        ),
    ],
)
def test_a_wrong_field_of_a_call_is_named_as_geth_names_it(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as error:
        parse_call(fields)
    assert str(error.value) == f"json: cannot unmarshal {words}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"accessList": [{"address": "0x12"}]}, "hex string has length 2, want 40 for common"),
        ({"accessList": [None]}, "missing required field 'address' for AccessTuple"),
        ({"accessList": [{"address": ADDRESS}]}, "missing required field 'storageKeys' for Acc"),
        ({"authorizationList": [{}]}, "missing required field 'chainId' for SetCodeAuthorization"),
        ({"blobs": ["0x01"]}, "hex string has length 2, want 262144 for kzg4844.Blob"),
    ],
)
def test_what_a_call_lacks_is_told_in_geths_words(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_call(fields)


def test_access_lists_and_authorizations_are_read() -> None:
    request = parse_call(
        {
            "accessList": [{"address": ADDRESS, "storageKeys": [TOPIC]}, _ENTRY],
            "authorizationList": [_SIGNED],
        }
    )
    assert request.access_list is not None
    assert [len(keys) for _, keys in request.access_list] == [1, 0]
    assert request.authorizations is not None
    assert request.authorizations[0].nonce == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "number into Go value of type override.StateOverride"),
        ({ADDRESS: 5}, "number into Go value of type override.OverrideAccount"),
        (
            {ADDRESS: {"code": 5}},
            "non-string into Go struct field OverrideAccount.code of type hexutil.Bytes",
        ),
        (
            {ADDRESS: {"stateDiff": {"0x1": TOPIC}}},
            (
                "hex string of odd length into Go struct field OverrideAccount.stateDiff of type "
                "common.Hash"
            ),
        ),
        ({"0x1": {}}, "hex string of odd length into Go value of type common.Address"),
    ],
)
def test_wrong_overrides_of_accounts_are_told_in_geths_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_state_overrides(value)
    assert str(error.value) == f"json: cannot unmarshal {words}"


@pytest.mark.parametrize("accounts", [1, 2])
def test_overrides_of_more_slots_than_the_limit_are_refused(accounts: int) -> None:
    each = OVERRIDDEN_SLOTS_MAX // accounts
    told = {
        f"0x{address:040x}": {"stateDiff": {f"0x{slot:064x}": TOPIC for slot in range(each)}}
        for address in range(accounts)
    }
    assert len(parse_state_overrides(told).accounts) == accounts
    told[f"0x{0:040x}"]["stateDiff"][TOPIC] = TOPIC
    with pytest.raises(RpcError, match="too many storage slots overridden"):
        parse_state_overrides(told)


def test_overrides_of_accounts_and_blocks_are_read() -> None:
    found = parse_state_overrides(
        {ADDRESS: {"balance": "0x5", "nonce": "0x6", "code": "0x00", "stateDiff": {TOPIC: TOPIC}}}
    )
    override = found.accounts[next(iter(found.accounts))]
    assert (override.balance, override.nonce, override.code) == (5, 6, b"\0")
    assert override.state_diff == {int(TOPIC, 16): int(TOPIC, 16)}
    around = parse_block_overrides(
        {"number": "0x5", "time": "0x6", "feeRecipient": ADDRESS, "baseFeePerGas": "0x7"}
    )
    assert (around.number, around.timestamp, around.base_fee) == (5, 6, 7)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "array into Go value of type override.BlockOverrides"),
        (
            {"number": 1},
            "non-string into Go struct field BlockOverrides.Number of type *hexutil.Big",
        ),
        (
            {"withdrawals": [{"index": 1}]},
            (
                "non-string into Go struct field BlockOverrides.Withdrawals.index of type "
                "hexutil.Uint64"
            ),
        ),
    ],
)
def test_wrong_overrides_of_a_block_are_told_in_geths_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_block_overrides(value)
    assert str(error.value) == f"json: cannot unmarshal {words}"
