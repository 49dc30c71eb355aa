"""Developers' methods: snapshots and the way back to them, a fresh start, states as files."""

from functools import partial
from typing import Any

from node.devchain.dump_file import read_dump
from node.rpc.context import Context
from node.rpc.dev_files import dumped
from node.rpc.dev_registry import OWN, Amount, control, parse_amount
from node.rpc.errors import invalid_params


@control({"evm_snapshot": OWN, "anvil_snapshot": OWN, "hardhat_snapshot": OWN})
async def snapshot(ctx: Context) -> int:
    """Remember this moment: chain, state, clock; its number, which a restart leaves valid."""
    return await ctx.developer.snapshot()


@control({"evm_revert": OWN, "anvil_revert": OWN, "hardhat_revert": OWN})
async def revert(ctx: Context, number: Amount) -> bool:
    """Go back to a snapshot, once; later ones are gone with it. False when there is none."""
    try:
        return await ctx.developer.revert(number)
    finally:
        ctx.filters.rewind(ctx.ledger.height)


@control({"debug_setHead": None}, everywhere=False)
async def set_head(ctx: Context, height: Amount) -> None:
    """Take back the blocks above a height, as in geth's dev mode; Ape's snapshots are made so."""
    developer, ledger = ctx.developer, ctx.ledger
    if not ledger.first <= height <= ledger.height:
        raise invalid_params(f"the heights are {ledger.first} to {ledger.height}")
    try:
        await developer.take_back(ledger.height - height)
    finally:
        ctx.filters.rewind(ledger.height)


@control({"anvil_reset": None, "hardhat_reset": True})
async def reset(ctx: Context, options: dict[str, Any] | None = None) -> None:
    """Begin again at the first block, or at one of another ledger, with nothing remembered."""
    forking = options.get("forking") if options else None
    developer = ctx.developer
    try:
        # Libraries send an empty one when nothing is to be forked.
        if forking or (forking is not None and developer.fork is not None):
            await developer.reset_to_fork(*_forking(forking))
        else:
            await developer.reset()
    finally:
        ctx.filters.rewind(ctx.ledger.first)


@control({"anvil_setRpcUrl": None})
async def set_fork_url(ctx: Context, url: str) -> None:
    """Ask another server for the ledger that was forked, from now on."""
    fork = ctx.fork
    if fork is None:
        raise invalid_params("there is no fork")
    fork.origin.move(url)


def _forking(options: Any) -> tuple[str | None, int | None]:
    """The URL and the height of `forking`, None where it names none."""
    if not isinstance(options, dict):
        raise invalid_params("forking is an object with jsonRpcUrl and blockNumber")
    url, height = options.get("jsonRpcUrl"), options.get("blockNumber")
    if url is not None and not isinstance(url, str):
        raise invalid_params("forking.jsonRpcUrl is a text")
    try:
        return url, None if height is None else parse_amount(height)
    except ValueError as error:
        raise invalid_params(f"forking.blockNumber: {error}") from None


@control({"anvil_dumpState": OWN, "hardhat_dumpState": OWN})
async def dump_state(ctx: Context, history: bool | None = False) -> bytes:
    """The head's state and the newest blocks as a file in anvil's format; `history`: past states.

    Beside the newest state there are those of the heights before, the newest first, as many as fit.
    """
    ledger, with_past = ctx.ledger, bool(history) and ctx.fork is None
    make = partial(dumped, ledger, ledger.view(), ledger.head, history=with_past)
    file: bytes = await ctx.heavy.read(make)
    return file


@control({"anvil_loadState": True, "hardhat_loadState": True})
async def load_state(ctx: Context, file: bytes) -> None:
    """Go on from such a file: its blocks are the chain, its accounts lie over the head's state.

    A file without blocks changes the state alone, as does any file on a fork.
    """
    await ctx.developer.load(await ctx.heavy.read(read_dump, file))
    ctx.surroundings.forget()
    ctx.filters.rewind(ctx.ledger.height)
