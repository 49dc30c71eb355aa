"""The core at an epoch's end, after sync, and after crashes."""

from collections.abc import Sequence
from random import Random

import pytest

from chain.types import Hash
from node.consensus.core import Core, Restored
from node.consensus.messages import (
    AdvanceTimeout,
    Base,
    BlockReceived,
    BodyChecked,
    Broadcast,
    Build,
    CheckBody,
    Deliver,
    Effect,
    EnterView,
    FetchBlock,
    Proposal,
    ProposalBuilt,
    ProposalDue,
    ProposalReceived,
    Publish,
    Resend,
    Standstill,
    Stop,
    SyncedTo,
    VoteReceived,
)
from tests.node.consensus.cluster import Cluster
from tests.node.consensus.scenarios import SETTINGS, perform, quick_signatures
from tests.node.consensus.world import (
    FINALIZE,
    FOUR,
    GENESIS,
    NOTARIZE,
    NULLIFY,
    START,
    address,
    again,
    block,
    casts,
    certificate,
    child,
    core_of,
    epoch,
    follower,
    hold,
    leader,
    vote,
)

SHORT = epoch([1, 1, 1, 1], last_height=1)  # an epoch of one block
LAST = block(1)


def receive(core: Core, proposal: Proposal) -> list[Effect]:
    effects = core.handle(ProposalReceived(proposal))
    return effects + core.handle(BodyChecked(proposal.block_hash, True))


def at_the_end(who: int) -> Core:
    """In view 2; the epoch's last block is notarized in view 1 and executed."""
    core = core_of(who, SHORT)
    receive(core, LAST)
    hold(core, certificate(NOTARIZE, LAST))
    return core


# -- section 5: the epoch's last block -------------------------------------------------------------


def test_until_the_last_block_is_final_leaders_propose_it_again() -> None:
    """R0, section 5: nothing is built, nothing has to be due."""
    core = core_of(leader(SHORT, 2), SHORT)
    receive(core, LAST)
    effects = hold(core, certificate(NOTARIZE, LAST))
    assert Publish(again(2, LAST, 1)) in effects
    assert (NOTARIZE, 2) in casts(effects)
    assert not [e for e in effects if isinstance(e, Build)]


def test_the_last_block_proposed_again_is_notarized_and_finalized() -> None:
    """R1, R3, section 5: the block is known and needs no second execution."""
    core = at_the_end(follower(2, SHORT))
    repeated = again(2, LAST, 1)
    effects = core.handle(ProposalReceived(repeated))
    assert casts(effects) == [(NOTARIZE, 2)]
    assert not [e for e in effects if isinstance(e, CheckBody)]
    assert (FINALIZE, 2) in casts(hold(core, certificate(NOTARIZE, repeated)))


def test_the_last_block_is_final_in_a_later_view() -> None:
    """R6, section 5: the base is of the view that made it final."""
    core = at_the_end(follower(2, SHORT))
    final = certificate(FINALIZE, again(2, LAST, 1))
    assert Deliver(LAST.block_hash, final) in hold(core, final)
    assert core.base == Base(2, LAST.block_hash, 1)
    assert core.finished


def test_a_repeated_block_may_stand_on_its_repetition() -> None:
    """Section 5: notarized in view 2, view 3 repeats that."""
    core = at_the_end(follower(3, SHORT))
    hold(core, certificate(NOTARIZE, again(2, LAST, 1)))
    assert (NOTARIZE, 3) in casts(core.handle(ProposalReceived(again(3, LAST, 2))))


def test_a_new_block_after_the_last_one_is_nullified() -> None:
    """Section 5."""
    core = at_the_end(follower(2, SHORT))
    assert casts(core.handle(ProposalReceived(child(2, LAST)))) == [(NULLIFY, 2)]


def test_another_block_than_the_last_is_not_proposed_again() -> None:
    """Section 5: neither in the middle of an epoch nor in one without end."""
    for rules in (FOUR, epoch([1, 1, 1, 1], last_height=2)):
        core = core_of(follower(2, rules), rules)
        receive(core, LAST)
        hold(core, certificate(NOTARIZE, LAST))
        lied = Proposal(2, LAST.block_hash, 1, LAST.block_hash, 2)
        for claimed in (again(2, LAST, 1), lied):
            fresh = core_of(follower(2, rules), rules)
            receive(fresh, LAST)
            hold(fresh, certificate(NOTARIZE, LAST))
            assert casts(fresh.handle(ProposalReceived(claimed))) == [(NULLIFY, 2)]


def test_a_repeated_block_that_is_not_here_is_fetched_and_then_notarized() -> None:
    """Section 5: the repetition brings no body."""
    core = core_of(follower(2, SHORT), SHORT)
    effects = hold(core, certificate(NOTARIZE, LAST))
    assert FetchBlock(1, LAST.block_hash) in effects
    assert core.handle(ProposalReceived(again(2, LAST, 1))) == []
    core.handle(BlockReceived(LAST))
    effects = core.handle(BodyChecked(LAST.block_hash, True))
    assert casts(effects) == [(NOTARIZE, 2), (FINALIZE, 1)]


def test_votes_for_one_block_in_two_views_are_no_evidence() -> None:
    """Section 6: repetitions name the same hash with other parent views."""
    core = at_the_end(follower(2, SHORT))
    for repeated in (again(3, LAST, 1), again(3, LAST, 2)):
        assert core.handle(VoteReceived(vote(3, NOTARIZE, repeated))) == []


def test_a_finished_core_answers_nothing_but_a_standstill() -> None:
    """R8: a peer may still lack the epoch's last finalization."""
    core = at_the_end(follower(2, SHORT))
    final = certificate(FINALIZE, LAST)
    hold(core, final)
    assert hold(core, certificate(NULLIFY, None, 7)) == []
    assert core.handle(AdvanceTimeout(core.view)) == []
    assert core.handle(Standstill()) == [Resend((final,), ())]


def test_a_core_on_the_end_of_its_epoch_is_finished_from_the_start() -> None:
    core = Core(SHORT, Base(2, LAST.block_hash, 1), address(0))
    assert core.start() == [] and core.finished


# -- sync ------------------------------------------------------------------------------------------


def test_sync_moves_the_base_the_view_and_the_floor() -> None:
    """Section 7, R6."""
    core = core_of(follower())
    synced = block(40)
    final = certificate(FINALIZE, synced)
    effects = core.handle(SyncedTo(Base(40, synced.block_hash, 40), final))
    assert [e.view for e in effects if isinstance(e, EnterView)] == [41]
    assert not core.admits(40 - 17) and core.admits(41)
    assert core.entry() == [final]
    following = child(41, synced)
    assert CheckBody(following) in core.handle(ProposalReceived(following))


def test_sync_behind_the_base_changes_nothing() -> None:
    """Section 7: two ways may bring the same block."""
    core = core_of(follower())
    receive(core, LAST)
    hold(core, certificate(FINALIZE, LAST))
    base = Base(1, LAST.block_hash, 1)
    assert core.handle(SyncedTo(base, certificate(FINALIZE, LAST))) == []
    assert core.base == base


def test_sync_to_the_epochs_end_finishes_the_core() -> None:
    """Section 5."""
    core = core_of(follower(), SHORT)
    core.handle(SyncedTo(Base(1, LAST.block_hash, 1), certificate(FINALIZE, LAST)))
    assert core.finished


def test_blocks_beside_what_sync_brought_are_never_executed() -> None:
    """R1: the states below the base are gone."""
    core = core_of(follower())
    receive(core, LAST)
    hold(core, certificate(NULLIFY, None, 1))
    late = block(2, height=1)
    core.handle(SyncedTo(Base(3, Hash(b"\x03" * 32), 3), certificate(FINALIZE, block(3))))
    assert not [e for e in core.handle(ProposalReceived(late)) if isinstance(e, CheckBody)]
    assert not core.knows(late.block_hash) and not core.knows(LAST.block_hash)


# -- after a crash ---------------------------------------------------------------------------------


def test_after_a_crash_nothing_is_voted_that_earlier_votes_exclude() -> None:
    """V2, R1, R4: what the log remembers is what was done."""
    who = follower()
    notarized = Core(FOUR, START, address(who), Restored((vote(who, NOTARIZE, LAST),), (LAST,)))
    assert casts(notarized.start()) == []
    other = block(1, salt=1)
    assert casts(receive(notarized, other)) == []
    nullified = Core(FOUR, START, address(who), Restored((vote(who, NULLIFY, None, 1),)))
    nullified.start()
    assert casts(receive(nullified, LAST)) == []
    assert casts(hold(nullified, certificate(NOTARIZE, LAST))) == []
    votes = (vote(who, NOTARIZE, LAST), vote(who, FINALIZE, LAST))
    finalized = Core(FOUR, START, address(who), Restored(votes, (LAST,)))
    finalized.start()
    assert casts(finalized.handle(AdvanceTimeout(1))) == []


def test_after_a_crash_the_certificates_lead_back_into_the_view() -> None:
    """V2, R7: without them a validator would sit in a view that everybody left."""
    skips = tuple(certificate(NULLIFY, None, view) for view in range(1, 5))
    mine = (vote(0, NULLIFY, None, 5),)
    core = Core(FOUR, START, address(0), Restored(mine, (), skips))
    effects = core.start()
    assert [e.view for e in effects if isinstance(e, EnterView)] == [5]
    assert not [e for e in effects if isinstance(e, Broadcast)]  # they went out before
    [resend] = [e for e in core.handle(Standstill()) if isinstance(e, Resend)]
    assert resend == Resend((skips[-1],), mine)


def test_what_the_log_remembers_of_final_views_or_other_epochs_is_left_alone() -> None:
    """V5: the ledger may be ahead of the log's floor."""
    base = Base(4, Hash(b"\x04" * 32), 4)
    old = epoch([1, 1, 1, 1], 7)
    restored = Restored(
        (vote(0, NOTARIZE, LAST), vote(0, NULLIFY, None, 4)),
        (LAST,),
        (certificate(NULLIFY, None, 3), certificate(NULLIFY, None, 9, old)),
    )
    core = Core(FOUR, base, address(0), restored)
    assert core.start() == [EnterView(5, leading=leader(FOUR, 5) == 0)]
    assert not core.knows(LAST.block_hash)


def test_a_leader_that_crashed_proposes_nothing_else_in_its_view() -> None:
    """V2, R0: what it voted for is the only proposal of the view."""
    who = leader(FOUR, 1)
    core = Core(FOUR, START, address(who), Restored((vote(who, NOTARIZE, LAST),), (LAST,)))
    core.start()
    assert core.handle(ProposalDue(1)) == [] and core.proposal_of(1) == LAST
    assert core.handle(ProposalBuilt(block(1, salt=1))) == []


@pytest.mark.parametrize("seed", range(25))
def test_all_crash_at_once_in_different_views_and_go_on_together(seed: int) -> None:
    """V2, R8: the votes and certificates in the logs are enough; nobody has to remember.

    Four honest validators are driven into different views by timeouts and lost messages,
    then all lose everything but their logs and ledgers.
    """
    random = Random(seed)
    with quick_signatures():
        cluster = Cluster(SETTINGS[3])
        for _ in range(150):
            kind = random.choice((0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 9))
            numbers = [random.randrange(999) for _ in range(3)]
            perform(cluster, (kind, numbers[0], numbers[1], numbers[2]))
        cluster.group = None
        cluster.flight.clear()
        for member in cluster.members.values():
            member.crash()
        cluster.heal(random)


def test_all_restart_in_different_views_of_which_each_needs_the_votes_of_others() -> None:
    """V2, R8: one is in view 3, one in 2, two in 1, and only old votes can join them."""
    with quick_signatures():
        cluster = Cluster(SETTINGS[3])
        members = list(cluster.members.values())
        for member in members[:3]:
            member.feed(AdvanceTimeout(1))
        spread(cluster, to=(0, 1))
        for member in members[:2]:
            member.feed(AdvanceTimeout(2))
        for member in members:
            member.crash()
        cluster.flight.clear()
        cluster.heal(Random(1))


def spread(cluster: Cluster, to: Sequence[int]) -> None:
    """Deliver what is for some of the members, and lose the rest."""
    while cluster.flight:
        if cluster.flight[-1].target in to:
            cluster.take(len(cluster.flight) - 1)
        else:
            cluster.flight.pop()


def test_the_first_view_of_an_epoch_stands_on_the_last_block_of_the_one_before() -> None:
    """Section 5: that is view 0."""
    rules = epoch([1, 1, 1, 1], 3)
    base = Base(0, GENESIS, 30)
    core = core_of(leader(rules, 1), rules, base)
    assert core.handle(ProposalDue(1)) == [Build(1, 0, GENESIS)]
    assert not [e for e in core.handle(ProposalBuilt(block(1, height=31))) if isinstance(e, Stop)]
