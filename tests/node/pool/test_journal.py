"""What waits in the pool over stops, crashes, torn files and disks that fail."""

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Rejected
from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from chain.transactions import Checked, Kind, build_transaction, sign_transaction
from chain.types import Address, Hash, Height
from node.keys import dev_accounts
from node.pool import journal
from node.pool.intake import check_batch
from node.pool.journal import (
    MAGIC,
    DiskJournal,
    JournalFile,
    PoolJournal,
    decode_records,
    encode_record,
)
from node.pool.mempool import Mempool
from node.settings import TEST_MNEMONIC, PoolSettings
from node.simulator.disk import Disk, SimulatedFile

ACCOUNTS: Final = dev_accounts(TEST_MNEMONIC, 3)
ADDRESSES: Final = list(ACCOUNTS)
LEDGER: Final = Ledger.open(MemoryStore(), dev_genesis(accounts=ADDRESSES))
FORK: Final = LEDGER.config.fork_at(1, 1, merged=True)
CHAIN_ID: Final = LEDGER.config.chain_id


def transfer(index: int, nonce: int) -> Checked:
    unsigned = build_transaction(
        kind=Kind.DYNAMIC_FEE, chain_id=CHAIN_ID, nonce=nonce, gas_limit=21_000, max_fee=10**12,
        max_priority_fee=10**9, to=Address(b"\x77" * 20), value=1,
    )  # fmt: skip
    (verdict,) = check_batch(
        [sign_transaction(unsigned, ACCOUNTS[ADDRESSES[index]]).raw], FORK, CHAIN_ID
    )
    assert not isinstance(verdict, Rejected)
    return verdict[0]


TRANSFERS: Final = [transfer(index, nonce) for nonce in range(5) for index in range(3)]


class Bench:
    """A pool with its journal in some file, and clocks that are set by hand."""

    def __init__(self, file: JournalFile, threads: ThreadPoolExecutor) -> None:
        self.now, self.wall = 100.0, 1_000_000.0
        self.mempool = Mempool(
            PoolSettings(), LEDGER.view(), LEDGER.head.gas_limit, clock=lambda: self.now
        )
        self.journal = PoolJournal(
            file, self.mempool, clock=lambda: self.now, wall=lambda: self.wall, threads=threads
        )

    async def restore(self) -> int:
        return len(await self.journal.restore(lambda: FORK, CHAIN_ID))

    def add(self, checked: Checked, *, local: bool = False) -> None:
        self.mempool.add(checked, local=local)
        self.journal.append(checked, None, local=local)

    def hashes(self) -> set[Hash]:
        return {checked.transaction.hash for checked in self.mempool.everything()}


def run(work: Callable[[ThreadPoolExecutor], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(1) as threads:
        asyncio.run(asyncio.wait_for(work(threads), 60))


def disk(path: Path) -> DiskJournal:
    return DiskJournal(path / "pool.log", bytes_max=2**30)


def put(file: JournalFile, *records: bytes) -> None:
    file.prepare(MAGIC + b"".join(records))
    file.swap()


async def settled() -> None:
    """Let the loop turn once, as it does before a caller is answered."""
    await asyncio.sleep(0)


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """Nothing is closed, nothing synced: whatever the system has is there."""

    async def work(threads: ThreadPoolExecutor) -> None:
        first = Bench(disk(tmp_path), threads)
        assert await first.restore() == 0
        for checked in TRANSFERS[:7]:
            first.add(checked)
        await settled()
        first.add(TRANSFERS[12])  # behind a gap
        await settled()
        second = Bench(disk(tmp_path), threads)
        assert await second.restore() == 8
        assert second.hashes() == first.hashes()
        assert second.mempool.status() == first.mempool.status()

    run(work)


def test_what_was_submitted_here_and_since_when_is_kept(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        first = Bench(disk(tmp_path), threads)
        await first.restore()
        first.add(TRANSFERS[0], local=True)
        first.add(TRANSFERS[1])
        first.now, first.wall = first.now + 50, first.wall + 50
        await first.journal.stop()
        second = Bench(disk(tmp_path), threads)
        second.now, second.wall = 7.0, first.wall + 1000
        await second.restore()
        by_hash = {entry.checked.transaction.hash: entry for entry in second.mempool.entries()}
        mine = by_hash[TRANSFERS[0].transaction.hash]
        theirs = by_hash[TRANSFERS[1].transaction.hash]
        assert (mine.local, theirs.local) == (True, False)
        assert mine.arrived == theirs.arrived == pytest.approx(7.0 - 1050)

    run(work)


def test_a_wall_clock_that_went_back_makes_nothing_younger_than_now(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        first = Bench(disk(tmp_path), threads)
        await first.restore()
        first.add(TRANSFERS[0])
        await settled()
        second = Bench(disk(tmp_path), threads)
        second.wall -= 10**6
        await second.restore()
        assert [entry.arrived for entry in second.mempool.entries()] == [second.now]

    run(work)


@given(st.data())
def test_of_a_torn_file_everything_before_the_tear_is_read(data: st.DataObject) -> None:
    raws = data.draw(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8))
    records = [encode_record(raw, local=False, arrived_ms=5) for raw in raws]
    whole = MAGIC + b"".join(records)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [len(MAGIC) + sum(map(len, records[: at + 1])) for at in range(len(records))]
    read = [raw for raw, _, _ in decode_records(whole[:cut])]
    assert read == raws[: sum(end <= cut for end in ends)]


@given(st.binary(max_size=200), st.integers(0, 255))
def test_any_bytes_at_all_are_read_without_harm(tail: bytes, flip: int) -> None:
    good = MAGIC + encode_record(b"first", local=True, arrived_ms=1)
    assert [raw for raw, _, _ in decode_records(good + tail)][:1] == [b"first"]
    assert all(isinstance(raw, bytes) for raw, _, _ in decode_records(MAGIC + tail))
    broken = bytearray(good)
    broken[-1] ^= flip
    assert [raw for raw, _, _ in decode_records(bytes(broken))] == ([b"first"] if not flip else [])


def test_a_record_that_no_pool_takes_harms_no_other(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        file = disk(tmp_path)
        raws = [b"\x02garbage", TRANSFERS[0].transaction.raw, TRANSFERS[0].transaction.raw]
        put(file, *(encode_record(raw, local=True, arrived_ms=1) for raw in raws))
        bench = Bench(file, threads)
        assert await bench.restore() == 1
        assert bench.hashes() == {TRANSFERS[0].transaction.hash}

    run(work)


def test_the_file_does_not_grow_beyond_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What left the pool leaves the file as well, once it is worth the writing."""
    monkeypatch.setattr(journal, "_SLACK_BYTES", 4096)

    async def work(threads: ThreadPoolExecutor) -> None:
        bench = Bench(disk(tmp_path), threads)
        await bench.restore()
        path = tmp_path / "pool.log"
        for _ in range(200):
            bench.add(TRANSFERS[0])
            bench.mempool.drop(TRANSFERS[0].transaction.hash)
            await settled()
            await bench.journal.written()
        assert path.stat().st_size < 3 * 4096
        bench.add(TRANSFERS[1])
        await settled()
        again = Bench(disk(tmp_path), threads)
        await again.restore()
        assert TRANSFERS[1].transaction.hash in again.mempool

    run(work)


def test_what_comes_while_the_file_is_written_anew_is_in_it(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        bench = Bench(disk(tmp_path), threads)
        bench.add(TRANSFERS[0])
        writing = asyncio.create_task(bench.restore())
        for checked in TRANSFERS[1:]:
            bench.add(checked)
            await asyncio.sleep(0)
        await writing
        again = Bench(disk(tmp_path), threads)
        await again.restore()
        assert again.hashes() == bench.hashes()

    run(work)


def test_a_process_that_is_killed_while_it_writes_anew_loses_nothing(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        bench = Bench(disk(tmp_path), threads)
        await bench.restore()
        go = threading.Event()
        threads.submit(go.wait)  # whatever is to be written waits
        bench.journal._rewrite_soon()
        for checked in TRANSFERS:
            bench.add(checked)
            await settled()
        data = disk(tmp_path).read()
        go.set()
        assert data is not None
        raws = [raw for raw, _, _ in decode_records(data)]
        assert raws == [checked.transaction.raw for checked in TRANSFERS]
        await bench.journal.written()

    run(work)


def test_what_does_not_fit_the_buffer_meanwhile_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_BUFFER_BYTES_MAX", 200)

    async def work(threads: ThreadPoolExecutor) -> None:
        bench = Bench(disk(tmp_path), threads)
        writing = asyncio.create_task(bench.restore())
        await asyncio.sleep(0)
        for checked in TRANSFERS:
            bench.add(checked)
        await writing
        again = Bench(disk(tmp_path), threads)
        await again.restore()
        assert again.hashes() == bench.hashes()

    run(work)


class FullDisk:
    """Refuses to write, half way, until there is room again."""

    def __init__(self, path: Path) -> None:
        self.file = disk(path)
        self.full = False

    def read(self) -> bytes | None:
        return self.file.read()

    def write(self, data: bytes) -> None:
        if self.full:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "no space")
        self.file.write(data)

    def prepare(self, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        self.file.prepare(data)

    def swap(self) -> None:
        self.file.swap()

    def close(self) -> None:
        self.file.close()


def test_a_full_disk_costs_no_transaction_and_heals(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        file = FullDisk(tmp_path)
        bench = Bench(file, threads)
        await bench.restore()
        bench.add(TRANSFERS[0])
        await settled()
        file.full = True
        for checked in TRANSFERS[1:4]:
            bench.add(checked)
            await settled()
        assert len(bench.mempool) == 4
        kept = Bench(disk(tmp_path), threads)
        data = disk(tmp_path).read()
        assert data is not None and len(list(decode_records(data))) == 1
        assert len(kept.mempool) == 0
        file.full = False
        bench.now += 61
        bench.add(TRANSFERS[4])
        await settled()
        await bench.journal.written()
        again = Bench(disk(tmp_path), threads)
        await again.restore()
        assert again.hashes() == bench.hashes()

    run(work)


class Simulated:
    """A file of a simulated disk, in the journal's terms."""

    def __init__(self, file: SimulatedFile) -> None:
        self.file = file
        self.fresh = b""
        self.read, self.write, self.close = file.read, file.write, file.close

    def prepare(self, data: bytes) -> None:
        self.fresh = data

    def swap(self) -> None:
        self.file.replace(self.fresh)


@pytest.mark.parametrize("seed", range(20))
def test_after_a_power_cut_a_beginning_of_it_is_there(seed: int) -> None:
    """Nothing is synced: of what was appended the disk keeps as much as it likes."""

    async def work(threads: ThreadPoolExecutor) -> None:
        machine = Disk(Random(seed))
        first = Bench(Simulated(machine.file("pool.log")), threads)
        await first.restore()
        for checked in TRANSFERS:
            first.add(checked)
            await settled()
        machine.crash()
        second = Bench(Simulated(machine.file("pool.log")), threads)
        kept = await second.restore()
        assert second.hashes() == {item.transaction.hash for item in TRANSFERS[:kept]}

    run(work)


def test_an_unkept_pool_leaves_an_empty_file(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        bench = Bench(disk(tmp_path), threads)
        await bench.restore()
        bench.add(TRANSFERS[0])
        await settled()
        await bench.journal.stop(keep=False)
        again = Bench(disk(tmp_path), threads)
        assert await again.restore() == 0

    run(work)


def test_what_is_in_blocks_by_then_stays_out(tmp_path: Path) -> None:
    async def work(threads: ThreadPoolExecutor) -> None:
        file = disk(tmp_path)
        raws = [item.transaction.raw for item in TRANSFERS[:2]]
        put(file, *(encode_record(raw, local=False, arrived_ms=1) for raw in raws))
        bench = Bench(file, threads)
        bench.mempool.add(TRANSFERS[0])
        assert await bench.restore() == 1

    run(work)
    assert LEDGER.height == Height(0)
