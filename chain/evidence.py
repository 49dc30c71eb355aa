"""Evidence: two votes by which one validator contradicts itself.

Source: docs/protocol/consensus.md, section 6. Both votes are signed, so evidence convinces
everybody who knows the ledger's domain and the validators of that epoch; nothing in it
depends on a clock or on who reports it.
"""

from typing import Final

from msgspec import Struct

from chain import codec
from chain.codec import encode_bytes, encode_list
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.types import Address, Hash
from chain.validators import (
    Ballot,
    Domain,
    ValidatorSet,
    Vote,
    VoteKind,
    decode_vote,
    encode_ballot,
    encode_vote,
    verify_vote,
)

EVIDENCE_BYTES_MAX: Final = 512  # two votes with every field at its longest take 327
_OFFENCE_TAG: Final = b"chain-node/offence/1"


class Evidence(Struct, frozen=True, gc=False):
    """Two votes that exclude each other, in the order of `evidence_of`."""

    first: Vote
    second: Vote

    @property
    def offender(self) -> Address:
        return self.first.signer

    @property
    def epoch(self) -> int:
        return self.first.ballot.epoch


def contradict(one: Ballot, other: Ballot) -> bool:
    """Whether no honest validator signs both.

    Within one view: NOTARIZE of two hashes; FINALIZE of two hashes; NOTARIZE of one hash and
    FINALIZE of another; NULLIFY and FINALIZE. NOTARIZE and then NULLIFY is allowed (R4).
    """
    if (one.epoch, one.view) != (other.epoch, other.view):
        return False
    kinds = {one.kind, other.kind}
    if VoteKind.NULLIFY in kinds:
        return VoteKind.FINALIZE in kinds
    return one.block_hash != other.block_hash


def evidence_of(one: Vote, other: Vote) -> Evidence:
    """The evidence that two votes make, whichever was seen first. Nothing is checked."""
    first, second = sorted((one, other), key=lambda vote: encode_ballot(vote.ballot))
    return Evidence(first, second)


def offence_hash(evidence: Evidence) -> Hash:
    """Names the offence: validator, epoch, view.

    A signer can sign one ballot in many ways, and the votes of a view pair up in many ways;
    all of them are one offence, so that nobody fills a memory with copies of it.
    """
    ballot = evidence.first.ballot
    return Hash(
        keccak(
            _OFFENCE_TAG
            + evidence.first.signer
            + ballot.epoch.to_bytes(8, "big")
            + ballot.view.to_bytes(8, "big")
        )
    )


def check_evidence(evidence: Evidence, domain: Domain, validators: ValidatorSet) -> None:
    """The votes are by one member of the set, contradict each other, and are signed.

    `validators` is the set of the evidence's epoch. The age is for the ledger's contract to
    judge, by height. Raises Rejected(BAD_EVIDENCE).
    """
    first, second = evidence.first, evidence.second
    if first.signer != second.signer:
        raise Rejected(Reason.BAD_EVIDENCE, "votes of different validators")
    if (first.ballot.epoch, first.ballot.view) != (second.ballot.epoch, second.ballot.view):
        raise Rejected(Reason.BAD_EVIDENCE, "votes of different views")
    if not contradict(first.ballot, second.ballot):
        raise Rejected(Reason.BAD_EVIDENCE, "the votes do not contradict each other")
    if evidence_of(first, second) != evidence:
        raise Rejected(Reason.BAD_EVIDENCE, "the votes stand in the wrong order")
    for vote in (first, second):
        ballot = vote.ballot
        if ballot.kind is VoteKind.NULLIFY and (any(ballot.block_hash) or ballot.parent_view):
            raise Rejected(Reason.BAD_EVIDENCE, "a nullify vote names a block")
    if validators.index_of(first.signer) is None:
        raise Rejected(
            Reason.BAD_EVIDENCE,
            f"0x{first.signer.hex()} is no validator of epoch {first.ballot.epoch}",
        )
    if not (verify_vote(first, domain) and verify_vote(second, domain)):
        raise Rejected(Reason.BAD_EVIDENCE, "a signature does not hold")


def encode_evidence(evidence: Evidence) -> bytes:
    """Canonical RLP: a list of the two votes."""
    return encode_list(
        (encode_bytes(encode_vote(evidence.first)), encode_bytes(encode_vote(evidence.second)))
    )


def decode_evidence(data: bytes) -> Evidence:
    """Inverse of `encode_evidence`; raises Rejected(BAD_EVIDENCE) for anything else."""
    if len(data) > EVIDENCE_BYTES_MAX:
        raise Rejected(Reason.BAD_EVIDENCE, f"{len(data)} bytes")
    try:
        item = codec.decode(data)
        if isinstance(item, bytes) or len(item) != 2:
            raise Rejected(Reason.BAD_EVIDENCE, "evidence has two parts")
        first, second = item
        if not isinstance(first, bytes) or not isinstance(second, bytes):
            raise Rejected(Reason.BAD_EVIDENCE, "evidence's parts have the wrong shape")
        return Evidence(decode_vote(first), decode_vote(second))
    except Rejected as error:
        raise Rejected(Reason.BAD_EVIDENCE, error.detail) from error
