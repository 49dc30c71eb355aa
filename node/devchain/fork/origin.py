"""The state and the headers of another ledger up to one block, fetched when they are needed.

What was fetched is kept, so that nothing is asked twice and a source that is gone is missed
only for what nobody ever read. Fetching takes long: in the event loop nobody fetches, but
`NotFetched` says what is to be (`turn`).
"""

import json
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import msgspec

from chain.crypto.keccak import keccak
from chain.errors import Fault, Rejected, SourceFailed
from chain.forks import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS
from chain.records import StoredHeader
from chain.state import Account
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash, Height
from node.devchain.fork.answers import Answers
from node.devchain.fork.headers import parse_header
from node.devchain.fork.source import Call, Refusal, Source

# Of an account that may have storage; which root it has is neither known nor needed.
_SOME_ROOT: Final = keccak(b"somewhere else")
_CODES_KNOWN: Final = b"c"
_RING: Final = 8_191  # entries
_KEPT_BYTES_MAX: Final = 4 * 2**20  # of one answer about old blocks; longer ones pass

T = TypeVar("T")

_IN_TURN: ContextVar[bool] = ContextVar("in_turn", default=False)


class NotFetched(Exception):
    """In the event loop something was read that is still to be fetched, by `fetch` in a thread."""

    def __init__(self, fetch: Callable[[], object]) -> None:
        super().__init__("not fetched yet")
        self.fetch = fetch


@contextmanager
def turn() -> Iterator[None]:
    """Within it, and in what it starts in the event loop, nothing is fetched at once."""
    token = _IN_TURN.set(True)
    try:
        yield
    finally:
        _IN_TURN.reset(token)


class ForkOrigin:
    """A `chain.forked.Origin`: what `source` has at the block `height`, and up to it."""

    def __init__(
        self, source: Source, answers: Answers, height: Height, block_hash: Hash, *, sure: bool
    ) -> None:
        """`sure` says that the source is known to have this block."""
        self.source = source
        self.height = height
        self._answers = answers
        self._block = hex(height)
        self._hash = block_hash
        self._doubted: Hash | None = None if sure else block_hash
        self._locks = [threading.Lock() for _ in range(64)]

    def close(self) -> None:
        self._answers.close()

    def move(self, url: str) -> None:
        """Ask another server from now on; BAD_SETTING when that is no URL."""
        self.source = Source(url, pause=self.source.pause)
        self._doubted = self._hash

    # -- state -------------------------------------------------------------------------------------

    def account(self, address: Address) -> Account | None:
        found = self._answers.get(b"a" + address)
        if found is None:
            self._fetch(b"a" + address, lambda: self.fetch_accounts([address]))
            found = self._answers.get(b"a" + address)
            assert found is not None
        nonce, balance, code_hash = msgspec.msgpack.decode(found, type=tuple[int, bytes, bytes])
        if not nonce and not balance and code_hash == EMPTY_CODE_HASH:
            return None
        root = EMPTY_ROOT if code_hash == EMPTY_CODE_HASH else _SOME_ROOT
        return Account(nonce, int.from_bytes(balance, "big"), root, Hash(code_hash))

    def fetch_accounts(self, addresses: Sequence[Address]) -> None:
        """Have these accounts, asked for together; those that are known are not asked for."""
        wanted = [each for each in addresses if self._answers.get(b"a" + each) is None]
        calls: list[Call] = []
        for address in wanted:
            name = "0x" + address.hex()
            calls.append(("eth_getBalance", (name, self._block)))
            calls.append(("eth_getTransactionCount", (name, self._block)))
            calls.append(("eth_getCode", (name, self._block)))
        results = self._ask_all(calls)
        for index, address in enumerate(wanted):
            balance = self._number(results[3 * index], 32)
            nonce = self._number(results[3 * index + 1], 8)
            code = self._data(results[3 * index + 2])
            code_hash = keccak(code) if code else EMPTY_CODE_HASH
            size = (balance.bit_length() + 7) // 8
            account = (nonce, balance.to_bytes(size, "big"), code_hash)
            self._keep(
                (_CODES_KNOWN + code_hash, code),
                (b"a" + address, msgspec.msgpack.encode(account)),
            )

    def storage(self, address: Address, slot: int) -> int:
        key = b"s" + address + slot.to_bytes(32, "big")
        found = self._answers.get(key)
        if found is None:
            self._fetch(key, lambda: self.fetch_slots([(address, slot)]))
            found = self._answers.get(key)
            assert found is not None
        return int.from_bytes(found, "big")

    def fetch_slots(self, places: Sequence[tuple[Address, int]]) -> None:
        """Have these slots, as `fetch_accounts`."""
        keyed = {
            b"s" + address + slot.to_bytes(32, "big"): (address, slot) for address, slot in places
        }
        wanted = {key: place for key, place in keyed.items() if self._answers.get(key) is None}
        calls: list[Call] = [
            ("eth_getStorageAt", ("0x" + address.hex(), hex(slot), self._block))
            for address, slot in wanted.values()
        ]
        for key, result in zip(wanted, self._ask_all(calls), strict=True):
            value = self._number(result, 32)
            self._keep((key, value.to_bytes((value.bit_length() + 7) // 8, "big")))

    def presume(self, number: int, timestamp: int) -> None:
        """Take the slots that a block begins with overwriting for empty, where nobody read them.

        Roots and hashes of blocks stand in rings; what a new block pushes out is too old to be
        asked for, and every block would have to ask for it (EIP-2935, EIP-4788).
        """
        at = timestamp % _RING
        places = (
            (BEACON_ROOTS_ADDRESS, at),
            (BEACON_ROOTS_ADDRESS, at + _RING),
            (HISTORY_STORAGE_ADDRESS, (number - 1) % _RING),
        )
        self._keep(*((b"s" + address + slot.to_bytes(32, "big"), b"") for address, slot in places))

    def presume_nothing(self, address: Address) -> None:
        """Take an account for one that has nothing, unless it was read: its key was just made."""
        nothing = msgspec.msgpack.encode((0, b"", EMPTY_CODE_HASH))
        self._keep((_CODES_KNOWN + EMPTY_CODE_HASH, b""), (b"a" + address, nothing))

    def code(self, code_hash: Hash) -> bytes | None:
        return self._answers.get(_CODES_KNOWN + code_hash)

    # -- blocks ------------------------------------------------------------------------------------

    def header(self, height: Height) -> StoredHeader:
        block = self.ask("eth_getBlockByNumber", hex(height), False)
        if not isinstance(block, dict):
            raise SourceFailed(self.source.name, f"it has no block {height}")
        try:
            return parse_header(block)
        except ValueError as error:
            raise SourceFailed(self.source.name, f"block {height}: {error}") from None

    def ask(self, method: str, *params: Any) -> Any:
        """A result about what will never change, kept when there is any.

        `Refusal` with the source's own error, `SourceFailed` when it gives none.
        """
        return msgspec.json.decode(self.ask_raw(method, *params))

    def ask_raw(self, method: str, *params: Any) -> bytes:
        """As `ask`; the result's JSON."""
        question = json.dumps([method, params], separators=(",", ":")).encode()
        key = b"j" + keccak(question)
        found = self._answers.get(key)
        if found is None:
            self._fetch(key, lambda: self._keep_answer(key, method, params))
            found = self._answers.get(key)
            if found is None:  # pushed out by others already
                raise SourceFailed(self.source.name, f"its answer to {method} was too long")
        if found[:1] == b"!":
            raise Refusal(msgspec.json.decode(found[1:]))
        return found

    def _keep_answer(self, key: bytes, method: str, params: Sequence[Any]) -> None:
        try:
            result = msgspec.json.encode(self._sure(lambda: self.source.ask(method, *params)))
        except Refusal as refusal:
            self._answers.pass_on(key, b"!" + msgspec.json.encode(refusal.error))
            return
        # What there is none of may be there later; a long answer is not worth its place.
        if result == b"null" or len(result) > _KEPT_BYTES_MAX:
            self._answers.pass_on(key, result)
        else:
            self._keep((key, result))

    # -- how ---------------------------------------------------------------------------------------

    def _fetch(self, key: bytes, fetch: Callable[[], object]) -> None:
        if _IN_TURN.get():
            raise NotFetched(lambda: self._fetch_once(key, fetch))
        self._fetch_once(key, fetch)

    def _fetch_once(self, key: bytes, fetch: Callable[[], object]) -> None:
        """Fetch what another thread has not fetched meanwhile."""
        with self._locks[zlib.crc32(key) % len(self._locks)]:
            if self._answers.get(key) is None:
                self._check_source()
                fetch()

    def _check_source(self) -> None:
        """Behind the URL there may be another ledger by now, which has nothing to say here."""
        doubted = self._doubted  # another thread may have found out meanwhile
        if doubted is None:
            return
        try:
            block = self.source.ask("eth_getBlockByNumber", self._block, False)
        except Refusal as refusal:
            raise SourceFailed(self.source.name, str(refusal)) from None
        found = block.get("hash") if isinstance(block, dict) else None
        if found != "0x" + doubted.hex():
            detail = f"its block {self.height} is {found}, not 0x{doubted.hex()}"
            raise SourceFailed(self.source.name, detail + ", which was forked")
        self._doubted = None

    def _sure(self, ask: Callable[[], T]) -> T:
        """What the source says, if it still is the one it was before a connection was lost."""
        source, before = self.source, self.source.reconnects
        try:
            found = ask()
        except SourceFailed:
            self._doubted = self._hash
            raise
        if source.reconnects != before:
            self._doubted = self._hash
            self._check_source()
        return found

    def _ask_all(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return self._sure(lambda: self.source.ask_all(calls))
        except Refusal as refusal:
            # Mostly that it no longer has the state of that block.
            detail = f"block {self.height}: {refusal} (code {refusal.error.get('code')})"
            raise SourceFailed(self.source.name, detail) from None

    def _keep(self, *entries: tuple[bytes, bytes]) -> None:
        try:
            self._answers.add(*entries)
        except (Rejected, Fault) as error:
            raise SourceFailed(self.source.name, f"what it says can't be kept: {error}") from None

    def _number(self, value: Any, size: int) -> int:
        try:
            number = int(value, 16)
        except (TypeError, ValueError):
            number = -1
        if not 0 <= number < 1 << 8 * size:
            raise SourceFailed(self.source.name, f"not a number of {size} bytes: {value!r:.100}")
        return number

    def _data(self, value: Any) -> bytes:
        try:
            if not value.startswith("0x"):
                raise ValueError
            return bytes.fromhex(value[2:])
        except (AttributeError, ValueError):
            raise SourceFailed(self.source.name, f"not hex data: {value!r:.100}") from None
