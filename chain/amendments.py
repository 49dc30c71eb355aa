"""Changes to the head's state that no block made: what developer's methods do (decision 0007).

An amendment belongs to the height at which it happens: the state after that block is from
then on the amended one, for reading, for proofs and for the next block to stand on. The
history of the height takes it in, so taking the block back takes it back as well; and each
leaves a record behind by which it can be taken back alone.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from chain.batches import state_writes
from chain.changes import Changes
from chain.errors import Fault
from chain.history import StateTables, StoredView
from chain.storage import schema
from chain.storage.schema import height_key
from chain.storage.store import Change, Store
from chain.types import Hash

_ROOT_SIZE = 32


class Amended(Struct, frozen=True):
    """How often the state after a height was amended, and the root that it has since."""

    count: int
    root: Hash


class _Replaced(Struct, frozen=True, array_like=True):
    """The leaves that an amendment replaced; empty where there was none."""

    accounts: dict[bytes, bytes]  # by account key
    slots: dict[bytes, bytes]  # by account key and slot key


_DECODER = msgspec.msgpack.Decoder(_Replaced)


def load_amended(store: Store) -> dict[int, Amended]:
    """The amended heights of a store."""
    found: dict[int, Amended] = {}
    for key, record in store.scan(schema.META, schema.AMENDMENTS):
        height, index = schema.read_amendment_key(key)
        found[height] = Amended(index + 1, Hash(record[:_ROOT_SIZE]))
    return found


def amendment_writes(
    tables: StateTables, view: StoredView, changes: Changes, index: int, *, first: bool
) -> Iterator[Change]:
    """What is written for the amendment `index` of the height of `view`, which is the head's.

    What the height's history has already is older and stays; the ledger's `first` has none.
    """
    height = view.height
    at = height_key(height)
    account_keys, storage_keys = ([], []) if first else tables.changed_keys(height)
    known = {*account_keys, *storage_keys}
    replaced = _Replaced({}, {})
    for table, key, value in state_writes(tables.store, view, changes, height):
        if table == schema.CHANGED:
            continue
        if table not in (schema.ACCOUNT_HISTORY, schema.STORAGE_HISTORY):
            yield table, key, value
            continue
        is_account = table == schema.ACCOUNT_HISTORY
        own = key[: -len(at)]
        (replaced.accounts if is_account else replaced.slots)[own] = value or b""
        if not first and own not in known:  # before the first height there was nothing
            (account_keys if is_account else storage_keys).append(own)
            yield table, key, value
    if not first:
        count = len(account_keys).to_bytes(4, "big")
        yield schema.CHANGED, at, b"".join((count, *account_keys, *storage_keys))
    record = changes.root + msgspec.msgpack.encode(replaced)
    yield schema.META, schema.amendment_key(height, index), record


def first_amendment(height: int, root: Hash) -> Change:
    """What says that the state of the first height never was the one that its header names."""
    record = root + msgspec.msgpack.encode(_Replaced({}, {}))
    return schema.META, schema.amendment_key(height, 0), record


def replaced_leaves(
    store: Store, height: int, indices: Iterable[int]
) -> tuple[dict[Hash, bytes | None], dict[Hash, dict[Hash, bytes | None]]]:
    """The account and storage leaves as they were before these amendments, given in order."""
    accounts: dict[Hash, bytes | None] = {}
    storage: dict[Hash, dict[Hash, bytes | None]] = {}
    for index in indices:
        data = store.get(schema.META, schema.amendment_key(height, index))
        if data is None:
            raise Fault(f"amendment {index} of height {height} is missing")
        try:
            replaced = _DECODER.decode(data[_ROOT_SIZE:])
        except msgspec.DecodeError as error:
            raise Fault(f"amendment {index} of height {height} is corrupt: {error}") from error
        for key, leaf in replaced.accounts.items():
            accounts.setdefault(Hash(key), leaf or None)
        for key, leaf in replaced.slots.items():
            storage.setdefault(Hash(key[:32]), {}).setdefault(Hash(key[32:]), leaf or None)
    return accounts, storage


def amendment_deletes(height: int, indices: Iterable[int]) -> Iterator[Change]:
    """Forget amendments' records."""
    for index in indices:
        yield schema.META, schema.amendment_key(height, index), None


def root_after(store: Store, height: int, count: int, first: Hash) -> Hash:
    """The root after the first `count` amendments of a height that began with `first`."""
    if not count:
        return first
    data = store.get(schema.META, schema.amendment_key(height, count - 1))
    if data is None:
        raise Fault(f"amendment {count - 1} of height {height} is missing")
    return Hash(data[:_ROOT_SIZE])
