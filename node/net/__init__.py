"""Links to other nodes. A ledger with one validator has none."""
