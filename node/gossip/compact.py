"""Blocks without the transactions that the receiver has: building and rebuilding them.

A short id is 8 bytes: the first four of the transaction's hash, and the first four of
keccak(salt + hash). The first half is the same in every block, so that one lasting index
of the pool serves them all and nothing is computed for transactions that are not in the
block. The second half is new in every block: who grinds two transactions with equal first
halves gains nothing, because he can't know the salt. What still collides is asked for, and
the header's transactions root has the last word.

Sans-IO: bytes in, values out.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from chain.blocks import (
    Block,
    Header,
    decode_block,
    decode_header,
    encode_header,
    header_hash,
    transactions_root,
)
from chain.crypto.keccak import keccak_many
from chain.errors import Reason, Rejected
from chain.transactions import Checked, Transaction, decode_transaction
from chain.types import Address, Hash
from chain.validators import ConsensusRecord, decode_record, encode_record, record_hash
from node.consensus.outbox import ProposedBlock
from node.net.messages import CompactBlock

SHORT_ID_BYTES: Final = 8
PREFIX_BYTES: Final = 4
SALT_BYTES: Final = 8
_CANDIDATES_MAX: Final = 8  # with one prefix; more take 2**32 hashes each to make
_GAS_PER_TRANSACTION_MIN: Final = 21_000

Find = Callable[[bytes], Sequence[Checked]]  # pooled transactions by the prefix of their hash
# What is being checked: hash and network form of those whose hash begins with one of these.
Arriving = Callable[[Collection[bytes]], Sequence[tuple[Hash, bytes]]]


def short_ids(salt: bytes, hashes: Sequence[Hash]) -> list[bytes]:
    """The short id of each transaction in a block with this salt."""
    salted = keccak_many([salt + transaction_hash for transaction_hash in hashes])
    return [
        transaction_hash[:PREFIX_BYTES] + tail[: SHORT_ID_BYTES - PREFIX_BYTES]
        for transaction_hash, tail in zip(hashes, salted, strict=True)
    ]


# -- building --------------------------------------------------------------------------------------


class Compactor:
    """One block to send to many: what is the same for all receivers is computed once."""

    def __init__(self, proposed: ProposedBlock, salt: bytes) -> None:
        self._record = encode_record(proposed.record)
        self._header = encode_header(proposed.block.header)
        self._salt = salt
        self._transactions = proposed.block.transactions
        self._ids = short_ids(salt, [each.hash for each in self._transactions])
        self._full: CompactBlock | None = None  # for a receiver that has everything

    def build(self, has: Callable[[Hash], bool]) -> CompactBlock:
        """The block for a receiver that `has` some of its transactions."""
        entries = [
            short if has(transaction.hash) else transaction.raw
            for short, transaction in zip(self._ids, self._transactions, strict=True)
        ]
        if entries != self._ids:
            return CompactBlock(self._record, self._header, self._salt, tuple(entries))
        if self._full is None:
            self._full = CompactBlock(self._record, self._header, self._salt, tuple(entries))
        return self._full


# -- rebuilding ------------------------------------------------------------------------------------


class Rebuild:
    """A block in the making. `missing` are the ascending indices that are still to be had."""

    def __init__(
        self,
        record: ConsensusRecord,
        header: Header,
        block_hash: Hash,
        transactions: list[Transaction | None],
        senders: list[Address | None],
    ) -> None:
        self._record = record
        self._header = header
        self._hash = block_hash
        self._transactions = transactions
        self._senders = senders

    @property
    def missing(self) -> list[int]:
        return [index for index, each in enumerate(self._transactions) if each is None]

    def fill(self, raws: Sequence[bytes]) -> None:
        """Put in what was missing, in order.

        Raises Rejected(BAD_BLOCK) when it is not as many, and what `decode_transaction` raises.
        """
        missing = self.missing
        if len(raws) != len(missing):
            raise Rejected(Reason.BAD_BLOCK, f"{len(raws)} transactions, asked {len(missing)}")
        for index, raw in zip(missing, raws, strict=True):
            self._transactions[index] = decode_transaction(raw)

    def finish(self) -> ProposedBlock:
        """The block, whose transactions are those of its header.

        Raises Rejected(BAD_BLOCK) while something is missing, WRONG_TRANSACTIONS_ROOT.
        """
        transactions = tuple(each for each in self._transactions if each is not None)
        if len(transactions) != len(self._transactions):
            raise Rejected(Reason.BAD_BLOCK, f"{len(self.missing)} transactions are missing")
        if transactions_root(transactions) != self._header.transactions_root:
            raise Rejected(Reason.WRONG_TRANSACTIONS_ROOT, f"block 0x{self._hash.hex()}")
        withdrawals = None if self._header.withdrawals_root is None else ()
        block = Block(self._header, transactions, (), withdrawals)
        return ProposedBlock(self._record, block, self._hash, tuple(self._senders))


def open_compact(
    compact: CompactBlock, block_hash: Hash, find: Find, arriving: Arriving = lambda prefixes: ()
) -> Rebuild:
    """Begin to rebuild the block of this hash from the pool, and from what is about to be in it.

    Raises BAD_RLP or BAD_BLOCK when record, header and hash do not belong together, when
    there are more entries than the gas allows, or an entry is no transaction.
    """
    record = decode_record(compact.record)
    header = decode_header(compact.header)
    _check_bound(record, header, block_hash)
    entries = compact.entries
    if len(entries) * _GAS_PER_TRANSACTION_MIN > header.gas_used:
        raise Rejected(Reason.BAD_BLOCK, f"{len(entries)} entries in {header.gas_used} gas")
    transactions: list[Transaction | None] = [None] * len(entries)
    senders: list[Address | None] = [None] * len(entries)
    places: list[int] = []
    candidates: list[Checked] = []
    for index, entry in enumerate(entries):
        if len(entry) == SHORT_ID_BYTES:
            for checked in find(entry[:PREFIX_BYTES])[:_CANDIDATES_MAX]:
                places.append(index)
                candidates.append(checked)
        elif len(entry) > SHORT_ID_BYTES:
            transactions[index] = decode_transaction(entry)
        else:
            raise Rejected(Reason.BAD_BLOCK, f"an entry of {len(entry)} bytes")
    ids = short_ids(compact.salt, [each.transaction.hash for each in candidates])
    ambiguous: set[int] = set()
    for index, checked, found in zip(places, candidates, ids, strict=True):
        if found != entries[index]:
            continue
        if transactions[index] is not None:
            ambiguous.add(index)
        transactions[index] = checked.transaction
        senders[index] = checked.sender
    for index in ambiguous:
        transactions[index] = senders[index] = None
    _put_arriving(compact, transactions, ambiguous, arriving)
    return Rebuild(record, header, block_hash, transactions, senders)


def _put_arriving(
    compact: CompactBlock,
    transactions: list[Transaction | None],
    ambiguous: set[int],
    arriving: Arriving,
) -> None:
    """Take what nobody has checked yet, too: it is here, and only its sender is not known."""
    missing = {
        bytes(compact.entries[index]): index
        for index, each in enumerate(transactions)
        if each is None and index not in ambiguous
    }
    if not missing:
        return
    found = arriving({short[:PREFIX_BYTES] for short in missing})
    ids = short_ids(compact.salt, [transaction_hash for transaction_hash, _ in found])
    for (_, raw), short in zip(found, ids, strict=True):
        index = missing.pop(short, None)
        if index is not None:
            try:
                transactions[index] = decode_transaction(raw)
            except Rejected:
                continue  # blobs around it, or no transaction at all: it stays missing


def check_block(record_bytes: bytes, block_bytes: bytes, block_hash: Hash) -> ProposedBlock:
    """A whole block of the hash asked for.

    Raises BAD_RLP, BAD_BLOCK, BAD_TRANSACTION and WRONG_TRANSACTIONS_ROOT.
    """
    record = decode_record(record_bytes)
    block = decode_block(block_bytes)
    _check_bound(record, block.header, block_hash)
    if transactions_root(block.transactions) != block.header.transactions_root:
        raise Rejected(Reason.WRONG_TRANSACTIONS_ROOT, f"block 0x{block_hash.hex()}")
    return ProposedBlock(record, block, block_hash, (None,) * len(block.transactions))


def _check_bound(record: ConsensusRecord, header: Header, block_hash: Hash) -> None:
    """Hash, header and record belong together."""
    if header_hash(header) != block_hash:
        raise Rejected(Reason.BAD_BLOCK, "the header has another hash")
    if header.parent_beacon_root != record_hash(record):
        raise Rejected(Reason.BAD_BLOCK, "the header names another record")
