"""What must hold in every run, checked whenever something happens (section 8 of the protocol).

Nothing here trusts the nodes: votes and certificates are read off the wire, blocks as they
are committed. Only validators that lie on purpose are excused.
"""

from collections import defaultdict

from msgspec import Struct

from chain.errors import Rejected
from chain.execution import Executed
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.types import Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Validator,
    Vote,
    VoteKind,
    decode_certificate,
    decode_vote,
    validator_set,
)
from node.net.messages import Certificates, Evidence, Message, Proposal, Status, Votes
from node.net.network import PeerId
from node.simulator.network import Blamed

_VIOLATIONS_MAX = 100


class Location(Struct, frozen=True):
    """Where a client was told that its transaction is."""

    height: int
    block_hash: Hash


class _Block(Struct, frozen=True):
    """What the first node to commit a height committed."""

    hash: Hash
    state_root: Hash
    record: bytes


class Invariants:
    """Collects violations; a run without any was right."""

    def __init__(self, genesis: Genesis, honest: dict[PeerId, Address]) -> None:
        """`honest` has the nodes that follow the rules, with their validators' addresses."""
        rules = genesis.config.ledger
        self.violations: list[str] = []
        self.acknowledged: dict[Hash, Location] = {}
        self._nodes = honest
        self._validators = frozenset(honest.values())
        self._set = validator_set([Validator(v.address, v.power) for v in rules.validators])
        self._fixed_set = rules.epoch_length == 0
        self._blocks: dict[int, _Block] = {}
        self._heights: dict[PeerId, int] = {}
        self._burns = rules.fee_recipient is None
        self._balances = {address: account.balance for address, account in genesis.alloc.items()}
        self._supply = sum(self._balances.values())
        self._supply_height = 0
        self._cast: dict[tuple[Address, int, int], list[Ballot]] = defaultdict(list)
        self._ballots: dict[Ballot, set[Address]] = defaultdict(set)
        self._certified: dict[tuple[VoteKind, int, int], Hash] = {}
        self._seen: set[bytes] = set()
        self._last: Message | None = None

    def broken(self, text: str) -> None:
        """Something does not hold."""
        if len(self.violations) < _VIOLATIONS_MAX:
            self.violations.append(text)

    # -- blocks ------------------------------------------------------------------------------------

    def committed(self, node: PeerId, name: str, executed: Executed, record: bytes) -> None:
        """A node has a block on disk."""
        header = executed.block.header
        height = header.number
        block = _Block(executed.hash, header.state_root, record)
        known = self._blocks.setdefault(height, block)
        if known.hash != block.hash:
            self.broken(
                f"agreement: two blocks are final at height {height}, one of them at {name}"
            )
        elif known != block:
            self.broken(f"one block with two records or states at height {height}, at {name}")
        parent = self._blocks.get(height - 1)
        if parent is not None and parent.hash != header.parent_hash:
            self.broken(f"the block at height {height} does not follow the one before, at {name}")
        before = self._heights.get(node, 0)
        if height != before + 1:
            self.broken(f"latest went from {before} to {height} at {name}")
        self._heights[node] = height
        self._conserve(executed)

    def _conserve(self, executed: Executed) -> None:
        """Balances change in sum by what is burnt, and by nothing else."""
        header = executed.block.header
        if header.number != self._supply_height + 1:
            return
        self._supply_height, before = header.number, self._supply
        for address, account in executed.changes.accounts.items():
            balance = 0 if account is None else account.balance
            self._supply += balance - self._balances.get(address, 0)
            self._balances[address] = balance
        burnt = (header.base_fee or 0) * header.gas_used if self._burns else 0
        if self._supply != before - burnt:
            self.broken(f"supply is off by {self._supply - before + burnt} at {header.number}")

    def opened(self, node: PeerId, name: str, ledger: Ledger) -> None:
        """A node opened its ledger again: with all that it announced, perhaps with more."""
        height, before = ledger.height, self._heights.get(node, 0)
        if height < before:
            self.broken(f"latest went back from {before} to {height} when {name} restarted")
        known = self._blocks.get(height)
        if known is not None and known.hash != ledger.head_hash:
            self.broken(f"agreement: two blocks are final at height {height}, one on {name}'s disk")
        self._heights[node] = height

    def wiped(self, node: PeerId) -> None:
        """A node lost its disk, and with it what it announced."""
        self._heights[node] = 0

    # -- receipts ----------------------------------------------------------------------------------

    def answered(self, transaction: Hash, location: Location, name: str) -> None:
        """A client was shown a receipt."""
        known = self.acknowledged.setdefault(transaction, location)
        if known != location:
            self.broken(f"a receipt moved from height {known.height} to {location.height}, {name}")

    # -- the wire ----------------------------------------------------------------------------------

    def sent(self, node: PeerId, message: Message) -> None:
        """A message leaves an honest node."""
        own = self._nodes.get(node)
        if own is None or message is self._last:
            return
        self._last = message
        match message:
            case Votes(votes):
                for data in votes:
                    self._vote(data, own)
            case Proposal(vote, _):
                self._vote(vote, own)
            case Certificates(_, certificates):
                for data in certificates:
                    self._certificate(data, own)
            case Status(finalization=data) if data:
                self._certificate(data, own)
            case Evidence(first, second):
                self._evidence(first, second)
            case _:
                pass

    def _vote(self, data: bytes, own: Address) -> None:
        if data in self._seen:
            return
        try:
            vote = decode_vote(data)
        except Rejected:
            self.broken("an honest node sent a vote that does not decode")
            return
        if vote.signer == own:
            self._seen.add(data)
            self._cast_by(vote)

    def _cast_by(self, vote: Vote) -> None:
        ballot = vote.ballot
        earlier = self._cast[vote.signer, ballot.epoch, ballot.view]
        for other in earlier:
            if _exclude(other, ballot):
                self.broken(f"an honest validator cast {_text(other)} and {_text(ballot)}")
        if ballot not in earlier:
            earlier.append(ballot)
        self._ballots[ballot].add(vote.signer)

    def _certificate(self, data: bytes, own: Address) -> None:
        if data in self._seen:
            return
        self._seen.add(data)
        try:
            certificate = decode_certificate(data)
        except Rejected:
            self.broken("an honest node sent a certificate that does not decode")
            return
        ballot = certificate.ballot
        if self._fixed_set:
            self._weigh(certificate, own)
        at = (ballot.epoch, ballot.view)
        known = self._certified.setdefault((ballot.kind, *at), ballot.block_hash)
        if known != ballot.block_hash:
            self.broken(f"two certificates of one kind: {_text(ballot)}")
        nullified = (VoteKind.NULLIFY, *at) in self._certified
        if nullified and (VoteKind.FINALIZE, *at) in self._certified:
            self.broken(f"view {ballot.view} of epoch {ballot.epoch} is nullified and finalized")

    def _weigh(self, certificate: Certificate, own: Address) -> None:
        """Whoever stands in a certificate has cast that vote, and they are a quorum."""
        ballot, members = certificate.ballot, self._set.validators
        bitmap = int.from_bytes(certificate.signers, "little")
        power = 0
        for index, member in enumerate(members):
            if bitmap >> index & 1:
                power += member.power
                if member.address == own:
                    # Cast before a crash or while nobody listened: this is how it gets out.
                    self._cast_by(Vote(ballot, own, b""))
                honest = member.address in self._validators
                if honest and member.address not in self._ballots[ballot]:
                    self.broken(f"a certificate holds {_text(ballot)}, never cast by its signer")
        if 3 * power <= 2 * self._set.total_power:
            self.broken(f"{_text(ballot)} was certified with power {power}")

    def _evidence(self, first: bytes, second: bytes) -> None:
        for data in (first, second):
            if decode_vote(data).signer in self._validators:
                self.broken("an honest node accuses an honest validator")

    def blamed(self, blamed: Blamed, *, banned: bool) -> None:
        """An honest node counted an offence."""
        if banned and blamed.by in self._nodes and blamed.peer in self._nodes:
            self.broken(f"an honest peer was banned: {blamed.offence.name} {blamed.detail}")

    def raised(self, node: PeerId, error: Exception) -> None:
        """A receiver let an exception through."""
        if node in self._nodes:
            self.broken(f"a receiver raised {error!r}")


def _exclude(one: Ballot, other: Ballot) -> bool:
    """Section 6, written down a second time on purpose."""
    if VoteKind.NULLIFY in (one.kind, other.kind):
        return VoteKind.FINALIZE in (one.kind, other.kind)
    return one.block_hash != other.block_hash


def _text(ballot: Ballot) -> str:
    hexed = ballot.block_hash.hex()[:6]
    return f"{ballot.kind.name}(epoch {ballot.epoch}, view {ballot.view}, {hexed})"
