"""The validator's key: signs ballots, never two that exclude each other (V2, V3).

The exclusions are kept here, beside the key, and not only in the core: whoever drives
the signer, the log decides. A refusal is our own bug and stops the process. What the
driver needs of a signer is little - `sign`, `raise_floor` and what the log remembers - so
that a key in another process or machine can take this class's place.
"""

from collections.abc import Mapping, Sequence

from chain.crypto import secp256k1
from chain.errors import Fault
from chain.types import Address
from chain.validators import Ballot, Certificate, Domain, Vote, VoteKind, sign_ballot
from node.consensus.vote_log import Kept, Position, VoteLog, position_of


class Signer:
    """A key with its log. One owner; `sign` blocks on the disk."""

    def __init__(self, private_key: bytes, domain: Domain, log: VoteLog) -> None:
        self._key = private_key
        self._domain = domain
        self._log = log
        self.address: Address = secp256k1.address_of(private_key)

    @property
    def votes(self) -> Sequence[Vote]:
        """What was signed above the floor, in order."""
        return self._log.votes

    @property
    def proposals(self) -> Mapping[Position, bytes]:
        """The proposals above the floor that were voted for."""
        return self._log.proposals

    @property
    def certificates(self) -> Sequence[Certificate]:
        """The certificates above the floor that were held when votes were cast."""
        return self._log.certificates

    @property
    def floor(self) -> Position:
        """Votes at or below it are over."""
        return self._log.floor

    def raise_floor(self, floor: Position) -> None:
        """The ledger has everything up to here on disk (R6)."""
        self._log.raise_floor(floor)

    def close(self) -> None:
        self._log.close()

    def sign(self, ballots: Sequence[Ballot], kept: Kept) -> list[Vote]:
        """The votes, in order, logged and fsynced together with what they stand on.

        A ballot that was signed before gets its stored signature again. `Fault` for one
        that an earlier vote excludes, or that is at or below the floor.
        """
        known = {vote.ballot: vote for vote in self._log.votes}
        fresh: list[Vote] = []
        signed: list[Vote] = []
        for ballot in ballots:
            vote = known.get(ballot)
            if vote is None:
                self._check(ballot, [*self._log.votes, *fresh])
                vote = known[ballot] = sign_ballot(ballot, self._domain, self._key, self.address)
                fresh.append(vote)
            signed.append(vote)
        if fresh or kept.proposals or kept.certificates:
            self._log.append(fresh, kept)
        return signed

    def _check(self, ballot: Ballot, cast: Sequence[Vote]) -> None:
        position = position_of(ballot)
        if position <= self._log.floor:
            raise Fault(f"asked to vote at {position}, the floor is {self._log.floor}")
        for vote in cast:
            earlier = vote.ballot
            if position_of(earlier) == position and _excludes(earlier, ballot):
                raise Fault(
                    f"asked to {ballot.kind.name} after {earlier.kind.name} in view {ballot.view}"
                )


def _excludes(earlier: Ballot, ballot: Ballot) -> bool:
    """Whether `earlier` forbids a different `ballot` of the same view (R1, R3, R4)."""
    if ballot.kind is VoteKind.NULLIFY:
        return earlier.kind is not VoteKind.NOTARIZE  # R4: having notarized forbids nothing
    if earlier.kind is VoteKind.NULLIFY:
        return True
    if earlier.kind is ballot.kind:
        return True  # one NOTARIZE and one FINALIZE per view
    return earlier.block_hash != ballot.block_hash
