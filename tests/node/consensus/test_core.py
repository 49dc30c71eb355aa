"""The consensus core: rules one by one, and small clusters under a bad network."""

import random
from collections.abc import Sequence

import pytest

from chain.crypto.keccak import keccak
from chain.types import ZERO_HASH, Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Validator,
    Vote,
    VoteKind,
    build_certificate,
    validator_set,
)
from node.consensus.core import Base, Core, Epoch
from node.consensus.messages import (
    AdvanceTimeout,
    BodyChecked,
    Broadcast,
    Build,
    Cast,
    CertificateReceived,
    CheckBody,
    Deliver,
    Effect,
    EnterView,
    Event,
    FloorStored,
    Proposal,
    ProposalBuilt,
    ProposalDue,
    ProposalReceived,
    Stop,
    VoteReceived,
)

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
GENESIS = Hash(b"\x99" * 32)


def address(number: int) -> Address:
    return Address(bytes((number,)) * 20)


def epoch(powers: Sequence[int]) -> Epoch:
    members = [Validator(address(number), power) for number, power in enumerate(powers)]
    return Epoch(0, validator_set(members), GENESIS)


def leader(rules: Epoch, view: int) -> Address:
    return rules.validators.validators[rules.validators.leader(rules.seed, view)].address


def block(view: int, parent_view: int = 0, parent: Hash = GENESIS, salt: int = 0) -> Proposal:
    name = keccak(b"%d %d %d" % (view, parent_view, salt) + parent)
    return Proposal(view, name, parent_view, parent, view)


def vote(who: int, kind: VoteKind, proposal: Proposal | None, view: int = 0) -> Vote:
    """A vote as if its signature had been verified."""
    if proposal is None:
        return Vote(Ballot(kind, 0, view, ZERO_HASH, 0), address(who), b"")
    ballot = Ballot(kind, 0, proposal.view, proposal.block_hash, proposal.parent_view)
    return Vote(ballot, address(who), b"")


def certificate(
    rules: Epoch, kind: VoteKind, proposal: Proposal | None, view: int = 0
) -> Certificate:
    return build_certificate(
        [vote(who, kind, proposal, view) for who in range(3)], rules.validators
    )


def casts(effects: Sequence[Effect]) -> list[tuple[VoteKind, int]]:
    return [(e.ballot.kind, e.ballot.view) for e in effects if isinstance(e, Cast)]


FOUR = epoch([1, 1, 1, 1])


def core_of(who: int, rules: Epoch = FOUR) -> Core:
    core = Core(rules, Base(0, GENESIS, 0), address(who))
    core.start()
    return core


def follower(view: int = 1) -> int:
    """Somebody who does not lead `view`."""
    return next(who for who in range(4) if address(who) != leader(FOUR, view))


def test_one_validator_notarizes_and_finalizes_in_one_turn() -> None:
    rules = epoch([1])
    core = Core(rules, Base(0, GENESIS, 0), address(0))
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
    rules, proposal = epoch([1]), block(1)
    votes = [vote(0, NOTARIZE, proposal), vote(0, FINALIZE, proposal)]
    core = Core(rules, Base(0, GENESIS, 0), address(0), votes)
    assert not casts(core.start())
    assert CheckBody(proposal) in core.handle(ProposalReceived(proposal))
    effects = core.handle(BodyChecked(proposal.block_hash, True))
    assert [type(effect) for effect in effects] == [Deliver]


def test_a_proposal_is_notarized_only_after_its_body_was_executed() -> None:
    core, proposal = core_of(follower()), block(1)
    effects = core.handle(ProposalReceived(proposal))
    assert effects == [CheckBody(proposal)]
    assert casts(core.handle(BodyChecked(proposal.block_hash, True))) == [(NOTARIZE, 1)]


def test_an_invalid_block_is_nullified_at_once() -> None:
    core, proposal = core_of(follower()), block(1)
    core.handle(ProposalReceived(proposal))
    assert casts(core.handle(BodyChecked(proposal.block_hash, False))) == [(NULLIFY, 1)]


def test_only_the_first_proposal_of_a_view_is_notarized() -> None:
    core, first, second = core_of(follower()), block(1), block(1, salt=1)
    core.handle(ProposalReceived(first))
    core.handle(ProposalReceived(second))
    assert not casts(core.handle(BodyChecked(second.block_hash, True)))
    assert casts(core.handle(BodyChecked(first.block_hash, True))) == [(NOTARIZE, 1)]


def test_a_skipped_view_must_be_nullified_before_a_block_on_an_older_one_is_notarized() -> None:
    core = core_of(follower(2))
    core.handle(AdvanceTimeout(1))
    proposal = block(2)
    core.handle(ProposalReceived(proposal))
    core.handle(BodyChecked(proposal.block_hash, True))
    effects = core.handle(CertificateReceived(certificate(FOUR, NULLIFY, None, 1)))
    assert casts(effects) == [(NOTARIZE, 2)]


def test_a_nullified_view_is_never_finalized() -> None:
    core, proposal = core_of(follower()), block(1)
    assert casts(core.handle(AdvanceTimeout(1))) == [(NULLIFY, 1)]
    core.handle(ProposalReceived(proposal))
    core.handle(BodyChecked(proposal.block_hash, True))
    effects = core.handle(CertificateReceived(certificate(FOUR, NOTARIZE, proposal)))
    assert casts(effects) == []
    assert EnterView(2, leading=leader(FOUR, 2) == address(follower())) in effects


def test_a_finalized_view_is_never_nullified() -> None:
    core, proposal = core_of(follower()), block(1)
    core.handle(ProposalReceived(proposal))
    core.handle(BodyChecked(proposal.block_hash, True))
    effects = core.handle(CertificateReceived(certificate(FOUR, NOTARIZE, proposal)))
    assert casts(effects) == [(FINALIZE, 1)]
    assert casts(core.handle(AdvanceTimeout(1))) == []


def test_a_leader_that_gives_up_is_followed() -> None:
    core = core_of(follower())
    head = next(who for who in range(4) if address(who) == leader(FOUR, 1))
    assert casts(core.handle(VoteReceived(vote(head, NULLIFY, None, 1)))) == [(NULLIFY, 1)]


def test_a_signer_counts_once() -> None:
    core, proposal = core_of(follower()), block(1)
    for _ in range(5):
        assert core.handle(VoteReceived(vote(0, NOTARIZE, proposal))) == []
    for who in (1, 2):
        effects = core.handle(VoteReceived(vote(who, NOTARIZE, proposal)))
    assert any(isinstance(effect, Broadcast) for effect in effects)


def test_votes_far_ahead_and_of_other_epochs_are_not_kept() -> None:
    core, far = core_of(0), block(9, 8)
    for who in range(4):
        assert core.handle(VoteReceived(vote(who, NOTARIZE, far))) == []
        other = Vote(Ballot(NOTARIZE, 1, 1, ZERO_HASH, 0), address(who), b"")
        assert core.handle(VoteReceived(other)) == []


def test_a_certificate_of_a_higher_view_moves_there() -> None:
    core = core_of(0)
    effects = core.handle(CertificateReceived(certificate(FOUR, NULLIFY, None, 30)))
    assert [e.view for e in effects if isinstance(e, EnterView)] == [31]


def test_a_final_block_that_is_invalid_here_stops_everything() -> None:
    core, proposal = core_of(follower()), block(1)
    core.handle(ProposalReceived(proposal))
    core.handle(BodyChecked(proposal.block_hash, False))
    effects = core.handle(CertificateReceived(certificate(FOUR, FINALIZE, proposal)))
    assert any(isinstance(effect, Stop) for effect in effects)


def test_ancestors_are_delivered_first() -> None:
    core = core_of(follower())
    first = block(1)
    second = block(2, 1, first.block_hash)
    for proposal in (second, first):
        core.handle(ProposalReceived(proposal))
        core.handle(BodyChecked(proposal.block_hash, True))
    effects = core.handle(CertificateReceived(certificate(FOUR, FINALIZE, second)))
    assert [e.block_hash for e in effects if isinstance(e, Deliver)] == [
        first.block_hash,
        second.block_hash,
    ]


def test_an_observer_never_votes() -> None:
    core = Core(FOUR, Base(0, GENESIS, 0), None)
    core.start()
    proposal = block(1)
    core.handle(ProposalReceived(proposal))
    assert not casts(core.handle(BodyChecked(proposal.block_hash, True)))
    assert not casts(core.handle(AdvanceTimeout(1)))


class Cluster:
    """Cores joined by a network that delays, drops, repeats and reorders, and timers that
    fire whenever. Member 0 may be byzantine: it signs two blocks and both kinds of vote."""

    def __init__(self, seed: int, powers: Sequence[int], *, byzantine: bool) -> None:
        self.random = random.Random(seed)
        self.rules = epoch(powers)
        self.honest = range(1 if byzantine else 0, len(powers))
        self.byzantine = byzantine
        self.loss = self.random.choice((0.0, 0.05, 0.3))
        self.flight: list[tuple[int, Event]] = []
        self.delivered: dict[int, list[Hash]] = {who: [] for who in self.honest}
        self.cast: dict[int, list[Ballot]] = {who: [] for who in self.honest}
        self.proposals: list[Proposal] = [block(1), block(1, salt=1)]
        self.cores = {
            who: Core(self.rules, Base(0, GENESIS, 0), address(who)) for who in self.honest
        }
        for who, core in self.cores.items():
            self.perform(who, core.start())

    def broadcast(self, sender: int, event: Event) -> None:
        for who in self.honest:
            if who != sender and self.random.random() >= self.loss:
                self.flight.append((who, event))

    def feed(self, who: int, event: Event) -> None:
        self.perform(who, self.cores[who].handle(event))

    def perform(self, who: int, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Build(view, parent_view, parent):
                    built = block(view, parent_view, parent, salt=10 + who)
                    self.proposals.append(built)
                    self.broadcast(who, ProposalReceived(built))
                    self.feed(who, ProposalBuilt(built))
                case CheckBody(proposal):
                    self.flight.append((who, BodyChecked(proposal.block_hash, True)))
                case Cast(ballot):
                    self.cast[who].append(ballot)
                    event = VoteReceived(Vote(ballot, address(who), b""))
                    self.broadcast(who, event)
                    self.feed(who, event)
                case Broadcast(held):
                    self.broadcast(who, CertificateReceived(held))
                case Deliver(block_hash, _):
                    self.delivered[who].append(block_hash)
                case EnterView() | Stop():
                    assert not isinstance(effect, Stop)

    def misbehave(self) -> None:
        view = self.random.randint(1, 6)
        of_view = [proposal for proposal in self.proposals if proposal.view == view]
        kind = self.random.choice(list(VoteKind))
        chosen = self.random.choice(of_view) if of_view and kind is not NULLIFY else None
        if kind is not NULLIFY and chosen is None:
            return
        if leader(self.rules, view) == address(0):
            parents = [proposal for proposal in self.proposals if proposal.view < view]
            parent = self.random.choice([*parents, Proposal(0, GENESIS, 0, GENESIS, 0)])
            twin = block(view, parent.view, parent.block_hash, self.random.randrange(3))
            self.proposals.append(twin)
            self.broadcast(0, ProposalReceived(twin))
        event = VoteReceived(vote(0, kind, chosen, view))
        self.broadcast(0, event)

    def step(self) -> None:
        chance = self.random.random()
        who = self.random.choice(list(self.honest))
        core = self.cores[who]
        if self.byzantine and chance < 0.1:
            self.misbehave()
        elif chance < 0.2 and core.view <= 6:
            self.feed(who, ProposalDue(core.view))
        elif chance < 0.23 and core.view <= 6:
            self.feed(who, AdvanceTimeout(core.view))
        elif self.flight:
            index = self.random.randrange(len(self.flight))
            target, event = self.flight[index]
            if self.random.random() < 0.9:  # otherwise it comes again
                self.flight[index] = self.flight[-1]
                self.flight.pop()
            self.feed(target, event)

    def check(self) -> None:
        chains = list(self.delivered.values())
        longest = max(chains, key=len)
        assert all(chain == longest[: len(chain)] for chain in chains)
        for ballots in self.cast.values():
            for view in {ballot.view for ballot in ballots}:
                mine = [ballot for ballot in ballots if ballot.view == view]
                kinds = [ballot.kind for ballot in mine]
                assert len(kinds) == len(set(kinds))
                assert not {NULLIFY, FINALIZE} <= set(kinds)
                assert len({b.block_hash for b in mine if b.kind is not NULLIFY}) <= 1


@pytest.mark.parametrize(
    ("powers", "byzantine"),
    [([1, 1, 1, 1], False), ([1, 1, 1, 1], True), ([5, 3, 3, 2, 2, 1, 1], True), ([1], False)],
)
def test_no_two_honest_nodes_deliver_different_blocks(
    powers: Sequence[int], byzantine: bool
) -> None:
    """Whatever the network, the timers and less than a third of the power do."""
    delivered = 0
    for seed in range(300):
        cluster = Cluster(seed, powers, byzantine=byzantine)
        for _ in range(400):
            cluster.step()
            cluster.check()
        delivered += sum(map(len, cluster.delivered.values()))
    assert delivered > 0
