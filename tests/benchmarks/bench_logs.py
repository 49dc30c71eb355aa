"""The index behind eth_getLogs: making its rows, and finding heights among many.

Every height has one token transfer between two of 100,000 accounts, every 100,000th one
more log of a rare address. Found are heights; reading the logs of each comes on top, in
the order of 100 us a block.

    python -m tests.benchmarks.bench_logs [--heights N]
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Collection, Sequence
from itertools import islice
from time import perf_counter

from chain import log_index
from chain.blocks import Log, Receipt
from chain.storage import schema
from chain.storage.rocks import RocksStore
from chain.storage.store import Change
from chain.types import Address, Hash
from tests.benchmarks import table

_BATCH = 50_000  # rows per write
_RARE_EVERY = 100_000

TOKEN, RARE = Address(b"\x01" * 20), Address(b"\x03" * 20)
TRANSFER = Hash(b"\x02" * 32)


def fill(store: RocksStore, heights: int, accounts: Sequence[Hash]) -> tuple[int, float]:
    """Write the rows; how many there are, and the seconds that making them took."""
    chance = random.Random(1)
    rows, making = 0, 0.0
    batch: list[Change] = []
    for height in range(heights):
        topics = (TRANSFER, chance.choice(accounts), chance.choice(accounts))
        logs = [Log(TOKEN, topics, bytes(32))]
        if height % _RARE_EVERY == 0:
            logs.append(Log(RARE, (TRANSFER,), b""))
        receipt = Receipt(2, 1, None, 21_000, bytes(256), tuple(logs))
        start = perf_counter()
        keys = list(log_index.rows(height, [receipt]))
        making += perf_counter() - start
        rows += len(keys)
        batch += [(schema.LOG_INDEX, key, b"") for key in keys]
        if len(batch) > _BATCH:
            store.write(batch, sync=False)
            batch.clear()
    store.write(batch, sync=True)
    store.flush()
    return rows, making


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heights", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    accounts = [Hash(bytes(12) + random.Random(number).randbytes(20)) for number in range(100_000)]
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as folder:
        store = RocksStore(folder)
        rows, making = fill(store, options.heights, accounts)
        print(f"{options.heights:,} heights, {rows:,} rows; {table.machine()}")
        print(f"  making      {making / rows * 1e6:8.1f} us a row")
        print(f"  disk        {store.size() / rows:8.1f} bytes a row")

        def query(
            name: str, addresses: Collection[Address], topics: Sequence[Collection[Hash]], most: int
        ) -> list[object]:
            best = float("inf")
            for _ in range(3):
                start = perf_counter()
                where = range(options.heights)
                found = log_index.find(store, addresses, topics, where, lambda _: None)
                count = sum(1 for _ in islice(found, most))
                best = min(best, perf_counter() - start)
            return [name, count, best * 1e3]

        table.show(
            ("wanted", "heights", "ms"),
            [
                query("a rare address", [RARE], [], 10_000),
                query("one account as sender", [TOKEN], [[TRANSFER], [accounts[5]]], 10_000),
                query("one pair", [TOKEN], [[TRANSFER], [accounts[5]], [accounts[6]]], 10_000),
                query("100 accounts as recipients", [TOKEN], [[], [], accounts[:100]], 10_000),
                query("the token, first 10,000", [TOKEN], [[TRANSFER]], 10_000),
            ],
        )
        store.close()


if __name__ == "__main__":
    main(sys.argv[1:])
