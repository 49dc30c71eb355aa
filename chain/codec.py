"""Recursive Length Prefix (RLP), strict: every item has exactly one accepted encoding.

Source: Yellow Paper, appendix B. Integers are big endian without leading zeros;
zero is the empty string.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from chain.errors import Reason, Rejected

Item: TypeAlias = "bytes | list[Item]"
Encodable: TypeAlias = "bytes | Sequence[Encodable]"

NESTING_MAX: Final = 256  # lists within lists; far above what any object of the protocol needs

EMPTY_STRING: Final = b"\x80"
EMPTY_LIST: Final = b"\xc0"

# Prefixes of short strings and lists, and the encodings of the integers below 128, ready made.
_STRING_PREFIX: Final = tuple(bytes((0x80 + size,)) for size in range(56))
_LIST_PREFIX: Final = tuple(bytes((0xC0 + size,)) for size in range(56))
_SMALL_INT: Final = (EMPTY_STRING, *(bytes((number,)) for number in range(1, 128)))


def int_bytes(number: int) -> bytes:
    """Big endian without leading zeros; zero is empty. `number` is not negative."""
    return number.to_bytes((number.bit_length() + 7) >> 3, "big")


def encode_int(number: int) -> bytes:
    """The item of an integer, which is not negative."""
    if number < 128:
        return _SMALL_INT[number]
    size = (number.bit_length() + 7) >> 3
    if size < 56:
        return _STRING_PREFIX[size] + number.to_bytes(size, "big")
    return _long_prefix(size, 0xB7) + number.to_bytes(size, "big")


def encode_bytes(data: bytes) -> bytes:
    """The item of a string."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    if size < 56:
        return _STRING_PREFIX[size] + data
    return _long_prefix(size, 0xB7) + data


def encode_list(payloads: Iterable[bytes]) -> bytes:
    """The item of a list whose members are encoded already."""
    payload = b"".join(payloads)
    size = len(payload)
    if size < 56:
        return _LIST_PREFIX[size] + payload
    return _long_prefix(size, 0xF7) + payload


def encode(item: Encodable) -> bytes:
    """The item of a string, or of a list or tuple of such, however nested."""
    if isinstance(item, (bytes, bytearray, memoryview)):
        return encode_bytes(bytes(item))
    return encode_list([encode(child) for child in item])


def decode(data: bytes) -> Item:
    """The one item that `data` holds. Raises BAD_RLP for anything not canonical."""
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise Rejected(Reason.BAD_RLP, f"{len(data) - end} bytes after the item")
    return item


def decode_int(data: bytes) -> int:
    """The integer of a string item's payload. Raises BAD_RLP for a leading zero."""
    if data and not data[0]:
        raise Rejected(Reason.BAD_RLP, "integer with a leading zero")
    return int.from_bytes(data, "big")


def item_bounds(data: bytes, at: int) -> tuple[int, int, bool]:
    """Where the payload of the item at offset `at` begins and ends, and whether it is a list.

    The payload lies within `data`; what is in a list is not looked at. Raises BAD_RLP.
    """
    end = len(data)
    if at >= end:
        raise Rejected(Reason.BAD_RLP, "the input ends where an item should be")
    first = data[at]
    if first < 0x80:
        return at, at + 1, False
    is_list = first >= 0xC0
    size = first - (0xC0 if is_list else 0x80)
    start = at + 1
    if size > 55:
        start += size - 55
        if start > end:
            raise Rejected(Reason.BAD_RLP, "the input ends within a length")
        if not data[at + 1]:
            raise Rejected(Reason.BAD_RLP, "a length with a leading zero")
        size = int.from_bytes(data[at + 1 : start], "big")
        if size < 56:
            raise Rejected(Reason.BAD_RLP, "a short item in the long form")
    stop = start + size
    if stop > end:
        raise Rejected(Reason.BAD_RLP, "an item reaches beyond the input")
    if size == 1 and not is_list and data[start] < 0x80:
        raise Rejected(Reason.BAD_RLP, "a single byte with a prefix")
    return start, stop, is_list


def _decode(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    start, stop, is_list = item_bounds(data, at)
    if stop > end:
        raise Rejected(Reason.BAD_RLP, "an item reaches beyond its list")
    if not is_list:
        return data[start:stop], stop
    if depth == NESTING_MAX:
        raise Rejected(Reason.BAD_RLP, f"lists nested more than {NESTING_MAX} deep")
    items: list[Item] = []
    append = items.append
    at = start
    while at < stop:
        first = data[at]
        if first < 0x80:  # the two commonest kinds, without a call
            append(data[at : at + 1])
            at += 1
        elif 0x81 < first < 0xB8:
            after = at + first - 0x7F
            if after > stop:
                raise Rejected(Reason.BAD_RLP, "an item reaches beyond its list")
            append(data[at + 1 : after])
            at = after
        else:
            item, at = _decode(data, at, stop, depth + 1)
            append(item)
    return items, stop


def _long_prefix(size: int, first: int) -> bytes:
    if size < 0x100:
        return bytes((first + 1, size))
    if size < 0x10000:
        return bytes((first + 2, size >> 8, size & 0xFF))
    digits = int_bytes(size)
    return bytes((first + len(digits),)) + digits
