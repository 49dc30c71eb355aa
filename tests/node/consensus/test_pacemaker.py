"""The timers of a view, on virtual time."""

import asyncio
from itertools import pairwise
from typing import Any, Final

from msgspec.structs import replace

from chain.types import Height
from tests.node.consensus.shell import (
    FINALIZE,
    IDLE,
    NOTARIZE,
    NULLIFY,
    Author,
    Shell,
    genesis_of,
    transfer,
    virtual,
)

BUSY: Final = replace(IDLE, interval_ms=10, empty_blocks=True)
BEHIND: Final = 30  # heights; with so many views unfinal, a leader is waited for longest


@virtual
async def test_who_catches_up_within_a_view_gives_up_on_its_leader_like_everybody() -> None:
    """Given timers that were set while the last final view was far below, when sync brings
    all that is final, then a silent leader is waited for no longer than in any view."""
    author = Author()
    final = []
    for view in range(1, BEHIND + 1):
        block = author.block(view)
        certificate = author.certify(FINALIZE, block)
        author.commit(block, certificate)
        final.append((block, certificate))
    view = BEHIND + 1
    loop = asyncio.get_running_loop()
    async with Shell(author, author.follower(view), timing=BUSY) as shell:
        await shell.certify(final[-1][1])
        await shell.until(lambda: shell.driver.core.view == view)
        await shell.settle()
        for block, certificate in final:
            await shell.driver.apply_final(block, certificate)
        start = loop.time()
        await shell.until(lambda: (NULLIFY, view) in shell.outbox.kinds())
        assert loop.time() - start < 3 * BUSY.delta_ms / 1000


# -- idle ------------------------------------------------------------------------------------------


def nullified(shell: Shell) -> list[int]:
    return [view for kind, view in shell.outbox.kinds() if kind is NULLIFY]


@virtual
async def test_an_idle_ledger_arms_nothing() -> None:
    """Section 3: without a reason no view ends, nothing is sent, nothing is built."""
    author = Author()
    async with Shell(author, author.follower(1)) as shell:
        await shell.settle(3600)
        assert shell.outbox.cast == [] and shell.outbox.resent == []
        assert shell.driver.core.view == 1


@virtual
async def test_a_transaction_wakes_the_leader() -> None:
    """Section 3: the block is built at once."""
    author = Author()
    async with Shell(author, author.leader(1)) as shell:
        await shell.settle(100)
        assert shell.outbox.published == []
        shell.pool(transfer(0, 0))
        await shell.settle()
        assert len(shell.outbox.published) == 1


@virtual
async def test_a_transaction_gives_the_leader_two_deltas_and_the_view_three() -> None:
    """R4, section 3: the leader timer, unless its proposal was seen, then the advance timer."""
    author = Author()
    delta_s = IDLE.delta_ms / 1000
    who = author.follower(1, 2)
    async with Shell(author, who) as shell:
        await shell.settle(100)
        shell.pool(transfer(0, 0))
        await shell.settle(1.9 * delta_s)
        assert nullified(shell) == []
        await shell.settle(0.2 * delta_s)
        assert nullified(shell) == [1]
    async with Shell(author, who) as shell:
        await shell.propose(author.block(1))
        await shell.settle(2.9 * delta_s)
        assert nullified(shell) == []
        await shell.settle(0.2 * delta_s)
        assert nullified(shell) == [1]


@virtual
async def test_timers_end_with_their_reason() -> None:
    """Section 3: what made a block due is gone, and so is the hurry."""
    author = Author()
    async with Shell(author, author.follower(1)) as shell:
        payment = transfer(0, 0)
        shell.pool(payment)
        await shell.settle(0.1)
        shell.mempool.drop(payment.transaction.hash)
        shell.driver.wake()
        await shell.settle(10)
        assert shell.outbox.cast == []
        shell.pool(payment)  # and begins anew with it
        await shell.settle(0.19)
        assert shell.outbox.cast == []
        await shell.settle(0.02)
        assert nullified(shell) == [1]


@virtual
async def test_anybody_heard_in_the_view_is_a_reason_to_end_it() -> None:
    """Section 3: whose pool holds what mine lacks is not left alone."""
    author = Author()
    who = author.follower(1)
    other = next(number for number in range(4) if number not in (who, author.leader(1)))
    async with Shell(author, who) as shell:
        await shell.settle(10)
        await shell.hear(author.vote(other, NULLIFY, 1))
        await shell.settle(0.3)
        assert nullified(shell) == [1]


@virtual
async def test_a_transaction_below_the_base_fee_waits_without_hurry() -> None:
    """Section 3: blocks that come for other reasons bring the fee down, not these."""
    author = Author()
    async with Shell(author, author.leader(1)) as shell:
        shell.pool(transfer(0, 0, max_fee=10**6))
        await shell.settle(60)
        assert shell.outbox.cast == []


@virtual
async def test_a_heartbeat_is_an_empty_block_after_so_much_quiet() -> None:
    """Section 3: after the parent's time."""
    author = Author()
    timing = replace(IDLE, heartbeat_ms=5_000)
    async with Shell(author, author.leader(1), timing=timing) as shell:
        await shell.settle(3.9)  # the clock is one second past the genesis' time
        assert shell.outbox.published == []
        await shell.settle(0.2)
        assert len(shell.outbox.published) == 1
        _, proposed = shell.outbox.published[0]
        assert proposed is not None and not proposed.block.transactions


@virtual
async def test_who_waits_for_a_heartbeat_gives_its_leader_the_usual_time() -> None:
    """R4, section 3."""
    author = Author()
    timing = replace(IDLE, heartbeat_ms=5_000)
    async with Shell(author, author.follower(1), timing=timing) as shell:
        await shell.settle(3.9 + 0.2)
        assert shell.outbox.cast == []
        await shell.settle(0.2)
        assert nullified(shell) == [1]


@virtual
async def test_empty_blocks_keep_their_interval() -> None:
    """Section 3: the interval is a floor under the time from parent to child."""
    author = Author()
    timing = replace(IDLE, interval_ms=2_000, empty_blocks=True)
    async with Shell(author, author.leader(1), timing=timing) as shell:
        await shell.settle(0.9)
        assert shell.outbox.published == []
        await shell.settle(0.2)
        assert len(shell.outbox.published) == 1


# -- settling --------------------------------------------------------------------------------------


@virtual
async def test_an_unsettled_block_is_made_final_by_another_one() -> None:
    """Section 3: given a notarized block whose finalize votes are lost and nothing else to do,
    then after two deltas of its view a block is due that makes it final."""
    author = Author()
    first = author.block(1)
    leads = author.leader(2)
    async with Shell(author, leads) as shell:
        if author.leader(1) == leads:
            shell.pool(transfer(0, 0))
            await shell.until(lambda: bool(shell.outbox.published))
            made = shell.outbox.published[0][1]
            assert made is not None
            first = made
        else:
            await shell.propose(first)
        await shell.settle()
        await shell.certify(author.certify(NOTARIZE, first))
        await shell.settle(0.1)
        assert (NOTARIZE, 2) not in shell.outbox.kinds()
        await shell.settle(0.3)
        assert (NOTARIZE, 2) in shell.outbox.kinds()


@virtual
async def test_a_lost_finalize_after_a_commit_does_not_leave_a_standstill_without_timer() -> None:
    """R8: given a view entered, and the block before it committed only then, when its own block
    is notarized and no finalization comes, everything is sent again."""
    author = Author()
    who = author.follower(1, 2, 3)
    async with Shell(author, who, timing=BUSY) as shell:
        first = author.block(1)
        second = author.block(2, first)
        await shell.propose(first)
        await shell.settle()
        await shell.certify(author.certify(NOTARIZE, first))
        await shell.propose(second)
        await shell.settle()
        await shell.certify(author.certify(NOTARIZE, second))
        await shell.certify(author.certify(FINALIZE, first))
        await shell.until(lambda: shell.ledger.height == 1)
        await shell.settle(3)
        assert shell.outbox.resent
        votes = [vote.ballot for _, own in shell.outbox.resent for vote in own]
        assert (FINALIZE, 2) in [(ballot.kind, ballot.view) for ballot in votes]


@virtual
async def test_what_stands_still_is_sent_again_at_bounded_intervals() -> None:
    """R8: more seldom with each time, but never more than four seconds apart."""
    author = Author()
    async with Shell(author, author.follower(1, 2), timing=BUSY) as shell:
        await shell.propose(author.block(1))
        await shell.settle(60)
        assert 14 <= len(shell.outbox.resent) <= 30
        assert all(len(own) <= 64 for _, own in shell.outbox.resent)


@virtual
async def test_a_block_that_nothing_fits_into_is_tried_again_on_news_only() -> None:
    """Section 3: a transaction that the pool took and no block can hold."""
    author = Author(genesis_of(validators=1))
    async with Shell(author, 0) as shell:
        driver = shell.driver
        builds = 0
        ready = shell.mempool.ready

        def counted(*args: Any, **options: Any) -> Any:
            nonlocal builds
            builds += 1
            return iter(()) if builds == 1 else ready(*args, **options)

        shell.mempool.ready = counted  # type: ignore[method-assign]
        shell.pool(transfer(0, 0))
        await shell.settle(10)
        assert (builds, shell.ledger.height) == (1, 0)
        shell.pool(transfer(1, 0))
        await shell.until(lambda: shell.ledger.height == 1)
        assert len(driver.ledger.block(Height(1)).transactions) == 2


@virtual
async def test_a_transaction_that_comes_while_nothing_fits_is_not_overlooked() -> None:
    """Given a block in the making that comes to nothing, when a transaction is pooled meanwhile,
    then it is built in without waiting for more news."""
    author = Author(genesis_of(validators=1))
    async with Shell(author, 0) as shell:
        ready = shell.mempool.ready
        builds = 0

        def late(*args: Any, **options: Any) -> Any:
            nonlocal builds
            builds += 1
            if builds > 1:
                return ready(*args, **options)
            asyncio.get_running_loop().call_later(0.001, shell.pool, transfer(1, 0))
            return iter(())

        shell.mempool.ready = late  # type: ignore[method-assign]
        shell.pool(transfer(0, 0))
        await shell.settle(1)
        assert shell.ledger.height == 1


# -- one validator ---------------------------------------------------------------------------------


@virtual
async def test_the_only_validator_builds_when_there_is_something_and_otherwise_rests() -> None:
    """Section 3: nobody waits for anybody, so that no timers run."""
    author = Author(genesis_of(validators=1))
    async with Shell(author, 0) as shell:
        for nonce in range(3):
            shell.pool(transfer(0, nonce))
            await shell.until(lambda: shell.ledger.height == nonce + 1)  # noqa: B023
        await shell.settle(3600)
        assert shell.ledger.height == 3
        assert NULLIFY not in [kind for kind, _ in shell.outbox.kinds()]


@virtual
async def test_the_only_validator_keeps_the_interval() -> None:
    """Section 3."""
    author = Author(genesis_of(validators=1))
    timing = replace(IDLE, interval_ms=1_000, empty_blocks=True)
    async with Shell(author, 0, timing=timing) as shell:
        await shell.settle(10)
        assert 9 <= shell.ledger.height <= 11
        times = [shell.ledger.header(Height(at)).timestamp for at in range(1, 9)]
        assert all(1 <= after - before <= 2 for before, after in pairwise(times))
