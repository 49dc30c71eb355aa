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
_MLOAD: Final = 0x51
_MSTORE: Final = 0x52
_JUMP: Final = 0x56
_JUMPI: Final = 0x57
_JUMPDEST: Final = 0x5B
_REVERT: Final = 0xFD
_FLOW: Final = frozenset({_MLOAD, _MSTORE, _JUMP, _JUMPI, _JUMPDEST, _REVERT})


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
        self.stepped = False
        self.pc: int | None = None
        self.inside: int | None = None  # the last position within a function
        self.came_from: int | None = None  # where the last jump was, while that may matter
        self.landed: int | None = None  # where it went
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
        current.stepped = True
        places = current.places
        if places is None:
            return
        place = places.place(pc)
        if place is not None:
            current.pc = pc
            if place.function:
                current.inside = pc
        if places.problem(pc):
            current.check = pc
        elif place is not None:
            current.check = None  # it was passed
        if opcode in _FLOW:
            _follow(current, places, pc, opcode)

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
        if not ended.stepped and self._frames and halt is not Halt.PRECOMPILE:
            return  # it could not even begin, for want of money: that failed where it was sent
        inner = ended.inner
        passed_on = inner is not None and halt is Halt.REVERT and inner.output == output
        calls, pc = ended.calls, _where(ended)
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


def _follow(frame: _Frame, places: Places, pc: int, opcode: int) -> None:
    """Note calls within the contract, and who failed where several share the end.

    Reverts with arguments have one, taken from any of them: JUMPDEST, PUSH1 0x40, MLOAD and so
    on, without writing to memory. What failed is who jumped there, or had the data encoded.
    """
    came_from, frame.came_from = frame.came_from, None
    if opcode == _JUMP:
        kind = places.jump(pc)
        frame.came_from, frame.landed = frame.pc, None
        if kind == "i" and len(frame.calls) < _CALLS_MAX:
            frame.calls.append(pc)
        elif kind == "o" and frame.calls:
            frame.came_from = frame.calls.pop()
    elif opcode == _JUMPDEST and frame.landed is None:
        frame.came_from, frame.landed = came_from, pc
    elif opcode == _MLOAD and frame.landed == pc - 3:
        frame.came_from = came_from
    elif opcode == _REVERT and came_from is not None:
        frame.pc = frame.inside = came_from


def _where(frame: _Frame) -> int | None:
    """The position where it ended: within a function where the last one is in none.

    Optimizers have parts of functions that are the same in all of them stand for the contract.
    """
    if frame.pc is None or frame.places is None:
        return frame.pc
    place = frame.places.place(frame.pc)
    return frame.inside if place is not None and not place.function and frame.inside else frame.pc


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
