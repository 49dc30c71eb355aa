"""Tests of the ledger's own contracts, on the machine that runs them."""
