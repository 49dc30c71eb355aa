"""A state as a file: anvil's format, which Foundry's tools read and write.

Gzipped JSON: `accounts` by address with nonce, balance, code and storage, about the block that
it is the state of, and the states after blocks before it. Source: anvil_dumpState of Foundry 1.x.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from chain.blocks import Header
from chain.changes import ACCOUNT_TRIE, storage_trie
from chain.crypto.keccak import keccak
from chain.errors import Fault, Reason, Rejected
from chain.leaves import decode_account, decode_slot
from chain.types import EMPTY_ROOT, Address, Hash
from chain.views import TrieView
from contracts.vm.program import jump_destinations
from node.devchain.dump_file import ENTRIES_MAX, Held, States

_HASHES: Final = 16  # of blocks before it, with each state of the past
_PAST_BYTES_MAX: Final = 32 * 2**20  # of these states, about, before they are packed
_ENTRY_BYTES: Final = 200  # of an account, a slot or a hash among them, about
_DELEGATED: Final = b"\xef\x01\x00"  # what the code of a delegated account begins with
_STOPS: Final = bytes(33)  # behind analysed code, so that it ends whatever it ends with

NameOf = Callable[[Hash], bytes | None]


def states_of(view: TrieView, name_of: NameOf, entries_max: int = ENTRIES_MAX) -> States:
    """All accounts; `name_of` gives the address or slot behind a key of the trie.

    Raises `Rejected` (TOO_LARGE) beyond `entries_max` accounts and slots.
    """
    found: dict[Address, Held] = {}
    entries = 0
    for key, leaf in view.leaves(ACCOUNT_TRIE):
        account = decode_account(leaf)
        storage: dict[int, int] = {}
        if account.storage_root != EMPTY_ROOT:
            for slot_key, slot_leaf in view.leaves(storage_trie(key)):
                slot = int.from_bytes(_name(name_of, slot_key), "big")
                storage[slot] = decode_slot(slot_leaf)
                if entries + len(storage) > entries_max:
                    break
        entries += 1 + len(storage)
        if entries > entries_max:
            raise Rejected(Reason.TOO_LARGE, f"more than {entries_max} accounts and slots")
        code = view.code(account.code_hash)
        found[Address(_name(name_of, key))] = Held(account.nonce, account.balance, code, storage)
    return found


def _name(name_of: NameOf, key: Hash) -> bytes:
    found = name_of(key)
    if found is None:
        raise Fault(f"what is called 0x{key.hex()} in the trie is not known")
    return found


def dump(
    accounts: States,
    head: Header,
    blocks: Sequence[Any] = (),
    transactions: Sequence[Any] = (),
    past: Sequence[Any] | None = None,
) -> bytes:
    """The state after `head` as a file.

    `blocks`, `transactions` and `past` go into it as they are (`node.rpc.dev_dump`).
    """
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
        "accounts": {"0x" + address.hex(): _account(held) for address, held in accounts.items()},
        "best_block_number": hex(head.number),
        "blocks": blocks,
        "transactions": transactions,
        "historical_states": past,
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)


def _account(held: Held) -> dict[str, Any]:
    return {
        "nonce": held.nonce,
        "balance": hex(held.balance),
        "code": "0x" + held.code.hex(),
        "storage": {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in held.storage.items()},
    }


# -- the past --------------------------------------------------------------------------------------


def past_states(
    heights: Iterable[int], states: Callable[[int, int], States], hash_at: Callable[[int], Hash]
) -> list[Any]:
    """The states after blocks as anvil keeps them, in the order of `heights`.

    `states` gives that of a height, or TOO_LARGE when it has more than so many entries; it is
    left out then, with all that come after it, as it is when all of them get too large.
    """
    found: list[Any] = []
    left = _PAST_BYTES_MAX
    codes: dict[bytes, Any] = {}
    for height in heights:
        try:
            accounts = states(height, left // _ENTRY_BYTES)
        except Rejected as rejected:
            if rejected.reason is not Reason.TOO_LARGE:
                raise
            break
        known = range(max(height + 1 - _HASHES, 0), height + 1)
        entries = sum(1 + len(held.storage) for held in accounts.values()) + len(known)
        left -= entries * _ENTRY_BYTES + sum(2 * len(held.code) for held in accounts.values())
        if left < 0:
            break
        state = {
            "accounts": {
                "0x" + address.hex(): {
                    "balance": hex(held.balance),
                    "nonce": held.nonce,
                    "code_hash": "0x" + keccak(held.code).hex(),
                    "code": _analysed(held.code, codes),
                }
                for address, held in accounts.items()
            },
            "storage": {
                "0x" + address.hex(): {
                    hex(slot): hex(value) for slot, value in held.storage.items()
                }
                for address, held in accounts.items()
            },
            "block_hashes": {hex(number): "0x" + hash_at(number).hex() for number in known},
        }
        found.append(["0x" + hash_at(height).hex(), state])
    return found


def _analysed(code: bytes, known: dict[bytes, Any]) -> Any:
    """Code with where it may be jumped to, a bit for each byte; `known` is what was made before."""
    found = known.get(code)
    if found is None and code.startswith(_DELEGATED):
        found = {"Eip7702": {"delegated_address": "0x" + code[len(_DELEGATED) :].hex()}}
    elif found is None:
        table = bytearray((len(code) + 7) // 8)
        for target in jump_destinations(code):
            table[target // 8] |= 1 << target % 8
        found = {
            "LegacyAnalyzed": {
                "bytecode": "0x" + (code + _STOPS).hex(),
                "original_len": len(code),
                "jump_table": {
                    "order": "bitvec::order::Lsb0",
                    "head": {"width": 8, "index": 0},
                    "bits": len(code),
                    "data": list(table),
                },
            }
        }
    known[code] = found
    return found
