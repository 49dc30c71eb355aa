"""How good the network is: delays, losses, and who can't reach whom."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from msgspec import Struct

from node.net.network import PeerId
from node.simulator.regions import one_way_ms

_RETRANSMIT_S: Final = 0.2  # after a lost packet, doubled each time it is lost again
_RETRANSMITS_MAX: Final = 6

Distance = Callable[[int, int], float]
"""Seconds of a message's way from one node to another, by their numbers."""


class Quality(Struct, frozen=True):
    """Of every link. Chances are per message."""

    jitter_s: float = 0.002  # the mean of what comes on top of the distance, exponential
    loss: float = 0.0  # a packet is sent again, and everything behind it waits
    raw_loss: float = 0.0  # the message is gone: links never do that, nodes bear it all the same
    duplicate: float = 0.0  # the message comes twice
    bytes_per_s: float = 125e6


def flat(delay_s: float) -> Distance:
    """Everybody is equally far from everybody."""
    return lambda source, target: delay_s


def cloud(source: int, target: int) -> float:
    """Node i is in region i mod 10."""
    return one_way_ms(source, target) / 1000


class Weather:
    """Draws each message's fate, and knows which ways are cut."""

    def __init__(self, random: Random, distance: Distance, quality: Quality) -> None:
        self.quality = quality
        self._random = random
        self._distance = distance
        self._numbers: dict[PeerId, int] = {}
        self._cut: set[tuple[PeerId, PeerId]] = set()
        self.slowness: dict[PeerId, float] = {}  # seconds a node takes for each message

    def number(self, peer: PeerId) -> int:
        """Nodes are numbered in the order in which they are first named."""
        return self._numbers.setdefault(peer, len(self._numbers))

    def delay(self, source: PeerId, target: PeerId, size: int) -> float:
        """Seconds until a message of `size` bytes is there."""
        quality, random = self.quality, self._random
        delay = self._distance(self.number(source), self.number(target))
        delay += size / quality.bytes_per_s
        if quality.jitter_s:
            delay += random.expovariate(1 / quality.jitter_s)
        if quality.loss:
            wait = _RETRANSMIT_S
            for _ in range(_RETRANSMITS_MAX):
                if random.random() >= quality.loss:
                    break
                delay += wait
                wait *= 2
        return delay

    def copies(self) -> int:
        """How many times a message arrives: 0, 1 or 2."""
        quality = self.quality
        if quality.raw_loss and self._random.random() < quality.raw_loss:
            return 0
        if quality.duplicate and self._random.random() < quality.duplicate:
            return 2
        return 1

    def open(self, source: PeerId, target: PeerId) -> bool:
        """Whether messages pass this way."""
        return (source, target) not in self._cut

    def cut(self, sources: Iterable[PeerId], targets: Iterable[PeerId]) -> None:
        """Nothing passes from these to those; the other direction stays as it is."""
        sources, targets = list(sources), list(targets)
        self._cut.update((a, b) for a in sources for b in targets if a != b)

    def split(self, groups: Iterable[Iterable[PeerId]]) -> None:
        """Nothing passes between different groups."""
        parts = [list(group) for group in groups]
        for group in parts:
            for other in parts:
                if other is not group:
                    self.cut(group, other)

    def heal(self) -> None:
        """Everything passes again."""
        self._cut.clear()
