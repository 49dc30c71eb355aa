"""The validator's key: signs ballots, never two that exclude each other (V2, V3).

The exclusions are kept here, beside the key, and not only in the core: whoever drives
the signer, the log decides. A refusal is our own bug and stops the process.
"""

from collections.abc import Sequence

from chain.crypto import secp256k1
from chain.errors import Fault
from chain.types import Address
from chain.validators import Ballot, Domain, Vote, VoteKind, sign_ballot
from node.consensus.vote_log import VoteLog


class Signer:
    """A key with its log. One owner; `sign` blocks on the disk."""

    def __init__(self, private_key: bytes, domain: Domain, log: VoteLog) -> None:
        self._key = private_key
        self._domain = domain
        self._log = log
        self.address: Address = secp256k1.address_of(private_key)

    def sign(
        self, ballots: Sequence[Ballot], proposals: Sequence[tuple[int, bytes]] = ()
    ) -> list[Vote]:
        """The votes, in order, logged and fsynced together with the proposals they are for.

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
                vote = known[ballot] = sign_ballot(ballot, self._domain, self._key)
                fresh.append(vote)
            signed.append(vote)
        if fresh:
            self._log.append(fresh, proposals)
        return signed

    def _check(self, ballot: Ballot, cast: Sequence[Vote]) -> None:
        if ballot.view <= self._log.floor:
            raise Fault(f"asked to vote in view {ballot.view}, floor {self._log.floor}")
        for vote in cast:
            if vote.ballot.view == ballot.view and _excludes(vote.ballot, ballot):
                raise Fault(
                    f"asked to {ballot.kind.name} after {vote.ballot.kind.name} "
                    f"in view {ballot.view}"
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
