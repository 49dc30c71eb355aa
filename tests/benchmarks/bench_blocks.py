"""Blocks imported a second: decoded, checked, run, compared with their headers, committed.

The blocks are of 200 transfers each, built by our builder and imported by both sides,
each starting from genesis: py-evm's `import_block` writes to memory, ours to RocksDB, synced.
"""

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from chain.blocks import decode_block, encode_block
from chain.execution import apply_block
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from chain.storage.rocks import RocksStore
from contracts.vm import Interpreter
from tests.benchmarks import table
from tests.benchmarks.transfers import build, genesis, pyevm_chain, signed_transfers

BLOCKS = 30
TRANSFERS = 200
ROUNDS = 2


def exported() -> list[bytes]:
    """The RLP of the blocks."""
    ledger = Ledger.open(MemoryStore(), genesis())
    found: list[bytes] = []
    for number in range(BLOCKS):
        executed = build(ledger, signed_transfers(number * TRANSFERS, TRANSFERS))
        ledger.commit(executed)
        found.append(encode_block(executed.block))
    return found


def ours(ledger: Ledger, blocks: list[bytes]) -> float:
    machine = Interpreter()
    start = perf_counter()
    for raw in blocks:
        block = decode_block(raw)
        executed = apply_block(
            ledger.view(), block, ledger.head, machine, ledger.config, ledger.hash_at
        )
        ledger.commit(executed)
    return perf_counter() - start


def pyevm(chain: Any, blocks: list[bytes]) -> float:
    import rlp

    start = perf_counter()
    for raw in blocks:
        block = rlp.decode(raw, sedes=chain.get_vm().get_block_class())
        chain.import_block(block)
    return perf_counter() - start


def main() -> None:
    print(f"{BLOCKS} blocks of {TRANSFERS} transfers imported; {table.machine()}")
    blocks = exported()
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger.open(RocksStore(Path(folder) / "ledger"), genesis())
            table.settle()
            mine.append(ours(ledger, blocks))
            head = ledger.head_hash
            ledger.close()
        chain = pyevm_chain()
        table.settle()
        theirs.append(pyevm(chain, blocks))
        assert chain.get_canonical_head().hash == head
    best, other = min(mine), min(theirs)
    table.show(
        ("", "blocks/s", "transfers/s", "ours is faster by"),
        [
            ("ours, RocksDB, synced", BLOCKS / best, BLOCKS * TRANSFERS / best, 1.0),
            ("py-evm, memory", BLOCKS / other, BLOCKS * TRANSFERS / other, other / best),
        ],
    )


if __name__ == "__main__":
    main()
