"""The consensus core, rule by rule (docs/protocol/consensus.md, section 2)."""

import pytest

from chain.validators import Ballot, Vote
from node.consensus.core import Core, Restored
from node.consensus.messages import (
    Accuse,
    AdvanceTimeout,
    BlockReceived,
    BodyChecked,
    Broadcast,
    Build,
    BuildFailed,
    Cast,
    CertificateReceived,
    CheckBody,
    Deliver,
    EnterView,
    FetchBlock,
    FetchCertificates,
    FloorStored,
    LeaderTimeout,
    ProposalBuilt,
    ProposalDue,
    ProposalReceived,
    Publish,
    VoteReceived,
)
from tests.node.consensus.world import (
    FINALIZE,
    FOUR,
    GENESIS,
    NOTARIZE,
    NULLIFY,
    START,
    address,
    ballot_for,
    block,
    casts,
    certificate,
    certificate_of,
    child,
    core_of,
    epoch,
    execute,
    follower,
    hold,
    leader,
    only,
    receive,
    signed,
    skips,
    vote,
)

# -- one validator ---------------------------------------------------------------------------------


def test_one_validator_notarizes_and_finalizes_in_one_turn() -> None:
    """R0, R2, R3: its own vote is a quorum."""
    rules = epoch([1])
    core = Core(rules, START, address(0))
    assert core.start() == [EnterView(1, leading=True)]
    assert core.handle(ProposalDue(1)) == [Build(1, 0, GENESIS)]
    assert core.handle(ProposalDue(1)) == []
    proposal = block(1)
    effects = core.handle(ProposalBuilt(proposal))
    assert casts(effects) == [(NOTARIZE, 1), (FINALIZE, 1)]
    first = core.handle(VoteReceived(vote(0, NOTARIZE, proposal)))
    assert EnterView(2, leading=True) in first
    second = core.handle(VoteReceived(vote(0, FINALIZE, proposal)))
    assert [e.block_hash for e in second if isinstance(e, Deliver)] == [proposal.block_hash]
    assert core.handle(FloorStored(1)) == []
    assert core.handle(ProposalDue(2)) == [Build(2, 1, proposal.block_hash)]


def test_one_validator_finishes_after_a_restart_what_it_voted_for() -> None:
    """V2: the votes in the log are a quorum; only the execution is missing."""
    rules, proposal = epoch([1]), block(1)
    votes = (vote(0, NOTARIZE, proposal), vote(0, FINALIZE, proposal))
    core = Core(rules, START, address(0), Restored(votes, (proposal,)))
    effects = core.start()
    assert not casts(effects) and CheckBody(proposal) in effects
    assert only(Deliver, execute(core, proposal))


def test_a_member_with_two_thirds_among_others_decides_alone() -> None:
    """R3: weights, not heads."""
    rules = epoch([7, 1, 1])
    core = core_of(0, rules)
    view = next(view for view in range(1, 50) if leader(rules, view) == 0)
    hold(
        core,
        *(
            certificate_of(ballot_for(NULLIFY, None, skipped), (0,), rules.validators)
            for skipped in range(1, view)
        ),
    )
    assert core.handle(ProposalDue(view)) == [Build(view, 0, GENESIS)]
    built = block(view, height=1)
    assert casts(core.handle(ProposalBuilt(built))) == [(NOTARIZE, view), (FINALIZE, view)]


# -- R0: enter, propose ----------------------------------------------------------------------------


def leading() -> tuple[Core, int]:
    """A core that leads view 2, and its member's number."""
    who = leader(FOUR, 2)
    return core_of(who), who


def test_a_leader_builds_on_the_highest_agreed_view() -> None:
    """R0: on what is notarized and valid, not on genesis."""
    core, _ = leading()
    first = block(1)
    receive(core, first)
    core.handle(ProposalDue(2))
    assert Build(2, 1, first.block_hash) in hold(core, certificate(NOTARIZE, first))


def test_a_leader_that_lacks_a_certificate_asks_for_it_before_it_builds() -> None:
    """R0: every view between parent and proposal must be nullified."""
    who = leader(FOUR, 3)
    core = core_of(who)
    effects = hold(core, certificate(NULLIFY, None, 2))
    assert FetchCertificates(3, 1, 1) in effects
    assert not only(Build, core.handle(ProposalDue(3)))
    assert only(Build, hold(core, certificate(NULLIFY, None, 1))) == [Build(3, 0, GENESIS)]


def test_a_leader_waits_for_the_execution_of_its_parent() -> None:
    """R0: it builds on states that it has."""
    core, _ = leading()
    first = block(1)
    core.handle(ProposalDue(2))
    core.handle(ProposalReceived(first))
    assert not only(Build, hold(core, certificate(NOTARIZE, first)))
    assert Build(2, 1, first.block_hash) in execute(core, first)


def test_a_build_that_failed_is_tried_again_when_it_is_due() -> None:
    """R0."""
    core = core_of(leader(FOUR, 1))
    assert core.handle(ProposalDue(1)) == [Build(1, 0, GENESIS)]
    assert core.handle(BuildFailed(1)) == []
    assert core.handle(ProposalDue(1)) == [Build(1, 0, GENESIS)]


def test_the_end_of_a_build_for_an_older_view_starts_no_second_one() -> None:
    """R0: one block is in the making at a time."""
    who = leader(FOUR, 1)
    view = next(view for view in range(2, 50) if leader(FOUR, view) == who)
    core = core_of(who)
    core.handle(ProposalDue(1))
    hold(core, *skips(1, view - 1))
    assert core.handle(ProposalDue(view)) == [Build(view, 0, GENESIS)]
    assert core.handle(ProposalBuilt(block(1))) == []
    assert core.handle(BuildFailed(1)) == []
    assert core.handle(ProposalDue(view)) == []


def test_a_leader_publishes_one_block_per_view() -> None:
    """R0, R1: the second one built is nobody's business."""
    core = core_of(leader(FOUR, 1))
    core.handle(ProposalDue(1))
    effects = core.handle(ProposalBuilt(block(1)))
    assert casts(effects) == [(NOTARIZE, 1)] and effects[-1] == Publish(block(1))
    assert core.handle(ProposalBuilt(block(1, salt=1))) == []
    assert core.handle(ProposalDue(1)) == []


def test_a_leader_that_gave_up_its_view_builds_nothing_for_it() -> None:
    """R0, R4."""
    core = core_of(leader(FOUR, 1))
    core.handle(AdvanceTimeout(1))
    assert core.handle(ProposalDue(1)) == []


# -- R1: notarize ----------------------------------------------------------------------------------


def test_a_proposal_is_notarized_only_after_its_body_was_executed() -> None:
    """R1."""
    core, proposal = core_of(follower()), block(1)
    assert core.handle(ProposalReceived(proposal)) == [CheckBody(proposal)]
    assert casts(core.handle(BodyChecked(proposal.block_hash, True))) == [(NOTARIZE, 1)]


def test_an_invalid_block_is_nullified_at_once() -> None:
    """R1, R4."""
    core, proposal = core_of(follower()), block(1)
    core.handle(ProposalReceived(proposal))
    assert casts(core.handle(BodyChecked(proposal.block_hash, False))) == [(NULLIFY, 1)]


def test_a_block_on_an_invalid_one_is_invalid_without_execution() -> None:
    """R1."""
    core, first = core_of(follower(2)), block(1)
    core.handle(ProposalReceived(first))
    execute(core, first, valid=False)
    hold(core, *skips(1, 1))
    assert casts(core.handle(ProposalReceived(child(2, first)))) == [(NULLIFY, 2)]


def test_only_the_first_proposal_of_a_view_is_notarized() -> None:
    """R1: the leader equivocates."""
    core, first, second = core_of(follower()), block(1), block(1, salt=1)
    core.handle(ProposalReceived(first))
    assert core.handle(ProposalReceived(second)) == []
    assert not core.wants_proposal(1, second.block_hash)
    assert not casts(core.handle(BodyChecked(second.block_hash, True)))
    assert casts(core.handle(BodyChecked(first.block_hash, True))) == [(NOTARIZE, 1)]


def test_a_block_is_not_notarized_before_its_view() -> None:
    """R1: a proposal may come a little early; it is executed and waits."""
    core, first = core_of(follower(2)), block(1)
    second = child(2, first)
    receive(core, first)
    assert core.handle(ProposalReceived(second)) == [CheckBody(second)]
    assert casts(core.handle(BodyChecked(second.block_hash, True))) == []
    assert (NOTARIZE, 2) in casts(core.handle(CertificateReceived(certificate(NOTARIZE, first))))


def test_a_proposal_further_ahead_than_the_next_view_is_not_kept() -> None:
    """R7."""
    core = core_of(follower())
    assert core.handle(ProposalReceived(block(3))) == []
    assert core.proposal_of(3) is None and not core.knows(block(3).block_hash)


def test_a_skipped_view_must_be_nullified_before_a_block_on_an_older_one_is_notarized() -> None:
    """R1: the leader is asked for what is missing."""
    core = core_of(follower(3))
    hold(core, certificate(NULLIFY, None, 2))
    proposal = block(3, height=1)
    core.handle(ProposalReceived(proposal))
    effects = execute(core, proposal)
    assert effects == [FetchCertificates(3, 1, 1)]
    assert core.handle(ProposalDue(3)) == []  # asked once
    effects = hold(core, certificate(NULLIFY, None, 1))
    assert casts(effects) == [(NOTARIZE, 3)]


def test_the_parent_must_be_notarized_in_the_view_that_the_record_names() -> None:
    """R1: another hash was agreed on there, so no certificate will ever help."""
    core, first, other = core_of(follower(2)), block(1), block(1, salt=1)
    hold(core, certificate(NOTARIZE, first))
    assert casts(core.handle(ProposalReceived(child(2, other)))) == [(NULLIFY, 2)]


def test_a_missing_notarization_of_the_parent_is_asked_for() -> None:
    """R1."""
    core, first = core_of(follower(2)), block(1)
    hold(core, *skips(1, 1))
    receive(core, first)
    second = child(2, first)
    core.handle(ProposalReceived(second))
    assert FetchCertificates(2, 1, 1) in execute(core, second)
    assert (NOTARIZE, 2) in casts(hold(core, certificate(NOTARIZE, first)))


def test_a_proposal_that_jumps_over_a_final_block_is_nullified_at_once() -> None:
    """R1: a final view is never skipped."""
    core, first = core_of(follower(2)), block(1)
    receive(core, first)
    hold(core, certificate(FINALIZE, first))
    beside = block(2, 0, GENESIS, height=1)
    effects = core.handle(ProposalReceived(beside))
    assert casts(effects) == [(NULLIFY, 2)] and not only(CheckBody, effects)
    assert not core.knows(beside.block_hash)


def test_more_certificates_are_asked_for_when_some_came() -> None:
    """R1: answers are limited; each brings the gap down."""
    core = core_of(follower(9))
    hold(core, certificate(NULLIFY, None, 8))
    proposal = block(9, height=1)
    core.handle(ProposalReceived(proposal))
    assert execute(core, proposal) == [FetchCertificates(9, 1, 7)]
    assert FetchCertificates(9, 1, 4) in hold(core, *skips(5, 7))
    assert (NOTARIZE, 9) in casts(hold(core, *skips(1, 4)))


# -- R2: notarization ------------------------------------------------------------------------------


def test_a_notarization_is_passed_on_once_and_opens_the_next_view() -> None:
    """R2."""
    core, proposal = core_of(follower()), block(1)
    receive(core, proposal)
    effects = hold(core, certificate(NOTARIZE, proposal))
    assert effects[0] == Broadcast(certificate(NOTARIZE, proposal))
    assert core.view == 2
    assert hold(core, certificate(NOTARIZE, proposal)) == []


def test_votes_of_a_quorum_make_a_certificate() -> None:
    """R2."""
    core, proposal = core_of(follower()), block(1)
    core.handle(VoteReceived(vote(0, NOTARIZE, proposal)))
    assert core.handle(VoteReceived(vote(1, NOTARIZE, proposal))) == []
    effects = core.handle(VoteReceived(vote(2, NOTARIZE, proposal)))
    assert Broadcast(certificate(NOTARIZE, proposal)) in effects
    assert FetchBlock(1, proposal.block_hash) in effects


def test_a_signer_counts_once() -> None:
    """Section 1: once per kind, view and hash."""
    core, proposal = core_of(follower()), block(1)
    for _ in range(5):
        assert core.handle(VoteReceived(vote(0, NOTARIZE, proposal))) == []
    assert core.handle(VoteReceived(vote(1, NOTARIZE, proposal))) == []
    assert only(Broadcast, core.handle(VoteReceived(vote(2, NOTARIZE, proposal))))


def test_a_quorum_is_more_than_two_thirds_of_the_power() -> None:
    """Section 1: exactly two thirds are not enough."""
    rules = epoch([2, 2, 1, 1])
    core, proposal = core_of(3, rules), block(1)
    core.handle(VoteReceived(vote(0, NOTARIZE, proposal)))
    assert core.handle(VoteReceived(vote(1, NOTARIZE, proposal))) == []
    assert only(Broadcast, core.handle(VoteReceived(vote(2, NOTARIZE, proposal))))


def test_votes_for_one_hash_with_different_parent_views_are_different_votes() -> None:
    """Section 1: the sign bytes commit to the parent view."""
    core, proposal = core_of(follower()), block(1)
    strange = Ballot(NOTARIZE, 0, 1, proposal.block_hash, 7)
    for who in (0, 1):
        core.handle(VoteReceived(vote(who, NOTARIZE, proposal)))
    for who in (2, 3):
        assert core.handle(VoteReceived(signed(strange, who))) == []


# -- R3: finalize ----------------------------------------------------------------------------------


def test_what_is_notarized_and_valid_here_is_finalized_also_without_my_notarize() -> None:
    """R3: and after I moved on."""
    core, proposal = core_of(follower()), block(1)
    hold(core, certificate(NOTARIZE, proposal))
    hold(core, certificate(NULLIFY, None, 2))
    core.handle(BlockReceived(proposal))
    assert casts(core.handle(BodyChecked(proposal.block_hash, True))) == [(FINALIZE, 1)]


def test_a_nullified_view_is_never_finalized() -> None:
    """R3."""
    core, proposal = core_of(follower()), block(1)
    assert casts(core.handle(AdvanceTimeout(1))) == [(NULLIFY, 1)]
    receive(core, proposal)
    effects = hold(core, certificate(NOTARIZE, proposal))
    assert casts(effects) == []
    assert EnterView(2, leading=leader(FOUR, 2) == follower()) in effects


def test_another_block_than_the_one_i_notarized_is_not_finalized() -> None:
    """R3: the leader equivocated, and the others saw the other one."""
    core, first, second = core_of(follower()), block(1), block(1, salt=1)
    receive(core, first)
    effects = hold(core, certificate(NOTARIZE, second))
    assert FetchBlock(1, second.block_hash) in effects
    core.handle(BlockReceived(second))
    assert not casts(core.handle(BodyChecked(second.block_hash, True)))


def test_a_block_found_invalid_is_not_finalized() -> None:
    """R3."""
    core, proposal = core_of(follower()), block(1)
    core.handle(ProposalReceived(proposal))
    execute(core, proposal, valid=False)
    assert casts(hold(core, certificate(NOTARIZE, proposal))) == []


def test_no_vote_is_cast_for_what_is_final_in_the_same_turn() -> None:
    """R6 before R3: the signer's floor has risen when the ballot gets there."""
    core = core_of(follower())
    first = block(1)
    second = child(2, first)
    core.handle(ProposalReceived(first))
    hold(core, certificate(NOTARIZE, first))
    core.handle(ProposalReceived(second))
    hold(core, certificate(FINALIZE, second))
    effects = execute(core, first)
    assert only(Deliver, effects) and not only(Cast, effects)


# -- R4: nullify -----------------------------------------------------------------------------------


def test_a_finalized_view_is_never_nullified() -> None:
    """R4."""
    core, proposal = core_of(follower()), block(1)
    receive(core, proposal)
    assert casts(hold(core, certificate(NOTARIZE, proposal))) == [(FINALIZE, 1)]
    assert casts(core.handle(AdvanceTimeout(1))) == []


def test_having_notarized_does_not_forbid_to_nullify() -> None:
    """R4."""
    core = core_of(follower())
    receive(core, block(1))
    assert casts(core.handle(AdvanceTimeout(1))) == [(NULLIFY, 1)]
    assert casts(core.handle(AdvanceTimeout(1))) == []


def test_the_leader_timeout_is_off_once_the_proposal_is_here() -> None:
    """R4: the advance timer remains."""
    core = core_of(follower())
    core.handle(ProposalReceived(block(1)))
    assert core.handle(LeaderTimeout(1)) == []
    fresh = core_of(follower())
    assert casts(fresh.handle(LeaderTimeout(1))) == [(NULLIFY, 1)]


def test_timers_of_other_views_do_nothing() -> None:
    """R4: v is the current view."""
    core = core_of(follower())
    hold(core, *skips(1, 1))
    for view in (1, 3):
        assert core.handle(LeaderTimeout(view)) == []
        assert core.handle(AdvanceTimeout(view)) == []


def test_a_leader_that_gives_up_is_followed() -> None:
    """R4: also when its NULLIFY came before I entered the view."""
    core = core_of(follower())
    gave_up = vote(leader(FOUR, 1), NULLIFY, None, 1)
    assert casts(core.handle(VoteReceived(gave_up))) == [(NULLIFY, 1)]
    early = core_of(follower(2))
    early.handle(VoteReceived(vote(leader(FOUR, 2), NULLIFY, None, 2)))
    assert casts(hold(early, *skips(1, 1))) == [(NULLIFY, 2)]


def test_a_follower_that_gives_up_is_not_followed() -> None:
    """R4."""
    core = core_of(leader(FOUR, 1))
    other = next(who for who in range(4) if who != leader(FOUR, 1))
    assert core.handle(VoteReceived(vote(other, NULLIFY, None, 1))) == []


def test_a_nullified_view_is_not_notarized() -> None:
    """R1, R4."""
    core = core_of(follower())
    core.handle(AdvanceTimeout(1))
    assert receive(core, block(1)) == []


# -- R5: nullification -----------------------------------------------------------------------------


def test_a_nullification_opens_the_next_view() -> None:
    """R5."""
    core = core_of(follower())
    effects = hold(core, *skips(1, 1))
    assert effects[0] == Broadcast(skips(1, 1)[0])
    assert core.view == 2


# -- section 6: evidence ---------------------------------------------------------------------------

ONE, OTHER = block(1), block(1, salt=1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (vote(2, NOTARIZE, ONE), vote(2, NOTARIZE, OTHER)),
        (vote(2, NULLIFY, None, 1), vote(2, FINALIZE, ONE)),
        (vote(2, FINALIZE, ONE), vote(2, FINALIZE, OTHER)),
        (vote(2, NOTARIZE, ONE), vote(2, FINALIZE, OTHER)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_votes_that_exclude_each_other_are_evidence(
    first: Vote, second: Vote, turned: bool
) -> None:
    """Section 6, each kind in both orders; a signer is accused once per view."""
    core = core_of(0)
    pair = (second, first) if turned else (first, second)
    assert core.handle(VoteReceived(pair[0])) == []
    assert core.handle(VoteReceived(pair[1])) == [Accuse(*pair)]
    for again in pair:
        assert core.handle(VoteReceived(again)) == []


def test_an_equivocator_counts_for_one_block_only() -> None:
    """Section 1: the first vote of a kind is the one that counts."""
    core = core_of(0)
    core.handle(VoteReceived(vote(2, NOTARIZE, OTHER)))
    for who in (0, 1, 2):
        effects = core.handle(VoteReceived(vote(who, NOTARIZE, ONE)))
        assert not only(Broadcast, effects)


def test_what_the_honest_do_is_no_evidence() -> None:
    """Section 6: notarize, then nullify or finalize; resend; different views."""
    core = core_of(0)
    for item in (
        vote(2, NOTARIZE, ONE),
        vote(2, NULLIFY, None, 1),
        vote(3, NOTARIZE, ONE),
        vote(3, FINALIZE, ONE),
        vote(3, NOTARIZE, ONE),
        vote(2, NOTARIZE, child(2, ONE)),
    ):
        assert not only(Accuse, core.handle(VoteReceived(item)))


def test_evidence_of_views_that_are_over_is_still_seen() -> None:
    """R7: late votes of retained views are no offence, but they may be evidence."""
    core = core_of(follower())
    receive(core, ONE)
    hold(core, certificate(FINALIZE, ONE))
    core.handle(FloorStored(1))
    core.handle(VoteReceived(vote(3, NOTARIZE, ONE)))
    assert only(Accuse, core.handle(VoteReceived(vote(3, NOTARIZE, OTHER))))


# -- who only observes -----------------------------------------------------------------------------


@pytest.mark.parametrize("who", [None, 9])
def test_an_observer_never_votes_and_still_delivers(who: int | None) -> None:
    """Without a key, or with one that is not in the set."""
    core, proposal = core_of(who), block(1)
    assert receive(core, proposal) == []
    assert not casts(core.handle(AdvanceTimeout(1)))
    assert only(Deliver, hold(core, certificate(FINALIZE, proposal)))
