"""24 KB of every opcode: how long compiling takes, and what runs for 30 million gas.

`python -m tests.contracts.vm.native.jit.bombs` (`make bombs`) compiles each in the product's
compiling process and within its limits, runs what came of it beside the plain
interpreter, and then to the end of its gas. It prints a line for each, the worst ones
at the end; the exit status is 1 if anything came out differently.
"""

import argparse
import resource
import select
import sys
import time
from random import Random
from typing import Final

from msgspec import Struct

from chain.forks import OSAKA
from chain.machine import Outcome
from chain.state import State
from contracts.vm import OPCODES, Interpreter
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit.compiler import load_compiled, prices_of
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.jit.worker import Job
from contracts.vm.native.jit.workshop import Workshop
from contracts.vm.native.objects import load_native
from contracts.vm.opcodes import Opcode, Shape
from tests.contracts.vm.laboratory import assemble
from tests.contracts.vm.native.both import CACHE, Case, effects
from tests.contracts.vm.native.test_native_interpreter import world

SIZE: Final = 24_576  # of a deployed contract's code, at most
# Of PUSH, DUP and SWAP the shortest and the longest.
_ALIKE: Final = {*range(0x62, 0x7F), *range(0x81, 0x8F), *range(0x91, 0x9F)}
ROWS: Final = tuple(row for row in OPCODES.values() if row.code not in _ALIKE)
# What all operands are: nothing, an offset, a word that no gas pays as an offset.
OPERANDS: Final = (0, 1, 32, 2**255, 2**256 - 1)
SLOW_GAS: Final = 300_000  # what the plain interpreter is given
WHOLE_GAS: Final = 30_000_000
_WORDS: Final = 18  # on the stack, for SWAP16 and an accumulator
_PRICES: Final = prices_of(OSAKA)
_JUMPDEST: Final = 0x5B
_XOR: Final = b"\x18"


def bomb(row: Opcode, operand: int, seed: int = 0, size: int = SIZE) -> bytes:
    """As much of an opcode as fits, round and round until the gas is gone.

    No operand is known to the compiler. Results go into an accumulator on top of the stack,
    so that none can be left out.
    """
    random = Random(seed)
    hidden = assemble(f"{operand} CALLDATASIZE ADD")  # nothing is sent
    code = bytearray(hidden + b"\x80" * (_WORDS - 1))
    start = len(code)
    code.append(_JUMPDEST)
    again = b"\x61" + start.to_bytes(2, "big") + b"\x56"
    while True:
        part = _part(row, len(code), random)
        if len(code) + len(part) + len(again) > size:
            return bytes(code + again)
        code += part


def _part(row: Opcode, at: int, random: Random) -> bytes:
    """The opcode once. Below the accumulator, on top, are operands."""
    opcode = bytes((row.code,))
    match row.shape:
        case Shape.PUSH:
            return opcode + random.randbytes(row.operand_bytes) + _XOR
        case Shape.DUP | Shape.PC:
            return opcode + _XOR
        case Shape.SWAP | Shape.NOTHING:
            return opcode
        case Shape.POP:
            return b"\x80" + opcode
        case Shape.JUMP:
            return b"\x61" + (at + 4).to_bytes(2, "big") + opcode + b"\x5b"
        case Shape.JUMPI:
            return b"\x81\x61" + (at + 5).to_bytes(2, "big") + opcode + b"\x5b"
        case Shape.PURE if row.pops > 1:
            return b"\x81" + b"\x80" * (row.pops - 2) + opcode  # the accumulator is the last one
        case Shape.PURE:
            return opcode
    operands = b"\x81" + b"\x80" * (row.pops - 1) if row.pops else b""
    return operands + opcode + (_XOR if row.pushes else b"")


def differences(case: Case, machine: NativeInterpreter) -> list[str]:
    """What a machine makes of a message otherwise than the plain interpreter."""
    expected, got = (_seen(*case.run(each), case) for each in (Interpreter(), machine))
    return [f"{name}: {expected[name]} but {got[name]}" for name in expected
            if expected[name] != got[name]]  # fmt: skip


def _seen(outcome: Outcome, state: State, case: Case) -> dict[str, object]:
    seen = effects(outcome, state, case.fork)
    seen["output"] = outcome.output[:64].hex(), len(outcome.output)
    return seen


class Measured(Struct, frozen=True):
    """Times in seconds of processor time. Without `size` the code stays interpreted."""

    name: str
    operand: int
    compiling: float
    size: int  # bytes of the object file
    running: float  # 30 million gas, or all that the code can use of it
    wrong: tuple[str, ...]


def measure(row: Opcode, operand: int) -> Measured:
    """Through the compiling process, as in a node."""
    code = bomb(row, operand)
    begun = _used_by_children()
    found = _compiled(code)
    compiling = _used_by_children() - begun
    machine = NativeInterpreter(cache=CACHE, jit=JitSettings(cached_files_max=0))
    native, tier = load_native(CACHE), machine.tier
    assert native is not None and tier is not None
    wrong = differences(Case(code, world(), gas=SLOW_GAS, data=b""), machine)
    if found:  # it has been met, and gets its functions now
        rules = next(iter(machine._rules.values()))
        ready = rules.codes.of(code)
        compiled = load_compiled(found, native)
        ready.use_compiled(compiled.functions, compiled.owners)
        tier.changes += 1
        wrong += differences(Case(code, world(), gas=SLOW_GAS, data=b""), machine)
    case = Case(code, world(), gas=WHOLE_GAS, data=b"")
    begun = time.process_time()
    case.run(machine)
    running = time.process_time() - begun
    tier.close()
    return Measured(row.name, operand, compiling, len(found), running, tuple(wrong))


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _compiled(code: bytes) -> bytes:
    """The object file; empty where the limits do not allow one."""
    shop = Workshop(JitSettings())
    shop.give(Job(code, tuple(_PRICES)))
    try:
        while True:
            found = shop.poll()
            if found is not None:
                return found
            process = shop._process
            if process is not None and not shop._sending:
                select.select([process.stdout], [], [])
    finally:
        shop.close()  # and then its time is known


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="opcodes; all when none is named")
    parser.add_argument("--operand", type=lambda text: int(text, 0), default=1)
    arguments = parser.parse_args()
    rows = [row for row in ROWS if not arguments.names or row.name in arguments.names]
    all_measured: list[Measured] = []
    for row in rows:
        measured = measure(row, arguments.operand)
        all_measured.append(measured)
        print(
            f"{measured.name:15} compiled in {measured.compiling:6.2f} s "
            f"to {measured.size:9,} bytes, run in {1000 * measured.running:7.0f} ms  "
            + "; ".join(measured.wrong),
            flush=True,
        )
    for name in ("compiling", "running"):
        worst = max(all_measured, key=lambda measured: getattr(measured, name))
        print(f"longest {name}: {worst.name}, {getattr(worst, name):.2f} s")
    refused = [measured.name for measured in all_measured if not measured.size]
    print("not compiled:", ", ".join(refused) or "none")
    return 1 if any(measured.wrong for measured in all_measured) else 0


if __name__ == "__main__":
    sys.exit(main())
