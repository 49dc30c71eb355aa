"""Evidence: which pairs of votes convict, whom, and that nothing else does."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.evidence import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    check_evidence,
    contradict,
    decode_evidence,
    encode_evidence,
    evidence_of,
    offence_hash,
)
from chain.types import ZERO_HASH, Hash
from chain.validators import (
    Ballot,
    Domain,
    Validator,
    Vote,
    VoteKind,
    sign_ballot,
    validator_set,
)

KEYS: Final = [bytes(31) + bytes((number,)) for number in range(1, 6)]
DOMAIN: Final = Domain(31337, Hash(b"\x22" * 32))
FOUR: Final = validator_set([Validator(address_of(key), 1) for key in KEYS[:4]])
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def ballot(kind: VoteKind, block: int = 1, *, epoch: int = 3, view: int = 7) -> Ballot:
    if kind is NULLIFY:
        return Ballot(kind, epoch, view, ZERO_HASH, 0)
    return Ballot(kind, epoch, view, Hash(bytes((block,)) * 32), view - 1)


def vote(kind: VoteKind, block: int = 1, *, epoch: int = 3, view: int = 7, key: int = 0) -> Vote:
    return sign_ballot(ballot(kind, block, epoch=epoch, view=view), DOMAIN, KEYS[key])


def refusal(evidence: Evidence, domain: Domain = DOMAIN) -> str:
    """The detail of BAD_EVIDENCE."""
    with pytest.raises(Rejected) as caught:
        check_evidence(evidence, domain, FOUR)
    assert caught.value.reason is Reason.BAD_EVIDENCE
    return caught.value.detail


@pytest.mark.parametrize(
    ("one", "other", "convicts"),
    [
        (ballot(NOTARIZE, 1), ballot(NOTARIZE, 2), True),
        (ballot(FINALIZE, 1), ballot(FINALIZE, 2), True),
        (ballot(NOTARIZE, 1), ballot(FINALIZE, 2), True),
        (ballot(NULLIFY), ballot(FINALIZE), True),
        (ballot(NOTARIZE), ballot(NULLIFY), False),
        (ballot(NULLIFY), ballot(NULLIFY), False),
        (ballot(NOTARIZE), ballot(NOTARIZE), False),
        (ballot(NOTARIZE), ballot(FINALIZE), False),
        (ballot(NOTARIZE, 1), ballot(NOTARIZE, 2, view=8), False),
        (ballot(NULLIFY), ballot(FINALIZE, epoch=4), False),
        (ballot(NOTARIZE, 1), replace(ballot(NOTARIZE, 1), parent_view=2), False),
    ],
)
def test_the_four_kinds_contradict_and_no_others(
    one: Ballot, other: Ballot, convicts: bool
) -> None:
    assert contradict(one, other) is convicts
    assert contradict(other, one) is convicts
    votes = [sign_ballot(each, DOMAIN, KEYS[0]) for each in (one, other)]
    evidence = evidence_of(*votes)
    if convicts:
        check_evidence(evidence, DOMAIN, FOUR)
    else:
        refusal(evidence)


def test_an_offence_has_one_name_and_one_order() -> None:
    """Whichever vote came first, whichever pair of the view's votes was seen."""
    votes = [vote(NOTARIZE, 1), vote(NOTARIZE, 2), vote(FINALIZE, 3)]
    assert evidence_of(votes[0], votes[1]) == evidence_of(votes[1], votes[0])
    names = {offence_hash(evidence_of(a, b)) for a in votes for b in votes if a != b}
    assert len(names) == 1
    elsewhere = evidence_of(vote(NOTARIZE, 1, view=8), vote(NOTARIZE, 2, view=8))
    other_key = evidence_of(vote(NOTARIZE, 1, key=1), vote(NOTARIZE, 2, key=1))
    later = evidence_of(vote(NOTARIZE, 1, epoch=4), vote(NOTARIZE, 2, epoch=4))
    assert len(names | {offence_hash(each) for each in (elsewhere, other_key, later)}) == 4


def test_the_wrong_order_is_refused() -> None:
    evidence = evidence_of(vote(NULLIFY), vote(FINALIZE))
    swapped = Evidence(evidence.second, evidence.first)
    assert refusal(swapped) == "the votes stand in the wrong order"


def test_votes_of_two_validators_convict_nobody() -> None:
    evidence = evidence_of(vote(NOTARIZE, 1, key=0), vote(NOTARIZE, 2, key=1))
    assert refusal(evidence) == "votes of different validators"
    claimed = replace(vote(NOTARIZE, 2, key=1), signer=address_of(KEYS[0]))
    framed = evidence_of(vote(NOTARIZE, 1, key=0), claimed)
    assert refusal(framed) == "a signature does not hold"


def test_only_a_member_of_that_epoch_is_convicted() -> None:
    evidence = evidence_of(vote(NOTARIZE, 1, key=4), vote(NOTARIZE, 2, key=4))
    assert "is no validator of epoch 3" in refusal(evidence)


@pytest.mark.parametrize(
    "domain", [replace(DOMAIN, chain_id=1), replace(DOMAIN, genesis_hash=ZERO_HASH)]
)
def test_votes_on_another_ledger_convict_nobody(domain: Domain) -> None:
    evidence = evidence_of(vote(NOTARIZE, 1), vote(NOTARIZE, 2))
    assert refusal(evidence, domain) == "a signature does not hold"


def test_the_twin_of_a_signature_is_none() -> None:
    evidence = evidence_of(vote(NOTARIZE, 1), vote(NOTARIZE, 2))
    signature = evidence.second.signature
    high = ORDER - int.from_bytes(signature[32:64], "big")
    for bad in (
        signature[:32] + high.to_bytes(32, "big") + bytes((1 - signature[64],)),
        signature[:64] + bytes((signature[64] + 27,)),
        bytes(65),
        signature[:64],
    ):
        altered = replace(evidence, second=replace(evidence.second, signature=bad))
        assert refusal(altered) == "a signature does not hold"


def test_a_nullify_that_names_a_block_is_no_vote() -> None:
    odd = sign_ballot(Ballot(NULLIFY, 3, 7, Hash(b"\x05" * 32), 0), DOMAIN, KEYS[0])
    assert refusal(evidence_of(odd, vote(FINALIZE))) == "a nullify vote names a block"


kinds: Final = st.sampled_from(list(VoteKind))
words: Final = st.integers(0, 2**64 - 1)


@st.composite
def votes(draw: st.DrawFn) -> Vote:
    kind = draw(kinds)
    block = ZERO_HASH if kind is NULLIFY else Hash(draw(st.binary(min_size=32, max_size=32)))
    parent = 0 if kind is NULLIFY else draw(words)
    signed = Ballot(kind, draw(words), draw(words), block, parent)
    signature = draw(st.binary(min_size=65, max_size=65))
    return Vote(signed, address_of(draw(st.sampled_from(KEYS))), signature)


@given(votes(), votes())
def test_decode_inverts_encode(one: Vote, other: Vote) -> None:
    evidence = evidence_of(one, other)
    data = encode_evidence(evidence)
    assert len(data) <= EVIDENCE_BYTES_MAX
    assert decode_evidence(data) == evidence


@given(st.binary(max_size=600))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        decode_evidence(data)
    assert caught.value.reason is Reason.BAD_EVIDENCE


def test_evidence_cut_short_or_padded_is_refused() -> None:
    data = encode_evidence(evidence_of(vote(NULLIFY), vote(FINALIZE)))
    for bad in (data[:-1], data + b"\0", b"\xc0", b"\x80", b"\xc2\xc0\xc0", b"\xc2\x80\x80"):
        with pytest.raises(Rejected) as caught:
            decode_evidence(bad)
        assert caught.value.reason is Reason.BAD_EVIDENCE


def test_the_bytes_of_evidence_are_these() -> None:
    """For a second implementation: key 1, chain id 31337, genesis hash 22..22, epoch 3, view 7."""
    evidence = evidence_of(vote(NOTARIZE, 1), vote(FINALIZE, 2))
    assert DOMAIN.sign_hash(evidence.first.ballot).hex() == (
        "4d8ad9c05508eb2167105d3c3eeb6f453d430c490482a52ac830e272b117b24d"
    )
    assert encode_evidence(evidence).hex() == (
        "f90104b880f87ee5010307a001010101010101010101010101010101010101010101010101010101"
        "0101010106947e5f4552091a69125d5dfcb7b8c2659029395bdfb841a3cb9fa423a3366539e07978"
        "2f07dc3e954fe692691f771b37b689a558e9082137a2dbf7ff8b2727658510132622cef4c4ed5aee"
        "eb3576f3e7b323f646181b9100b880f87ee5030307a0020202020202020202020202020202020202"
        "020202020202020202020202020206947e5f4552091a69125d5dfcb7b8c2659029395bdfb841167d"
        "2701127b6630cda32bec36e3ca56087e43f9537c961b6f576af3bbf323c76a18ffccdcad33878a78"
        "6de66e2ec23807f729a4db7fb993246380adf953a57e00"
    )
    assert offence_hash(evidence).hex() == (
        "75d6ce894920d34ffe3efc519ef5d28dcbdb22e967aee3b6221621355bfbed61"
    )
