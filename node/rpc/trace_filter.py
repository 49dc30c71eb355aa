"""trace_filter: the messages of a range of blocks from or to some accounts."""

import heapq
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from chain.types import Address, Height
from node.rpc.context import Context
from node.rpc.errors import LIMIT_EXCEEDED, RpcError, invalid_params
from node.rpc.formats import Json
from node.rpc.parameters import (
    BlockNumber,
    parse_address,
    parse_block_number,
    parse_count,
    parse_list,
    parse_object,
    parse_text,
)
from node.rpc.ranges import too_wide
from node.rpc.registry import method, parsed_by
from node.rpc.replay import run_trace
from node.rpc.trace_options import TraceOptions
from node.rpc.traces import block_traces
from node.tracing import Budget, Stopped

_ADDRESSES_MAX: Final = 1_000


def parse_trace_filter(value: Any) -> "TraceFilter":
    """ValueError for what is no filter."""
    fields = parse_object(value)
    bounds: dict[str, Any] = {}
    for name, key in (("first", "fromBlock"), ("last", "toBlock")):
        if fields.get(key) is not None:
            bounds[name] = _parse_bound(fields[key])
    for name in ("after", "count"):
        if fields.get(name) is not None:
            bounds[name] = parse_count(fields[name])
    mode = fields.get("mode")
    if mode is not None and parse_text(mode) not in ("union", "intersection"):
        raise ValueError("mode is neither union nor intersection")
    return TraceFilter(
        senders=_parse_addresses(fields.get("fromAddress")),
        targets=_parse_addresses(fields.get("toAddress")),
        either=mode != "intersection",
        **bounds,
    )


def _parse_bound(value: Any) -> BlockNumber:
    """A tag or a height, which may be a JSON number as for reth."""
    if type(value) is int and 0 <= value < 2**63:
        return value
    return parse_block_number(value)


def _parse_addresses(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset()
    items = [value] if isinstance(value, str) else parse_list(value)
    if len(items) > _ADDRESSES_MAX:
        raise invalid_params("exceed max addresses")
    return frozenset(f"0x{parse_address(item).hex()}" for item in items)


@parsed_by(parse_trace_filter)
class TraceFilter(Struct, frozen=True):
    """Which messages are wanted. No addresses: any; `either`: one side is enough."""

    senders: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    either: bool = True
    first: BlockNumber = "earliest"
    last: BlockNumber = "latest"
    after: int = 0
    count: int | None = None


@method("trace_filter")
async def trace_filter(ctx: Context, wanted: TraceFilter) -> list[dict[str, Any]]:
    """Messages by block range, sender and recipient, `count` of them after the first `after`.

    With both senders and recipients a message must have one of either, or of each with
    the mode "intersection".
    """
    where = _range(ctx, wanted)
    if not where:
        return []

    def trace(budget: Budget, _: TraceOptions) -> list[Json]:
        found: list[Json] = []
        skip = wanted.after
        height = Height(where.start)
        try:
            for height in _candidates(ctx, wanted, where, budget):
                for item in block_traces(ctx, height, budget):
                    if not _matches(wanted, item):
                        continue
                    if skip:
                        skip -= 1
                        continue
                    if wanted.count is not None and len(found) >= wanted.count:
                        return found
                    found.append(item)
        except Stopped as stopped:
            raise _too_much(stopped, where, height) from None
        return found

    found: list[Json] = await run_trace(ctx, trace)
    return found


def _range(ctx: Context, wanted: TraceFilter) -> range:
    head = ctx.ledger.height

    def height(block: BlockNumber) -> int:
        if isinstance(block, int):
            return block
        return 0 if block == "earliest" else head

    first, last = height(wanted.first), height(wanted.last)
    if first > last:
        raise invalid_params("invalid parameters: fromBlock cannot be greater than toBlock")
    last = min(last, head)
    limit = ctx.node.settings.rpc.log_heights_max
    if last - first >= limit:
        problem = f"block range too large: {last - first + 1} blocks, at most {limit}"
        raise too_wide(problem, first, first + limit - 1)
    return range(max(first, ctx.lowest), last + 1)


def _candidates(
    ctx: Context, wanted: TraceFilter, where: range, budget: Budget
) -> Iterator[Height]:
    """The heights that may have such messages, ascending.

    Told by the index of addresses where it knows all: not before Berlin or the merge, not
    of precompiles, and not of fee recipients in their own blocks.
    """
    ledger = ctx.ledger
    fork = ctx.fork_of(ctx.header(Height(where.start)))
    sides = [
        frozenset(Address(bytes.fromhex(item[2:])) for item in side)
        for side in (wanted.senders, wanted.targets)
        if side
    ]
    everyone = frozenset().union(*sides)
    indexed = fork.access_lists and fork.merged and where.start >= ledger.indexed_from
    if not sides or not indexed or everyone & fork.precompiles:
        for number in where:
            budget.tick()
            yield Height(number)
        return
    if wanted.either:
        sides = [everyone]
    listed = [_Listed(ctx, side, where) for side in sides]
    for number in where:
        budget.tick()
        height = Height(number)
        header = ctx.header(height)
        if header.gas_used and (
            header.coinbase in everyone or all(side.has(number) for side in listed)
        ):
            yield height


class _Listed:
    """The heights that the index has for any of some addresses, asked for in ascending order."""

    def __init__(self, ctx: Context, addresses: frozenset[Address], where: range) -> None:
        self._rows = heapq.merge(
            *(
                (found.height for found in ctx.ledger.appearances(one, where, newest_first=False))
                for one in addresses
            )
        )
        self._next = next(self._rows, None)

    def has(self, height: int) -> bool:
        while self._next is not None and self._next < height:
            self._next = next(self._rows, None)
        return self._next == height


def _too_much(stopped: Stopped, where: range, reached: int) -> RpcError:
    """The refusal that names how far the query would have come."""
    if reached == where.start:
        return RpcError(LIMIT_EXCEEDED, f"{stopped.limit.value} in block {reached:#x}")
    return too_wide(stopped.limit.value, where.start, reached - 1)


def _matches(wanted: TraceFilter, item: Json) -> bool:
    sender, target = _ends(item)
    by_sender = sender in wanted.senders
    by_target = target in wanted.targets
    if wanted.either and wanted.senders and wanted.targets:
        return by_sender or by_target
    return (by_sender or not wanted.senders) and (by_target or not wanted.targets)


def _ends(item: Json) -> tuple[str | None, str | None]:
    """Who a message is from, and whom it is to."""
    action = item["action"]
    match item["type"]:
        case "call":
            return action["from"], action["to"]
        case "create":
            return action["from"], (item.get("result") or {}).get("address")
        case "suicide":
            return action["address"], action["refundAddress"]
        case _:
            return None, action["author"]
