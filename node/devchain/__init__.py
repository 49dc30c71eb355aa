"""The developer's chain: blocks at the push of a button, a state that can be set, and the way back.

It has no validators to convince, so nothing is voted on: `producer` builds a block when one is
due and commits it. `chain` is what developers' methods act through; `times` and `wishes` say
what the next block is like, `notes` keeps snapshots over a restart, `unsigned` is how accounts
send whose keys nobody has. Decisions 0007 and 0008.
"""
