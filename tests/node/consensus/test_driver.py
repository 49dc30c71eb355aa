"""The driver: effects performed in order, the ledger and the core in step, whatever interferes."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from chain.errors import Fault, Reason, Rejected
from chain.types import Hash
from node.consensus.log_file import MemoryFile
from node.consensus.vote_log import Kept
from tests.node.consensus.shell import (
    ADDRESSES,
    FINALIZE,
    IDLE,
    NOTARIZE,
    NULLIFY,
    PEER,
    Author,
    KeptStore,
    Shell,
    genesis_of,
    transfer,
    virtual,
    with_header,
)

BUSY = replace(IDLE, interval_ms=20, empty_blocks=True)


# -- one block -------------------------------------------------------------------------------------


@virtual
async def test_a_proposed_block_is_executed_notarized_finalized_and_committed() -> None:
    """R1 to R3, R6: from the leader's proposal to the ledger."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        block = author.block(1)
        await shell.propose(block)
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1)])
        await shell.certify(author.certify(NOTARIZE, block))
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1), (FINALIZE, 1)])
        final = author.certify(FINALIZE, block)
        await shell.certify(final)
        await shell.until(lambda: shell.ledger.height == 1)
        await shell.until(lambda: len(shell.committed) == 1)
        assert shell.ledger.head_hash == block.hash
        assert shell.driver.finalization() == final
        assert shell.committed[0].finality_ms is not None
        assert shell.blamed == []


@virtual
async def test_votes_alone_carry_a_block_to_the_ledger() -> None:
    """R2, R3, R6: the node forms the certificates itself, and sends them."""
    author = Author()
    who = author.follower(1, 2)
    others = [number for number in range(4) if number != who][:2]
    async with Shell(author, who) as shell:
        block = author.block(1)
        await shell.propose(block)
        for kind in (NOTARIZE, FINALIZE):
            await shell.hear(*(author.vote_for(other, kind, block) for other in others))
        await shell.until(lambda: shell.ledger.height == 1)
        kinds = [certificate.ballot.kind for certificate in shell.outbox.certificates]
        assert kinds == [NOTARIZE, FINALIZE]


@virtual
async def test_a_leader_builds_publishes_and_commits_what_is_pooled() -> None:
    """R0: with its own notarize vote, after that is on disk (V1)."""
    author = Author()
    async with Shell(author, author.leader(1)) as shell:
        shell.pool(transfer(0, 0), transfer(0, 1))
        await shell.until(lambda: len(shell.outbox.published) == 1)
        vote, proposed = shell.outbox.published[0]
        assert proposed is not None and vote.ballot.block_hash == proposed.hash
        assert len(proposed.block.transactions) == 2
        assert shell.votes.read()
        final = author.certificate(FINALIZE, 1, proposed.hash)
        await shell.certify(final)
        await shell.until(lambda: shell.ledger.height == 1)
        await shell.until(lambda: len(shell.mempool) == 0)


@virtual
async def test_a_commit_tells_what_waited_in_the_pool_for_a_nonce_of_its_block() -> None:
    """V6: the pool follows the block, and others are to hear of what can run from now on."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        shell.pool(transfer(0, 1))
        block = author.block(1, transactions=[transfer(0, 0)])
        await shell.propose(block)
        await shell.certify(author.certify(FINALIZE, block))
        await shell.until(lambda: len(shell.committed) == 1)
        assert list(shell.committed[0].runnable) == [transfer(0, 1)]


@virtual
async def test_a_vote_leaves_only_after_it_is_on_disk() -> None:
    """V1."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        known = []
        send = shell.outbox.votes

        def sent(votes: list[object]) -> None:
            known.append(all(vote in shell.driver.voter.signer.votes for vote in votes))  # type: ignore[union-attr]
            send(votes)  # type: ignore[arg-type]

        shell.outbox.votes = sent  # type: ignore[assignment, method-assign]
        await shell.propose(author.block(1))
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1)])
        assert known == [True]


@virtual
async def test_an_invalid_block_is_nullified_at_once() -> None:
    """R1: also one whose record lies about what leaves its proposer no choice."""
    author = Author()
    who = author.follower(1, 2)
    zero = Hash(bytes(32))
    one = Hash(b"\x01" * 32)
    lies: list[dict[str, Any]] = [
        {"chain_id": 78},
        {"validators_hash": zero},
        {"next_validators_hash": zero},
        {"skip_root": one},
        {"evidence_root": one},
    ]
    wrong = [author.block(1, **lie) for lie in lies]
    wrong.append(with_header(author.block(1), state_root=zero))
    wrong.append(with_header(author.block(1), number=2))
    for block in wrong:
        async with Shell(author, who) as shell:
            await shell.propose(block)
            await shell.until(lambda: shell.outbox.kinds() == [(NULLIFY, 1)])
            assert shell.ledger.height == 0


@virtual
async def test_a_block_before_its_parents_time_is_nullified() -> None:
    """Section 3: within one second, where the headers can't tell."""
    author = Author()
    who = author.follower(1, 2, 3)
    async with Shell(author, who) as shell:
        first = author.block(1, salt=500)
        author.commit(first, author.certify(FINALIZE, first))
        await shell.driver.apply_final(first, author.certify(FINALIZE, first))
        await shell.propose(author.block(2, time_ms=first.record.timestamp_ms - 1))
        await shell.until(lambda: (NULLIFY, 2) in shell.outbox.kinds())


@virtual
async def test_a_block_that_names_another_proposer_than_the_leader_is_nullified() -> None:
    """Section 1."""
    author = Author()
    who = author.follower(1, 2)
    async with Shell(author, who) as shell:
        block = author.block(1, proposer=ADDRESSES[author.follower(1)])
        vote = author.vote_for(author.leader(1), NOTARIZE, block)
        await shell.admission.proposal_arrived(PEER, vote, block)
        await shell.until(lambda: shell.outbox.kinds() == [(NULLIFY, 1)])


# -- bodies ----------------------------------------------------------------------------------------


@virtual
async def test_bodies_that_the_core_has_no_use_for_are_dropped() -> None:
    """R6: below the ledger's head, and of proposals that can never be justified."""
    author = Author()
    async with Shell(author, author.follower(1, 2, 3)) as shell:
        first, beside = author.block(1), author.block(2, parent_view=0)
        await shell.propose(first)
        await shell.settle()
        await shell.certify(author.certify(NOTARIZE, first))
        await shell.certify(author.certify(FINALIZE, first))
        await shell.until(lambda: shell.ledger.height == 1)
        await shell.settle()
        await shell.propose(beside)  # on a parent below the base
        await shell.settle()
        for block in (first, beside):
            assert shell.driver.candidates.proposed(block.hash) is None
            assert shell.driver.candidates.executed(block.hash) is None


@virtual
async def test_a_body_that_waits_for_its_commit_is_kept() -> None:
    """R6: what is delivered and not yet on disk is no longer the core's, but still needed."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        block = author.block(1)
        await shell.propose(block)
        await shell.settle()
        await shell.certify(author.certify(FINALIZE, block))
        await shell.until(lambda: shell.driver.core.base.height == 1)
        assert shell.ledger.height == 0
        assert shell.driver.candidates.executed(block.hash) is not None
        await shell.until(lambda: shell.ledger.height == 1)


# -- sync beside consensus -------------------------------------------------------------------------


@virtual
async def test_sync_brings_blocks_while_votes_are_counted() -> None:
    """R6, V2: a turn under way when sync commits asks the signer for nothing below its floor."""
    author = Author()
    who = author.follower(1, 2)
    async with Shell(author, who, timing=BUSY) as shell:
        first = author.block(1)
        await shell.propose(first)
        await shell.until(lambda: shell.driver.candidates.executed(first.hash) is not None)
        final = author.certify(FINALIZE, first)
        applied = asyncio.create_task(shell.driver.apply_final(first, final))
        await shell.certify(author.certify(NOTARIZE, first))
        await applied
        await shell.settle()
        assert shell.ledger.height == 1
        assert shell.driver.core.base.view == 1
        assert shell.driver.voter.signer is not None and shell.driver.voter.signer.floor == (0, 1)


@virtual
async def test_sync_of_known_heights_changes_nothing() -> None:
    """Section 7: consensus may have been faster."""
    author = Author()
    async with Shell(author, None) as shell:
        block = author.block(1)
        final = author.certify(FINALIZE, block)
        await shell.driver.apply_final(block, final)
        await shell.driver.apply_final(block, final)
        assert shell.ledger.height == 1
        assert len(shell.committed) == 1
        assert shell.committed[0].finality_ms is None  # nobody waited for it here


@virtual
async def test_two_final_blocks_at_one_height_are_a_fault_of_agreement() -> None:
    """R6: stop, never go on; whoever brings the second one."""
    author = Author()
    async with Shell(author, None) as shell:
        ours, theirs = author.block(1), author.block(2, parent_view=0)
        await shell.driver.apply_final(ours, None)
        with pytest.raises(Fault, match="another block is final at height 1"):
            await shell.driver.apply_final(theirs, author.certify(FINALIZE, theirs))


@virtual
async def test_a_block_that_consensus_makes_final_beside_a_synced_one_is_a_fault() -> None:
    """R6."""
    author = Author()
    async with Shell(author, None) as shell:
        ours, theirs = author.block(1), author.block(2, parent_view=0)
        await shell.propose(ours)
        await shell.settle()
        await shell.certify(author.certify(FINALIZE, ours))
        await shell.driver.apply_final(theirs, None)
        assert isinstance(await shell.failure(), Fault)


@virtual
async def test_a_synced_block_that_does_not_follow_the_head_is_refused() -> None:
    """Section 7: in ascending order."""
    author = Author()
    async with Shell(author, None) as shell:
        first = author.block(1)
        second = author.block(2, first)
        with pytest.raises(Rejected) as caught:
            await shell.driver.apply_final(second, author.certify(FINALIZE, second))
        assert caught.value.reason is Reason.UNKNOWN_PARENT


@virtual
async def test_a_synced_block_that_is_invalid_is_a_fault() -> None:
    """R6: others finalized what never can be."""
    author = Author()
    async with Shell(author, None) as shell:
        wrong = with_header(author.block(1), state_root=Hash(bytes(32)))
        with pytest.raises(Fault, match="final and invalid"):
            await shell.driver.apply_final(wrong, author.certify(FINALIZE, wrong))


@virtual
async def test_a_block_that_came_without_its_own_proof_does_not_hold_up_the_next() -> None:
    """Section 7, R3: sync ended on a block whose finality another proves; the core, which was
    told nothing, goes on from it with the next block."""
    author = Author()
    who = author.follower(1, 2, 3)
    async with Shell(author, who) as shell:
        first = author.block(1)
        await shell.propose(first)
        await shell.driver.apply_final(first, None)
        second = author.block(2, first)
        await shell.certify(author.certify(NOTARIZE, first))
        await shell.propose(second)
        await shell.until(lambda: (NOTARIZE, 2) in shell.outbox.kinds())
        await shell.certify(author.certify(FINALIZE, second))
        await shell.until(lambda: shell.ledger.height == 2)
        await shell.settle()
        assert shell.driver.core.base.height == 2


@virtual
async def test_a_synced_block_that_the_core_asks_for_is_known_to_be_good() -> None:
    """R2: fetched for the core's sake though the ledger has it."""
    author = Author()
    async with Shell(author, None) as shell:
        first = author.block(1)
        await shell.driver.apply_final(first, None)
        second = author.block(2, first)
        await shell.propose(second)
        await shell.certify(author.certify(NOTARIZE, first), author.certify(FINALIZE, second))
        await shell.until(lambda: [h for h, _ in shell.outbox.blocks_asked] == [first.hash])
        await shell.admission.block_arrived(PEER, first)
        await shell.propose(second)
        await shell.until(lambda: shell.ledger.height == 2)


@virtual
async def test_a_tip_whose_parent_sync_has_skipped_is_no_longer_built_on() -> None:
    """Given an unfinal chain of two, when sync commits a block beside its first, whose proof
    is yet to come, then looking for work does not stumble over it."""
    author = Author()
    async with Shell(author, author.follower(1, 2, 3, 4, 5)) as shell:
        one = author.block(1)
        two = author.block(2, one)
        for block in (one, two):
            await shell.propose(block)
            await shell.settle()
            await shell.certify(author.certify(NOTARIZE, block))
            await shell.settle()
        assert shell.driver.core.tip() == two.hash
        beside = author.block(3, parent_view=0)
        await shell.driver.apply_final(beside, None)
        shell.pool(transfer(0, 0))
        await shell.settle()
        after = author.block(4, beside)
        await shell.driver.apply_final(after, author.certify(FINALIZE, after))
        await shell.settle()
        assert shell.ledger.height == 2


# -- start and stop --------------------------------------------------------------------------------


@virtual
async def test_stop_during_a_commit_leaves_it_done() -> None:
    """V6: afterwards nothing is lost."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        block = author.block(1)
        await shell.propose(block)
        await shell.settle()
        await shell.certify(author.certify(FINALIZE, block))
        await shell.until(lambda: shell.driver.core.base.height == 1)
        assert shell.ledger.height == 0
    assert shell.ledger.height == 1


@virtual
async def test_stop_during_a_build_ends() -> None:
    """R0: the block in the making is finished, or let go."""
    author = Author()
    async with Shell(author, author.leader(1)) as shell:
        shell.pool(transfer(0, 0))
        await asyncio.sleep(0.001)
    assert shell.running is not None and shell.running.done()


@virtual
async def test_a_validator_votes_the_same_after_a_restart() -> None:
    """V2: the same signature again, nothing beside it, and its block is still here."""
    author = Author()
    who = author.follower(1, 2)
    store, votes = KeptStore(), MemoryFile()
    block = author.block(1)
    async with Shell(author, who, store=store, votes=votes) as shell:
        await shell.propose(block)
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1)])
    async with Shell(author, who, store=store, votes=votes) as shell:
        assert shell.driver.core.proposal_of(1) is not None
        await shell.certify(author.certify(NOTARIZE, block))
        await shell.until(lambda: (FINALIZE, 1) in shell.outbox.kinds())
        await shell.certify(author.certify(FINALIZE, block))
        await shell.until(lambda: shell.ledger.height == 1)


@virtual
async def test_a_validator_whose_ledger_is_older_than_its_votes_first_catches_up() -> None:
    """V5: it observes; once the ledger has what it voted for, it takes part again, and its
    earlier votes above that are its memory before anything else reaches it."""
    author = Author()
    who = author.follower(1, 2, 3, 4, 5)
    votes = MemoryFile()
    chain = []
    async with Shell(author, who, votes=votes) as shell:
        for view in (1, 2):
            block = author.block(view)
            final = author.certify(FINALIZE, block)
            author.commit(block, final)
            chain.append((block, final))
            await shell.driver.apply_final(block, final)
        third = author.block(3)
        await shell.propose(with_header(third, state_root=Hash(bytes(32))))
        await shell.until(lambda: shell.outbox.kinds() == [(NULLIFY, 3)])
    async with Shell(author, who, votes=votes, timing=BUSY) as shell:
        assert not shell.takes_part()
        await shell.settle(1)
        assert shell.outbox.cast == []
        (first, _), (second, final) = chain
        await shell.driver.apply_final(first, None)
        shell.work_s = 2.0  # a block that takes long is in line behind
        slow = asyncio.create_task(shell.driver.apply_final(second, final))
        then = asyncio.create_task(shell.driver.apply_final(third, None))
        await slow
        assert shell.takes_part()
        await shell.certify(author.certify(NOTARIZE, third))
        await then
        await shell.settle(1)
        assert shell.takes_part()
        assert (FINALIZE, 3) not in shell.outbox.kinds()
        assert all(view > 2 for _, view in shell.outbox.kinds())


@virtual
async def test_the_only_validator_votes_and_finalizes_in_one_go() -> None:
    """Section 3."""
    author = Author(genesis_of(validators=1))
    store, votes = KeptStore(), MemoryFile()
    async with Shell(author, 0, store=store, votes=votes) as shell:
        shell.pool(transfer(0, 0))
        await shell.until(lambda: shell.ledger.height == 1)
    async with Shell(author, 0, store=store, votes=votes) as shell:
        shell.pool(transfer(0, 1))
        await shell.until(lambda: shell.ledger.height == 2)


@virtual
async def test_the_only_validator_does_not_build_beside_a_block_it_has_lost() -> None:
    """V5: nobody else could give it back."""
    author = Author(genesis_of(validators=1))
    votes = MemoryFile()
    shell = Shell(author, 0, votes=votes)
    signer = shell.driver.voter.signer
    assert signer is not None
    ballot = author.vote(0, FINALIZE, 1, Hash(b"\x55" * 32)).ballot
    signer.sign([ballot], Kept())
    again = Shell(author, 0, votes=votes)
    with pytest.raises(Fault, match="must not build beside it"):
        await again.driver.recover()


@virtual
async def test_a_failed_write_ends_the_driver() -> None:
    """V4: never a retry."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:

        def fail(data: bytes) -> None:
            raise OSError(5, "input/output error")

        shell.votes.append = fail  # type: ignore[method-assign]
        await shell.propose(author.block(1))
        assert isinstance(await shell.failure(), Fault)
        assert shell.outbox.cast == []


@virtual
async def test_evidence_found_while_counting_is_reported_and_sent() -> None:
    """Section 6."""
    author = Author()
    async with Shell(author, None) as shell:
        one = author.vote(0, NOTARIZE, 1, Hash(b"\x01" * 32))
        other = author.vote(0, NOTARIZE, 1, Hash(b"\x02" * 32))
        await shell.hear(one, other)
        await shell.settle()
        assert shell.evidence == [(one, other)]
        assert shell.outbox.accused == [(one, other)]
