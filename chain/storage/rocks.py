"""The store on disk: RocksDB, one column family per table. Only this file knows rocksdict.

rocksdict keeps the database's lock as long as any handle, iterator or snapshot of it
lives, even after its close(); so none ever leaves this file, and `close` drops them all.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from chain.errors import Fault, Reason, Rejected
from chain.storage.schema import TABLES
from chain.storage.store import Change

_MEMORY_TABLES_MAX: Final = 256 << 20  # bytes, over all tables
_LOG_MAX: Final = 512 << 20  # bytes of write-ahead log before the oldest table is flushed
_BLOCK_CACHE: Final = 256 << 20  # bytes of uncompressed blocks, over all tables


class RocksStore:
    """`Store` in a folder. The folder and its parents are made when missing.

    Raises `Rejected` (DATADIR_IN_USE) when another process has it open, and `Fault`
    when it can't be read or written.
    """

    def __init__(self, path: Path | str, *, block_cache: int = _BLOCK_CACHE) -> None:
        self._path = Path(path)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Fault(f"data folder {self._path}: {error.strerror}") from error
        self._broken = False
        kept_something = any(self._path.glob("*.sst"))
        cache = Cache(block_cache)
        families = {name: _options(cache, compress=plain) for name, plain in TABLES.items()}
        options = _options(cache, compress=False)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_db_write_buffer_size(_MEMORY_TABLES_MAX)
        options.set_max_total_wal_size(_LOG_MAX)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(4)
        options.set_max_open_files(1024)
        try:
            self._db: Any = Rdict(
                str(self._path),
                options,
                column_families={"default": _options(cache, compress=False), **families},
            )
            self._families = {name: self._db.get_column_family(name) for name in TABLES}
            self._handles = {name: self._db.get_column_family_handle(name) for name in TABLES}
        except Exception as error:
            self._db = None
            self._fail(error)
        self._synced = WriteOptions()
        self._synced.sync = True
        self._unsynced = WriteOptions()
        if kept_something and not any(next(self.scan(name, b""), None) for name in TABLES):
            # RocksDB takes some damage to its list of files for a list that ends early.
            self.close()
            raise Fault(f"the database in {self._path} is corrupt: it has lost what it held")

    def get(self, table: str, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._families[table].get(key)
        except Exception as error:
            self._fail(error)
        return value

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            values: Any = self._families[table].get(list(keys))
        except Exception as error:
            self._fail(error)
        return list(values)

    def scan(
        self, table: str, prefix: bytes, start: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            end = _after(prefix)
            options = ReadOptions()
            if end is not None:
                options.set_iterate_upper_bound(end)
            cursor = self._families[table].iter(options)
            cursor.seek(prefix if start is None else max(prefix, start))
            while cursor.valid():
                yield cursor.key(), cursor.value()
                cursor.next()
            cursor.status()
        except Exception as error:
            self._fail(error)

    def write(self, changes: Iterable[Change], *, sync: bool) -> None:
        handles = self._handles
        try:
            batch = WriteBatch(raw_mode=True)
            put, delete = batch.put, batch.delete
            for table, key, value in changes:
                if value is None:
                    delete(key, handles[table])
                else:
                    put(key, value, handles[table])
            self._db.write(batch, self._synced if sync else self._unsynced)
        except Exception as error:
            self._broken = True
            self._fail(error)

    def count(self, table: str) -> int:
        try:
            value = self._families[table].property_int_value("rocksdb.estimate-num-keys")
        except Exception as error:
            self._fail(error)
        return int(value or 0)

    def size(self) -> int:
        return sum(entry.stat().st_size for entry in os.scandir(self._path) if entry.is_file())

    def flush(self) -> None:
        """Move what is only in the log and in memory into tables, as a close does."""
        try:
            for family in self._families.values():
                family.flush()
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """Flush and release the folder; everything else fails from now on."""
        if self._db is None:
            return
        handles = [*self._families.values(), self._db]
        self._families.clear()
        self._handles.clear()
        failures: list[Exception] = []
        while handles:  # every one of them, or the folder stays locked
            try:
                handles.pop(0).close()
            except Exception as error:
                failures.append(error)
        self._db = None
        if failures and not self._broken:  # else the failure was reported when it happened
            self._fail(failures[0])

    def _fail(self, error: Exception) -> NoReturn:
        """Say what rocksdict's error means to whoever runs the node."""
        text = str(error)
        if isinstance(error, Fault):
            raise error
        if self._db is None and not hasattr(self, "_synced"):
            if "lock" in text.lower() and ("LOCK" in text or "Resource temporarily" in text):
                raise Rejected(
                    Reason.DATADIR_IN_USE, f"{self._path} is open in another process"
                ) from error
        elif isinstance(error, KeyError) and not self._families:
            raise Fault("the store is closed") from error
        if "No space left" in text or "Disk quota" in text:
            raise Fault(f"the disk of {self._path} is full: {text}") from error
        if "Corruption" in text or "checksum" in text:
            raise Fault(f"the database in {self._path} is corrupt: {text}") from error
        raise Fault(f"the database in {self._path} failed: {text}") from error


def _options(cache: Any, *, compress: bool) -> Any:
    options = Options(raw_mode=True)
    options.set_write_buffer_size(64 << 20)
    options.set_level_compaction_dynamic_level_bytes(True)
    # Hashes do not compress; bodies and receipts do.
    options.set_compression_type(DBCompressionType.lz4() if compress else DBCompressionType.none())
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, False)
    blocks.set_block_cache(cache)
    options.set_block_based_table_factory(blocks)
    return options


def _after(prefix: bytes) -> bytes | None:
    """The first key after all that start with `prefix`; None when there is no such key."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes((cut[-1] + 1,)) if cut else None
