"""Every order of deliveries and timers that a few views allow, through the real core.

Four validators of equal power; one is byzantine. It proposes two blocks on every parent in
the views it leads, shows each honest member whichever it likes, and has signed every ballot
there is. Whatever was sent may arrive at any time or never; timers fire whenever they are
armed, or a view late.

How so many orders become few states:

- Members share nothing but messages, so what one does depends on its own history alone. Its
  states are numbered, and the step from one to the next is computed once, by the core
  (`Local`); a state of the whole is three numbers.
- What the byzantine member has signed never runs out, and votes matter through quorums: a
  certificate can be delivered when enough honest members cast its ballot. Counting votes
  one by one leads to the same states.
- Executing and fetching a block take no time: both only delay a vote that a later delivery
  of the proposal or certificate delays as well.
- What takes no choice away from anybody is done at once, and nothing else is tried beside
  it: to learn a nullification of a view that is over for the member, or a notarization, if
  it leads no later view (a leader's parent depends on what it did not hear yet). Beyond the
  last view of the schedule nothing else is left to do.
- Members that lead no view of the schedule are interchangeable; their states are sorted.

In every state: no two final blocks on different chains, no view both final and nullified,
one notarization per view, nobody's votes exclude each other, no core stops.

python -m tests.simulation.exhaustive --seconds 600
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain.crypto.keccak import keccak
from chain.types import Hash
from chain.validators import Ballot, Certificate, VoteKind, build_certificate
from node.consensus.blocks import Blocks
from node.consensus.core import Core, Epoch
from node.consensus.messages import (
    AdvanceTimeout,
    BlockReceived,
    BodyChecked,
    Build,
    Cast,
    CertificateReceived,
    CheckBody,
    Effect,
    Event,
    FetchBlock,
    Proposal,
    ProposalBuilt,
    ProposalDue,
    ProposalReceived,
    Stop,
)
from node.consensus.views import Views, ViewState
from tests.node.consensus.world import GENESIS, START, address, epoch, signed

BYZANTINE: Final = 0
HONEST: Final = (1, 2, 3)
_STATES_MAX: Final = 12_000_000  # kept in memory, about 100 bytes each

Schedule = tuple[int, ...]  # who leads view 1, 2, ...

# Up to the names of the honest: every way to give the byzantine member one to three of
# three views, those first in which it can do most.
SCHEDULES: Final[tuple[Schedule, ...]] = (
    (0, 1, 2),
    (1, 0, 2),
    (0, 0, 1),
    (0, 1, 0),
    (1, 2, 0),
    (1, 0, 0),
    (0, 1, 1),
    (1, 0, 1),
    (1, 1, 0),
    (0, 0, 0),
)


class Wrong(Exception):
    """A state that must not be."""


class World:
    """What all members have in common: the epoch, the blocks, the ballots by number."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.rules = epoch_led_by(schedule)
        self.proposals: dict[Hash, Proposal] = {}
        self.ballots: list[Ballot] = []
        self._until = {(kind, view): 0 for kind in VoteKind for view in range(len(schedule) + 1)}
        self._numbers: dict[Ballot, int] = {}
        self._certificates: dict[Ballot, Certificate] = {}
        self._fine: dict[int, bool] = {}
        quorum = self.rules.validators.quorum
        self.needed = next(honest for honest in range(4) if quorum(honest + 1))

    @property
    def views(self) -> int:
        return len(self.schedule)

    def bit(self, ballot: Ballot) -> int:
        """The ballot's bit in masks of ballots."""
        number = self._numbers.get(ballot)
        if number is None:
            number = self._numbers[ballot] = len(self.ballots)
            self.ballots.append(ballot)
            for view in range(ballot.view, self.views + 1):
                self._until[ballot.kind, view] |= 1 << number
        return 1 << number

    def until(self, kind: VoteKind, view: int) -> int:
        """A mask of the ballots of one kind up to a view."""
        return self._until[kind, min(view, self.views)]

    def certificate(self, ballot: Ballot) -> Certificate:
        """Signed by the byzantine member and as many honest ones as it takes."""
        found = self._certificates.get(ballot)
        if found is None:
            votes = [signed(ballot, who) for who in range(self.needed + 1)]
            found = build_certificate(votes, self.rules.validators)
            self._certificates[ballot] = found
        return found

    def propose(self, view: int, parent: Proposal | None, salt: int) -> Proposal:
        parent_view, parent_hash, height = 0, GENESIS, 0
        if parent is not None:
            parent_view, parent_hash, height = parent.view, parent.block_hash, parent.height
        name = Hash(keccak(b"%d %d" % (view, salt) + parent_hash))
        if name not in self.proposals:
            proposal = Proposal(view, name, parent_view, parent_hash, height + 1)
            self.proposals[name] = proposal
        return self.proposals[name]

    def check(self, agreed: int) -> None:
        """Raise Wrong when these certificates can't all be (section 8)."""
        if agreed in self._fine:
            return
        ballots = [self.ballots[n] for n in range(agreed.bit_length()) if agreed >> n & 1]
        for one in ballots:
            for other in ballots:
                if one.view == other.view and one != other:
                    kinds = {one.kind, other.kind}
                    if kinds == {VoteKind.FINALIZE, VoteKind.NULLIFY}:
                        raise Wrong(f"view {one.view} is final and nullified")
                    if kinds == {VoteKind.NOTARIZE}:
                        raise Wrong(f"two blocks are notarized in view {one.view}")
        final = [b.block_hash for b in ballots if b.kind is VoteKind.FINALIZE]
        for one_hash in final:
            for other_hash in final:
                if one_hash not in self.chain(other_hash) and other_hash not in self.chain(
                    one_hash
                ):
                    raise Wrong("two final blocks on different chains")
        self._fine[agreed] = True

    def chain(self, block_hash: Hash) -> Iterator[Hash]:
        while block_hash != GENESIS:
            yield block_hash
            block_hash = self.proposals[block_hash].parent_hash


def epoch_led_by(schedule: Schedule) -> Epoch:
    """An epoch whose first views are led as the schedule says."""
    rules = epoch([1, 1, 1, 1])
    leader = rules.validators.leader
    for draw in count():
        seed = Hash(keccak(draw.to_bytes(8, "big")))
        if all(leader(seed, view) == who for view, who in enumerate(schedule, 1)):
            return replace(rules, seed=seed)
    raise AssertionError("some draw fits")


class Facts(Struct, frozen=True):
    """What others can see of a member's state, and what it can still do."""

    view: int
    cast: int  # a mask of ballots
    proposed: tuple[Proposal, ...]  # its own
    steps: tuple[Event, ...]  # that need nobody else: timers
    awaits_proposal: bool
    held: int  # a mask of ballots whose certificates are here, or no longer matter
    skips_until: int  # the last view whose nullification takes no choice away
    blocks_until: int  # the last view whose notarization takes no choice away


class Local:
    """The states of one member, numbered, and the steps between them."""

    def __init__(self, world: World, who: int) -> None:
        self.world = world
        self.facts: list[Facts] = []
        self._cores: list[Core] = []
        self._numbers: dict[tuple[object, ...], int] = {}
        self._steps: dict[tuple[int, object], int] = {}
        core = Core(world.rules, START, address(who))
        self.first = self._number(core, self._perform(core, core.start()), ())

    def step(self, state: int, event: Event) -> int:
        """The state after an event; Wrong when the member does what it must not."""
        found = self._steps.get((state, event))
        if found is None:
            core = copy_core(self._cores[state])
            before = self.facts[state]
            cast = before.cast | self._perform(core, core.handle(event))
            proposed = before.proposed
            if isinstance(event, ProposalDue):
                own = core.proposal_of(event.view)
                proposed += () if own is None or own in proposed else (own,)
            found = self._steps[state, event] = self._number(core, cast, proposed)
        return found

    def _perform(self, core: Core, effects: Sequence[Effect]) -> int:
        """The ballots cast; building, executing and fetching happen at once."""
        cast = 0
        waiting = list(effects)
        while waiting:
            match waiting.pop(0):
                case Cast(ballot):
                    cast |= self.world.bit(ballot)
                case Build(view, _, parent):
                    built = self.world.propose(view, self.world.proposals.get(parent), 0)
                    waiting += core.handle(ProposalBuilt(built))
                case CheckBody(proposal):
                    waiting += core.handle(BodyChecked(proposal.block_hash, True))
                case FetchBlock(_, block_hash):
                    waiting += core.handle(BlockReceived(self.world.proposals[block_hash]))
                case Stop(reason):
                    raise Wrong(reason)
                case _:
                    pass
        return cast

    def _number(self, core: Core, cast: int, proposed: tuple[Proposal, ...]) -> int:
        key = (*fingerprint(core, self.world.views), cast, proposed)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._cores)
            self._check(cast)
            self._cores.append(core)
            self.facts.append(self._facts(core, cast, proposed))
        return number

    def _check(self, cast: int) -> None:
        """R1, R3, R4: a member's own votes."""
        ballots = [b for n, b in enumerate(self.world.ballots) if cast >> n & 1]
        for one in ballots:
            for other in ballots:
                if one.view != other.view or one == other:
                    continue
                kinds = {one.kind, other.kind}
                if kinds == {VoteKind.NULLIFY, VoteKind.FINALIZE} or (
                    VoteKind.NULLIFY not in kinds and one.block_hash != other.block_hash
                ):
                    raise Wrong(f"a member casts {one.kind.name} and {other.kind.name} in a view")

    def _facts(self, core: Core, cast: int, proposed: tuple[Proposal, ...]) -> Facts:
        world, view = self.world, core.view
        steps: list[Event] = [AdvanceTimeout(view - 1)]
        awaits = False
        if view <= world.views:
            steps.append(AdvanceTimeout(view))
            state = core._views[view]
            idle = state.proposal is None and not state.nullified
            if core.leader(view) == core._me:
                steps += [ProposalDue(view)] if idle else []
            else:
                awaits = idle
        over = view <= world.views and core._views[view].nullified
        leads = any(
            leader == core._me[0] and core.proposal_of(led) is None
            for led, leader in enumerate(world.schedule, 1)
            if led >= view and core._me is not None
        )
        held = 0
        for number, ballot in enumerate(world.ballots):
            if core.holds(ballot):
                held |= 1 << number
        past = view if over else view - 1
        blocks = 0 if leads else past
        return Facts(view, cast, proposed, tuple(steps), awaits, held, past, blocks)


class Report(Struct, frozen=True):
    """What a search saw."""

    schedule: Schedule
    states: int
    steps: int
    local_states: int
    complete: bool
    wrong: str = ""


class Search:
    """One schedule, depth first, in an order drawn from `random`."""

    def __init__(self, schedule: Schedule, random: Random) -> None:
        self.world = World(schedule)
        self._random = random
        shared: dict[tuple[int, ...], Local] = {}
        self._locals: list[Local] = []
        for who in HONEST:
            led = tuple(view for view, leader in enumerate(schedule) if leader == who)
            if led not in shared:
                shared[led] = Local(self.world, who)
            self._locals.append(shared[led])
        # Those who lead nothing come last and are interchangeable.
        idle = [local for local in self._locals if local is shared.get(())]
        self._locals = [local for local in self._locals if local not in idle] + idle
        self._leading = len(HONEST) - len(idle)
        self._distinct = list(shared.values())

    def run(self, seconds: float) -> Report:
        """Until everything was seen, the time is over, or something is wrong."""
        deadline = time.monotonic() + seconds
        first = tuple(local.first for local in self._locals)
        seen = {first}
        stack = [first]
        steps = 0
        try:
            while stack:
                if steps & 1023 == 0 and time.monotonic() > deadline:
                    break
                for state in self._next(stack.pop()):
                    steps += 1
                    if state not in seen:
                        seen.add(state)
                        stack.append(state)
                if len(seen) > _STATES_MAX:
                    break
        except Wrong as wrong:
            return self._report(len(seen), steps, False, str(wrong))
        return self._report(len(seen), steps, not stack, "")

    def _report(self, states: int, steps: int, complete: bool, wrong: str) -> Report:
        local = sum(len(distinct.facts) for distinct in self._distinct)
        return Report(self.world.schedule, states, steps, local, complete, wrong)

    def _next(self, state: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The states after one more step of one member; Wrong when one of them is."""
        facts = [local.facts[n] for local, n in zip(self._locals, state, strict=True)]
        a, b, c = (fact.cast for fact in facts)
        agreed = ((0, a | b | c, a & b | a & c | b & c, a & b & c))[self.world.needed]
        self.world.check(agreed)
        blocks = self._blocks(facts)
        found: list[tuple[int, ...]] = []
        for index, (local, number) in enumerate(zip(self._locals, state, strict=True)):
            gains = agreed & self.world.until(VoteKind.NULLIFY, facts[index].skips_until)
            gains |= agreed & self.world.until(VoteKind.NOTARIZE, facts[index].blocks_until)
            for event in self._certificates(facts[index], gains):
                after = local.step(number, event)
                if after != number:
                    return [self._with(state, index, after)]
        for index, (local, number) in enumerate(zip(self._locals, state, strict=True)):
            if index > self._leading and number == state[index - 1]:
                continue  # the same as its twin
            for event in self._events(facts[index], agreed, blocks):
                after = local.step(number, event)
                if after != number:
                    found.append(self._with(state, index, after))
        self._random.shuffle(found)
        return found

    def _with(self, state: tuple[int, ...], index: int, after: int) -> tuple[int, ...]:
        changed = [*state]
        changed[index] = after
        return (*changed[: self._leading], *sorted(changed[self._leading :]))

    def _events(
        self, facts: Facts, agreed: int, blocks: Sequence[Sequence[Proposal]]
    ) -> Iterator[Event]:
        yield from facts.steps
        if facts.awaits_proposal:
            for proposal in blocks[facts.view]:
                yield ProposalReceived(proposal)
        if facts.view <= self.world.views:
            yield from self._certificates(facts, agreed)

    def _certificates(self, facts: Facts, agreed: int) -> Iterator[Event]:
        news = agreed & ~facts.held
        while news:
            bit = news & -news
            news ^= bit
            ballot = self.world.ballots[bit.bit_length() - 1]
            yield CertificateReceived(self.world.certificate(ballot))

    def _blocks(self, facts: Sequence[Facts]) -> list[list[Proposal]]:
        """By view, what was proposed: by honest leaders, and whatever the other one can."""
        world = self.world
        own = [proposal for fact in facts for proposal in fact.proposed]
        found: list[list[Proposal]] = [[]]
        for view, leader in enumerate(world.schedule, 1):
            if leader == BYZANTINE:
                below: list[Proposal | None] = [None]
                for lower in found:
                    below += lower
                made = [world.propose(view, parent, salt) for parent in below for salt in (0, 1)]
                found.append(made)
            else:
                found.append([proposal for proposal in own if proposal.view == view])
        return found


# -- copies and fingerprints -----------------------------------------------------------------------

_KNOWN: Final = {
    "epoch", "heard", "view", "_me", "_floor", "_best", "_restored", "_decides_alone", "_blocks",
    "_views", "_missing", "_unsure", "_behind", "_due", "_building", "_finished", "_effects",
}  # fmt: skip


def fingerprint(core: Core, views: int) -> tuple[object, ...]:
    """Equal, beside equal votes, for cores that can vote the same from here on.

    What is left out has no influence any more, or is a consequence of the votes cast: what I
    notarized, nullified, finalized; proposals of views that are over; which blocks are here,
    since all are valid and come at once when they are needed. Beyond the last view of the
    schedule only what can still be finalized matters.
    """
    assert set(core.__dict__) == _KNOWN, "the core has a new field: does it tell states apart?"
    assert not core._missing and not core._behind and not core._building
    base = core.base
    open_views: list[object] = []
    for view in range(base.view + 1, views + 1):
        state = core._views.get(view) or ViewState(address(0))
        agreed = state.agreed()
        skipped = state.nullification is not None
        if core.view > views:
            if agreed is None and not state.nullified and state.finalized is None:
                open_views.append(view)
        elif agreed is not None or skipped:
            open_views.append((view, agreed and agreed.ballot, skipped))
    current = core.proposal_of(core.view) if core.view <= views else None
    return (min(core.view, views + 1), base, tuple(open_views), current)


def copy_core(core: Core) -> Core:
    """A core that goes its own way; what never changes is shared."""
    copied = object.__new__(Core)
    copied.__dict__.update(core.__dict__)
    copied.heard = dict(core.heard)
    copied._missing = dict(core._missing)
    copied._effects = list(core._effects)
    blocks = copied._blocks = object.__new__(Blocks)
    blocks.__dict__.update(core._blocks.__dict__)
    blocks._known = {name: replace(known) for name, known in core._blocks._known.items()}
    views = copied._views = object.__new__(Views)
    views.__dict__.update(core._views.__dict__)
    views._states = {view: _copy_view(state) for view, state in core._views._states.items()}
    views._tallies = {}  # no votes are counted here
    views._agreed = list(core._views._agreed)
    views._lower = dict(core._views._lower)
    return copied


def _copy_view(state: ViewState) -> ViewState:
    copied = object.__new__(ViewState)
    for name in ViewState.__slots__:
        setattr(copied, name, getattr(state, name))
    copied.own = list(state.own)
    return copied


# -- command ---------------------------------------------------------------------------------------


def search(seconds: float, views: int = 3, seed: int = 0) -> Iterator[Report]:
    """Every schedule in turn, each with its share of the time that is left."""
    schedules = list(dict.fromkeys(schedule[:views] for schedule in SCHEDULES))
    deadline = time.monotonic() + seconds
    for done, schedule in enumerate(schedules):
        share = (deadline - time.monotonic()) / (len(schedules) - done)
        yield Search(schedule, Random(seed)).run(share)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.exhaustive")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--views", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--seed", type=int, default=0, help="of the order of the search")
    arguments = parser.parse_args()
    states = failed = complete = runs = 0
    for report in search(arguments.seconds, arguments.views, arguments.seed):
        led = " ".join(
            "byzantine" if who == BYZANTINE else f"honest{who}" for who in report.schedule
        )
        ending = report.wrong or ("complete" if report.complete else "time is over")
        print(
            f"leaders {led}: {report.states:,} states, {report.steps:,} steps, "
            f"{report.local_states:,} of one member, {ending}",
            flush=True,
        )
        runs += 1
        states += report.states
        complete += report.complete
        failed += bool(report.wrong)
    print(f"{states:,} states; {complete} of {runs} schedules complete; {failed} wrong")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
