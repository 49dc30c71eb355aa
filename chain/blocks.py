"""Headers, bodies, receipts and logs: what is agreed on and kept."""

from msgspec import Struct

from chain.transactions import Transaction
from chain.types import Address, Hash


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
