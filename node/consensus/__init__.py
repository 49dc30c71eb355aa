"""Agreement: weighted Simplex, as docs/protocol/consensus.md defines it.

    messages votes core     verified events in, ordered effects out; no clock, no socket
    signer vote_log voter   a vote is on disk before its signature leaves; lost votes
    admission               verifies what peers send, before the core hears of it
    driver pacemaker        performs the effects, and tells the core what time brought
    workshop candidates     blocks: built, executed, committed; what is not final yet

With one validator its own vote is the quorum; nothing else differs.
"""
