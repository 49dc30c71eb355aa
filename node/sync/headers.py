"""What makes a stretch of headers final: the hash chain, and a certificate at its end.

A header's hash covers its parent's and, through the record, its epoch and height. So one
finalization proves every header below it, whoever sent them (docs/protocol/consensus.md,
section 7).
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from chain.blocks import Block, Header, decode_block, decode_header
from chain.blocks import ommers_hash as hash_ommers
from chain.blocks import transactions_root as root_of_transactions
from chain.blocks import withdrawals_root as root_of_withdrawals
from chain.crypto.keccak import keccak
from chain.errors import Fault, Reason, Rejected
from chain.types import Hash
from chain.validators import (
    Certificate,
    ConsensusRecord,
    Domain,
    ValidatorSet,
    VoteKind,
    check_certificate,
    decode_certificate,
    decode_record,
)
from node.net.messages import FinalHeader


class Proved(Struct, frozen=True):
    """A header that is final beyond doubt. `certificate` is its own, if it came with one."""

    height: int
    hash: Hash
    header: Header
    record: ConsensusRecord
    certificate: Certificate | None


class Trust(Struct, frozen=True):
    """What finality is judged by: the ledger, its epochs, and the validators of some of them."""

    domain: Domain
    epoch_length: int  # heights; 0: one epoch for ever
    sets: Mapping[int, ValidatorSet]  # by epoch

    def epoch_of(self, height: int) -> int:
        return epoch_of(height, self.epoch_length)


def epoch_of(height: int, epoch_length: int) -> int:
    """The epoch of the block at `height`, which is at least 1."""
    return (height - 1) // epoch_length if epoch_length else 0


def check_headers(items: Sequence[FinalHeader], first: int, trust: Trust) -> list[Proved]:
    """Prove consecutive headers from height `first` on; at least one.

    Raises Rejected: BAD_BLOCK or BAD_RLP when they are not what they should be, and
    BAD_CERTIFICATE when a certificate does not prove them or their epoch's validators are
    not known. Raises `Fault` when they are final and break a rule all the same.
    """
    if not items:
        raise Rejected(Reason.BAD_BLOCK, "no headers")
    found: list[Proved] = []
    for height, item in enumerate(items, first):
        proved = _decode(item, height)
        if found and proved.header.parent_hash != found[-1].hash:
            raise Rejected(Reason.BAD_BLOCK, f"header {height} does not follow the one before it")
        found.append(proved)
    last = found[-1]
    if last.certificate is None:
        raise Rejected(Reason.BAD_CERTIFICATE, f"header {last.height}, the last, is not certified")
    for proved in found:
        if proved.certificate is not None:
            _check_finalization(proved, proved.certificate, trust)
    for proved in found:
        _demand_rules(proved, trust)
    return found


def _decode(item: FinalHeader, height: int) -> Proved:
    header, record = decode_header(item.header), decode_record(item.record)
    if header.number != height:
        raise Rejected(Reason.BAD_BLOCK, f"header {header.number} in the place of {height}")
    if header.parent_beacon_root != keccak(item.record):
        raise Rejected(Reason.BAD_BLOCK, f"header {height} names another record")
    certificate = decode_certificate(item.finalization) if item.finalization else None
    return Proved(height, Hash(keccak(item.header)), header, record, certificate)


def _check_finalization(proved: Proved, certificate: Certificate, trust: Trust) -> None:
    """The certificate is a quorum's FINALIZE of this block in the epoch of its height."""
    epoch = trust.epoch_of(proved.height)
    ballot = certificate.ballot
    if ballot.kind is not VoteKind.FINALIZE or ballot.block_hash != proved.hash:
        raise Rejected(Reason.BAD_CERTIFICATE, f"not the finalization of height {proved.height}")
    if ballot.epoch != epoch:
        raise Rejected(Reason.BAD_CERTIFICATE, f"of epoch {ballot.epoch}, not {epoch}")
    members = trust.sets.get(epoch)
    if members is None:
        raise Rejected(Reason.BAD_CERTIFICATE, f"the validators of epoch {epoch} are not known")
    check_certificate(certificate, members, trust.domain)


def _demand_rules(proved: Proved, trust: Trust) -> None:
    """What no honest validator signs is not in a final block; who finds it must stop."""
    record, epoch = proved.record, trust.epoch_of(proved.height)
    members, following = trust.sets.get(epoch), trust.sets.get(epoch + 1)
    if (
        record.chain_id != trust.domain.chain_id
        or record.height != proved.height
        or record.epoch != epoch
        or record.parent_hash != proved.header.parent_hash
        or (members is not None and record.validators_hash != members.hash)
    ):
        raise Fault(f"height {proved.height} is final with a record that breaks the rules")
    if trust.epoch_length and following is not None:
        if record.next_validators_hash != following.hash:
            raise Fault(f"height {proved.height} is final and names other validators to follow")


def check_body(raw: bytes, proved: Proved) -> Block:
    """The block whose header was proved, from its RLP; raises Rejected when it is another."""
    block = decode_block(raw)
    header = proved.header
    if block.header != header:
        raise Rejected(Reason.BAD_BLOCK, f"not the block that is final at height {proved.height}")
    withdrawals = block.withdrawals
    if (
        root_of_transactions(block.transactions) != header.transactions_root
        or hash_ommers(block.ommers) != header.ommers_hash
        or (None if withdrawals is None else root_of_withdrawals(withdrawals))
        != header.withdrawals_root
    ):
        raise Rejected(Reason.BAD_BLOCK, f"not the body of the block at height {proved.height}")
    return block
