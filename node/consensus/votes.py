"""The counting of votes, and what two votes of one signer prove."""

from msgspec import Struct

from chain.evidence import contradict
from chain.types import Address
from chain.validators import Ballot, Certificate, ValidatorSet, Vote, VoteKind, build_certificate


class Counted(Struct, frozen=True):
    """What a vote led to."""

    certificate: Certificate | None = None  # when this very vote completed a quorum
    conflict: Vote | None = None  # the signer's earlier vote that excludes this one


_NOTHING = Counted()


class Tally:
    """The votes of one view by kind. A signer counts once per kind, and is accused once."""

    __slots__ = ("_accused", "_ballots", "_cast", "_validators")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._ballots: dict[Ballot, tuple[int, list[Vote]]] = {}  # with their power
        self._cast: dict[tuple[VoteKind, Address], Vote] = {}
        self._accused: set[Address] = set()

    def add(self, vote: Vote) -> Counted:
        """Count a vote, unless its signer has cast one of its kind, or is no member."""
        index = self._validators.index_of(vote.signer)
        ballot = vote.ballot
        key = (ballot.kind, vote.signer)
        earlier = self._cast.get(key)
        if index is None or (earlier is not None and earlier.ballot == ballot):
            return _NOTHING
        conflict = self._conflict(vote)
        if earlier is not None:
            return Counted(conflict=conflict)
        self._cast[key] = vote
        before, votes = self._ballots.get(ballot, (0, []))
        votes.append(vote)
        after = before + self._validators.validators[index].power
        self._ballots[ballot] = (after, votes)
        quorum = self._validators.quorum
        certificate = None
        if quorum(after) and not quorum(before):
            certificate = build_certificate(votes, self._validators)
        return Counted(certificate, conflict)

    def _conflict(self, vote: Vote) -> Vote | None:
        """An earlier vote of the signer that no honest validator casts beside this one."""
        if vote.signer in self._accused:
            return None
        for kind in VoteKind:
            earlier = self._cast.get((kind, vote.signer))
            if earlier is not None and contradict(earlier.ballot, vote.ballot):
                self._accused.add(vote.signer)
                return earlier
        return None
