"""Ethereum's official test files, run: state tests, blockchain tests, exported chains.

`fixtures` reads the files' values, `networks` knows what their network names mean,
`statetest` and `blocktest` run the two kinds of test, `chain_import` an exported chain,
and `counts` makes the table of docs/CONFORMANCE.md. `report` is how results are printed.
Expected values are compared with, never computed from.
"""
