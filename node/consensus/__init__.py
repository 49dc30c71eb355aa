"""Agreement: weighted Simplex, as docs/protocol/consensus.md defines it.

    messages votes core     verified events in, ordered effects out; no clock, no socket
    signer vote_log         a vote is on disk before its signature leaves
    driver                  performs the effects, and tells the core what time brought

With one validator its own vote is the quorum; nothing else differs.
"""
