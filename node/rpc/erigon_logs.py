"""erigon_getLogs and erigon_getLatestLogs: queries of logs that have the time of their block."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from node.rpc.context import Context
from node.rpc.errors import LIMIT_EXCEEDED, RpcError, invalid_params, server_error
from node.rpc.formats import Json, data
from node.rpc.log_filters import LogFilter
from node.rpc.logs import find_logs, heights
from node.rpc.parameters import parse_bool, parse_count, parse_object
from node.rpc.registry import method, parsed_by

_GROWTH: Final = 8  # of the ranges that are looked at one after another, back from the newest


def parse_latest(value: Any) -> "Latest":
    """ValueError for what are no options."""
    fields = parse_object(value)
    return Latest(
        logs=parse_count(fields.get("logCount", 0)),
        blocks=parse_count(fields.get("blockCount", 0)),
        any_order=parse_bool(fields.get("ignoreTopicsOrder", False)),
    )


@parsed_by(parse_latest)
class Latest(Struct, frozen=True):
    """How many of the newest logs are wanted, or of how many blocks; 0: not told.

    `any_order`: topics match in any position.
    """

    logs: int = 0
    blocks: int = 0
    any_order: bool = False


@method("erigon_getLogs")
def get_logs(ctx: Context, wanted: LogFilter) -> list[dict[str, Any]]:
    """The logs that match a filter, in the order of the chain; without bounds, of all blocks."""
    where = _heights(ctx, wanted)
    return [_timed(log) for log in find_logs(ctx, wanted, where)]


@method("erigon_getLatestLogs")
def get_latest_logs(ctx: Context, wanted: LogFilter, options: Latest) -> list[dict[str, Any]]:
    """The newest logs that match a filter: so many of them, of so many blocks, or only one.

    The newest transaction's come first, each one's in their order.
    """
    if options.logs and options.blocks:
        raise server_error("logs count & block count are ambigious")
    limit = ctx.node.settings.rpc.logs_max
    if options.logs > limit:
        raise invalid_params(f"requested log count: {options.logs}, maximum {limit}")
    most = options.logs or (limit if options.blocks else 1)
    found: list[Json] = []
    blocks: set[str] = set()
    for log in _newest_first(ctx, wanted, options):
        blocks.add(log["blockHash"])
        if len(found) == most or (options.blocks and len(blocks) > options.blocks):
            break
        found.append(_timed(log))
    return found


def _newest_first(ctx: Context, wanted: LogFilter, options: Latest) -> Iterator[Json]:
    """The logs that match, transaction by transaction back from the newest."""
    where = _heights(ctx, wanted)
    topics = frozenset(data(topic) for group in wanted.topics for topic in group)
    if options.any_order:
        wanted = replace(wanted, topics=())
    stop, size = where.stop, 1
    while stop > where.start:
        part = range(max(where.start, stop - size), stop)
        try:
            logs = find_logs(ctx, wanted, part)
        except RpcError as error:
            # Too many logs for one look: there are fewer in a part of the range.
            if error.code != LIMIT_EXCEEDED or len(part) == 1:
                raise
            size = 1
            continue
        by_transaction = [list(group) for _, group in groupby(logs, _transaction)]
        for log in (log for group in reversed(by_transaction) for log in group):
            if not (options.any_order and topics) or topics.intersection(log["topics"]):
                yield log
        stop, size = part.start, size * _GROWTH


def _transaction(log: Json) -> str:
    return str(log["transactionHash"])


def _heights(ctx: Context, wanted: LogFilter) -> range:
    """The heights of a filter, of which all that are not told are meant."""
    if wanted.block_hash is None:
        head = ctx.ledger.height
        last = min(wanted.last, head) if isinstance(wanted.last, int) else wanted.last
        first = "earliest" if wanted.first is None else wanted.first
        wanted = replace(wanted, first=first, last=last)
    return heights(ctx, wanted)


def _timed(log: Json) -> Json:
    """A log in Erigon's form; without a time if it is of a fork's source that tells none."""
    fields = dict(log)
    fields["timestamp"] = fields.pop("blockTimestamp", None)
    return fields
