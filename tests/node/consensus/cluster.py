"""Cores with their signers and vote logs, and a network without mercy between them.

The clusters stand between the tests of single rules and the simulation of whole nodes:
no execution, no clock, signatures that are only hashes; a few milliseconds per scenario.
"""

from random import Random

from msgspec import Struct

from chain.types import Hash
from chain.validators import Certificate
from node.consensus.core import Epoch
from node.consensus.messages import AdvanceTimeout, Event, Proposal, ProposalDue, Standstill
from tests.node.consensus.member import Entry, Lines, Member, Rules
from tests.node.consensus.watch import Violation, Watch
from tests.node.consensus.world import GENESIS, epoch, signature


class Setting(Struct, frozen=True):
    """Who takes part. `powers` by epoch, repeated; member numbers are positions."""

    powers: tuple[tuple[int, ...], ...]
    byzantine: frozenset[int] = frozenset()
    epoch_length: int = 0
    live: bool = True  # whether the honest alone are a quorum, so that progress can be asked for


class Cluster:
    """All members, what is in flight between them, and what was seen of them."""

    def __init__(self, setting: Setting, rules: Rules | None = None) -> None:
        self.setting = setting
        self.rules = rules or Rules()
        self.flight: list[Lines] = []
        self.group: set[int] | None = None  # one side of a partition
        self.proposals: list[tuple[int, Proposal]] = []  # with their epochs
        self.invalid: set[Hash] = set()
        self.seeds: dict[int, Hash] = {0: GENESIS}  # the last block before each epoch
        self.epochs: dict[int, Epoch] = {}
        self.watch = Watch(setting.byzantine)
        count = len(setting.powers[0])
        self.members = {
            who: Member(who, self) for who in range(count) if who not in setting.byzantine
        }

    # -- epochs ------------------------------------------------------------------------------------

    def epoch_after(self, last: Entry) -> Epoch:
        """The epoch of the block after this one."""
        length = self.setting.epoch_length
        number = last.base.height // length if length else 0
        if number not in self.epochs:
            powers = self.setting.powers[number % len(self.setting.powers)]
            seed = last.base.block_hash
            self.seeds[number] = seed
            plain = epoch(powers, number, (number + 1) * length if length else None)
            self.epochs[number] = Epoch(number, plain.validators, seed, plain.last_height)
        return self.epochs[number]

    def checks(self, certificate: Certificate) -> bool:
        """What the driver does before a certificate reaches the core."""
        rules = self.epochs.get(certificate.ballot.epoch)
        if rules is None:
            return False
        members = rules.validators.validators
        bitmap = int.from_bytes(certificate.signers, "little")
        signers = [member for i, member in enumerate(members) if bitmap >> i & 1]
        if len(signers) != len(certificate.signatures):
            return False
        if not rules.validators.quorum(sum(member.power for member in signers)):
            return False
        return all(
            given == signature(certificate.ballot, member.address)
            for given, member in zip(certificate.signatures, signers, strict=True)
        )

    # -- the network -------------------------------------------------------------------------------

    def send(self, source: int, target: int, payload: object) -> None:
        if target in self.members:
            self.flight.append(Lines(source, target, payload))

    def broadcast(self, source: int, payload: object) -> None:
        for target in self.members:
            if target != source:
                self.flight.append(Lines(source, target, payload))

    def take(self, index: int, keep: bool = False) -> None:
        """Deliver one message in flight, unless a partition or a crash is in the way."""
        index %= len(self.flight)
        line = self.flight[index]
        if self.group is not None and (line.source in self.group) != (line.target in self.group):
            return
        if not keep or line.life is not None:
            self.flight[index] = self.flight[-1]
            self.flight.pop()
        member = self.members[line.target]
        if not member.up or (line.life is not None and line.life != member.life):
            return
        if line.life is not None:
            assert isinstance(line.payload, Event)
            member.feed(line.payload)
        else:
            member.receive(line.source, line.payload)

    # -- after the storm ---------------------------------------------------------------------------

    def heal(self, random: Random) -> None:
        """The network is good again: everybody must go on together, and soon."""
        self.group = None
        for member in self.members.values():
            member.restart()
        goal = max(len(member.ledger) for member in self.members.values()) + 3
        for turn in range(60):
            self.settle(random)
            if min(len(member.ledger) for member in self.members.values()) >= goal:
                return
            for member in self.members.values():
                member.restart()
                member.feed(ProposalDue(member.core.view))
            self.settle(random)
            if turn % 2:
                self.catch_up()
                for member in self.members.values():
                    member.feed(AdvanceTimeout(member.core.view))
                    member.feed(Standstill())
        raise Violation("no progress after healing: " + self.describe())

    def settle(self, random: Random) -> None:
        for _ in range(20_000):
            if not self.flight:
                return
            self.take(random.randrange(len(self.flight)))
        raise Violation("messages without end: " + self.describe())

    def catch_up(self) -> None:
        """Statuses with their certificates, and sync where the gap is wide."""
        best = max(self.members.values(), key=lambda member: len(member.ledger))
        for member in self.members.values():
            gap = len(best.ledger) - len(member.ledger)
            if gap > 3 or best.core.epoch.number != member.core.epoch.number:
                member.sync_from(best)
            elif gap:
                for held in best.core.entry():
                    self.send(best.who, member.who, held)

    def describe(self) -> str:
        return ", ".join(
            f"{who}: epoch {m.core.epoch.number} view {m.core.view} height {len(m.ledger)}"
            for who, m in self.members.items()
        )
