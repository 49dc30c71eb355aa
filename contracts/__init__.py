"""Contracts: the virtual machine that runs them, and the ledger's own."""
