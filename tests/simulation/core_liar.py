"""A byzantine member: signs whatever helps, remembers everything, and chooses its listeners."""

from collections import deque
from random import Random

from msgspec.structs import replace

from chain.crypto import secp256k1
from chain.types import ZERO_HASH, Hash
from chain.validators import (
    Ballot,
    Certificate,
    ConsensusRecord,
    Vote,
    VoteKind,
    build_certificate,
    sign_ballot,
)
from tests.simulation.core_member import Ask, Parcel, Proposed, Rules, ToyBlock, World

_REMEMBERED = 400


class Liar:
    """One byzantine validator. It needs no core: it only has to harm."""

    def __init__(self, number: int, key: bytes, rules: Rules, world: World, random: Random) -> None:
        self.number = number
        self._key = key
        self._address = secp256k1.address_of(key)
        self._rules = rules
        self._world = world
        self._random = random
        self._votes: deque[Vote] = deque(maxlen=_REMEMBERED)
        self._certificates: deque[Certificate] = deque(maxlen=_REMEMBERED)
        self._blocks: deque[ToyBlock] = deque(maxlen=_REMEMBERED)
        self._combined: deque[Ballot] = deque(maxlen=_REMEMBERED)
        self._view = 1
        self._epoch = 0

    def hear(self, parcel: Parcel) -> None:
        """Everything that honest members tell everybody."""
        match parcel:
            case Vote():
                self._votes.append(parcel)
                at = (parcel.ballot.epoch, parcel.ballot.view)
                self._epoch, self._view = max(at, (self._epoch, self._view))
                self._combine(parcel.ballot)
                if parcel.ballot.kind is VoteKind.NOTARIZE and self._random.random() < 0.2:
                    self._skip(parcel.ballot)
            case Certificate():
                self._certificates.append(parcel)
            case Proposed(vote, block):
                self._votes.append(vote)
                if block is not None:
                    self._blocks.append(block)
            case Ask(source, block_hash):
                for block in self._blocks:
                    if block.hash == block_hash and self._random.random() < 0.5:
                        self._world.send(self.number, source, block)

    def act(self) -> None:
        """One misdeed."""
        draw = self._random.random()
        if draw < 0.25:
            self._propose()
        elif draw < 0.60:
            self._vote()
        elif draw < 0.72 and self._certificates:
            self._tell(self._random.choice(self._certificates))  # withheld until now, or stale
        elif draw < 0.80 and self._votes:
            self._tell(self._moved(self._random.choice(self._votes)))
        elif draw < 0.88 and self._certificates:
            self._tell(self._doubled(self._random.choice(self._certificates)))
        elif draw < 0.94 and self._certificates:
            certificate = self._random.choice(self._certificates)
            ballot = replace(certificate.ballot, epoch=self._epoch)
            self._tell(replace(certificate, ballot=ballot))
        elif self._votes:
            self._tell(self._random.choice(self._votes))

    def _tell(self, parcel: Parcel) -> None:
        """Some of them, each with the same chance."""
        for target in range(len(self._rules.members.validators)):
            if target != self.number and self._random.random() < 0.6:
                self._world.send(self.number, target, parcel)

    def _sign(self, ballot: Ballot) -> Vote:
        return sign_ballot(ballot, self._rules.domain, self._key)

    def _leads(self, view: int) -> bool:
        epoch, members = self._rules.epoch(self._epoch), self._rules.members
        return members.validators[members.leader(epoch.seed, view)].address == self._address

    def _skip(self, ballot: Ballot) -> None:
        """While a view's block becomes final, build beside it in the next view."""
        older = [
            block for block in self._blocks
            if block.record.epoch == self._epoch and block.record.view < ballot.view
        ]  # fmt: skip
        if ballot.epoch == self._epoch and older and self._leads(ballot.view + 1):
            self._build(ballot.view + 1, older[-1])

    def _propose(self) -> None:
        """A block of mine, on whatever there is; twice in a view, or unsound, or misplaced."""
        random = self._random
        views = [v for v in range(max(1, self._view - 1), self._view + 4) if self._leads(v)]
        parents = [block for block in self._blocks if block.record.epoch == self._epoch]
        if views:
            parent = random.choice(parents[-6:]) if parents and random.random() < 0.9 else None
            self._build(random.choice(views), parent)

    def _build(self, view: int, parent: ToyBlock | None) -> None:
        random, rules, members = self._random, self._rules, self._rules.members
        epoch = rules.epoch(self._epoch)
        if parent is not None and parent.record.height == epoch.last_height:
            self._again(view, parent)
            return
        parent_hash = rules.domain.genesis_hash if parent is None else parent.hash
        parent_view = 0 if parent is None else parent.record.view
        if random.random() < 0.1:
            parent_view = random.randint(0, view - 1)
        record = ConsensusRecord(
            chain_id=rules.domain.chain_id, epoch=epoch.number, view=view,
            height=1 if parent is None else parent.record.height + 1,
            parent_view=parent_view, parent_hash=parent_hash,
            timestamp_ms=random.randrange(3), validators_hash=members.hash,
            next_validators_hash=members.hash, proposer=self._address,
        )  # fmt: skip
        block = ToyBlock(record, sound=random.random() < 0.9)
        self._blocks.append(block)
        ballot = Ballot(VoteKind.NOTARIZE, epoch.number, view, block.hash, parent_view)
        self._tell(Proposed(self._sign(ballot), block))
        if random.random() < 0.2:  # the same hash, if the hash does not commit to the parent
            other = replace(record, parent_view=random.randint(0, view - 1))
            ballot = replace(ballot, parent_view=other.parent_view)
            self._tell(Proposed(self._sign(ballot), replace(block, record=other)))

    def _again(self, view: int, block: ToyBlock) -> None:
        ballot = Ballot(
            VoteKind.NOTARIZE, self._epoch, view, block.hash,
            self._random.choice((block.record.view, view - 1)),
        )  # fmt: skip
        self._tell(Proposed(self._sign(ballot), None))

    def _vote(self) -> None:
        """A vote that somebody may need for a quorum, whatever I said before."""
        random = self._random
        recent = [vote.ballot for vote in self._votes if vote.ballot.epoch == self._epoch][-20:]
        if not recent:
            return
        ballot = random.choice(recent)
        if ballot.kind is VoteKind.NOTARIZE and random.random() < 0.5:
            ballot = replace(ballot, kind=VoteKind.FINALIZE)
        if random.random() < 0.3:
            ballot = Ballot(VoteKind.NULLIFY, ballot.epoch, ballot.view, ZERO_HASH, 0)
        vote = self._sign(ballot)
        self._votes.append(vote)
        self._combine(ballot)
        self._tell(vote)

    def _combine(self, ballot: Ballot) -> None:
        """A certificate before anybody else has it, to show to a few."""
        votes = {vote.signer: vote for vote in self._votes if vote.ballot == ballot}
        members = self._rules.members
        power = sum(
            member.power
            for member in members.validators
            if member.address in votes or member.address == self._address
        )
        if members.quorum(power) and ballot not in self._combined:
            self._combined.append(ballot)
            votes[self._address] = self._sign(ballot)
            self._certificates.append(build_certificate(list(votes.values()), members))

    def _moved(self, vote: Vote) -> Vote:
        """An honest signature under something else: another epoch, view or parent."""
        ballot = vote.ballot
        match self._random.randrange(3):
            case 0:
                ballot = replace(ballot, epoch=self._epoch)
            case 1:
                ballot = replace(ballot, view=self._view)
            case _ if ballot.kind is not VoteKind.NULLIFY:
                ballot = replace(ballot, parent_view=self._random.randrange(self._view + 1))
        return replace(vote, ballot=ballot)

    def _doubled(self, certificate: Certificate) -> Certificate:
        """My signature in everybody's place, under a ballot of my choice."""
        ballot = certificate.ballot
        if self._random.random() < 0.5:
            ballot = Ballot(VoteKind.NULLIFY, self._epoch, self._view, ZERO_HASH, 0)
        elif self._random.random() < 0.5 and ballot.kind is not VoteKind.NULLIFY:
            ballot = replace(ballot, kind=VoteKind.FINALIZE, block_hash=self._any_hash())
        count = len(self._rules.members.validators)
        signature = self._sign(ballot).signature
        everybody = ((1 << count) - 1).to_bytes((count + 7) // 8, "little")
        return Certificate(ballot, everybody, (signature,) * count)

    def _any_hash(self) -> Hash:
        return self._random.choice(self._blocks).hash if self._blocks else ZERO_HASH
