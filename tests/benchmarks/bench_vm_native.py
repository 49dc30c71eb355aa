"""Contract execution on the native interpreter beside revm (pyrevm), interleaved in one process.

Run with `make bench B=vm_native`. For every program both send the same message to the
same state, in turns; the best of each counts, and the gas must be the same. A message
to pyrevm is a whole transaction with its fees; between two of them it keeps slots warm and
counts them as already written, so that token messages cost it less gas. To us it is
machine.execute, and what it changes stays in the living state. Where the two used different
gas, both numbers are printed. Ratios above 1 mean that we are faster.
"""

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chain.crypto.keccak import keccak
from chain.forks import CANCUN
from chain.machine import BlockContext, Message, TransactionContext
from chain.state import Account, State
from chain.types import Address, Hash
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.objects import user_cache
from tests.benchmarks.programs import RICH, TARGET, USER, Program, programs
from tests.benchmarks.table import machine, show

SECONDS = 1.0  # for each program, both sides together
ROUNDS_MIN = 5


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


def our_run(program: Program, ours: NativeInterpreter) -> Callable[[], int]:
    block = BlockContext(1, 1, USER, program.gas, 1, 0, 0, 1, lambda number: Hash(bytes(32)))
    transaction = TransactionContext(USER, 0)
    code = program.codes[TARGET]
    message = Message(USER, TARGET, TARGET, 0, program.data, program.gas, code, TARGET)
    state = State(View(program))
    before = intrinsic(program)

    def run() -> int:
        used = 0
        for _ in range(program.repeats):
            state.begin_transaction()
            state.warm_address(USER)
            state.warm_address(TARGET)
            outcome = ours.execute(message, state, block, transaction, CANCUN)
            assert outcome.halt is None, outcome.halt
            gas = program.gas - outcome.gas_left
            used += gas - min(state.refund, (before + gas) // 5)  # EIP-3529
        return used

    return run


def intrinsic(program: Program) -> int:
    return 21_000 + sum(16 if byte else 4 for byte in program.data)


def their_run(program: Program) -> Callable[[], int]:
    import pyrevm

    evm = pyrevm.EVM(gas_limit=2**63, spec_id="CANCUN")
    for address, code in program.codes.items():
        evm.insert_account_info(_text(address), pyrevm.AccountInfo(code=code, balance=RICH))
        for slot, value in program.storage.get(address, {}).items():
            evm.insert_account_storage(_text(address), slot, value)
    evm.set_balance(_text(USER), RICH)
    user, target, before = _text(USER), _text(TARGET), intrinsic(program)

    def run() -> int:
        used = 0
        for _ in range(program.repeats):
            evm.message_call(user, target, calldata=program.data, gas=program.gas)
            used += evm.result.gas_used - before
        return used

    return run


def _text(address: Address) -> str:
    return "0x" + address.hex()


def timed(run: Callable[[], int]) -> tuple[float, int]:
    start = time.perf_counter()
    gas = run()
    return time.perf_counter() - start, gas


def cold_starts() -> list[tuple[str, float]]:
    """Milliseconds until there is native code: compiled, and from the cache."""
    script = (
        "import sys, time; from pathlib import Path; t = time.perf_counter();"
        "from contracts.vm.native.interpreter import NativeInterpreter;"
        "NativeInterpreter(cache=Path(sys.argv[1])); print(time.perf_counter() - t)"
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("without cache", "from the cache"):
            command = [sys.executable, "-c", script, str(Path(folder) / "native")]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append((name, float(done.stdout) * 1e3))
    return found


def main() -> None:
    try:
        peer = version("pyrevm")
    except PackageNotFoundError:
        print("pyrevm is not installed; there are wheels for Python 3.11 and 3.12 only")
        return
    ours = NativeInterpreter(cache=user_cache())
    print(f"{machine()}; pyrevm {peer}")
    rows = []
    for program in programs():
        sides = (our_run(program, ours), their_run(program))
        best, gas = [float("inf")] * 2, [0, 0]
        for side, run in enumerate(sides):
            gas[side] = run()
        gc.collect()
        start, rounds = time.perf_counter(), 0
        while rounds < ROUNDS_MIN or time.perf_counter() - start < SECONDS:
            for side, run in enumerate(sides):
                seconds, gas[side] = timed(run)
                best[side] = min(best[side], seconds)
            rounds += 1
        us = [1e6 * seconds / program.repeats for seconds in best]
        rows.append([program.name, *us, f"{us[1] / us[0]:.2f}",
                     "" if gas[0] == gas[1] else f"gas {gas[0]:,} != {gas[1]:,}"])  # fmt: skip
    show(("program", "native us", "revm us", "ratio", ""), rows)
    for name, milliseconds in cold_starts():
        print(f"first native code of a process, {name}: {milliseconds:.0f} ms")
