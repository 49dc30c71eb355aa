"""txpool_: what waits for a block."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from chain.transactions import Checked
from chain.types import Address
from node.rpc.context import Context
from node.rpc.formats import Json, checksummed, pending_transaction_json
from node.rpc.registry import method

# How many transactions eth_pendingTransactions shows.
_SHOWN_MAX: Final = 10_000

_Content = Mapping[Address, Sequence[Checked]]


@method("txpool_status")
async def status(ctx: Context) -> dict[str, str]:
    """How many transactions could run now, and how many wait for an earlier nonce."""
    pending, queued = ctx.node.mempool.status()
    return {"pending": hex(pending), "queued": hex(queued)}


@method("txpool_content")
async def content(ctx: Context) -> Json:
    """Every transaction in the pool, by sender and nonce."""
    return await _shown(ctx, _whole)


@method("txpool_contentFrom")
async def content_from(ctx: Context, address: Address) -> Json:
    """The pool's transactions of one sender, by nonce."""
    ready, queued = ctx.node.mempool.of_sender(address)
    return {"pending": _by_nonce(ready), "queued": _by_nonce(queued)}


@method("txpool_inspect")
async def inspect(ctx: Context) -> Json:
    """A line about every transaction in the pool, by sender and nonce."""
    return await _shown(ctx, _lines)


@method("eth_pendingTransactions")
async def pending_transactions(ctx: Context) -> list[dict[str, Any]]:
    """The pool's transactions from the accounts that this node signs for, ready to run."""
    mempool = ctx.node.mempool
    own = chain.from_iterable(mempool.of_sender(address)[0] for address in ctx.node.accounts)
    items = list(islice(own, _SHOWN_MAX))
    shown: list[dict[str, Any]] = await ctx.heavy.read(_list, items)
    return shown


def _list(items: Sequence[Checked]) -> list[Json]:
    return [pending_transaction_json(item.transaction, item.sender) for item in items]


async def _shown(ctx: Context, render: Callable[[_Content], Json]) -> Json:
    """Both parts of the pool, rendered in a thread: there may be many transactions."""
    mempool = ctx.node.mempool
    parts = {"pending": mempool.pending(), "queued": mempool.queued()}
    return {name: await ctx.heavy.read(render, part) for name, part in parts.items()}


def _whole(by_sender: _Content) -> Json:
    return {checksummed(sender): _by_nonce(items) for sender, items in by_sender.items()}


def _by_nonce(items: Sequence[Checked]) -> Json:
    return {
        str(item.transaction.nonce): pending_transaction_json(item.transaction, item.sender)
        for item in items
    }


def _lines(by_sender: _Content) -> Json:
    return {
        checksummed(sender): {str(item.transaction.nonce): _line(item) for item in items}
        for sender, items in by_sender.items()
    }


def _line(item: Checked) -> str:
    transaction = item.transaction
    target = "contract creation" if transaction.to is None else checksummed(transaction.to)
    return (
        f"{target}: {transaction.value} wei + {transaction.gas_limit} gas"
        f" × {transaction.max_fee} wei"
    )
