"""Tests of the virtual machine and of the ledger's own contracts."""
