"""Transactions that wait for a block: one lane of nonces per sender, limits on everything.

A lane holds what its sender may send next. The unbroken run of nonces from the account's
own is *pending*; what comes after a gap is *queued*. Priority is the effective tip, in
nonce order within a lane. The pool reads the head's state when a lane opens and is told
the new one after each block. One owner: the event loop's thread.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from chain.blobs import BlobSidecar
from chain.errors import Reason, Rejected
from chain.execution import Executed
from chain.forks import GAS_PER_BLOB
from chain.state import StateView
from chain.transactions import Checked
from chain.transition import delegate_of
from chain.types import EMPTY_CODE_HASH, Address, Hash
from node.settings import PoolSettings

_STALE_MAX: Final = 1024  # entries of the price heap that may be gone before it is rebuilt


class _Entry(Struct, frozen=True, gc=False):
    checked: Checked
    sidecar: BlobSidecar | None
    cost: int  # wei that the sender must have in the worst case
    size: int  # bytes
    order: int  # of arrival


class _Lane:
    """What one sender has in the pool."""

    __slots__ = ("balance", "cost", "entries", "next", "nonce")

    def __init__(self, nonce: int, balance: int) -> None:
        self.nonce = nonce  # the account's
        self.balance = balance
        self.next = nonce  # the first nonce that is missing
        self.cost = 0  # of all entries
        self.entries: dict[int, _Entry] = {}

    def from_tail(self, index: int) -> _Entry:
        """The entry with the highest nonce (0), the one before it (1), ..."""
        if len(self.entries) == self.next - self.nonce:
            return self.entries[self.next - 1 - index]
        return self.entries[sorted(self.entries)[-1 - index]]


def sidecar_size(sidecar: BlobSidecar) -> int:
    """Bytes that a blob transaction's sidecar holds in memory."""
    return sum(map(len, (*sidecar.blobs, *sidecar.commitments, *sidecar.proofs)))


class Mempool:
    """The pool. `view` is the head's state, `gas_limit` the head's."""

    def __init__(self, settings: PoolSettings, view: StateView, gas_limit: int) -> None:
        self._settings = settings
        self._view = view
        self._gas_limit = gas_limit
        self._lanes: dict[Address, _Lane] = {}
        self._by_hash: dict[Hash, _Entry] = {}
        self._cheapest: list[tuple[int, int, Hash]] = []  # (tip, -order, hash); may be stale
        self._arrivals = 0
        self._bytes = 0
        self._pending = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self._by_hash

    # -- in ----------------------------------------------------------------------------------------

    def add(self, checked: Checked, sidecar: BlobSidecar | None = None) -> None:
        """Pool a transaction, or raise `Rejected` and leave the pool as it was.

        Reasons: ALREADY_KNOWN, TOO_LARGE, BLOCK_GAS_EXCEEDED, UNDERPRICED, NONCE_TOO_LOW,
        NONCE_TOO_HIGH (beyond the gap allowed), SENDER_NOT_EOA, INSUFFICIENT_FUNDS,
        REPLACEMENT_UNDERPRICED, SENDER_LIMIT, POOL_FULL. A fee cap below the current base
        fee is no reason: the base fee may fall.
        """
        transaction, sender = checked.transaction, checked.sender
        settings = self._settings
        if transaction.hash in self._by_hash:
            raise Rejected(Reason.ALREADY_KNOWN)
        size = len(transaction.raw)
        if size > settings.transaction_bytes_max:
            raise Rejected(
                Reason.TOO_LARGE,
                f"transaction size {size}, limit {settings.transaction_bytes_max}",
            )
        if sidecar is not None:
            size += sidecar_size(sidecar)
        if transaction.gas_limit > self._gas_limit:
            raise Rejected(
                Reason.BLOCK_GAS_EXCEEDED, f"{transaction.gas_limit} > {self._gas_limit}"
            )
        if transaction.max_priority_fee < settings.tip_min:
            raise Rejected(
                Reason.UNDERPRICED,
                f"gas tip cap {transaction.max_priority_fee}, minimum needed {settings.tip_min}",
            )
        lane = self._lanes.get(sender) or self._open_lane(sender)
        nonce = transaction.nonce
        if nonce < lane.nonce:
            raise Rejected(Reason.NONCE_TOO_LOW, f"next nonce {lane.nonce}, tx nonce {nonce}")
        if nonce > lane.next + settings.nonce_gap_max:
            raise Rejected(Reason.NONCE_TOO_HIGH, f"next nonce {lane.next}, tx nonce {nonce}")
        cost = transaction.value + transaction.gas_limit * transaction.max_fee
        if transaction.blob_hashes:
            cost += len(transaction.blob_hashes) * GAS_PER_BLOB * transaction.max_blob_fee
        old = lane.entries.get(nonce)
        self._check_funds(lane, cost, old)
        if old is not None:
            self._check_replacement(checked, old)
        elif len(lane.entries) >= settings.sender_transactions_max:
            raise Rejected(
                Reason.SENDER_LIMIT,
                f"{len(lane.entries)} transactions of 0x{sender.hex()} are waiting",
            )
        entry = _Entry(checked, sidecar, cost, size, self._arrivals)
        self._make_room(entry, lane, old)

        self._arrivals += 1
        if old is not None:
            self._forget(lane, old)
        self._lanes[sender] = lane
        lane.entries[nonce] = entry
        lane.cost += cost
        self._by_hash[transaction.hash] = entry
        self._bytes += size
        if nonce == lane.next:
            while lane.next in lane.entries:
                lane.next += 1
            self._pending += lane.next - nonce
        heapq.heappush(
            self._cheapest, (transaction.max_priority_fee, -entry.order, transaction.hash)
        )

    def _open_lane(self, sender: Address) -> _Lane:
        account = self._view.account(sender)
        if account is None:
            return _Lane(0, 0)
        if account.code_hash != EMPTY_CODE_HASH:
            code = self._view.code(account.code_hash)
            if delegate_of(code) is None:
                raise Rejected(
                    Reason.SENDER_NOT_EOA, f"address 0x{sender.hex()}, len(code): {len(code)}"
                )
        return _Lane(account.nonce, account.balance)

    def _check_funds(self, lane: _Lane, cost: int, old: _Entry | None) -> None:
        """The sender can pay for this and for everything else it has waiting."""
        if cost > lane.balance:
            raise Rejected(
                Reason.INSUFFICIENT_FUNDS,
                f"balance {lane.balance}, tx cost {cost}, overshot {cost - lane.balance}",
            )
        queued = lane.cost - (old.cost if old else 0)
        if queued + cost > lane.balance:
            raise Rejected(
                Reason.INSUFFICIENT_FUNDS,
                f"balance {lane.balance}, queued cost {queued}, tx cost {cost}, "
                f"overshot {queued + cost - lane.balance}",
            )

    def _check_replacement(self, checked: Checked, old: _Entry) -> None:
        """A replacement raises every fee field by the percentage set."""
        new, before = checked.transaction, old.checked.transaction
        percent = 100 + self._settings.replacement_percent
        for offered, present in (
            (new.max_fee, before.max_fee),
            (new.max_priority_fee, before.max_priority_fee),
            (new.max_blob_fee, before.max_blob_fee),
        ):
            if offered * 100 < present * percent:
                raise Rejected(
                    Reason.REPLACEMENT_UNDERPRICED,
                    f"nonce {new.nonce}: {offered} offered, {-(-present * percent // 100)} needed",
                )

    def _make_room(self, entry: _Entry, lane: _Lane, old: _Entry | None) -> None:
        """Evict the lowest tips until the limits hold; POOL_FULL when `entry` pays no more."""
        settings = self._settings
        count = len(self._by_hash) + 1 - (old is not None)
        size = self._bytes + entry.size - (old.size if old else 0)
        if count <= settings.transactions_max and size <= settings.bytes_max:
            return
        tip = entry.checked.transaction.max_priority_fee
        victims: list[Hash] = []
        taken: dict[Address, int] = {}  # how many of a sender's last ones go
        for victim_tip, _, victim_hash in self._cheapest_first():
            sender = self._by_hash[victim_hash].checked.sender
            if victim_tip >= tip:
                break
            if sender == entry.checked.sender:
                continue
            # The lane's tail goes in the victim's place, so that what stays keeps its turn.
            tail = self._lanes[sender].from_tail(taken.get(sender, 0))
            taken[sender] = taken.get(sender, 0) + 1
            victims.append(tail.checked.transaction.hash)
            count, size = count - 1, size - tail.size
            if count <= settings.transactions_max and size <= settings.bytes_max:
                break
        if count > settings.transactions_max or size > settings.bytes_max:
            raise Rejected(
                Reason.POOL_FULL, f"{len(self._by_hash)} transactions, {self._bytes} bytes"
            )
        for victim_hash in victims:
            self.drop(victim_hash)

    def _cheapest_first(self) -> Iterator[tuple[int, int, Hash]]:
        """The live entries of the price heap from the lowest tip on; the heap is kept."""
        heap = self._cheapest
        if len(heap) > len(self._by_hash) + _STALE_MAX:
            heap[:] = [item for item in heap if item[2] in self._by_hash]
            heapq.heapify(heap)
        while heap and heap[0][2] not in self._by_hash:
            heapq.heappop(heap)
        # Victims are few: walk the heap from its root, smallest first.
        frontier = [(heap[0], 0)] if heap else []
        while frontier:
            item, index = heapq.heappop(frontier)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heapq.heappush(frontier, (heap[child], child))
            if item[2] in self._by_hash:
                yield item

    # -- out ---------------------------------------------------------------------------------------

    def _forget(self, lane: _Lane, entry: _Entry) -> None:
        transaction = entry.checked.transaction
        del lane.entries[transaction.nonce]
        del self._by_hash[transaction.hash]
        lane.cost -= entry.cost
        self._bytes -= entry.size

    def drop(self, transaction_hash: Hash) -> None:
        """Remove a transaction if it is there; later nonces of its sender become queued."""
        entry = self._by_hash.get(transaction_hash)
        if entry is None:
            return
        sender = entry.checked.sender
        lane = self._lanes[sender]
        self._forget(lane, entry)
        nonce = entry.checked.transaction.nonce
        if nonce < lane.next:
            self._pending -= lane.next - nonce
            lane.next = nonce
        if not lane.entries:
            del self._lanes[sender]

    def advance(self, view: StateView, gas_limit: int, executed: Executed) -> None:
        """Follow the chain to the block `executed`, whose state is `view`.

        Removes what was included or can no longer be: nonces used up, costs above the
        balance, gas above the limit, senders that became contracts.
        """
        self._view = view
        if gas_limit < self._gas_limit:
            for entry in list(self._by_hash.values()):
                if entry.checked.transaction.gas_limit > gas_limit:
                    self.drop(entry.checked.transaction.hash)
        self._gas_limit = gas_limit
        accounts = executed.changes.accounts
        lanes = self._lanes
        if len(lanes) < len(accounts):
            touched = [address for address in lanes if address in accounts]
        else:
            touched = [address for address in accounts if address in lanes]
        for address in touched:
            self._refresh(address, lanes[address])
        if len(self._cheapest) > 2 * len(self._by_hash) + _STALE_MAX:
            self._cheapest = [item for item in self._cheapest if item[2] in self._by_hash]
            heapq.heapify(self._cheapest)

    def _refresh(self, address: Address, lane: _Lane) -> None:
        self._pending -= lane.next - lane.nonce
        fresh: _Lane | None
        try:
            fresh = self._open_lane(address)
        except Rejected:  # the sender became a contract
            fresh = None
        if fresh is None:
            gone = list(lane.entries)
        elif lane.nonce <= fresh.nonce <= lane.next:
            gone = list(range(lane.nonce, fresh.nonce))
        else:
            gone = [nonce for nonce in lane.entries if nonce < fresh.nonce]
        for nonce in gone:
            self._forget(lane, lane.entries[nonce])
        if not lane.entries or fresh is None:
            del self._lanes[address]
            return
        lane.next = max(lane.next, fresh.nonce)
        lane.nonce, lane.balance = fresh.nonce, fresh.balance
        while lane.next in lane.entries:
            lane.next += 1
        if lane.cost > lane.balance:
            for nonce, entry in list(lane.entries.items()):
                if entry.cost > lane.balance:
                    self._forget(lane, entry)
                    lane.next = min(lane.next, nonce)
        if lane.entries:
            self._pending += lane.next - lane.nonce
        else:
            del self._lanes[address]

    # -- questions ---------------------------------------------------------------------------------

    def get(self, transaction_hash: Hash) -> Checked | None:
        entry = self._by_hash.get(transaction_hash)
        return None if entry is None else entry.checked

    def sidecar(self, transaction_hash: Hash) -> BlobSidecar | None:
        """The blobs of a pooled blob transaction."""
        entry = self._by_hash.get(transaction_hash)
        return None if entry is None else entry.sidecar

    def next_nonce(self, address: Address) -> int:
        """The nonce that the sender's next transaction should have."""
        lane = self._lanes.get(address)
        if lane is not None:
            return lane.next
        account = self._view.account(address)
        return 0 if account is None else account.nonce

    def status(self) -> tuple[int, int]:
        """How many transactions are pending and queued."""
        return self._pending, len(self._by_hash) - self._pending

    def pending(self) -> dict[Address, list[Checked]]:
        """What could run now, by sender in nonce order."""
        return {
            address: [lane.entries[nonce].checked for nonce in range(lane.nonce, lane.next)]
            for address, lane in self._lanes.items()
            if lane.next > lane.nonce
        }

    def queued(self) -> dict[Address, list[Checked]]:
        """What waits for an earlier nonce, by sender in nonce order."""
        return {
            address: [
                lane.entries[nonce].checked for nonce in sorted(lane.entries) if nonce > lane.next
            ]
            for address, lane in self._lanes.items()
            if len(lane.entries) > lane.next - lane.nonce
        }

    def ready(self, base_fee: int) -> Iterator[Checked]:
        """What a block with this base fee can hold, best effective tip first, nonces in order.

        Equal tips go by arrival. The pool must not change while this is read.
        """
        heap: list[tuple[int, int, int, _Lane]] = []
        for lane in self._lanes.values():
            if entry := lane.entries.get(lane.nonce):
                transaction = entry.checked.transaction
                spare = transaction.max_fee - base_fee
                if spare >= 0:
                    tip = min(transaction.max_priority_fee, spare)
                    heap.append((-tip, entry.order, lane.nonce, lane))
        heapq.heapify(heap)
        while heap:
            _, _, nonce, lane = heap[0]
            yield lane.entries[nonce].checked
            following = lane.entries.get(nonce + 1)
            if following is not None:
                transaction = following.checked.transaction
                spare = transaction.max_fee - base_fee
                if spare >= 0:
                    tip = min(transaction.max_priority_fee, spare)
                    heapq.heapreplace(heap, (-tip, following.order, nonce + 1, lane))
                    continue
            heapq.heappop(heap)

    def has_ready(self, base_fee: int) -> bool:
        """Whether a block with this base fee could hold anything."""
        return any(
            entry.checked.transaction.max_fee >= base_fee
            for lane in self._lanes.values()
            if (entry := lane.entries.get(lane.nonce))
        )

    def best_fee_cap(self) -> int:
        """The highest fee cap among the senders' next transactions; 0 when there are none."""
        return max(
            (
                entry.checked.transaction.max_fee
                for lane in self._lanes.values()
                if (entry := lane.entries.get(lane.nonce))
            ),
            default=0,
        )

    def everything(self) -> Iterable[Checked]:
        """All transactions, in no particular order."""
        return [entry.checked for entry in self._by_hash.values()]
