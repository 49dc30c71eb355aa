"""Developers' methods: blocks on demand, when they come by themselves, which are taken back."""

from typing import Any, Final

from msgspec import Raw

from chain.errors import Rejected
from chain.transactions import Checked, decode_transaction
from chain.types import Address, Hash, Height
from chain.validation import check_transaction
from node.devchain.chain import MINED_MAX
from node.rpc.accounts import fill_for, sign_for
from node.rpc.context import Context
from node.rpc.dev_registry import OWN, Amount, control, number, parse_amount
from node.rpc.errors import error_of, invalid_params
from node.rpc.formats import Json, block_json, data
from node.rpc.parameters import parse_data, parse_list
from node.rpc.requests import parse_call

_ONE: Final = Amount(1)
_MILLISECONDS: Final = 1000
_REORG_TRANSACTIONS_MAX: Final = 10_000


@control({"evm_mine": "0x0"})
async def mine_now(ctx: Context, wanted: Any = None) -> None:
    """A block, at a time in seconds if one is given; `{blocks, timestamp}` for several."""
    await _mine(ctx, wanted)


@control({"evm_mine_detailed": OWN, "anvil_mine_detailed": OWN})
async def mine_detailed(ctx: Context, wanted: Any = None) -> list[Json]:
    """As evm_mine; the blocks, with their transactions."""
    found: list[Json] = []
    for height in await _mine(ctx, wanted):
        block = ctx.ledger.block(height)
        block_hash, senders = ctx.ledger.hash_at(height), ctx.ledger.senders(height)
        found.append(block_json(block, block_hash, senders, full=True))
    return found


async def _mine(ctx: Context, wanted: Any) -> list[Height]:
    count = 1
    timestamp = wanted
    try:
        if isinstance(wanted, dict):
            timestamp = wanted.get("timestamp")
            count = 1 if wanted.get("blocks") is None else parse_amount(wanted["blocks"])
        exact = None if timestamp is None else parse_amount(timestamp)
    except ValueError as error:
        raise invalid_params(f"invalid argument 0: {error}") from None
    if exact is not None:
        ctx.developer.set_next_timestamp(exact)
    return await ctx.developer.mine(count)


@control({"anvil_mine": None}, everywhere=False)
async def mine_anvil(ctx: Context, blocks: Amount = _ONE, interval: Amount | None = None) -> None:
    """So many blocks; before each the chain's clock is put forward by `interval` seconds."""
    await ctx.developer.mine(blocks, step=interval, steps_first=True)


@control({"hardhat_mine": True})
async def mine_hardhat(ctx: Context, blocks: Amount = _ONE, interval: Amount = _ONE) -> None:
    """So many blocks, `interval` seconds apart."""
    await ctx.developer.mine(blocks, step=interval)


# -- when blocks come by themselves ----------------------------------------------------------------


@control({"evm_setAutomine": True, "anvil_setAutomine": None, "hardhat_setAutomine": True})
async def set_automine(ctx: Context, on: bool) -> None:
    """Whether a block is built as soon as a transaction comes; beside an interval, both."""
    ctx.developer.set_pace(automine=on)


@control({"hardhat_getAutomine": OWN, "anvil_getAutomine": OWN, "evm_getAutomine": OWN})
async def get_automine(ctx: Context) -> bool:
    """Whether a block is built as soon as a transaction comes."""
    return ctx.developer.producer.pace.automine


@control({"anvil_setIntervalMining": None}, everywhere=False)
async def set_interval(ctx: Context, seconds: Amount) -> None:
    """A block every so many seconds and none in between; 0 ends that."""
    _set_interval(ctx, float(seconds))


@control({"evm_setIntervalMining": True, "hardhat_setIntervalMining": True})
async def set_interval_either(ctx: Context, interval: Any) -> None:
    """As anvil_setIntervalMining. From 1000 on, and as a range, milliseconds as for Hardhat."""
    try:
        if isinstance(interval, list):
            low, high = (parse_amount(bound) for bound in interval)
            _set_interval(ctx, (low + high) / 2 / _MILLISECONDS)
        else:
            amount = parse_amount(interval)
            _set_interval(ctx, amount / (_MILLISECONDS if amount >= _MILLISECONDS else 1))
    except ValueError as error:
        raise invalid_params(f"invalid argument 0: {error}") from None


def _set_interval(ctx: Context, seconds: float) -> None:
    developer = ctx.developer
    if seconds:
        developer.set_pace(automine=False, interval=seconds)
    else:
        developer.set_pace(interval=0.0)


@control({"miner_start": True})
async def start_mining(ctx: Context) -> None:
    """As evm_setAutomine, on."""
    ctx.developer.set_pace(automine=True)


@control({"miner_stop": True})
async def stop_mining(ctx: Context) -> None:
    """As evm_setAutomine, off."""
    ctx.developer.set_pace(automine=False)


@control({"anvil_getIntervalMining": OWN})
async def get_interval(ctx: Context) -> float | Raw | None:
    """The seconds between blocks by the clock; null when there are none."""
    interval = ctx.developer.producer.pace.interval
    if not interval:
        return None
    return number(int(interval)) if interval.is_integer() else interval


# -- the pool --------------------------------------------------------------------------------------


@control({"anvil_dropTransaction": OWN}, everywhere=False)
async def drop_transaction(ctx: Context, transaction_hash: Hash) -> str | None:
    """Remove a transaction from the pool; its hash if it was there."""
    return data(transaction_hash) if _drop(ctx, transaction_hash) else None


@control({"hardhat_dropTransaction": OWN})
async def drop_transaction_hardhat(ctx: Context, transaction_hash: Hash) -> bool:
    """Remove a transaction from the pool; whether it was there."""
    return _drop(ctx, transaction_hash)


def _drop(ctx: Context, transaction_hash: Hash) -> bool:
    pool = ctx.node.mempool
    there = transaction_hash in pool
    pool.drop(transaction_hash)
    return there


@control({"anvil_removePoolTransactions": None})
async def drop_of_sender(ctx: Context, sender: Address) -> None:
    """Remove an account's transactions from the pool."""
    pool = ctx.node.mempool
    for checked in list(pool.everything()):
        if checked.sender == sender:
            pool.drop(checked.transaction.hash)


@control({"anvil_dropAllTransactions": None, "hardhat_dropAllTransactions": True})
async def drop_all(ctx: Context) -> None:
    """Empty the pool."""
    pool = ctx.node.mempool
    for checked in list(pool.everything()):
        pool.drop(checked.transaction.hash)


# -- other blocks in the place of the last ones ----------------------------------------------------


@control({"anvil_rollback": None, "hardhat_rollback": True})
async def rollback(ctx: Context, depth: Amount = _ONE) -> None:
    """Take the last blocks back."""
    try:
        await ctx.developer.take_back(depth)
    finally:
        ctx.filters.rewind(ctx.ledger.height)


@control({"anvil_reorg": None, "hardhat_reorg": True})
async def reorg(ctx: Context, options: Any, pairs: list[Any] | None = None) -> None:
    """Replace the last `depth` blocks by others, with given transactions: [transaction, block].

    `block` counts from 0 within the new ones; a transaction is raw or as for eth_sendTransaction.
    """
    try:
        if isinstance(options, dict):
            pairs = options.get("txBlockPairs", options.get("tx_block_pairs"))
            options = options.get("depth")
        depth = parse_amount(options)
        wanted = [parse_list(pair) for pair in pairs or ()]
        places = [(item, parse_amount(at)) for item, at in wanted]
    except ValueError as error:
        raise invalid_params(f"invalid argument 0: {error}") from None
    if depth > min(ctx.ledger.height, MINED_MAX):
        raise invalid_params(
            "Reorg depth must not exceed current chain height: "
            f"current height {ctx.ledger.height}, depth {depth}"
        )
    if len(places) > _REORG_TRANSACTIONS_MAX or any(at >= depth for _, at in places):
        raise invalid_params("too many transactions, or one beyond the last block")
    bodies: list[list[Checked]] = [[] for _ in range(depth)]
    nonces: dict[bytes, int] = {}
    for item, at in sorted(places, key=lambda place: place[1]):
        bodies[at].append(await _placed(ctx, item, ctx.ledger.height - depth, nonces))
    try:
        await ctx.developer.reorganize(depth, bodies)
    finally:
        ctx.filters.rewind(ctx.ledger.height - depth)


async def _placed(ctx: Context, item: Any, height: int, nonces: dict[bytes, int]) -> Checked:
    """A transaction of a block to come on top of `height`; `nonces` counts on by sender."""
    fork = ctx.node.next_fork()
    try:
        if isinstance(item, str):
            raw = decode_transaction(parse_data(item))
            return check_transaction(raw, fork, ctx.ledger.config.chain_id)
        request = parse_call(item)
    except Rejected as rejected:
        raise error_of(rejected) from None
    except ValueError as error:
        raise invalid_params(str(error)) from None
    filled = await fill_for(ctx, request)
    account = ctx.ledger.view(Height(height)).account(filled.sender)
    nonce = nonces.get(filled.sender, 0 if account is None else account.nonce)
    nonces[filled.sender] = nonce + 1
    return sign_for(ctx, filled, nonce, fork)
