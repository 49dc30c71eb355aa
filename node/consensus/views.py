"""What a validator remembers of the views: its own votes, first proposals, certificates."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Final

from chain.types import Address, Hash
from chain.validators import Certificate, ValidatorSet, Vote, VoteKind
from node.consensus.messages import Proposal
from node.consensus.votes import Counted, Tally

VIEWS_RETAINED: Final = 16  # below the floor, so that late votes are no offence (R7)
_VIEWS_COUNTED: Final = 64  # up to the current one; of older ones only certificates matter


class ViewState:
    """One view."""

    __slots__ = (
        "asked_to",
        "finalization",
        "finalized",
        "leader",
        "leader_gave_up",
        "notarization",
        "notarized",
        "nullification",
        "nullified",
        "own",
        "proposal",
    )

    def __init__(self, leader: Address) -> None:
        self.leader = leader
        self.proposal: Proposal | None = None  # the first one seen from the leader
        self.notarized: Hash | None = None  # what I notarized
        self.nullified = False  # whether I nullified
        self.finalized: Hash | None = None  # what I finalized
        self.own: list[Vote] = []  # my votes, signed; at most one per kind
        self.leader_gave_up = False  # the leader's own NULLIFY was seen
        self.asked_to = 0  # the last view that I asked certificates for, to go on in this one
        self.notarization: Certificate | None = None
        self.nullification: Certificate | None = None
        self.finalization: Certificate | None = None

    def agreed(self) -> Certificate | None:
        """The certificate of the block that is notarized or final in this view."""
        return self.finalization or self.notarization

    def certificates(self) -> Sequence[Certificate]:
        held = (self.finalization, self.notarization, self.nullification)
        return [certificate for certificate in held if certificate is not None]


class Views:
    """All views that matter still, and which of them are agreed on or skipped.

    Without finality every skipped view keeps its nullification, which the next block needs
    to be justified. Votes are kept for the last views only.
    """

    def __init__(self, validators: ValidatorSet, seed: Hash, base: int) -> None:
        self._validators = validators
        self._seed = seed
        self._base = base
        self._states: dict[int, ViewState] = {}
        self._tallies: dict[int, Tally] = {}
        self._agreed: list[int] = []  # ascending, above the base
        self._lower: dict[int, int] = {}  # a skipped view -> a view below it, all between skipped

    def __iter__(self) -> Iterator[int]:
        """The views that anything is known of, ascending."""
        return iter(sorted(self._states))

    def __getitem__(self, view: int) -> ViewState:
        state = self._states.get(view)
        if state is None:
            state = self._states[view] = ViewState(self._draw(view))
        return state

    def get(self, view: int) -> ViewState | None:
        return self._states.get(view)

    def leader(self, view: int) -> Address:
        """Who proposes in `view` (R0)."""
        state = self._states.get(view)
        return self._draw(view) if state is None else state.leader

    def _draw(self, view: int) -> Address:
        return self._validators.validators[self._validators.leader(self._seed, view)].address

    def count(self, vote: Vote) -> Counted:
        """Count a vote of a view that `enter` and `prune` left open."""
        tally = self._tallies.get(vote.ballot.view)
        if tally is None:
            tally = self._tallies[vote.ballot.view] = Tally(self._validators)
        return tally.add(vote)

    def begun(self, view: int) -> bool:
        """Whether any vote of the view was counted."""
        return view in self._tallies

    def counted_from(self, current: int) -> int:
        """The first view whose votes are still counted."""
        return current - _VIEWS_COUNTED

    def hold(self, certificate: Certificate) -> bool:
        """Keep a certificate of a view above the base; False: one of its kind is held."""
        view = certificate.ballot.view
        state = self[view]
        match certificate.ballot.kind:
            case VoteKind.NULLIFY:
                if state.nullification is not None:
                    return False
                state.nullification = certificate
                self._lower[view] = view - 1
                return True
            case VoteKind.NOTARIZE:
                if state.notarization is not None:
                    return False
                state.notarization = certificate
            case VoteKind.FINALIZE:
                if state.finalization is not None:
                    return False
                state.finalization = certificate
        if view not in self._agreed:
            insort(self._agreed, view)
        return True

    @property
    def agreed(self) -> Sequence[int]:
        """The views above the base with a notarized or final block, ascending."""
        return self._agreed

    def last_unskipped(self, view: int) -> int:
        """The highest view below `view` without a nullification; at least the base's."""
        at = view - 1
        passed: list[int] = []
        while at > self._base and (lower := self._lower.get(at)) is not None:
            passed.append(at)
            at = lower
        for skipped in passed:
            self._lower[skipped] = at  # the next search takes this in one step
        return max(at, self._base)

    def enter(self, view: int) -> None:
        """`view` is the current one: the votes of far older ones are history."""
        for old in [known for known in self._tallies if known < self.counted_from(view)]:
            del self._tallies[old]

    def rebase(self, view: int) -> None:
        """The block of this view is final."""
        self._base = view
        del self._agreed[: bisect_left(self._agreed, view + 1)]
        for old in [skipped for skipped in self._lower if skipped <= view]:
            del self._lower[old]

    def prune(self, floor: int) -> None:
        """Forget what is well below the floor, which is on disk (R6)."""
        keep = floor - VIEWS_RETAINED
        for old in [known for known in self._states if known < keep]:
            del self._states[old]
        for old in [known for known in self._tallies if known < keep]:
            del self._tallies[old]
