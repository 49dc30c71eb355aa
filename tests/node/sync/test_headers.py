"""What proves a stretch of headers, and what does not."""

from typing import Any

import pytest
from msgspec.structs import replace

from chain.blocks import Block, encode_block, encode_header
from chain.errors import Fault, Reason, Rejected
from chain.transactions import Kind, build_transaction, sign_transaction
from chain.types import ZERO_ADDRESS, ZERO_HASH
from chain.validators import Certificate, Domain, VoteKind, encode_certificate
from node.net.messages import FinalHeader
from node.sync.headers import check_body, check_headers
from tests.node.sync.chains import DOMAIN, KEYS, Chain, certify, members

CHAIN = Chain(12, certified_every=4)


def items(first: int, last: int) -> list[FinalHeader]:
    return [CHAIN.item(height) for height in range(first, last + 1)]


def refused(found: list[FinalHeader], first: int, chain: Chain = CHAIN) -> Reason:
    with pytest.raises(Rejected) as caught:
        check_headers(found, first, chain.trust())
    return caught.value.reason


def with_certificate(item: FinalHeader, certificate: Certificate) -> FinalHeader:
    return FinalHeader(item.header, item.record, encode_certificate(certificate))


def test_one_certificate_at_the_end_proves_all_below_it() -> None:
    found = check_headers(items(1, 12), 1, CHAIN.trust())
    assert [proved.hash for proved in found] == CHAIN.hashes[1:]
    assert [proved.height for proved in found if proved.certificate] == [4, 8, 12]
    assert [proved.hash for proved in check_headers(items(5, 8), 5, CHAIN.trust())] == (
        CHAIN.hashes[5:9]
    )


def test_no_headers_prove_nothing() -> None:
    assert refused([], 1) is Reason.BAD_BLOCK


def test_the_last_header_needs_a_certificate() -> None:
    assert refused(items(1, 3), 1) is Reason.BAD_CERTIFICATE


def test_every_certificate_that_comes_along_is_checked() -> None:
    stretch = items(1, 8)
    stretch[3] = with_certificate(stretch[3], certify(CHAIN.hashes[4], (4, 5, 6, 7)))
    assert refused(stretch, 1) is Reason.BAD_CERTIFICATE


@pytest.mark.parametrize(
    "certificate",
    [
        certify(CHAIN.hashes[4], (0, 1), of=members(0, 1, 2, 3)),
        certify(CHAIN.hashes[3], (0, 1, 2), of=members(0, 1, 2, 3)),
        certify(CHAIN.hashes[4], (0, 1, 2), of=members(0, 1, 2, 3), kind=VoteKind.NOTARIZE),
        certify(CHAIN.hashes[4], (0, 1, 2), of=members(0, 1, 2, 3), epoch=1),
        certify(
            CHAIN.hashes[4],
            (0, 1, 2),
            of=members(0, 1, 2, 3),
            domain=Domain(DOMAIN.chain_id + 1, DOMAIN.genesis_hash),
        ),
        certify(CHAIN.hashes[4], (4, 5, 6), of=members(4, 5, 6, 7)),
    ],
    ids=["no quorum", "another block", "another kind", "another epoch", "another ledger",
         "other validators"],
)  # fmt: skip
def test_a_certificate_must_be_this_blocks_finalization(certificate: Certificate) -> None:
    stretch = items(1, 4)
    stretch[3] = with_certificate(stretch[3], certificate)
    assert refused(stretch, 1) is Reason.BAD_CERTIFICATE


def test_the_validators_of_an_unknown_epoch_prove_nothing() -> None:
    chain = Chain(10, epoch_length=5)
    trust = replace(chain.trust(), sets={0: chain.set_of(0)})
    with pytest.raises(Rejected) as caught:
        check_headers([chain.item(height) for height in range(1, 11)], 1, trust)
    assert caught.value.reason is Reason.BAD_CERTIFICATE


def test_a_hole_or_a_height_in_the_wrong_place_is_refused() -> None:
    assert refused([CHAIN.item(1), CHAIN.item(3), CHAIN.item(4)], 1) is Reason.BAD_BLOCK
    assert refused(items(2, 4), 1) is Reason.BAD_BLOCK


def test_headers_of_another_chain_do_not_follow() -> None:
    other = Chain(4, salt=b"other")
    assert refused([other.item(1), *items(2, 4)], 1) is Reason.BAD_BLOCK


def test_another_record_than_the_headers_is_refused() -> None:
    stretch = items(1, 4)
    stretch[1] = FinalHeader(stretch[1].header, stretch[2].record, b"")
    assert refused(stretch, 1) is Reason.BAD_BLOCK


@pytest.mark.parametrize("piece", ["header", "record", "finalization"])
def test_bytes_that_are_no_encoding_are_refused(piece: str) -> None:
    stretch = items(1, 4)
    changed: Any = {piece: getattr(stretch[3], piece)[:-1]}
    stretch[3] = replace(stretch[3], **changed)
    assert refused(stretch, 1) in (Reason.BAD_RLP, Reason.BAD_BLOCK)


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 9},
        {"epoch": 3},
        {"chain_id": 8},
        {"parent_hash": ZERO_HASH},
        {"validators_hash": ZERO_HASH},
        {"next_validators_hash": ZERO_HASH},
    ],
)
def test_a_final_header_that_breaks_the_rules_is_a_fault(changes: dict[str, Any]) -> None:
    """No honest validator signs it: more than a third are not honest, and nobody may go on."""
    chain = Chain(3, epoch_length=50)
    chain.append(**changes)
    with pytest.raises(Fault, match="height 4 is final"):
        check_headers([chain.item(height) for height in range(1, 5)], 1, chain.trust())


def test_the_body_must_be_the_one_that_the_header_names() -> None:
    proved = check_headers(items(1, 4), 1, CHAIN.trust())[1]
    assert check_body(encode_block(CHAIN.blocks[2]), proved) == CHAIN.blocks[2]
    transaction = sign_transaction(
        build_transaction(
            kind=Kind.DYNAMIC_FEE, chain_id=7, nonce=0, gas_limit=21_000, max_fee=9,
            max_priority_fee=1, to=ZERO_ADDRESS, value=1,
        ),
        KEYS[0],
    )  # fmt: skip
    right = CHAIN.blocks[2]
    for wrong in (
        CHAIN.blocks[3],
        Block(right.header, (transaction,), withdrawals=()),
        Block(right.header, (), (right.header,), withdrawals=()),
        Block(right.header, ()),
    ):
        with pytest.raises(Rejected) as caught:
            check_body(encode_block(wrong), proved)
        assert caught.value.reason is Reason.BAD_BLOCK
    with pytest.raises(Rejected) as caught:
        check_body(encode_header(right.header), proved)
    assert caught.value.reason in (Reason.BAD_BLOCK, Reason.BAD_RLP)
