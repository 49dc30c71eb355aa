"""The contract ABI: calls and results as bytes, and what a revert says.

Types are written as in Solidity's ABI: uint8..uint256, int8..int256, address, bool,
bytes1..bytes32, bytes, string, arrays `T[]` and `T[3]`, tuples `(T,U)`. Values are int,
Address, bool, bytes, str, and lists or tuples of them; arrays and tuples decode to tuples.
Source: Solidity's Contract ABI Specification.
"""

from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.types import Address

NESTING_MAX: Final = 32  # tuples and arrays within each other
_OVERLAP_MAX: Final = 16  # times that decoding may read the input: parts may share their bytes
_TUPLE_PARTS_MAX: Final = 1024
_ARRAY_LENGTH_MAX: Final = 2**20  # of an array of fixed length

_ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")  # Error(string)
_PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
_PANICS: Final = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


class Form(Enum):
    UINT = auto()
    INT = auto()
    ADDRESS = auto()
    BOOL = auto()
    FIXED_BYTES = auto()
    BYTES = auto()
    STRING = auto()
    ARRAY = auto()
    TUPLE = auto()


class Type(Struct, frozen=True):
    """A parsed type. `head` is what it takes in place: 32 for a dynamic one, its offset."""

    form: Form
    dynamic: bool = False
    head: int = 32  # bytes
    size: int = 0  # bits of a number, bytes of fixed bytes, length of a fixed array
    parts: tuple["Type", ...] = ()  # of a tuple; an array has one part, that of its items


def selector(signature: str) -> bytes:
    """The 4 bytes that name a function, as in `transfer(address,uint256)`."""
    return keccak(signature.encode())[:4]


def encode_call(signature: str, *values: object) -> bytes:
    """A call of the function, as transaction data. Raises BAD_ABI as `encode` does."""
    return selector(signature) + encode(parameter_types(signature), values)


def decode_call(signature: str, data: bytes) -> tuple[Any, ...]:
    """The arguments of a call of the function. Raises BAD_ABI, for another selector too."""
    if data[:4] != selector(signature):
        raise Rejected(Reason.BAD_ABI, f"not a call of {signature}")
    return decode(parameter_types(signature), data[4:])


def decode_result(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """What a call returned. Raises BAD_ABI as `decode` does."""
    return decode(types, data)


def decode_revert(data: bytes) -> str | None:
    """What revert data says in words: Error's text or Panic's meaning. None: neither."""
    try:
        if data[:4] == _ERROR_SELECTOR:
            text: str = decode(("string",), data[4:])[0]
            return text
        if data[:4] == _PANIC_SELECTOR:
            code: int = decode(("uint256",), data[4:])[0]
            return _PANICS.get(code, f"unknown panic code: {code:#x}")
    except Rejected:
        pass  # looks like one, but isn't: a contract may revert with any bytes
    return None


def parameter_types(signature: str) -> tuple[str, ...]:
    """The types in a function's signature. Raises BAD_ABI."""
    start = signature.find("(")
    if start < 0:
        raise Rejected(Reason.BAD_ABI, f"not a signature: {signature[:80]!r}")
    if signature[start:] == "()":
        return ()
    if not signature.endswith(")"):
        raise Rejected(Reason.BAD_ABI, f"not a signature: {signature[:80]!r}")
    return tuple(_split(signature[start + 1 : -1]))


def encode(types: Sequence[str], values: Sequence[object]) -> bytes:
    """The values one after another, as arguments or results.

    Raises BAD_ABI for an unknown type and a value that is not of its type.
    """
    return _encode_sequence([parse_type(text) for text in types], values)


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """The values in `data`, which may go on behind them.

    Raises BAD_ABI when it ends early or a word is not of its type. Text that is not UTF-8
    is decoded with replacement characters.
    """
    reader = _Reader(data)
    return reader.sequence([parse_type(text) for text in types], 0)


def encode_packed(types: Sequence[str], values: Sequence[object]) -> bytes:
    """The values without padding, as `abi.encodePacked`: for hashing, it can't be decoded.

    The items of arrays keep their padding. Raises BAD_ABI as `encode` does, and for tuples and
    arrays of strings, which have no packed form.
    """
    if len(values) != len(types):
        raise Rejected(Reason.BAD_ABI, f"{len(values)} values for {len(types)} types")
    return b"".join(
        _pack(parse_type(text), value) for text, value in zip(types, values, strict=True)
    )


# -- types --------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def parse_type(text: str) -> Type:
    """The type that `text` names. Raises BAD_ABI."""
    return _parse(text.strip(), 0)


def _parse(text: str, depth: int) -> Type:
    if depth > NESTING_MAX:
        raise Rejected(Reason.BAD_ABI, f"types nested more than {NESTING_MAX} deep")
    if text.endswith("]"):
        return _parse_array(text, depth)
    if text.startswith("(") and text.endswith(")"):
        parts = tuple(_parse(part, depth + 1) for part in _split(text[1:-1]))
        dynamic = any(part.dynamic for part in parts)
        head = 32 if dynamic else sum(part.head for part in parts)
        return Type(Form.TUPLE, dynamic=dynamic, head=head, parts=parts)
    simple = _SIMPLE.get(text)
    if simple is None:
        raise Rejected(Reason.BAD_ABI, f"unknown type: {text[:80]!r}")
    return simple


def _parse_array(text: str, depth: int) -> Type:
    start = text.rindex("[") if "[" in text else 0
    item = _parse(text[:start], depth + 1)
    length = text[start + 1 : -1]
    if not length:
        return Type(Form.ARRAY, dynamic=True, parts=(item,))
    if not (length.isascii() and length.isdigit()) or length[0] == "0" or len(length) > 7:
        raise Rejected(Reason.BAD_ABI, f"bad array length: {length[:80]!r}")
    size = int(length)
    head = 32 if item.dynamic else size * item.head
    if head > 32 * _ARRAY_LENGTH_MAX:
        raise Rejected(Reason.BAD_ABI, f"an array of {head} bytes")
    return Type(Form.ARRAY, dynamic=item.dynamic, head=head, size=size, parts=(item,))


def _split(text: str) -> list[str]:
    """The parts of a tuple between its brackets; commas within inner tuples are theirs."""
    parts: list[str] = []
    depth = start = 0
    for i, letter in enumerate(text):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    if depth or len(parts) > _TUPLE_PARTS_MAX:
        raise Rejected(Reason.BAD_ABI, f"bad list of types: {text[:80]!r}")
    return parts


def _simple_types() -> dict[str, Type]:
    types = {
        "address": Type(Form.ADDRESS),
        "bool": Type(Form.BOOL),
        "bytes": Type(Form.BYTES, dynamic=True),
        "string": Type(Form.STRING, dynamic=True),
        "uint": Type(Form.UINT, size=256),
        "int": Type(Form.INT, size=256),
    }
    for size in range(8, 257, 8):
        types[f"uint{size}"] = Type(Form.UINT, size=size)
        types[f"int{size}"] = Type(Form.INT, size=size)
    for size in range(1, 33):
        types[f"bytes{size}"] = Type(Form.FIXED_BYTES, size=size)
    return types


_SIMPLE: Final = _simple_types()


# -- values to bytes ----------------------------------------------------------------------


def _encode_sequence(types: Sequence[Type], values: Sequence[object]) -> bytes:
    """Heads, then tails; offsets count from the first head."""
    if len(values) != len(types):
        raise Rejected(Reason.BAD_ABI, f"{len(values)} values for {len(types)} types")
    heads: list[bytes] = []
    tails: list[bytes] = []
    offset = sum(kind.head for kind in types)
    for kind, value in zip(types, values, strict=True):
        encoded = _encode_value(kind, value)
        if kind.dynamic:
            heads.append(offset.to_bytes(32, "big"))
            tails.append(encoded)
            offset += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads) + b"".join(tails)


def _encode_value(kind: Type, value: object) -> bytes:
    form = kind.form
    if form is Form.TUPLE and isinstance(value, (list, tuple)):
        return _encode_sequence(kind.parts, value)
    if form is Form.ARRAY and isinstance(value, (list, tuple)):
        items = _encode_sequence(kind.parts * len(value), value)
        if not kind.size:
            return len(value).to_bytes(32, "big") + items
        if len(value) == kind.size:
            return items
    elif form is Form.STRING and isinstance(value, str):
        return _encode_string(value.encode())
    elif form is Form.BYTES and isinstance(value, bytes):
        return _encode_string(value)
    else:
        word = encode_word(kind, value)
        if word is not None:
            return word
    raise Rejected(Reason.BAD_ABI, f"not a value of {_name(kind)}: {str(value)[:80]}")


def _pack(kind: Type, value: object) -> bytes:
    form = kind.form
    if form is Form.ARRAY:
        item = kind
        while item.form is Form.ARRAY:
            item = item.parts[0]
        if item.dynamic or item.form is Form.TUPLE or not isinstance(value, (list, tuple)):
            raise Rejected(Reason.BAD_ABI, f"no packed form of {str(value)[:80]}")
        if kind.size and len(value) != kind.size:
            raise Rejected(Reason.BAD_ABI, f"{len(value)} items instead of {kind.size}")
        part = kind.parts[0]
        pack = _pack if part.form is Form.ARRAY else _encode_value
        return b"".join(pack(part, each) for each in value)
    if form is Form.TUPLE:
        raise Rejected(Reason.BAD_ABI, "no packed form of a tuple")
    encoded = _encode_value(kind, value)
    if isinstance(value, (bytes, str)) and kind.dynamic:
        return value.encode() if isinstance(value, str) else value
    if form is Form.FIXED_BYTES:
        return encoded[: kind.size]
    width = {Form.BOOL: 1, Form.ADDRESS: 20}.get(form, kind.size // 8)
    return encoded[32 - width :]


def encode_word(kind: Type, value: object) -> bytes | None:
    """The word of a value of a simple type; None when it is not of the type."""
    form, size = kind.form, kind.size
    if form is Form.BOOL:
        return int(value).to_bytes(32, "big") if isinstance(value, bool) else None
    if isinstance(value, int) and not isinstance(value, bool):
        if form is Form.UINT and 0 <= value < 2**size:
            return value.to_bytes(32, "big")
        if form is Form.INT and -(2 ** (size - 1)) <= value < 2 ** (size - 1):
            return value.to_bytes(32, "big", signed=True)
    elif isinstance(value, bytes):
        if form is Form.ADDRESS and len(value) == 20:
            return bytes(12) + value
        if form is Form.FIXED_BYTES and len(value) == size:
            return value.ljust(32, b"\0")
    return None


def _encode_string(data: bytes) -> bytes:
    return len(data).to_bytes(32, "big") + data + bytes(-len(data) % 32)


def _name(kind: Type) -> str:
    if kind.form in (Form.UINT, Form.INT):
        return f"{kind.form.name.lower()}{kind.size}"
    if kind.form is Form.FIXED_BYTES:
        return f"bytes{kind.size}"
    if kind.form is Form.ARRAY and kind.size:
        return f"array of {kind.size}"
    return kind.form.name.lower()


# -- bytes to values ----------------------------------------------------------------------


class _Reader:
    """Reads values out of hostile bytes. Bounds the work by the input's length."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._budget = _OVERLAP_MAX * len(data)

    def sequence(self, types: Sequence[Type], start: int) -> tuple[Any, ...]:
        """Values whose heads begin at `start`, which offsets count from."""
        values = []
        at = start
        for kind in types:
            values.append(self._value(kind, at, start))
            at += kind.head
        return tuple(values)

    def _value(self, kind: Type, at: int, start: int) -> Any:
        if kind.dynamic:
            at = start + self._number(at)
        form = kind.form
        if form is Form.TUPLE:
            return self.sequence(kind.parts, at)
        if form is Form.ARRAY:
            return self._array(kind, at)
        if form is Form.BYTES:
            return self._take(at + 32, self._number(at))
        if form is Form.STRING:
            return self._take(at + 32, self._number(at)).decode("utf-8", "replace")
        return self._word(kind, self._take(at, 32))

    def _array(self, kind: Type, at: int) -> tuple[Any, ...]:
        item = kind.parts[0]
        count = kind.size
        if not count:
            count = self._number(at)
            at += 32
        if at + count * item.head > len(self._data):
            raise Rejected(Reason.BAD_ABI, f"an array of {count} items reaches beyond the data")
        return self.sequence((item,) * count, at)

    def _word(self, kind: Type, word: bytes) -> Any:
        form, size = kind.form, kind.size
        if form is Form.FIXED_BYTES:
            if not any(word[size:]):
                return word[:size]
        elif form is Form.ADDRESS:
            if not any(word[:12]):
                return Address(word[12:])
        elif form is Form.INT:
            number = int.from_bytes(word, "big", signed=True)
            if -(2 ** (size - 1)) <= number < 2 ** (size - 1):
                return number
        else:
            number = int.from_bytes(word, "big")
            if form is Form.BOOL and number < 2:
                return number == 1
            if form is Form.UINT and number < 2**size:
                return number
        raise Rejected(Reason.BAD_ABI, f"not a word of {_name(kind)}: 0x{word.hex()}")

    def _number(self, at: int) -> int:
        return int.from_bytes(self._take(at, 32), "big")

    def _take(self, at: int, size: int) -> bytes:
        end = at + size
        self._budget -= size
        if end > len(self._data) or self._budget < 0:
            raise Rejected(Reason.BAD_ABI, "the data ends early or points into itself too often")
        return self._data[at:end]
