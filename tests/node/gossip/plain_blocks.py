"""Validators, and blocks that are well-formed and never executed."""

from collections.abc import Sequence
from functools import cache

from chain.blocks import Block, Header, header_hash, transactions_root
from chain.crypto.secp256k1 import address_of
from chain.transactions import Checked
from chain.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_HASH, Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    ConsensusRecord,
    Domain,
    Validator,
    Vote,
    VoteKind,
    build_certificate,
    record_hash,
    sign_ballot,
    validator_set,
)
from node.consensus.outbox import ProposedBlock

DOMAIN = Domain(1337, Hash(b"\x07" * 32))
KEYS = [bytes([number]) * 32 for number in range(1, 13)]
ADDRESSES = [Address(address_of(key)) for key in KEYS]
MEMBERS = validator_set([Validator(address, 1) for address in ADDRESSES[:4]])


def key_of(address: Address) -> bytes:
    return KEYS[ADDRESSES.index(address)]


@cache
def vote(kind: VoteKind, signer: int, view: int = 1, block_hash: Hash = ZERO_HASH) -> Vote:
    return sign_ballot(Ballot(kind, 0, view, block_hash, 0), DOMAIN, KEYS[signer])


@cache
def certificate(kind: VoteKind, view: int = 1, block_hash: Hash = ZERO_HASH) -> Certificate:
    """By validators 0, 1 and 2 of `KEYS`."""
    return build_certificate([vote(kind, signer, view, block_hash) for signer in range(3)], MEMBERS)


def proposed(
    transactions: Sequence[Checked], leader: int = 0, view: int = 1
) -> tuple[Vote, ProposedBlock]:
    """A block of these transactions with its leader's NOTARIZE."""
    record = ConsensusRecord(
        chain_id=1337,
        epoch=0,
        view=view,
        height=view,
        parent_view=0,
        parent_hash=ZERO_HASH,
        timestamp_ms=1_000,
        validators_hash=MEMBERS.hash,
        next_validators_hash=MEMBERS.hash,
        proposer=ADDRESSES[leader],
    )
    body = tuple(checked.transaction for checked in transactions)
    header = Header(
        parent_hash=ZERO_HASH,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=ADDRESSES[leader],
        state_root=ZERO_HASH,
        transactions_root=transactions_root(body),
        receipts_root=ZERO_HASH,
        logs_bloom=bytes(256),
        difficulty=0,
        number=view,
        gas_limit=60_000_000,
        gas_used=21_000 * len(body),
        timestamp=1,
        extra_data=b"",
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee=7,
        withdrawals_root=EMPTY_ROOT,
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_root=record_hash(record),
    )
    block_hash = header_hash(header)
    senders = tuple(checked.sender for checked in transactions)
    block = ProposedBlock(record, Block(header, body, (), ()), block_hash, senders)
    return vote(VoteKind.NOTARIZE, leader, view, block_hash), block
