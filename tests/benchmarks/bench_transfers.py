"""Transfers a second, from raw bytes to a committed block of 5,000, beside py-evm.

Ours: decode, check and run, while other threads recover the senders in batches; roots and
receipts; one synced RocksDB write. py-evm: decode, recover, `mine_all`, which applies, computes
the roots and persists - to memory, with nothing synced.

py-evm recovers senders through libsecp256k1 when coincurve is installed beside it, as
here, and in plain Python when it is installed alone; both ratios are given.
"""

import tempfile
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from chain.crypto.keccak import keccak
from chain.errors import Rejected
from chain.ledger import Ledger
from chain.storage.rocks import RocksStore
from chain.transactions import decode_transaction
from chain.validation import check_ahead
from tests.benchmarks import table
from tests.benchmarks.transfers import (
    CHAIN_ID,
    genesis,
    new_block,
    pyevm_chain,
    signed_transfers,
)

BLOCK = 5_000
ROUNDS = 4
STAGES = ("decode, check, run", "roots", "write")


def ours(ledger: Ledger, raws: list[bytes]) -> list[float]:
    """Seconds of each stage for one committed block."""
    marks = [perf_counter()]
    builder = new_block(ledger)
    checked = check_ahead(map(decode_transaction, raws), builder.execution.fork, CHAIN_ID)
    for each in checked:
        if isinstance(each, Rejected):
            raise each
        builder.add(each)
    marks.append(perf_counter())
    executed = builder.seal()
    marks.append(perf_counter())
    ledger.commit(executed)
    marks.append(perf_counter())
    assert len(ledger.receipts(ledger.height)) == len(raws)
    return [after - before for before, after in pairwise(marks)]


def pyevm(chain: Any, raws: list[bytes]) -> tuple[float, float, float]:
    """Seconds to decode, to recover the senders, and to mine one block."""
    builder = chain.get_vm().get_transaction_builder()
    start = perf_counter()
    transactions = [builder.decode(raw) for raw in raws]
    decoded = perf_counter()
    for transaction in transactions:
        _ = transaction.sender  # kept: mining does not recover it again
    recovered = perf_counter()
    mined, _, _ = chain.mine_all(transactions)
    end = perf_counter()
    assert mined.imported_block.header.gas_used == 21_000 * len(raws)
    return decoded - start, recovered - decoded, end - recovered


def plain_recovery(raws: list[bytes]) -> float:
    """Seconds a recovery takes in eth-keys' plain Python, what py-evm has when alone."""
    from eth.vm.forks.cancun.transactions import CancunTransactionBuilder
    from eth_keys.backends.native.main import NativeECCBackend
    from eth_keys.datatypes import Signature

    backend = NativeECCBackend()
    signed = [CancunTransactionBuilder.decode(raw) for raw in raws]
    start = perf_counter()
    for transaction in signed:
        vrs = (transaction.y_parity, transaction.r, transaction.s)
        message = transaction.get_message_for_signing()
        backend.ecdsa_recover(keccak(message), Signature(vrs=vrs))
    return (perf_counter() - start) / len(raws)


def main() -> None:
    print(f"transfers, raw bytes to a committed block of {BLOCK:,}; {table.machine()}")
    stages: list[list[float]] = []
    others: list[tuple[float, float, float]] = []
    blocks = [signed_transfers(n * BLOCK, BLOCK) for n in range(ROUNDS + 1)]
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(RocksStore(Path(folder) / "ledger"), genesis())
        chain = pyevm_chain()
        ours(ledger, blocks[0])  # loads the kernels
        pyevm(chain, blocks[0][:500])
        chain = pyevm_chain()
        for number, raws in enumerate(blocks[1:]):
            table.settle()
            stages.append(ours(ledger, raws))
            table.settle()
            others.append(pyevm(chain, blocks[number]))
        ledger.close()
    plain = plain_recovery(blocks[0][:50])
    each = [min(round_[at] for round_ in stages) / BLOCK * 1e6 for at in range(len(STAGES))]
    best = min(map(sum, stages)) / BLOCK * 1e6
    other = min(map(sum, others)) / BLOCK * 1e6
    recovery = min(seconds[1] for seconds in others) / BLOCK * 1e6
    alone = other - recovery + plain * 1e6
    table.show(("stage, ours", "us a transfer"), [*zip(STAGES, each, strict=True), ("all", best)])
    print()
    table.show(
        ("", "us a transfer", "transfers/s", "ours is faster by"),
        [
            ("ours, RocksDB, synced", best, round(1e6 / best), 1.0),
            ("py-evm, memory, with coincurve", other, round(1e6 / other), other / best),
            ("py-evm, memory, alone", alone, round(1e6 / alone), alone / best),
        ],
    )


if __name__ == "__main__":
    main()
