"""Importing a chain that another client exported: its blocks' RLP, one after another.

Everything is checked and executed except proof-of-work seals; the ledger keeps each
block as it comes, so an import that stops goes on where it was.
"""

import argparse
import mmap
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

from chain import headers
from chain.blocks import Block, decode_block, split_blocks
from chain.errors import Reason, Rejected
from chain.execution import apply_block
from chain.ledger import Ledger
from chain.machine import Machine
from chain.ommers import ANCESTORS_SEEN, check_ommers
from chain.types import ZERO_HASH, Hash, Height
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.objects import user_cache
from node.datadir import open_ledger, read_genesis

_PROGRESS_SECONDS: Final = 2.0


def block_hashes(ledger: Ledger) -> Callable[[int], Hash]:
    """The committed blocks' hashes by number; zero for those that are none."""

    def block_hash(number: int) -> Hash:
        if not 0 <= number <= ledger.height:
            return ZERO_HASH
        return ledger.hash_at(Height(number))

    return block_hash


def import_block(ledger: Ledger, block: Block, machine: Machine) -> bool:
    """Check, execute and commit the next block; False for one that is there already.

    Raises `Rejected` for a block that is not valid or does not continue the ledger.
    """
    number = block.header.number
    block_hash = headers.header_hash(block.header)
    if number <= ledger.height:
        if ledger.hash_at(Height(number)) == block_hash:
            return False
        raise Rejected(Reason.WRONG_CHAIN, "the ledger has another block at this height")
    parent = ledger.head
    if block.header.parent_hash != ledger.head_hash:
        raise Rejected(Reason.UNKNOWN_PARENT, f"0x{block.header.parent_hash.hex()}")
    if block.ommers:
        first = max(ledger.height - ANCESTORS_SEEN + 1, 0)
        ancestors = [ledger.block(Height(height)) for height in range(ledger.height, first - 1, -1)]
        check_ommers(block, ancestors, ledger.config)
    else:
        check_ommers(block, (), ledger.config)
    executed = apply_block(
        ledger.view(),
        block,
        parent,
        machine,
        ledger.config,
        block_hashes(ledger),
        parent_total_difficulty=ledger.total_difficulty(ledger.height),
    )
    ledger.commit(executed)
    return True


def read_blocks(path: Path) -> Iterator[bytes]:
    """The encoded blocks in a file, which may be larger than memory."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                # A map is indexed and sliced as bytes are, and nothing else is done with it.
                yield from split_blocks(cast("bytes", mapped))
    except OSError as error:
        raise Rejected(Reason.BAD_SETTING, f"{path}: {error.strerror}") from error


def import_chain(ledger: Ledger, path: Path, report: Callable[[str], None]) -> int:
    """Import the blocks of a file; gives how many were new.

    `report` gets a line of progress now and then. Raises `Rejected` at the first bad
    block, naming its place; those before it stay.
    """
    machine = NativeInterpreter(cache=user_cache())
    if not path.is_file():
        raise Rejected(Reason.BAD_SETTING, f"{path}: no such file")
    started = reported = time.monotonic()
    imported = transactions = 0
    place = 0
    blocks = read_blocks(path)
    while True:
        try:
            raw = next(blocks, None)
            if raw is None:
                break
            block = decode_block(raw)
            if block.header.number == 0 and place == 0:
                _check_genesis(ledger, block)
            elif import_block(ledger, block, machine):
                imported += 1
                transactions += len(block.transactions)
        except Rejected as error:
            raise Rejected(error.reason, f"block {place + 1} in {path}: {error.detail}") from error
        place += 1
        now = time.monotonic()
        if now - reported >= _PROGRESS_SECONDS:
            reported = now
            report(f"height {ledger.height}: {imported / (now - started):.1f} blocks/s")
    seconds = max(time.monotonic() - started, 1e-9)
    report(
        f"imported {imported} blocks with {transactions} transactions in {seconds:.1f} s "
        f"({imported / seconds:.1f} blocks/s)"
    )
    return imported


def _check_genesis(ledger: Ledger, block: Block) -> None:
    """Some exports begin with the first block; it must be ours."""
    if headers.header_hash(block.header) != ledger.genesis_hash:
        raise Rejected(Reason.WRONG_CHAIN, "a first block other than the genesis file's")


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node import`."""
    parser.add_argument("chain", metavar="CHAIN.rlp", help="blocks in RLP, one after another")
    parser.add_argument(
        "--genesis", required=True, metavar="GENESIS.json", help="the chain's genesis, as geth's"
    )
    parser.add_argument(
        "--datadir", metavar="D", help="folder to keep the ledger in (default: check only)"
    )


def run_import(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status. Raises `Rejected` and `Fault`."""

    def report(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    genesis = read_genesis(Path(arguments.genesis))
    folder = Path(arguments.datadir) if arguments.datadir else None
    ledger = open_ledger(folder, genesis)
    try:
        import_chain(ledger, Path(arguments.chain), report)
        sys.stdout.write(f"head {ledger.height} 0x{ledger.head_hash.hex()}\n")
        if folder is None:
            report("nothing was kept: no --datadir was given")
    finally:
        ledger.close()
    return 0
