"""A light cluster: cores, signers and vote logs on simulated disks, in a world of chance.

Timers fire at almost any moment, messages are lost, late, doubled and reordered, members
crash, and some of them lie. A seed takes some tens of milliseconds, so that thousands
can be run for each planted bug.
"""

import heapq
from collections.abc import Callable
from functools import cache
from random import Random

from msgspec import Struct

from chain import validators
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.errors import Fault
from chain.types import Hash
from chain.validators import Domain, Validator
from node.simulator.disk import Disk, DiskFaults
from node.simulator.trace import Trace
from tests.simulation.core_liar import Liar
from tests.simulation.core_member import Member, Parcel, Rules
from tests.simulation.core_watch import Verifier, Violation, Watch

_CHAOS_US = 600_000
_HEALING_US = 8_000_000
_PARCELS_MAX = 4_000  # on their way; what is more is lost


class Outcome(Struct, frozen=True):
    """What a run came to."""

    seed: int
    violation: str | None
    heights: tuple[int, ...]
    events: int
    digest: str


@cache
def _key(number: int) -> bytes:
    return keccak(b"simulated validator" + bytes((number,)))


class CoreCluster:
    """One run. Everything in it follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trace = Trace()
        self.now = 0
        self._random = random = Random(f"{seed}/world")
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._flying = 0
        self._healed = False
        # Three equal members, one of them a liar, is a third of the power exactly:
        # too many to go on without it, not enough to be wrong (section 1).
        powers, lying = random.choice(
            (([1] * 4, {0}), ([1] * 4, {1}), ([1] * 3, {0}), ([1] * 4, set[int]()),
             ([2, 1, 1, 1, 1], {0}), ([1] * 6, {0, 1}), ([5, 3, 3, 2, 2, 1, 1], {0}))
        )  # fmt: skip
        keys = [_key(number) for number in range(len(powers))]
        members = validators.validator_set(
            [Validator(secp256k1.address_of(key), power) for key, power in zip(keys, powers)]
        )
        self._rules = Rules(
            members,
            Domain(7, Hash(keccak(b"genesis"))),
            random.choice((0, 0, 1, 2, 3)),
            random.choice((3_000, 10_000, 30_000)),
        )
        self._loss = random.choice((0.0, 0.05, 0.3))
        self._delay_us = random.choice((1_000, 8_000, 30_000))
        self._crashes = random.random() < 0.6
        self._parts: set[int] | None = None
        honest = frozenset(
            secp256k1.address_of(key) for n, key in enumerate(keys) if n not in lying
        )
        self._watch = Watch(members, honest)
        verifier = Verifier(members, self._rules.domain)
        faults = DiskFaults(eio=random.choice((0.0, 0.0, 0.01)))
        self.members = {
            number: Member(
                number, key, self._rules, self, self._watch, verifier,
                Random(f"{seed}/member/{number}"),
                Disk(Random(f"{seed}/disk/{number}"), faults),
            )
            for number, key in enumerate(keys)
            if number not in lying
        }  # fmt: skip
        self.liars = {
            number: Liar(number, keys[number], self._rules, self, Random(f"{seed}/liar/{number}"))
            for number in sorted(lying)
        }
        power = sum(powers[number] for number in self.members)
        self._can_go_on = members.quorum(power)

    # -- the world as members see it ---------------------------------------------------------------

    def send(self, source: int, target: int, parcel: Parcel) -> None:
        random = self._random
        if self._flying >= _PARCELS_MAX:
            return
        parts = self._parts
        if parts is not None and (source in parts) != (target in parts) and random.random() < 0.97:
            return
        if not self._healed and random.random() < self._loss:
            return
        copies = 2 if not self._healed and random.random() < 0.03 else 1
        for _ in range(copies):
            self._flying += 1
            delay = int(random.expovariate(1 / self._delay_us)) if not self._healed else 500
            self._at(self.now + 1 + delay, lambda: self._arrive(source, target, parcel))

    def broadcast(self, source: int, parcel: Parcel) -> None:
        for target in (*self.members, *self.liars):
            if target != source:
                self.send(source, target, parcel)

    def later(self, member: Member, low: int, high: int, act: Callable[[], None]) -> None:
        life = member.life

        def still() -> None:
            if member.alive and member.life == life:
                self._guarded(member, act)

        # Before healing a timer may also fire out of all proportion.
        if not self._healed and self._random.random() < 0.1:
            low = 0
        at = high if self._healed else self._random.randint(low, max(low, high))
        self._at(self.now + at, still)

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Chaos, then quiet in which the honest must get on."""
        violation = None
        try:
            for member in self.members.values():
                self._guarded(member, member.start)
            for liar in self.liars.values():
                self._at(1, lambda liar=liar: self._lie(liar))  # type: ignore[misc]
            self._at(5_000, self._misfortune)
            self._until(_CHAOS_US, lambda: False)
            self._heal()
            if self._can_go_on:
                goal = max(member.height for member in self.members.values()) + 2
                if not self._until(self.now + _HEALING_US, lambda: self._all_at(goal)):
                    raise Violation(f"no progress to height {goal} after healing")
        except Violation as found:
            violation = str(found)
        heights = tuple(member.height for member in self.members.values())
        return Outcome(self.seed, violation, heights, self.trace.events, self.trace.digest)

    def _all_at(self, height: int) -> bool:
        return all(member.height >= height for member in self.members.values())

    def _until(self, end: int, done: Callable[[], bool]) -> bool:
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heapq.heappop(self._events)
            act()
            if done():
                return True
        self.now = max(self.now, end)
        return False

    def _at(self, when: int, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, act))

    def _arrive(self, source: int, target: int, parcel: Parcel) -> None:
        self._flying -= 1
        liar = self.liars.get(target)
        if liar is not None:
            liar.hear(parcel)
            return
        member = self.members[target]
        if member.alive:
            name = type(parcel).__name__
            self.trace.add(self.now / 1e6, str(target), f"{name} of {source} {member.height}")
            self._guarded(member, lambda: member.receive(parcel))

    def _guarded(self, member: Member, act: Callable[[], None]) -> None:
        """A fault ends the process; it must have had the disk for a reason."""
        failures = member.disk.failures
        try:
            act()
        except Fault as fault:
            if member.disk.failures == failures:
                raise Violation(f"member {member.number} faults: {fault}") from fault
            self._crash(member)

    def _crash(self, member: Member) -> None:
        self.trace.add(self.now / 1e6, str(member.number), "crash")
        member.crash()
        pause = 2_000 if self._healed else self._random.randint(1_000, 120_000)
        self._at(self.now + pause, lambda: self._restart(member))

    def _restart(self, member: Member) -> None:
        if not member.alive:
            self.trace.add(self.now / 1e6, str(member.number), "restart")
            self._guarded(member, member.start)

    def _misfortune(self) -> None:
        if self._healed:
            return
        random = self._random
        draw = random.random()
        if draw < 0.25:
            everybody = [*self.members, *self.liars]
            self._parts = None if self._parts else {n for n in everybody if random.random() < 0.5}
        elif draw < 0.5 and self._crashes:
            alive = [member for member in self.members.values() if member.alive]
            if alive:
                self._crash(random.choice(alive))
        self._at(self.now + random.randint(1_000, 40_000), self._misfortune)

    def _lie(self, liar: Liar) -> None:
        if not self._healed:
            liar.act()
            self._at(self.now + self._random.randint(500, 8_000), lambda: self._lie(liar))

    def _heal(self) -> None:
        self._healed = True
        self._parts = None
        for member in self.members.values():
            member.disk.faults = DiskFaults()
            self._restart(member)


def run(seed: int) -> Outcome:
    """One seed."""
    return CoreCluster(seed).run()
