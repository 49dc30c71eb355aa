"""ots_search* and ots_getContractCreator: the ledger's index of transactions by address."""

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from typing import Final

from chain.appearances import Appearance
from chain.types import EMPTY_CODE_HASH, Address, Height
from node.rpc.blocks import receipts_at
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import Json, data, mined_transaction_json
from node.rpc.parameters import Count
from node.rpc.registry import method
from node.rpc.replay import replay_of, run_trace
from node.rpc.trace_options import TraceOptions
from node.tracing import Budget
from node.tracing.calls import MessageTracer
from node.tracing.internal import creations

_PAGE_MAX: Final = 1_000


@method("ots_searchTransactionsBefore")
def search_before(ctx: Context, address: Address, block: Count, size: Count) -> Json:
    """An address's transactions below a height, the newest first; 0: from the head down.

    At least `size` of them if there are so many: a block's are not torn apart.
    """
    first = ctx.ledger.indexed_from
    stop = min(block or ctx.ledger.height + 1, ctx.ledger.height + 1)
    found = ctx.ledger.appearances(address, range(first, stop), newest_first=True)
    chosen, more = _page(found, size)
    missing = _missing_below(ctx)
    if not more and missing and not chosen:
        raise server_error(f"transactions below height {missing} are not indexed by address")
    pages = {"firstPage": not block, "lastPage": not more and not missing}
    return {**_shown(ctx, chosen), **pages}


@method("ots_searchTransactionsAfter")
def search_after(ctx: Context, address: Address, block: Count, size: Count) -> Json:
    """An address's transactions above a height, the newest first; 0: from the first ones up."""
    first = max(block + 1 if block else 0, ctx.ledger.indexed_from)
    where = range(first, ctx.ledger.height + 1)
    chosen, more = _page(ctx.ledger.appearances(address, where, newest_first=False), size)
    pages = {"firstPage": not more, "lastPage": not block and not _missing_below(ctx)}
    return {**_shown(ctx, chosen[::-1]), **pages}


def _missing_below(ctx: Context) -> int:
    """The height below which transactions are not known by address; 0 when all are.

    A forked ledger's begin with its own blocks, as on anvil.
    """
    return 0 if ctx.fork is not None else ctx.ledger.indexed_from


def _page(found: Iterator[Appearance], size: int) -> tuple[list[Appearance], bool]:
    """As many blocks as make a page, and whether there are others behind."""
    if not 0 < size <= _PAGE_MAX:
        raise server_error(f"max allowed page size: {_PAGE_MAX}")
    chosen: list[Appearance] = []
    count = 0
    for appearance in found:
        if count >= size:
            return chosen, True
        chosen.append(appearance)
        count += len(appearance.indices)
    return chosen, False


def _shown(ctx: Context, chosen: list[Appearance]) -> Json:
    ledger = ctx.ledger
    transactions: list[Json] = []
    receipts: list[Json] = []
    for appearance in chosen:
        height = Height(appearance.height)
        block, block_hash = ledger.block(height), ledger.hash_at(height)
        senders, of_block = ledger.senders(height), receipts_at(ctx, height)
        for index in reversed(appearance.indices):
            transactions.append(
                mined_transaction_json(
                    block.transactions[index], senders[index], block.header, block_hash, index
                )
            )
            receipts.append({**of_block[index], "timestamp": block.header.timestamp})
    return {"txs": transactions, "receipts": receipts}


@method("ots_getContractCreator")
async def get_contract_creator(ctx: Context, address: Address) -> Json | None:
    """Who made a contract, and in which transaction; none for what is no contract."""
    ledger = ctx.ledger

    def has_code(height: int) -> bool:
        account = ctx.view_at(Height(height)).account(address)
        return account is not None and account.code_hash != EMPTY_CODE_HASH

    def trace(budget: Budget, _: TraceOptions) -> Json | None:
        oldest, head = ledger.oldest_state, ledger.height
        if not has_code(head):
            return None
        if has_code(oldest):
            if oldest == 0:
                return None  # the genesis made it
            raise server_error(f"the contract is older than the state at height {oldest}")
        height = Height(bisect_left(range(head + 1), True, lo=oldest, key=has_code))
        replay = replay_of(ctx, height)
        for transaction in replay.block.transactions:
            made = replay.trace_next(budget, partial(MessageTracer, show=creations))
            for contract, creator in made:
                if contract == address:
                    return {"hash": data(transaction.hash), "creator": data(creator)}
        return None  # a delegation made it look like a contract (EIP-7702)

    found: Json | None = await run_trace(ctx, trace)
    return found
