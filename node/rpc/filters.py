"""Installed filters: what a caller polls for, remembered between its polls.

A final block is never taken back, so a filter on blocks or logs is a position in the chain;
where a developer does take blocks back, `rewind` is told.
A filter that nobody polls for a while is removed.
"""

import asyncio
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from chain.transactions import Checked
from chain.types import Height
from node.announce import Closed
from node.rpc.context import Context
from node.rpc.errors import LIMIT_EXCEEDED, RpcError, server_error
from node.rpc.formats import data, pending_transaction_json
from node.rpc.log_filters import LogFilter, check_bounds
from node.rpc.logs import find_logs, heights
from node.rpc.parameters import Name
from node.rpc.registry import method
from node.settings import RpcSettings

if TYPE_CHECKING:
    from node.node import Node

# Transactions that a filter holds for its next poll; older ones are let go.
_BLOCKS_MAX: Final = 10_000  # hashes told by one poll; the next one tells the rest
_TRANSACTIONS_MAX: Final = 10_000


class Filter:
    """One installed filter. `next_height` is where its next poll begins."""

    __slots__ = ("full", "next_height", "polled", "polling", "transactions", "wanted")

    def __init__(self, next_height: int) -> None:
        self.next_height = next_height
        self.wanted: LogFilter | None = None  # set: a log filter
        self.transactions: deque[Checked] | None = None  # set: a pending transaction filter
        self.full = False
        self.polled = time.monotonic()
        self.polling = asyncio.Lock()  # polls take turns, so that none gets another's news


class Filters:
    """All filters of the server, with the one subscription that feeds them."""

    def __init__(self, settings: RpcSettings, node: "Node") -> None:
        self._settings = settings
        self._node = node
        self._filters: dict[str, Filter] = {}
        self._feeding: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._feeding = asyncio.get_running_loop().create_task(self._feed())

    async def stop(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        self._filters.clear()

    async def _feed(self) -> None:
        """Hand each pooled transaction to the filters that collect them."""
        while True:
            subscription = self._node.announcements.subscribe("transactions")
            try:
                while True:
                    checked = await subscription.get()
                    for installed in self._filters.values():
                        if installed.transactions is not None:
                            installed.transactions.append(checked)
            except Closed:
                if self._node.announcements.closed:
                    return
                await asyncio.sleep(0)  # dropped in a burst: listen again
            finally:
                subscription.close()

    def install(self, installed: Filter) -> str:
        """Keep a filter; gives its name. RpcError when there are too many."""
        self._expire()
        if len(self._filters) >= self._settings.filters_max:
            raise RpcError(
                LIMIT_EXCEEDED, f"too many filters, at most {self._settings.filters_max}"
            )
        name = "0x" + secrets.token_hex(16)
        self._filters[name] = installed
        return name

    def get(self, name: str) -> Filter:
        self._expire()
        installed = self._filters.get(name)
        if installed is None:
            raise server_error("filter not found")
        installed.polled = time.monotonic()
        return installed

    def rewind(self, height: int) -> None:
        """Blocks above `height` were taken back: what comes in their place is news again."""
        for installed in self._filters.values():
            installed.next_height = min(installed.next_height, height + 1)

    def remove(self, name: str) -> bool:
        return self._filters.pop(name, None) is not None

    def __len__(self) -> int:
        return len(self._filters)

    def _expire(self) -> None:
        oldest = time.monotonic() - self._settings.filter_idle_seconds
        for name in [name for name, item in self._filters.items() if item.polled < oldest]:
            del self._filters[name]


@method("eth_newFilter")
async def new_filter(ctx: Context, wanted: LogFilter) -> str:
    """Watch for logs that match."""
    check_bounds(wanted)
    installed = Filter(ctx.ledger.height + 1)
    installed.wanted = wanted
    return ctx.filters.install(installed)


@method("eth_newBlockFilter")
async def new_block_filter(ctx: Context) -> str:
    """Watch for new blocks."""
    return ctx.filters.install(Filter(ctx.ledger.height + 1))


@method("eth_newPendingTransactionFilter")
async def new_pending_transaction_filter(ctx: Context, full: bool = False) -> str:
    """Watch for transactions entering the pool: their hashes, or all of them when `full`."""
    installed = Filter(0)
    installed.transactions = deque(maxlen=_TRANSACTIONS_MAX)
    installed.full = full
    return ctx.filters.install(installed)


@method("eth_uninstallFilter")
async def uninstall_filter(ctx: Context, name: Name) -> bool:
    """Forget a filter; whether it was there."""
    return ctx.filters.remove(name)


@method("eth_getFilterChanges")
async def get_filter_changes(ctx: Context, name: Name) -> list[Any]:
    """What came since the last poll: hashes of blocks or transactions, or logs."""
    installed = ctx.filters.get(name)
    if installed.transactions is not None:
        return _take_transactions(installed)
    async with installed.polling:
        limit = ctx.node.settings.rpc.log_heights_max if installed.wanted else _BLOCKS_MAX
        end = min(ctx.ledger.height + 1, installed.next_height + limit)
        where = range(installed.next_height, end)
        found: list[Any] = await ctx.heavy.run(_changes, ctx, installed.wanted, where)
        # Only now: what took too long is told by the next poll.
        installed.next_height = max(installed.next_height, end)
        return found


def _changes(ctx: Context, wanted: LogFilter | None, where: range) -> list[Any]:
    """The logs wanted of these heights, or the blocks' hashes."""
    if wanted is None:
        return [data(ctx.ledger.hash_at(Height(number))) for number in where]
    return find_logs(ctx, wanted, _within(wanted, where))


@method("eth_getFilterLogs")
async def get_filter_logs(ctx: Context, name: Name) -> list[dict[str, Any]]:
    """All logs that match a filter, polled before or not."""
    wanted = ctx.filters.get(name).wanted
    if wanted is None:
        raise server_error("filter not found")
    found: list[dict[str, Any]] = await ctx.heavy.run(find_logs, ctx, wanted, heights(ctx, wanted))
    return found


def _take_transactions(installed: Filter) -> list[Any]:
    queue = installed.transactions
    assert queue is not None
    taken = [queue.popleft() for _ in range(len(queue))]
    if installed.full:
        return [pending_transaction_json(item.transaction, item.sender) for item in taken]
    return [data(item.transaction.hash) for item in taken]


def _within(wanted: LogFilter, where: range) -> range:
    """The part of a range that the filter's own bounds leave."""
    first = wanted.first if isinstance(wanted.first, int) else where.start
    last = wanted.last if isinstance(wanted.last, int) else where.stop - 1
    return range(max(where.start, first), min(where.stop, last + 1))
