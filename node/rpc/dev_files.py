"""A developer's chain that begins with a file and leaves one behind: anvil's --state and kin."""

import gzip
import os
from pathlib import Path
from typing import Final

from chain.blocks import Header
from chain.errors import Fault, Reason, Rejected
from chain.ledger import Ledger
from chain.views import TrieView
from node.devchain.chain import DevChain
from node.devchain.dump import dump, states_of
from node.devchain.dump_file import BYTES_MAX, DumpFile, read_dump
from node.rpc.dev_dump import blocks_of, past_of

_NAME: Final = "state.json"  # in a folder that is named in place of a file


def dumped(ledger: Ledger, view: TrieView, head: Header, *, history: bool) -> bytes:
    """A state and the newest blocks as a gzipped file; `history`: with past states."""
    accounts = states_of(view, ledger.name_of)
    return dump(accounts, head, *blocks_of(ledger), past_of(ledger) if history else None)


def load_file(path: Path) -> DumpFile:
    """A file of either kind of anvil's: of --dump-state, or of anvil_dumpState in hex or not.

    Raises `Rejected`: BAD_SETTING where it can't be read, and as `read_dump`, with its name.
    """
    path = _in_folder(path)
    try:
        if path.stat().st_size > BYTES_MAX:
            raise Rejected(Reason.TOO_LARGE, f"{path} has more than {BYTES_MAX} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise Rejected(Reason.BAD_SETTING, f"{path}: {os.strerror(error.errno or 0)}") from None
    if data[:3].strip(b'"').startswith(b"0x"):
        try:
            data = bytes.fromhex(data.decode().strip().strip('"')[2:])
        except ValueError:
            raise Rejected(Reason.BAD_GENESIS, f"{path} is no hex data") from None
    try:
        return read_dump(data)
    except Rejected as rejected:
        raise Rejected(rejected.reason, f"{path}: {rejected.detail}") from None


async def begin_with(developer: DevChain, path: Path) -> None:
    """Have the chain go on from a file; as `DevChain.load`, and raises as `load_file`."""
    await developer.load(load_file(path))


def save_file(path: Path, ledger: Ledger, *, history: bool) -> None:
    """Leave the chain in a file of JSON, as anvil's --dump-state does. `Fault` for the disk."""
    path = _in_folder(path)
    fresh = path.with_name(path.name + ".new")
    try:
        file = dumped(ledger, ledger.view(), ledger.head, history=history)
        fresh.write_bytes(gzip.decompress(file))
        fresh.replace(path)
    except OSError as error:
        raise Fault(f"{path}: {os.strerror(error.errno or 0)}") from error


def is_there(path: Path) -> bool:
    return _in_folder(path).exists()


def _in_folder(path: Path) -> Path:
    return path / _NAME if path.is_dir() else path
