"""What a validator remembers of one view, and the counting of its votes."""

from collections.abc import Sequence

from chain.types import Address, Hash
from chain.validators import Ballot, Certificate, ValidatorSet, Vote, VoteKind, build_certificate
from node.consensus.messages import Proposal


class Tally:
    """The votes of one view by kind. A signer counts once per kind."""

    __slots__ = ("_ballots", "_counted", "_validators")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._ballots: dict[Ballot, list[Vote]] = {}
        self._counted: set[tuple[VoteKind, Address]] = set()

    def add(self, vote: Vote) -> Certificate | None:
        """Count a vote; the certificate when this very vote completes a quorum."""
        index = self._validators.index_of(vote.signer)
        key = (vote.ballot.kind, vote.signer)
        if index is None or key in self._counted:
            return None
        self._counted.add(key)
        votes = self._ballots.setdefault(vote.ballot, [])
        before = self._power(votes)
        votes.append(vote)
        after = before + self._validators.validators[index].power
        if self._validators.quorum(after) and not self._validators.quorum(before):
            return build_certificate(votes, self._validators)
        return None

    def _power(self, votes: Sequence[Vote]) -> int:
        members = self._validators.validators
        indices = (self._validators.index_of(vote.signer) for vote in votes)
        return sum(members[index].power for index in indices if index is not None)


class ViewState:
    """A view: my own votes, the first proposal, the certificates."""

    __slots__ = (
        "finalization",
        "finalized",
        "leader_gave_up",
        "notarization",
        "notarized",
        "nullification",
        "nullified",
        "proposal",
        "tally",
    )

    def __init__(self, validators: ValidatorSet) -> None:
        self.tally = Tally(validators)
        self.proposal: Proposal | None = None  # the first one seen from the leader
        self.notarized: Hash | None = None  # what I notarized
        self.nullified = False  # whether I nullified
        self.finalized: Hash | None = None  # what I finalized
        self.leader_gave_up = False  # the leader's own NULLIFY was seen
        self.notarization: Certificate | None = None
        self.nullification: Certificate | None = None
        self.finalization: Certificate | None = None

    def agreed_hash(self) -> Hash | None:
        """The block that is notarized or final in this view."""
        certificate = self.finalization or self.notarization
        return None if certificate is None else certificate.ballot.block_hash
