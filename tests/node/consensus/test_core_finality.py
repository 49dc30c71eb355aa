"""The consensus core: finality, other views, standstills (R6, R7, R8)."""

import pytest

from chain.types import ZERO_HASH, Hash
from chain.validators import Ballot
from node.consensus.messages import (
    AdvanceTimeout,
    Base,
    BlockReceived,
    CheckBody,
    Deliver,
    EnterView,
    FetchBlock,
    FetchCertificates,
    FloorStored,
    Proposal,
    ProposalDue,
    ProposalReceived,
    Resend,
    Standstill,
    Stop,
    SyncedTo,
    VoteReceived,
)
from tests.node.consensus.world import (
    FINALIZE,
    GENESIS,
    NOTARIZE,
    NULLIFY,
    address,
    block,
    certificate,
    child,
    core_of,
    epoch,
    execute,
    follower,
    hold,
    only,
    receive,
    signed,
    skips,
    vote,
)

# -- R6: finalization ------------------------------------------------------------------------------


def test_ancestors_are_delivered_first() -> None:
    """R6: without certificates of their own."""
    core = core_of(follower())
    first = block(1)
    second = child(2, first)
    for proposal in (second, first):
        core.handle(ProposalReceived(proposal))
        execute(core, proposal)
    effects = hold(core, certificate(FINALIZE, second))
    assert only(Deliver, effects) == [
        Deliver(first.block_hash, None),
        Deliver(second.block_hash, certificate(FINALIZE, second)),
    ]
    assert core.base == Base(2, second.block_hash, 2)
    assert core.view == 3


def test_a_final_block_that_is_not_executed_yet_waits() -> None:
    """R6, V6."""
    core, proposal = core_of(follower()), block(1)
    effects = hold(core, certificate(FINALIZE, proposal))
    assert FetchBlock(1, proposal.block_hash) in effects and not only(Deliver, effects)
    assert core.handle(BlockReceived(proposal)) == [CheckBody(proposal)]
    assert only(Deliver, execute(core, proposal))


def test_a_final_block_that_is_invalid_here_stops_everything() -> None:
    """R6."""
    core, proposal = core_of(follower()), block(1)
    core.handle(ProposalReceived(proposal))
    execute(core, proposal, valid=False)
    assert only(Stop, hold(core, certificate(FINALIZE, proposal)))


def test_two_final_blocks_in_one_view_stop_everything() -> None:
    """R6: more than a third of the power broke the rules."""
    core, first, second = core_of(follower()), block(1), block(1, salt=1)
    hold(core, certificate(FINALIZE, first))
    assert only(Stop, hold(core, certificate(FINALIZE, second)))
    delivered = core_of(follower())
    receive(delivered, first)
    hold(delivered, certificate(FINALIZE, first))
    assert only(Stop, hold(delivered, certificate(FINALIZE, second)))


def test_a_final_block_beside_a_delivered_one_stops_everything() -> None:
    """R6."""
    core, first = core_of(follower()), block(1)
    receive(core, first)
    hold(core, certificate(FINALIZE, first))
    beside = block(2, 0, GENESIS, height=1)
    hold(core, certificate(FINALIZE, beside))
    assert only(Stop, core.handle(BlockReceived(beside)))


def test_missing_ancestors_are_asked_for_one_after_the_other() -> None:
    """R6: also those of a block that is only notarized."""
    core = core_of(follower())
    chain = [block(1)]
    for view in (2, 3):
        chain.append(child(view, chain[-1]))
    effects = hold(core, certificate(NOTARIZE, chain[2]))
    assert only(FetchBlock, effects) == [FetchBlock(3, chain[2].block_hash)]
    assert core.handle(BlockReceived(chain[2])) == [FetchBlock(3, chain[1].block_hash)]
    assert core.handle(BlockReceived(chain[1])) == [FetchBlock(2, chain[0].block_hash)]
    assert core.handle(BlockReceived(chain[0])) == [CheckBody(chain[0])]


def test_a_block_that_nobody_asked_for_is_not_kept() -> None:
    core = core_of(follower())
    assert core.handle(BlockReceived(block(1))) == []
    assert not core.knows(block(1).block_hash)


def test_a_wide_gap_below_a_final_block_is_left_to_sync() -> None:
    """Section 7: nothing is fetched block by block, and nothing piles up meanwhile."""
    core = core_of(follower())
    far = Proposal(900, Hash(b"\x01" * 32), 899, Hash(b"\x02" * 32), 700)
    effects = hold(core, certificate(FINALIZE, far))
    assert FetchBlock(900, far.block_hash) in effects
    assert core.handle(BlockReceived(far)) == []
    news = child(901, far)
    assert core.handle(ProposalReceived(news)) == []
    assert not core.knows(news.block_hash)
    assert not only(FetchBlock, hold(core, certificate(NOTARIZE, news)))
    base = Base(900, far.block_hash, 700)
    effects = core.handle(SyncedTo(base, certificate(FINALIZE, far)))
    assert effects == [FetchBlock(901, news.block_hash)]
    assert core.handle(BlockReceived(news)) == [CheckBody(news)]


def test_the_floor_forgets_what_is_well_below_it() -> None:
    """R6, R7: memory is bounded by the views that matter."""
    core = core_of(follower())
    parent = block(1)
    receive(core, parent)
    for view in range(2, 60):
        hold(core, certificate(FINALIZE, parent))
        core.handle(FloorStored(parent.view))
        parent = child(view, parent)
        receive(core, parent)
    assert len(list(core._views)) < 25
    assert len(core._blocks) <= 2
    assert not core.admits(20) and core.admits(50)


def test_a_floor_of_the_epoch_before_does_not_reach_into_this_one() -> None:
    """Section 5: views start again, and the disk may be slow."""
    core = core_of(follower(), epoch([1, 1, 1, 1], 1))
    core.handle(FloorStored(500))
    assert core.admits(1)


# -- R7: other views -------------------------------------------------------------------------------


def test_a_certificate_of_a_higher_view_moves_there() -> None:
    """R7."""
    core = core_of(0)
    effects = hold(core, certificate(NULLIFY, None, 30))
    assert [e.view for e in effects if isinstance(e, EnterView)] == [31]


def test_a_certificate_of_the_far_future_costs_no_more_than_another() -> None:
    """R7: the views between are not walked through."""
    core = core_of(0)
    hold(core, certificate(NULLIFY, None, 2**40))
    assert core.view == 2**40 + 1
    assert len(list(core._views)) < 10
    receive(core, block(2**40 + 1))
    core.handle(Standstill())
    assert len(list(core._views)) < 10


@pytest.mark.parametrize("view", [0, 3, 9, 2**60])
def test_votes_out_of_range_are_not_kept(view: int) -> None:
    """R7: from the retained views to the next one."""
    core = core_of(0)
    assert not core.admits(view)
    for who in range(4):
        assert core.handle(VoteReceived(vote(who, NULLIFY, None, view))) == []
    assert view not in list(core._views)


def test_votes_and_certificates_of_other_epochs_are_ignored() -> None:
    """Section 5: a stale certificate means nothing in a new epoch."""
    core = core_of(0)
    for who in range(4):
        other = Ballot(NULLIFY, 1, 1, ZERO_HASH, 0)
        assert core.handle(VoteReceived(signed(other, who))) == []
    stale = certificate(NULLIFY, None, 5, epoch([1, 1, 1, 1], 1))
    assert hold(core, stale) == []
    assert core.view == 1


def test_votes_of_strangers_are_not_counted() -> None:
    core = core_of(0)
    for who in (7, 8, 9):
        assert core.handle(VoteReceived(vote(who, NULLIFY, None, 1))) == []
    assert not core.heard


def test_votes_of_views_long_left_behind_are_not_kept() -> None:
    """Without finality only the certificates of skipped views cost memory."""
    core = core_of(0)
    for view in range(1, 200):
        core.handle(VoteReceived(vote(3, NULLIFY, None, view)))
        hold(core, *skips(view, view))
    for view in range(1, 200):
        core.handle(VoteReceived(vote(2, NULLIFY, None, view)))
    assert len(core._views._tallies) <= 66


def test_blocks_that_nobody_agreed_on_do_not_pile_up() -> None:
    """Without finality: a leader's block per view, each skipped."""
    core = core_of(0)
    for view in range(1, 300):
        core.handle(ProposalReceived(block(view, height=1)))
        hold(core, *skips(view, view))
    assert len(core._blocks) < 70


def test_a_missing_member_is_named() -> None:
    core = core_of(0)
    for view in range(1, 6):
        for who in (0, 1, 2):
            core.handle(VoteReceived(vote(who, NULLIFY, None, view)))
    assert core.view == 6
    assert core.missing() == {address(3): 0}


# -- R8: standstill --------------------------------------------------------------------------------


def test_a_standstill_resends_what_opens_my_view_and_my_votes() -> None:
    """R8."""
    core, proposal = core_of(follower()), block(1)
    receive(core, proposal)
    hold(core, certificate(FINALIZE, proposal), *skips(2, 3))
    core.handle(AdvanceTimeout(4))
    mine = vote(follower(), NULLIFY, None, 4)
    core.handle(VoteReceived(mine))
    [resend] = only(Resend, core.handle(Standstill()))
    assert resend == Resend((certificate(FINALIZE, proposal), skips(3, 3)[0]), (mine,))


def test_a_standstill_resends_at_most_64_votes() -> None:
    """R8: never unbounded. The last ones count."""
    core = core_of(0)
    for view in range(1, 101):
        core.handle(VoteReceived(vote(0, NULLIFY, None, view)))
        hold(core, *skips(view, view))
    [resend] = only(Resend, core.handle(Standstill()))
    assert [item.ballot.view for item in resend.votes] == list(range(37, 101))
    assert len(resend.certificates) == 1


def test_a_standstill_asks_again() -> None:
    """R8: for blocks and certificates that did not come."""
    core, first = core_of(follower(3)), block(1)
    hold(core, certificate(NOTARIZE, first))
    hold(core, certificate(NULLIFY, None, 2))
    proposal = block(3, height=1)
    core.handle(ProposalReceived(proposal))
    execute(core, proposal)
    assert not only(FetchBlock, core.handle(ProposalDue(3)))
    effects = core.handle(Standstill())
    assert FetchBlock(1, first.block_hash) in effects
    assert FetchCertificates(3, 1, 1) in effects


def test_what_shows_a_peer_the_way_into_my_view_is_bounded() -> None:
    """R8, and on connecting."""
    core, proposal = core_of(follower()), block(1)
    receive(core, proposal)
    hold(core, certificate(FINALIZE, proposal), *skips(2, 200))
    entry = core.entry()
    assert len(entry) == 64
    assert entry[0] == certificate(FINALIZE, proposal)
    assert entry[-1] == skips(200, 200)[0]


def test_who_asks_for_certificates_of_final_views_gets_the_finalization() -> None:
    core, proposal = core_of(follower()), block(1)
    receive(core, proposal)
    hold(core, certificate(FINALIZE, proposal), *skips(2, 4))
    assert core.held(1, 3) == [certificate(FINALIZE, proposal), *skips(2, 3)]
    assert core.held(3, 4) == skips(3, 4)
