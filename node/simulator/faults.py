"""What goes wrong in a run, when, and that it ends: before the end everything is healed."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from chain.errors import Reason, Rejected
from node.simulator.disk import DiskFaults
from node.simulator.weather import Quality

NAMES: Final = (
    "crash", "restart-all", "wipe", "partition", "asymmetric", "reset", "loss", "raw-loss",
    "duplicate", "slow", "skew", "disk",
)  # fmt: skip
_SKEW_MAX_S: Final = 0.3  # a header may be half a second ahead of a clock (section 3)


class Faults(Struct, frozen=True):
    """Which kinds of fault a run has, and how often one of the sudden kinds happens."""

    kinds: frozenset[str] = frozenset()
    pause_s: float = 2.0  # the mean between two

    def quality(self, random: Random, jitter_s: float) -> Quality:
        """Of the links while the faults last."""
        return Quality(
            jitter_s=jitter_s,
            loss=random.choice((0.01, 0.05)) if "loss" in self.kinds else 0.0,
            raw_loss=random.choice((0.005, 0.02)) if "raw-loss" in self.kinds else 0.0,
            duplicate=0.02 if "duplicate" in self.kinds else 0.0,
        )

    def disk(self) -> DiskFaults:
        """Of every disk while the faults last."""
        return DiskFaults(eio=0.002, enospc=0.002) if "disk" in self.kinds else DiskFaults()

    def bearable(self, validators: int, liars: int) -> "Faults":
        """These without what leaves no quorum for long: a wiped validator is silent for an
        epoch, and counts with the liars as one of those that may fail.
        """
        if 3 * (liars + 1) < validators:
            return self
        return replace(self, kinds=self.kinds - {"wipe"})

    def skew(self, random: Random) -> float:
        """Seconds by which a node's clock is wrong, for good."""
        return random.uniform(-_SKEW_MAX_S, _SKEW_MAX_S) / 2 if "skew" in self.kinds else 0.0


def parse_faults(text: str) -> Faults:
    """`all`, `none`, or names with commas between; Rejected(BAD_SETTING) for others."""
    if text == "none":
        return Faults()
    if text == "all":
        return Faults(frozenset(NAMES))
    kinds = frozenset(name.strip() for name in text.split(","))
    unknown = sorted(kinds - set(NAMES))
    if unknown:
        names = ", ".join(NAMES)
        raise Rejected(Reason.BAD_SETTING, f"--faults: no {unknown[0]!r}; all, none, or of {names}")
    return Faults(kinds)


class Victims(Protocol):
    """The cluster as faults see it: honest nodes by their numbers."""

    @property
    def size(self) -> int: ...
    def crash(self, number: int) -> None: ...
    def restart(self, number: int) -> None: ...
    def wipe(self, number: int) -> None: ...
    def split(self, groups: Sequence[Sequence[int]]) -> None: ...
    def cut(self, sources: Sequence[int], targets: Sequence[int]) -> None: ...
    def heal_network(self) -> None: ...
    def reset(self, first: int, second: int) -> None: ...
    def slow(self, number: int, seconds: float) -> None: ...


class Misfortune:
    """Lets sudden faults happen to a cluster, one after the other, until it is cancelled."""

    def __init__(self, faults: Faults, victims: Victims, random: Random) -> None:
        self._random = random
        self._victims = victims
        self._pause_s = faults.pause_s
        actions: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "restart-all": self._restart_all,
            "wipe": self._wipe,
            "partition": self._partition,
            "asymmetric": self._asymmetric,
            "reset": self._reset,
            "slow": self._slow,
        }
        # In the order of NAMES, so that the same seed draws the same faults.
        self._actions = [actions[name] for name in NAMES if name in faults.kinds & set(actions)]
        self._wiped = False

    async def run(self) -> None:
        while self._actions:
            await asyncio.sleep(self._random.expovariate(1 / self._pause_s))
            self._random.choice(self._actions)()

    def _later(self, low: float, high: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self._random.uniform(low, high), act)

    def _some(self) -> list[int]:
        """A minority of the nodes, or one of two."""
        numbers = list(range(self._victims.size))
        count = self._random.randint(1, max(1, (len(numbers) - 1) // 3))
        return self._random.sample(numbers, count)

    def _crash(self) -> None:
        for number in self._some():
            self._victims.crash(number)
            self._later(0.1, 4.0, lambda number=number: self._victims.restart(number))  # type: ignore[misc]

    def _restart_all(self) -> None:
        for number in range(self._victims.size):
            self._victims.crash(number)
            self._later(0.1, 2.0, lambda number=number: self._victims.restart(number))  # type: ignore[misc]

    def _wipe(self) -> None:
        if self._wiped:
            return  # one at most: a wiped validator must not be one of many
        self._wiped = True
        number = self._random.randrange(self._victims.size)
        self._victims.crash(number)
        self._victims.wipe(number)
        self._later(0.1, 2.0, lambda: self._victims.restart(number))

    def _partition(self) -> None:
        numbers = list(range(self._victims.size))
        self._random.shuffle(numbers)
        at = self._random.randint(1, max(1, len(numbers) - 1))
        self._victims.split((numbers[:at], numbers[at:]))
        self._later(0.2, 6.0, self._victims.heal_network)

    def _asymmetric(self) -> None:
        some = self._some()
        others = [number for number in range(self._victims.size) if number not in some]
        pair = (some, others) if self._random.random() < 0.5 else (others, some)
        self._victims.cut(*pair)
        self._later(0.2, 6.0, self._victims.heal_network)

    def _reset(self) -> None:
        if self._victims.size > 1:
            first, second = self._random.sample(range(self._victims.size), 2)
            self._victims.reset(first, second)

    def _slow(self) -> None:
        number = self._random.randrange(self._victims.size)
        self._victims.slow(number, self._random.uniform(0.001, 0.02))
        self._later(1.0, 5.0, lambda: self._victims.slow(number, 0.0))
