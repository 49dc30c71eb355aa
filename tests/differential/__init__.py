"""Our rules beside an independent implementation of them, on cases nobody thought of.

The other side is the executable specification of Ethereum (`ethereum-execution`),
a test-only dependency. Transactions are made and signed here with `rlp` and
`coincurve`, so that an error in our own encoding can't hide one in our execution.

    cases.py          what a case is; its JSON form
    programs.py       random bytecode that gets somewhere
    envelopes.py      transactions of every kind, some of them wrong
    strategies.py     whole cases for hypothesis
    precompiles.py    cases that call precompiled contracts
    specification.py  a case run by the executable specification
    ours.py           the same case run by chain.transition and contracts.vm
    __main__.py       replays a case that a failing test printed
"""

import sys
from importlib import import_module

# Importing the specification raises the recursion limit of the whole process, other tests' too.
_limit = sys.getrecursionlimit()
import_module("ethereum")
sys.setrecursionlimit(_limit)
