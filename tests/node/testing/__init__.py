"""A ledger inside a Python program, and what pytest makes of it."""
