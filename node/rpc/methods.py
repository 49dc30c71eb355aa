"""All methods of the server. Importing this module registers them."""

from node.rpc import (
    accounts,
    blocks,
    calls,
    chain_config,
    client,
    debug,
    fees,
    filters,
    gas,
    logs,
    pool,
    simulation,
    state,
    subscriptions,
    tracing,
    transactions,
)

__all__ = [
    "accounts",
    "blocks",
    "calls",
    "chain_config",
    "client",
    "debug",
    "fees",
    "filters",
    "gas",
    "logs",
    "pool",
    "simulation",
    "state",
    "subscriptions",
    "tracing",
    "transactions",
]
