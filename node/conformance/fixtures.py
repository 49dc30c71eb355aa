"""The values in Ethereum's test files, and how the files are found and opened."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from chain.blocks import Header
from chain.changes import Changes
from chain.commitment import commit
from chain.genesis import GenesisAccount, genesis_delta
from chain.types import Address, Hash
from chain.views import EmptyView, Overlay, TrieView

Json: TypeAlias = Mapping[str, object]

_BIG_PREFIX: Final = "0x:bigint "


class MalformedFixture(Exception):
    """A test file, or a part of it, that is not what its kind should be."""


class FileTests(Struct, frozen=True):
    """What a file holds: tests by name, or why it could not be read."""

    path: str
    tests: Mapping[str, object]
    error: str | None = None


def files(paths: Iterable[str]) -> Iterator[str]:
    """The files named; a folder stands for every .json file below it, in order."""
    for path in paths:
        if Path(path).is_dir():
            yield from (str(found) for found in sorted(Path(path).rglob("*.json")))
        else:
            yield path


def load(path: str) -> FileTests:
    """The tests in a file. What can't be read becomes an error, not an exception."""
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        return FileTests(path, {}, f"can't be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return FileTests(path, {}, f"not JSON: {error}")
    if not isinstance(document, Mapping):
        return FileTests(path, {}, "not an object of tests by name")
    return FileTests(path, document)


# -- values ----------------------------------------------------------------------------------------


def member(parent: object, name: str) -> object:
    """A member that must be there."""
    if not isinstance(parent, Mapping) or parent.get(name) is None:
        raise MalformedFixture(f"{name} is missing")
    return parent[name]


def mapping(value: object, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise MalformedFixture(f"{name} is not an object")
    return value


def sequence(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise MalformedFixture(f"{name} is not a list")
    return value


def integer(value: object, name: str) -> int:
    """A number: JSON's, decimal text, or hex; of any size, since tests overflow on purpose."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = value.removeprefix(_BIG_PREFIX)
        try:
            if text[:2] in ("0x", "0X"):
                return int(text[2:] or "0", 16)
            return int(text or "0", 10)
        except ValueError:
            pass
    raise MalformedFixture(f"{name} is not a number")


def data(value: object, name: str) -> bytes:
    """Bytes in hex, with or without 0x."""
    if isinstance(value, str):
        try:
            return bytes.fromhex(value[2:] if value[:2] in ("0x", "0X") else value)
        except ValueError:
            pass
    raise MalformedFixture(f"{name} is not hex")


def fixed(value: object, size: int, name: str) -> bytes:
    found = data(value, name)
    if len(found) != size:
        raise MalformedFixture(f"{name} has {len(found)} bytes, must have {size}")
    return found


def address(value: object, name: str) -> Address:
    return Address(fixed(value, 20, name))


def word(value: object, name: str) -> Hash:
    """32 bytes, written in full or as a number."""
    number = integer(value, name)
    if not 0 <= number < 2**256:
        raise MalformedFixture(f"{name} has more than 32 bytes")
    return Hash(number.to_bytes(32, "big"))


# -- states and headers ----------------------------------------------------------------------------


def parse_state(value: object) -> dict[Address, GenesisAccount]:
    """The `pre` of a test."""
    state: dict[Address, GenesisAccount] = {}
    for name, account in mapping(value, "pre").items():
        fields = mapping(account, f"pre.{name}")
        slots = mapping(fields.get("storage", {}), f"pre.{name}.storage")
        state[address(name, "pre")] = GenesisAccount(
            balance=integer(fields.get("balance", 0), "balance"),
            nonce=integer(fields.get("nonce", 0), "nonce"),
            code=data(fields.get("code", ""), "code"),
            storage={
                integer(slot, "storage"): number
                for slot, content in slots.items()
                if (number := integer(content, "storage"))
            },
        )
    return state


def view_of(state: Mapping[Address, GenesisAccount]) -> TrieView:
    """A view of exactly these accounts."""
    empty = EmptyView()
    changes: Changes = commit(empty, genesis_delta(state))
    return Overlay(empty, changes)


def parse_header(value: object) -> Header:
    """A header as tests write it; its own `hash` is not looked at."""
    fields = mapping(value, "header")

    def number(name: str) -> int:
        return integer(member(fields, name), name)

    def optional(name: str) -> int | None:
        return None if fields.get(name) is None else integer(fields[name], name)

    def hash_of(name: str) -> Hash:
        return Hash(fixed(member(fields, name), 32, name))

    def optional_hash(name: str) -> Hash | None:
        return None if fields.get(name) is None else hash_of(name)

    return Header(
        parent_hash=hash_of("parentHash"),
        ommers_hash=hash_of("uncleHash"),
        coinbase=address(member(fields, "coinbase"), "coinbase"),
        state_root=hash_of("stateRoot"),
        transactions_root=hash_of("transactionsTrie"),
        receipts_root=hash_of("receiptTrie"),
        logs_bloom=fixed(member(fields, "bloom"), 256, "bloom"),
        difficulty=number("difficulty"),
        number=number("number"),
        gas_limit=number("gasLimit"),
        gas_used=number("gasUsed"),
        timestamp=number("timestamp"),
        extra_data=data(member(fields, "extraData"), "extraData"),
        mix_hash=hash_of("mixHash"),
        nonce=fixed(member(fields, "nonce"), 8, "nonce"),
        base_fee=optional("baseFeePerGas"),
        withdrawals_root=optional_hash("withdrawalsRoot"),
        blob_gas_used=optional("blobGasUsed"),
        excess_blob_gas=optional("excessBlobGas"),
        parent_beacon_root=optional_hash("parentBeaconBlockRoot"),
        requests_hash=optional_hash("requestsHash"),
    )
