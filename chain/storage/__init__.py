"""Where the ledger keeps its bytes: one small interface, on disk or in memory.

`store` is the interface, `memory` and `rocks` fulfil it, `schema` says which tables
there are and what their keys look like.
"""

from chain.storage.memory import MemoryStore
from chain.storage.store import Change, Store

__all__ = ["Change", "MemoryStore", "Store"]
