"""How values that contracts print are written, alone and in place of %s, %d, %i, %o, %x and %e.

As Foundry does it; %O, %j and %c are Node's, whose formats Hardhat's console.log has.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from chain.abi import Form, Type, parse_type
from chain.types import Address
from node.rpc.formats import checksummed

_HOLDER: Final = re.compile(r"%(?:[sdioOjcx%]|(\d{0,2})e)")
_NAN: Final = "NaN"
_WORD: Final = 1 << 256


def formatted(types: Sequence[str], values: Sequence[object]) -> str:
    """The line for these values: a first text's holders stand for what follows."""
    pairs: Iterator[tuple[Type, object]] = zip(map(parse_type, types), values, strict=True)
    rest = iter(pairs)
    if not values or not isinstance(values[0], str):
        return " ".join(_plain(kind, value) for kind, value in rest)
    _, text = next(rest)

    def fill(found: "re.Match[str]") -> str:
        holder = found.group()
        if holder == "%%":
            return "%"
        for kind, value in rest:
            return _held(holder, found.group(1), kind, value)
        return holder

    line = _HOLDER.sub(fill, str(text))
    following = [_plain(kind, value) for kind, value in rest]
    return " ".join((line, *following) if text else following)


def shown(kind: str, value: object) -> str:
    """A value of this ABI type as people write it. Raises `Rejected` (BAD_ABI) for no type."""
    return _plain(parse_type(kind), value)


def _plain(kind: Type, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case bytes() if kind.form is Form.ADDRESS:
            return checksummed(Address(value))
        case bytes():
            return "0x" + value.hex()
        case list() | tuple():
            parts = kind.parts if kind.form is Form.TUPLE else kind.parts * len(value)
            items = map(_plain, parts, value)
            return "[" + ", ".join(items) + "]"
        case _:
            return str(value)


def _held(holder: str, places: str | None, kind: Type, value: object) -> str:
    """What stands for one value in a text; what makes no sense is "NaN"."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    match holder[-1]:
        case "c":  # a style
            return ""
        case "s":
            return _plain(kind, value)
        case "j":
            return json.dumps(_plain(kind, value), ensure_ascii=False)
        case "d" | "i":
            if isinstance(value, bool) and holder == "%d":
                return str(int(value))
            return _NAN if number is None else str(number)
        case "x":
            if isinstance(value, bytes):
                return _plain(kind, value)
            return _NAN if number is None else _hex(number)
        case "e":
            return _NAN if number is None else _exponential(number, places)
        case _:  # o, O
            return _plain(kind, value) if number is not None else f"'{_plain(kind, value)}'"


def _hex(number: int) -> str:
    """In two's complement; nothing is "0x", as Foundry writes it."""
    return f"0x{number % _WORD:x}" if number else "0x"


def _exponential(number: int, places: str | None) -> str:
    """1500000 as 1.5e6 or, with so many decimal places, as 15000.00 without the zeros."""
    sign, digits = "-" if number < 0 else "", str(abs(number))
    if not places:
        exponent = len(digits) - 1
        fraction = digits[1:].rstrip("0")
        return f"{sign}{digits[0]}{'.' if fraction else ''}{fraction}e{exponent}"
    count = int(places)
    digits = digits.rjust(count + 1, "0")
    whole, fraction = digits[: len(digits) - count], digits[len(digits) - count :].rstrip("0")
    return f"{sign}{whole}{'.' if fraction else ''}{fraction}"
