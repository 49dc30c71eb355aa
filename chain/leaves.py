"""What the leaves of the state trie hold, and the keys they stand under.

An account stands under keccak(address); its slots stand in a trie of its own
under keccak(slot). The flat tables keep the same bytes as the leaves, so that a
leaf is never stored twice. Source: Yellow Paper, section 4.1.
"""

from functools import lru_cache
from typing import Final

from chain.crypto.keccak import keccak
from chain.errors import Fault
from chain.state import Account
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash

# Addresses and slots whose hashes are remembered; about 250 bytes each.
_HASHES_MAX: Final = 1 << 17

_EMPTY_TAIL: Final = b"\xa0" + EMPTY_ROOT + b"\xa0" + EMPTY_CODE_HASH


@lru_cache(maxsize=_HASHES_MAX)
def address_key(address: Address) -> Hash:
    """The key of an account in the state trie."""
    return keccak(address)


@lru_cache(maxsize=_HASHES_MAX)
def slot_key(slot: int) -> Hash:
    """The key of a storage slot in its account's trie."""
    return keccak(slot.to_bytes(32, "big"))


def encode_account(account: Account) -> bytes:
    """The leaf of an account: RLP of [nonce, balance, storage root, code hash]."""
    nonce, balance = account.nonce, account.balance
    if nonce == 0:
        head = b"\x80"
    elif nonce < 128:
        head = bytes((nonce,))
    else:
        size = (nonce.bit_length() + 7) >> 3
        head = bytes((128 + size,)) + nonce.to_bytes(size, "big")
    if balance == 0:
        head += b"\x80"
    elif balance < 128:
        head += bytes((balance,))
    else:
        size = (balance.bit_length() + 7) >> 3
        head += bytes((128 + size,)) + balance.to_bytes(size, "big")
    if account.code_hash == EMPTY_CODE_HASH and account.storage_root == EMPTY_ROOT:
        body = head + _EMPTY_TAIL
    else:
        body = head + b"\xa0" + account.storage_root + b"\xa0" + account.code_hash
    return bytes((0xF8, len(body))) + body


def decode_account(leaf: bytes) -> Account:
    """The account in a leaf that `encode_account` made; `Fault` when it can't have."""
    end = len(leaf) - 66
    if end < 4 or leaf[0] != 0xF8 or leaf[1] != len(leaf) - 2:
        raise Fault(f"corrupt account record: {leaf.hex()}")
    first = leaf[2]
    if first <= 128:
        nonce, at = first & 127, 3
    else:
        at = first - 125
        nonce = int.from_bytes(leaf[3:at], "big")
    first = leaf[at]
    if first <= 128:
        balance, at = first & 127, at + 1
    else:
        start = at + 1
        at = start + first - 128
        balance = int.from_bytes(leaf[start:at], "big")
    if at != end or leaf[end] != 0xA0 or leaf[end + 33] != 0xA0:
        raise Fault(f"corrupt account record: {leaf.hex()}")
    tail = leaf[end:]
    if tail == _EMPTY_TAIL:
        return Account(nonce, balance)
    return Account(nonce, balance, Hash(tail[1:33]), Hash(tail[34:]))


def encode_slot(value: int) -> bytes:
    """The leaf of a storage slot: RLP of its non-zero value."""
    if value < 128:
        return bytes((value,))
    size = (value.bit_length() + 7) >> 3
    return bytes((128 + size,)) + value.to_bytes(size, "big")


def decode_slot(leaf: bytes) -> int:
    """The value in a leaf that `encode_slot` made; `Fault` when it can't have."""
    if len(leaf) == 1:
        return leaf[0]
    if not leaf or leaf[0] - 128 != len(leaf) - 1:
        raise Fault(f"corrupt storage record: {leaf.hex()}")
    return int.from_bytes(leaf[1:], "big")
