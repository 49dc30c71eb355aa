"""Fork mode: a developer's chain that goes on from a block of another ledger.

`source` asks the other ledger, `answers` keeps what it said, `origin` is its state and its
headers as this ledger reads them, `beginning` makes the first block. Decision 0010.
"""
