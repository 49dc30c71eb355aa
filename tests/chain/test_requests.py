"""Requests: deposit events taken apart, and the hash that commits to all of them."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import requests
from chain.blocks import Log
from chain.errors import Reason, Rejected
from chain.forks import DEPOSIT_CONTRACT_ADDRESS
from chain.types import Address, Hash

TOPIC = Hash(bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5"))
SIZES = (48, 32, 8, 96, 8)


def event(*fields: bytes) -> bytes:
    """The ABI encoding of five byte strings."""
    head, tail = b"", b""
    for field in fields:
        head += (160 + len(tail)).to_bytes(32, "big")
        tail += len(field).to_bytes(32, "big") + field + bytes(-len(field) % 32)
    return head + tail


def log(data: bytes, address: Address = DEPOSIT_CONTRACT_ADDRESS, topic: Hash = TOPIC) -> Log:
    return Log(address, (topic,), data)


FIELDS = st.tuples(*(st.binary(min_size=size, max_size=size) for size in SIZES))


@given(st.lists(FIELDS, max_size=3))
def test_deposits_are_the_events_fields_in_a_row(events: list[tuple[bytes, ...]]) -> None:
    """EIP-6110: 192 bytes for each event, in the order of the logs."""
    logs = [log(event(*fields)) for fields in events]
    found = requests.deposits(logs, DEPOSIT_CONTRACT_ADDRESS)
    assert found == b"".join(b"".join(fields) for fields in events)
    assert len(found) == 192 * len(events)


def test_other_logs_are_no_deposits() -> None:
    data = event(*(bytes(size) for size in SIZES))
    others = [
        log(data, address=Address(b"\x01" * 20)),
        log(data, topic=Hash(bytes(32))),
        Log(DEPOSIT_CONTRACT_ADDRESS, (), data),
    ]
    assert requests.deposits(others, DEPOSIT_CONTRACT_ADDRESS) == b""


@given(st.integers(0, 4), st.sampled_from(["offset", "size", "length"]))
def test_an_event_of_another_layout_makes_the_block_invalid(field: int, what: str) -> None:
    data = bytearray(event(*(bytes(size) for size in SIZES)))
    if what == "offset":
        data[32 * field + 31] ^= 1
    elif what == "size":
        at = int.from_bytes(data[32 * field : 32 * field + 32], "big")
        data[at + 31] ^= 1
    else:
        data += bytes(32)
    with pytest.raises(Rejected) as caught:
        requests.deposits([log(bytes(data))], DEPOSIT_CONTRACT_ADDRESS)
    assert caught.value.reason == Reason.WRONG_REQUESTS


def test_kinds_without_data_are_left_out() -> None:
    assert requests.collect(b"", b"\x09", b"") == (b"\x01\x09",)
    assert requests.collect(b"\x01", b"\x02", b"\x03") == (b"\x00\x01", b"\x01\x02", b"\x02\x03")


def test_the_hash_without_requests_is_that_of_nothing() -> None:
    assert requests.requests_hash(()) == requests.EMPTY_REQUESTS_HASH == sha256(b"").digest()


def test_the_hash_is_over_the_hashes() -> None:
    """EIP-7685: items of a type byte alone are passed over."""
    inner = sha256(b"\x01abc").digest() + sha256(b"\x02d").digest()
    assert requests.requests_hash((b"\x00", b"\x01abc", b"\x02d")) == sha256(inner).digest()
