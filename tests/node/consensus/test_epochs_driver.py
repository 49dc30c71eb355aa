"""The driver over the end of an epoch: what waits, who joins, who was silent (section 5, V5)."""

from typing import Final

from msgspec.structs import replace

from chain.staking import STAKING_ADDRESS, stake_call
from chain.types import Hash
from chain.validators import ValidatorSet
from contracts.system.genesis import STAKE_UNIT
from node.consensus.log_file import MemoryFile
from node.consensus.outbox import ProposedBlock
from tests.node.consensus.shell import (
    ADDRESSES,
    FINALIZE,
    IDLE,
    KEYS,
    NOTARIZE,
    NULLIFY,
    Author,
    KeptStore,
    Shell,
    genesis_of,
    signed,
    virtual,
)

BUSY: Final = replace(IDLE, interval_ms=20, empty_blocks=True)


async def grow(author: Author, shell: Shell, block: ProposedBlock | None = None) -> ProposedBlock:
    """One more final block for both, which the shell gets as sync would bring it."""
    record = None if block is None else block.record
    view = _next_view(author) if record is None else record.view
    found = author.block(view) if block is None else block
    final = author.certify(FINALIZE, found)
    author.commit(found, final)
    await shell.driver.apply_final(found, final)
    return found


def _next_view(author: Author) -> int:
    length = author.ledger.config.ledger.epoch_length
    return author.ledger.height % length + 1


def members(shell: Shell) -> ValidatorSet:
    return shell.driver.validators


@virtual
async def test_after_an_epochs_last_block_the_next_begins_with_its_own_views() -> None:
    """Section 5: view 1 again, on the last block at view 0."""
    author = Author(genesis_of(epoch_length=2))
    async with Shell(author, 0) as shell:
        await grow(author, shell)
        assert shell.driver.core.epoch.number == 0
        await grow(author, shell)
        core = shell.driver.core
        assert (core.epoch.number, core.view, core.base.view) == (1, 1, 0)
        assert core.base.block_hash == author.ledger.head_hash
        assert core.epoch.last_height == 4


@virtual
async def test_an_epoch_that_ends_by_votes_begins_the_next_by_itself() -> None:
    """Section 5, R6: also when the last block is delivered by the core."""
    author = Author(genesis_of(epoch_length=1))
    who = author.follower(1)
    async with Shell(author, who) as shell:
        last = author.block(1)
        await shell.propose(last)
        await shell.settle()
        await shell.certify(author.certify(NOTARIZE, last), author.certify(FINALIZE, last))
        await shell.until(lambda: shell.driver.core.epoch.number == 1)
        assert shell.ledger.height == 1
        assert shell.takes_part()


@virtual
async def test_what_waited_for_the_epoch_is_fed_when_it_begins() -> None:
    """R7, section 5: the leader of view 1 was faster than my commit."""
    author = Author(genesis_of(epoch_length=1))
    last = author.block(1)
    final = author.certify(FINALIZE, last)
    author.commit(last, final)
    who = author.follower(1, 2)
    async with Shell(author, who) as shell:
        first = author.block(1)
        assert first.record.epoch == 1
        await shell.propose(first)
        others = [number for number in range(4) if number not in (who, author.leader(1))]
        await shell.hear(author.vote_for(others[0], NOTARIZE, first))
        await shell.settle()
        assert shell.outbox.cast == []
        await shell.driver.apply_final(last, final)
        await shell.until(lambda: (NOTARIZE, 1) in shell.outbox.kinds())
        await shell.until(lambda: shell.driver.core.view == 2)  # with those two votes
        assert shell.outbox.cast[0].ballot.epoch == 1


@virtual
async def test_what_waits_for_the_next_epoch_outlasts_a_new_core_of_this_one() -> None:
    """V5: catching up to the own votes replaces the core, and loses nothing that waits."""
    author = Author(genesis_of(epoch_length=2))
    votes = MemoryFile()
    who = author.follower(1, 2)
    first = author.block(1)
    final = author.certify(FINALIZE, first)
    async with Shell(author, who, votes=votes) as shell:
        await shell.driver.apply_final(first, final)
        author.commit(first, final)
        await shell.propose(author.block(2))
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 2)])
    async with Shell(author, who, votes=votes) as shell:
        assert not shell.takes_part()
        early = author.vote((who + 1) % 4, NULLIFY, 1, epoch=1)
        await shell.hear(early)
        await shell.driver.apply_final(first, final)
        assert shell.takes_part()
        await grow(author, shell)
        await shell.settle()
        assert shell.driver.core.epoch.number == 1
        assert shell.driver.core.heard[early.signer] == 1


@virtual
async def test_timers_of_the_epoch_before_end_no_view_of_the_next() -> None:
    """Section 3: views restart, and old ones have the same numbers."""
    author = Author(genesis_of(epoch_length=1))
    async with Shell(author, author.follower(1), timing=BUSY) as shell:
        await shell.settle(0.15)  # its timers run; the first would fire after 220 ms
        await grow(author, shell)
        assert shell.driver.core.epoch.number == 1
        await shell.settle(0.12)
        assert NULLIFY not in [kind for kind, _ in shell.outbox.kinds()]


@virtual
async def test_who_stakes_observes_until_its_epoch_and_then_votes() -> None:
    """Section 5: the set of epoch e + 1 is read at the last block of epoch e - 1."""
    author = Author(genesis_of(epoch_length=2))
    stake = signed(
        KEYS[4], 0, STAKING_ADDRESS, 10 * STAKE_UNIT, stake_call(ADDRESSES[4]), gas=1_000_000
    )
    async with Shell(author, 4) as shell:
        assert not shell.takes_part()
        await grow(author, shell, author.block(1, transactions=[stake]))
        for _ in range(3):
            assert members(shell).index_of(ADDRESSES[4]) is None
            assert not shell.takes_part()
            await grow(author, shell)
        assert shell.driver.core.epoch.number == 2
        assert members(shell).index_of(ADDRESSES[4]) is not None
        assert shell.takes_part()
        view = next(view for view in range(1, 50) if author.leader(view) == 4)
        for passed in range(1, view):
            await shell.certify(author.certificate(NULLIFY, passed, signers=(0, 1, 2, 3)))
        block = author.block(1)
        shell.driver.timing = BUSY
        shell.driver.wake()
        await shell.until(lambda: (NOTARIZE, view) in shell.outbox.kinds())
        assert shell.outbox.published[0][0].ballot.epoch == block.record.epoch == 2


@virtual
async def test_a_member_that_loses_its_seat_goes_on_as_an_observer() -> None:
    """Section 5: the driver of who is no member counts votes and commits blocks."""
    author = Author(genesis_of(epoch_length=1))
    async with Shell(author, 4) as shell:
        last = author.block(1)
        await shell.propose(last)
        await shell.certify(author.certify(FINALIZE, last))
        await shell.until(lambda: shell.driver.core.epoch.number == 1)
        assert shell.outbox.cast == []


@virtual
async def test_a_key_whose_votes_are_lost_is_silent_to_the_end_of_the_epoch_it_finds() -> None:
    """V5: it may have voted anything in the epoch that the network is in, and signs after it."""
    author = Author(genesis_of(epoch_length=2))
    who = author.follower(1, 2)
    async with Shell(author, who, late=True, timing=BUSY) as shell:
        for _ in range(3):  # it catches up, over an epoch's end
            await grow(author, shell)
        assert shell.driver.core.epoch.number == 1
        shell.driver.caught_up()
        await shell.settle(1)
        assert shell.outbox.cast == [] and not shell.takes_part()
        assert shell.votes.read() is None
        await grow(author, shell)
        assert shell.driver.core.epoch.number == 2
        assert shell.takes_part()
        assert shell.driver.validator == ADDRESSES[who]
        await shell.until(lambda: bool(shell.outbox.cast))
        assert {vote.ballot.epoch for vote in shell.outbox.cast} == {2}


@virtual
async def test_an_epoch_that_ends_before_the_node_has_caught_up_does_not_count() -> None:
    """V5: epochs that only went by on the way are no time of silence."""
    author = Author(genesis_of(epoch_length=1))
    async with Shell(author, 0, late=True, timing=BUSY) as shell:
        for _ in range(3):
            await grow(author, shell)
        await shell.settle(1)
        assert shell.driver.core.epoch.number == 3
        assert shell.outbox.cast == []


@virtual
async def test_a_ledger_without_epochs_lets_a_lost_key_observe_for_ever() -> None:
    """V5: unless the operator says otherwise."""
    author = Author()
    async with Shell(author, 0, late=True, timing=BUSY) as shell:
        shell.driver.caught_up()
        block = author.block(1)
        await shell.driver.apply_final(block, author.certify(FINALIZE, block))
        await shell.settle(2)
        assert shell.outbox.cast == []


@virtual
async def test_a_restart_at_an_epochs_begin_continues_there() -> None:
    """V2: the votes of the epoch before are over."""
    author = Author(genesis_of(epoch_length=1))
    store, votes = KeptStore(), MemoryFile()
    who = author.follower(1)
    async with Shell(author, who, store=store, votes=votes) as shell:
        last = author.block(1)
        await shell.propose(last)
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1)])
        await grow(author, shell, last)
    async with Shell(author, who, store=store, votes=votes) as shell:
        core = shell.driver.core
        assert (core.epoch.number, core.view, core.takes_part) == (1, 1, True)
        other = 0 if who else 1
        early = author.vote(other, NULLIFY, 1, Hash(bytes(32)), epoch=1)
        await shell.hear(early)
        await shell.settle()
        assert core.heard[early.signer] == 1
