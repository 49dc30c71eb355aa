"""State commit on disk: microseconds per touched account, and bytes per million accounts.

Fills a ledger in RocksDB with random accounts, then commits blocks that each change
10,000 of them, as transfers do. Counted is all from the changed accounts to the synced
write: key hashes, leaves, the trie's records and hashes, flat tables and history; reading
the accounts before the block is not, since execution does that.

    python -m tests.benchmarks.bench_commit [--accounts N] [--touched N] [--blocks N] [--profile]
"""

import argparse
import cProfile
import gc
import pstats
import random
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, thread_time
from typing import NamedTuple

from msgspec.structs import replace

from chain.blocks import Block
from chain.commitment import commit
from chain.execution import Executed
from chain.genesis import dev_genesis
from chain.headers import header_hash
from chain.ledger import Ledger
from chain.state import Account, Delta
from chain.storage.rocks import RocksStore
from chain.types import Address

_FILL = 50_000  # accounts per block while filling


class Timing(NamedTuple):
    """Seconds that a block took."""

    total: float
    root: float
    write: float
    processor: float  # of the committing thread


def _commit(ledger: Ledger, delta: Delta) -> Timing:
    """Commit a block with these changes."""
    start, start_thread = perf_counter(), thread_time()
    changes = commit(ledger.view(), delta)
    rooted = perf_counter()
    header = replace(
        ledger.head,
        parent_hash=ledger.head_hash,
        number=ledger.height + 1,
        state_root=changes.root,
    )
    executed = Executed(Block(header, (), (), ()), header_hash(header), (), (), changes)
    ledger.commit(executed)
    end = perf_counter()
    return Timing(end - start, rooted - start, end - rooted, thread_time() - start_thread)


def _transfers(ledger: Ledger, chosen: list[Address], amount: int) -> Delta:
    """What a block of transfers among these accounts leaves."""
    view = ledger.view()
    accounts: dict[Address, Account | None] = {}
    for address in chosen:
        old = view.account(address) or Account()
        accounts[address] = replace(old, nonce=old.nonce + 1, balance=old.balance + amount)
    return Delta(accounts, {}, frozenset(), {})


def _resident() -> float:
    """Megabytes of memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--touched", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--profile", action="store_true", help="profile one more block")
    options = parser.parse_args(arguments)
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="bench-commit-") as folder:
        store = RocksStore(folder)
        ledger = Ledger.open(store, dev_genesis())
        before = _resident()
        addresses = [Address(chance.randbytes(20)) for _ in range(options.accounts)]
        filled = perf_counter()
        for at in range(0, options.accounts, _FILL):
            _commit(ledger, _transfers(ledger, addresses[at : at + _FILL], 10**20))
        filled = perf_counter() - filled
        store.flush()
        flushed = store.size() / 1e6
        print(f"{options.accounts:,} accounts, {options.touched:,} touched per block")
        print(f"  filling               {filled / options.accounts * 1e6:8.1f} us per account")
        print(f"  disk                  {flushed / options.accounts * 1e6:8.1f} MB per million")
        gc.collect()
        gc.freeze()
        timings = []
        for _ in range(options.blocks):
            chosen = chance.sample(addresses, options.touched)
            delta = _transfers(ledger, chosen, chance.randrange(10**18))
            timings.append(_commit(ledger, delta))
        touched = options.touched
        ranked = sorted(timings)
        for name, timing in (
            ("first block", timings[0]),
            ("best block", ranked[0]),
            ("median block", ranked[len(ranked) // 2]),
        ):
            each = [seconds / touched * 1e6 for seconds in timing]
            print(
                f"  {name:<22}{each[0]:8.1f} us per touched account"
                f" (root {each[1]:.1f}, write {each[2]:.1f}; processor {each[3]:.1f})"
            )
        own = 157 * options.accounts / 1e6  # this script's list of addresses
        print(f"  memory                {_resident() - before - own:8.1f} MB more than at start")
        if options.profile:
            _profile(ledger, chance.sample(addresses, touched))
        ledger.close()


def _profile(ledger: Ledger, chosen: list[Address]) -> None:
    delta = _transfers(ledger, chosen, 7)
    profiler = cProfile.Profile()
    profiler.runcall(_commit, ledger, delta)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(sys.argv[1:])
