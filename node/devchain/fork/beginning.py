"""Where another ledger is forked: its block, what is put on its state, what is written down."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from chain.beginnings import forked_writes
from chain.crypto.keccak import keccak
from chain.errors import Fault, Reason, Rejected, SourceFailed
from chain.genesis import Genesis
from chain.records import StoredHeader
from chain.state import Account, Delta
from chain.storage.store import Change
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash, Height
from node.devchain.fork.answers import Answers
from node.devchain.fork.headers import parse_header
from node.devchain.fork.origin import ForkOrigin
from node.devchain.fork.source import Refusal, Source

_BLOCK: Final = b"block"
_CHAIN: Final = b"chain"
_DELEGATION: Final = b"\xef\x01\x00"


class ForkPoint(Struct, frozen=True):
    """A block of another ledger that this one goes on from."""

    url: str
    chain_id: int  # the other ledger's
    first: StoredHeader
    origin: ForkOrigin

    @property
    def height(self) -> Height:
        return Height(self.first.header.number)


class _Record(Struct, frozen=True):
    """What a forked ledger's store keeps of its fork."""

    url: str
    chain_id: int
    block: dict[str, Any]


def find_fork(
    url: str,
    height: int | None,
    folder: Path | None,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> ForkPoint:
    """The block at `height`, by default the newest, whose answers are kept in `folder`.

    A block that was forked before is found without the source when its height is named. Raises
    `SourceFailed`; `Rejected`: BAD_SETTING for the URL, UNKNOWN_BLOCK; `Fault` for the folder.
    """
    source = Source(url, pause=pause)
    try:
        if height is None:
            newest = source.ask("eth_blockNumber")
            if not isinstance(newest, str):
                raise SourceFailed(source.name, f"no block number: {newest!r:.80}")
            height = int(newest, 16)
        block, chain_id = source.ask_all(
            [("eth_getBlockByNumber", (hex(height), False)), ("eth_chainId", ())]
        )
    except Refusal as refusal:
        raise SourceFailed(source.name, str(refusal)) from None
    except (TypeError, ValueError) as error:
        raise SourceFailed(source.name, f"no block number: {error}") from None
    except SourceFailed:
        found = _known(folder, url, height)
        if found is None:
            raise
        answers, block, chain_id = found
        first, number = _parsed(source, block, chain_id)
        return _fork(source, first, number, answers, sure=False)
    if not isinstance(block, dict):
        raise Rejected(Reason.UNKNOWN_BLOCK, f"{source.name} has no block {height}")
    first, number = _parsed(source, block, chain_id)
    if first.header.number != height:
        detail = f"block {first.header.number} for block {height}"
        raise SourceFailed(source.name, detail)
    answers = Answers(_path(folder, url, first))
    answers.add((_BLOCK, msgspec.json.encode(block)), (_CHAIN, msgspec.json.encode(chain_id)))
    return _fork(source, first, number, answers, sure=True)


def reopen_fork(
    record: bytes,
    folder: Path | None,
    url: str = "",
    *,
    pause: Callable[[float], None] = time.sleep,
) -> ForkPoint:
    """The fork of a ledger that was forked before, by what it wrote down; asks nobody.

    `url` takes the place of the one it was forked from. Raises `Fault` for a corrupt record.
    """
    try:
        found = msgspec.json.decode(record, type=_Record)
    except msgspec.DecodeError as error:
        raise Fault(f"the record of the fork is corrupt: {error}") from error
    source = Source(url or found.url, pause=pause)
    first, number = _parsed(source, found.block, hex(found.chain_id))
    answers = Answers(_path(folder, found.url, first))
    return _fork(source, first, number, answers, sure=False)


def _parsed(source: Source, block: dict[str, Any], chain_id: Any) -> tuple[StoredHeader, int]:
    """The block to fork from, and the chain's id. Raises `SourceFailed` where they are none."""
    try:
        first = parse_header(block)
    except ValueError as error:
        raise SourceFailed(source.name, f"the block to fork from: {error}") from None
    try:
        return first, int(chain_id, 16)
    except (TypeError, ValueError):
        raise SourceFailed(source.name, f"no chain id: {chain_id!r:.80}") from None


def _fork(
    source: Source, first: StoredHeader, chain_id: int, answers: Answers, *, sure: bool
) -> ForkPoint:
    height = Height(first.header.number)
    origin = ForkOrigin(source, answers, height, first.hash, sure=sure)
    return ForkPoint(source.url, chain_id, first, origin)


def _folder(folder: Path, url: str) -> Path:
    return folder / hashlib.sha256(url.encode()).hexdigest()[:16]


def _path(folder: Path | None, url: str, first: StoredHeader) -> Path | None:
    """One file for each block, by its height and hash, for ledgers behind a URL may change."""
    if folder is None:
        return None
    name = f"{first.header.number}-{first.hash.hex()[:16]}"
    return _folder(folder, url) / name


def _known(
    folder: Path | None, url: str, height: int | None
) -> tuple[Answers, dict[str, Any], str] | None:
    """The last fork that was made at this height."""
    if folder is None or height is None:
        return None
    files = sorted(_folder(folder, url).glob(f"{height}-*"), key=lambda path: path.stat().st_mtime)
    for path in reversed(files):
        answers = Answers(path)
        block, chain_id = answers.get(_BLOCK), answers.get(_CHAIN)
        if block is not None and chain_id is not None:
            return answers, msgspec.json.decode(block), msgspec.json.decode(chain_id)
        answers.close()
    return None


def first_changes(fork: ForkPoint, genesis: Genesis) -> list[Change]:
    """What a store begins with: the fork's block, with the accounts of `genesis` on its state.

    Funded accounts have their balance and are nobody's delegates; contracts are put where the
    other ledger has none. Raises `SourceFailed`.
    """
    origin = fork.origin
    origin.fetch_accounts(list(genesis.alloc))
    accounts: dict[Address, Account | None] = {}
    codes: dict[Hash, bytes] = {}
    for address, start in genesis.alloc.items():
        there = origin.account(address) or Account()
        code_hash = there.code_hash
        if start.code:
            if code_hash != EMPTY_CODE_HASH:
                continue
            code_hash = keccak(start.code)
            codes[code_hash] = start.code
            balance, nonce = there.balance, max(there.nonce, start.nonce)
        else:
            code = origin.code(code_hash) or b""
            if code.startswith(_DELEGATION):  # the keys are public, and thieves delegate them
                code_hash = EMPTY_CODE_HASH
            elif code:
                codes[code_hash] = code
            balance, nonce = start.balance, there.nonce
        accounts[address] = Account(nonce, balance, EMPTY_ROOT, code_hash)
    delta = Delta(accounts, {}, frozenset(), codes)
    return forked_writes(genesis, fork.first, delta, _record(fork))


def _record(fork: ForkPoint) -> bytes:
    block = fork.origin.ask("eth_getBlockByNumber", hex(fork.height), False)
    return msgspec.json.encode(_Record(fork.url, fork.chain_id, block))
