"""A dump as it is read: accounts, blocks with what came of them, states of the past.

Gzipped JSON in anvil's format; `node.devchain.dump` says what is in it. Nothing is believed but
what makes sense: shapes, ranges, and that the blocks are one chain.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct

from chain.adoption import Told
from chain.blocks import Block, Header, Receipt, header_hash
from chain.errors import Reason, Rejected
from chain.transactions import Transaction
from chain.types import WORD, Address, Hash
from node.devchain import unsigned
from node.devchain.bodies import parse_receipt, parse_transaction
from node.devchain.fork.headers import parse_header

ENTRIES_MAX: Final = 2_000_000  # accounts, slots and transactions in a dump
BYTES_MAX: Final = 512 * 2**20  # of a dump, unpacked

_NO_HASH: Final = "0x" + "00" * 32


class Held(Struct, frozen=True):
    """An account with all that it has."""

    nonce: int
    balance: int
    code: bytes
    storage: Mapping[int, int]  # by slot; none is 0


States = Mapping[Address, Held]


class DumpFile(Struct, frozen=True):
    """What a dump holds."""

    accounts: States  # after the newest block
    blocks: Sequence[Told]  # ascending, one on the other; none where the file has no chain
    past: Sequence[States]  # after the blocks before the newest one, up to the last of them


def read_dump(data: bytes) -> DumpFile:
    """A dump, gzipped or plain. Rejected: BAD_GENESIS, naming what makes no sense, TOO_LARGE."""
    document = _document(data)
    accounts = document.get("accounts")
    if not isinstance(accounts, dict):
        raise Rejected(Reason.BAD_GENESIS, "a dump has accounts")
    count = _Count()
    held = {_named(name): _held(name, fields, count) for name, fields in accounts.items()}
    blocks = _chain(document, count)
    return DumpFile(held, blocks, _past(document, blocks, count))


class _Count:
    """How much has been read, which is limited."""

    def __init__(self) -> None:
        self._entries = 0

    def add(self, entries: int) -> None:
        self._entries += entries
        if self._entries > ENTRIES_MAX:
            raise Rejected(Reason.TOO_LARGE, f"a dump of more than {ENTRIES_MAX} entries")


def _document(data: bytes) -> dict[str, Any]:
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, BYTES_MAX)
        except zlib.error as error:
            raise Rejected(Reason.BAD_GENESIS, f"not gzip: {error}") from None
        if unpacker.unconsumed_tail:
            raise Rejected(Reason.TOO_LARGE, f"a dump of more than {BYTES_MAX} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Rejected(Reason.BAD_GENESIS, f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Rejected(Reason.BAD_GENESIS, "a dump is a JSON object")
    return document


# -- accounts --------------------------------------------------------------------------------------


def _named(name: str) -> Address:
    try:
        address = bytes.fromhex(name.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != 20:
        raise Rejected(Reason.BAD_GENESIS, f"accounts.{name:.80}: not an address")
    return Address(address)


def _held(name: str, fields: Any, count: _Count, storage: Any = None, code: Any = None) -> Held:
    """`storage` and `code` stand where they are not among the fields."""
    try:
        slots = {
            _integer(slot, WORD): value
            for slot, word in (fields.get("storage") or storage or {}).items()
            if (value := _integer(word, WORD))
        }
        written = fields.get("code") if code is None else code
        held = Held(
            nonce=_integer(fields.get("nonce", 0), 2**64 - 1),
            balance=_integer(fields.get("balance", 0), WORD),
            code=bytes.fromhex((written or "0x").removeprefix("0x")),
            storage=slots,
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise Rejected(Reason.BAD_GENESIS, f"accounts.{name}: {error}") from None
    count.add(1 + len(slots))
    return held


def _integer(value: Any, most: int) -> int:
    number = int(value, 0) if isinstance(value, str) else value
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError(f"{value!r:.80} is out of range")
    return number


# -- blocks ----------------------------------------------------------------------------------------


def _chain(document: dict[str, Any], count: _Count) -> list[Told]:
    """The blocks below the best one, as far down as each one's parent is there."""
    blocks = document.get("blocks") or ()
    outcomes = _outcomes(document.get("transactions") or ())
    try:
        by_hash: dict[Hash, tuple[Header, Any]] = {}
        for fields in blocks:
            header = parse_header({**fields["header"], "hash": _NO_HASH}).header
            by_hash[header_hash(header)] = header, fields
        if not by_hash:
            return []
        best = _best(document, by_hash.values())
        at = next((name for name, (header, _) in by_hash.items() if header.number == best), None)
        found: list[Told] = []
        while at is not None and at in by_hash:
            header, fields = by_hash.pop(at)
            found.append(_told(at, header, fields, outcomes))
            count.add(1 + len(found[-1].senders))
            at = header.parent_hash
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Rejected(Reason.BAD_GENESIS, f"blocks: {error!r:.200}") from None
    found.reverse()
    for below, above in pairwise(found):
        if below.block.header.number + 1 != above.block.header.number:
            raise Rejected(Reason.BAD_GENESIS, f"block 0x{above.hash.hex()} has a wrong number")
    return found


def _best(document: dict[str, Any], blocks: Iterable[tuple[Header, Any]]) -> int:
    told = document.get("best_block_number")
    if told is None:
        told = (document.get("block") or {}).get("number")
    if told is None:
        return max(header.number for header, _ in blocks)
    return _integer(told, 2**64 - 1)


def _outcomes(transactions: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """What is told of each transaction, by its block's hash and its index there."""
    try:
        return {
            (str(entry["block_hash"]), _integer(entry["info"]["transaction_index"], 2**32)): entry
            for entry in transactions
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Rejected(Reason.BAD_GENESIS, f"transactions: {error!r:.200}") from None


def _told(
    block_hash: Hash,
    header: Header,
    fields: dict[str, Any],
    outcomes: Mapping[tuple[str, int], dict[str, Any]],
) -> Told:
    transactions: list[Transaction] = []
    senders: list[Address] = []
    receipts: list[Receipt] = []
    touched: list[tuple[Address, ...]] = []
    names: list[Hash] = []
    for index, body in enumerate(fields.get("transactions") or ()):
        # Files of earlier versions have the transaction itself here.
        whole = body.get("transaction", body)
        outcome = outcomes["0x" + block_hash.hex(), index]
        info = outcome["info"]
        transaction = parse_transaction(whole)
        sender = Address(bytes.fromhex(str(info["from"]).removeprefix("0x")))
        if body.get("impersonated_sender") or transaction.s == 0:
            transaction = unsigned.unsigned(transaction, sender)
        receipt = parse_receipt(outcome["receipt"], transaction.kind)
        transactions.append(transaction)
        senders.append(sender)
        receipts.append(receipt)
        touched.append((*(log.address for log in receipt.logs), *_called(info.get("traces"))))
        names.append(Hash(bytes.fromhex(str(info["transaction_hash"]).removeprefix("0x"))))
        if len(sender) != 20 or len(names[-1]) != 32:
            raise ValueError("from or transaction_hash")
    withdrawals = None if header.withdrawals_root is None else ()
    block = Block(header, tuple(transactions), (), withdrawals)
    return Told(block, block_hash, tuple(senders), tuple(receipts), tuple(touched), tuple(names))


def _called(traces: Any) -> list[Address]:
    """Whom a transaction called or made, where its calls are told."""
    found = []
    for node in traces or ():
        told = (node.get("trace") or {}).get("address")
        address = bytes.fromhex(str(told or "").removeprefix("0x"))
        if len(address) == 20:
            found.append(Address(address))
    return found


# -- the past --------------------------------------------------------------------------------------


def _past(document: dict[str, Any], blocks: Sequence[Told], count: _Count) -> list[States]:
    """The states after the newest blocks but the last one, as long as none is missing."""
    told = document.get("historical_states") or ()
    try:
        by_hash = dict(told)
        found: list[States] = []
        for block in reversed(blocks[:-1]):
            state = by_hash.get("0x" + block.hash.hex())
            if state is None:
                break
            found.append(_state(state, count))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Rejected(Reason.BAD_GENESIS, f"historical_states: {error!r:.200}") from None
    found.reverse()
    return found


def _state(state: dict[str, Any], count: _Count) -> States:
    storage = state.get("storage") or {}
    return {
        _named(name): _held(name, fields, count, storage.get(name), _code(fields.get("code")))
        for name, fields in state["accounts"].items()
    }


def _code(code: Any) -> str:
    """The code of an account of the past: as analysed, as delegated to, or as it is."""
    if not code:
        return "0x"
    if isinstance(code, str):
        return code
    if (analysed := code.get("LegacyAnalyzed")) is not None:
        return str(analysed["bytecode"])[: 2 + 2 * _integer(analysed["original_len"], 2**32)]
    if (delegated := code.get("Eip7702")) is not None:
        return "0xef0100" + str(delegated["delegated_address"]).removeprefix("0x")
    return str(code["LegacyRaw"])
