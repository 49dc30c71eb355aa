"""The ledger's own contracts. Those of Ethereum's forks are in chain.system_contracts."""
