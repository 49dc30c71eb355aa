"""Who agrees on blocks, and what they sign: validator sets, votes, certificates, records.

Source: docs/protocol/consensus.md, sections 1 and 2. A validator is known by the address
of its secp256k1 key; signatures are recoverable, so no public key travels.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final

from msgspec import Struct

from chain import codec
from chain.codec import encode_bytes, encode_int, encode_list
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.types import ZERO_HASH, Address, Hash

VALIDATORS_MAX: Final = 1024
POWER_MAX: Final = 2**60  # of a whole set, so that sums stay within 64 bits
SIGNATURE_SIZE: Final = 65  # r, s, y parity

# Half the order of secp256k1: signatures above it have a twin below (EIP-2).
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_BALLOTS_KEPT: Final = 256  # decoded, with their fields as they travel
_RECOVERED_MAX: Final = 16_384  # signatures whose makers are remembered, of about 300 bytes each
_SIGN_TAG: Final = b"chain-node/consensus/1"
_LEADER_TAG: Final = b"chain-node/leader/1"
_RANDOMNESS_TAG: Final = b"chain-node/randomness/1"


class VoteKind(IntEnum):
    """What is signed. The kinds are part of the sign bytes and never interchangeable."""

    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3


_KINDS: Final = tuple(VoteKind)


class Validator(Struct, frozen=True, gc=False):
    address: Address
    power: int  # > 0


class ValidatorSet(Struct, frozen=True, dict=True):
    """The validators of an epoch, by ascending address; made by `validator_set`."""

    validators: tuple[Validator, ...]
    total_power: int
    hash: Hash

    def quorum(self, power: int) -> bool:
        """Whether this much power decides: more than two thirds, in integers."""
        return 3 * power > 2 * self.total_power

    def index_of(self, address: Address) -> int | None:
        return self._indices.get(address)

    @cached_property
    def _indices(self) -> Mapping[Address, int]:
        return {validator.address: index for index, validator in enumerate(self.validators)}

    @cached_property
    def _tickets(self) -> Sequence[int]:
        """For each validator, the first ticket that is no longer its own."""
        return tuple(accumulate(validator.power for validator in self.validators))

    def leader(self, seed: Hash, view: int) -> int:
        """The index of the validator that proposes in `view`, drawn by power (R0)."""
        draw = keccak(_LEADER_TAG + seed + view.to_bytes(8, "big"))
        ticket = int.from_bytes(draw, "big") % self.total_power
        return bisect_right(self._tickets, ticket)


def validator_set(validators: Sequence[Validator]) -> ValidatorSet:
    """A set in canonical order; Rejected(BAD_GENESIS) when it can't be one."""
    ordered = tuple(sorted(validators, key=lambda validator: validator.address))
    addresses = {validator.address for validator in ordered}
    total = sum(validator.power for validator in ordered)
    if not 1 <= len(ordered) <= VALIDATORS_MAX:
        raise Rejected(Reason.BAD_GENESIS, f"{len(ordered)} validators")
    if len(addresses) != len(ordered):
        raise Rejected(Reason.BAD_GENESIS, "a validator is named twice")
    if any(len(address) != 20 for address in addresses):
        raise Rejected(Reason.BAD_GENESIS, "a validator's address is not 20 bytes")
    if any(validator.power < 1 for validator in ordered) or total > POWER_MAX:
        raise Rejected(Reason.BAD_GENESIS, "a validator's power is out of range")
    payload = encode_list(
        encode_list((encode_bytes(validator.address), encode_int(validator.power)))
        for validator in ordered
    )
    return ValidatorSet(ordered, total, Hash(keccak(payload)))


def encode_validators(validators: ValidatorSet) -> bytes:
    """The set as it is hashed and kept: an RLP list of [address, power]."""
    return encode_list(
        encode_list((encode_bytes(validator.address), encode_int(validator.power)))
        for validator in validators.validators
    )


def decode_validators(data: bytes) -> ValidatorSet:
    """Inverse of `encode_validators`; Rejected(BAD_BLOCK, BAD_GENESIS) for anything else."""
    item = codec.decode(data)
    if isinstance(item, bytes):
        raise Rejected(Reason.BAD_BLOCK, "a validator set is a list")
    members = (_fields(member, 2) for member in item)
    return validator_set(
        [Validator(Address(_sized(address, 20)), _word64(power)) for address, power in members]
    )


class Ballot(Struct, frozen=True, gc=False):
    """What a vote says. `block_hash` is the zero hash in a NULLIFY."""

    kind: VoteKind
    epoch: int
    view: int
    block_hash: Hash
    parent_view: int  # of the block's record; 0 in a NULLIFY


class Vote(Struct, frozen=True, gc=False):
    """A signed ballot."""

    ballot: Ballot
    signer: Address
    signature: bytes  # 65 bytes


class Domain(Struct, frozen=True, gc=False):
    """The ledger that signatures are for; a vote on one ledger means nothing on another."""

    chain_id: int
    genesis_hash: Hash

    def sign_hash(self, ballot: Ballot) -> Hash:
        """The hash that is signed; every field at a fixed width."""
        return Hash(
            keccak(
                _SIGN_TAG
                + self.chain_id.to_bytes(32, "big")
                + self.genesis_hash
                + bytes((ballot.kind,))
                + ballot.epoch.to_bytes(8, "big")
                + ballot.view.to_bytes(8, "big")
                + ballot.block_hash
                + ballot.parent_view.to_bytes(8, "big")
            )
        )


def sign_ballot(
    ballot: Ballot, domain: Domain, private_key: bytes, signer: Address | None = None
) -> Vote:
    """The vote of the key's owner. Deterministic (RFC 6979), low s.

    `signer` is the key's address, for callers that know it: deriving it costs as much as signing.
    """
    y_parity, r, s = secp256k1.sign(domain.sign_hash(ballot), private_key)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))
    return Vote(ballot, signer or secp256k1.address_of(private_key), signature)


def verify_vote(vote: Vote, domain: Domain) -> bool:
    """Whether the signature is by the vote's signer; low s only."""
    return _signers(domain.sign_hash(vote.ballot), (vote.signature,))[0] == vote.signer


# Who made which signature of which message. The same ones come as votes, in certificates of
# several peers, in statuses and as evidence; recovering a signer takes far longer than this.
_recovered: Final[dict[tuple[Hash, bytes], Address]] = {}


def _signers(message: Hash, signatures: Sequence[bytes]) -> list[Address | None]:
    """Who made each signature of a message; None where it is not canonical or nobody's."""
    fresh: dict[bytes, tuple[Hash, int, int, int]] = {}
    found: dict[bytes, Address | None] = {}
    for signature in signatures:
        parts = _signature_parts(signature)
        if parts is None:
            found[signature] = None
        elif (known := _recovered.get((message, signature))) is not None:
            found[signature] = known
        else:
            fresh[signature] = (message, *parts)
    if fresh:
        signers = secp256k1.recover_many(list(fresh.values()))
        if len(_recovered) + len(signers) > _RECOVERED_MAX:
            _recovered.clear()
        for signature, signer in zip(fresh, signers, strict=True):
            found[signature] = signer
            if signer is not None:
                _recovered[message, signature] = signer
    return [found[signature] for signature in signatures]


def _signature_parts(signature: bytes) -> tuple[int, int, int] | None:
    """(y parity, r, s), or None when the bytes are no canonical signature."""
    if len(signature) != SIGNATURE_SIZE or signature[64] > 1:
        return None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if s > _HALF_ORDER:
        return None
    return signature[64], r, s


class Certificate(Struct, frozen=True):
    """A quorum's signatures under one ballot.

    Bit i of byte i // 8 of `signers`, counted from the least significant, stands for
    validator i of the set; `signatures` are in the same order.
    """

    ballot: Ballot
    signers: bytes
    signatures: tuple[bytes, ...]


def build_certificate(votes: Sequence[Vote], validators: ValidatorSet) -> Certificate:
    """A certificate of votes for one ballot by different members of the set."""
    bitmap = bytearray((len(validators.validators) + 7) // 8)
    signatures: dict[int, bytes] = {}
    for vote in votes:
        index = validators.index_of(vote.signer)
        assert index is not None and vote.ballot == votes[0].ballot
        bitmap[index // 8] |= 1 << index % 8
        signatures[index] = vote.signature
    ordered = tuple(signatures[index] for index in sorted(signatures))
    return Certificate(votes[0].ballot, bytes(bitmap), ordered)


def check_certificate(certificate: Certificate, validators: ValidatorSet, domain: Domain) -> None:
    """Every signature is by the member it stands for, and together they are a quorum.

    Raises Rejected(BAD_CERTIFICATE).
    """
    count = len(validators.validators)
    bitmap = int.from_bytes(certificate.signers, "little")
    if len(certificate.signers) != (count + 7) // 8 or bitmap >> count:
        raise Rejected(Reason.BAD_CERTIFICATE, "the bitmap does not fit the validator set")
    members = [validators.validators[index] for index in range(count) if bitmap >> index & 1]
    if len(members) != len(certificate.signatures):
        raise Rejected(Reason.BAD_CERTIFICATE, "not one signature per signer")
    if not validators.quorum(sum(member.power for member in members)):
        raise Rejected(Reason.BAD_CERTIFICATE, "no quorum")
    signers = _signers(domain.sign_hash(certificate.ballot), certificate.signatures)
    for member, found in zip(members, signers, strict=True):
        if found != member.address:
            raise Rejected(Reason.BAD_CERTIFICATE, f"not signed by 0x{member.address.hex()}")


def skip_root(epoch: int, parent_view: int, view: int, domain: Domain) -> Hash:
    """What a record says of the views it skips: the hash of their nullify ballots' sign hashes.

    The certificates themselves differ from node to node in their signers, so that the root is
    over what they certify. Zero when no view is skipped.
    """
    skipped = range(parent_view + 1, view)
    if not skipped:
        return ZERO_HASH
    ballots = (Ballot(VoteKind.NULLIFY, epoch, between, ZERO_HASH, 0) for between in skipped)
    return Hash(keccak(encode_list(encode_bytes(domain.sign_hash(ballot)) for ballot in ballots)))


class ConsensusRecord(Struct, frozen=True, kw_only=True):
    """What consensus adds to a block. The header's parent beacon root holds its hash."""

    chain_id: int
    epoch: int
    view: int
    height: int
    parent_view: int
    parent_hash: Hash
    timestamp_ms: int
    validators_hash: Hash  # of this epoch's set
    next_validators_hash: Hash
    skip_root: Hash = ZERO_HASH  # of the nullifications of skipped views; zero: none
    evidence_root: Hash = ZERO_HASH  # zero: none
    proposer: Address


@lru_cache(maxsize=16)  # of a block in the making: needed again for its randomness
def record_hash(record: ConsensusRecord) -> Hash:
    return Hash(keccak(encode_record(record)))


def randomness(record: ConsensusRecord) -> Hash:
    """PREVRANDAO of the record's block: spread, but its proposer can lean on it."""
    return Hash(keccak(_RANDOMNESS_TAG + record_hash(record)))


# -- bytes -----------------------------------------------------------------------------------------


@lru_cache(maxsize=16)  # of a block in the making: its hash is needed twice, then it is stored
def encode_record(record: ConsensusRecord) -> bytes:
    return encode_list(
        (
            encode_int(record.chain_id),
            encode_int(record.epoch),
            encode_int(record.view),
            encode_int(record.height),
            encode_int(record.parent_view),
            encode_bytes(record.parent_hash),
            encode_int(record.timestamp_ms),
            encode_bytes(record.validators_hash),
            encode_bytes(record.next_validators_hash),
            encode_bytes(record.skip_root),
            encode_bytes(record.evidence_root),
            encode_bytes(record.proposer),
        )
    )


def decode_record(data: bytes) -> ConsensusRecord:
    """Inverse of `encode_record`; Rejected(BAD_BLOCK) for anything else."""
    fields = _fields(codec.decode(data), 12)
    return ConsensusRecord(
        chain_id=codec.decode_int(fields[0]),
        epoch=_word64(fields[1]),
        view=_word64(fields[2]),
        height=_word64(fields[3]),
        parent_view=_word64(fields[4]),
        parent_hash=_hash(fields[5]),
        timestamp_ms=_word64(fields[6]),
        validators_hash=_hash(fields[7]),
        next_validators_hash=_hash(fields[8]),
        skip_root=_hash(fields[9]),
        evidence_root=_hash(fields[10]),
        proposer=Address(_sized(fields[11], 20)),
    )


def encode_ballot(ballot: Ballot) -> bytes:
    return encode_list(
        (
            encode_int(ballot.kind),
            encode_int(ballot.epoch),
            encode_int(ballot.view),
            encode_bytes(ballot.block_hash),
            encode_int(ballot.parent_view),
        )
    )


def encode_certificate(certificate: Certificate) -> bytes:
    return encode_list(
        (
            encode_ballot(certificate.ballot),
            encode_bytes(certificate.signers),
            encode_list(map(encode_bytes, certificate.signatures)),
        )
    )


def decode_certificate(data: bytes) -> Certificate:
    """Inverse of `encode_certificate`; Rejected(BAD_BLOCK) for anything else."""
    item = codec.decode(data)
    if isinstance(item, bytes) or len(item) != 3:
        raise Rejected(Reason.BAD_BLOCK, "a certificate has three parts")
    ballot, signers, signatures = item
    if not isinstance(signers, bytes) or isinstance(signatures, bytes):
        raise Rejected(Reason.BAD_BLOCK, "a certificate's parts have the wrong shape")
    return Certificate(
        decode_ballot(ballot),
        signers,
        tuple(_sized(signature, SIGNATURE_SIZE) for signature in signatures),
    )


def encode_vote(vote: Vote) -> bytes:
    return encode_list(
        (encode_ballot(vote.ballot), encode_bytes(vote.signer), encode_bytes(vote.signature))
    )


def decode_vote(data: bytes) -> Vote:
    """Inverse of `encode_vote`; Rejected(BAD_BLOCK) for anything else."""
    item = codec.decode(data)
    if isinstance(item, bytes) or len(item) != 3:
        raise Rejected(Reason.BAD_BLOCK, "a vote has three parts")
    return Vote(
        decode_ballot(item[0]),
        Address(_sized(item[1], 20)),
        _sized(item[2], SIGNATURE_SIZE),
    )


def certificate_ballot(data: bytes) -> Ballot:
    """The ballot that an encoded certificate begins with; the rest is not looked at.

    Raises BAD_RLP and BAD_BLOCK.
    """
    start, _, _ = codec.item_bounds(data, 0)
    _, end, _ = codec.item_bounds(data, start)
    return decode_ballot(codec.decode(data[start:end]))


def decode_ballot(item: codec.Item) -> Ballot:
    """A ballot from its decoded RLP item; Rejected(BAD_BLOCK) for anything else."""
    return _ballot(*_fields(item, 5))


@lru_cache(maxsize=_BALLOTS_KEPT)  # every validator's vote brings the same one
def _ballot(kind: bytes, epoch: bytes, view: bytes, block_hash: bytes, parent: bytes) -> Ballot:
    number = codec.decode_int(kind)
    if number not in _KINDS:
        raise Rejected(Reason.BAD_BLOCK, f"unknown kind of vote {number}")
    ballot = Ballot(
        VoteKind(number), _word64(epoch), _word64(view), _hash(block_hash), _word64(parent)
    )
    if ballot.kind is VoteKind.NULLIFY and (any(ballot.block_hash) or ballot.parent_view):
        raise Rejected(Reason.BAD_BLOCK, "a nullify vote names no block")
    return ballot


def _fields(item: codec.Item, count: int) -> list[bytes]:
    if isinstance(item, bytes) or len(item) != count:
        raise Rejected(Reason.BAD_BLOCK, f"expected a list of {count}")
    fields = [field for field in item if isinstance(field, bytes)]
    if len(fields) != count:
        raise Rejected(Reason.BAD_BLOCK, "expected bytes, found a list")
    return fields


def _sized(field: codec.Item, size: int) -> bytes:
    if not isinstance(field, bytes) or len(field) != size:
        raise Rejected(Reason.BAD_BLOCK, f"expected {size} bytes")
    return field


def _hash(field: bytes) -> Hash:
    return Hash(_sized(field, 32))


def _word64(field: bytes) -> int:
    value = codec.decode_int(field)
    if value >> 64:
        raise Rejected(Reason.BAD_BLOCK, "a number does not fit 64 bits")
    return value
