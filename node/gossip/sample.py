"""A fair choice of a few out of a stream whose length nobody knows."""

from random import Random
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Sample(Generic[Item]):
    """At most `most` of what was put in since the last `take`, each as likely as the other."""

    def __init__(self, most: int, random: Random) -> None:
        self._most = most
        self._random = random
        self._kept: list[Item] = []
        self._seen = 0

    def put(self, item: Item) -> None:
        self._seen += 1
        if len(self._kept) < self._most:
            self._kept.append(item)
            return
        place = self._random.randrange(self._seen)
        if place < self._most:
            self._kept[place] = item

    def take(self) -> list[Item]:
        """What was chosen; the next choice begins."""
        kept, self._kept, self._seen = self._kept, [], 0
        return kept
