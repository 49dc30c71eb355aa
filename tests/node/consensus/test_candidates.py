"""Blocks that may become final: their ground, what is forgotten, what executing refuses (R1)."""

from typing import Any

import pytest
from msgspec.structs import replace

from chain.blocks import encode_block
from chain.codec import encode_bytes, encode_list
from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from chain.errors import Fault, Reason, Rejected
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from chain.types import Hash
from chain.validators import encode_record, randomness
from contracts.vm import Interpreter
from node.consensus.candidates import (
    Candidate,
    Candidates,
    decode_proposed,
    encode_proposed,
    execute,
)
from node.consensus.outbox import ProposedBlock
from tests.node.consensus.shell import (
    CLIENTS,
    Author,
    commit,
    transfer,
    with_header,
    with_record,
)

ZERO = Hash(bytes(32))
PAYERS = [address_of(key) for key in CLIENTS]


def others(author: Author) -> Candidates:
    """Somebody else's, on an own copy of the ledger."""
    return Candidates(Ledger.open(MemoryStore(), author.genesis))


def run(author: Author, candidates: Candidates, block: ProposedBlock) -> Candidate:
    ground = candidates.ground(block.record.parent_hash)
    candidate = execute(block, ground, candidates._ledger, Interpreter())
    candidates.keep(candidate)
    return candidate


# -- overlays --------------------------------------------------------------------------------------


def test_a_block_runs_on_a_parent_that_is_not_final() -> None:
    """R1: on the state that the parent leads to; the ledger is not touched."""
    author = Author()
    candidates = others(author)
    first = author.block(1, transactions=[transfer(0, 0)])
    second = author.block(2, first, transactions=[transfer(0, 1)])
    run(author, candidates, first)
    candidate = run(author, candidates, second)
    assert candidate.executed.hash == second.hash
    assert candidates._ledger.height == 0
    ground = candidates.ground(second.hash)
    assert ground.parent.number == 2
    assert ground.block_hash(2) == second.hash
    assert ground.block_hash(1) == first.hash
    assert ground.block_hash(0) == author.ledger.genesis_hash
    assert ground.block_hash(3) == ZERO
    sender = ground.view.account(PAYERS[0])
    assert sender is not None and sender.nonce == 2


def test_without_its_parents_result_a_block_has_no_ground() -> None:
    """R1: a body alone is no state."""
    author = Author()
    candidates = others(author)
    first = author.block(1)
    candidates.propose(first)
    with pytest.raises(KeyError):
        candidates.ground(first.hash)
    with pytest.raises(KeyError):
        candidates.above_head(first.hash)


def test_branches_stand_beside_each_other() -> None:
    """R5: what is skipped leaves no trace on what is not."""
    author = Author()
    candidates = others(author)
    left = author.block(1, transactions=[transfer(0, 0)])
    right = author.block(2, parent_view=0)
    run(author, candidates, left)
    run(author, candidates, right)
    assert candidates.next_nonces(left.hash) == {PAYERS[0]: 1}
    assert candidates.next_nonces(right.hash) == {}


def test_next_nonces_count_every_unfinal_block_on_the_way() -> None:
    """R0: what a parent holds is not built in again."""
    author = Author()
    candidates = others(author)
    first = author.block(1, transactions=[transfer(0, 0), transfer(1, 0)])
    second = author.block(2, first, transactions=[transfer(0, 1), transfer(0, 2)])
    run(author, candidates, first)
    run(author, candidates, second)
    zero, one = PAYERS[:2]
    assert candidates.next_nonces(first.hash) == {zero: 1, one: 1}
    assert candidates.next_nonces(second.hash) == {zero: 3, one: 1}
    assert candidates.next_nonces(author.ledger.genesis_hash) == {}


def test_times_are_those_of_the_records() -> None:
    """Section 3: milliseconds, which the headers do not have."""
    author = Author()
    candidates = others(author)
    assert candidates.time_ms(author.ledger.genesis_hash) == author.ledger.head.timestamp * 1000
    first = author.block(1, salt=7)
    candidate = run(author, candidates, first)
    assert candidates.time_ms(first.hash) == first.record.timestamp_ms
    commit(candidates._ledger, author.epochs, candidate, None)
    candidates.prune()
    assert candidates.time_ms(first.hash) == first.record.timestamp_ms


# -- forgetting ------------------------------------------------------------------------------------


def test_after_a_commit_only_what_stands_on_it_is_left() -> None:
    """R6: children stay with their results, siblings go, nephews lose their ground."""
    author = Author()
    candidates = others(author)
    first, beside = author.block(1), author.block(2, parent_view=0)
    second, nephew = author.block(3, first), author.block(4, beside)
    results = {
        block.hash: run(author, candidates, block) for block in (first, beside, second, nephew)
    }
    commit(candidates._ledger, author.epochs, results[first.hash], None)
    candidates.prune()
    assert candidates.proposed(first.hash) is None and candidates.executed(first.hash) is None
    assert candidates.proposed(beside.hash) is None and candidates.executed(beside.hash) is None
    assert candidates.executed(second.hash) is results[second.hash]
    assert candidates.ground(second.hash).parent.number == 2
    assert candidates.executed(nephew.hash) is None


def test_unwanted_blocks_are_forgotten_and_delivered_ones_stay_for_their_commit() -> None:
    """R6: what consensus handed over is no longer wanted there, but not yet on disk."""
    author = Author()
    candidates = others(author)
    first = author.block(1)
    second, third = author.block(2, first), author.block(3, first)
    for block in (first, second, third):
        run(author, candidates, block)
    candidates.forget(1, lambda block_hash: block_hash == third.hash)
    assert candidates.executed(first.hash) is not None
    assert candidates.executed(second.hash) is None and candidates.proposed(second.hash) is None
    assert candidates.executed(third.hash) is not None
    absurd = with_record(first, height=0)
    candidates.propose(absurd)
    candidates.forget(1, lambda block_hash: False)
    assert candidates.proposed(absurd.hash) is None


# -- executing somebody's block --------------------------------------------------------------------


def refusal(author: Author, block: ProposedBlock, parent: Hash | None = None) -> Reason:
    candidates = others(author)
    ground = candidates.ground(author.ledger.genesis_hash if parent is None else parent)
    with pytest.raises(Rejected) as caught:
        execute(block, ground, candidates._ledger, Interpreter())
    return caught.value.reason


HEADER_LIES: list[tuple[dict[str, Any], Reason]] = [
    ({"parent_beacon_root": ZERO}, Reason.WRONG_HEADER_FIELDS),
    ({"parent_hash": ZERO}, Reason.WRONG_HEADER_FIELDS),
    ({"number": 2}, Reason.WRONG_HEADER_FIELDS),
    ({"mix_hash": ZERO}, Reason.WRONG_HEADER_FIELDS),
    ({"timestamp": 1}, Reason.WRONG_TIMESTAMP),
    ({"difficulty": 1}, Reason.WRONG_DIFFICULTY),
    ({"nonce": b"\x00" * 7 + b"\x01"}, Reason.WRONG_SEAL),
    ({"extra_data": bytes(33)}, Reason.WRONG_EXTRA_DATA),
    ({"gas_limit": 1}, Reason.WRONG_GAS_LIMIT),
    ({"base_fee": 1}, Reason.WRONG_BASE_FEE),
    ({"gas_used": 1}, Reason.WRONG_GAS_USED),
    ({"state_root": ZERO}, Reason.WRONG_STATE_ROOT),
    ({"receipts_root": ZERO}, Reason.WRONG_RECEIPTS_ROOT),
    ({"transactions_root": ZERO}, Reason.WRONG_TRANSACTIONS_ROOT),
    ({"withdrawals_root": ZERO}, Reason.WRONG_WITHDRAWALS),
    ({"logs_bloom": bytes(255) + b"\x01"}, Reason.WRONG_LOGS_BLOOM),
    ({"requests_hash": ZERO}, Reason.WRONG_REQUESTS),
    ({"excess_blob_gas": 1}, Reason.WRONG_BLOB_GAS),
]


@pytest.mark.parametrize(("lie", "reason"), HEADER_LIES, ids=lambda value: str(value)[:32])
def test_each_wrong_header_field_is_refused(lie: dict[str, Any], reason: Reason) -> None:
    """R1: what a header claims must come out."""
    author = Author()
    block = author.block(1, transactions=[transfer(0, 0)])
    assert refusal(author, with_header(block, **lie)) is reason


def test_a_record_that_the_header_does_not_follow_is_refused() -> None:
    """Section 1: the header names the record; height, parent and time are the same in both."""
    author = Author()
    block = author.block(1)
    lies: list[tuple[dict[str, Any], Reason]] = [
        ({"height": 2}, Reason.WRONG_HEADER_FIELDS),
        ({"parent_hash": ZERO}, Reason.WRONG_HEADER_FIELDS),
        ({"timestamp_ms": block.record.timestamp_ms + 1000}, Reason.WRONG_TIMESTAMP),
        ({"view": 2}, Reason.WRONG_HEADER_FIELDS),  # its randomness is another
    ]
    for lie, reason in lies:
        wrong = with_record(block, **lie)
        if reason is Reason.WRONG_TIMESTAMP:
            wrong = with_header(wrong, mix_hash=randomness(wrong.record))
        assert refusal(author, wrong) is reason
    assert refusal(author, replace(block, record=replace(block.record, view=9))) is (
        Reason.WRONG_HEADER_FIELDS
    )


def test_a_block_whose_body_is_anothers_is_refused() -> None:
    """R1."""
    author = Author()
    block = author.block(1, transactions=[transfer(0, 0)])
    empty = author.block(1)
    swapped = replace(block, block=replace(block.block, transactions=()), senders=())
    assert refusal(author, swapped) is Reason.WRONG_TRANSACTIONS_ROOT
    assert empty.hash != block.hash


@pytest.mark.parametrize("known", [(), (0,), (1,), (0, 1)])
def test_senders_that_are_known_are_not_recovered_and_the_others_are(
    known: tuple[int, ...],
) -> None:
    """R1: the result is the same, whatever the pool knew."""
    author = Author()
    block = author.block(1, transactions=[transfer(0, 0), transfer(1, 0)])
    senders = tuple(PAYERS[at] if at in known else None for at in range(2))
    found = run(author, others(author), replace(block, senders=senders))
    assert found.executed.hash == block.hash
    assert found.executed.senders == tuple(PAYERS[:2])


# -- bytes -----------------------------------------------------------------------------------------


def test_a_proposal_survives_the_vote_log() -> None:
    """V1: decoding inverts encoding, but for the senders, which nobody knows then."""
    author = Author()
    block = author.block(1, transactions=[transfer(0, 0)])
    assert decode_proposed(encode_proposed(block)) == block


def test_a_proposal_of_another_format_is_a_fault() -> None:
    """V4: the log passed its checksum, so that this is no torn tail."""
    author = Author()
    block = author.block(1)
    record, body = encode_record(block.record), encode_block(block.block)
    for data in (
        encode_bytes(record),
        encode_list((encode_bytes(record),)),
        encode_list((encode_list(()), encode_bytes(body))),
        encode_list((encode_bytes(b"\x01"), encode_bytes(body))),
        encode_list((encode_bytes(record), encode_bytes(b"\x01"))),
        b"\xff",
    ):
        with pytest.raises(Fault):
            decode_proposed(data)
    assert keccak(record) == block.block.header.parent_beacon_root
