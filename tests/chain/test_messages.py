"""Signed messages and typed data: known hashes, another library's, and refusals."""

from copy import deepcopy

import pytest
from eth_account.messages import _hash_eip191_message, encode_defunct, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Reason, Rejected
from chain.messages import encode_type, personal_message_hash, typed_data_hash

MAIL = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def _changed(path, value):
    typed = deepcopy(MAIL)
    at = typed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return typed


@given(st.binary(max_size=300))
def test_a_plain_message_hashes_as_another_library_says(data):
    assert personal_message_hash(data) == _hash_eip191_message(encode_defunct(data))


def test_the_mail_of_the_standard_has_its_known_hash():
    """The example of EIP-712."""
    assert typed_data_hash(MAIL).hex() == (
        "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    )


def test_a_type_is_written_with_the_types_it_uses_in_order():
    types = {"Mail": [("to", "Zed[]"), ("by", "Ann")], "Zed": [("a", "Ann")], "Ann": []}
    assert encode_type("Mail", types) == "Mail(Zed[] to,Ann by)Ann()Zed(Ann a)"


RICH = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Leaf": [{"name": "value", "type": "int16"}],
        "Root": [
            {"name": "leaves", "type": "Leaf[2][]"},
            {"name": "flags", "type": "bool[]"},
            {"name": "blob", "type": "bytes"},
            {"name": "tag", "type": "bytes4"},
            {"name": "next", "type": "Root"},
            {"name": "number", "type": "uint256"},
        ],
    },
    "primaryType": "Root",
    "domain": {"name": "x"},
    "message": {
        "leaves": [[{"value": -5}, {"value": "7"}]],
        "flags": [True, False],
        "blob": "0x0102",
        "tag": "0x01020304",
        "next": None,
        "number": "0x10",
    },
}


@pytest.mark.parametrize("typed", [MAIL, RICH])
def test_typed_data_hashes_as_another_library_says(typed):
    """Given arrays of arrays, a struct that holds itself, and numbers written as texts."""
    expected = _hash_eip191_message(encode_typed_data(full_message=typed))
    assert typed_data_hash(typed) == expected


def test_the_domains_type_follows_from_its_fields_when_it_is_not_given():
    typed = deepcopy(MAIL)
    del typed["types"]["EIP712Domain"]
    assert typed_data_hash(typed) == typed_data_hash(MAIL)


def test_the_primary_type_is_found_when_it_is_not_given():
    typed = deepcopy(MAIL)
    del typed["primaryType"]
    assert typed_data_hash(typed) == typed_data_hash(MAIL)
    typed["types"]["Other"] = [{"name": "a", "type": "bool"}]
    with pytest.raises(Rejected) as caught:
        typed_data_hash(typed)
    assert caught.value.reason is Reason.BAD_TYPED_DATA


def test_fields_of_the_message_without_a_type_are_not_signed():
    """As by MetaMask and anvil; the EIP says nothing of them."""
    typed = _changed(["message", "extra"], 1)
    assert typed_data_hash(typed) == typed_data_hash(MAIL)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["types"], None),
        (["types"], []),
        (["types", "Mail"], "Person"),
        (["types", "Mail"], [["name", "type"]]),
        (["types", "Mail"], [{"name": "a"}]),
        (["types", "Mail"], [{"name": "a", "type": "bool"}, {"name": "a", "type": "bool"}]),
        (["types", "Mail("], []),
        (["types", "Mail", 0, "type"], "Nobody"),
        (["types", "Mail", 0, "type"], "(uint8,bool)"),
        (["types", "Mail", 0, "type"], "uint7"),
        (["primaryType"], "Letter"),
        (["primaryType"], 5),
        (["primaryType"], "Person"),
        (["domain"], None),
        (["domain", "salt"], "0x00"),
        (["domain", "chainId"], -1),
        (["domain", "chainId"], 2**256),
        (["domain", "chainId"], "one"),
        (["domain", "chainId"], "1" * 5000),
        (["domain", "chainId"], 1.5),
        (["domain", "chainId"], None),
        (["domain", "chainId"], True),
        (["domain", "verifyingContract"], "0x00"),
        (["domain", "verifyingContract"], 5),
        (["domain", "verifyingContract"], "0xzz"),
        (["message"], []),
        (["message", "to"], "Bob"),
        (["message", "to"], {"name": "Bob"}),
        (["message", "contents"], None),
        (["message", "contents"], ["Hello"]),
        (["message", "contents"], "\ud800"),
    ],
)
def test_what_does_not_fit_its_type_is_refused(path, value):
    with pytest.raises(Rejected) as caught:
        typed_data_hash(_changed(path, value))
    assert caught.value.reason is Reason.BAD_TYPED_DATA


def test_a_message_nested_without_end_is_refused():
    typed = deepcopy(RICH)
    typed["types"]["Root"] = [{"name": "next", "type": "Root"}]
    message = None
    for _ in range(500):
        message = {"next": message}
    typed["message"] = message
    with pytest.raises(Rejected) as caught:
        typed_data_hash(typed)
    assert caught.value.reason is Reason.BAD_TYPED_DATA
