"""From JSON values to typed arguments: quantities, data, addresses, blocks.

Every parser takes a decoded JSON value and gives the typed one, or raises
`ValueError` in the words of geth's decoders; the registry adds which argument it was.
Null is what a decoder makes of it that is told nothing: false, no items, no text, or a refusal.
Source: the Ethereum JSON-RPC specification's QUANTITY and DATA encodings.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NewType

import msgspec
from msgspec import Struct

from chain.types import Address, Hash
from node.rpc.errors import invalid_params, server_error

_HEX: Final = re.compile(r"[0-9a-fA-F]+\Z")

UINT64_MAX: Final = 2**64 - 1
UINT256_MAX: Final = 2**256 - 1


class BlockHash(Struct, frozen=True):
    """A block named by its hash (EIP-1898). There is one chain, so it is always canonical."""

    hash: Hash


# What a block parameter becomes: a tag ("latest", "earliest", "pending", "safe",
# "finalized"), a height, or a hash.
BlockNumber = str | int
BlockTag = str | int | BlockHash

Count = NewType("Count", int)  # written as hex, decimal or a JSON number
Index = NewType("Index", int)  # below 2**64
Slot = NewType("Slot", int)  # a storage key of up to 32 bytes
Name = NewType("Name", str)  # of a filter or a subscription
StorageKeys = NewType("StorageKeys", list[tuple[int, int]])  # slots, and how many bytes each had
SlotsByAccount = NewType("SlotsByAccount", dict[Address, list[int]])
Percentiles = NewType("Percentiles", list[float])

Parser = Callable[[Any], Any]

TAGS: Final = frozenset({"latest", "earliest", "pending", "safe", "finalized"})


class GoError(ValueError):
    """A JSON value that does not fit a type of geth's: what was found, and the type.

    `structure` and `path` say where, if that was in a structure.
    """

    def __init__(
        self, found: str, go_type: str, structure: str = "", path: str = "", *, kept: bool = False
    ) -> None:
        where = f"struct field {structure}.{path}" if structure else "value"
        super().__init__(f"json: cannot unmarshal {found} into Go {where} of type {go_type}")
        self.found = found
        self.go_type = go_type
        self._structure = structure
        self._path = path
        self._kept = kept

    def within(self, structure: str, field: str, *, own_decoder: bool = False) -> "GoError":
        """The same, told of a structure's field that the value was or was a part of.

        The innermost structure is the one to be named, but for those with an `own_decoder`.
        """
        return GoError(
            self.found,
            self.go_type,
            self._structure if self._kept else structure,
            f"{field}.{self._path}" if self._path else field,
            kept=self._kept or not own_decoder,
        )


def _digits(value: str, bits: int) -> int:
    if not value:
        raise ValueError("empty hex string")
    if not value.startswith(("0x", "0X")):
        raise ValueError("hex string without 0x prefix")
    digits = value[2:]
    if not digits:
        raise ValueError('hex string "0x"')
    if len(digits) > 1 and digits[0] == "0":
        raise ValueError("hex number with leading zero digits")
    if len(digits) > bits // 4:
        raise ValueError(f"hex number > {bits} bits")
    if not _HEX.match(digits):
        raise ValueError("invalid hex string")
    return int(digits, 16)


def _number(value: Any, bits: int, go_type: str) -> int:
    if not isinstance(value, str):
        raise GoError("non-string", go_type)
    try:
        return _digits(value, bits) if value else 0  # geth reads the empty text as 0
    except ValueError as error:
        raise GoError(str(error), go_type) from None


def parse_quantity(value: Any) -> int:
    """An integer below 2**256: hex with 0x and without leading zeros."""
    return _number(value, 256, "*hexutil.Big")


def parse_uint64(value: Any) -> int:
    return _number(value, 64, "hexutil.Uint64")


def parse_index(value: Any) -> int:
    """A place in a list."""
    return _number(value, 64, "hexutil.Uint")


def parse_count(value: Any) -> int:
    """An integer below 2**64 in any usual form: hex, decimal text or a JSON number."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    number = UINT64_MAX + 1
    if value == "":
        number = 0  # as geth reads it
    elif text.startswith(("0x", "0X")):
        if _HEX.match(text[2:]):
            number = int(text, 0)
    elif text.isascii() and text.isdigit() and len(text) <= 20:
        number = int(text)
    if number > UINT64_MAX:
        raise ValueError(f'invalid hex or decimal integer "{text[:80]}"')
    return number


def parse_data(value: Any) -> bytes:
    """Bytes of any length: hex with 0x and two digits a byte."""
    return _data(value, "hexutil.Bytes")


def _data(value: Any, go_type: str) -> bytes:
    if not isinstance(value, str):
        raise GoError("non-string", go_type)
    if value and not value.startswith(("0x", "0X")):
        raise GoError("hex string without 0x prefix", go_type)
    if len(value) % 2:
        raise GoError("hex string of odd length", go_type)
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        raise GoError("invalid hex string", go_type) from None
    if value and len(data) != len(value) // 2 - 1:  # fromhex skips spaces
        raise GoError("invalid hex string", go_type)
    return data


def _fixed(value: Any, size: int, go_type: str) -> bytes:
    if isinstance(value, str) and len(value) == 2 * size + 2 and value.startswith("0x"):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            raise GoError("invalid hex string", go_type) from None
        if len(data) == size:  # fromhex skips spaces
            return data
        raise GoError("invalid hex string", go_type)
    data = _data(value, go_type)
    if len(data) != size:
        raise ValueError(f"hex string has length {2 * len(data)}, want {2 * size} for {go_type}")
    return data


def fixed_size(size: int, go_type: str) -> Callable[[Any], bytes]:
    """A parser of data of so many bytes."""
    return lambda value: _fixed(value, size, go_type)


def parse_address(value: Any) -> Address:
    return Address(_fixed(value, 20, "common.Address"))


def parse_hash(value: Any) -> Hash:
    return Hash(_fixed(value, 32, "common.Hash"))


def parse_bool(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise GoError(json_kind(value), "bool")


def parse_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise GoError(json_kind(value), "string")


def parse_object(value: Any) -> dict[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise GoError(json_kind(value), "object")


def parse_list(value: Any) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    raise GoError(json_kind(value), "array")


def json_kind(value: Any) -> str:
    """The JSON name of the kind of a decoded value."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def parse_block_number(value: Any) -> BlockNumber:
    """A tag or a height."""
    return _block_number(value, "block number larger than int64")


def _block_number(value: Any, too_high: str) -> BlockNumber:
    if not isinstance(value, str):
        raise ValueError("hex string without 0x prefix")
    if value in TAGS:
        return value
    number = _digits(value, 64)
    if number >= 2**63:
        raise ValueError(too_high)
    return number


def parse_block(value: Any) -> BlockTag:
    """A tag, a height, a hash, or an object naming one of them (EIP-1898).

    RpcError (-32000) for null, and for an object that names none.
    """
    if isinstance(value, str) and len(value) == 66:
        return BlockHash(_hash_text(value))
    if value is None or isinstance(value, dict):
        return _named_block(value or {})
    if not isinstance(value, str):
        raise GoError(json_kind(value), "string")
    return _block_number(value, "blocknumber too high")


def _hash_text(value: str) -> Hash:
    """A hash that stands for itself, whose refusal says no more than what is wrong."""
    try:
        return parse_hash(value)
    except GoError as error:
        raise ValueError(error.found) from None


def _named_block(value: dict[str, Any]) -> BlockTag:
    named = {key.lower(): item for key, item in value.items()}  # geth takes keys in any case
    block_hash, number = named.get("blockhash"), named.get("blocknumber")
    try:
        parse_bool(named.get("requirecanonical"))
        named_hash = None if block_hash is None else parse_hash(block_hash)
        named_number = None if number is None else parse_block_number(number)
    except ValueError:
        # An object that can't be read is taken for a text, which it is not.
        raise GoError("object", "string") from None
    if named_hash is not None:
        if named_number is not None:
            raise ValueError(
                "cannot specify both BlockHash and BlockNumber, choose one or the other"
            )
        return BlockHash(named_hash)
    if named_number is None:
        raise server_error("invalid arguments; neither block nor hash specified")
    return named_number


def parse_slot(value: Any) -> int:
    return parse_storage_key(value)[0]


def parse_storage_key(value: Any) -> tuple[int, int]:
    """A storage slot given as hex of at most 32 bytes; also how many bytes were written.

    Odd lengths and a missing 0x are taken, as geth does ("0x0" is slot 0), and null as no digits.
    RpcError (-32602) for a text that is no such key.
    """
    text = parse_text(value)
    digits = text[2:] if text.startswith(("0x", "0X")) else text
    if len(digits) > 64:
        raise invalid_params(f'storage key too long (want at most 32 bytes): "{text[:80]}"')
    if digits and not _HEX.match(digits):
        raise invalid_params(f'invalid hex in storage key: "{text}"')
    return int(digits or "0", 16), (len(digits) + 1) // 2


def parse_storage_keys(value: Any) -> list[tuple[int, int]]:
    if value is not None and not isinstance(value, list):
        raise GoError(json_kind(value), "[]string")
    return [parse_storage_key(key) for key in value or ()]


def parse_slots_by_account(value: Any) -> dict[Address, list[int]]:
    """Storage slots, each of 32 bytes, by whose they are."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GoError(json_kind(value), "map[common.Address][]common.Hash")
    found: dict[Address, list[int]] = {}
    for key, slots in value.items():
        if slots is not None and not isinstance(slots, list):
            raise GoError(json_kind(slots), "[]common.Hash")
        read = [int.from_bytes(parse_hash(slot), "big") for slot in slots or ()]
        found[parse_address(key)] = read
    return found


def parse_percentiles(value: Any) -> list[float]:
    if value is not None and not isinstance(value, list):
        raise GoError(json_kind(value), "[]float64")
    return [_percentile(item) for item in value or ()]


def _percentile(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GoError(json_kind(value), "float64")
    return float(value)


def parse_name(value: Any) -> str:
    """What a filter or a subscription is called."""
    if value is None or isinstance(value, str):
        return value or ""
    raise GoError(json_kind(value), "rpc.ID")
