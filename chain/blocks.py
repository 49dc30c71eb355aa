"""Headers, bodies, receipts and logs: what is agreed on and kept, and its canonical bytes.

Sources: Yellow Paper sections 4.3 and 4.4; EIP-658, 2718, 4895, 7685, 7934.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from chain import codec
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.transactions import Kind, Transaction, decode_transaction
from chain.trie import ordered_root
from chain.types import EMPTY_OMMERS_HASH, Address, Hash

BLOOM_BYTES: Final = 256
EMPTY_BLOOM: Final = bytes(BLOOM_BYTES)
_NO_LOGS: Final = codec.encode_bytes(EMPTY_BLOOM) + codec.EMPTY_LIST  # as in most receipts
_HEADER_FIELDS_FIRST: Final = 15  # those that every fork has
_HEADER_FIELDS_MAX: Final = 21


class Log(Struct, frozen=True, gc=False):
    address: Address
    topics: tuple[Hash, ...]  # at most 4
    data: bytes


class Header(Struct, frozen=True, kw_only=True):
    """A block header of any fork; fields that a fork does not have are None."""

    parent_hash: Hash
    ommers_hash: Hash
    coinbase: Address
    state_root: Hash
    transactions_root: Hash
    receipts_root: Hash
    logs_bloom: bytes  # 256 bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int  # seconds
    extra_data: bytes  # at most 32 bytes
    mix_hash: Hash  # PREVRANDAO from Paris on
    nonce: bytes  # 8 bytes
    base_fee: int | None = None  # London
    withdrawals_root: Hash | None = None  # Shanghai
    blob_gas_used: int | None = None  # Cancun
    excess_blob_gas: int | None = None
    parent_beacon_root: Hash | None = None
    requests_hash: Hash | None = None  # Prague


class Withdrawal(Struct, frozen=True, gc=False):
    """A credit from the consensus layer (EIP-4895)."""

    index: int
    validator_index: int
    address: Address
    amount: int  # gwei


class Block(Struct, frozen=True):
    header: Header
    transactions: tuple[Transaction, ...]
    ommers: tuple[Header, ...] = ()
    withdrawals: tuple[Withdrawal, ...] | None = None  # None before Shanghai


class Receipt(Struct, frozen=True):
    """The outcome of one transaction (EIP-658, EIP-2718)."""

    kind: int
    status: int | None  # 1 success, 0 failure; None before Byzantium
    post_state: Hash | None  # the state root after it, before Byzantium
    cumulative_gas_used: int
    logs_bloom: bytes
    logs: tuple[Log, ...]


# -- headers: bytes --------------------------------------------------------------------------------


def _encoded_fields(header: Header, *, sealed: bool) -> list[bytes]:
    text, number = codec.encode_bytes, codec.encode_int
    fields = [
        text(header.parent_hash),
        text(header.ommers_hash),
        text(header.coinbase),
        text(header.state_root),
        text(header.transactions_root),
        text(header.receipts_root),
        text(header.logs_bloom),
        number(header.difficulty),
        number(header.number),
        number(header.gas_limit),
        number(header.gas_used),
        number(header.timestamp),
        text(header.extra_data),
    ]
    if sealed:
        fields += (text(header.mix_hash), text(header.nonce))
    if header.base_fee is not None:
        fields.append(number(header.base_fee))
    if header.withdrawals_root is not None:
        fields.append(text(header.withdrawals_root))
    if header.blob_gas_used is not None:
        fields.append(number(header.blob_gas_used))
    if header.excess_blob_gas is not None:
        fields.append(number(header.excess_blob_gas))
    if header.parent_beacon_root is not None:
        fields.append(text(header.parent_beacon_root))
    if header.requests_hash is not None:
        fields.append(text(header.requests_hash))
    return fields


@lru_cache(maxsize=16)  # of a block in the making, of its parent: each is needed some times
def encode_header(header: Header) -> bytes:
    """The header's RLP, with the fields it has."""
    return codec.encode_list(_encoded_fields(header, sealed=True))


@lru_cache(maxsize=16)  # known of a block that was made when the next one is made on it
def header_hash(header: Header) -> Hash:
    """The block's hash: keccak-256 of the header's RLP."""
    return keccak(encode_header(header))


def seal_hash(header: Header) -> Hash:
    """What a proof of work is made over: the header without mix hash and nonce."""
    return keccak(codec.encode_list(_encoded_fields(header, sealed=False)))


def _fixed(field: codec.Item, size: int, name: str) -> bytes:
    if not isinstance(field, bytes) or len(field) != size:
        raise Rejected(Reason.BAD_BLOCK, f"header: {name} is not {size} bytes")
    return field


def _integer(field: codec.Item, size_max: int, name: str) -> int:
    if not isinstance(field, bytes) or len(field) > size_max:
        raise Rejected(Reason.BAD_BLOCK, f"header: {name} is not an integer of {size_max} bytes")
    return codec.decode_int(field)


def decode_header(data: bytes | Sequence[codec.Item]) -> Header:
    """The header in `data`, RLP or an item already decoded.

    Fields beyond the first 15 may be absent from the end only; which of them a
    fork demands is `check_header`'s matter. Raises BAD_RLP and BAD_BLOCK.
    """
    item = codec.decode(data) if isinstance(data, bytes) else data
    if isinstance(item, bytes) or not (_HEADER_FIELDS_FIRST <= len(item) <= _HEADER_FIELDS_MAX):
        raise Rejected(Reason.BAD_BLOCK, "header: not a list of 15 to 21 fields")
    count = len(item)
    extra_data = item[12]
    if not isinstance(extra_data, bytes):
        raise Rejected(Reason.BAD_BLOCK, "header: extra data is not bytes")

    def optional_hash(index: int, name: str) -> Hash | None:
        return Hash(_fixed(item[index], 32, name)) if index < count else None

    def optional_integer(index: int, size_max: int, name: str) -> int | None:
        return _integer(item[index], size_max, name) if index < count else None

    return Header(
        parent_hash=Hash(_fixed(item[0], 32, "parent hash")),
        ommers_hash=Hash(_fixed(item[1], 32, "ommers hash")),
        coinbase=Address(_fixed(item[2], 20, "coinbase")),
        state_root=Hash(_fixed(item[3], 32, "state root")),
        transactions_root=Hash(_fixed(item[4], 32, "transactions root")),
        receipts_root=Hash(_fixed(item[5], 32, "receipts root")),
        logs_bloom=_fixed(item[6], 256, "logs bloom"),
        difficulty=_integer(item[7], 32, "difficulty"),
        number=_integer(item[8], 8, "number"),
        gas_limit=_integer(item[9], 8, "gas limit"),
        gas_used=_integer(item[10], 8, "gas used"),
        timestamp=_integer(item[11], 8, "timestamp"),
        extra_data=extra_data,
        mix_hash=Hash(_fixed(item[13], 32, "mix hash")),
        nonce=_fixed(item[14], 8, "nonce"),
        base_fee=optional_integer(15, 32, "base fee"),
        withdrawals_root=optional_hash(16, "withdrawals root"),
        blob_gas_used=optional_integer(17, 8, "blob gas used"),
        excess_blob_gas=optional_integer(18, 8, "excess blob gas"),
        parent_beacon_root=optional_hash(19, "parent beacon root"),
        requests_hash=optional_hash(20, "requests hash"),
    )


# -- blooms ----------------------------------------------------------------------------------------


@lru_cache(maxsize=65_536)
def _bloom_bits(entry: bytes) -> int:
    """The three bits of an address or topic, as a number of 2048 bits."""
    digest = keccak(entry)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """The 256-byte bloom filter of the logs' addresses and topics."""
    bits = 0
    for log in logs:
        bits |= _bloom_bits(log.address)
        for topic in log.topics:
            bits |= _bloom_bits(topic)
    return bits.to_bytes(BLOOM_BYTES, "big") if bits else EMPTY_BLOOM


def combine_blooms(receipts: Iterable[Receipt]) -> bytes:
    """The bloom of a block: the union of its receipts'."""
    bits = 0
    for receipt in receipts:
        if receipt.logs:
            bits |= int.from_bytes(receipt.logs_bloom, "big")
    return bits.to_bytes(BLOOM_BYTES, "big") if bits else EMPTY_BLOOM


def bloom_contains(bloom: bytes, entry: bytes) -> bool:
    """Whether logs with this bloom may name the address or topic; False is certain."""
    bits = _bloom_bits(entry)
    return int.from_bytes(bloom, "big") & bits == bits


# -- receipts --------------------------------------------------------------------------------------


def encode_log(log: Log) -> bytes:
    text, sequence = codec.encode_bytes, codec.encode_list
    return sequence(
        (text(log.address), sequence([text(topic) for topic in log.topics]), text(log.data))
    )


def encode_logs(logs: Iterable[Log]) -> bytes:
    """RLP of a list of logs."""
    return codec.encode_list([encode_log(log) for log in logs])


def encode_receipt(receipt: Receipt) -> bytes:
    """The receipt's envelope (EIP-2718): RLP, with the kind in front unless it is legacy."""
    if receipt.status is None:
        result = codec.encode_bytes(receipt.post_state or b"")
    else:
        result = codec.encode_int(receipt.status)
    if not receipt.logs and receipt.logs_bloom == EMPTY_BLOOM:
        logs = _NO_LOGS
    else:
        logs = codec.encode_bytes(receipt.logs_bloom) + encode_logs(receipt.logs)
    payload = codec.encode_list((result, codec.encode_int(receipt.cumulative_gas_used), logs))
    return payload if receipt.kind == Kind.LEGACY else bytes((receipt.kind,)) + payload


def decode_receipt(data: bytes) -> Receipt:
    """The inverse of `encode_receipt`; raises BAD_RLP and BAD_BLOCK."""
    kind = Kind.LEGACY.value
    if data and data[0] < 0x80:
        kind, data = data[0], data[1:]
        if not Kind.LEGACY < kind <= Kind.SET_CODE:
            raise Rejected(Reason.BAD_BLOCK, f"receipt: kind {kind}")
    item = codec.decode(data)
    if isinstance(item, bytes) or len(item) != 4:
        raise Rejected(Reason.BAD_BLOCK, "receipt: not a list of 4 fields")
    result, gas, bloom, logs = item
    if not (isinstance(result, bytes) and isinstance(gas, bytes) and isinstance(bloom, bytes)):
        raise Rejected(Reason.BAD_BLOCK, "receipt: a list among the fields")
    if isinstance(logs, bytes) or len(bloom) != BLOOM_BYTES or len(result) not in (0, 1, 32):
        raise Rejected(Reason.BAD_BLOCK, "receipt: malformed field")
    status = None if len(result) == 32 else codec.decode_int(result)
    if status not in (None, 0, 1):
        raise Rejected(Reason.BAD_BLOCK, f"receipt: status {status}")
    return Receipt(
        kind=kind,
        status=status,
        post_state=Hash(result) if len(result) == 32 else None,
        cumulative_gas_used=codec.decode_int(gas),
        logs_bloom=bloom,
        logs=tuple(_decode_log(log) for log in logs),
    )


def _decode_log(item: codec.Item) -> Log:
    if isinstance(item, bytes) or len(item) != 3:
        raise Rejected(Reason.BAD_BLOCK, "log: not a list of 3 fields")
    address, topics, data = item
    if not isinstance(address, bytes) or len(address) != 20 or not isinstance(data, bytes):
        raise Rejected(Reason.BAD_BLOCK, "log: malformed field")
    if isinstance(topics, bytes) or len(topics) > 4:
        raise Rejected(Reason.BAD_BLOCK, "log: malformed topics")
    found: list[Hash] = []
    for topic in topics:
        if not isinstance(topic, bytes) or len(topic) != 32:
            raise Rejected(Reason.BAD_BLOCK, "log: a topic is not 32 bytes")
        found.append(Hash(topic))
    return Log(Address(address), tuple(found), data)


# -- roots -----------------------------------------------------------------------------------------


def transactions_root(transactions: Iterable[Transaction]) -> Hash:
    return ordered_root([transaction.raw for transaction in transactions])


def receipts_root(receipts: Iterable[Receipt]) -> Hash:
    return ordered_root([encode_receipt(receipt) for receipt in receipts])


def withdrawals_root(withdrawals: Iterable[Withdrawal]) -> Hash:
    return ordered_root([encode_withdrawal(withdrawal) for withdrawal in withdrawals])


def ommers_hash(ommers: Sequence[Header]) -> Hash:
    """What a header commits its block's ommers with."""
    if not ommers:
        return EMPTY_OMMERS_HASH
    return keccak(codec.encode_list([encode_header(ommer) for ommer in ommers]))


# -- blocks ----------------------------------------------------------------------------------------


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    return codec.encode_list(
        (
            codec.encode_int(withdrawal.index),
            codec.encode_int(withdrawal.validator_index),
            codec.encode_bytes(withdrawal.address),
            codec.encode_int(withdrawal.amount),
        )
    )


def encode_block(block: Block) -> bytes:
    """RLP of header, transactions, ommers and, from Shanghai on, withdrawals."""
    return codec.encode_list(_encoded_parts(block))


def encode_body(block: Block) -> bytes:
    """The items after the header in the block's RLP, without a list around them."""
    return b"".join(_encoded_parts(block)[1:])


def block_size(block: Block) -> int:
    """Bytes of the block's RLP (EIP-7934 limits them)."""
    return len(encode_block(block))


def _encoded_parts(block: Block) -> list[bytes]:
    parts = [
        encode_header(block.header),
        codec.encode_list(
            [
                transaction.raw
                if transaction.kind == Kind.LEGACY
                else codec.encode_bytes(transaction.raw)
                for transaction in block.transactions
            ]
        ),
        codec.encode_list([encode_header(ommer) for ommer in block.ommers]),
    ]
    if block.withdrawals is not None:
        parts.append(codec.encode_list([encode_withdrawal(each) for each in block.withdrawals]))
    return parts


def decode_block(data: bytes) -> Block:
    """The block in `data`; raises BAD_RLP, BAD_BLOCK and what `decode_transaction` raises."""
    start, end, is_list = codec.item_bounds(data, 0)
    if not is_list or end != len(data):
        raise Rejected(Reason.BAD_RLP, "block: not one list")
    parts = list(_raw_items(data, start, end))
    if len(parts) not in (3, 4):
        raise Rejected(Reason.BAD_BLOCK, f"block: {len(parts)} parts")
    start, end, is_list = codec.item_bounds(parts[1], 0)
    if not is_list:
        raise Rejected(Reason.BAD_BLOCK, "block: transactions are not a list")
    ommers = codec.decode(parts[2])
    if isinstance(ommers, bytes):
        raise Rejected(Reason.BAD_BLOCK, "block: ommers are not a list")
    return Block(
        header=decode_header(parts[0]),
        transactions=tuple(_decode_enveloped(item) for item in _raw_items(parts[1], start, end)),
        ommers=tuple(decode_header(_as_list(ommer, "ommer")) for ommer in ommers),
        withdrawals=decode_withdrawals(parts[3]) if len(parts) == 4 else None,
    )


def decode_withdrawals(data: bytes) -> tuple[Withdrawal, ...]:
    """A list of withdrawals from its RLP; raises BAD_RLP and BAD_BLOCK."""
    found: list[Withdrawal] = []
    for item in _as_list(codec.decode(data), "withdrawals"):
        fields = _as_list(item, "withdrawal")
        if len(fields) != 4:
            raise Rejected(Reason.BAD_BLOCK, "withdrawal: not a list of 4 fields")
        found.append(
            Withdrawal(
                index=_integer(fields[0], 8, "withdrawal index"),
                validator_index=_integer(fields[1], 8, "validator index"),
                address=Address(_fixed(fields[2], 20, "withdrawal address")),
                amount=_integer(fields[3], 8, "withdrawal amount"),
            )
        )
    return tuple(found)


def split_blocks(data: bytes) -> Iterator[bytes]:
    """The encoded blocks that follow one another in `data`, as in an exported chain.

    Raises BAD_RLP where the next one is not whole.
    """
    at = 0
    while at < len(data):
        _, end, _ = codec.item_bounds(data, at)
        yield data[at:end]
        at = end


def _as_list(item: codec.Item, name: str) -> Sequence[codec.Item]:
    if isinstance(item, bytes):
        raise Rejected(Reason.BAD_BLOCK, f"{name}: not a list")
    return item


def _decode_enveloped(item: bytes) -> Transaction:
    """A transaction as it stands in a body: a list, or a string around a typed envelope."""
    if item[0] >= 0xC0:
        return decode_transaction(item)
    envelope = codec.decode(item)
    if not isinstance(envelope, bytes) or not envelope or envelope[0] >= 0xC0:
        raise Rejected(Reason.BAD_TRANSACTION, "an untyped transaction in a string")
    return decode_transaction(envelope)


def _raw_items(data: bytes, at: int, end: int) -> Iterator[bytes]:
    """The encoded items between two offsets, unopened: transactions keep their bytes."""
    while at < end:
        _, after, _ = codec.item_bounds(data, at)
        if after > end:
            raise Rejected(Reason.BAD_RLP, "an item reaches beyond its list")
        yield data[at:after]
        at = after
