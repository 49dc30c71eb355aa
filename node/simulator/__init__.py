"""Whole networks of nodes in one process, on virtual time, from one seed.

The nodes are the real ones: `node.node.Node` with its ledger, pool, consensus, gossip and
sync. What surrounds them is replaced: the event loop jumps from timer to timer (`loop`),
messages travel with seeded delays and faults (`network`), disks lose what was not synced
when a node crashes (`disk`), and some validators lie (`byzantine`). A `cluster` puts it
together, `invariants` watch it, and `command` is `chain-node simulate`.

The same seed gives the same run, to the last event: what fails once can be replayed.
docs/protocol/simulation.md has the whole story.
"""
