"""The pool's transactions by the first bytes of their hashes, for rebuilding compact blocks."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from chain.blobs import BlobSidecar
from chain.transactions import Checked
from chain.types import Hash
from node.gossip.compact import PREFIX_BYTES

_STALE_MAX: Final = 4096  # entries that may be gone from the pool before the index is rebuilt


class Pool(Protocol):
    """What gossip reads of the pool. `node.pool.mempool.Mempool`, and a plain one in tests."""

    def __len__(self) -> int: ...

    def __contains__(self, transaction_hash: object) -> bool: ...

    def get(self, transaction_hash: Hash) -> Checked | None: ...

    def can_run(self, transaction_hash: Hash) -> bool: ...

    def sidecar(self, transaction_hash: Hash) -> BlobSidecar | None: ...

    def everything(self) -> Iterable[Checked]: ...


class PoolIndex:
    """Told of what is pooled, never of what leaves: that is noticed and cleared in time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._hashes: dict[bytes, tuple[Hash, ...]] = {}
        self._count = 0
        self._rebuild()

    def add(self, transaction_hash: Hash) -> None:
        """A transaction was pooled."""
        prefix = transaction_hash[:PREFIX_BYTES]
        known = self._hashes.get(prefix, ())
        if transaction_hash in known:
            return
        self._hashes[prefix] = (*known, transaction_hash)
        self._count += 1
        if self._count > 2 * len(self._pool) + _STALE_MAX:
            self._rebuild()

    def find(self, prefix: bytes) -> Sequence[Checked]:
        """The pooled transactions whose hashes begin with these four bytes."""
        found = map(self._pool.get, self._hashes.get(prefix, ()))
        return [checked for checked in found if checked is not None]

    def _rebuild(self) -> None:
        self._hashes.clear()
        self._count = 0
        for checked in self._pool.everything():
            transaction_hash = checked.transaction.hash
            prefix = transaction_hash[:PREFIX_BYTES]
            self._hashes[prefix] = (*self._hashes.get(prefix, ()), transaction_hash)
            self._count += 1
