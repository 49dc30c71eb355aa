"""What contracts print: console.log of Hardhat and Foundry, print of Vyper.

A print is a call to an address without code. console.log has a function for each list of
types; Vyper's print names its types in the call. Nothing of it costs or changes anything.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice, product
from typing import Final

from chain.abi import decode, selector
from chain.errors import Rejected
from chain.machine import Halt
from chain.types import Address
from node.devchain.print_formats import formatted

CONSOLE: Final = Address(bytes.fromhex("000000000000000000636f6e736f6c652e6c6f67"))
LINES_MAX: Final = 1_000  # of one transaction
_LENGTH_MAX: Final = 4_096  # characters of a line
_DATA_MAX: Final = 65_536  # bytes of a call that are looked at
_BASE: Final = ("uint256", "string", "bool", "address")
_VYPERS: Final = (*_BASE, "int256", "int128", "uint8", "bytes32", "bytes")  # hardhat_compat=True
_ARGUMENTS_MAX: Final = 4
_VYPERS_ARGUMENTS_MAX: Final = 3
_WITH_SCHEMA: Final = selector("log(string,bytes)")


@cache
def _signatures() -> dict[bytes, tuple[str, ...]]:
    """The types of each console.log by its selector, old names of types among them."""
    lists: list[tuple[str, ...]] = [()]
    for count in range(1, _ARGUMENTS_MAX + 1):
        lists += product(_BASE, repeat=count)
    for count in range(1, _VYPERS_ARGUMENTS_MAX + 1):
        lists += product(_VYPERS, repeat=count)
    lists += [(f"bytes{size}",) for size in range(1, 33)]
    lists += [(f"{kind}{bits}",) for kind in ("int", "uint") for bits in range(8, 257, 8)]
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
            room = LINES_MAX - len(self._lines)
            self._lines += islice(clean_lines(printed(data[:_DATA_MAX])), room)

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        """A line stays, however the call around it ends."""


def printed(data: bytes) -> str:
    """The line of a call to the console; its bytes in hex when they make no sense.

    It holds what the contract printed, line breaks and all else, but for `_LENGTH_MAX`.
    """
    types: Sequence[str] | None = _signatures().get(data[:4])
    payload = data[4:]
    try:
        if data[:4] == _WITH_SCHEMA:
            schema, payload = decode(("string", "bytes"), payload)
            types = _split(schema)
        elif types is None:
            return "0x" + data[: _LENGTH_MAX // 2].hex()
        elif types == ("string",):  # where %% is one, and nothing else stands for anything
            (text,) = decode(types, payload)
            return str(text).replace("%%", "%")[:_LENGTH_MAX]
        return formatted(types, decode(types, payload))[:_LENGTH_MAX]
    except Rejected:
        return "0x" + data[: _LENGTH_MAX // 2].hex()


def clean_lines(text: str) -> Iterator[str]:
    """A print's lines, as they may be shown in a terminal: what can't be printed is escaped."""
    for line in text.split("\n"):
        yield "".join(
            char if char.isprintable() or char == "\t" else _escaped(char) for char in line
        )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


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
