"""What a transaction should offer: prices, tips and the fees of blocks gone by."""

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Final

from chain.blocks import Block, Header, Receipt
from chain.forks import GAS_PER_BLOB
from chain.transactions import effective_gas_price
from chain.types import Address, Hash, Height
from node.rpc.blocks import blob_base_fee
from node.rpc.calls import next_header
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import Json
from node.rpc.parameters import BlockNumber, Count, Percentiles
from node.rpc.pending import pending_block
from node.rpc.registry import method

# geth's price oracle: blocks looked at, tips taken of each, which of them is suggested.
_ORACLE_BLOCKS: Final = 20
_ORACLE_SAMPLES: Final = 3
_ORACLE_PERCENTILE: Final = 60
_TIP_IGNORED_BELOW: Final = 2  # wei
_TIP_DEFAULT: Final = 10**6  # wei, for a block that says nothing
_TIP_MAX: Final = 500 * 10**9
_PERCENTILES_MAX: Final = 100


def next_fees(ctx: Context, parent: Header) -> tuple[int, int]:
    """The base fee and the blob base fee of the block after `parent`.

    As in geth, there is no blob base fee after a block that has none itself.
    """
    following = next_header(ctx, parent)
    if parent.excess_blob_gas is None:
        return following.base_fee or 0, 0
    return following.base_fee or 0, blob_base_fee(ctx, following)


_Seen = tuple[Height, Hash, tuple[int, ...]]  # a block, and the tips that count in it


class TipOracle:
    """Suggests a priority fee: the 60th percentile of the cheapest tips of recent blocks.

    What a block says is remembered, so that a new head costs one block's reading.
    """

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque()  # of blocks that follow each other
        self._latest: tuple[Hash, int] | None = None

    async def suggest(self, ctx: Context) -> int:
        """Wei per gas; on a free ledger what this node's pool demands, which is mostly nothing."""
        if ctx.ledger.config.ledger.free:
            return ctx.node.settings.pool.tip_min
        latest = self._latest
        if latest is not None and latest[0] == ctx.ledger.head_hash:
            return latest[1]
        tip: int = await ctx.heavy.read(self._compute, ctx)
        return tip

    def _compute(self, ctx: Context) -> int:
        ledger = ctx.ledger
        height = ledger.height
        head = ledger.hash_at(height)
        default = max(_TIP_DEFAULT, ctx.node.settings.pool.tip_min)
        seen = self._seen.copy()
        while seen and (seen[-1][0] > height or ledger.hash_at(seen[-1][0]) != seen[-1][1]):
            seen.pop()  # it was taken back
        lowest = max(ledger.first, height - _ORACLE_BLOCKS) + 1
        while seen and seen[0][0] < lowest:
            seen.popleft()
        for number in range((seen[-1][0] if seen else lowest - 1) + 1, height + 1):
            seen.append(_seen(ctx, Height(number)))
        for number in range(seen[0][0] - 1 if seen else 0, lowest - 1, -1):
            seen.appendleft(_seen(ctx, Height(number)))
        # A block that says nothing agrees with anything.
        silent = (default,)
        tips = sorted(chain.from_iterable([found or silent for _, _, found in seen]))
        tip = tips[(len(tips) - 1) * _ORACLE_PERCENTILE // 100] if tips else default
        self._seen = seen
        self._latest = (head, min(tip, _TIP_MAX))
        return self._latest[1]


def _seen(ctx: Context, height: Height) -> _Seen:
    empty = not ctx.header(height).gas_used
    return height, ctx.ledger.hash_at(height), () if empty else _cheapest_tips(ctx, height)


def _cheapest_tips(ctx: Context, height: Height) -> tuple[int, ...]:
    """The lowest tips of a block that were not the proposer's own doing."""
    block = ctx.ledger.block(height)
    base_fee = block.header.base_fee or 0
    senders: Sequence[Address] = ctx.ledger.senders(height)
    tips = [
        effective_gas_price(transaction, base_fee) - base_fee
        for transaction, sender in zip(block.transactions, senders, strict=True)
        if sender != block.header.coinbase
    ]
    tips.sort()
    return tuple([tip for tip in tips if tip >= _TIP_IGNORED_BELOW][:_ORACLE_SAMPLES])


@method("eth_gasPrice")
async def gas_price(ctx: Context) -> int:
    """A gas price for a legacy transaction: the head's base fee and a tip."""
    return await ctx.tips.suggest(ctx) + (ctx.header(ctx.ledger.height).base_fee or 0)


@method("eth_maxPriorityFeePerGas")
async def max_priority_fee(ctx: Context) -> int:
    """A priority fee that should be enough for the next blocks."""
    return await ctx.tips.suggest(ctx)


@method("eth_blobBaseFee")
async def get_blob_base_fee(ctx: Context) -> int:
    """The fee per blob gas of the next block."""
    return next_fees(ctx, ctx.header(ctx.ledger.height))[1]


@method("eth_baseFee")
async def get_base_fee(ctx: Context) -> int:
    """The base fee per gas of the next block."""
    return next_fees(ctx, ctx.header(ctx.ledger.height))[0]


@method("eth_feeHistory")
def fee_history(
    ctx: Context, count: Count, newest: BlockNumber, percentiles: Percentiles | None = None
) -> Json:
    """Base fees, fullness and tips of up to `count` blocks, and the base fee that follows.

    Tips are those at each percentile of gas used, from low tips to high.
    """
    wanted: Sequence[float] = percentiles or ()
    _check_percentiles(wanted)
    if count < 1:
        return {"oldestBlock": "0x0", "gasUsedRatio": None}
    head = ctx.ledger.height
    if isinstance(newest, int) and newest > head:
        raise server_error(f"request beyond head block: requested {newest}, head {head}")
    pending = pending_block(ctx) if newest == "pending" else None
    last = newest if isinstance(newest, int) else (ctx.lowest if newest == "earliest" else head)
    limit = ctx.node.settings.rpc.fee_history_heights_max
    taken = min(count, limit) - (pending is not None)
    first = max(ctx.ledger.first, last + 1 - taken)
    if pending is None:
        last = max(first, last)
    blocks = [_fees_at(ctx, Height(number), wanted) for number in range(first, last + 1)]
    if pending is not None:
        tips = _tips(pending.block, pending.receipts, wanted) if wanted else []
        blocks.append((pending.block.header, tips))
    headers = [header for header, _ in blocks]
    following = next_fees(ctx, headers[-1])
    answer: Json = {
        "oldestBlock": hex(headers[0].number),
        "baseFeePerGas": [
            hex(fee) for fee in (*(_base_fee(each) for each in headers), following[0])
        ],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        "baseFeePerBlobGas": [
            hex(fee) for fee in (*(blob_base_fee(ctx, each) for each in headers), following[1])
        ],
        "blobGasUsedRatio": [_blob_fullness(ctx, header) for header in headers],
    }
    if wanted:
        answer["reward"] = [[hex(tip) for tip in tips] for _, tips in blocks]
    return answer


def _base_fee(header: Header) -> int:
    return header.base_fee or 0


def _blob_fullness(ctx: Context, header: Header) -> float:
    blobs = ctx.fork_of(header).blobs
    return (header.blob_gas_used or 0) / (blobs.max * GAS_PER_BLOB) if blobs else 0.0


def _fees_at(
    ctx: Context, height: Height, percentiles: Sequence[float]
) -> tuple[Header, list[int]]:
    """A block's header and, where percentiles are asked for, its tips at them."""
    header = ctx.header(height)
    if not percentiles:
        return header, []
    return header, _tips(ctx.ledger.block(height), ctx.ledger.receipts(height), percentiles)


def _check_percentiles(values: Sequence[float]) -> None:
    if len(values) > _PERCENTILES_MAX:
        raise server_error(f"invalid reward percentile: over the query limit {_PERCENTILES_MAX}")
    for index, value in enumerate(values):
        if not 0 <= value <= 100:
            raise server_error(f"invalid reward percentile: {value:f}")
        if index and value <= values[index - 1]:
            raise server_error(
                f"invalid reward percentile: #{index - 1}:{values[index - 1]:f} "
                f">= #{index}:{value:f}"
            )


def _tips(block: Block, receipts: Sequence[Receipt], percentiles: Sequence[float]) -> list[int]:
    """The tips at percentiles of a block's gas; zeros for an empty block."""
    if not block.transactions:
        return [0] * len(percentiles)
    base_fee = block.header.base_fee or 0
    by_tip: list[tuple[int, int]] = []
    before = 0
    for transaction, receipt in zip(block.transactions, receipts, strict=True):
        tip = effective_gas_price(transaction, base_fee) - base_fee
        by_tip.append((tip, receipt.cumulative_gas_used - before))
        before = receipt.cumulative_gas_used
    by_tip.sort()
    tips: list[int] = []
    index, total = 0, by_tip[0][1]
    for percentile in percentiles:
        threshold = int(block.header.gas_used * percentile / 100)
        while total < threshold and index < len(by_tip) - 1:
            index += 1
            total += by_tip[index][1]
        tips.append(by_tip[index][0])
    return tips
