"""The committed chain. `Ledger.commit` is the only way that anything gets into it.

A block is written with its state, receipts, indexes and certificate in one synced
batch that also moves the head, so after a crash the ledger is at one block or the
next, never between.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate
from threading import Lock

from msgspec import Struct

from chain import appearances, codec, log_index
from chain.amendments import (
    Amended,
    amendment_deletes,
    amendment_writes,
    load_amended,
    replaced_leaves,
    root_after,
)
from chain.appearances import Appearance
from chain.batches import block_writes, state_writes
from chain.beginnings import first_writes
from chain.blocks import EMPTY_BLOOM, Block, Header, Receipt, decode_block, encode_header
from chain.changes import Changes
from chain.commitment import commit_leaves
from chain.errors import Fault, Reason, Rejected
from chain.execution import Executed
from chain.forked import ForkedView, Origin
from chain.genesis import ChainConfig, Genesis, genesis_block, parse_genesis
from chain.headers import header_hash
from chain.history import Mark, StateTables, StoredView
from chain.log_table import LogTable, LogTables
from chain.proofs import AccountProof, prove, stored_root
from chain.records import (
    StoredHeader,
    decode_receipts,
    decode_stored_header,
)
from chain.storage import schema
from chain.storage.cache import Cache, Missing
from chain.storage.schema import height_key, read_height
from chain.storage.store import Change, Store
from chain.types import EMPTY_CODE_HASH, ZERO_HASH, Address, Hash, Height
from chain.views import TrieView

_CACHE_ENTRIES = 1 << 17  # accounts, slots and trie records, each
_LOGS_KEPT_MAX = 50_000  # in tables of blocks that were asked about
_TAKEN_BACK_MAX = 1024  # heights that are taken back in one write
_UNINDEXED = 1  # the version whose blocks have no index rows; all else is the same
_PRUNED_MAX = 8  # heights whose history goes with one commit, when retention was lowered


class Stats(Struct, frozen=True):
    """How much there is; counts of keys are estimates when the store is on disk."""

    height: Height
    oldest_state: Height
    accounts: int
    slots: int
    codes: int
    trie_records: int
    history_entries: int
    transactions: int
    bytes_stored: int


class Ledger:
    """The committed chain in a store. One thread commits; any may read meanwhile."""

    def __init__(
        self,
        store: Store,
        genesis: Genesis,
        head: StoredHeader,
        *,
        oldest: Height,
        retain_heights: int | None,
        cache_entries: int,
        origin: Origin | None = None,
    ) -> None:
        """For `open`, which has checked all of it."""
        self.config: ChainConfig = genesis.config
        self.genesis = genesis
        # False where a power cut may take the last blocks (developer's chains): what is written
        # is handed to the system in order, so that a crash of the process loses nothing.
        self.synced = True
        self._store = store
        self._retain = retain_heights
        height = Height(head.header.number)
        self._amended = load_amended(store)
        amended = self._amended.get(height)
        mark = Mark(height, amended.root if amended else head.header.state_root)
        self._tables = StateTables(store, mark, oldest=oldest, cache_entries=cache_entries)
        self._head = (head, mark)  # replaced as one, so that readers see both or neither
        self._headers: Cache[int, StoredHeader] = Cache(4096)
        self._blocks: Cache[int, Block] = Cache(16)
        self._receipts: Cache[int, tuple[Receipt, ...]] = Cache(16)
        self._log_starts: Cache[int, tuple[tuple[Receipt, ...], tuple[int, ...]]] = Cache(16)
        self._log_tables = LogTables(_LOGS_KEPT_MAX)
        self._tables_made = Lock()
        self._origin = origin
        self._first = _height_or_zero(store, schema.FIRST)
        self._indexed_from = _height_or_zero(store, schema.INDEXED_FROM)
        self.genesis_hash = self.hash_at(self._first)

    # -- opening and closing -----------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        store: Store,
        genesis: Genesis | None = None,
        *,
        retain_heights: int | None = None,
        cache_entries: int = _CACHE_ENTRIES,
        origin: Origin | None = None,
    ) -> "Ledger":
        """The ledger in `store`; an empty store gets the first block.

        Without `genesis` the one that the store was made with is taken. The state of
        the last `retain_heights` blocks before the head stays readable (None: of all).
        `origin` is what a forked ledger was forked from. Raises `Rejected`: WRONG_SCHEMA,
        WRONG_CHAIN (a forked one without its origin too), BAD_GENESIS when there is none; and
        `Fault` when what is stored contradicts itself.
        """
        version = store.get(schema.META, schema.SCHEMA)
        if version is None:
            if genesis is None:
                raise Rejected(Reason.BAD_GENESIS, "an empty store needs a genesis")
            store.write(first_writes(genesis), sync=True)
        else:
            if int.from_bytes(version, "big") not in (_UNINDEXED, schema.VERSION):
                raise Rejected(
                    Reason.WRONG_SCHEMA,
                    f"the data has version {int.from_bytes(version, 'big')}, "
                    f"this program reads {schema.VERSION}",
                )
            genesis = _same_genesis(store, genesis)
            if int.from_bytes(version, "big") == _UNINDEXED:
                store.write(_index_from_now_on(store), sync=True)
        if origin is None and store.get(schema.META, schema.FORK) is not None:
            raise Rejected(
                Reason.WRONG_CHAIN, "a forked ledger, which only a developer's chain goes on with"
            )
        head = _check_head(store)
        oldest = read_height(_fact(store, schema.OLDEST_STATE))
        return cls(
            store,
            genesis,
            head,
            oldest=oldest,
            retain_heights=retain_heights,
            cache_entries=cache_entries,
            origin=origin,
        )

    def close(self) -> None:
        """Close the store; waits for a commit under way."""
        with self._tables.writing:
            self._store.close()

    # -- the head ----------------------------------------------------------------------------------

    @property
    def head(self) -> Header:
        return self._head[0].header

    @property
    def head_hash(self) -> Hash:
        return self._head[0].hash

    @property
    def height(self) -> Height:
        return Height(self._head[0].header.number)

    # -- state -------------------------------------------------------------------------------------

    @property
    def head_state(self) -> object:
        """Stands for the head's state: another one as soon as that changes."""
        return self._head[1]

    def view(self, height: Height | None = None) -> TrieView:
        """The state after the block at `height`, by default the head's.

        It stays the same while the ledger goes on. Raises `Rejected`: UNKNOWN_BLOCK, or
        STATE_NOT_RETAINED, which reading a view may raise too once its height is dropped.
        """
        head, mark = self._head
        if height is None or height == head.header.number:
            found = StoredView(self._tables, mark.height, mark.root, mark)
        elif 0 <= height < self._tables.oldest:
            raise Rejected(
                Reason.STATE_NOT_RETAINED, f"height {height}; the oldest is {self._tables.oldest}"
            )
        else:
            found = StoredView(self._tables, height, self.state_root(height), None)
        return found if self._origin is None else ForkedView(found, self._origin)

    def state_root(self, height: Height) -> Hash:
        """The root of the state after `height`: its header's, unless that state was amended."""
        amended = self._amended.get(height)
        return self.header(height).state_root if amended is None else amended.root

    def amendments(self, height: Height) -> int:
        """How often the state after `height` was amended."""
        amended = self._amended.get(height)
        return 0 if amended is None else amended.count

    def prove(self, height: Height, address: Address, slots: Sequence[int] = ()) -> AccountProof:
        """An account's proof at a height; takes long when the height is far below the head.

        Raises what `view` raises, and UNPROVABLE on a forked ledger, whose roots do not
        commit to what it reads from its origin.
        """
        if self._origin is not None:
            raise Rejected(Reason.UNPROVABLE, f"height {height} of a forked ledger")
        return prove(self.view(height), address, slots)

    def name_of(self, key: Hash) -> bytes | None:
        """The address (20 bytes) or slot (32 bytes) whose hash stands in the trie as `key`."""
        return self._store.get(schema.PREIMAGES, key)

    def changed_accounts(self, height: Height) -> list[Hash]:
        """The keys of the accounts that a block changed, and what was amended after it.

        `Fault` for a height whose history is not kept, and for the first.
        """
        return [Hash(key) for key in self._tables.changed_keys(height)[0]]

    def code(self, code_hash: Hash) -> bytes | None:
        """The code with a hash that any account has, or had in a block that is there."""
        return b"" if code_hash == EMPTY_CODE_HASH else self._store.get(schema.CODES, code_hash)

    # -- blocks ------------------------------------------------------------------------------------

    def _stored_header(self, height: int) -> StoredHeader:
        found = self._headers.get(height)
        if not isinstance(found, Missing):
            return found
        head = self._head[0]
        if height == head.header.number:
            return head
        if self._origin is not None and 0 <= height < self._first:
            return self._origin.header(Height(height))
        if not self._first <= height < head.header.number:
            raise Rejected(Reason.UNKNOWN_BLOCK, f"height {height}; the head is {self.height}")
        stored = decode_stored_header(self._at(schema.HEADERS, height))
        self._headers.put(height, stored)
        return stored

    def _at(self, table: str, height: int) -> bytes:
        here = self._first <= height <= self.height
        found = self._store.get(table, height_key(height)) if here else None
        if found is not None:
            return found
        if not here:
            raise Rejected(Reason.UNKNOWN_BLOCK, f"height {height}; the head is {self.height}")
        raise Fault(f"{table} of height {height} is missing")

    def header(self, height: Height) -> Header:
        """Raises `Rejected` (UNKNOWN_BLOCK) above the head, as do all that take a height."""
        return self._stored_header(height).header

    def hash_at(self, height: Height) -> Hash:
        return self._stored_header(height).hash

    def total_difficulty(self, height: Height) -> int:
        """Of the chain up to and including the block at `height`."""
        return self._stored_header(height).total_difficulty

    def height_of(self, block_hash: Hash) -> Height | None:
        """The height of a committed block."""
        found = self._store.get(schema.HEIGHTS, block_hash)
        if found is None or read_height(found) > self.height:  # being written: not yet the head
            return None
        return read_height(found)

    def raw_block(self, height: Height) -> bytes:
        """The block's RLP."""
        body = self._at(schema.BODIES, height)
        return codec.encode_list((encode_header(self.header(height)), body))

    def block(self, height: Height) -> Block:
        found = self._blocks.get(height)
        if isinstance(found, Missing):
            raw = self.raw_block(height)
            try:
                found = decode_block(raw)
            except Rejected as error:
                raise Fault(f"block {height} is corrupt: {error}") from error
            self._blocks.put(height, found)
        return found

    def receipts(self, height: Height) -> tuple[Receipt, ...]:
        """The receipts of a block's transactions, in their order."""
        found = self._receipts.get(height)
        if isinstance(found, Missing):
            found = decode_receipts(self._at(schema.RECEIPTS, height))
            self._receipts.put(height, found)
        return found

    def logs(self, height: Height) -> LogTable:
        """The logs of a block, to be asked for those with an address or topics."""
        block_hash = self.hash_at(height)
        found = self._log_tables.get(block_hash)
        if found is None:
            with self._tables_made:  # the same one is asked for by many at a time
                found = self._log_tables.get(block_hash)
                if found is None:
                    found = LogTable(self.block(height), block_hash, self.receipts(height))
                    if self.hash_at(height) == block_hash:  # not taken back in the meantime
                        self._log_tables.put(found)
        return found

    def senders(self, height: Height) -> tuple[Address, ...]:
        """The senders of a block's transactions, in their order."""
        data = self._at(schema.SENDERS, height)
        return tuple(Address(data[at : at + 20]) for at in range(0, len(data), 20))

    def sender(self, height: Height, index: int) -> Address:
        """Of one of them."""
        return Address(self._at(schema.SENDERS, height)[20 * index : 20 * index + 20])

    def logs_before(self, height: Height, index: int) -> int:
        """How many logs the transactions before this one left in the block."""
        receipts = self.receipts(height)
        found = self._log_starts.get(height)
        if isinstance(found, Missing) or found[0] is not receipts:
            counts = (len(receipt.logs) for receipt in receipts)
            found = receipts, tuple(accumulate(counts, initial=0))
            self._log_starts.put(height, found)
        return found[1][index]

    def is_decoded(self, height: Height) -> bool:
        """Whether the block and its receipts are in memory, to be had at once."""
        return height in self._blocks and height in self._receipts

    def locate(self, transaction_hash: Hash) -> tuple[Height, int] | None:
        """The height and index of a committed transaction."""
        found = self._store.get(schema.TRANSACTIONS, transaction_hash)
        if found is None or read_height(found[:8]) > self.height:  # being written
            return None
        return read_height(found[:8]), int.from_bytes(found[8:], "big")

    def heights_with_logs(
        self,
        addresses: Collection[Address],
        topics: Sequence[Collection[Hash]],
        where: range,
        tick: Callable[[int], None],
    ) -> Iterator[Height]:
        """Heights in `where` that may have logs like these, as `chain.log_index.find`.

        `where` is above neither head nor below `indexed_from`.
        """
        for height in log_index.find(self._store, addresses, topics, where, tick):
            yield Height(height)

    def appearances(
        self, address: Address, where: range, *, newest_first: bool
    ) -> Iterator[Appearance]:
        """Transactions in `where` that have to do with an address (chain.appearances)."""
        order = appearances.descending if newest_first else appearances.ascending
        for found in order(self._store, address, where):
            if found.belongs_to(self.hash_at(Height(found.height))):
                yield found

    @property
    def first(self) -> Height:
        """The height of the first block: 0, or that at which the ledger was forked."""
        return self._first

    @property
    def began_with_genesis(self) -> bool:
        """Whether the first block is that of `genesis`, and every state since can be had."""
        first = self._store.get(schema.META, schema.CHAIN)
        return self.genesis_hash == first and self._origin is None and not self._tables.oldest

    @property
    def fork_record(self) -> bytes | None:
        """What was written down about the fork when it was made; None for any other ledger."""
        return self._store.get(schema.META, schema.FORK)

    @property
    def indexed_from(self) -> Height:
        """The first height that the indexes of logs and addresses know."""
        return self._indexed_from

    def certificate(self, height: Height) -> bytes | None:
        """The certificate that a block was committed with, if any."""
        return self._store.get(schema.CERTIFICATES, height_key(height))

    def record(self, height: Height) -> bytes | None:
        """The consensus record that a block was committed with, if any."""
        return self._store.get(schema.RECORDS, height_key(height))

    def validators(self, epoch: int) -> bytes | None:
        """The encoded validator set of an epoch, if a committed block decided on it."""
        return self._store.get(schema.META, schema.validators_key(epoch))

    @property
    def oldest_state(self) -> Height:
        """The first height whose state can still be read."""
        return self._tables.oldest

    @property
    def retain_heights(self) -> int | None:
        """How many heights before the head keep their state; None for all."""
        return self._retain

    def stats(self) -> Stats:
        count = self._store.count
        return Stats(
            height=self.height,
            oldest_state=self._tables.oldest,
            accounts=count(schema.ACCOUNTS),
            slots=count(schema.STORAGE),
            codes=count(schema.CODES),
            trie_records=count(schema.TRIE),
            history_entries=count(schema.ACCOUNT_HISTORY) + count(schema.STORAGE_HISTORY),
            transactions=count(schema.TRANSACTIONS),
            bytes_stored=self._store.size(),
        )

    # -- writing -----------------------------------------------------------------------------------

    def commit(
        self,
        executed: Executed,
        *,
        certificate: bytes = b"",
        record: bytes = b"",
        validators: tuple[int, bytes] | None = None,
    ) -> None:
        """Make a block the head, with all that it changed, in one synced write.

        `validators` is an epoch and its set, encoded, when this block decides on it.
        Raises `Rejected` (UNKNOWN_PARENT) unless it stands on the head, and `Fault` when
        its results are not the ones that its header claims or the disk fails.
        """
        tables = self._tables
        header = executed.block.header
        height = Height(header.number)
        with tables.writing:
            head, mark = self._head
            if header.parent_hash != head.hash or height != head.header.number + 1:
                raise Rejected(
                    Reason.UNKNOWN_PARENT,
                    f"block {height} on {header.parent_hash.hex()}, the head is "
                    f"{head.header.number} {head.hash.hex()}",
                )
            if executed.changes.root != header.state_root:
                raise Fault(f"state root of block {height} does not match its header")
            view = StoredView(tables, mark.height, mark.root, mark)
            stored = StoredHeader(header, executed.hash, executed.total_difficulty)
            changes: list[Change] = []
            changes += block_writes(stored, executed)
            if certificate:
                changes.append((schema.CERTIFICATES, height_key(height), certificate))
            if record:
                changes.append((schema.RECORDS, height_key(height), record))
            if validators is not None:
                epoch, members = validators
                changes.append((schema.META, schema.validators_key(epoch), members))
            changes += state_writes(self._store, view, executed.changes, height)
            changes += self._prune(height)
            after = Mark(height, header.state_root)
            tables.begin(after)
            self._store.write(changes, sync=self.synced)
            tables.advance(executed.changes)
            self._headers.put(height, stored)
            self._blocks.put(height, executed.block)
            self._receipts.put(height, executed.receipts)
            self._head = (stored, after)

    def _prune(self, height: Height) -> Iterator[Change]:
        """Drop the history that only states out of retention need."""
        tables = self._tables
        if self._retain is None:
            return
        oldest = tables.oldest
        wanted = min(height - self._retain, oldest + _PRUNED_MAX)
        if wanted <= oldest:
            return
        tables.oldest = Height(wanted)
        for passed in range(oldest + 1, wanted + 1):
            yield from self._history_deletes(passed)
            yield from self._amendment_deletes(passed - 1)
        yield schema.META, schema.OLDEST_STATE, height_key(wanted)

    def _history_deletes(self, height: int) -> Iterator[Change]:
        at = height_key(height)
        account_keys, storage_keys = self._tables.changed_keys(height)
        for key in account_keys:
            yield schema.ACCOUNT_HISTORY, key + at, None
        for key in storage_keys:
            yield schema.STORAGE_HISTORY, key + at, None
        yield schema.CHANGED, at, None

    def _amendment_deletes(self, height: int) -> Iterator[Change]:
        """Forget what amended a height whose state is no longer kept."""
        amended = self._amended.pop(height, None)
        if amended is not None:
            yield from amendment_deletes(height, range(amended.count))

    def amend(self, changes: Changes) -> None:
        """Change the head's state without a block, in one synced write (developer's chains).

        `changes` stand on `view()`. Headers stay as they are: `state_root` tells the new root,
        and the next block stands on it. Source: decision 0007.
        """
        tables = self._tables
        with tables.writing:
            head, mark = self._head
            count = self.amendments(mark.height)
            view = StoredView(tables, mark.height, mark.root, mark)
            at_first = mark.height == self._first
            writes = list(amendment_writes(tables, view, changes, count, first=at_first))
            after = Mark(mark.height, changes.root)
            tables.begin(after)
            tables.amendments += 1
            self._store.write(writes, sync=self.synced)
            tables.advance(changes)
            self._amended[mark.height] = Amended(count + 1, changes.root)
            self._head = (head, after)

    def begin_again(self, writes: Sequence[Change], origin: Origin | None) -> None:
        """Forget everything, and begin with what `chain.beginnings` gives (developer's chains).

        The rules stay those that the ledger was opened with. Views made before become useless.
        """
        tables, store = self._tables, self._store
        with tables.writing:
            gone: list[Change] = [
                (table, key, None) for table in schema.TABLES for key, _ in store.scan(table, b"")
            ]
            tables.begin(Mark(self.height, ZERO_HASH))
            tables.epoch += 1
            store.write([*gone, *writes], sync=self.synced)
            self._origin = origin
            self._first = _height_or_zero(store, schema.FIRST)
            self._indexed_from = _height_or_zero(store, schema.INDEXED_FROM)
            self._amended = load_amended(store)
            tables.oldest = read_height(_fact(store, schema.OLDEST_STATE))
            self._forget()
            head = _check_head(store)
            amended = self._amended.get(head.header.number)
            height = Height(head.header.number)
            after = Mark(height, amended.root if amended else head.header.state_root)
            tables.begin(after)
            self._head = (head, after)
            self.genesis_hash = head.hash

    def rollback(self, height: Height, *, amendments: int | None = None) -> None:
        """Take blocks back until `height` is the head, up to 1024 in one synced write.

        `amendments` is how many of the height's amendments stay, None for all; those of later
        heights go with their blocks. Views made before become useless. Raises `Rejected`:
        UNKNOWN_BLOCK, or STATE_NOT_RETAINED when the history does not go back that far.
        """
        self._stored_header(height)
        if height < self._tables.oldest:
            raise Rejected(
                Reason.STATE_NOT_RETAINED, f"height {height}; the oldest is {self._tables.oldest}"
            )
        with self._tables.writing:
            while self.height > height:
                self._take_back(Height(max(height, self.height - _TAKEN_BACK_MAX)))
            if amendments is not None and amendments < self.amendments(height):
                self._take_amendments_back(amendments)

    def _take_back(self, height: Height) -> None:
        """Undo the blocks above `height`."""
        tables = self._tables
        head, mark = self._head
        before = self._stored_header(height)
        root = self.state_root(height)
        changes = tables.undo(StoredView(tables, mark.height, mark.root, mark), height)
        if changes.root != root:
            raise Fault(f"history does not lead back to the state of height {height}")
        writes = _restored(changes)
        taken = range(height + 1, head.header.number + 1)
        for passed in taken:
            writes += self._history_deletes(passed)
            writes += amendment_deletes(passed, range(self.amendments(Height(passed))))
            if self.header(Height(passed)).logs_bloom != EMPTY_BLOOM:
                for key in log_index.rows(passed, self.receipts(Height(passed))):
                    writes.append((schema.LOG_INDEX, key, None))
            for transaction in self.block(Height(passed)).transactions:
                writes.append((schema.TRANSACTIONS, transaction.hash, None))
            for table in _BY_HEIGHT:
                writes.append((table, height_key(passed), None))
            writes.append((schema.HEIGHTS, self.hash_at(Height(passed)), None))
        writes.append((schema.META, schema.HEAD, height_key(height)))
        after = Mark(height, root)
        tables.begin(after)
        tables.epoch += 1
        self._store.write(writes, sync=self.synced)
        for passed in taken:
            self._amended.pop(passed, None)
        self._forget()
        self._head = (before, after)

    def _take_amendments_back(self, count: int) -> None:
        """Undo the head's amendments but for the first `count`."""
        tables = self._tables
        head, mark = self._head
        height = mark.height
        gone = range(count, self.amendments(height))
        view = StoredView(tables, height, mark.root, mark)
        changes = commit_leaves(view, *replaced_leaves(self._store, height, gone))
        root = root_after(self._store, height, count, head.header.state_root)
        if changes.root != root:
            raise Fault(f"amendments of height {height} do not lead back to its state")
        writes = _restored(changes)
        writes += amendment_deletes(height, gone)
        after = Mark(height, root)
        tables.begin(after)
        tables.epoch += 1
        self._store.write(writes, sync=self.synced)
        if count:
            self._amended[height] = Amended(count, root)
        else:
            del self._amended[height]
        self._forget()
        self._head = (head, after)

    def _forget(self) -> None:
        self._tables.forget()
        for cache in (self._headers, self._blocks, self._receipts, self._log_starts):
            cache.clear()


def _restored(changes: Changes) -> list[Change]:
    """The leaves and records of a state that is gone back to."""
    writes: list[Change] = [(schema.TRIE, key, node) for key, node in changes.nodes.items()]
    for key, leaf in changes.account_leaves.items():
        writes.append((schema.ACCOUNTS, key, leaf))
    for key, leaves in changes.storage_leaves.items():
        writes += [(schema.STORAGE, key + slot, leaf) for slot, leaf in leaves.items()]
    return writes


_BY_HEIGHT = (
    schema.HEADERS,
    schema.BODIES,
    schema.RECEIPTS,
    schema.SENDERS,
    schema.CERTIFICATES,
    schema.RECORDS,
)


def _index_from_now_on(store: Store) -> list[Change]:
    """What makes a ledger without indexes one that has them for the blocks to come."""
    head = read_height(_fact(store, schema.HEAD))
    return [
        (schema.META, schema.INDEXED_FROM, height_key(head + 1)),
        (schema.META, schema.SCHEMA, schema.VERSION.to_bytes(4, "big")),
    ]


def _height_or_zero(store: Store, name: bytes) -> Height:
    found = store.get(schema.META, name)
    return Height(0) if found is None else read_height(found)


def _fact(store: Store, name: bytes) -> bytes:
    value = store.get(schema.META, name)
    if value is None:
        raise Fault(f"the ledger's fact {name.decode()!r} is missing")
    return value


def _same_genesis(store: Store, genesis: Genesis | None) -> Genesis:
    """The genesis to go on with, which must be the one that the store was made with."""
    chain = _fact(store, schema.CHAIN)
    if genesis is None:
        source = _fact(store, schema.GENESIS)
        if not source:
            raise Rejected(Reason.BAD_GENESIS, "the data was made without a genesis file")
        try:
            return parse_genesis(source)
        except Rejected as error:
            raise Fault(f"the stored genesis is corrupt: {error}") from error
    given = header_hash(genesis_block(genesis)[0].header)
    if given != chain:
        raise Rejected(
            Reason.WRONG_CHAIN,
            f"the data is of the chain with genesis 0x{chain.hex()}, not 0x{given.hex()}",
        )
    return genesis


def _check_head(store: Store) -> StoredHeader:
    """The head, after checking that its parts belong together and the state is its state."""
    height = read_height(_fact(store, schema.HEAD))
    data = store.get(schema.HEADERS, height_key(height))
    if data is None:
        raise Fault(f"the head, height {height}, is missing")
    stored = decode_stored_header(data)
    # A forked ledger begins with a header of another ledger, which may have fields of its own.
    foreign = store.get(schema.META, schema.FIRST) == height_key(height)
    is_hash = foreign or header_hash(stored.header) == stored.hash
    if not is_hash or stored.header.number != height:
        raise Fault(f"the header of the head, height {height}, is corrupt")
    for table in (schema.BODIES, schema.RECEIPTS, schema.SENDERS):
        if store.get(table, height_key(height)) is None:
            raise Fault(f"{table} of the head, height {height}, are missing")
    amended = load_amended(store).get(height)
    root = stored.header.state_root if amended is None else amended.root
    mark = Mark(height, root)
    view = StoredView(StateTables(store, mark, oldest=height, cache_entries=1), height, root, mark)
    if stored_root(view) != root:
        raise Fault(f"the state of the head, height {height}, is not the one its header names")
    return stored
