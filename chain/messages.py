"""What people sign besides transactions: plain messages and typed data.

Both hashes begin with a byte that no transaction's preimage begins with, so that a signed
message can never be taken for one. Sources: EIP-191 (version 0x45), EIP-712.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from chain import abi
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.types import Hash

DOMAIN_TYPE: Final = "EIP712Domain"
NESTING_MAX: Final = 64  # of values within values

_Types = Mapping[str, list[tuple[str, str]]]  # struct -> its fields, as (name, type)

_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_ARRAY: Final = re.compile(r"(.*)\[([0-9]{0,6})\]\Z", re.DOTALL)
_SIGNED_PREFIX: Final = b"\x19Ethereum Signed Message:\n"


def personal_message_hash(data: bytes) -> Hash:
    """What `personal_sign` signs for a message."""
    return keccak(_SIGNED_PREFIX + str(len(data)).encode() + data)


def typed_data_hash(typed: Mapping[str, Any]) -> Hash:
    """What `eth_signTypedData` signs for its JSON object: types, primaryType, domain, message.

    Without `primaryType`, it is the one struct that no other uses; without a definition of
    the domain's type, it has the fields that the domain has. Integers may be numbers or
    texts (decimal or 0x), bytes are 0x-texts; a struct that is null hashes to zero. Fields of
    the message without a type are no part of what is signed, as for other wallets. Raises
    BAD_TYPED_DATA for anything that does not fit its type, and for such fields of the domain, which
    libraries read in different ways.
    """
    domain = _mapping(typed.get("domain"), "domain")
    message = _mapping(typed.get("message"), "message")
    types = _parse_types(_mapping(typed.get("types"), "types"))
    if DOMAIN_TYPE not in types:
        types[DOMAIN_TYPE] = [field for field in _DOMAIN_FIELDS if field[0] in domain]
    primary = typed.get("primaryType")
    if primary is None:
        primary = _only_primary(types)
    if not isinstance(primary, str) or primary not in types:
        raise _refused(f"primaryType is not defined: {str(primary)[:80]}")
    separator = _hash_struct(DOMAIN_TYPE, domain, types, 0)
    if primary == DOMAIN_TYPE:
        return keccak(b"\x19\x01" + separator)
    return keccak(b"\x19\x01" + separator + _hash_struct(primary, message, types, 0))


def encode_type(name: str, types: _Types) -> str:
    """A struct's definition, then those of the structs it uses, by name."""
    used = _used_by(name, types)
    return "".join(
        f"{each}({','.join(f'{kind} {field}' for field, kind in types[each])})"
        for each in (name, *sorted(used - {name}))
    )


def _hash_struct(name: str, value: Mapping[str, Any], types: _Types, depth: int) -> Hash:
    fields = types[name]
    if name == DOMAIN_TYPE and (unknown := set(value) - {field for field, _ in fields}):
        raise _refused(f"{name} has no field {min(map(str, unknown))[:80]!r}")
    words = [keccak(encode_type(name, types).encode())]
    for field, kind in fields:
        if field not in value:
            raise _refused(f"{name} lacks its field {field!r}")
        words.append(Hash(_encode_value(kind, value[field], types, f"{name}.{field}", depth + 1)))
    return keccak(b"".join(words))


def _encode_value(kind: str, value: Any, types: _Types, place: str, depth: int) -> bytes:
    """The word that stands for a value: itself, or the hash of what does not fit in one."""
    if depth > NESTING_MAX:
        raise _refused(f"{place}: nested more than {NESTING_MAX} deep")
    if array := _ARRAY.match(kind):
        if not isinstance(value, (list, tuple)):
            raise _refused(f"{place}: not a list")
        if array[2] and len(value) != int(array[2]):
            raise _refused(f"{place}: {len(value)} items instead of {array[2]}")
        words = [_encode_value(array[1], item, types, place, depth + 1) for item in value]
        return keccak(b"".join(words))
    if kind in types:
        if value is None:
            return bytes(32)
        return _hash_struct(kind, _mapping(value, place), types, depth)
    if kind == "string":
        return keccak(_text_bytes(value, place))
    if kind == "bytes":
        return keccak(_hex_bytes(value, place))
    simple = abi.parse_type(kind)
    word = abi.encode_word(simple, _simple_value(simple.form, value, place))
    if word is None:
        raise _refused(f"{place}: not a value of {kind}: {str(value)[:80]}")
    return word


def _simple_value(form: abi.Form, value: Any, place: str) -> object:
    """The value that JSON writes in one of its ways."""
    if form in (abi.Form.UINT, abi.Form.INT):
        if isinstance(value, str):
            return _number(value, place)
        return value
    if form is abi.Form.BOOL:
        return value
    return _hex_bytes(value, place)


def _number(text: str, place: str) -> int:
    digits = text.removeprefix("-")
    if len(digits) <= 80 and digits.isascii():
        try:
            return int(text, 16 if digits[:2] in ("0x", "0X") else 10)
        except ValueError:
            pass  # said below, with the place
    raise _refused(f"{place}: not an integer: {text[:80]!r}")


def _hex_bytes(value: Any, place: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value.startswith(("0x", "0X")):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass  # said below, with the place
    raise _refused(f"{place}: not bytes in hexadecimal: {str(value)[:80]!r}")


def _text_bytes(value: Any, place: str) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise _refused(f"{place}: not text: {error}") from error
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        # A number where text belongs is hashed as its bytes, as widespread wallets do.
        return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    raise _refused(f"{place}: not text")


# -- types --------------------------------------------------------------------------------


def _parse_types(raw: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    types: dict[str, list[tuple[str, str]]] = {}
    for name, fields in raw.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise _refused(f"not a name of a type: {str(name)[:80]!r}")
        if not isinstance(fields, list):
            raise _refused(f"the fields of {name} are not a list")
        types[name] = [_parse_field(name, field) for field in fields]
        if len({field for field, _ in types[name]}) != len(fields):
            raise _refused(f"{name} has two fields of one name")
    for name, parsed in types.items():
        for field, kind in parsed:
            _check_kind(_item_type(kind), types, f"{name}.{field}")
    return types


def _parse_field(name: str, field: Any) -> tuple[str, str]:
    parts = _mapping(field, f"a field of {name}")
    label, kind = parts.get("name"), parts.get("type")
    if not isinstance(label, str) or not isinstance(kind, str):
        raise _refused(f"a field of {name} without a name or a type")
    return label, kind


def _check_kind(kind: str, types: _Types, place: str) -> None:
    if kind in types or kind in ("string", "bytes"):
        return
    try:
        parsed = abi.parse_type(kind)
    except Rejected as error:
        raise _refused(f"{place}: unknown type: {kind[:80]}") from error
    if parsed.form is abi.Form.TUPLE:
        raise _refused(f"{place}: unknown type: {kind[:80]}")


def _item_type(kind: str) -> str:
    """The type at the bottom of an array of arrays; others are their own."""
    while array := _ARRAY.match(kind):
        kind = array[1]
    return kind


def _used_by(name: str, types: _Types) -> set[str]:
    """The struct and all that it uses, at any depth."""
    used: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in types and each not in used:
            used.add(each)
            waiting.extend(_item_type(kind) for _, kind in types[each])
    return used


def _only_primary(types: _Types) -> str:
    """The one struct, but the domain, that no other struct uses."""
    inner = {
        _item_type(kind)
        for name, fields in types.items()
        for _, kind in fields
        if _item_type(kind) != name
    }
    outer = set(types) - inner - {DOMAIN_TYPE}
    if len(outer) != 1:
        raise _refused("primaryType is missing, and several types may be meant")
    return outer.pop()


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _refused(f"{place} is not an object")
    return value


def _refused(detail: str) -> Rejected:
    return Rejected(Reason.BAD_TYPED_DATA, detail)
