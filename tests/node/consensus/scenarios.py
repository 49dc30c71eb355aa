"""Scenarios for clusters: lists of steps that can be drawn, replayed and made shorter.

A step is four numbers that mean something in every state: take the nth message in flight,
crash the nth member, ... So leaving out steps leaves a scenario.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

from chain.types import Address
from chain.validators import Ballot, Domain, Vote
from node.consensus import signer as signer_module
from node.consensus.messages import AdvanceTimeout, LeaderTimeout, ProposalDue, Standstill
from tests.node.consensus.cluster import Cluster, Setting
from tests.node.consensus.liar import misbehave
from tests.node.consensus.member import Rules
from tests.node.consensus.world import signature

Step = tuple[int, int, int, int]

_STEPS: Final = 320
_NUMBER_MAX: Final = 2**30

_ONE = frozenset((0,))
SETTINGS: Final = (
    Setting(((1, 1, 1, 1),), _ONE),
    Setting(((1, 1, 1, 1),), _ONE, epoch_length=2),
    Setting(((1, 1, 1),), _ONE, live=False),  # exactly a third: safe, and no more
    Setting(((1, 1, 1, 1),)),
    Setting(((5, 3, 3, 2, 2, 1, 1),), _ONE),
    Setting(((1, 1, 1, 1, 0), (1, 1, 1, 0, 1), (1, 1, 0, 1, 1)), _ONE, epoch_length=2),
    Setting(((1,),), epoch_length=3),
)


def perform(cluster: Cluster, step: Step) -> None:
    kind, a, b, c = step
    members = list(cluster.members.values())
    member = members[a % len(members)]
    match kind:
        case 0 | 1:
            for offset in range(1 + b % 4 if kind else 1):
                if cluster.flight:
                    cluster.take(a + offset * c, keep=c % 8 == 0)
        case 2:
            if cluster.flight and cluster.flight[index := a % len(cluster.flight)].life is None:
                cluster.flight[index] = cluster.flight[-1]
                cluster.flight.pop()
        case 3:
            for member in members:
                member.feed(ProposalDue(member.core.view))
        case 4:  # now and then a timer that nobody stopped
            member.feed(AdvanceTimeout(member.core.view - (b % 4 == 0)))
        case 5:
            member.feed(LeaderTimeout(member.core.view))
        case 6:
            member.feed(Standstill())
        case 7:
            if b % 3 == 0:
                member.file.cut = c
            else:
                member.crash()
        case 8:
            for member in members:
                member.restart()
        case 9:
            cluster.group = None if cluster.group else {w for w in cluster.members if b >> w & 1}
        case 10:
            member.sync_from(members[b % len(members)])
        case _:
            for who in sorted(cluster.setting.byzantine):
                misbehave(cluster, who, a, b, c)


_WEIGHTS: Final = (40, 60, 4, 10, 6, 3, 3, 2, 4, 1, 1, 22)


def draw_steps(random: Random, count: int = _STEPS) -> list[Step]:
    """A scenario; each draws its own temper, from calm to wild."""
    weights = list(_WEIGHTS)
    weights[2] = random.choice((0, 4, 30))  # drops
    weights[4] = random.choice((2, 6, 14))  # timeouts
    weights[7] = random.choice((0, 2, 6))  # crashes
    weights[9] = random.choice((0, 1, 3))  # partitions
    weights[11] = random.choice((8, 22, 50))  # misbehaviour
    kinds = random.choices(range(len(weights)), weights, k=count)
    draw = random.randrange
    return [(kind, draw(_NUMBER_MAX), draw(_NUMBER_MAX), draw(_NUMBER_MAX)) for kind in kinds]


@contextmanager
def quick_signatures() -> Iterator[None]:
    """Hashes in place of signatures; a key is its owner's address."""

    def sign(ballot: Ballot, domain: Domain, private_key: bytes, signer: Address) -> Vote:
        return Vote(ballot, signer, signature(ballot, signer))

    with (
        patch.object(signer_module, "sign_ballot", sign),
        patch.object(signer_module, "secp256k1", SimpleNamespace(address_of=Address)),
    ):
        yield


def play(
    setting: Setting, steps: Sequence[Step], rules: Rules | None = None, *, live: bool = True
) -> Cluster:
    """Play a scenario; Violation when it shows what must never be."""
    with quick_signatures():
        cluster = Cluster(setting, rules)
        for step in steps:
            perform(cluster, step)
        if live and setting.live:
            cluster.heal(Random(len(steps)))
    return cluster


def scenario(seed: int) -> tuple[Setting, list[Step]]:
    random = Random(seed)
    return SETTINGS[seed % len(SETTINGS)], draw_steps(random)


def shrink(fails: Callable[[Sequence[Step]], bool], steps: list[Step]) -> list[Step]:
    """A shorter scenario that still fails: no step of it can be left out."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            if fails(shorter):
                steps = shorter
            else:
                at += size
        size //= 2
    return steps
