"""Transactions of types 0 to 4: what travels, and its canonical bytes.

EIP-2718 envelopes: 0 legacy (EIP-155), 1 EIP-2930, 2 EIP-1559, 3 EIP-4844, 4 EIP-7702.
Decoding proves shape and widths only; chain.validation proves the rules.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain import codec
from chain.blobs import BLOB_PROOFS, CELL_PROOFS, BlobSidecar
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.types import Address, Hash


class Kind(IntEnum):
    LEGACY = 0
    ACCESS_LIST = 1
    DYNAMIC_FEE = 2
    BLOB = 3
    SET_CODE = 4


AccessList = tuple[tuple[Address, tuple[Hash, ...]], ...]


class Authorization(Struct, frozen=True, gc=False):
    """Permission to let `address`'s code run as the signer's (EIP-7702)."""

    chain_id: int  # 0: any chain
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int


class Transaction(Struct, frozen=True):
    """A decoded, signed transaction; its signature is not yet checked.

    Fees in wei per gas; legacy and type 1 carry their gas price in both fee
    fields. `raw` is the canonical EIP-2718 encoding that `hash` is taken of.
    """

    kind: int
    chain_id: int | None  # None: legacy without replay protection
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas_limit: int
    to: Address | None  # None: creates a contract
    value: int
    data: bytes
    v: int  # legacy: as on the wire; typed: the parity
    r: int
    s: int
    raw: bytes
    hash: Hash
    signing_hash: Hash
    access_list: AccessList = ()
    max_blob_fee: int = 0
    blob_hashes: tuple[Hash, ...] = ()
    authorizations: tuple[Authorization, ...] = ()


class Checked(Struct, frozen=True):
    """A transaction whose shape, limits and signature were proved for a fork."""

    transaction: Transaction
    sender: Address


# Fields per typed kind, with the signature's three.
_FIELDS: Final = {1: 11, 2: 12, 3: 14, 4: 13}
_LEGACY_FIELDS: Final = 9
_AUTHORIZATION_DOMAIN: Final = b"\x05"
_TWO_ZEROS: Final = b"\x80\x80"
_REPLAY_PROTECTED_FROM: Final = 35  # v = 35 + 2 * chain id + parity (EIP-155)


def effective_gas_price(transaction: Transaction, base_fee: int) -> int:
    """Wei per gas that the sender pays in a block of this base fee (EIP-1559).

    With a base fee of 0, before London, it is the gas price. The fee cap must not be below
    the base fee.
    """
    return base_fee + min(transaction.max_priority_fee, transaction.max_fee - base_fee)


def authority_of(authorization: Authorization) -> Address | None:
    """The account that signed; None when the signature is not right (EIP-7702)."""
    if authorization.s > secp256k1.HALF_ORDER:
        return None
    message = _AUTHORIZATION_DOMAIN + codec.encode_list(
        (
            codec.encode_int(authorization.chain_id),
            codec.encode_bytes(authorization.address),
            codec.encode_int(authorization.nonce),
        )
    )
    return secp256k1.recover(
        keccak(message), authorization.y_parity, authorization.r, authorization.s
    )


# -- bytes to transaction -----------------------------------------------------------------


def decode_transaction(raw: bytes) -> Transaction:
    """The transaction in a canonical envelope.

    Raises BAD_RLP, BAD_TRANSACTION for a wrong shape or a field too wide, NONCE_OVERFLOW,
    FEE_OVERFLOW, and TYPE_NOT_SUPPORTED for an envelope of an unknown type.
    """
    if not raw:
        raise Rejected(Reason.BAD_TRANSACTION, "empty")
    first = raw[0]
    if first >= 0xC0:
        return _decode_legacy(raw)
    if first not in _FIELDS:
        raise Rejected(Reason.TYPE_NOT_SUPPORTED, f"type {first:#04x}")
    fields = codec.decode(raw[1:])
    return _from_fields(first, fields, raw)


def encode_transaction(transaction: Transaction) -> bytes:
    """The canonical envelope: what `hash` is taken of."""
    return transaction.raw


def decode_network_transaction(raw: bytes) -> tuple[Transaction, BlobSidecar | None]:
    """A transaction as it is handed to a node: a blob transaction may bring its blobs.

    The sidecar is None when there is none, for any kind. Its proofs are not checked.
    Raises as `decode_transaction` does.
    """
    if not raw or raw[0] != Kind.BLOB:
        return decode_transaction(raw), None
    parts = codec.decode(raw[1:])
    if isinstance(parts, bytes) or not parts or isinstance(parts[0], bytes):
        return decode_transaction(raw), None
    if len(parts) == 4:
        version, lists = BLOB_PROOFS, parts[1:]
    elif len(parts) == 5 and parts[1] == bytes((CELL_PROOFS,)):
        version, lists = CELL_PROOFS, parts[2:]
    else:
        raise Rejected(Reason.BAD_TRANSACTION, "neither form of a blob transaction's wrapper")
    envelope = bytes((Kind.BLOB,)) + codec.encode(parts[0])
    blobs, commitments, proofs = (_strings(items) for items in lists)
    sidecar = BlobSidecar(version, blobs, commitments, proofs)
    return _from_fields(Kind.BLOB, parts[0], envelope), sidecar


def encode_network_transaction(transaction: Transaction, sidecar: BlobSidecar) -> bytes:
    """The wrapper of a blob transaction and its blobs (EIP-4844, EIP-7594)."""
    version = (codec.encode_int(CELL_PROOFS),) if sidecar.version == CELL_PROOFS else ()
    lists = (sidecar.blobs, sidecar.commitments, sidecar.proofs)
    return transaction.raw[:1] + codec.encode_list(
        (transaction.raw[1:], *version, *(codec.encode(items) for items in lists))
    )


def _decode_legacy(raw: bytes) -> Transaction:
    fields = codec.decode(raw)
    if isinstance(fields, bytes) or len(fields) != _LEGACY_FIELDS:
        raise Rejected(Reason.BAD_TRANSACTION, f"{len(fields)} fields instead of {_LEGACY_FIELDS}")
    v, r, s = _word(fields[6], "v"), _word(fields[7], "r"), _word(fields[8], "s")
    chain_id = (v - _REPLAY_PROTECTED_FROM) // 2 if v >= _REPLAY_PROTECTED_FROM else None
    price = _fee(fields[1], "gas price")
    start, end, _ = codec.item_bounds(raw, 0)
    unsigned = raw[start : end - _int_size(v) - _int_size(r) - _int_size(s)]
    if chain_id is not None:
        unsigned += codec.encode_int(chain_id) + _TWO_ZEROS
    return Transaction(
        0,
        chain_id,
        _nonce(fields[0]),
        price,
        price,
        _gas_limit(fields[2]),
        _recipient(fields[3]),
        _word(fields[4], "value"),
        _string(fields[5], "data"),
        v,
        r,
        s,
        raw,
        keccak(raw),
        keccak(codec.encode_list((unsigned,))),
    )


def _from_fields(kind: int, fields: codec.Item, raw: bytes) -> Transaction:
    """A typed transaction from its decoded payload and its envelope."""
    if isinstance(fields, bytes) or len(fields) != _FIELDS[kind]:
        raise Rejected(Reason.BAD_TRANSACTION, f"type {kind}: not a list of {_FIELDS[kind]} fields")
    v, r, s = _word(fields[-3], "parity"), _word(fields[-2], "r"), _word(fields[-1], "s")
    if kind == Kind.ACCESS_LIST:
        fields = fields[:3] + fields[2:]  # the gas price stands for both fees
    start, end, _ = codec.item_bounds(raw, 1)
    unsigned = codec.encode_list((raw[start : end - _int_size(v) - _int_size(r) - _int_size(s)],))
    max_blob_fee = 0
    blob_hashes: tuple[Hash, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    if kind == Kind.BLOB:
        max_blob_fee = _fee(fields[9], "blob fee cap")
        blob_hashes = tuple(_hash(item, "blob hash") for item in _items(fields[10], "blob hashes"))
    elif kind == Kind.SET_CODE:
        authorizations = tuple(_authorization(item) for item in _items(fields[9], "authorizations"))
    return Transaction(
        kind,
        _word(fields[0], "chain id"),
        _nonce(fields[1]),
        _fee(fields[2], "tip"),
        _fee(fields[3], "fee cap"),
        _gas_limit(fields[4]),
        _recipient(fields[5]),
        _word(fields[6], "value"),
        _string(fields[7], "data"),
        v,
        r,
        s,
        raw,
        keccak(raw),
        keccak(raw[:1] + unsigned),
        _access_list(fields[8]),
        max_blob_fee,
        blob_hashes,
        authorizations,
    )


def _int_size(number: int) -> int:
    """Bytes that an integer's item takes; `number` is below 2^256."""
    return 1 if number < 0x80 else 1 + ((number.bit_length() + 7) >> 3)


def _integer(item: codec.Item, bytes_max: int, name: str, reason: Reason) -> int:
    if type(item) is not bytes:
        raise Rejected(Reason.BAD_TRANSACTION, f"{name} is a list")
    if len(item) > bytes_max:
        raise Rejected(reason, f"{name} is wider than {bytes_max} bytes")
    if item and not item[0]:
        raise Rejected(Reason.BAD_RLP, f"{name} has a leading zero")
    return int.from_bytes(item, "big")


def _word(item: codec.Item, name: str) -> int:
    return _integer(item, 32, name, Reason.BAD_TRANSACTION)


def _fee(item: codec.Item, name: str) -> int:
    return _integer(item, 32, name, Reason.FEE_OVERFLOW)


def _nonce(item: codec.Item) -> int:
    return _integer(item, 8, "nonce", Reason.NONCE_OVERFLOW)


def _gas_limit(item: codec.Item) -> int:
    return _integer(item, 8, "gas limit", Reason.BAD_TRANSACTION)


def _string(item: codec.Item, name: str) -> bytes:
    if type(item) is not bytes:
        raise Rejected(Reason.BAD_TRANSACTION, f"{name} is a list")
    return item


def _recipient(item: codec.Item) -> Address | None:
    if type(item) is bytes:
        if len(item) == 20:
            return Address(item)
        if not item:
            return None
    raise Rejected(Reason.BAD_TRANSACTION, "the recipient is neither empty nor 20 bytes")


def _address(item: codec.Item, name: str) -> Address:
    if type(item) is not bytes or len(item) != 20:
        raise Rejected(Reason.BAD_TRANSACTION, f"{name} is not 20 bytes")
    return Address(item)


def _hash(item: codec.Item, name: str) -> Hash:
    if type(item) is not bytes or len(item) != 32:
        raise Rejected(Reason.BAD_TRANSACTION, f"{name} is not 32 bytes")
    return Hash(item)


def _items(item: codec.Item, name: str) -> list[codec.Item]:
    if type(item) is not list:
        raise Rejected(Reason.BAD_TRANSACTION, f"{name} is not a list")
    return item


def _strings(item: codec.Item) -> tuple[bytes, ...]:
    return tuple(_string(each, "a blob, commitment or proof") for each in _items(item, "blobs"))


def _access_list(item: codec.Item) -> AccessList:
    entries = []
    for entry in _items(item, "the access list"):
        parts = _items(entry, "an access list entry")
        if len(parts) != 2:
            raise Rejected(Reason.BAD_TRANSACTION, f"an access list entry of {len(parts)} fields")
        slots = [_hash(slot, "an access list slot") for slot in _items(parts[1], "its slots")]
        entries.append((_address(parts[0], "an access list address"), tuple(slots)))
    return tuple(entries)


def _authorization(item: codec.Item) -> Authorization:
    fields = _items(item, "an authorization")
    if len(fields) != 6:
        raise Rejected(Reason.BAD_TRANSACTION, f"an authorization of {len(fields)} fields")
    return Authorization(
        chain_id=_word(fields[0], "authorization: chain id"),
        address=_address(fields[1], "authorization: the address"),
        nonce=_integer(fields[2], 8, "authorization: nonce", Reason.BAD_TRANSACTION),
        y_parity=_integer(fields[3], 1, "authorization: parity", Reason.BAD_TRANSACTION),
        r=_word(fields[4], "authorization: r"),
        s=_word(fields[5], "authorization: s"),
    )


# -- fields to transaction ----------------------------------------------------------------


def build_transaction(
    *,
    kind: int,
    chain_id: int | None,
    nonce: int,
    gas_limit: int,
    max_fee: int,
    max_priority_fee: int | None = None,
    to: Address | None = None,
    value: int = 0,
    data: bytes = b"",
    access_list: AccessList = (),
    max_blob_fee: int = 0,
    blob_hashes: Sequence[Hash] = (),
    authorizations: Sequence[Authorization] = (),
    private_key: bytes | None = None,
) -> Transaction:
    """A transaction signed with a key of 32 bytes; a ValueError when that is no key.

    Without a key its signature is still zero: sign its `signing_hash`. For kinds 0 and 1
    `max_fee` is the gas price, and `max_priority_fee` is left out. Numbers are not checked
    here: chain.validation does.
    """
    tip = max_fee if max_priority_fee is None or kind <= Kind.ACCESS_LIST else max_priority_fee
    unsigned = Transaction(
        kind=int(kind),
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee=tip,
        max_fee=max_fee,
        gas_limit=gas_limit,
        to=to,
        value=value,
        data=data,
        v=0,
        r=0,
        s=0,
        raw=b"",
        hash=Hash(b""),
        signing_hash=Hash(b""),
        access_list=access_list,
        max_blob_fee=max_blob_fee,
        blob_hashes=tuple(blob_hashes),
        authorizations=tuple(authorizations),
    )
    fields = _encoded_fields(unsigned)
    if kind == Kind.LEGACY and chain_id is not None:
        preimage = codec.encode_list((*fields, codec.encode_int(chain_id), _TWO_ZEROS))
    else:
        preimage = _envelope(kind, fields)
    signing_hash = keccak(preimage)
    v = r = s = 0
    if private_key is not None:
        y_parity, r, s = secp256k1.sign(signing_hash, private_key)
        v = _recovery_id(kind, chain_id, y_parity)
    raw = _envelope(kind, (*fields, *map(codec.encode_int, (v, r, s))))
    return replace(unsigned, v=v, r=r, s=s, raw=raw, hash=keccak(raw), signing_hash=signing_hash)


def _recovery_id(kind: int, chain_id: int | None, y_parity: int) -> int:
    """How a transaction writes the parity of its signature."""
    if kind != Kind.LEGACY:
        return y_parity
    return 27 + y_parity if chain_id is None else _REPLAY_PROTECTED_FROM + 2 * chain_id + y_parity


def with_signature(transaction: Transaction, y_parity: int, r: int, s: int) -> Transaction:
    """The transaction with this signature in place of whatever it had."""
    v = _recovery_id(transaction.kind, transaction.chain_id, y_parity)
    fields = _encoded_fields(transaction)
    raw = _envelope(transaction.kind, (*fields, *map(codec.encode_int, (v, r, s))))
    return replace(transaction, v=v, r=r, s=s, raw=raw, hash=keccak(raw))


def sign_transaction(transaction: Transaction, private_key: bytes) -> Transaction:
    """The transaction signed with a key of 32 bytes; a ValueError when that is no key."""
    return with_signature(transaction, *secp256k1.sign(transaction.signing_hash, private_key))


def _envelope(kind: int, fields: Sequence[bytes]) -> bytes:
    encoded = codec.encode_list(fields)
    return encoded if kind == Kind.LEGACY else bytes((kind,)) + encoded


def _encoded_fields(transaction: Transaction) -> list[bytes]:
    """The items of every field in its order, without the signature's."""
    text, number = codec.encode_bytes, codec.encode_int
    kind = transaction.kind
    fields = [] if kind == Kind.LEGACY else [number(transaction.chain_id or 0)]
    fields.append(number(transaction.nonce))
    if kind >= Kind.DYNAMIC_FEE:
        fields.append(number(transaction.max_priority_fee))
    fields += (
        number(transaction.max_fee),
        number(transaction.gas_limit),
        text(transaction.to or b""),
        number(transaction.value),
        text(transaction.data),
    )
    if kind >= Kind.ACCESS_LIST:
        fields.append(codec.encode(transaction.access_list))
    if kind == Kind.BLOB:
        fields += (number(transaction.max_blob_fee), codec.encode(transaction.blob_hashes))
    elif kind == Kind.SET_CODE:
        fields.append(codec.encode_list(map(_encode_authorization, transaction.authorizations)))
    return fields


def _encode_authorization(authorization: Authorization) -> bytes:
    return codec.encode_list(
        (
            codec.encode_int(authorization.chain_id),
            codec.encode_bytes(authorization.address),
            codec.encode_int(authorization.nonce),
            codec.encode_int(authorization.y_parity),
            codec.encode_int(authorization.r),
            codec.encode_int(authorization.s),
        )
    )
