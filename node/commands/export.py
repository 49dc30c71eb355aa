"""`chain-node export`: final blocks in geth's format, their RLP one after another.

What `chain-node import` and `geth import` read. Votes and certificates stay behind: blocks
that are imported elsewhere are checked by executing them.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from chain.errors import Fault, Reason, Rejected
from chain.ledger import Ledger
from chain.types import Height
from node.datadir import open_ledger

_PROGRESS_BLOCKS: Final = 10_000


def export_chain(
    ledger: Ledger,
    file: BinaryIO,
    first: int,
    last: int,
    report: Callable[[str], None],
) -> int:
    """Write the blocks from `first` to `last`, both included; how many bytes they take.

    Rejected(UNKNOWN_BLOCK) when the ledger does not reach that far. `report` gets a line
    of progress now and then.
    """
    if not 0 <= first <= last <= ledger.height:
        raise Rejected(
            Reason.UNKNOWN_BLOCK,
            f"heights {first} to {last} are not in the ledger, which has 0 to {ledger.height}",
        )
    size = 0
    for height in range(first, last + 1):
        size += file.write(ledger.raw_block(Height(height)))
        if (height - first + 1) % _PROGRESS_BLOCKS == 0:
            report(f"height {height} of {last}")
    return size


def export_file(
    ledger: Ledger, path: Path, first: int, last: int, report: Callable[[str], None]
) -> int:
    """As `export_chain`, into a file that is there whole or not at all.

    One that was there before is replaced at the end. Fault when the disk fails.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            size = export_chain(ledger, file, first, last, report)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error
    finally:
        with suppress(OSError):  # gone, when all went well
            unfinished.unlink()
    return size


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node export`."""
    add = parser.add_argument
    add("file", metavar="CHAIN.rlp", help="file to write, replaced as a whole; -: standard output")
    add("--datadir", required=True, metavar="D", help="data folder of a node that is stopped")
    add("--first", type=int, default=0, metavar="N", help="first height [0]")
    add("--last", type=int, metavar="N", help="last height [the head]")


def run_export(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status. Raises `Rejected` and `Fault`."""

    def report(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    ledger = open_ledger(Path(arguments.datadir), None)
    try:
        first = arguments.first
        last = ledger.height if arguments.last is None else arguments.last
        if arguments.file == "-":
            size = export_chain(ledger, sys.stdout.buffer, first, last, report)
            sys.stdout.buffer.flush()
        else:
            size = export_file(ledger, Path(arguments.file), first, last, report)
        report(f"exported heights {first} to {last}, {size} bytes")
    finally:
        ledger.close()
    return 0
