"""The ledger's tables: their names, what their keys are made of, and the version of it all.

Heights are 8 bytes big endian, so that keys sort by height. `account key` and
`slot key` are the keccak hashes under which leaves stand in the state trie.
"""

from typing import Final

from chain.types import Height

VERSION: Final = 2
"""Raised with every change that an older program would read wrongly.

1: had no indexes of logs and addresses; brought up to 2 when it is opened.
"""

META: Final = "meta"  # name of a fact -> the fact
HEADERS: Final = "headers"  # height -> block hash, total difficulty (32 bytes), header RLP
HEIGHTS: Final = "heights"  # block hash -> height
BODIES: Final = "bodies"  # height -> the block's RLP items after the header
RECEIPTS: Final = "receipts"  # height -> outcomes, in the form of chain.records
SENDERS: Final = "senders"  # height -> 20 bytes per transaction
TRANSACTIONS: Final = "transactions"  # transaction hash -> height, index (4 bytes)
LOG_INDEX: Final = "log_index"  # tag of an address or topic (chain.log_index), height -> nothing
APPEARANCES: Final = "appearances"  # address, height -> transactions (chain.appearances)
CERTIFICATES: Final = "certificates"  # height -> finalization certificate
RECORDS: Final = "records"  # height -> consensus record
ACCOUNTS: Final = "accounts"  # account key -> leaf
STORAGE: Final = "storage"  # account key, slot key -> leaf
CODES: Final = "codes"  # code hash -> code
TRIE: Final = "trie"  # key space and path (chain.changes) -> branch record
ACCOUNT_HISTORY: Final = "account_history"  # account key, height -> leaf before that block
STORAGE_HISTORY: Final = "storage_history"  # account key, slot key, height -> leaf before it
CHANGED: Final = "changed"  # height -> the keys in the two histories at that height
PREIMAGES: Final = "preimages"  # account key -> address; slot key -> slot (32 bytes)

TABLES: Final = {
    META: False,
    HEADERS: True,
    HEIGHTS: False,
    BODIES: True,
    RECEIPTS: True,
    SENDERS: True,
    TRANSACTIONS: False,
    LOG_INDEX: False,
    APPEARANCES: False,
    CERTIFICATES: True,
    RECORDS: True,
    ACCOUNTS: False,
    STORAGE: False,
    CODES: True,
    TRIE: False,
    ACCOUNT_HISTORY: False,
    STORAGE_HISTORY: False,
    CHANGED: False,
    PREIMAGES: False,
}
"""Every table, and whether its values are worth compressing."""

# Facts in META.
SCHEMA: Final = b"schema"  # VERSION, 4 bytes
CHAIN: Final = b"chain"  # hash of the genesis block
GENESIS: Final = b"genesis"  # the genesis file as JSON, when the chain came from one
HEAD: Final = b"head"  # height of the last committed block
OLDEST_STATE: Final = b"oldest_state"  # the first height whose state is still readable
FIRST: Final = b"first"  # height of the first block of a forked ledger; no fact: 0
FORK: Final = b"fork"  # what a forked ledger was forked from, for whoever forked it


AMENDMENTS: Final = b"amendment/"  # with height and index: chain.amendments


def amendment_key(height: int, index: int) -> bytes:
    """The fact in META that holds how to take back a height's amendment."""
    return AMENDMENTS + height_key(height) + index.to_bytes(4, "big")


def read_amendment_key(key: bytes) -> tuple[Height, int]:
    """The height and the index of an amendment."""
    at = len(AMENDMENTS)
    return read_height(key[at : at + 8]), int.from_bytes(key[at + 8 :], "big")


INDEXED_FROM: Final = b"indexed_from"  # the first height with index rows; no fact: all have them


def validators_key(epoch: int) -> bytes:
    """The fact in META that holds an epoch's validator set."""
    return b"validators/" + epoch.to_bytes(8, "big")


def height_key(height: int) -> bytes:
    return height.to_bytes(8, "big")


def read_height(key: bytes) -> Height:
    return Height(int.from_bytes(key, "big"))
