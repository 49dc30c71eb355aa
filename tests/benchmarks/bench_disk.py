"""Bytes of the data folder after 100,000 transfers to as many new accounts, full history kept."""

import tempfile
from pathlib import Path
from time import perf_counter

from chain.ledger import Ledger
from chain.storage.rocks import RocksStore
from tests.benchmarks import table
from tests.benchmarks.transfers import build, folder_bytes, genesis, signed_transfers

BLOCK = 1_000
BLOCKS = 100


def main() -> None:
    print(f"{BLOCKS * BLOCK:,} transfers in blocks of {BLOCK:,}; {table.machine()}")
    raw_bytes = 0
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(RocksStore(Path(folder) / "ledger"), genesis())
        for number in range(BLOCKS):
            raws = signed_transfers(number * BLOCK, BLOCK)
            raw_bytes += sum(map(len, raws))
            start = perf_counter()
            ledger.commit(build(ledger, raws))
            seconds += perf_counter() - start
        written = folder_bytes(Path(folder))
        ledger.close()
        closed = folder_bytes(Path(folder))
        Ledger.open(RocksStore(Path(folder) / "ledger"), genesis()).close()
        reopened = folder_bytes(Path(folder))
    count = BLOCKS * BLOCK
    table.show(
        ("", "MB", "bytes a transfer"),
        [
            ("the transactions themselves", raw_bytes / 1e6, raw_bytes / count),
            ("folder while the ledger runs", written / 1e6, written / count),
            ("folder after closing", closed / 1e6, closed / count),
            ("folder after opening again", reopened / 1e6, reopened / count),
        ],
    )
    print(f"{count / seconds:,.0f} transfers/s while it was filled")


if __name__ == "__main__":
    main()
