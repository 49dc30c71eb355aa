"""Bugs planted on purpose: a cluster that can't find them proves nothing.

Each mutant is the core, or what it relies on, with one rule of the protocol left out. The
signer enforces most of them a second time (V3), so mutants of the core get one that doesn't.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.types import ZERO_HASH, Hash
from chain.validators import Ballot, Certificate, ValidatorSet, Vote, VoteKind, build_certificate
from node.consensus.core import Core
from node.consensus.messages import Cast, Proposal
from node.consensus.signer import Signer
from node.consensus.views import ViewState
from node.consensus.votes import Counted, Tally
from tests.node.consensus.member import Rules
from tests.node.consensus.scenarios import play, scenario
from tests.node.consensus.watch import Violation


def _finalize_nullified(
    self: Core, state: ViewState, view: int, block_hash: Hash, parent_view: int
) -> None:
    if self._me is None or state.finalized is not None:
        return
    if state.notarized in (None, block_hash):
        state.finalized = block_hash
        self._cast(VoteKind.FINALIZE, view, block_hash, parent_view)


def _finalize_any(
    self: Core, state: ViewState, view: int, block_hash: Hash, parent_view: int
) -> None:
    if self._me is None or state.finalized is not None or state.nullified:
        return
    state.finalized = block_hash
    self._cast(VoteKind.FINALIZE, view, block_hash, parent_view)


def _nullify_finalized(self: Core, view: int) -> None:
    if self._me is None or view <= self.base.view or self._views[view].nullified:
        return
    self._views[view].nullified = True
    self._cast(VoteKind.NULLIFY, view, ZERO_HASH, 0)


def _justified_by_parent_alone(self: Core, proposal: Proposal) -> bool:
    return self._agreed(proposal.parent_view) == proposal.parent_hash


def _at_least_two_thirds(self: ValidatorSet, power: int) -> bool:
    return 3 * power >= 2 * self.total_power


def _add_again_and_again(self: Tally, vote: Vote) -> Counted:
    index = self._validators.index_of(vote.signer)
    if index is None:
        return Counted()
    before, votes = self._ballots.get(vote.ballot, (0, []))
    votes.append(vote)
    after = before + self._validators.validators[index].power
    self._ballots[vote.ballot] = (after, votes)
    if self._validators.quorum(after) and not self._validators.quorum(before):
        return Counted(build_certificate(votes, self._validators))
    return Counted()


_hold: Final = Core._hold


def _hold_of_any_epoch(self: Core, certificate: Certificate) -> None:
    ballot = certificate.ballot
    if ballot.epoch < self.epoch.number:
        here = Ballot(
            ballot.kind, self.epoch.number, ballot.view, ballot.block_hash, ballot.parent_view
        )
        certificate = Certificate(here, certificate.signers, certificate.signatures)
    _hold(self, certificate)


def _cast_without_parent(
    self: Core, kind: VoteKind, view: int, block_hash: Hash, parent_view: int
) -> None:
    self._effects.append(Cast(Ballot(kind, self.epoch.number, view, block_hash, 0)))


def _name_without_parent(view: int, parent_view: int, parent: Hash, salt: int) -> Hash:
    return Hash(keccak(b"%d %d" % (view, salt)))


def _sign_anything(self: Signer, ballot: Ballot, cast: Sequence[Vote]) -> None:
    """V3 left out."""


class Mutant(Struct, frozen=True):
    """What is replaced, in which class, and what is changed around the core."""

    name: str
    seeds_max: int  # within so many scenarios it must be found
    replaced: tuple[tuple[type, str, Callable[..., Any]], ...] = ()
    name_of: Callable[[int, int, Hash, int], Hash] | None = None
    log_survives: bool = True
    syncs: bool = True

    @contextmanager
    def planted(self) -> Iterator[Rules]:
        rules = Rules()
        rules.name = self.name_of or rules.name
        rules.log_survives, rules.syncs = self.log_survives, self.syncs
        with ExitStack() as stack:
            for owner, method, bug in self.replaced:
                stack.enter_context(patch.object(owner, method, bug))
            yield rules

    def seeds_to_find(self, first: int = 0) -> int | None:
        """How many scenarios it takes until something is violated; None: more than allowed."""
        with self.planted() as rules:
            for tried in range(self.seeds_max):
                setting, steps = scenario(first + tried)
                try:
                    play(setting, steps, rules, live=False)
                except Violation:
                    return tried + 1
        return None


_CARELESS: Final = (Signer, "_check", _sign_anything)

MUTANTS: Final = (
    Mutant("finalize after nullify", 500, ((Core, "_finalize", _finalize_nullified), _CARELESS)),
    Mutant("nullify after finalize", 500, ((Core, "_nullify", _nullify_finalized), _CARELESS)),
    Mutant(
        "finalize what I did not notarize", 500, ((Core, "_finalize", _finalize_any), _CARELESS)
    ),
    Mutant("skip proof unchecked", 2000, ((Core, "_justified", _justified_by_parent_alone),)),
    Mutant("vote log lost in a crash", 500, log_survives=False),
    Mutant("fsync removed", 500, syncs=False),
    Mutant(
        "quorum of at least two thirds", 2000, ((ValidatorSet, "quorum", _at_least_two_thirds),)
    ),
    Mutant("one signer counted twice", 500, ((Tally, "add", _add_again_and_again),)),
    Mutant("stale certificate in a new epoch", 2000, ((Core, "_hold", _hold_of_any_epoch),)),
    Mutant(
        "parent outside the hash",
        2000,
        ((Core, "_cast", _cast_without_parent),),
        name_of=_name_without_parent,
    ),
)
