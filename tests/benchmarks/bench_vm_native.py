"""Contracts on the native interpreter and compiled, beside revm (pyrevm), interleaved.

Run with `make bench-vm`; `--chart FILE` also draws the ratios. For every program all three send the
same messages to the same state in one process, in turns; the best round of each counts, and
the gas must be the same. A message to us is Machine.execute with all its effects in the
living state; revm too keeps them between messages. "Never seen" has a new state each round.
Ratios above 1 mean that we are faster. The compiled side's code is compiled before, as it
is in a node that has run for a while; what comes before that, and cold starts, have rows
of their own. Two programs are also run by py-evm and @ethereumjs/evm.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from chain.crypto.keccak import keccak
from chain.forks import CANCUN
from chain.machine import BlockContext, Message, TransactionContext
from chain.state import Account, State
from chain.types import Address, Hash
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.objects import user_cache
from tests.benchmarks.bars import chart
from tests.benchmarks.evm_peers import ROUNDS_OF_FIRST, Run, ethereumjs_us, intrinsic, py_evm, revm
from tests.benchmarks.programs import RICH, TARGET, USER, Program, programs
from tests.benchmarks.table import machine, settle, show

SECONDS = 1.0  # for each program, all sides together
ROUNDS_MIN = 5
# What is asked of each group: native interpreter and compiled, as ratios to revm.
WANTED: Final = {"loops": (1.5, 10.0), "heavy": (1.2, 1.5), "token": (1.5, 1.5),
                 "public": (1.5, 3.0), "calls": (1.0, None), "worst": (1.0, None)}  # fmt: skip
FOR_SCALE: Final = ("mix", "transfer")


class View:
    """The program's world."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.codes = {Hash(keccak(code)): code for code in program.codes.values()}
        self.accounts = {
            address: Account(1, RICH, code_hash=Hash(keccak(code)))
            for address, code in program.codes.items()
        }
        self.accounts[USER] = Account(0, RICH)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.program.storage.get(address, {}).get(slot, 0)

    def code(self, code_hash: Hash) -> bytes:
        return self.codes[code_hash]


def our_run(program: Program, ours: NativeInterpreter) -> Run:
    block = BlockContext(1, 1, USER, program.gas, 1, 0, 0, 1, lambda number: Hash(bytes(32)))
    transaction = TransactionContext(USER, 0)
    code = program.codes[TARGET]
    message = Message(USER, TARGET, TARGET, 0, program.data, program.gas, code, TARGET)
    before = intrinsic(program)

    def world() -> State:
        state = State(View(program))
        state.begin_transaction()
        for address in (USER, TARGET, *(Address(bytes(19) + bytes([n])) for n in range(1, 11))):
            state.warm_address(address)
        return state

    worlds = [world() for _ in range(ROUNDS_OF_FIRST if program.first else 1)]

    def run() -> int:
        used = 0
        state = worlds.pop() if program.first else worlds[0]
        for _ in range(program.repeats):
            state.refund = 0
            outcome = ours.execute(message, state, block, transaction, CANCUN)
            assert outcome.halt is None, outcome.halt
            gas = program.gas - outcome.gas_left
            used += gas - min(state.refund, (before + gas) // 5)  # EIP-3529
        return used

    return run


def timed(run: Run) -> tuple[float, int]:
    start = time.perf_counter()
    gas = run()
    return time.perf_counter() - start, gas


def best_of(
    sides: Sequence[Run], seconds: float, rounds_max: int = 10**9
) -> tuple[list[float], list[int]]:
    """The best round of each, in seconds, and the gas of the last one."""
    gas = [run() for run in sides]
    best = [float("inf")] * len(sides)
    settle()
    start, rounds = time.perf_counter(), 0
    while rounds < ROUNDS_MIN or (rounds < rounds_max and time.perf_counter() - start < seconds):
        for side, run in enumerate(sides):
            took, gas[side] = timed(run)
            best[side] = min(best[side], took)
        rounds += 1
    return best, gas


# -- cold starts --

_FIRST_CALL: Final = """
import sys, time
from pathlib import Path
from tests.benchmarks import bench_vm_native as bench
from contracts.vm.native.interpreter import NativeInterpreter
jit = bench.JitSettings(at_once=True) if sys.argv[2] == "jit" else None
first, second = bench.unseen_programs()
start = time.perf_counter()
ours = NativeInterpreter(cache=Path(sys.argv[1]), jit=jit)
print(time.perf_counter() - start)
for program in (first, second):
    run = bench.our_run(program, ours)
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start)
"""


def unseen_programs() -> tuple[Program, Program]:
    """One message to a token, and one to a token whose code nobody has seen."""
    token = next(program for program in programs() if program.name == "transfer")
    once = token._replace(repeats=1)
    other = {TARGET: once.codes[TARGET] + b"\x00"}
    return once, once._replace(codes=other)


def cold_starts() -> list[tuple[str, float, float, float]]:
    """Milliseconds until a new process has native code, of its first message, and of the first one
    to another contract. The compiled tier compiles before it runs here; a node does not wait.
    """
    found = []
    root = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as folder:
        for tier in ("native", "jit"):
            for name in ("without cache", "with cache"):
                place = str(Path(folder) / tier)
                done = subprocess.run(
                    [sys.executable, "-c", _FIRST_CALL, place, tier],
                    check=True, capture_output=True, text=True, cwd=root,
                )  # fmt: skip
                start, first, second = (1e3 * float(part) for part in done.stdout.split())
                found.append((f"{tier}, {name}", start, first, second))
    return found


# -- the table --


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="bench-vm", description=__doc__)
    parser.add_argument("--chart", type=Path, help="where to write the ratios as SVG")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each program")
    parser.add_argument("--only", default="", help="programs whose names have this in them")
    options = parser.parse_args(list(arguments))
    try:
        peer = version("pyrevm")
    except PackageNotFoundError:
        print("pyrevm is not installed; there are wheels for Python 3.11 and 3.12 only")
        return
    native = NativeInterpreter(cache=user_cache())
    compiled = NativeInterpreter(cache=user_cache(), jit=JitSettings(at_once=True))
    print(f"{machine()}; pyrevm {peer}")
    rows, drawn = [], []
    for program in programs():
        if options.only not in program.name:
            continue
        sides = (our_run(program, native), our_run(program, compiled), revm(program))
        rounds_max = ROUNDS_OF_FIRST - 1 if program.first else 10**9
        best, gas = best_of(sides, options.seconds, rounds_max)
        us = [1e6 * seconds / program.repeats for seconds in best]
        ratios = [us[2] / us[0], us[2] / us[1]]
        same = "" if len(set(gas)) == 1 else f"gas {gas}"
        texts = [f"{ratio:.2f}" for ratio in ratios]
        rows.append([program.name, *us, *texts, _verdict(program, ratios), same])
        drawn.append((program.name, *texts))
    show(("program", "native us", "jit us", "revm us", "native/revm", "jit/revm", "", ""), rows)
    if not options.only:
        _show_scale(native)
        print()
        title = ("cold start", "ready ms", "first message ms", "to another contract ms")
        show(title, cold_starts())
    if options.chart is not None:
        title = f"Times faster than revm (pyrevm {peer})"
        text = chart(title, f"{machine()}; make bench-vm", ("native interpreter", "JIT"), drawn)
        options.chart.write_text(text)


def _verdict(program: Program, ratios: Sequence[float]) -> str:
    wanted = WANTED.get(program.group, (None, None))
    short = [
        f"{name} wants {least:g}"
        for name, ratio, least in zip(("native", "jit"), ratios, wanted)
        if least is not None and ratio < least
    ]
    return ", ".join(short)


def _show_scale(native: NativeInterpreter) -> None:
    """Machines that are slower by powers of ten, a few rounds each."""
    rows = []
    for program in programs():
        if program.name not in FOR_SCALE:
            continue
        ours, peers = our_run(program, native), py_evm(program)
        best, _ = best_of((ours, peers), 0.0)
        us = [1e6 * seconds / program.repeats for seconds in best]
        rows.append([program.name, us[0], us[1], _or_why(lambda p=program: ethereumjs_us(p, 20))])
    print()
    show(("for scale", "native us", "py-evm us", "@ethereumjs/evm us"), rows)


def _or_why(measure: Callable[[], float]) -> float | str:
    try:
        return measure()
    except RuntimeError as error:
        return str(error)[:60]


if __name__ == "__main__":
    main(sys.argv[1:])
