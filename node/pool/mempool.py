"""Transactions that wait for a block: one lane of nonces per sender, limits on everything.

A lane holds what its sender may send next. The unbroken run of nonces from the account's
own is *pending*; what comes after a gap is *queued*. Priority is the effective tip, in
nonce order within a lane. The pool reads the head's state when a lane opens and is told
the new one after each block. One owner: the event loop's thread.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from chain.blobs import BlobSidecar
from chain.errors import Reason, Rejected
from chain.execution import Executed
from chain.forks import GAS_PER_BLOB
from chain.state import StateView
from chain.transactions import Checked
from chain.transition import delegate_of
from chain.types import EMPTY_CODE_HASH, Address, Hash
from node.pool.eviction import Entry, EvictionOrder, worth
from node.settings import PoolSettings

_VICTIMS_MAX: Final = 1024  # entries that make room for one
_EXPIRED_MAX: Final = 4096  # entries that expire at once; the rest soon after
_EXPIRY_LOOKS: Final = 64  # how often in a lifetime it is looked what is over
_NO_NONCES: Final[Mapping[Address, int]] = {}


class _Lane:
    """What one sender has in the pool."""

    __slots__ = ("balance", "cost", "entries", "next", "nonce")

    def __init__(self, nonce: int, balance: int) -> None:
        self.nonce = nonce  # the account's
        self.balance = balance
        self.next = nonce  # the first nonce that is missing
        self.cost = 0  # of all entries
        self.entries: dict[int, Entry] = {}


def sidecar_size(sidecar: BlobSidecar) -> int:
    """Bytes that a blob transaction's sidecar holds in memory."""
    return sum(map(len, (*sidecar.blobs, *sidecar.commitments, *sidecar.proofs)))


class Mempool:
    """The pool. `view` is the head's state, `gas_limit` the head's."""

    def __init__(
        self,
        settings: PoolSettings,
        view: StateView,
        gas_limit: int,
        *,
        clock: Callable[[], float],
        allowed_senders: Collection[Address] = (),
        contracts_may_send: bool = False,
    ) -> None:
        """`clock` gives seconds that never go back; no allowed senders: everybody is.

        `contracts_may_send` as in the fork, on a developer's chain.
        """
        self._settings = settings
        self._view = view
        self._gas_limit = gas_limit
        self._clock = clock
        self._allowed = frozenset(allowed_senders)
        self._contracts_may_send = contracts_may_send
        self._lanes: dict[Address, _Lane] = {}
        self._by_hash: dict[Hash, Entry] = {}
        self._eviction = EvictionOrder(self._by_hash, self._is_pending)
        self._arrivals = 0
        self._bytes = 0
        self._pending = 0
        self._local = 0
        lifetime = min(settings.pending_seconds, settings.queued_seconds)
        self._expiry_pause = lifetime / _EXPIRY_LOOKS
        self._expiry_due = clock() + self._expiry_pause

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self._by_hash

    # -- in ----------------------------------------------------------------------------------------

    def add(
        self,
        checked: Checked,
        sidecar: BlobSidecar | None = None,
        *,
        local: bool = False,
        age: float = 0.0,
    ) -> list[Checked]:
        """Pool a transaction, or raise `Rejected` and leave the pool as it was.

        Returns what can run from now on and could not before: the transaction, those that
        waited for its nonce, or nothing when it waits itself. `local` says that a caller of
        this node submitted it, `age` how many seconds it has waited before.

        Reasons: ALREADY_KNOWN, SENDER_NOT_ALLOWED, TOO_LARGE, BLOCK_GAS_EXCEEDED, UNDERPRICED,
        NONCE_TOO_LOW, NONCE_TOO_HIGH (beyond the gap allowed), SENDER_NOT_EOA,
        INSUFFICIENT_FUNDS, REPLACEMENT_UNDERPRICED, SENDER_LIMIT, POOL_FULL. A fee cap below
        the current base fee is no reason: the base fee may fall.
        """
        transaction, sender = checked.transaction, checked.sender
        settings = self._settings
        now = self._clock()
        if now >= self._expiry_due:
            self.expire()
        if transaction.hash in self._by_hash:
            raise Rejected(Reason.ALREADY_KNOWN)
        if self._allowed and sender not in self._allowed:
            raise Rejected(Reason.SENDER_NOT_ALLOWED, f"address 0x{sender.hex()}")
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
        cost = transaction.value + transaction.gas_limit * transaction.max_fee
        if transaction.blob_hashes:
            cost += len(transaction.blob_hashes) * GAS_PER_BLOB * transaction.max_blob_fee
        old = lane.entries.get(nonce)
        if old is None:
            self._check_place(lane, checked, local)
        self._check_funds(lane, cost, old)
        if old is not None:
            self._check_replacement(checked, old)
            local = local or old.local
        local = local and self._local < settings.local_max
        entry = Entry(checked, sidecar, cost, size, self._arrivals, now - age, local)
        pending = nonce <= lane.next
        if (
            len(self._by_hash) >= settings.transactions_max
            or self._bytes + size > settings.bytes_max
        ):
            self._make_room(entry, old, pending)

        self._arrivals += 1
        if old is not None:
            self._forget(lane, old)
        self._lanes[sender] = lane
        lane.entries[nonce] = entry
        lane.cost += cost
        self._by_hash[transaction.hash] = entry
        self._bytes += size
        self._local += local
        if self._eviction.kept:
            self._eviction.push(entry, pending=pending)
        if nonce != lane.next:
            return [checked] if pending else []
        lane.next = nonce + 1
        self._pending += 1
        if lane.next not in lane.entries:
            return [checked]
        return [checked, *self._promote(lane)]

    def _check_place(self, lane: _Lane, checked: Checked, local: bool) -> None:
        """There may be one more of this sender, at this nonce."""
        settings, nonce = self._settings, checked.transaction.nonce
        if nonce > lane.next:
            if nonce > lane.next + settings.nonce_gap_max:
                raise Rejected(Reason.NONCE_TOO_HIGH, f"next nonce {lane.next}, tx nonce {nonce}")
            # Callers of this node may send in any order; what comes of peers in disorder is
            # little, or meant to fill the pool with what no block can hold.
            queued = len(lane.entries) - (lane.next - lane.nonce)
            if not local and queued >= settings.sender_queued_max:
                raise Rejected(
                    Reason.SENDER_LIMIT,
                    f"{queued} transactions of 0x{checked.sender.hex()} wait for nonce {lane.next}",
                )
        if len(lane.entries) >= settings.sender_transactions_max:
            raise Rejected(
                Reason.SENDER_LIMIT,
                f"{len(lane.entries)} transactions of 0x{checked.sender.hex()} are waiting",
            )

    def _promote(self, lane: _Lane) -> list[Checked]:
        """Move the end of the unbroken run on; what joined it."""
        promoted = []
        while (entry := lane.entries.get(lane.next)) is not None:
            promoted.append(entry.checked)
            self._eviction.push(entry, pending=True)
            lane.next += 1
        self._pending += len(promoted)
        return promoted

    def _is_pending(self, entry: Entry) -> bool:
        return entry.checked.transaction.nonce < self._lanes[entry.checked.sender].next

    def _open_lane(self, sender: Address) -> _Lane:
        account = self._view.account(sender)
        if account is None:
            return _Lane(0, 0)
        if account.code_hash != EMPTY_CODE_HASH and not self._contracts_may_send:
            code = self._view.code(account.code_hash)
            if delegate_of(code) is None:
                raise Rejected(
                    Reason.SENDER_NOT_EOA, f"address 0x{sender.hex()}, len(code): {len(code)}"
                )
        return _Lane(account.nonce, account.balance)

    def _check_funds(self, lane: _Lane, cost: int, old: Entry | None) -> None:
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

    def _check_replacement(self, checked: Checked, old: Entry) -> None:
        """A replacement raises every fee field by the percentage set, and by 1 wei at least.

        Otherwise replacing costs nothing where the price is 0, and would have no end.
        """
        new, before = checked.transaction, old.checked.transaction
        percent = 100 + self._settings.replacement_percent
        fees = [
            (new.max_fee, before.max_fee),
            (new.max_priority_fee, before.max_priority_fee),
        ]
        if before.blob_hashes:
            fees.append((new.max_blob_fee, before.max_blob_fee))
        for offered, present in fees:
            needed = max(-(-present * percent // 100), present + 1)
            if offered < needed:
                raise Rejected(
                    Reason.REPLACEMENT_UNDERPRICED,
                    f"nonce {new.nonce}: {offered} offered, {needed} needed",
                )

    def _make_room(self, entry: Entry, old: Entry | None, pending: bool) -> None:
        """Evict what is worth less until the limits hold; POOL_FULL when nothing is."""
        settings = self._settings
        count = len(self._by_hash) + 1 - (old is not None) - settings.transactions_max
        size = self._bytes + entry.size - (old.size if old else 0) - settings.bytes_max
        if count <= 0 and size <= 0:
            return
        self._eviction.keep()
        self._eviction.tidy(self._pending, len(self._by_hash) - self._pending)
        victims: list[Entry] = []
        for victim in self._victims(entry, pending):
            victims.append(victim)
            count, size = count - 1, size - victim.size
            if count <= 0 and size <= 0:
                break
            if len(victims) == _VICTIMS_MAX:
                break
        if count > 0 or size > 0:
            raise Rejected(
                Reason.POOL_FULL, f"{len(self._by_hash)} transactions, {self._bytes} bytes"
            )
        for victim in victims:
            self.drop(victim.checked.transaction.hash)

    def _victims(self, entry: Entry, pending: bool) -> Iterator[Entry]:
        """What may go for `entry`, in order: never its own sender's."""
        own, least = entry.checked.sender, worth(entry)
        for victim in self._eviction.queued():
            if not pending and worth(victim) >= least:
                return
            if victim.checked.sender != own:
                yield victim
        if not pending:
            return
        taken: dict[Address, int] = {}  # how many of a sender's last ones go
        for victim in self._eviction.pending():
            if worth(victim) >= least:
                return
            sender = victim.checked.sender
            if sender == own:
                continue
            # The run's tail goes in the victim's place, so that what stays keeps its turn.
            lane, index = self._lanes[sender], taken.get(sender, 0)
            if index >= lane.next - lane.nonce:
                continue
            tail = lane.entries[lane.next - 1 - index]
            if tail.local and not entry.local:
                continue
            taken[sender] = index + 1
            yield tail

    # -- out ---------------------------------------------------------------------------------------

    def _forget(self, lane: _Lane, entry: Entry) -> None:
        transaction = entry.checked.transaction
        del lane.entries[transaction.nonce]
        del self._by_hash[transaction.hash]
        lane.cost -= entry.cost
        self._bytes -= entry.size
        self._local -= entry.local

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
            self._cut(lane, nonce)
        if not lane.entries:
            del self._lanes[sender]

    def _cut(self, lane: _Lane, nonce: int) -> None:
        """`nonce` is missing now: what follows it in the run waits for it."""
        self._pending -= lane.next - nonce
        following, lane.next = range(nonce + 1, lane.next), nonce
        for later in following:
            if (entry := lane.entries.get(later)) is not None:
                self._eviction.push(entry, pending=False)

    def expire(self) -> None:
        """Drop what has waited too long; called by `add` and `advance` when it is time."""
        now, settings = self._clock(), self._settings
        queued_since = now - settings.queued_seconds
        pending_since = now - settings.pending_seconds
        since = max(queued_since, pending_since)
        over = (
            entry
            for entry in self._by_hash.values()
            if entry.arrived < since
            and entry.arrived < (pending_since if self._is_pending(entry) else queued_since)
        )
        expired = list(islice(over, _EXPIRED_MAX))
        # The highest nonces first, so that little changes sides before it goes.
        expired.sort(key=lambda entry: -entry.checked.transaction.nonce)
        for entry in expired:
            self.drop(entry.checked.transaction.hash)
        self._expiry_due = now + (self._expiry_pause if len(expired) < _EXPIRED_MAX else 0)

    def advance(self, view: StateView, gas_limit: int, executed: Executed) -> list[Checked]:
        """Follow the chain to the block `executed`, whose state is `view`.

        Removes what was included or can no longer be: nonces used up, costs above the
        balance, gas above the limit, senders that became contracts. Returns what waited
        for a nonce that the block used, and can run now.
        """
        settings = self._settings
        self._view = view
        if self._clock() >= self._expiry_due:
            self.expire()
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
        promoted: list[Checked] = []
        for address in touched:
            promoted += self._refresh(address, lanes[address])
        if 2 * len(self._by_hash) < settings.transactions_max and (
            2 * self._bytes < settings.bytes_max
        ):
            self._eviction.leave()
        else:
            self._eviction.tidy(self._pending, len(self._by_hash) - self._pending)
        return promoted

    def rebase(self, view: StateView, gas_limit: int) -> None:
        """Follow the chain to another state than the next block's: one that was gone back to,
        or that was changed in place (developer's chains)."""
        self._view, self._gas_limit = view, gas_limit
        for entry in list(self._by_hash.values()):
            if entry.checked.transaction.gas_limit > gas_limit:
                self.drop(entry.checked.transaction.hash)
        for address, lane in list(self._lanes.items()):
            self._refresh(address, lane)

    @property
    def arrivals(self) -> int:
        """How many have come so far; the next one's `Entry.order`."""
        return self._arrivals

    def _refresh(self, address: Address, lane: _Lane) -> list[Checked]:
        """Fit a lane to its account's new state; what can run now and could not before."""
        try:
            fresh = self._open_lane(address)
        except Rejected:  # the sender became a contract
            self._pending -= lane.next - lane.nonce
            for entry in list(lane.entries.values()):
                self._forget(lane, entry)
            del self._lanes[address]
            return []
        first, end = lane.nonce, lane.next
        lane.nonce, lane.balance = fresh.nonce, fresh.balance
        if first <= fresh.nonce <= end:
            self._pending -= fresh.nonce - first
            gone: Iterable[int] = range(first, fresh.nonce)
        else:
            # Others' blocks used nonces that were never here, or a block was taken back.
            self._pending -= end - first
            lane.next = fresh.nonce
            gone = [nonce for nonce in lane.entries if nonce < fresh.nonce]
            for nonce in range(max(first, fresh.nonce), end):
                self._eviction.push(lane.entries[nonce], pending=False)
        for nonce in gone:
            self._forget(lane, lane.entries[nonce])
        promoted = self._promote(lane)
        if lane.cost > lane.balance:
            for nonce, entry in list(lane.entries.items()):
                if entry.cost > lane.balance:
                    self._forget(lane, entry)
                    if nonce < lane.next:
                        self._cut(lane, nonce)
            promoted = [item for item in promoted if item.transaction.nonce < lane.next]
        if not lane.entries:
            del self._lanes[address]
        return promoted

    # -- questions ---------------------------------------------------------------------------------

    def get(self, transaction_hash: Hash) -> Checked | None:
        entry = self._by_hash.get(transaction_hash)
        return None if entry is None else entry.checked

    def can_run(self, transaction_hash: Hash) -> bool:
        """Whether a transaction is pooled and waits for no earlier nonce."""
        entry = self._by_hash.get(transaction_hash)
        return entry is not None and self._is_pending(entry)

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

    def of_sender(self, address: Address) -> tuple[list[Checked], list[Checked]]:
        """What of a sender could run now, and what waits for an earlier nonce; in nonce order."""
        lane = self._lanes.get(address)
        if lane is None:
            return [], []
        ready = [lane.entries[nonce].checked for nonce in range(lane.nonce, lane.next)]
        if len(ready) == len(lane.entries):
            return ready, []
        return ready, [
            lane.entries[nonce].checked for nonce in sorted(lane.entries) if nonce > lane.next
        ]

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

    def _heads(self, after: Mapping[Address, int]) -> Iterator[tuple[_Lane, Entry]]:
        """Each sender's next transaction, if it is here."""
        for address, lane in self._lanes.items():
            nonce = lane.nonce
            if after:
                nonce = max(nonce, after.get(address, 0))
            if entry := lane.entries.get(nonce):
                yield lane, entry

    def ready(self, base_fee: int, after: Mapping[Address, int] = _NO_NONCES) -> Iterator[Checked]:
        """What a block with this base fee can hold, best effective tip first, nonces in order.

        `after` gives the next nonces of senders in blocks that are built on but not final;
        what such blocks hold is passed over and stays. Equal tips go by arrival. The pool
        must not change while this is read.
        """
        heap: list[tuple[int, int, int, _Lane]] = []
        for lane, entry in self._heads(after):
            transaction = entry.checked.transaction
            spare = transaction.max_fee - base_fee
            if spare >= 0:
                tip = min(transaction.max_priority_fee, spare)
                heap.append((-tip, entry.order, transaction.nonce, lane))
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

    def has_ready(self, base_fee: int, after: Mapping[Address, int] = _NO_NONCES) -> bool:
        """Whether a block with this base fee could hold anything; `after` as for `ready`."""
        return any(entry.checked.transaction.max_fee >= base_fee for _, entry in self._heads(after))

    def best_fee_cap(self, after: Mapping[Address, int] = _NO_NONCES) -> int:
        """The highest fee cap among the senders' next transactions; 0 when there are none."""
        return max(
            (entry.checked.transaction.max_fee for _, entry in self._heads(after)), default=0
        )

    def everything(self) -> Iterable[Checked]:
        """All transactions, in no particular order."""
        return [entry.checked for entry in self._by_hash.values()]

    def entries(self) -> list[Entry]:
        """All that is pooled, in order of arrival."""
        return list(self._by_hash.values())

    def holds(self) -> int:
        """Bytes of all that is pooled."""
        return self._bytes
