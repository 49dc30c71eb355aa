"""The block that the pool would make now: what "pending" shows."""

from itertools import islice
from typing import Final

from chain.blocks import Header
from chain.errors import Rejected
from chain.execution import BlockBuilder, Executed
from chain.transactions import Checked
from node.rpc.calls import next_header
from node.rpc.context import Context

# Transactions in a pending block at most, so that asking for it has a bounded price.
_TRANSACTIONS_MAX: Final = 1_000


def take_ready(ctx: Context, header: Header) -> list[Checked]:
    """The transactions that would come next. Of the event loop's thread only."""
    return list(islice(ctx.node.mempool.ready(header.base_fee or 0), _TRANSACTIONS_MAX))


def build_pending(ctx: Context, ready: list[Checked]) -> Executed:
    """The block that these make on top of the head; it is not kept."""
    ledger = ctx.ledger
    height = ledger.height
    parent = ctx.header(height)
    header = next_header(ctx, parent)
    if ctx.fork is not None:
        ctx.fork.origin.presume(header.number, header.timestamp)
    builder = BlockBuilder(
        ledger.view(height),
        parent,
        ctx.node.machine,
        ledger.config,
        ctx.block_hash,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        randomness=header.mix_hash,
        base_fee=header.base_fee,
    )
    for checked in ready:
        if checked.transaction.gas_limit > builder.gas_left:
            continue
        try:
            builder.add(checked)
        except Rejected:
            continue  # it may wait for a later block, or be dropped by the pool
    return builder.seal()
