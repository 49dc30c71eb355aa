"""The ledger's own contracts: Vyper sources, what the compiler made of them, and their genesis.

`validators.vy` is the source, `validators.json` the artefact, which a test reproduces.
`validators_alloc` gives the account that a genesis file holds; its address and the calls
that it understands are in chain.staking, where the wallet finds them too.
"""

from contracts.system.genesis import validators_alloc

__all__ = ["validators_alloc"]
