"""Log queries: which logs of which blocks match.

Blocks are found by the ledger's index; those from before there was one by the blooms in
their headers. A query ends at its limits with an error that names a range that works.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from chain.blocks import EMPTY_BLOOM, Block, Receipt, bloom_contains
from chain.log_table import matches
from chain.types import Hash, Height
from node.rpc import forked
from node.rpc.context import Context
from node.rpc.errors import LIMIT_EXCEEDED, RpcError, invalid_params, server_error
from node.rpc.formats import Json, log_json, places_of_logs
from node.rpc.log_filters import LogFilter
from node.rpc.parameters import BlockNumber
from node.rpc.ranges import too_wide
from node.rpc.registry import method

_HEADERS_A_TICK: Final = 256


def may_match(wanted: LogFilter, bloom: bytes) -> bool:
    """Whether a block with this bloom can have a log that is wanted; no false denials."""
    groups = (wanted.addresses, *wanted.topics)
    return all(
        not group or any(bloom_contains(bloom, entry) for entry in group) for group in groups
    )


def matching(
    wanted: LogFilter, block: Block, block_hash: Hash, receipts: Sequence[Receipt]
) -> Iterator[Json]:
    """The wanted logs of a block, in order."""
    for log, transaction_hash, index, log_index in places_of_logs(block, receipts):
        if matches(wanted.addresses, wanted.topics, log):
            yield log_json(log, block.header, block_hash, transaction_hash, index, log_index)


def heights(ctx: Context, wanted: LogFilter) -> range:
    """The heights that a filter asks for; RpcError in geth's words when they make no sense."""
    if wanted.block_hash is not None:
        height = ctx.ledger.height_of(wanted.block_hash)
        if height is None and ctx.fork is not None:
            height = forked.height_of_source(ctx.fork, wanted.block_hash)
        if height is None:
            raise server_error("unknown block")
        return range(height, height + 1)
    head = ctx.ledger.height
    first, last = _bound(wanted.first, head), _bound(wanted.last, head)
    if first > last:
        raise invalid_params("invalid block range params")
    if last > head:
        if ctx.node.developer is None and wanted.first in (None, "latest"):
            raise invalid_params("invalid block range params")
        if ctx.node.developer is None or first > head:
            raise invalid_params("block range extends beyond current head block")
        last = head  # as on anvil, whose callers name any high block
    limit = ctx.node.settings.rpc.log_heights_max
    if last - first >= limit:
        problem = f"block range too large: {last - first + 1} blocks, at most {limit}"
        raise too_wide(problem, first, first + limit - 1)
    return range(max(first, ctx.lowest), last + 1)


def _bound(block: BlockNumber | None, head: int) -> int:
    if block is None:
        return head
    if isinstance(block, int):
        return block
    if block == "pending":
        raise invalid_params("pending logs are not supported")
    return 0 if block == "earliest" else head


def find_logs(ctx: Context, wanted: LogFilter, where: range) -> list[Json]:
    """The wanted logs of a range of heights; RpcError when there are too many."""
    settings = ctx.node.settings.rpc
    ledger = ctx.ledger
    deadline = time.monotonic() + settings.call_timeout_ms / 1000
    found: list[Json] = []
    size = 0

    fork = ctx.fork
    if fork is not None and where.start <= fork.height:
        last = min(where.stop - 1, fork.height)
        found += forked.earlier_logs(fork, wanted.addresses, wanted.topics, where.start, last)
        where = range(last + 1, where.stop)

    def tick(reached: int) -> None:
        if time.monotonic() > deadline:
            raise _too_much("query took too long", where, reached)

    for height in _candidates(ctx, wanted, where, tick):
        tick(height)
        table = ledger.logs(height)
        of_block = [
            log_json(
                each.log,
                table.header,
                table.block_hash,
                each.transaction_hash,
                each.transaction_index,
                each.log_index,
            )
            for each in table.find(wanted.addresses, wanted.topics)
        ]
        found += of_block
        size += sum(len(log["data"]) for log in of_block)
        if len(where) == 1:
            continue
        if len(found) > settings.logs_max:
            problem = f"query returned more than {settings.logs_max} results"
            raise _too_much(problem, where, height)
        if size > settings.response_bytes_max:
            problem = f"query returned more than {settings.response_bytes_max} bytes"
            raise _too_much(problem, where, height)
    return found


def _candidates(
    ctx: Context, wanted: LogFilter, where: range, tick: Callable[[int], None]
) -> Iterator[Height]:
    """The heights whose blocks may have logs that are wanted, ascending."""
    ledger = ctx.ledger
    indexed = min(max(where.start, ledger.indexed_from), where.stop)
    everything = not wanted.addresses and not any(wanted.topics)
    for number in range(where.start, indexed):
        if number % _HEADERS_A_TICK == 0:
            tick(number)
        bloom = ledger.header(Height(number)).logs_bloom
        if bloom != EMPTY_BLOOM and (everything or may_match(wanted, bloom)):
            yield Height(number)
    rest = range(indexed, where.stop)
    yield from ledger.heights_with_logs(wanted.addresses, wanted.topics, rest, tick)


def _too_much(problem: str, where: range, reached: int) -> RpcError:
    """The refusal that names the part of the range that was answered when it was over."""
    if reached == where.start:
        return RpcError(LIMIT_EXCEEDED, f"{problem}; try blockHash or the one block {reached:#x}")
    return too_wide(problem, where.start, reached - 1)


@method("eth_getLogs", of_head=True)
def get_logs(ctx: Context, wanted: LogFilter) -> list[dict[str, Any]]:
    """The logs that match a filter, in the order of the chain."""
    return find_logs(ctx, wanted, heights(ctx, wanted))
