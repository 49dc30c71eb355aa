"""The same message on the plain interpreter, opcode by opcode, and on the native one."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from chain.forks import OSAKA, Fork
from chain.machine import Message, Outcome
from chain.state import State
from contracts.vm import OPCODES, Interpreter
from contracts.vm.native.interpreter import NativeInterpreter
from tests.contracts.vm.laboratory import (
    BLOCK,
    CALLER,
    ETHER,
    TARGET,
    TRANSACTION,
    View,
    assemble,
    begin,
)

CACHE = Path(__file__).parents[4] / ".cache" / "native"

# Depth, position, opcode, gas and stack before an opcode.
Step = tuple[int, int, int, int, list[int]]


class Steps:
    """A tracer that keeps one line an opcode."""

    wants_steps = True

    def __init__(self):
        self.lines: list[Step] = []

    def on_step(self, pc, opcode, gas, cost, frame):
        self.lines.append((frame.depth, pc, opcode, gas, list(frame.stack)))

    def on_enter(self, *_):
        pass

    def on_exit(self, *_):
        pass


class Definition:
    """The plain interpreter, always opcode by opcode, so that halts have their exact names."""

    def __init__(self):
        self.steps = Steps()

    def execute(self, message, state, block, transaction, fork):
        plain = Interpreter()
        return plain.execute(message, state, block, transaction, fork, self.steps)


@cache
def native() -> NativeInterpreter:
    """One for all tests: sessions must not see each other."""
    return NativeInterpreter(cache=CACHE)


@cache
def _traced() -> tuple[NativeInterpreter, list[Step]]:
    lines: list[Step] = []
    return NativeInterpreter(cache=CACHE, on_step=lambda *line: lines.append(line)), lines


@dataclass
class Case:
    """What is run: a message to TARGET or a creation, in a world."""

    code: bytes
    view: View = field(default_factory=View)
    data: bytes = b"\x01\x02\x03"
    gas: int = 200_000
    value: int = 0
    fork: Fork = OSAKA
    static: bool = False
    creates: bool = False

    def run(self, machine) -> tuple[Outcome, State]:
        view = View(dict(self.view.accounts), dict(self.view.slots), dict(self.view.codes))
        view.put(CALLER, balance=100 * ETHER, nonce=1)
        if TARGET not in view.accounts and not self.creates:
            view.put(TARGET, code=self.code, balance=1_000, storage={1: 2})
        state = begin(view)
        message = Message(
            CALLER,
            None if self.creates else TARGET,
            TARGET,
            self.value,
            b"" if self.creates else self.data,
            self.gas,
            self.code,
            TARGET,
            self.static,
        )
        outcome = machine.execute(message, state, BLOCK, TRANSACTION, self.fork)
        return outcome, state


def effects(outcome: Outcome, state: State, fork: Fork) -> dict[str, object]:
    """All that a message leaves behind, and then its transaction."""
    state.delta()  # so that the state has back what a machine keeps
    warm = {*state._warm, *state._warm_slots}
    transient = {k: word for k, word in state._transient.items() if word}
    destructed = list(state.destructed())
    logs = list(state.logs)
    if fork.deletes_empty_accounts:
        # Native code does not touch what is not there, since it would go away here.
        state.end_transaction(fork)
    delta = state.delta()
    there = {address for address in delta.accounts if state.view.account(address) is not None}
    return {
        "gas left": outcome.gas_left,
        "output": outcome.output.hex(),
        "halt": outcome.halt,
        "refund": state.refund,
        "logs": logs,
        "accounts": {a: account for a, account in delta.accounts.items() if account or a in there},
        "storage": delta.storage,
        "wiped": delta.wiped & there,
        "destructed": destructed,
        "warm": warm,
        "transient": transient,
    }


def agree(case: Case) -> Outcome:
    """Run both; an AssertionError names the first difference. Gives the outcome."""
    definition = Definition()
    expected = effects(*case.run(definition), case.fork)
    outcome, state = case.run(native())
    got = effects(outcome, state, case.fork)
    if got != expected:
        lines = [f"{key}: {expected[key]} but natively {got[key]}"
                 for key in expected if expected[key] != got[key]]  # fmt: skip
        raise AssertionError("\n".join([*lines, first_difference(case), repr(case)]))
    return outcome


def agree_in_steps(case: Case) -> None:
    """The traces are the same, line for line, and so is what is left behind."""
    definition = Definition()
    expected = effects(*case.run(definition), case.fork)
    machine, lines = _traced()
    lines.clear()
    assert effects(*case.run(machine), case.fork) == expected
    assert lines == definition.steps.lines, first_difference(case)


def first_difference(case: Case) -> str:
    """The first opcode before which the two no longer agree."""
    definition = Definition()
    case.run(definition)
    machine, lines = _traced()
    lines.clear()
    case.run(machine)
    last = None
    for ours, theirs in zip(definition.steps.lines, lines):
        if ours != theirs:
            return f"after {_text(last)}:\n  {_text(ours)}\n  natively {_text(theirs)}"
        last = ours
    return f"{len(definition.steps.lines)} steps, natively {len(lines)}; the last: {_text(last)}"


def _text(step: Step | None) -> str:
    if step is None:
        return "the beginning"
    depth, pc, opcode, gas, stack = step
    name = OPCODES[opcode].name if opcode in OPCODES else hex(opcode)
    return f"depth {depth} pc {pc} {name} gas {gas} stack {[hex(word) for word in stack[-8:]]}"


def case_of(text: str, **fields) -> Case:
    return Case(assemble(text), **fields)
