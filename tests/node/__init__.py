"""The daemon's parts: settings, mempool, consensus, RPC, commands."""
