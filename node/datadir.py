"""The data folder: what lies where, and opening it.

db/            the ledger (RocksDB); the genesis it began with is kept inside
votes.log      the validator's votes
validator.key  the validator's private key, in hex; without it the node only observes
node.key       the key that names the node to its peers, in hex
dev.log        a developer's chain: its snapshots, and how its clock is shifted
config.toml    settings, when the operator wants a file
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from chain.errors import Fault, Reason, Rejected
from chain.forked import Origin
from chain.genesis import Genesis, parse_genesis
from chain.ledger import Ledger
from chain.storage import schema
from chain.storage.memory import MemoryStore
from chain.storage.store import Store

LEDGER: Final = "db"
VOTES: Final = "votes.log"
POOL: Final = "pool.log"
NOTES: Final = "dev.log"
VALIDATOR_KEY: Final = "validator.key"
_GENESIS_BYTES_MAX: Final = 1 << 30


def read_genesis(path: Path) -> Genesis:
    """A genesis file; Rejected(BAD_GENESIS) when there is none to be had from it."""
    try:
        if path.stat().st_size > _GENESIS_BYTES_MAX:
            raise Rejected(Reason.BAD_GENESIS, f"{path} is larger than a genesis file can be")
        data = path.read_bytes()
    except OSError as error:
        raise Rejected(Reason.BAD_GENESIS, f"{path}: {os.strerror(error.errno or 0)}") from None
    try:
        return parse_genesis(data)
    except Rejected as rejected:
        raise Rejected(rejected.reason, f"{path}: {rejected.detail}") from None


def has_ledger(folder: Path) -> bool:
    """Whether somebody began a ledger in this folder."""
    return (folder / LEDGER).is_dir()


def open_ledger(
    folder: Path | None,
    genesis: Genesis | None,
    *,
    retain_heights: int = 0,
    begin: Callable[[Store], tuple[Genesis, Origin | None]] | None = None,
) -> Ledger:
    """The ledger of a data folder, or one in memory when `folder` is None.

    An empty folder is begun with `genesis`. A folder that holds a ledger must hold that
    of `genesis`, when one is given. `begin`, where there is no `genesis`, sees the store first and
    gives one, and a forked ledger's origin. Rejected: WRONG_CHAIN, WRONG_SCHEMA, DATADIR_IN_USE,
    BAD_GENESIS when neither folder nor caller has one. Fault when the disk fails.
    """
    store: Store
    if folder is None:
        store = MemoryStore()
    else:
        if genesis is None and begin is None and not has_ledger(folder):
            raise Rejected(
                Reason.BAD_GENESIS, f"{folder} holds no ledger yet; give one with --genesis"
            )
        make_folder(folder)
        from chain.storage.rocks import RocksStore  # in memory, one starts without it

        store = RocksStore(folder / LEDGER)
    with ExitStack() as undo:
        undo.callback(store.close)
        origin: Origin | None = None
        if begin is not None:
            genesis, origin = begin(store)
        if genesis is not None:
            _check_chain_id(store, genesis.config.chain_id, folder)
        ledger = Ledger.open(store, genesis, retain_heights=retain_heights or None, origin=origin)
        undo.pop_all()  # the ledger closes its store from here on
    return ledger


def make_folder(folder: Path) -> None:
    """Make the data folder, closed to other users, when it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Fault(f"data folder {folder}: {os.strerror(error.errno or 0)}") from error


def _check_chain_id(store: Store, chain_id: int, folder: Path | None) -> None:
    """The chain id, which the hash of the first block says nothing about."""
    stored = store.get(schema.META, schema.GENESIS)
    if stored is None:
        return
    found = parse_genesis(stored).config.chain_id
    if found != chain_id:
        raise Rejected(
            Reason.WRONG_CHAIN, f"{folder} holds a ledger with chain id {found}, not {chain_id}"
        )
