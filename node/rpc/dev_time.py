"""Developers' methods: the chain's clock, and what the next blocks are like."""

from typing import Final

from msgspec import Raw

from chain.types import Address, Hash
from node.rpc.context import Context
from node.rpc.dev_registry import OWN, Amount, control, number
from node.rpc.errors import invalid_params
from node.rpc.parameters import UINT64_MAX

# Nobody means the year 5138: larger numbers are milliseconds, as ganache takes them.
_SECONDS_MAX: Final = 10**11
_MILLISECONDS: Final = 1_000  # in a second


def _seconds(value: int) -> int:
    if value > UINT64_MAX:
        raise invalid_params("a time is below 2**64")
    return value // 1000 if value >= _SECONDS_MAX else value


@control({"evm_increaseTime": OWN, "anvil_increaseTime": OWN})
async def increase_time(ctx: Context, seconds: Amount) -> Raw:
    """Put the chain's clock forward; by how many seconds it is ahead of the real one."""
    if seconds >= _SECONDS_MAX:
        raise invalid_params("too far ahead")
    return number(ctx.developer.pass_time(seconds))


@control({"evm_setTime": OWN, "anvil_setTime": OWN})
async def set_time(ctx: Context, timestamp: Amount) -> Raw:
    """Set the chain's clock, in seconds or milliseconds; by how many seconds it was moved."""
    return number(ctx.developer.set_time(_seconds(timestamp)))


@control(
    {
        "evm_setNextBlockTimestamp": None,
        "anvil_setNextBlockTimestamp": None,
        "hardhat_setNextBlockTimestamp": True,
    }
)
async def set_next_timestamp(ctx: Context, timestamp: Amount) -> None:
    """The next block has exactly this time, in seconds; the clock goes on from it."""
    ctx.developer.set_next_timestamp(_seconds(timestamp))


@control(
    {"anvil_setBlockTimestampInterval": None, "evm_setBlockTimestampInterval": None},
    everywhere=False,
)
async def set_timestamp_interval(ctx: Context, seconds: Amount) -> None:
    """Each block is exactly so many seconds after the one before, whatever the clock says."""
    _set_timestamp_interval(ctx, seconds)


@control({"hardhat_setBlockTimestampInterval": True}, everywhere=False)
async def set_timestamp_interval_hardhat(ctx: Context, interval: Amount) -> None:
    """As anvil_setBlockTimestampInterval; viem takes those of Hardhat for milliseconds."""
    whole = interval % _MILLISECONDS == 0
    _set_timestamp_interval(ctx, interval // _MILLISECONDS if whole else interval)


def _set_timestamp_interval(ctx: Context, seconds: int) -> None:
    if not 0 < seconds < _SECONDS_MAX:
        raise invalid_params("the interval is at least one second")
    ctx.developer.producer.times.interval = seconds


@control({"anvil_removeBlockTimestampInterval": OWN, "evm_removeBlockTimestampInterval": OWN})
async def remove_timestamp_interval(ctx: Context) -> bool:
    """Blocks follow the clock again; whether they did not."""
    times = ctx.developer.producer.times
    was, times.interval = times.interval, None
    return was is not None


@control({"anvil_setCoinbase": None, "hardhat_setCoinbase": True, "miner_setEtherbase": True})
async def set_coinbase(ctx: Context, address: Address) -> None:
    """Whom the tips of the blocks from now on go to."""
    ctx.developer.producer.wishes.coinbase = address


@control(
    {
        "anvil_setNextBlockBaseFeePerGas": None,
        "hardhat_setNextBlockBaseFeePerGas": True,
        "evm_setNextBlockBaseFeePerGas": True,
    }
)
async def set_base_fee(ctx: Context, fee: Amount) -> None:
    """The base fee of the next block, wei per gas."""
    ctx.developer.producer.wishes.base_fee = fee
    ctx.developer.producer.pooled()


@control({"anvil_setMinGasPrice": None, "hardhat_setMinGasPrice": True})
async def set_min_gas_price(ctx: Context, price: Amount) -> None:
    """Refused, as by anvil and Hardhat: with a base fee there is no least gas price."""
    raise invalid_params("anvil_setMinGasPrice is not supported when EIP-1559 is active")


@control(
    {
        "anvil_setPrevRandao": None,
        "hardhat_setPrevRandao": True,
        "anvil_setNextBlockPrevRandao": None,
    }
)
async def set_randomness(ctx: Context, value: Hash) -> None:
    """PREVRANDAO of the next block."""
    ctx.developer.producer.wishes.randomness = value


@control({"evm_setBlockGasLimit": True, "anvil_setBlockGasLimit": True, "miner_setGasLimit": True})
async def set_gas_limit(ctx: Context, limit: Amount) -> None:
    """The gas limit of the blocks from now on."""
    if not 21_000 <= limit < 2**63:
        raise invalid_params("the gas limit is at least 21000")
    ctx.developer.producer.wishes.gas_limit = limit
    ctx.node.mempool.rebase(ctx.ledger.view(), limit)
