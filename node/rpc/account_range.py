"""debug_ methods about all accounts of a state: in the order of their hashes, and which changed.

Shapes and words are geth's: numbers and names without 0x where it writes them so, addresses
in mixed case where they name accounts.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from chain.changes import ACCOUNT_TRIE, storage_trie
from chain.leaves import decode_account
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash, Height
from chain.views import TrieView
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import Json, checksummed, data
from node.rpc.parameters import BlockHash, BlockTag, Count
from node.rpc.registry import method
from node.rpc.replay import found_height, run_trace
from node.rpc.trace_options import TraceOptions
from node.tracing import Budget

_ACCOUNTS_MAX: Final = 256  # in one answer; the next key leads on


@method("debug_accountRange")
async def account_range(
    ctx: Context,
    block: BlockTag,
    start: bytes,
    count: Count,
    without_code: bool = False,
    without_storage: bool = False,
    incomplete: bool = False,
) -> Any:
    """A state's accounts from a hashed key on, at most 256 of them.

    `incomplete` takes those too whose address is not known.
    """
    most = min(count, _ACCOUNTS_MAX) or _ACCOUNTS_MAX
    return await _dump(ctx, block, start, most, without_code, without_storage, incomplete)


@method("debug_dumpBlock")
async def dump_block(ctx: Context, block: BlockTag) -> Any:
    """All accounts of a state, within the limits of traces."""
    return await _dump(ctx, block, b"", None, False, False, False)


async def _dump(
    ctx: Context,
    block: BlockTag,
    start: bytes,
    most: int | None,
    without_code: bool,
    without_storage: bool,
    incomplete: bool,
) -> Any:
    height = found_height(ctx, block)
    view = ctx.view_at(height)

    def read(budget: Budget, _: TraceOptions) -> Json:
        leaves = _leaves_from(view, Hash(start.ljust(32, b"\0")), budget)
        accounts: Json = {}
        for key, leaf in islice(leaves, most):
            address = ctx.ledger.name_of(key)
            if address is None and not incomplete:
                continue
            name = f"pre({key.hex()})" if address is None else checksummed(Address(address))
            account = decode_account(leaf)
            told: Json = {
                "balance": str(account.balance),
                "nonce": account.nonce,
                "root": data(account.storage_root),
                "codeHash": data(account.code_hash),
            }
            if not without_code and account.code_hash != EMPTY_CODE_HASH:
                told["code"] = data(view.code(account.code_hash))
            if not without_storage and account.storage_root != EMPTY_ROOT:
                told["storage"] = _storage(ctx, view, key, budget)
            if address is not None:
                told["address"] = data(address)
            told["key"] = data(key)
            accounts[name] = told
        found: Json = {"root": ctx.ledger.state_root(height).hex(), "accounts": accounts}
        following = next(leaves, None)
        if following is not None:
            found["next"] = data(following[0])
        return found

    return await run_trace(ctx, read)


def _leaves_from(view: TrieView, first: Hash, budget: Budget) -> Iterator[tuple[Hash, bytes]]:
    """The accounts' leaves whose keys are not below `first`."""
    # By the keys' first byte, so that a page far behind needs not read those before it.
    prefixes = [f"{byte:02x}" for byte in range(first[0], 256)] if any(first) else [""]
    for prefix in prefixes:
        for key, leaf in view.leaves(ACCOUNT_TRIE, prefix):
            budget.tick()
            if key >= first:
                yield key, leaf


def _storage(ctx: Context, view: TrieView, account_key: Hash, budget: Budget) -> dict[str, str]:
    """An account's slots by name, or by hash where the name is not known."""
    found: dict[str, str] = {}
    for key, leaf in view.leaves(storage_trie(account_key)):
        budget.tick()
        value = leaf if len(leaf) == 1 else leaf[1:]  # what geth shows of the leaf's RLP
        found[data(ctx.ledger.name_of(key) or key)] = value.hex()
    return found


# -- names and changes -----------------------------------------------------------------------------


@method("debug_preimage")
async def preimage(ctx: Context, key: Hash) -> bytes:
    """The address or slot whose hash stands in the state's trie."""
    found = ctx.ledger.name_of(key)
    if found is None:
        raise server_error("unknown preimage")
    return found


@method("debug_getModifiedAccountsByNumber")
async def modified_by_number(ctx: Context, start: Count, end: Count | None = None) -> Any:
    """The accounts that differ between two blocks' states, or that one block changed."""
    return await _modified(ctx, start, end)


@method("debug_getModifiedAccountsByHash")
async def modified_by_hash(ctx: Context, start: Hash, end: Hash | None = None) -> Any:
    """As debug_getModifiedAccountsByNumber."""
    return await _modified(ctx, BlockHash(start), None if end is None else BlockHash(end))


async def _modified(ctx: Context, start: int | BlockHash, end: int | BlockHash | None) -> Any:
    first = _known(ctx, start, "start")
    if end is None:
        if first == ctx.ledger.first:
            raise server_error(f"block {first:x} has no parent")
        last, first = first, Height(first - 1)
    else:
        last = _known(ctx, end, "end")
        if first >= last:
            raise server_error(
                f"start block height ({first}) must be less than end block height ({last})"
            )
    before, after = ctx.view_at(first), ctx.view_at(last)

    def read(budget: Budget, _: TraceOptions) -> list[str]:
        keys: set[Hash] = set()
        for height in range(first + 1, last + 1):
            budget.tick()
            keys.update(ctx.ledger.changed_accounts(Height(height)))
        found = []
        for key in sorted(keys):
            budget.tick()
            name = ctx.ledger.name_of(key)
            if name is None:
                raise server_error(f"no preimage found for hash {key.hex()}")
            address = Address(name)
            now = after.account(address)
            if now is not None and now != before.account(address):
                found.append(data(address))
        return found

    return await run_trace(ctx, read)


def _known(ctx: Context, block: int | BlockHash, which: str) -> Height:
    height = ctx.find(block)
    if height is None:
        # geth writes the start in hexadecimal and the end, if a height, in decimal digits.
        if isinstance(block, BlockHash):
            named = block.hash.hex()
        else:
            named = f"{block:x}" if which == "start" else f"{block}"
        raise server_error(f"{which} block {named} not found")
    return height
