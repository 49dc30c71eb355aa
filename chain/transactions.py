"""Transactions of types 0 to 4: what travels, and its canonical bytes.

EIP-2718 envelopes: 0 legacy (EIP-155), 1 EIP-2930, 2 EIP-1559, 3 EIP-4844, 4 EIP-7702.
"""

from enum import IntEnum

from msgspec import Struct

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
