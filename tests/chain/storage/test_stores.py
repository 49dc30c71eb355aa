"""One contract, two stores: whatever holds for RocksDB holds for the one in memory."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import Fault, Reason, Rejected
from chain.storage import MemoryStore, Store
from chain.storage.rocks import RocksStore
from chain.storage.schema import ACCOUNTS, TABLES, TRIE


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "db")
    yield made
    made.close()


def test_what_was_written_is_read_back(store: Store) -> None:
    store.write([(TRIE, b"a", b"1"), (ACCOUNTS, b"a", b"2"), (TRIE, b"", b"")], sync=True)
    assert store.get(TRIE, b"a") == b"1"
    assert store.get(ACCOUNTS, b"a") == b"2"
    assert store.get(TRIE, b"") == b""
    assert store.get(TRIE, b"b") is None
    assert store.get_many(TRIE, [b"b", b"a", b""]) == [None, b"1", b""]


def test_the_later_change_of_a_key_in_one_write_counts(store: Store) -> None:
    store.write([(TRIE, b"k", b"old"), (TRIE, b"k", None), (TRIE, b"k", b"new")], sync=False)
    assert store.get(TRIE, b"k") == b"new"
    store.write([(TRIE, b"k", b"newer"), (TRIE, b"k", None)], sync=False)
    assert store.get(TRIE, b"k") is None


def test_a_scan_shows_the_table_as_it_was_when_it_began(store: Store) -> None:
    store.write([(TRIE, bytes((i,)), b"") for i in range(5)], sync=False)
    scan = store.scan(TRIE, b"")
    assert next(scan)[0] == b"\0"
    store.write([(TRIE, b"\2", None), (TRIE, b"\3\3", b"")], sync=False)
    assert [key for key, _ in scan] == [b"\1", b"\2", b"\3", b"\4"]


def test_a_prefix_of_all_ones_is_scanned_to_the_end(store: Store) -> None:
    store.write([(TRIE, b"\xff\xff" + bytes((i,)), b"") for i in (0, 255)], sync=False)
    store.write([(TRIE, b"\xfe", b""), (TRIE, b"\xff", b"")], sync=False)
    assert len(list(store.scan(TRIE, b"\xff\xff"))) == 2
    assert len(list(store.scan(TRIE, b"\xff"))) == 3
    assert len(list(store.scan(TRIE, b""))) == 4


def test_use_after_close_is_a_fault(store: Store) -> None:
    store.close()
    with pytest.raises(Fault, match="closed"):
        store.get(TRIE, b"a")
    with pytest.raises(Fault, match="closed"):
        list(store.scan(TRIE, b"a"))
    with pytest.raises(Fault, match="closed"):
        store.write([(TRIE, b"a", b"")], sync=True)


_KEY = st.binary(max_size=3)
_CHANGES = st.lists(st.tuples(_KEY, st.none() | st.binary(max_size=2)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(writes=st.lists(_CHANGES, max_size=6), prefix=_KEY, start=st.none() | _KEY)
def test_both_stores_agree_with_a_sorted_dictionary(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[list[tuple[bytes, bytes | None]]],
    prefix: bytes,
    start: bytes | None,
) -> None:
    model: dict[bytes, bytes] = {}
    rocks = _shared_rocks(tmp_path_factory)
    rocks.write([(TRIE, key, None) for key, _ in rocks.scan(TRIE, b"")], sync=False)
    stores: list[Store] = [MemoryStore(), rocks]
    for changes in writes:
        for key, value in changes:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        for store in stores:
            store.write([(TRIE, key, value) for key, value in changes], sync=False)
    expected = [
        (key, value)
        for key, value in sorted(model.items())
        if key.startswith(prefix) and (start is None or key >= start)
    ]
    for store in stores:
        assert list(store.scan(TRIE, prefix, start)) == expected


_shared: list[RocksStore] = []


def _shared_rocks(factory: pytest.TempPathFactory) -> RocksStore:
    """One database for all examples: opening one takes longer than an example."""
    if not _shared:
        _shared.append(RocksStore(factory.mktemp("shared")))
    return _shared[0]


def teardown_module() -> None:
    while _shared:
        _shared.pop().close()


def test_a_closed_folder_opens_again_with_its_content(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "deep" / "db")
    store.write([(name, b"key", name.encode()) for name in TABLES], sync=True)
    scan = store.scan(TRIE, b"")
    next(scan)
    del scan
    store.close()
    store.close()
    again = RocksStore(tmp_path / "deep" / "db")
    assert all(again.get(name, b"key") == name.encode() for name in TABLES)
    assert again.size() > 0
    again.close()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    with pytest.raises(Rejected) as refused:
        RocksStore(tmp_path)
    assert refused.value.reason is Reason.DATADIR_IN_USE
    script = f"from chain.storage.rocks import RocksStore; RocksStore({str(tmp_path)!r})"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert Reason.DATADIR_IN_USE.value in other.stderr
    store.close()
    RocksStore(tmp_path).close()


def test_a_folder_that_is_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Fault, match="file"):
        RocksStore(tmp_path / "file")


def _damage(path: Path) -> None:
    """Turn the second half of a file's bits over."""
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(byte ^ 0xFF for byte in content[half:]))


@pytest.mark.parametrize("kind", ["MANIFEST-*", "CURRENT", "*.sst"])
def test_a_damaged_file_is_a_fault_that_names_the_folder(tmp_path: Path, kind: str) -> None:
    store = RocksStore(tmp_path)
    store.write([(TRIE, os.urandom(8), os.urandom(100)) for _ in range(500)], sync=True)
    store.flush()
    store.close()
    for file in tmp_path.glob(kind):
        _damage(file)
    with pytest.raises(Fault, match=str(tmp_path)):
        store = RocksStore(tmp_path)
        try:
            list(store.scan(TRIE, b""))
        finally:
            store.close()


@pytest.mark.parametrize("content", [None, b"", b"{", b"\0" * 40])
def test_the_bindings_own_file_is_not_needed(tmp_path: Path, content: bytes | None) -> None:
    """What rocksdict keeps beside the database may be lost or torn by a crash."""
    store = RocksStore(tmp_path)
    store.write([(TRIE, b"a", b"1")], sync=True)
    store.close()
    file = tmp_path / "rocksdict-config.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    store = RocksStore(tmp_path)
    assert store.get(TRIE, b"a") == b"1"
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_keeps_every_synced_write_whole(tmp_path: Path) -> None:
    """A process writes numbered batches, reports each one synced, and is killed at any moment."""
    script = (
        "import sys; from chain.storage.rocks import RocksStore\n"
        f"store = RocksStore({str(tmp_path)!r}); n = 0\n"
        "while True:\n"
        "    key = n.to_bytes(4, 'big')\n"
        "    store.write([('trie', key + bytes((i,)), bytes(50)) for i in range(50)], sync=True)\n"
        "    sys.stdout.write('.'); sys.stdout.flush(); n += 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    seen = process.stdout.read(20)
    process.kill()
    seen += process.stdout.read()
    process.stdout.close()
    process.wait()
    store = RocksStore(tmp_path)
    for number in range(len(seen) + 2):
        found = len(list(store.scan(TRIE, number.to_bytes(4, "big"))))
        assert found == 50 if number < len(seen) else found in (0, 50)
    store.close()


def _full(*_: object) -> None:
    raise Exception(f"IO error: {os.strerror(errno.ENOSPC)}: While appending to file: x.log")


def test_a_full_disk_is_a_fault_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RocksStore(tmp_path)

    class Broken:
        write: Callable[..., None] = staticmethod(_full)

        def close(self) -> None: ...

    monkeypatch.setattr(store, "_db", Broken())
    with pytest.raises(Fault, match="full"):
        store.write([(TRIE, b"a", b"")], sync=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB, where the test may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system can't be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_runs_full_loses_nothing_that_was_synced(small_disk: Path) -> None:
    """Batches are written until the disk is full; with more room all whole ones are there."""
    store = RocksStore(small_disk / "db")
    written = 0
    with pytest.raises(Fault, match="full"):
        while True:
            rows = [written.to_bytes(4, "big") + bytes((i,)) for i in range(20)]
            store.write([(TRIE, row, os.urandom(900)) for row in rows], sync=True)
            written += 1
    with pytest.raises(Fault, match="full"):
        store.write([(TRIE, b"x", b"")], sync=True)
    store.close()
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    store = RocksStore(small_disk / "db")
    assert len(list(store.scan(TRIE, b""))) == written * 20
    store.close()
