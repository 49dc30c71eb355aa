"""eth_subscribe: news pushed over a WebSocket connection."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from chain.execution import Executed
from chain.transactions import Checked
from chain.types import Hash
from node.announce import Closed, Subscription
from node.rpc.blocks import blob_base_fee
from node.rpc.context import Context
from node.rpc.errors import (
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    RpcError,
    invalid_params,
    server_error,
)
from node.rpc.formats import (
    Json,
    data,
    header_json,
    pending_transaction_json,
    receipts_json,
)
from node.rpc.log_filters import LogFilter, check_bounds, is_within, parse_log_filter
from node.rpc.logs import matching, may_match
from node.rpc.parameters import Name, parse_bool, parse_hash
from node.rpc.registry import method
from node.rpc.structures import Structure, listed
from node.settings import RpcSettings

T = TypeVar("T")
Send = Callable[[bytes], Awaitable[None]]


class Subscriptions:
    """The subscriptions of one connection; each is a task that waits for news and sends it."""

    def __init__(
        self,
        settings: RpcSettings,
        ctx: Context,
        send: Send,
        cut_off: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._ctx = ctx
        self._send = send
        self._cut_off = cut_off
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._new: list[asyncio.Event] = []

    def add(self, queue: Subscription[T], render: Callable[[T], Iterable[Any]]) -> str:
        """Begin to push what `render` makes of each announcement; silent until `start_new`.

        Gives the subscription's name.
        """
        if len(self._tasks) >= self._settings.subscriptions_max:
            queue.close()
            raise RpcError(
                LIMIT_EXCEEDED,
                f"too many subscriptions, at most {self._settings.subscriptions_max}",
            )
        name = "0x" + secrets.token_hex(16)
        started = asyncio.Event()
        self._new.append(started)
        self._tasks[name] = asyncio.create_task(self._run(name, queue, render, started))
        self._watches[name] = asyncio.create_task(self._watch(queue))
        return name

    async def _watch(self, queue: Subscription[Any]) -> None:
        """Cut off a client whose queue has overflowed, even while a message to it is stuck."""
        await queue.wait_closed()
        await self._cut_off()

    def start_new(self) -> None:
        """Let the subscriptions speak whose names have been sent."""
        for started in self._new:
            started.set()
        self._new.clear()

    def remove(self, name: str) -> bool:
        task = self._tasks.pop(name, None)
        if task is None:
            return False
        self._watches.pop(name).cancel()
        task.cancel()
        return True

    def close(self) -> None:
        for task in (*self._watches.values(), *self._tasks.values()):
            task.cancel()
        self._tasks.clear()
        self._watches.clear()

    async def _run(
        self,
        name: str,
        queue: Subscription[T],
        render: Callable[[T], Iterable[Any]],
        started: asyncio.Event,
    ) -> None:
        head = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"'
        head += name.encode() + b'","result":'
        try:
            await started.wait()
            while True:
                for result in render(await queue.get()):
                    await self._send(head + msgspec.json.encode(result) + b"}}")
        except Closed:
            return  # too slow for its bounded queue, or the node stops: _watch sees to it
        finally:
            queue.close()


def _head(executed: Executed) -> tuple[Json]:
    return (header_json(executed.block.header, executed.hash),)


def _logs(wanted: LogFilter) -> Callable[[Executed], Iterable[Json]]:
    def render(executed: Executed) -> Iterable[Json]:
        header = executed.block.header
        if not is_within(wanted, header.number) or not may_match(wanted, header.logs_bloom):
            return ()
        return matching(wanted, executed.block, executed.hash, executed.receipts)

    return render


def _transaction_hash(checked: Checked) -> tuple[str]:
    return (data(checked.transaction.hash),)


def _whole_transaction(checked: Checked) -> tuple[Json]:
    return (pending_transaction_json(checked.transaction, checked.sender),)


def _receipts(ctx: Context, hashes: frozenset[Hash]) -> Callable[[Executed], Iterable[list[Json]]]:
    """All receipts of a block that are wanted, together; without hashes every one is."""
    wanted = frozenset(data(each) for each in hashes)

    def render(executed: Executed) -> Iterable[list[Json]]:
        block = executed.block
        price = blob_base_fee(ctx, block.header)
        shown = receipts_json(block, executed.hash, executed.senders, executed.receipts, price)
        if wanted:
            shown = [item for item in shown if item["transactionHash"] in wanted]
        return (shown,) if shown else ()

    return render


def _sync_status(ctx: Context) -> Callable[[Executed], Iterable[Json | bool]]:
    """Whether the node fetches what it lacks, told with the first block for which that changes."""
    told = False

    def render(executed: Executed) -> Iterable[Json | bool]:
        nonlocal told
        network = ctx.node.network
        progress = None if network is None else network.progress
        if (progress is not None) == told:
            return ()
        told = progress is not None
        if progress is None:
            return (False,)
        status = {
            "StartingBlock": progress.started,
            "CurrentBlock": progress.current,
            "HighestBlock": progress.highest,
        }
        return ({"syncing": True, "status": status},)

    return render


@method("eth_subscribe")
async def subscribe(ctx: Context, kind: Any = None, option: Any = None, extra: Any = None) -> str:
    """Push news of a kind: newHeads, logs, newPendingTransactions, transactionReceipts or syncing.

    `option` is the filter of logs, whether transactions are wanted whole, or whose receipts are.
    `extra` is taken and ignored, since some clients send more than they need.
    """
    if ctx.connection is None:
        raise RpcError(METHOD_NOT_FOUND, "notifications not supported")
    if not isinstance(kind, str):
        raise invalid_params("expected subscription name as first argument")
    subscriptions = ctx.connection.subscriptions
    announcements = ctx.node.announcements
    match kind:
        case "newHeads":
            return subscriptions.add(announcements.subscribe("blocks"), _head)
        case "logs":
            wanted = _read(parse_log_filter, option)
            check_bounds(wanted)
            return subscriptions.add(announcements.subscribe("blocks"), _logs(wanted))
        case "newPendingTransactions":
            # Some clients send an empty object where they have nothing to say.
            whole = option != {} and _read(parse_bool, option)
            render = _whole_transaction if whole else _transaction_hash
            return subscriptions.add(announcements.subscribe("transactions"), render)
        case "transactionReceipts":
            hashes = _read(_RECEIPTS.read, option).get("transactionHashes", ())
            if len(hashes) > _RECEIPTS_MAX:
                raise server_error(
                    "exceed max number of transaction hashes allowed per transactionReceipts "
                    "subscription"
                )
            return subscriptions.add(
                announcements.subscribe("blocks"), _receipts(ctx, frozenset(hashes))
            )
        case "syncing":
            return subscriptions.add(announcements.subscribe("blocks"), _sync_status(ctx))
    raise RpcError(METHOD_NOT_FOUND, f'no "{kind[:80]}" subscription in eth namespace')


_RECEIPTS_MAX: Final = 200  # geth's limit on the hashes of one subscription
_RECEIPTS: Final = Structure(
    "filters.TransactionReceiptsQuery",
    {"transactionHashes": listed("[]common.Hash", parse_hash)},
)


def _read(parse: Callable[[Any], T], option: Any) -> T:
    try:
        return parse(option)
    except ValueError as error:
        raise invalid_params(f"invalid argument 1: {error}") from None


@method("eth_unsubscribe")
async def unsubscribe(ctx: Context, name: Name) -> bool:
    """End a subscription of this connection."""
    if ctx.connection is None or not ctx.connection.subscriptions.remove(name):
        raise server_error("subscription not found")
    return True
