"""RLP: what decodes is what encodes, and nothing else decodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import codec
from chain.errors import Reason, Rejected

ITEMS = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6))


@given(ITEMS)
def test_decode_inverts_encode(item):
    assert codec.decode(codec.encode(item)) == item


@given(st.binary(max_size=60))
def test_what_decodes_is_canonical(data):
    """Given any bytes, they are refused, or they are the encoding of what they decode to."""
    try:
        item = codec.decode(data)
    except Rejected as error:
        assert error.reason is Reason.BAD_RLP
    else:
        assert codec.encode(item) == data


@given(ITEMS, st.data())
def test_no_strict_prefix_of_an_encoding_decodes(item, data):
    encoded = codec.encode(item)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(Rejected) as caught:
        codec.decode(encoded[:cut])
    assert caught.value.reason is Reason.BAD_RLP


@given(st.integers(0, 2**520))
def test_integers_are_strings_of_their_fewest_bytes(number):
    assert codec.encode_int(number) == codec.encode_bytes(codec.int_bytes(number))
    payload = codec.decode(codec.encode_int(number))
    assert isinstance(payload, bytes)
    assert codec.decode_int(payload) == number


@pytest.mark.parametrize(
    "data",
    [
        "",
        "00 00",  # two items
        "8100",  # a single byte with a prefix
        "817f",
        "b800",  # long form of a short string
        "b837" + "00" * 55,
        "b90038" + "00" * 56,  # a length with a leading zero
        "f800",
        "f837" + "00" * 55,
        "f90038" + "00" * 56,
        "b9",  # ends within the length
        "bf0f000000000000021111",
        "ffffffffffffffffff",
        "83aabb",  # ends within the string
        "c2c1",  # ends within a list
        "c281",  # an item that ends with its list
        "c1c101",  # an item that reaches beyond its list
        "c28201",
        "c382aabbcc01",
    ],
)
def test_bytes_that_are_not_one_canonical_item_are_refused(data):
    with pytest.raises(Rejected) as caught:
        codec.decode(bytes.fromhex(data))
    assert caught.value.reason is Reason.BAD_RLP


def test_lists_may_nest_up_to_the_limit_and_no_deeper():
    nested = b"\xc0"
    for _ in range(codec.NESTING_MAX - 1):
        nested = codec.encode_list([nested])
    assert codec.encode(codec.decode(nested)) == nested
    with pytest.raises(Rejected) as caught:
        codec.decode(codec.encode_list([nested]))
    assert caught.value.reason is Reason.BAD_RLP


def test_a_long_chain_of_list_prefixes_is_refused_without_exhausting_the_stack():
    data = b"\xc0"
    for _ in range(20_000):
        data = codec.encode_list([data]) if len(data) < 1000 else b"\xf9\x03\xe8" + data[:1000]
    for hostile in (data, b"\xf8" * 100_000, b"\xc1" * 100_000):
        with pytest.raises(Rejected) as caught:
            codec.decode(hostile)
        assert caught.value.reason is Reason.BAD_RLP


def test_an_integer_with_a_leading_zero_is_refused():
    for payload in (b"\0", b"\0\1"):
        with pytest.raises(Rejected) as caught:
            codec.decode_int(payload)
        assert caught.value.reason is Reason.BAD_RLP
    assert codec.decode_int(b"") == 0


def test_item_bounds_says_where_the_payload_is():
    data = codec.encode([b"cat", [b"\1" * 60]])
    assert codec.item_bounds(data, 0) == (2, len(data), True)
    assert codec.item_bounds(data, 2) == (3, 6, False)
