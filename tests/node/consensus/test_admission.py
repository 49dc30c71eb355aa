"""What peers send to consensus: taken, left for later, or held against them (R7)."""

import asyncio

from msgspec.structs import replace

from chain.errors import Fault
from chain.types import Hash
from chain.validators import Domain, Vote, encode_certificate
from node.consensus.messages import CertificateReceived, Event, ProposalReceived, VoteReceived
from node.consensus.outbox import ProposedBlock
from node.net.messages import Status
from node.net.network import Offence
from tests.node.consensus.shell import (
    ADDRESSES,
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PEER,
    START_MS,
    Author,
    Shell,
    genesis_of,
    virtual,
    with_header,
)
from tests.support.network import peer_id

SOME_HASH = Hash(b"\x55" * 32)


class Fed:
    """What a driver is fed, instead of its core."""

    def __init__(self, shell: Shell) -> None:
        self.now: list[Event] = []
        self.later: list[tuple[int, Event]] = []
        self.bodies: list[ProposedBlock] = []
        driver = shell.driver

        def feed(events: list[Event], body: ProposedBlock | None = None) -> None:
            self.now += events
            if body is not None:
                self.bodies.append(body)

        def feed_later(epoch: int, events: list[Event], body: ProposedBlock | None = None) -> None:
            self.later += [(epoch, event) for event in events]
            if body is not None:
                self.bodies.append(body)

        driver.feed = feed  # type: ignore[method-assign, assignment]
        driver.feed_later = feed_later  # type: ignore[method-assign, assignment]

    @property
    def votes(self) -> list[Vote]:
        return [event.vote for event in self.now if isinstance(event, VoteReceived)]

    @property
    def proposals(self) -> list[Hash]:
        return [e.proposal.block_hash for e in self.now if isinstance(e, ProposalReceived)]


async def started(author: Author, who: int | None = None) -> tuple[Shell, Fed]:
    """A node whose core has started and then stands still: what is fed is only noted."""
    shell = Shell(author, who)
    await shell.driver.recover()
    return shell, Fed(shell)


# -- proposals -------------------------------------------------------------------------------------


@virtual
async def test_only_the_first_proposal_of_the_views_leader_is_wanted() -> None:
    """R1: of the current view and the next, by its leader, with its signature."""
    author = Author()
    shell, _ = await started(author)
    wants = shell.admission.wants_proposal
    leader, other = author.leader(1), author.follower(1)
    assert wants(author.vote(leader, NOTARIZE, 1, SOME_HASH))
    assert not wants(author.vote(other, NOTARIZE, 1, SOME_HASH))
    assert not wants(author.vote(leader, NULLIFY, 1))
    assert not wants(author.vote(leader, FINALIZE, 1, SOME_HASH))
    assert wants(author.vote(author.leader(2), NOTARIZE, 2, SOME_HASH))
    assert not wants(author.vote(author.leader(3), NOTARIZE, 3, SOME_HASH))
    assert not wants(author.vote(leader, NOTARIZE, 0, SOME_HASH))
    foreign = Domain(78, author.domain.genesis_hash)
    assert not wants(author.vote(leader, NOTARIZE, 1, SOME_HASH, domain=foreign))
    assert not wants(author.vote(leader, NOTARIZE, 1, SOME_HASH, epoch=7))


@virtual
async def test_after_the_first_proposal_another_of_its_view_is_not_wanted() -> None:
    """R1: unless a certificate names it."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        first, second = author.block(1), author.block(1, salt=1)
        await shell.propose(first)
        await shell.settle()
        vote = author.vote_for(author.leader(1), NOTARIZE, second)
        assert not shell.admission.wants_proposal(vote)
        await shell.certify(author.certify(NOTARIZE, second))
        await shell.settle()
        assert shell.admission.wants_proposal(vote)


@virtual
async def test_a_proposal_is_taken_with_its_body_and_its_leaders_vote_and_passed_on() -> None:
    """R1."""
    author = Author()
    shell, fed = await started(author)
    block = author.block(1)
    await shell.propose(block)
    assert fed.proposals == [block.hash]
    assert [vote.ballot.kind for vote in fed.votes] == [NOTARIZE]
    assert fed.bodies == [block]
    assert len(shell.outbox.relayed_proposals) == 1
    assert shell.blamed == []


@virtual
async def test_a_proposal_whose_block_is_not_the_votes_is_held_against_the_peer() -> None:
    """Section 1: the ballot, the record and the header say the same."""
    author = Author()
    leader = author.leader(1)
    block, other = author.block(1), author.block(1, salt=1)
    cases = [
        (author.vote_for(leader, NOTARIZE, other), block),
        (author.vote(leader, NOTARIZE, 1, block.hash, 3), block),
    ]
    unnamed = with_header(block, parent_beacon_root=SOME_HASH)
    cases.append((author.vote(leader, NOTARIZE, 1, unnamed.hash), unnamed))
    late = author.block(2)
    cases.append((author.vote(leader, NOTARIZE, 1, late.hash), late))
    for vote, proposed in cases:
        shell, fed = await started(author)
        await shell.admission.proposal_arrived(PEER, vote, proposed)
        assert shell.offences == [Offence.BAD_BLOCK]
        assert fed.now == [] and shell.outbox.relayed_proposals == []


@virtual
async def test_a_proposal_from_the_future_waits_and_is_then_taken() -> None:
    """Section 3: more than 500 ms ahead of my clock it is early, not invalid."""
    author = Author()
    who = author.follower(1, 2)
    async with Shell(author, who) as shell:
        block = author.block(1, time_ms=shell.driver.now_ms() + 2_500)
        await shell.propose(block)
        await shell.settle(1.9)
        assert (NOTARIZE, 1) not in shell.outbox.kinds()
        await shell.settle(0.2)
        assert (NOTARIZE, 1) in shell.outbox.kinds()
        assert shell.blamed == []


@virtual
async def test_of_a_view_one_proposal_waits_for_its_time_and_not_one_per_peer() -> None:
    """What waits is bounded: the first one counts, as R1 has it."""
    author = Author()
    shell, fed = await started(author)
    now = shell.driver.now_ms()
    for salt in range(5):
        block = author.block(1, time_ms=now + 3_000 + salt)
        await shell.propose(block, peer_id(salt))
        await shell.propose(block, peer_id(salt + 100))
    await until_ms(shell, now + 3_100)
    first = author.block(1, time_ms=now + 3_000)
    assert fed.proposals == [first.hash]


async def until_ms(shell: Shell, when: int) -> None:
    await asyncio.sleep((when - shell.driver.now_ms()) / 1000)


@virtual
async def test_a_proposal_from_far_in_the_future_is_not_waited_for() -> None:
    """Section 3: nobody's clock is that wrong; the timers end the view."""
    author = Author()
    shell, fed = await started(author)
    await shell.propose(author.block(1, time_ms=shell.driver.now_ms() + 60_000))
    await until_ms(shell, START_MS + 100_000)
    assert fed.now == []
    assert shell.blamed == []


@virtual
async def test_a_fetched_block_must_be_the_one_that_its_record_says() -> None:
    """R2: its transactions and record were checked against its hash by who fetched it."""
    author = Author()
    shell, fed = await started(author)
    block = author.block(1)
    await shell.admission.block_arrived(PEER, with_header(block, parent_beacon_root=SOME_HASH))
    assert shell.offences == [Offence.BAD_BLOCK]
    assert fed.now == []
    await shell.admission.block_arrived(PEER, block)
    assert fed.bodies == [block]


# -- votes -----------------------------------------------------------------------------------------


@virtual
async def test_a_vote_is_taken_once_and_passed_on_once() -> None:
    """R7."""
    author = Author()
    shell, fed = await started(author)
    vote = author.vote(0, NOTARIZE, 1, SOME_HASH)
    await shell.hear(vote)
    await shell.hear(vote, peer=peer_id(2))
    assert fed.votes == [vote]
    assert shell.outbox.relayed == [vote]


@virtual
async def test_a_leaders_vote_counts_though_its_proposal_never_came() -> None:
    """R1: that its signature was found good for a body that then failed to come is no reason
    to pass over it when it comes alone."""
    author = Author()
    shell, fed = await started(author)
    vote = author.vote(author.leader(1), NOTARIZE, 1, SOME_HASH)
    assert shell.admission.wants_proposal(vote)
    await shell.hear(vote)
    assert fed.votes == [vote]


@virtual
async def test_votes_out_of_range_are_dropped_and_only_the_absurd_is_an_offence() -> None:
    """R7: [floor - 16, current + 1]; more than 1,024 views ahead costs reputation."""
    author = Author()
    shell, fed = await started(author)
    await shell.hear(author.vote(0, NULLIFY, 0), author.vote(0, NULLIFY, 3))
    await shell.hear(author.vote(0, NULLIFY, 1025))
    assert fed.votes == [] and shell.blamed == []
    await shell.hear(author.vote(0, NULLIFY, 1026))
    assert shell.offences == [Offence.OUT_OF_RANGE]
    await shell.hear(author.vote(0, NULLIFY, 2))
    assert len(fed.votes) == 1


@virtual
async def test_a_vote_that_no_member_signed_is_held_against_the_peer() -> None:
    """R7: a stranger's, a forged one, another ledger's; the rest of the message is not read."""
    author = Author()
    good = author.vote(1, NULLIFY, 1)
    forged = Vote(good.ballot, ADDRESSES[0], good.signature)
    foreign = author.vote(0, NULLIFY, 1, domain=Domain(78, author.domain.genesis_hash))
    for bad in (author.vote(4, NULLIFY, 1), forged, foreign):
        shell, fed = await started(author)
        await shell.hear(bad, good)
        assert shell.offences == [Offence.BAD_SIGNATURE]
        assert fed.votes == [] and shell.outbox.relayed == []


@virtual
async def test_a_good_vote_does_not_vouch_for_a_forged_copy() -> None:
    """Section 1: a forged signature in a certificate of mine would make me the liar."""
    author = Author()
    shell, fed = await started(author)
    vote = author.vote(author.leader(1), NOTARIZE, 1, SOME_HASH)
    assert shell.admission.wants_proposal(vote)
    forged = Vote(vote.ballot, vote.signer, bytes(65))
    assert not shell.admission.wants_proposal(forged)
    await shell.hear(forged)
    assert shell.offences == [Offence.BAD_SIGNATURE]
    assert fed.votes == []


@virtual
async def test_a_new_core_is_given_again_the_votes_that_the_one_before_had() -> None:
    """V2: a node that takes part again, once it has caught up, begins with a fresh core."""
    author = Author()
    shell, fed = await started(author)
    vote = author.vote(0, NULLIFY, 1)
    await shell.hear(vote)
    shell.driver.core = shell.driver.voter.begin()
    shell.driver.core.start()
    await shell.hear(vote)
    assert fed.votes == [vote, vote]


@virtual
async def test_an_own_vote_that_the_log_does_not_know_stops_the_node() -> None:
    """V5: the log was restored from an older copy, or the key is in use elsewhere."""
    author = Author()
    async with Shell(author, 0) as shell:
        await shell.hear(author.vote(0, NOTARIZE, 1, SOME_HASH))
        failure = await shell.failure()
        assert isinstance(failure, Fault)
        assert "NOTARIZE in view 1 of epoch 0" in str(failure)


@virtual
async def test_an_own_proposal_that_the_log_does_not_know_stops_the_node() -> None:
    """V5: otherwise it would propose beside it."""
    author = Author()
    view = 1
    who = author.leader(view)
    async with Shell(author, who) as shell:
        await shell.propose(author.block(view))
        assert "its vote log does not know" in str(await shell.failure())


# -- the next epoch --------------------------------------------------------------------------------


@virtual
async def test_votes_and_certificates_of_the_next_epoch_wait_and_of_others_mean_nothing() -> None:
    """R7."""
    author = Author(genesis_of(epoch_length=2))
    shell, fed = await started(author)
    await shell.hear(author.vote(0, NULLIFY, 1, epoch=2), author.vote(0, NULLIFY, 1, epoch=1))
    early = author.certificate(NULLIFY, 1, epoch=1)
    far = type(early)(replace(early.ballot, epoch=2), early.signers, early.signatures)
    await shell.certify(far, early)
    assert fed.now == [] and shell.blamed == []
    assert [epoch for epoch, _ in fed.later] == [1, 1]
    assert isinstance(fed.later[0][1], VoteReceived)
    assert isinstance(fed.later[1][1], CertificateReceived)


@virtual
async def test_what_waits_for_the_next_epoch_is_bounded_for_each_member() -> None:
    """One vote of a kind and view, of the first views; a certificate and a proposal once."""
    author = Author(genesis_of(epoch_length=2))
    shell, fed = await started(author)
    for view in range(1, 40):
        for salt in range(3):
            block_hash = Hash(bytes((view, salt)) * 16)
            await shell.hear(author.vote(0, NOTARIZE, view, block_hash, epoch=1))
    assert len(fed.later) == 16
    for signers in ((0, 1, 2), (0, 1, 3), (0, 1, 2)):
        await shell.certify(author.certificate(NULLIFY, 1, epoch=1, signers=signers))
    assert len(fed.later) == 17
    assert shell.blamed == []


@virtual
async def test_the_next_epochs_first_proposal_waits_once_per_member() -> None:
    """R7: whose it is to lead is not known before the last block of this epoch."""
    author = Author(genesis_of(epoch_length=1))
    shell, fed = await started(author)
    last = author.block(1)
    author.commit(last, author.certify(FINALIZE, last))
    for salt in range(3):
        await shell.propose(author.block(1, salt=salt))
    assert len(fed.bodies) == 1
    assert {epoch for epoch, _ in fed.later} == {1}


# -- certificates ----------------------------------------------------------------------------------


@virtual
async def test_forged_certificates_are_held_against_the_peer() -> None:
    """R7: too little power, a signer counted twice, a stranger's signature, another bitmap."""
    author = Author()
    good = author.certificate(NULLIFY, 1)
    ballot, signatures = good.ballot, good.signatures
    stranger = author.vote(4, NULLIFY, 1).signature
    forged = [
        author.certificate(NULLIFY, 1, signers=(0, 1)),
        type(good)(ballot, good.signers, (signatures[0], signatures[0], signatures[1])),
        type(good)(ballot, good.signers, (*signatures[:2], stranger)),
        type(good)(ballot, good.signers, signatures[:2]),
        type(good)(ballot, bytes((good.signers[0] | 0x80,)), signatures),
        type(good)(ballot, good.signers + b"\x00", signatures),
        type(good)(author.certificate(FINALIZE, 1, SOME_HASH).ballot, good.signers, signatures),
    ]
    for certificate in forged:
        shell, fed = await started(author)
        await shell.certify(certificate, good)
        assert shell.offences == [Offence.BAD_SIGNATURE]
        assert fed.now == []


@virtual
async def test_a_certificate_that_is_held_is_not_verified_again() -> None:
    """R2: of a kind and view one is enough, whoever signed the other."""
    author = Author()
    async with Shell(author, None) as shell:
        await shell.certify(author.certificate(NULLIFY, 1))
        await shell.settle()
        assert shell.driver.core.view == 2
        fed = Fed(shell)
        await shell.certify(author.certificate(NULLIFY, 1, signers=(1, 2, 3)))
        assert fed.now == []


# -- evidence --------------------------------------------------------------------------------------


@virtual
async def test_evidence_is_reported_and_passed_on_once() -> None:
    """Section 6."""
    author = Author()
    shell, _ = await started(author)
    one, other = author.vote(0, NULLIFY, 1), author.vote(0, FINALIZE, 1, SOME_HASH)
    await shell.admission.evidence_arrived(PEER, one, other)
    await shell.admission.evidence_arrived(PEER, other, one)
    assert shell.evidence == [(one, other)]
    assert shell.outbox.accused == [(one, other)]


@virtual
async def test_what_convicts_nobody_is_held_against_the_peer() -> None:
    """Section 6: a pair that honest validators cast, a stranger, a forgery."""
    author = Author()
    pairs = [
        (author.vote(0, NOTARIZE, 1, SOME_HASH), author.vote(0, NULLIFY, 1)),
        (author.vote(4, NULLIFY, 1), author.vote(4, FINALIZE, 1, SOME_HASH)),
        (author.vote(0, NULLIFY, 1), author.vote(1, FINALIZE, 1, SOME_HASH)),
        (author.vote(0, NULLIFY, 1), author.vote(0, FINALIZE, 2, SOME_HASH)),
    ]
    real = author.vote(0, FINALIZE, 1, SOME_HASH)
    pairs.append((author.vote(0, NULLIFY, 1), Vote(real.ballot, real.signer, bytes(65))))
    for one, other in pairs:
        shell, _ = await started(author)
        await shell.admission.evidence_arrived(PEER, one, other)
        assert shell.offences == [Offence.BAD_SIGNATURE]
        assert shell.evidence == [] and shell.outbox.accused == []


# -- status ----------------------------------------------------------------------------------------


def status_of(height: int, block_hash: Hash, finalization: bytes, epoch: int = 0) -> Status:
    return Status(
        epoch=epoch, view=1, height=height, block_hash=block_hash, finalization=finalization,
        hears=b"",
    )  # fmt: skip


@virtual
async def test_a_height_is_proved_by_the_finalization_of_its_block() -> None:
    """Section 7."""
    author = Author()
    shell, fed = await started(author)
    final = author.certificate(FINALIZE, 5, SOME_HASH)
    proved = shell.admission.proved
    assert proved(PEER, status_of(0, author.ledger.genesis_hash, b""))
    assert not proved(PEER, status_of(3, SOME_HASH, b""))
    assert shell.blamed == []
    assert proved(PEER, status_of(3, SOME_HASH, encode_certificate(final)))
    assert fed.now == [CertificateReceived(final)]


@virtual
async def test_a_false_proof_of_a_height_is_held_against_the_peer() -> None:
    """Section 7: another block's, another kind, forged, no certificate at all."""
    author = Author()
    final = author.certificate(FINALIZE, 5, SOME_HASH)
    forged = type(final)(final.ballot, final.signers, final.signatures[::-1])
    cases = [
        (encode_certificate(author.certificate(NOTARIZE, 5, SOME_HASH)), Offence.FALSE_HEIGHT),
        (
            encode_certificate(author.certificate(FINALIZE, 5, Hash(b"\x56" * 32))),
            Offence.FALSE_HEIGHT,
        ),
        (b"\x01", Offence.FALSE_HEIGHT),
        (encode_certificate(forged), Offence.BAD_SIGNATURE),
    ]
    for finalization, offence in cases:
        shell, _ = await started(author)
        assert not shell.admission.proved(PEER, status_of(3, SOME_HASH, finalization))
        assert shell.offences == [offence]


@virtual
async def test_a_height_above_mine_is_not_proved_by_a_forgery_of_an_old_view() -> None:
    """Section 7: that a view is over here says nothing of who signed what is claimed in it."""
    author = Author()
    async with Shell(author, None) as shell:
        block = author.block(2, parent_view=0)
        await shell.driver.apply_final(block, author.certify(FINALIZE, block))
        forged = author.certificate(FINALIZE, 1, SOME_HASH, signers=(0, 1))
        claim = status_of(9, SOME_HASH, encode_certificate(forged))
        assert not shell.admission.proved(PEER, claim)
        assert shell.offences == [Offence.BAD_SIGNATURE]


@virtual
async def test_the_status_shows_the_head_with_its_proof() -> None:
    """Section 7."""
    author = Author()
    async with Shell(author, None) as shell:
        empty = shell.admission.status()
        assert (empty.height, empty.finalization, empty.view) == (0, b"", 1)
        block = author.block(1)
        final = author.certify(FINALIZE, block)
        await shell.driver.apply_final(block, final)
        await shell.settle()
        found = shell.admission.status()
        assert (found.height, found.block_hash, found.view) == (1, block.hash, 2)
        assert found.finalization == encode_certificate(final)
        assert list(shell.admission.entry_certificates()) == [final]


@virtual
async def test_held_certificates_of_an_epoch_that_is_over_are_its_heads_proof() -> None:
    """R7: who is still in it needs no more to leave it."""
    author = Author(genesis_of(epoch_length=1))
    async with Shell(author, None) as shell:
        last = author.block(1)
        final = author.certify(FINALIZE, last)
        await shell.driver.apply_final(last, final)
        await shell.settle()
        assert shell.driver.core.epoch.number == 1
        assert shell.admission.held_certificates(0, 1, 9) == [final]
        assert shell.admission.held_certificates(1, 1, 9) == []
        assert shell.admission.held_certificates(2, 1, 9) == []
