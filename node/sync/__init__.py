"""How a node that is behind gets the final blocks it lacks; always on, there is no mode.

headers    what makes a stretch of headers final: the hash chain, a certificate at its end
asks       what is asked, what comes of it, the limits of both
plan       who is asked for what, and what to do with the answers; knows no clock, no network
ranges     which bodies nobody is about to bring
sync       asks, verifies, hands blocks on in order
serve      answers the questions of others from the ledger
progress   how far it is, for people and programs
"""
