"""Validator sets, votes, certificates, records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain import validators
from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.types import Address, Hash
from chain.validators import (
    Ballot,
    ConsensusRecord,
    Domain,
    Validator,
    VoteKind,
    build_certificate,
    check_certificate,
    decode_certificate,
    decode_record,
    decode_vote,
    encode_certificate,
    encode_record,
    encode_vote,
    record_hash,
    sign_ballot,
    validator_set,
    verify_vote,
)

KEYS = [bytes(31) + bytes((number,)) for number in range(1, 8)]
DOMAIN = Domain(31337, Hash(b"\x22" * 32))
BALLOT = Ballot(VoteKind.FINALIZE, 0, 7, Hash(b"\x33" * 32), 6)
FOUR = validator_set([Validator(address_of(key), 1) for key in KEYS[:4]])


def reason(call: object, *arguments: object) -> Reason:
    with pytest.raises(Rejected) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.reason


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=6), st.data())
def test_two_quorums_share_more_than_a_third(powers: list[int], data: st.DataObject) -> None:
    members = validator_set(
        [Validator(address_of(key), power) for key, power in zip(KEYS, powers, strict=False)]
    )
    subset = st.sets(st.sampled_from(members.validators))
    one, other = data.draw(subset), data.draw(subset)
    if members.quorum(sum(v.power for v in one)) and members.quorum(sum(v.power for v in other)):
        assert 3 * sum(v.power for v in one & other) > members.total_power


def test_exactly_two_thirds_is_no_quorum() -> None:
    three = validator_set([Validator(address_of(key), 1) for key in KEYS[:3]])
    assert not three.quorum(2)
    assert three.quorum(3)


def test_leaders_are_drawn_by_power() -> None:
    members = validator_set([Validator(address_of(KEYS[0]), 1), Validator(address_of(KEYS[1]), 9)])
    heavy = members.index_of(address_of(KEYS[1]))
    draws = [members.leader(Hash(bytes(32)), view) for view in range(2000)]
    assert 0.85 < draws.count(heavy or 0) / len(draws) < 0.95


@pytest.mark.parametrize(
    "members",
    [
        [],
        [Validator(address_of(KEYS[0]), 0)],
        [Validator(address_of(KEYS[0]), 1), Validator(address_of(KEYS[0]), 2)],
        [Validator(Address(b"short"), 1)],
        [Validator(address_of(KEYS[0]), 2**60 + 1)],
    ],
)
def test_impossible_sets_are_refused(members: list[Validator]) -> None:
    assert reason(validator_set, members) is Reason.BAD_GENESIS


def test_a_vote_verifies_only_as_it_was_signed() -> None:
    vote = sign_ballot(BALLOT, DOMAIN, KEYS[0])
    assert verify_vote(vote, DOMAIN)
    assert not verify_vote(vote, replace(DOMAIN, chain_id=1))
    assert not verify_vote(vote, replace(DOMAIN, genesis_hash=Hash(bytes(32))))
    assert not verify_vote(replace(vote, signer=address_of(KEYS[1])), DOMAIN)
    for change in (
        {"kind": VoteKind.NOTARIZE},
        {"epoch": 1},
        {"view": 8},
        {"block_hash": Hash(bytes(32))},
        {"parent_view": 5},
    ):
        assert not verify_vote(replace(vote, ballot=replace(BALLOT, **change)), DOMAIN)


def test_the_twin_of_a_signature_is_refused() -> None:
    vote = sign_ballot(BALLOT, DOMAIN, KEYS[0])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(vote.signature[32:64], "big")).to_bytes(32, "big")
    twin = vote.signature[:32] + high_s + bytes((1 - vote.signature[64],))
    assert not verify_vote(replace(vote, signature=twin), DOMAIN)


def test_a_quorum_makes_a_certificate_and_less_does_not() -> None:
    votes = [sign_ballot(BALLOT, DOMAIN, key) for key in KEYS[:4]]
    certificate = build_certificate(votes[:3], FOUR)
    check_certificate(certificate, FOUR, DOMAIN)
    assert reason(check_certificate, build_certificate(votes[:2], FOUR), FOUR, DOMAIN) is (
        Reason.BAD_CERTIFICATE
    )


def test_forged_certificates_are_refused() -> None:
    votes = [sign_ballot(BALLOT, DOMAIN, key) for key in KEYS[:4]]
    good = build_certificate(votes[:3], FOUR)
    outsider = sign_ballot(BALLOT, DOMAIN, KEYS[5]).signature
    for bad in (
        replace(good, ballot=replace(BALLOT, view=8)),
        replace(good, signatures=good.signatures[:2]),
        replace(good, signatures=(good.signatures[0],) * 3),
        replace(good, signatures=(*good.signatures[:2], outsider)),
        replace(good, signatures=good.signatures[::-1]),
        replace(good, signers=b"\xff"),
        replace(good, signers=good.signers + b"\0"),
        replace(good, signatures=(*good.signatures[:2], bytes(65))),
    ):
        assert reason(check_certificate, bad, FOUR, DOMAIN) is Reason.BAD_CERTIFICATE


def test_encodings_come_back() -> None:
    votes = [sign_ballot(BALLOT, DOMAIN, key) for key in KEYS[:3]]
    certificate = build_certificate(votes, FOUR)
    assert decode_certificate(encode_certificate(certificate)) == certificate
    assert decode_vote(encode_vote(votes[0])) == votes[0]


def record(view: int) -> ConsensusRecord:
    return ConsensusRecord(
        chain_id=31337,
        epoch=0,
        view=view,
        height=3,
        parent_view=view - 1,
        parent_hash=Hash(b"\x44" * 32),
        timestamp_ms=1_700_000_000_123,
        validators_hash=FOUR.hash,
        next_validators_hash=FOUR.hash,
        proposer=address_of(KEYS[0]),
    )


@given(st.integers(1, 2**64 - 1))
def test_records_come_back_and_their_hashes_differ(view: int) -> None:
    assert decode_record(encode_record(record(view))) == record(view)
    assert record_hash(record(view)) != record_hash(replace(record(view), parent_view=2**64 - 1))
    assert validators.randomness(record(view)) != record_hash(record(view))


@given(st.binary(max_size=80))
def test_garbage_is_refused(data: bytes) -> None:
    for decode in (decode_record, decode_certificate, decode_vote):
        assert reason(decode, data) in (Reason.BAD_RLP, Reason.BAD_BLOCK)
