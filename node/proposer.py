"""From the pool's candidates to a block: what is run, what is left, what is thrown out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from chain.activation import ChainConfig
from chain.blocks import Header
from chain.errors import Reason, Rejected, SourceFailed
from chain.execution import BlockBuilder, BlockExecution, Executed
from chain.machine import Machine, Tracer
from chain.transactions import Checked
from chain.transition import TransactionResult
from chain.types import Address, Hash
from chain.validators import ConsensusRecord, randomness, record_hash
from chain.views import TrieView

# Reasons that say "not in this block"; everything else says "never".
_NOT_YET = frozenset(
    {
        Reason.BLOCK_GAS_EXCEEDED,
        Reason.BLOB_GAS_EXCEEDED,
        Reason.BLOB_FEE_CAP_TOO_LOW,
        Reason.FEE_CAP_BELOW_BASE_FEE,
        Reason.NONCE_TOO_HIGH,
    }
)
_HEADER_BYTES_MAX = 2048  # room left for the header and the list prefixes


class Run(Struct, frozen=True):
    """A transaction that is in the block, with its result and how long it took."""

    checked: Checked
    result: TransactionResult
    microseconds: int
    prints: tuple[str, ...] = ()  # what its contracts printed, on a developer's chain


class Watcher(Tracer, Protocol):
    """A tracer that notes what one transaction prints."""

    @property
    def lines(self) -> Sequence[str]: ...


class Watch(Struct, frozen=True):
    """What is printed to an address, and who notes it."""

    address: Address
    watcher: Callable[[], Watcher]


class Built(Struct, frozen=True):
    """A block, what happened in it, and the transactions that can never be in one."""

    executed: Executed
    runs: tuple[Run, ...]
    refused: tuple[tuple[Hash, Rejected], ...]


class Ground(Struct, frozen=True):
    """What a block is built on."""

    view: TrieView
    parent: Header
    total_difficulty: int  # up to the parent
    block_hash: Callable[[int], Hash]


def candidates_max(parent: Header) -> int:
    """More transactions than this can't be in the next block."""
    return parent.gas_limit // 21_000 + 1


def build_block(
    ground: Ground,
    candidates: Sequence[Checked],
    record: ConsensusRecord,
    coinbase: Address,
    *,
    machine: Machine,
    config: ChainConfig,
    clock: Callable[[], float],
    seconds_max: float | None = None,
    base_fee: int | None = None,
    gas_limit: int | None = None,
    mix: Hash | None = None,
    watch: Watch | None = None,
) -> Built:
    """Run the candidates in order and seal what fits; the block may turn out empty.

    After `seconds_max` by `clock` no more are begun, so that the others need not wait long.

    Once a sender's transaction does not fit, its later ones are passed over. `base_fee`,
    `gas_limit` and `mix` override what follows from parent and record, and what transactions
    print is noted by `watch` (developer's chains).
    """
    parent = ground.parent
    new_builder = partial(
        BlockBuilder,
        ground.view,
        parent,
        machine,
        config,
        ground.block_hash,
        timestamp=record.timestamp_ms // 1000,
        coinbase=coinbase,
        gas_limit=parent.gas_limit if gas_limit is None else gas_limit,
        randomness=randomness(record) if mix is None else mix,
        beacon_root=record_hash(record),
        base_fee=base_fee,
    )
    builder = new_builder()
    fork = builder.execution.fork
    bytes_left = (fork.block_size_max or 2**62) - _HEADER_BYTES_MAX
    runs: list[Run] = []
    printing: list[int] = []
    refused: list[tuple[Hash, Rejected]] = []
    passed_over: set[Address] = set()
    end = None if seconds_max is None else clock() + seconds_max
    for checked in candidates:
        if builder.gas_left < fork.gas_transaction:
            break
        # Five bytes: the longest string prefix that wraps an envelope in the block's list.
        size = len(checked.transaction.raw) + 5
        if checked.sender in passed_over or size > bytes_left:
            passed_over.add(checked.sender)
            continue
        started = clock()
        if end is not None and started > end:
            break
        try:
            result = builder.add(checked)
        except SourceFailed as failed:
            failed.transaction = checked.transaction.hash
            raise
        except Rejected as rejected:
            passed_over.add(checked.sender)
            if rejected.reason not in _NOT_YET:
                refused.append((checked.transaction.hash, rejected))
            continue
        if watch is not None and _prints(builder.execution, checked, watch.address):
            printing.append(len(runs))
        runs.append(Run(checked, result, round((clock() - started) * 1e6)))
        bytes_left -= size
    if watch is not None and printing:
        _note_prints(runs, printing, new_builder(), watch)
    executed = builder.seal(parent_total_difficulty=ground.total_difficulty)
    return Built(executed, tuple(runs), tuple(refused))


def _prints(execution: BlockExecution, checked: Checked, address: Address) -> bool:
    """Whether the transaction that just ran may have called the address that is printed to."""
    if not execution.fork.access_lists:  # before them it is not known who was called
        return True
    return address in execution.touched[-1] or checked.transaction.to == address


def _note_prints(
    runs: list[Run], printing: Sequence[int], again: BlockBuilder, watch: Watch
) -> None:
    """Run the block's transactions again, up to the last that prints, and note what is printed.

    Few print, and watching all would make each of them slow.
    """
    prints = frozenset(printing)
    for index in range(printing[-1] + 1):
        if index not in prints:
            again.add(runs[index].checked)
            continue
        watcher = watch.watcher()
        again.add(runs[index].checked, watcher)
        runs[index] = replace(runs[index], prints=tuple(watcher.lines))
