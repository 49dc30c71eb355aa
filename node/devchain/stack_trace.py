"""Where a transaction failed: contracts, functions and lines, from the failure outwards."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from chain.machine import Halt
from chain.types import Address
from node.devchain.artefacts import Artefacts, Contract
from node.devchain.sources import Place, Places

LINES_MAX: Final = 32  # of a trace
_CALLS_MAX: Final = 1_024  # within a contract
_STEPS_A_LOOK: Final = 4_096  # between looks at the clock
_JUMP: Final = 0x56


class TookTooLongError(Exception):
    """A failure that takes too long to be explained."""


class _Failure(Struct):
    """A message that failed, with the one inside that its failure was passed on from."""

    name: str  # of the contract, or its address
    places: Places | None
    calls: list[int]  # code positions of the calls within the contract, the outermost first
    pc: int | None  # the last position that has a place
    problem: str
    output: bytes
    inner: "_Failure | None"


class _Frame:
    """A message under way."""

    def __init__(self, contract: Contract | None, name: str, places: Places | None) -> None:
        self.contract = contract
        self.name = name
        self.places = places
        self.calls: list[int] = []
        self.pc: int | None = None
        self.check: int | None = None  # the last position of which the compiler tells a check
        self.inner: _Failure | None = None  # the last message from here that failed
        self.at_call: tuple[int | None, list[int]] = (None, [])  # when that message began


class StackTracer:
    """A tracer of one transaction that remembers the way to where it failed.

    `code_of` gives an account's code; `is_over` says that it has taken long enough, which ends
    execution with `TookTooLongError`.
    """

    wants_steps = True

    def __init__(
        self,
        artefacts: Artefacts,
        code_of: Callable[[Address], bytes],
        is_over: Callable[[], bool],
    ) -> None:
        self._artefacts = artefacts
        self._code_of = code_of
        self._is_over = is_over
        self._frames: list[_Frame] = []
        self._steps = 0
        self.failure: _Failure | None = None

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        self._steps += 1
        if self._steps % _STEPS_A_LOOK == 0 and self._is_over():
            raise TookTooLongError
        current = self._frames[-1]
        places = current.places
        if places is None:
            return
        has_place = places.place(pc) is not None
        if has_place:
            current.pc = pc
        if places.problem(pc):
            current.check = pc
        elif has_place:
            current.check = None  # it was passed
        if opcode == _JUMP:
            kind = places.jump(pc)
            if kind == "i" and len(current.calls) < _CALLS_MAX:
                current.calls.append(pc)
            elif kind == "o" and current.calls:
                current.calls.pop()

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
        if self._frames:
            current = self._frames[-1]
            current.at_call = (current.pc, list(current.calls))
        creation = kind.startswith("CREATE")
        if creation:
            contract = self._artefacts.created_by(data)
        else:
            contract = self._artefacts.with_code(self._code_of(code_address))
        places = None
        if contract is not None:
            places = self._artefacts.places(contract, creation=creation)
        name = f"0x{code_address.hex()}" if contract is None else contract.name
        self._frames.append(_Frame(contract, name, places))

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        ended = self._frames.pop()
        if halt is None:
            return
        inner = ended.inner
        passed_on = inner is not None and halt is Halt.REVERT and inner.output == output
        calls, pc = ended.calls, ended.pc
        if passed_on:
            pc, calls = ended.at_call
        problem = ""
        if ended.places is not None and ended.check is not None:
            problem = ended.places.problem(ended.check)
        failure = _Failure(
            ended.name, ended.places, list(calls), pc, problem, output, inner if passed_on else None
        )
        if self._frames:
            self._frames[-1].inner = failure
        else:
            self.failure = failure

    def problem(self) -> str:
        """What the compiler checks where it failed; empty where nobody says, or output does."""
        innermost = self.failure
        while innermost is not None and innermost.inner is not None:
            innermost = innermost.inner
        return "" if innermost is None or innermost.output else innermost.problem

    def lines(self) -> list[str]:
        """The trace, the innermost first; empty when the transaction did not fail."""
        way: list[_Failure] = []
        failure = self.failure
        while failure is not None:
            way.append(failure)
            failure = failure.inner
        found: list[str] = []
        for failure in reversed(way):
            for line in _lines_of(failure):
                if not found or found[-1] != line:
                    found.append(line)
        if len(found) > LINES_MAX:
            left = len(found) - LINES_MAX
            found = [*found[:LINES_MAX], f"... {left} more"]
        return found


def _lines_of(failure: _Failure) -> Iterator[str]:
    places = failure.places
    innermost = None
    if places is not None and failure.pc is not None:
        innermost = places.place(failure.pc)
    if places is None or innermost is None:
        yield f"at {failure.name}"
        return
    yield _line(innermost, failure.name)
    for pc in reversed(failure.calls):
        place = places.place(pc)
        if place is not None and not place.heads:
            yield _line(place, failure.name)


def _line(place: Place, contract: str) -> str:
    where = f"{place.file}:{place.line}" if place.line else place.file
    return f"at {place.function or contract} ({where})"
