"""Which announced transactions are still wanted, and whom to ask for them. Sans-IO."""

from collections.abc import Collection, Sequence
from typing import Final

from chain.types import Hash
from node.net.network import PeerId

WANTED_MAX: Final = 32_768
WANTED_PER_PEER_MAX: Final = 8_192
ANNOUNCERS_MAX: Final = 4  # that are remembered per transaction


class _Entry:
    __slots__ = ("announcers", "asked", "size")

    def __init__(self, size: int, announcer: PeerId) -> None:
        self.size = size
        self.announcers = [announcer]  # not yet asked, or being asked
        self.asked: PeerId | None = None


class Wanted:
    """Transactions that were announced and are not here. One peer at a time is asked for each."""

    def __init__(self) -> None:
        self._entries: dict[Hash, _Entry] = {}
        self._queues: dict[PeerId, dict[Hash, None]] = {}  # what each peer could be asked for
        self._fetches: dict[PeerId, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def fetches(self, peer: PeerId) -> int:
        """How many batches this peer is being asked for."""
        return self._fetches.get(peer, 0)

    def add(self, transaction_hash: Hash, size: int, peer: PeerId) -> None:
        """A peer announced it. Beyond the limits it is passed over."""
        queue = self._queues.setdefault(peer, {})
        if len(queue) >= WANTED_PER_PEER_MAX:
            return
        entry = self._entries.get(transaction_hash)
        if entry is None:
            if len(self._entries) >= WANTED_MAX:
                return
            self._entries[transaction_hash] = _Entry(size, peer)
        elif peer in entry.announcers or len(entry.announcers) >= ANNOUNCERS_MAX:
            return
        else:
            entry.announcers.append(peer)
        queue[transaction_hash] = None

    def take(self, peer: PeerId, count_max: int, bytes_max: int) -> tuple[Hash, ...]:
        """The next batch for this peer, oldest first; at least one if there is any."""
        batch: list[Hash] = []
        size = 0
        queue = self._queues.get(peer, {})
        for transaction_hash in list(queue):
            entry = self._entries.get(transaction_hash)
            if entry is None:
                del queue[transaction_hash]
                continue
            if entry.asked is not None:
                continue
            size += entry.size
            if batch and (size > bytes_max or len(batch) == count_max):
                break
            entry.asked = peer
            batch.append(transaction_hash)
            del queue[transaction_hash]
        if batch:
            self._fetches[peer] = self.fetches(peer) + 1
        return tuple(batch)

    def done(
        self, peer: PeerId, batch: Sequence[Hash], delivered: Collection[Hash]
    ) -> list[PeerId]:
        """A batch came to its end; the other peers that can be asked for what is missing."""
        self._end(peer)
        others: dict[PeerId, None] = {}
        for transaction_hash in batch:
            entry = self._entries.get(transaction_hash)
            if entry is None:
                continue
            if transaction_hash in delivered:
                self.drop(transaction_hash)
                continue
            entry.asked = None
            if peer in entry.announcers:
                entry.announcers.remove(peer)
            if not entry.announcers:
                del self._entries[transaction_hash]
            for other in entry.announcers:
                others[other] = None
        return list(others)

    def give_up(self, peer: PeerId, batch: Sequence[Hash]) -> None:
        """A batch was not asked for after all: it goes back to where it was."""
        self._end(peer)
        for transaction_hash in batch:
            entry = self._entries.get(transaction_hash)
            if entry is not None:
                entry.asked = None
                self._queues.setdefault(peer, {})[transaction_hash] = None

    def _end(self, peer: PeerId) -> None:
        left = self.fetches(peer) - 1
        if left > 0:
            self._fetches[peer] = left
        else:
            self._fetches.pop(peer, None)

    def drop(self, transaction_hash: Hash) -> None:
        """It is here, or no longer wanted."""
        entry = self._entries.pop(transaction_hash, None)
        if entry is not None:
            for peer in entry.announcers:
                self._queues.get(peer, {}).pop(transaction_hash, None)

    def forget(self, peer: PeerId) -> list[PeerId]:
        """The peer is gone; the others that can be asked for what was wanted of it.

        Batches that it was being asked for end with `done`, which the caller still owes.
        """
        others: dict[PeerId, None] = {}
        for transaction_hash in self._queues.pop(peer, {}):
            entry = self._entries.get(transaction_hash)
            if entry is None:
                continue
            if peer in entry.announcers:
                entry.announcers.remove(peer)
            if not entry.announcers and entry.asked is None:
                del self._entries[transaction_hash]
            for other in entry.announcers:
                others[other] = None
        return list(others)
