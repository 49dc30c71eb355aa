"""A state as a file: anvil's format, which Foundry's tools read and write.

Gzipped JSON: `accounts` by address with nonce, balance, code and storage, and about the block
that it is the state of. Source: anvil_dumpState of Foundry 1.x.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from chain.blocks import Header
from chain.changes import ACCOUNT_TRIE, storage_trie
from chain.errors import Fault, Reason, Rejected
from chain.leaves import decode_account, decode_slot
from chain.state import EMPTY_ACCOUNT, State
from chain.types import EMPTY_ROOT, WORD, Address, Hash
from chain.views import TrieView

ENTRIES_MAX: Final = 2_000_000  # accounts and slots in a dump
BYTES_MAX: Final = 512 * 2**20  # of a dump, unpacked


def dump(
    view: TrieView,
    head: Header,
    name_of: Callable[[Hash], bytes | None],
    blocks: Sequence[Any] = (),
    transactions: Sequence[Any] = (),
) -> bytes:
    """The state as a file; `name_of` gives the address or slot behind a key of the trie.

    `blocks` and `transactions` go into it as they are (`node.rpc.dev_dump`).

    Raises `Rejected` (TOO_LARGE) beyond ENTRIES_MAX.
    """
    accounts: dict[str, Any] = {}
    entries = 0
    for key, leaf in view.leaves(ACCOUNT_TRIE):
        account = decode_account(leaf)
        address = Address(_name(name_of, key))
        storage: dict[str, str] = {}
        if account.storage_root != EMPTY_ROOT:
            for slot_key, slot_leaf in view.leaves(storage_trie(key)):
                slot = int.from_bytes(_name(name_of, slot_key), "big")
                storage[f"0x{slot:064x}"] = f"0x{decode_slot(slot_leaf):064x}"
        entries += 1 + len(storage)
        if entries > ENTRIES_MAX:
            raise Rejected(Reason.TOO_LARGE, f"more than {ENTRIES_MAX} accounts and slots")
        accounts["0x" + address.hex()] = {
            "nonce": account.nonce,
            "balance": hex(account.balance),
            "code": "0x" + view.code(account.code_hash).hex(),
            "storage": storage,
        }
    document: dict[str, Any] = {
        "block": {
            "number": hex(head.number),
            "beneficiary": "0x" + head.coinbase.hex(),
            "timestamp": hex(head.timestamp),
            "gas_limit": head.gas_limit,
            "basefee": head.base_fee or 0,
            "difficulty": "0x0",
            "prevrandao": "0x" + head.mix_hash.hex(),
            "blob_excess_gas_and_price": None,
        },
        "accounts": accounts,
        "best_block_number": hex(head.number),
        "blocks": blocks,
        "transactions": transactions,
        "historical_states": None,
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)


def _name(name_of: Callable[[Hash], bytes | None], key: Hash) -> bytes:
    found = name_of(key)
    if found is None:
        raise Fault(f"what is called 0x{key.hex()} in the trie is not known")
    return found


def load(data: bytes) -> Callable[[State], None]:
    """The change that lays a dump's accounts over a state; those it does not name stay.

    `data` is a dump, gzipped or plain. Raises `Rejected`: BAD_GENESIS, naming what makes no
    sense, and TOO_LARGE.
    """
    document = _document(data)
    accounts = document.get("accounts")
    if not isinstance(accounts, dict):
        raise Rejected(Reason.BAD_GENESIS, "a dump has accounts")
    loaded = [_account(name, fields) for name, fields in accounts.items()]

    def change(state: State) -> None:
        for address, nonce, balance, code, storage in loaded:
            if state.account(address) is None:
                state.override_account(address, EMPTY_ACCOUNT)
            state.set_nonce(address, nonce)
            state.set_balance(address, balance)
            state.set_code(address, code)
            for slot, value in storage:
                state.set_storage(address, slot, value)

    return change


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


_Loaded = tuple[Address, int, int, bytes, list[tuple[int, int]]]


def _account(name: str, fields: Any) -> _Loaded:
    try:
        address = bytes.fromhex(name.removeprefix("0x"))
        if len(address) != 20:
            raise ValueError("not an address")
        storage = fields.get("storage") or {}
        return (
            Address(address),
            _integer(fields.get("nonce", 0), 2**64 - 2),
            _integer(fields.get("balance", 0), WORD),
            bytes.fromhex((fields.get("code") or "0x").removeprefix("0x")),
            list(_slots(storage)),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise Rejected(Reason.BAD_GENESIS, f"accounts.{name}: {error}") from None


def _slots(storage: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for slot, value in storage.items():
        yield _integer(slot, WORD), _integer(value, WORD)


def _integer(value: Any, most: int) -> int:
    number = int(value, 0) if isinstance(value, str) else value
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError(f"{value!r} is out of range")
    return number
