"""What nodes tell one another, and whom they ask.

requests        questions with an answer, a timeout and a limit
buckets         what a peer may cost in a while
index compact   a block as a receiver with a pool needs it
transactions    pooled transactions: announced by hash, fetched in batches
consensus       proposals, votes, certificates, evidence, and the blocks they name
dispatch        each message to the part that it is for
"""
