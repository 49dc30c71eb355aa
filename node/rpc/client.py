"""web3_, net_ and rpc_: what this node is."""

import platform
import sys
from typing import Final

from chain.crypto.keccak import keccak
from chain.types import ZERO_ADDRESS, Address, Hash
from node import VERSION
from node.coinbase import parse_coinbase
from node.rpc import registry
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.registry import method

_ETHEREUM_PROTOCOL: Final = 65  # what clients that are asked this still say
_LIKE: Final = "anvil/v1.7.1"
CLIENT_VERSION: Final = (
    f"chain-node/v{VERSION}/{sys.platform}-{platform.machine()}"
    f"/python{sys.version_info.major}.{sys.version_info.minor}"
)


@method("web3_clientVersion")
async def client_version(ctx: Context) -> str:
    """Name, version and platform of the node.

    On a developer's chain behind anvil's: Hardhat's network helpers and others look for a name
    that they know at the beginning, and refuse to work with any other.
    """
    return CLIENT_VERSION if ctx.node.developer is None else f"{_LIKE}/{CLIENT_VERSION}"


@method("web3_sha3")
async def sha3(ctx: Context, data: bytes) -> Hash:
    """The Keccak-256 hash of the data."""
    return keccak(data)


@method("net_version")
async def network_version(ctx: Context) -> str:
    """The network id, which is the chain id, in decimal."""
    return str(ctx.ledger.config.chain_id)


@method("net_listening")
async def listening(ctx: Context) -> bool:
    """Whether the node takes requests: it does, or it could not say so."""
    return True


@method("net_peerCount")
async def peer_count(ctx: Context) -> int:
    """Other nodes that this one is linked with."""
    network = ctx.node.network
    return 0 if network is None else len(network.links.peers())


@method("eth_coinbase")
async def coinbase(ctx: Context) -> Address:
    """The account that earns the tips of the blocks that this node builds."""
    node = ctx.node
    chosen = ctx.ledger.config.ledger.fee_recipient or parse_coinbase(node.settings.chain.coinbase)
    if chosen is None and node.validator is None:
        raise server_error("etherbase must be explicitly specified")
    return chosen or node.validator or ZERO_ADDRESS


@method("eth_mining")
async def mining(ctx: Context) -> bool:
    """Whether this node builds blocks."""
    return ctx.node.validator is not None


@method("eth_hashrate")
async def hash_rate(ctx: Context) -> int:
    """Hashes per second: none, blocks are agreed on."""
    return 0


@method("eth_protocolVersion")
async def protocol_version(ctx: Context) -> int:
    """The version of Ethereum's wire protocol whose formats of blocks and transactions hold."""
    return _ETHEREUM_PROTOCOL


@method("rpc_modules")
async def modules(ctx: Context) -> dict[str, str]:
    """The prefixes of the registered methods, each with its version."""
    callable_ = (name for name, method in registry.METHODS.items() if ctx.may_call(method))
    names = {name.replace(".", "_").partition("_")[0] for name in callable_}
    if not ctx.node.settings.rpc.testing:
        names.discard("testing")
    return dict.fromkeys(sorted(names), "1.0")
