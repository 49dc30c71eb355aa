"""Transactions that wait for a block.

    intake           raw bytes in: decoded, checked in batches, added in order of arrival
    mempool          one lane of nonces per sender, a price order over the lanes' heads
    eviction         what a full pool gives up first
    journal          what waits, kept over stops and crashes

The pool and its eviction know no clock and no disk: `now` is an argument.
"""
