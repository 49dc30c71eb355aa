"""Commands beside the ones that run a node; `node/__main__.py` loads them when they are asked for.

testnet manifest     a network of nodes for this machine, and the file that lists them
key_files            a data folder's keys
ask                  questions and orders to a running node
inspect export       a stopped node's data folder: what it holds, its blocks
"""
