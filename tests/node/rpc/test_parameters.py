"""JSON values become typed arguments, or are refused in geth's words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc import parameters as p
from node.rpc.errors import RpcError


@given(st.integers(0, 2**256 - 1))
def test_a_quantity_written_as_hex_is_read_back(number: int) -> None:
    assert p.parse_quantity(hex(number)) == number


@given(st.binary(max_size=100))
def test_data_written_as_hex_is_read_back(data: bytes) -> None:
    assert p.parse_data("0x" + data.hex()) == data


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("5", "hex string without 0x prefix"),
        ("0x", 'hex string "0x"'),
        ("0x01", "hex number with leading zero digits"),
        ("0xzz", "invalid hex string"),
        ("0x-1", "invalid hex string"),
        ("0x1\n", "invalid hex string"),
        ("0x" + "1" * 65, "hex number > 256 bits"),
        (5, "non-string"),
        (True, "non-string"),
        ({}, "non-string"),
        (None, "non-string"),
    ],
)
def test_what_is_no_quantity_is_refused_in_geths_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        p.parse_quantity(value)
    assert str(error.value) == (
        f"json: cannot unmarshal {words} into Go value of type *hexutil.Big"
    )


def test_a_number_below_2_to_the_64_and_an_index_have_types_of_their_own() -> None:
    for parse, go_type in ((p.parse_uint64, "hexutil.Uint64"), (p.parse_index, "hexutil.Uint")):
        with pytest.raises(ValueError, match=rf"hex number > 64 bits into .* type {go_type}$"):
            parse("0x1" + "0" * 16)


def test_the_empty_text_is_zero_and_no_bytes() -> None:
    assert p.parse_quantity("") == p.parse_uint64("") == 0
    assert p.parse_data("") == b""


def test_null_is_false_no_text_and_no_items() -> None:
    assert p.parse_bool(None) is False
    assert (p.parse_text(None), p.parse_list(None), p.parse_object(None)) == ("", [], {})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x123", "hex string of odd length"),
        ("0x0g", "invalid hex string"),
        ("00", "hex string without 0x prefix"),
        ("0x 0 0", "invalid hex string"),
        (["0x"], "non-string"),
        (None, "non-string"),
    ],
)
def test_what_is_no_data_is_refused_in_geths_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        p.parse_data(value)
    assert str(error.value) == f"json: cannot unmarshal {words} into Go value of type hexutil.Bytes"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x12", "hex string has length 2, want 40 for common.Address"),
        ("", "hex string has length 0, want 40 for common.Address"),
        ("0x" + "1" * 42, "hex string has length 42, want 40 for common.Address"),
        (
            "0x" + "1" * 39,
            "json: cannot unmarshal hex string of odd length into Go value of type common.Address",
        ),
        (
            "1" * 40,
            (
                "json: cannot unmarshal hex string without 0x prefix "
                "into Go value of type common.Address"
            ),
        ),
        (
            "0x" + " 1" * 20,
            "json: cannot unmarshal invalid hex string into Go value of type common.Address",
        ),
        (7, "json: cannot unmarshal non-string into Go value of type common.Address"),
    ],
)
def test_what_is_no_address_is_refused_in_geths_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        p.parse_address(value)
    assert str(error.value) == words


def test_a_block_is_a_tag_a_height_a_hash_or_an_object_with_either() -> None:
    block_hash = "0x" + "ab" * 32
    named = p.BlockHash(bytes.fromhex("ab" * 32))
    assert p.parse_block("latest") == "latest"
    assert p.parse_block("0x10") == 16
    assert p.parse_block(block_hash) == named
    assert p.parse_block({"blockHash": block_hash, "requireCanonical": True}) == named
    assert p.parse_block({"blockNumber": "0x2"}) == 2
    assert p.parse_block({"blockNumber": "safe"}) == "safe"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("newest", "hex string without 0x prefix"),
        ("", "empty hex string"),
        (" 0x1 ", "hex string without 0x prefix"),
        (2, "json: cannot unmarshal number into Go value of type string"),
        ([], "json: cannot unmarshal array into Go value of type string"),
        ("0x8000000000000000", "blocknumber too high"),
        ("0x" + "g" * 64, "invalid hex string"),
        (
            {"blockHash": "0x" + "00" * 32, "blockNumber": "0x0"},
            "cannot specify both BlockHash and BlockNumber, choose one or the other",
        ),
        ({"blockNumber": 1}, "json: cannot unmarshal object into Go value of type string"),
        (
            {"blockHash": "0x" + "00" * 32, "requireCanonical": "yes"},
            "json: cannot unmarshal object into Go value of type string",
        ),
    ],
)
def test_what_is_no_block_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ValueError) as error:
        p.parse_block(value)
    assert str(error.value) == words


@pytest.mark.parametrize("value", [None, {}, {"number": "0x1"}])
def test_an_object_that_names_no_block_is_the_servers_to_refuse(value: Any) -> None:
    with pytest.raises(RpcError) as error:
        p.parse_block(value)
    assert error.value.code == -32000
    assert error.value.message == "invalid arguments; neither block nor hash specified"


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, {"blockNumber": "0x1"}])
def test_a_block_number_is_a_text(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^hex string without 0x prefix$"):
        p.parse_block_number(value)


@pytest.mark.parametrize(
    ("value", "slot"),
    [("0x0", 0), ("0x00", 0), ("0xA", 10), ("10", 16), ("0x" + "0" * 64, 0)],
)
def test_a_storage_key_may_be_short_or_odd(value: str, slot: int) -> None:
    assert p.parse_slot(value) == slot


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x" + "0" * 65, f'storage key too long (want at most 32 bytes): "0x{"0" * 65}"'),
        ("0xasdf", 'invalid hex in storage key: "0xasdf"'),
    ],
)
def test_what_is_no_storage_key_is_refused_in_geths_words(value: str, words: str) -> None:
    with pytest.raises(RpcError) as error:
        p.parse_slot(value)
    assert (error.value.code, error.value.message) == (-32602, words)


def test_a_storage_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot unmarshal number into Go value of type string"):
        p.parse_slot(3)
    assert p.parse_slot(None) == 0


@pytest.mark.parametrize(
    ("value", "count"), [("0x10", 16), ("16", 16), (16, 16), ("0x010", 16), ("", 0)]
)
def test_a_count_may_be_hex_decimal_or_a_number(value: Any, count: int) -> None:
    assert p.parse_count(value) == count


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", "x"), (-1, "-1"), (1.5, "1.5"), (True, "true"), (2**64, str(2**64)),
        ("0x1" + "0" * 16, "0x1" + "0" * 16), ("9" * 30, "9" * 30), ("0x", "0x"), (None, "null"),
    ],
)  # fmt: skip
def test_what_is_no_count_is_refused_in_geths_words(value: Any, shown: str) -> None:
    with pytest.raises(ValueError) as error:
        p.parse_count(value)
    assert str(error.value) == f'invalid hex or decimal integer "{shown}"'


def test_a_named_blocks_keys_may_be_in_any_case() -> None:
    assert p.parse_block({"BlockNumber": "0x2"}) == 2
    block_hash = "0x" + "ab" * 32
    assert p.parse_block({"BLOCKHASH": block_hash}) == p.BlockHash(bytes.fromhex("ab" * 32))
