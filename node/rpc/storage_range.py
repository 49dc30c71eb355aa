"""debug_storageRangeAt: a contract's slots in the order of their hashes, as they stand in the trie.

Debuggers page through a contract's storage with it, in the middle of a block too.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from chain.changes import storage_trie
from chain.commitment import commit
from chain.forked import lay
from chain.leaves import address_key, decode_slot, slot_key
from chain.types import EMPTY_ROOT, Address, Hash, Height
from chain.views import TrieView
from node.rpc.context import Context
from node.rpc.formats import Json, data, word
from node.rpc.parameters import BlockTag, Count
from node.rpc.registry import method
from node.rpc.replay import replay_before, run_trace, traced_height
from node.rpc.trace_options import TraceOptions
from node.tracing import Budget

_SLOTS_MAX: Final = 4096  # in one answer; the next key leads on


@method("debug_storageRangeAt")
async def storage_range_at(
    ctx: Context, block: BlockTag, index: Count, address: Address, start: bytes, count: Count
) -> dict[str, Any]:
    """A contract's slots from a hashed key on, before the block's transaction of an index."""
    height = traced_height(ctx, block)

    def read(budget: Budget, _: TraceOptions) -> Json:
        view, written = _state_before(ctx, height, index, budget)
        account = view.account(address)
        if account is None or account.storage_root == EMPTY_ROOT:
            return {"storage": None, "nextKey": None}
        leaves = _leaves_from(view, address, Hash(start.ljust(32, b"\0")), budget)
        return _shown(ctx, leaves, min(count, _SLOTS_MAX), written)

    found: dict[str, Any] = await run_trace(ctx, read)
    return found


def _state_before(
    ctx: Context, height: Height, index: int, budget: Budget
) -> tuple[TrieView, frozenset[int]]:
    """The state before a transaction, and the slots written in the block so far."""
    execution = replay_before(ctx, height, index, budget).execution
    delta = execution.state.delta()
    written = frozenset(slot for slots in delta.storage.values() for slot in slots)
    return lay(execution.view, commit(execution.view, delta)), written


def _leaves_from(
    view: TrieView, address: Address, first: Hash, budget: Budget
) -> Iterator[tuple[Hash, bytes]]:
    """The leaves of a contract's storage whose keys are not below `first`."""
    trie = storage_trie(address_key(address))
    # By the keys' first byte, so that a page far behind needs not read those before it.
    prefixes = [f"{byte:02x}" for byte in range(first[0], 256)] if any(first) else [""]
    for prefix in prefixes:
        for key, leaf in view.leaves(trie, prefix):
            budget.tick()
            if key >= first:
                yield key, leaf


def _shown(
    ctx: Context, leaves: Iterator[tuple[Hash, bytes]], count: int, written: frozenset[int]
) -> Json:
    names = {slot_key(slot): slot for slot in written}
    storage: Json = {}
    for key, leaf in islice(leaves, count):
        name = ctx.ledger.name_of(key)
        slot = names.get(key) if name is None else int.from_bytes(name, "big")
        storage[data(key)] = {
            "key": None if slot is None else word(slot),
            "value": word(decode_slot(leaf)),
        }
    following = next(leaves, None)
    return {"storage": storage, "nextKey": None if following is None else data(following[0])}
