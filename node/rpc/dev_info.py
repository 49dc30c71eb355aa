"""Developers' methods: what this chain is, and words that other tools say by habit."""

from typing import Any

from msgspec import Raw

from chain.types import Height
from node import VERSION
from node.rpc.client import client_version
from node.rpc.context import Context
from node.rpc.dev_registry import OWN, Amount, control, number
from node.rpc.errors import invalid_params
from node.rpc.formats import Json, data
from node.rpc.parameters import UINT64_MAX
from node.rpc.registry import method


@control({"anvil_nodeInfo": OWN})
async def node_info(ctx: Context) -> Json:
    """The head, the fork and the next block's fees, as anvil tells them."""
    ledger = ctx.ledger
    head, upcoming = ledger.head, ctx.developer.upcoming()
    base_fee, fork = upcoming.base_fee or 0, ctx.fork
    return {
        "currentBlockNumber": hex(head.number),
        "currentBlockTimestamp": number(head.timestamp),
        "currentBlockHash": data(ledger.head_hash),
        "hardFork": ctx.node.next_fork().name,
        "transactionOrder": "fees",
        "environment": {
            "baseFee": hex(base_fee),
            "chainId": number(ledger.config.chain_id),
            "gasLimit": hex(upcoming.gas_limit),
            "gasPrice": hex(base_fee + await ctx.tips.suggest(ctx)),
        },
        "forkConfig": {
            "forkUrl": None if fork is None else fork.url,
            "forkBlockNumber": None if fork is None else number(fork.height),
            "forkRetryBackoff": None,
        },
    }


@control({"anvil_metadata": OWN}, everywhere=False)
async def metadata(ctx: Context) -> Json:
    """Which run of which chain this is, and the snapshots that there are."""
    snapshots = {
        hex(item.id): [number(item.height), data(item.hash)] for item in ctx.developer.snapshots()
    }
    version = {"clientSemver": VERSION, "clientCommitSha": None, "forkedNetwork": None}
    return {**version, **await _metadata(ctx), "snapshots": snapshots}


@control({"hardhat_metadata": OWN})
async def metadata_hardhat(ctx: Context) -> Json:
    """Which run of which chain this is."""
    return await _metadata(ctx)


@method("eth_networkId", developer_only=True)
async def network_id(ctx: Context) -> str:
    """As net_version, which is what anvil calls it too."""
    return str(ctx.ledger.config.chain_id)


@control({"anvil_getGenesisTime": OWN})
async def genesis_time(ctx: Context) -> Raw:
    """The time of the first block, in seconds."""
    return number(ctx.header(ctx.ledger.first).timestamp)


@control({"anvil_setChainId": None})
async def set_chain_id(ctx: Context, chain_id: Amount) -> None:
    """The chain id from now on, after a restart too; blocks that are there stay as they are."""
    if not 0 < chain_id < UINT64_MAX:
        raise invalid_params("a chain id is above 0 and below 2**64 - 1")
    await ctx.developer.set_chain_id(chain_id)
    ctx.surroundings.forget()


async def _metadata(ctx: Context) -> Json:
    ledger = ctx.ledger
    height, fork = ledger.height, ctx.fork
    forked: Json = {}
    if fork is not None:
        forked["forkedNetwork"] = {
            "chainId": number(fork.chain_id),
            "forkBlockNumber": number(fork.height),
            "forkBlockHash": data(fork.first.hash),
        }
    return {
        **forked,
        "clientVersion": await client_version(ctx),
        "chainId": number(ledger.config.chain_id),
        "instanceId": data(ctx.developer.instance),
        "latestBlockNumber": number(height),
        "latestBlockHash": data(ledger.hash_at(Height(height))),
    }


@control(
    {
        "anvil_setLoggingEnabled": None,
        "hardhat_setLoggingEnabled": True,
        "anvil_enableTraces": None,
    }
)
async def set_logging(ctx: Context, on: bool = True) -> None:
    """Taken and passed over: what is printed is a setting (`--log-transactions`)."""


@control({"hardhat_addCompilationResult": False})
async def add_compilation(
    ctx: Context, version: Any = None, given: Any = None, made: Any = None
) -> None:
    """Taken and passed over: contracts are named by `--artifacts`."""
