"""Transactions and receipts out of the JSON in which servers tell them."""

from typing import Any

from chain.blocks import Log, Receipt, logs_bloom
from chain.transactions import (
    Authorization,
    Kind,
    Transaction,
    build_transaction,
    with_signature,
)
from chain.types import WORD, Address, Hash

Fields = dict[str, Any]


def parse_transaction(fields: Fields) -> Transaction:
    """A signed transaction. ValueError when it makes no sense."""
    kind = _integer(fields.get("type", 0), 4)
    chain_id = fields.get("chainId")
    v = _integer(fields.get("v", fields.get("yParity")), 2**64)
    if kind == Kind.LEGACY:
        protected = v >= 35
        parity = (v - 35) % 2 if protected else v % 27
        chain_id = (v - 35) // 2 if protected else None
    else:
        parity, chain_id = v, _integer(chain_id, 2**64 - 1)
    to = fields.get("to")
    dynamic = kind >= Kind.DYNAMIC_FEE
    unsigned = build_transaction(
        kind=kind,
        chain_id=chain_id,
        nonce=_integer(fields.get("nonce"), 2**64 - 1),
        gas_limit=_integer(fields.get("gas"), 2**64 - 1),
        max_fee=_integer(fields.get("maxFeePerGas" if dynamic else "gasPrice"), WORD),
        max_priority_fee=_integer(fields.get("maxPriorityFeePerGas"), WORD) if dynamic else None,
        to=None if to is None else _address(to),
        value=_integer(fields.get("value"), WORD),
        data=_bytes(fields.get("input", fields.get("data"))),
        access_list=tuple(
            (_address(item["address"]), tuple(map(_hash, item.get("storageKeys") or ())))
            for item in fields.get("accessList") or ()
        ),
        max_blob_fee=_integer(fields["maxFeePerBlobGas"], WORD) if kind == Kind.BLOB else 0,
        blob_hashes=tuple(map(_hash, fields.get("blobVersionedHashes") or ())),
        authorizations=tuple(map(_authorization, fields.get("authorizationList") or ())),
    )
    scalars = _integer(fields.get("r"), WORD), _integer(fields.get("s"), WORD)
    return with_signature(unsigned, parity, *scalars)


def parse_receipt(fields: Fields, kind: int) -> Receipt:
    """What came of a transaction of this kind. ValueError when it makes no sense."""
    logs = tuple(map(_log, fields.get("logs") or ()))
    return Receipt(
        kind=kind,
        status=_integer(fields.get("status"), 1),
        post_state=None,
        cumulative_gas_used=_integer(fields.get("cumulativeGasUsed"), 2**64 - 1),
        logs_bloom=logs_bloom(logs),
        logs=logs,
    )


def _log(fields: Fields) -> Log:
    topics = tuple(map(_hash, fields.get("topics") or ()))
    if len(topics) > 4:
        raise ValueError("a log has at most four topics")
    return Log(_address(fields.get("address")), topics, _bytes(fields.get("data")))


def _authorization(fields: Fields) -> Authorization:
    return Authorization(
        chain_id=_integer(fields.get("chainId"), WORD),
        address=_address(fields.get("address")),
        nonce=_integer(fields.get("nonce"), 2**64 - 1),
        y_parity=_integer(fields.get("yParity"), 255),
        r=_integer(fields.get("r"), WORD),
        s=_integer(fields.get("s"), WORD),
    )


def _integer(value: Any, most: int) -> int:
    number = int(value, 0) if isinstance(value, str) else value
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError(f"{value!r:.80} is no number up to {most}")
    return number


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"{value!r:.80} is no data")
    return bytes.fromhex(value[2:])


def _hash(value: Any) -> Hash:
    return Hash(_sized(value, 32))


def _address(value: Any) -> Address:
    return Address(_sized(value, 20))


def _sized(value: Any, size: int) -> bytes:
    found = _bytes(value)
    if len(found) != size:
        raise ValueError(f"{value!r:.80} is not of {size} bytes")
    return found
