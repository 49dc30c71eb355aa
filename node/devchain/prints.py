"""What contracts print: console.log of Hardhat and Foundry, print of Vyper.

A print is a call to an address without code. console.log has a function for each list of
types; Vyper's print names its types in the call. Nothing of it costs or changes anything.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Final

from chain.abi import decode, selector
from chain.errors import Rejected
from chain.machine import Halt
from chain.types import Address

CONSOLE: Final = Address(bytes.fromhex("000000000000000000636f6e736f6c652e6c6f67"))
LINES_MAX: Final = 1_000  # of one transaction
_LENGTH_MAX: Final = 4_096  # characters of a line
_DATA_MAX: Final = 65_536  # bytes of a call that are looked at
_BASE: Final = ("uint256", "string", "bool", "address")
_ARGUMENTS_MAX: Final = 4
_HOLDER: Final = re.compile(r"%[sdioOjc%]")
_WITH_SCHEMA: Final = selector("log(string,bytes)")


@cache
def _signatures() -> dict[bytes, tuple[str, ...]]:
    """The types of each console.log by its selector, old names of types among them."""
    lists: list[tuple[str, ...]] = [()]
    for count in range(1, _ARGUMENTS_MAX + 1):
        lists += product(_BASE, repeat=count)
    lists += [("int256",), ("bytes",), ("string", "int256")]
    lists += [(f"bytes{size}",) for size in range(1, 33)]
    found: dict[bytes, tuple[str, ...]] = {}
    for types in lists:
        joined = ",".join(types)
        found[selector(f"log({joined})")] = types
        # Before 2023 console.sol called integers "uint" and "int" in its selectors.
        found.setdefault(selector(f"log({joined.replace('int256', 'int')})"), types)
    return found


class Prints:
    """A tracer that notes the lines of one transaction, whether it fails or not."""

    wants_steps = False

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def lines(self) -> Sequence[str]:
        """What was printed, in order."""
        return self._lines

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        """Not asked for."""

    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None:
        if code_address == CONSOLE and len(self._lines) < LINES_MAX:
            self._lines.append(printed(data[:_DATA_MAX]))

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """A line stays, however the call around it ends."""


def printed(data: bytes) -> str:
    """The line of a call to the console; its bytes in hex when they make no sense."""
    types = _signatures().get(data[:4])
    try:
        if data[:4] == _WITH_SCHEMA:
            schema, payload = decode(("string", "bytes"), data[4:])
            values: Sequence[object] = decode(_split(schema), payload)
        elif types is None:
            return "0x" + data[: _LENGTH_MAX // 2].hex()
        else:
            values = decode(types, data[4:])
    except Rejected:
        return "0x" + data[: _LENGTH_MAX // 2].hex()
    line = _formatted(values)[:_LENGTH_MAX]
    return "".join(char if char.isprintable() else "?" for char in line)


def _split(schema: str) -> list[str]:
    """The types of "(uint256,(bool,string)[])"."""
    if not (schema.startswith("(") and schema.endswith(")")):
        return [schema]
    found, depth, start = [], 0, 1
    for at, char in enumerate(schema[:-1]):
        if char == "," and depth == 1:
            found.append(schema[start:at])
            start = at + 1
        depth += (char == "(") - (char == ")")
    last = schema[start:-1]
    return [*found, last] if last else found


def _formatted(values: Sequence[object]) -> str:
    """As Node's util.format: a first text's %s and %d stand for what follows."""
    rest: Iterator[object] = iter(values)
    if not values or not isinstance(values[0], str):
        return " ".join(map(shown, rest))
    text = str(next(rest))

    def fill(found: "re.Match[str]") -> str:
        if found.group() == "%%":
            return "%"
        for value in rest:
            return "" if found.group() == "%c" else shown(value)
        return found.group()

    if len(values) > 1:
        text = _HOLDER.sub(fill, text)
    return " ".join((text, *map(shown, rest)))


def shown(value: object) -> str:
    """A value of a contract's as people write it."""
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return "0x" + value.hex()
        case list() | tuple():
            return "[" + ", ".join(map(shown, value)) + "]"
        case _:
            return str(value)
