"""From JSON values to typed arguments: quantities, data, addresses, blocks.

Every parser takes a decoded JSON value and gives the typed one, or raises
`ValueError` in the words of geth's hexutil; the registry adds which argument it was.
Source: the Ethereum JSON-RPC specification's QUANTITY and DATA encodings.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NewType

from msgspec import Struct

from chain.types import Address, Hash

_HEX: Final = re.compile(r"[0-9a-fA-F]+\Z")
_HEX_PAIRS: Final = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")

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

Parser = Callable[[Any], Any]

TAGS: Final = frozenset({"latest", "earliest", "pending", "safe", "finalized"})


def _digits(value: Any, bits: int, go_type: str) -> int:
    if not isinstance(value, str):
        raise ValueError(f"json: cannot unmarshal non-string into Go value of type {go_type}")
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


def parse_quantity(value: Any) -> int:
    """An integer below 2**256: hex with 0x and without leading zeros."""
    return _digits(value, 256, "*hexutil.Big")


def parse_uint64(value: Any) -> int:
    return _digits(value, 64, "hexutil.Uint64")


def parse_count(value: Any) -> int:
    """An integer below 2**64 in any usual form: hex, decimal text or a JSON number."""
    if isinstance(value, str):
        if value.startswith(("0x", "0X")) and _HEX.match(value[2:]):
            number = int(value, 0)
        elif value.isascii() and value.isdigit():
            number = int(value) if len(value) <= 20 else UINT64_MAX + 1
        else:
            raise ValueError(f'invalid hex or decimal integer "{value[:80]}"')
    elif type(value) is int and value >= 0:
        number = value
    else:
        raise ValueError("invalid hex or decimal integer")
    if number > UINT64_MAX:
        raise ValueError("hex number > 64 bits")
    return number


def parse_data(value: Any) -> bytes:
    """Bytes of any length: hex with 0x and two digits a byte."""
    if not isinstance(value, str):
        raise ValueError("json: cannot unmarshal non-string into Go value of type hexutil.Bytes")
    if not value:
        raise ValueError("empty hex string")
    if not value.startswith(("0x", "0X")):
        raise ValueError("hex string without 0x prefix")
    if len(value) % 2:
        raise ValueError("hex string of odd length")
    digits = value[2:]
    if not _HEX_PAIRS.match(digits):
        raise ValueError("invalid hex string")
    return bytes.fromhex(digits)


def _fixed(value: Any, size: int, go_type: str) -> bytes:
    if isinstance(value, str) and len(value) == 2 * size + 2 and value.startswith("0x"):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            raise _go_error("invalid hex string", go_type) from None
        if len(data) == size:  # fromhex skips spaces
            return data
        raise _go_error("invalid hex string", go_type)
    try:
        data = parse_data(value)
    except ValueError as error:
        text = str(error)
        if text.startswith("json:"):
            raise ValueError(text.replace("hexutil.Bytes", go_type)) from None
        raise _go_error(text, go_type) from None
    if len(data) != size:
        raise ValueError(f"hex string has length {2 * len(data)}, want {2 * size} for {go_type}")
    return data


def _go_error(text: str, go_type: str) -> ValueError:
    return ValueError(f"json: cannot unmarshal {text} into Go value of type {go_type}")


def parse_address(value: Any) -> Address:
    return Address(_fixed(value, 20, "common.Address"))


def parse_hash(value: Any) -> Hash:
    return Hash(_fixed(value, 32, "common.Hash"))


def parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type bool")


def parse_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type string")


def parse_object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type object")


def parse_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type array")


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
    if isinstance(value, str):
        if value in TAGS:
            return value
        # geth trims what surrounds a number, and takes the empty string for latest.
        number = _digits(value.strip(), 64, "rpc.BlockNumber")
        if number >= 2**63:
            raise ValueError("block number larger than int64")
        return number
    if type(value) is int:
        raise ValueError("hex string without 0x prefix")
    raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type string")


def parse_block(value: Any) -> BlockTag:
    """A tag, a height, a hash, or an object naming one of them (EIP-1898)."""
    if isinstance(value, str) and len(value) == 66:
        return BlockHash(parse_hash(value))
    if isinstance(value, dict):
        block_hash, number = value.get("blockHash"), value.get("blockNumber")
        if block_hash is not None and number is not None:
            raise ValueError(
                "cannot specify both BlockHash and BlockNumber, choose one or the other"
            )
        if value.get("requireCanonical") is not None:
            parse_bool(value["requireCanonical"])
        if block_hash is not None:
            return BlockHash(parse_hash(block_hash))
        if number is not None:
            return parse_block_number(number)
        raise ValueError("invalid block reference: blockHash or blockNumber needed")
    return parse_block_number(value)


def parse_slot(value: Any) -> int:
    return parse_storage_key(value)[0]


def parse_storage_key(value: Any) -> tuple[int, int]:
    """A storage slot given as hex of at most 32 bytes; also how many bytes were written.

    Odd lengths and a missing 0x are taken, as geth does ("0x0" is slot 0).
    """
    if not isinstance(value, str):
        raise ValueError(f"json: cannot unmarshal {json_kind(value)} into Go value of type string")
    digits = value[2:] if value.startswith(("0x", "0X")) else value
    if len(digits) > 64:
        raise ValueError(f'storage key too long (want at most 32 bytes): "{value[:80]}"')
    if digits and not _HEX.match(digits):
        raise ValueError(f'invalid hex in storage key: "{value}"')
    return int(digits or "0", 16), (len(digits) + 1) // 2
