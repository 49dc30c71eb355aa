"""What must hold whatever happens: checked at every vote, certificate and delivery of a run."""

from collections import defaultdict

from chain import validators
from chain.types import Address, Hash
from chain.validators import Ballot, Certificate, ValidatorSet, Vote, VoteKind
from node.consensus.messages import Proposal


class Violation(Exception):
    """An invariant is broken. The text says which, and by what."""


class Watch:
    """Sees everything that honest members do. Does not trust the code it watches."""

    def __init__(self, members: ValidatorSet, honest: frozenset[Address]) -> None:
        self._members = members
        self._honest = honest
        self._cast: dict[Address, set[Ballot]] = defaultdict(set)
        self._by_view: dict[tuple[Address, int, int], list[Ballot]] = defaultdict(list)
        self._certified: dict[tuple[VoteKind, int, int], Hash] = {}
        self._final: dict[int, Hash] = {}
        self._proposals: dict[Hash, Proposal] = {}

    def cast(self, vote: Vote) -> None:
        """An honest member's vote has left its signer: over the whole run, crashes included."""
        ballot = vote.ballot
        if ballot in self._cast[vote.signer]:
            return
        before = self._by_view[vote.signer, ballot.epoch, ballot.view]
        for earlier in before:
            if _exclude(earlier, ballot):
                raise Violation(f"an honest member cast {_text(earlier)} and {_text(ballot)}")
        if ballot.kind is VoteKind.NOTARIZE:
            for skipped in range(ballot.parent_view + 1, ballot.view):
                if (VoteKind.NULLIFY, ballot.epoch, skipped) not in self._certified:
                    raise Violation(f"{_text(ballot)} skips view {skipped}, not nullified")
        before.append(ballot)
        self._cast[vote.signer].add(ballot)

    def accepted(self, certificate: Certificate, epoch: int) -> None:
        """An honest member in `epoch` took a certificate for true."""
        ballot = certificate.ballot
        if ballot.epoch != epoch:
            raise Violation(f"{_text(ballot)} of epoch {ballot.epoch} was taken in epoch {epoch}")
        bitmap = int.from_bytes(certificate.signers, "little")
        power = 0
        for index, member in enumerate(self._members.validators):
            if not bitmap >> index & 1:
                continue
            power += member.power
            if member.address in self._honest and ballot not in self._cast[member.address]:
                raise Violation(f"a certificate holds {_text(ballot)}, which was never cast")
        if 3 * power <= 2 * self._members.total_power:
            raise Violation(f"{_text(ballot)} was certified by {power} of power")
        self._certify(ballot)

    def _certify(self, ballot: Ballot) -> None:
        at = (ballot.epoch, ballot.view)
        known = self._certified.setdefault((ballot.kind, *at), ballot.block_hash)
        if known != ballot.block_hash:
            raise Violation(f"two certificates {ballot.kind.name} of view {ballot.view}")
        if (VoteKind.NULLIFY, *at) in self._certified and (
            VoteKind.FINALIZE,
            *at,
        ) in self._certified:
            raise Violation(f"view {ballot.view} is nullified and finalized")

    def delivered(self, height: int, block_hash: Hash, parent: Hash) -> None:
        """An honest member calls a block final."""
        known = self._final.setdefault(height, block_hash)
        if known != block_hash:
            raise Violation(f"two blocks are final at height {height}")
        before = self._final.get(height - 1)
        if before is not None and before != parent:
            raise Violation(f"the block at height {height} is not the child of the one before")

    def saw(self, proposal: Proposal) -> None:
        """An honest member took a block for what it says: the hash commits to all of it."""
        known = self._proposals.setdefault(proposal.block_hash, proposal)
        if known != proposal:
            raise Violation("one hash stands for two proposals")

    def accused(self, signer: Address) -> None:
        if signer in self._honest:
            raise Violation("there is evidence against an honest member")


def _exclude(one: Ballot, other: Ballot) -> bool:
    """Section 6, written down a second time on purpose."""
    if VoteKind.NULLIFY in (one.kind, other.kind):
        return VoteKind.FINALIZE in (one.kind, other.kind)
    return one.block_hash != other.block_hash


def _text(ballot: Ballot) -> str:
    return f"{ballot.kind.name}({ballot.view}, {ballot.block_hash.hex()[:6]})"


class Verifier:
    """Signatures and certificates, each verified once by the product's code and remembered."""

    def __init__(self, members: ValidatorSet, domain: validators.Domain) -> None:
        self._members = members
        self._domain = domain
        self._votes: dict[tuple[Hash, Address, bytes], bool] = {}
        self._certificates: dict[Certificate, bool] = {}

    def vote(self, vote: Vote) -> bool:
        if self._members.index_of(vote.signer) is None:
            return False
        key = (self._domain.sign_hash(vote.ballot), vote.signer, vote.signature)
        if key not in self._votes:
            self._votes[key] = validators.verify_vote(vote, self._domain)
        return self._votes[key]

    def certificate(self, certificate: Certificate) -> bool:
        if certificate not in self._certificates:
            try:
                validators.check_certificate(certificate, self._members, self._domain)
                self._certificates[certificate] = True
            except validators.Rejected:
                self._certificates[certificate] = False
        return self._certificates[certificate]
