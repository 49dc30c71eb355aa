"""A developer's ledger opened or begun, forked or not, before anything else touches its store."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from chain.errors import Reason, Rejected
from chain.genesis import Genesis, parse_genesis
from chain.storage import schema
from chain.storage.store import Store
from node.devchain.fork.beginning import ForkPoint, find_fork, first_changes, reopen_fork

NEWEST: Final = -1


class Forking(Struct, frozen=True):
    """What is to be forked, when the store is still empty."""

    url: str = ""  # empty: nothing is
    height: int = NEWEST
    answers: Path | None = None  # the folder for what sources say; None: it is not kept
    takes_chain_id: bool = False  # whether the fork has its source's chain id


def wanted(url: str, height: int) -> tuple[str, int]:
    """The URL and the height of "http://host:8545@21000000"; a height by itself goes first."""
    address, at, number = url.rpartition("@")
    # After a login there comes a host, which is never a number alone.
    if not at or not (number.isascii() and number.isdigit()):
        return url, height
    return address, int(number) if height == NEWEST else height


def open_fork(
    store: Store, forking: Forking, now: int, genesis_of: Callable[[int | None, int], Genesis]
) -> tuple[Genesis, ForkPoint | None]:
    """The genesis of a store's ledger, and where it left another one, if it did.

    `genesis_of` makes the genesis with the given chain id, or with its own for None, and the given
    time: that of the store's, or `now` (seconds since 1970) for an empty one, for contracts and
    tests reckon with dates from the first block on. An empty store is begun with the fork that is
    wanted. `Rejected` (WRONG_CHAIN) when the store holds
    something else, BAD_SETTING for a height without a URL, and as `find_fork`; `SourceFailed`.
    """
    begun = store.get(schema.META, schema.GENESIS)
    began = parse_genesis(begun).timestamp if begun else now
    record = store.get(schema.META, schema.FORK)
    if record is not None:
        point = reopen_fork(record, forking.answers, forking.url)
        if forking.height not in (NEWEST, point.height):
            point.origin.close()
            raise Rejected(
                Reason.WRONG_CHAIN,
                f"the data folder holds a fork at height {point.height}, not {forking.height}",
            )
    elif not forking.url and forking.height != NEWEST:
        raise Rejected(Reason.BAD_SETTING, "a height to fork from without a URL to fork from")
    elif not forking.url:
        return genesis_of(None, began), None
    elif store.get(schema.META, schema.SCHEMA) is not None:
        raise Rejected(
            Reason.WRONG_CHAIN, "the data folder holds a ledger that is no fork; name another"
        )
    else:
        height = None if forking.height == NEWEST else forking.height
        point = find_fork(forking.url, height, forking.answers)
    genesis = genesis_of(point.chain_id if forking.takes_chain_id else None, began)
    if record is None:
        store.write(first_changes(point, genesis), sync=True)
    return genesis, point
