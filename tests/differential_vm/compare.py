"""One state test on two VMs: everything that may not differ, and a file that shows what does."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from chain.forks import Fork
from chain.machine import BlockContext, Halt, Machine, Message, Outcome, Tracer, TransactionContext
from chain.state import State
from chain.views import TrieView
from contracts.vm import Interpreter
from contracts.vm.frame import Frame
from contracts.vm.native.records import MEMORY_MAX
from node.conformance import fixtures
from node.conformance.networks import fork_named
from node.conformance.statetest import run_subtest
from tests.differential_vm.bytecode import SLOTS

INDEXES: Final = {"data": 0, "gas": 0, "value": 0}
_LARGE_GAS: Final = 20_000_000  # with more, a test might never end
_STEPS_MAX: Final = 4_000  # opcodes of such a test
_MEMORY_MAX: Final = (
    2**17
)  # bytes of a frame's in such a test, which is looked at before each opcode


class TooLong(Exception):
    """A test that the definition would take too long for."""


class _Steps:
    """A tracer that counts, and ends what takes too long."""

    wants_steps = True

    def __init__(self) -> None:
        self.count = 0

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        self.count += 1
        if self.count > _STEPS_MAX:
            raise TooLong("steps")

    def on_enter(self, *_: object) -> None:
        pass

    def on_exit(self, *_: object) -> None:
        pass


@contextmanager
def _small_memories() -> Iterator[None]:
    """No frame of the definition gets more memory than is quickly looked at; TooLong instead."""
    grow = Frame._grow

    def grow_a_little(frame: Frame, end: int) -> None:
        if _MEMORY_MAX < end <= MEMORY_MAX:
            raise TooLong("memory")
        grow(frame, end)

    Frame._grow = grow_a_little  # type: ignore[method-assign]
    try:
        yield
    finally:
        Frame._grow = grow  # type: ignore[method-assign]


class Seen(Struct, frozen=True):
    """What a VM made of a message. Failures other than a revert are all the same."""

    gas_left: int
    output: str
    halt: str
    refund: int
    logs: int
    warm: tuple[str, ...]  # addresses, and slots with theirs


class Observed(Struct, frozen=True):
    """What came of a test."""

    root: str
    logs_hash: str
    refused: str
    messages: tuple[Seen, ...]


class Watched:
    """A machine that notes what its messages came to."""

    def __init__(self, machine: Machine, *, definition: bool) -> None:
        self._machine = machine
        self._definition = definition
        self.seen: list[Seen] = []

    def execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: Tracer | None = None,
    ) -> Outcome:
        if self._definition and message.gas > _LARGE_GAS:
            with _small_memories():
                outcome = self._machine.execute(message, state, block, transaction, fork, _Steps())
        else:
            outcome = self._machine.execute(message, state, block, transaction, fork, tracer)
        self.seen.append(
            Seen(
                outcome.gas_left,
                outcome.output.hex(),
                _kind(outcome.halt),
                state.refund,
                len(state.logs),
                _warm(state),
            )
        )
        return outcome


def _kind(halt: Halt | None) -> str:
    if halt is None or halt is Halt.REVERT:
        return "success" if halt is None else "revert"
    return "failure"


def _warm(state: State) -> tuple[str, ...]:
    """The warm addresses, and of their slots those that programs name."""
    addresses = state.touched_addresses(frozenset())
    warm = [address.hex() for address in addresses if state.is_warm_address(address)]
    warm += [
        f"{address.hex()}/{slot:x}"
        for address in addresses
        for slot in SLOTS
        if state.is_warm_slot(address, slot)
    ]
    return tuple(sorted(warm))


def observe(
    test: dict[str, Any], fork_name: str, view: TrieView, machine: Machine, *, definition: bool
) -> Observed:
    """Run a test. TooLong only from the definition."""
    watched = Watched(machine, definition=definition)
    root, logs_hash, refused = run_subtest(test, view, fork_named(fork_name), INDEXES, watched)
    return Observed(root.hex(), logs_hash.hex(), refused or "", tuple(watched.seen))


class Difference(Struct, frozen=True):
    """A test that a tier gets wrong."""

    tier: str
    what: str
    test: dict[str, Any]  # as a state test, with what the definition makes of it
    crash: bool = False


def differences(
    test: dict[str, Any], fork_name: str, machines: Sequence[tuple[str, Machine]]
) -> list[Difference]:
    """Where the given tiers differ from the plain interpreter. TooLong when that can't tell."""
    view = fixtures.view_of(fixtures.parse_state(test["pre"]))
    expected = observe(test, fork_name, view, Interpreter(), definition=True)
    found = []
    for tier, machine in machines:
        try:
            got = observe(test, fork_name, view, machine, definition=False)
        except Exception as error:
            what, crash = f"crash: {type(error).__name__}: {error}", True
        else:
            if got == expected:
                continue
            what, crash = "; ".join(_told(expected, got)), False
        found.append(Difference(tier, what, recorded(test, fork_name, expected), crash))
    return found


def _told(expected: Observed, got: Observed) -> list[str]:
    lines = [
        f"{name} is {getattr(got, name)}, should be {getattr(expected, name)}"
        for name in ("root", "logs_hash", "refused")
        if getattr(got, name) != getattr(expected, name)
    ]
    for ours, theirs in zip(expected.messages, got.messages):
        lines += [
            f"{name} is {getattr(theirs, name)}, should be {getattr(ours, name)}"
            for name in Seen.__struct_fields__
            if getattr(ours, name) != getattr(theirs, name)
        ]
    return lines


def recorded(test: dict[str, Any], fork_name: str, expected: Observed) -> dict[str, Any]:
    """The test with its expected outcome, as `chain-node statetest` reads it."""
    entry: dict[str, Any] = {
        "hash": "0x" + expected.root,
        "logs": "0x" + expected.logs_hash,
        "indexes": INDEXES,
    }
    if expected.refused:
        entry["expectException"] = expected.refused
    return {**test, "post": {fork_name: [entry]}}


def write_reproducer(folder: Path, name: str, difference: Difference) -> Path:
    """A state test file that shows the difference."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    document = {name: {"_info": {"comment": difference.what}, **difference.test}}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
