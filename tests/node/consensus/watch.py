"""Who watches a cluster: what must never be seen of honest validators."""

from chain.types import Address, Hash
from chain.validators import Ballot, Certificate, Vote, VoteKind
from node.consensus.messages import Base


class Violation(Exception):
    """What must never happen, happened."""


class Watch:
    """Sees every vote, certificate, delivery and accusation of the honest."""

    def __init__(self, byzantine: frozenset[int]) -> None:
        self.delivered: dict[int, Hash] = {}  # by height
        self.votes: list[Vote] = []  # all honest ones that were sent
        self._byzantine = byzantine
        self._cast: dict[tuple[int, int, int], dict[VoteKind, Ballot]] = {}
        self._agreed: dict[tuple[int, int], dict[VoteKind, Hash]] = {}
        self._formed: set[Ballot] = set()

    def vote(self, who: int, vote: Vote) -> None:
        """Each signer's exclusions hold over its whole life, crashes included."""
        ballot = vote.ballot
        cast = self._cast.setdefault((who, ballot.epoch, ballot.view), {})
        earlier = cast.get(ballot.kind)
        if earlier is not None and earlier != ballot:
            raise Violation(f"{who} votes {ballot.kind.name} twice in view {ballot.view}")
        cast[ballot.kind] = ballot
        if VoteKind.NULLIFY in cast and VoteKind.FINALIZE in cast:
            raise Violation(f"{who} nullifies and finalizes view {ballot.view}")
        named = {b.block_hash for b in cast.values() if b.kind is not VoteKind.NULLIFY}
        if len(named) > 1:
            raise Violation(f"{who} notarizes and finalizes different blocks of view {ballot.view}")
        self.votes.append(vote)

    def certificate(self, certificate: Certificate) -> None:
        """One notarization per view; no view is both final and nullified."""
        ballot = certificate.ballot
        if ballot in self._formed:
            return
        self._formed.add(ballot)
        agreed = self._agreed.setdefault((ballot.epoch, ballot.view), {})
        known = agreed.setdefault(ballot.kind, ballot.block_hash)
        if known != ballot.block_hash:
            raise Violation(f"two certificates {ballot.kind.name} in view {ballot.view}")
        if VoteKind.NULLIFY in agreed and VoteKind.FINALIZE in agreed:
            raise Violation(f"view {ballot.view} is final and nullified")

    def final(self, who: int, base: Base) -> None:
        known = self.delivered.setdefault(base.height, base.block_hash)
        if known != base.block_hash:
            raise Violation(f"{who} delivers another block at height {base.height}")

    def accused(self, signer: Address) -> None:
        if signer[0] not in self._byzantine:
            raise Violation(f"evidence against {signer[0]}, which is honest")
