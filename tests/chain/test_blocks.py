"""Blocks, receipts and blooms: their one encoding, and the roots that commit to them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain import blocks, codec, forks
from chain.blocks import (
    Block,
    Log,
    Receipt,
    Withdrawal,
    bloom_contains,
    decode_block,
    decode_receipt,
    encode_block,
    encode_receipt,
    logs_bloom,
)
from chain.errors import Reason, Rejected
from chain.transactions import Kind, Transaction, build_transaction, sign_transaction
from chain.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, Address, Hash
from tests.chain.test_headers import any_header, parent_of

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
HASHES = st.binary(min_size=32, max_size=32).map(Hash)
U64 = st.integers(0, 2**64 - 1)
LOGS = st.builds(
    Log,
    address=ADDRESSES,
    topics=st.lists(HASHES, max_size=4).map(tuple),
    data=st.binary(max_size=80),
)
WITHDRAWALS = st.builds(Withdrawal, index=U64, validator_index=U64, address=ADDRESSES, amount=U64)
KEY = b"\x01" * 32


def transfer(kind: int, nonce: int = 0) -> Transaction:
    fees: dict[str, Any] = {"max_fee": 10, "max_priority_fee": 10 if kind < 2 else 1}
    return sign_transaction(
        build_transaction(
            kind=kind, chain_id=1, nonce=nonce, gas_limit=21_000, to=Address(bytes(20)), **fees
        ),
        KEY,
    )


TRANSFERS = [transfer(kind, nonce) for nonce, kind in enumerate((0, 1, 2))]


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    logs = tuple(draw(st.lists(LOGS, max_size=3)))
    status = draw(st.sampled_from([None, 0, 1]))
    return Receipt(
        kind=draw(st.sampled_from(Kind)).value,
        status=status,
        post_state=draw(HASHES) if status is None else None,
        cumulative_gas_used=draw(U64),
        logs_bloom=logs_bloom(logs),
        logs=logs,
    )


@st.composite
def any_block(draw: st.DrawFn) -> Block:
    return Block(
        header=draw(any_header()),
        transactions=tuple(draw(st.lists(st.sampled_from(TRANSFERS), max_size=4))),
        ommers=tuple(draw(st.lists(any_header(), max_size=2))),
        withdrawals=draw(st.none() | st.lists(WITHDRAWALS, max_size=3).map(tuple)),
    )


@given(any_block())
def test_decoding_a_block_inverts_encoding(block: Block) -> None:
    raw = encode_block(block)
    assert decode_block(raw) == block
    assert blocks.block_size(block) == len(raw)
    assert codec.encode_list([blocks.encode_header(block.header), blocks.encode_body(block)]) == raw


@given(any_block(), st.data())
def test_a_block_has_one_encoding(block: Block, data: st.DataObject) -> None:
    """Given a block's bytes with one byte changed, when they decode, then to those bytes."""
    raw = bytearray(encode_block(block))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_block(bytes(raw))
    except Rejected:
        return
    assert encode_block(changed) == raw


@given(any_block(), st.data())
def test_a_cut_block_is_refused(block: Block, data: st.DataObject) -> None:
    raw = encode_block(block)
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    with pytest.raises(Rejected):
        decode_block(cut)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"\xc0"] * 2,
        [b"\xc0"] * 5,
        [blocks.encode_header(parent_of(forks.OSAKA)), b"\x80", b"\xc0"],
        [blocks.encode_header(parent_of(forks.OSAKA)), b"\xc0", b"\x80"],
        [blocks.encode_header(parent_of(forks.OSAKA)), b"\xc0", b"\xc0", b"\x80"],
        [blocks.encode_header(parent_of(forks.OSAKA)), b"\xc0", b"\xc0", b"\xc1\xc0"],
        [blocks.encode_header(parent_of(forks.OSAKA)), b"\xc0", b"\xc1\x80"],
    ],
)
def test_a_block_of_another_shape_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(Rejected) as caught:
        decode_block(codec.encode_list(parts))
    assert caught.value.reason == Reason.BAD_BLOCK


def test_an_untyped_transaction_does_not_stand_in_a_string() -> None:
    """EIP-2718: in a body a legacy transaction is a list, any other one a string."""
    legacy, typed = transfer(0), transfer(2)
    header = blocks.encode_header(parent_of(forks.OSAKA))
    for item in (codec.encode_bytes(legacy.raw), typed.raw[1:], b"\x80"):
        with pytest.raises(Rejected) as caught:
            decode_block(codec.encode_list([header, codec.encode_list([item]), b"\xc0"]))
        assert caught.value.reason in (Reason.BAD_TRANSACTION, Reason.BAD_RLP)


@given(st.lists(any_block(), max_size=4))
def test_blocks_in_a_row_come_apart_again(row: list[Block]) -> None:
    raw = [encode_block(block) for block in row]
    assert list(blocks.split_blocks(b"".join(raw))) == raw


def test_a_row_that_ends_within_a_block_is_refused() -> None:
    raw = encode_block(Block(parent_of(forks.PARIS), ()))
    with pytest.raises(Rejected) as caught:
        list(blocks.split_blocks(raw + raw[:-1]))
    assert caught.value.reason == Reason.BAD_RLP


@given(receipts())
def test_decoding_a_receipt_inverts_encoding(receipt: Receipt) -> None:
    assert decode_receipt(encode_receipt(receipt)) == receipt


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05" + codec.encode_list([]),
        b"\x00" + codec.encode_list([]),
        codec.encode_list([b"\x01", b"\x01", codec.encode_bytes(bytes(256))]),
        codec.encode_list([b"\x02", b"\x01", codec.encode_bytes(bytes(256)), b"\xc0"]),
        codec.encode_list([b"\x01", b"\x01", codec.encode_bytes(bytes(255)), b"\xc0"]),
        codec.encode_list([b"\x01", b"\x01", codec.encode_bytes(bytes(256)), b"\xc1\x80"]),
        codec.encode_list([b"\x01", b"\xc0", codec.encode_bytes(bytes(256)), b"\xc0"]),
    ],
)
def test_malformed_receipts_are_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        decode_receipt(data)
    assert caught.value.reason in (Reason.BAD_BLOCK, Reason.BAD_RLP)


@given(st.lists(LOGS, max_size=4), HASHES)
def test_a_bloom_never_denies_what_it_was_made_of(logs: list[Log], other: Hash) -> None:
    bloom = logs_bloom(logs)
    for log in logs:
        assert bloom_contains(bloom, log.address)
        assert all(bloom_contains(bloom, topic) for topic in log.topics)
    if not logs:
        assert not bloom_contains(bloom, other)


def test_the_bloom_of_a_known_event() -> None:
    """Three bits of keccak-256 of the entry, each from 11 bits of its first three words."""
    bits = int.from_bytes(logs_bloom([Log(Address(bytes(20)), (), b"")]), "big")
    # keccak256 of twenty zero bytes begins with 5380c7b7ae81.
    assert bits == 1 << (0x5380 & 2047) | 1 << (0xC7B7 & 2047) | 1 << (0xAE81 & 2047)


@given(st.lists(receipts(), max_size=4))
def test_a_blocks_bloom_is_that_of_all_its_logs(items: list[Receipt]) -> None:
    logs = [log for receipt in items for log in receipt.logs]
    assert blocks.combine_blooms(items) == logs_bloom(logs)


def test_empty_bodies_have_the_known_roots() -> None:
    assert blocks.transactions_root(()) == EMPTY_ROOT
    assert blocks.receipts_root(()) == EMPTY_ROOT
    assert blocks.withdrawals_root(()) == EMPTY_ROOT
    assert blocks.ommers_hash(()) == EMPTY_OMMERS_HASH


@given(st.lists(WITHDRAWALS, min_size=1, max_size=5), st.data())
def test_every_withdrawal_counts_in_the_root(
    withdrawals: list[Withdrawal], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(withdrawals) - 1))
    changed = list(withdrawals)
    changed[index] = replace(changed[index], amount=changed[index].amount ^ 1)
    assert blocks.withdrawals_root(changed) != blocks.withdrawals_root(withdrawals)
