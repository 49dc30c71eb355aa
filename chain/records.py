"""The ledger's own forms of receipts and headers; what can be recomputed is left out.

Receipts go without their blooms, in MessagePack: a list per receipt of kind, status,
state root, cumulative gas, and the logs as lists of address, topics, data.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from chain.blocks import Header, Log, Receipt, decode_header, encode_header, logs_bloom
from chain.errors import Fault, Rejected
from chain.types import Address, Hash

_StoredLog = tuple[bytes, list[bytes], bytes]
_StoredReceipt = tuple[int, int | None, bytes | None, int, list[_StoredLog]]
_RECEIPTS = msgspec.msgpack.Decoder(list[_StoredReceipt])
_EMPTY_BLOOM = bytes(256)


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    """The receipts of a block, compact."""
    return msgspec.msgpack.encode(
        [
            (
                receipt.kind,
                receipt.status,
                receipt.post_state,
                receipt.cumulative_gas_used,
                [(log.address, log.topics, log.data) for log in receipt.logs],
            )
            for receipt in receipts
        ]
    )


def decode_receipts(data: bytes) -> tuple[Receipt, ...]:
    """What `encode_receipts` made, with the blooms computed again; `Fault` when corrupt."""
    try:
        stored = _RECEIPTS.decode(data)
    except msgspec.DecodeError as error:
        raise Fault(f"corrupt receipts: {error}") from error
    receipts = []
    for kind, status, post_state, cumulative_gas_used, stored_logs in stored:
        logs = tuple(
            Log(Address(address), tuple(Hash(topic) for topic in topics), log_data)
            for address, topics, log_data in stored_logs
        )
        receipts.append(
            Receipt(
                kind=kind,
                status=status,
                post_state=None if post_state is None else Hash(post_state),
                cumulative_gas_used=cumulative_gas_used,
                logs_bloom=logs_bloom(logs) if logs else _EMPTY_BLOOM,
                logs=logs,
            )
        )
    return tuple(receipts)


class StoredHeader(Struct, frozen=True):
    """A header with what is known about it without running anything."""

    header: Header
    hash: Hash
    total_difficulty: int


def encode_stored_header(stored: StoredHeader) -> bytes:
    total = stored.total_difficulty.to_bytes(32, "big")
    return stored.hash + total + encode_header(stored.header)


def decode_stored_header(data: bytes) -> StoredHeader:
    """What `encode_stored_header` made; `Fault` when corrupt."""
    try:
        header = decode_header(data[64:])
    except Rejected as error:
        raise Fault(f"corrupt header record: {error}") from error
    return StoredHeader(header, Hash(data[:32]), int.from_bytes(data[32:64], "big"))
