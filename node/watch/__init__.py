"""What operators see of a running node.

observer observation     one snapshot of a node, which all the others are made of
metrics exposition       Prometheus' names and text format
process                  what the operating system knows of the process
health                   /health and /ready
standstill               who is missing when the ledger stands still
logs console             how a line looks; lines that a stuck terminal can't hold up
"""
