"""Other virtual machines that run the VM benchmarks' programs: revm, py-evm, @ethereumjs/evm.

revm is pyrevm from PyPI. A message to it is a whole transaction with its fees, but it ends no
transaction: slots stay warm from one message to the next, and original values are those
from before the first. So ours, where compared, runs in one transaction too.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from chain.types import Address
from tests.benchmarks.programs import RICH, TARGET, USER, Program

ROUNDS_OF_FIRST: Final = 12  # as many worlds are made for a program that wants new ones
Run = Callable[[], int]  # all of a program's messages once; gives the gas they used

_HERE: Final = Path(__file__).resolve().parent / "evmjs"
_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "npm"


def intrinsic(program: Program) -> int:
    return 21_000 + sum(16 if byte else 4 for byte in program.data)


def revm(program: Program) -> Run:
    import pyrevm

    def world() -> Any:
        evm = pyrevm.EVM(gas_limit=2**63, spec_id="CANCUN")
        for address, code in program.codes.items():
            evm.insert_account_info(_text(address), pyrevm.AccountInfo(code=code, balance=RICH))
            for slot, value in program.storage.get(address, {}).items():
                evm.insert_account_storage(_text(address), slot, value)
        evm.set_balance(_text(USER), RICH)
        return evm

    worlds = [world() for _ in range(ROUNDS_OF_FIRST if program.first else 1)]
    user, target, before = _text(USER), _text(TARGET), intrinsic(program)

    def run() -> int:
        used = 0
        evm = worlds.pop() if program.first else worlds[0]
        for _ in range(program.repeats):
            evm.message_call(user, target, calldata=program.data, gas=program.gas)
            used += evm.result.gas_used - before
        return used

    return run


def py_evm(program: Program) -> Run:
    from eth.constants import BLANK_ROOT_HASH
    from eth.db.atomic import AtomicDB
    from eth.vm.execution_context import ExecutionContext
    from eth.vm.forks.cancun import CancunVM
    from eth.vm.message import Message
    from eth.vm.transaction_context import BaseTransactionContext

    sys.setrecursionlimit(100_000)
    context = ExecutionContext(USER, 1, 1, 0, bytes(32), program.gas, [], 1, 0, 0)
    state: Any = CancunVM.get_state_class()(AtomicDB(), context, BLANK_ROOT_HASH)
    for address, code in program.codes.items():
        state.set_balance(address, RICH)
        state.set_nonce(address, 1)
        state.set_code(address, code)
        for slot, value in program.storage.get(address, {}).items():
            state.set_storage(address, slot, value)
    state.set_balance(USER, RICH)
    state.persist()
    transaction = BaseTransactionContext(gas_price=0, origin=USER)
    message = Message(program.gas, TARGET, USER, 0, program.data, program.codes[TARGET])

    def run() -> int:
        used = 0
        for _ in range(program.repeats):
            result = state.computation_class.apply_message(state, message, transaction)
            result.raise_if_error()
            used += result.get_gas_used()
        return used

    return run


def ethereumjs_us(program: Program, rounds: int) -> float:
    """Microseconds of the fastest message; RuntimeError where Node.js or npm is missing."""
    modules = _modules()
    asked = {
        "codes": {_text(address): "0x" + code.hex() for address, code in program.codes.items()},
        "storage": {
            _text(address): {_word(slot): _word(value) for slot, value in slots.items()}
            for address, slots in program.storage.items()
        },
        "user": _text(USER),
        "target": _text(TARGET),
        "data": "0x" + program.data.hex(),
        "gas": program.gas,
        "rounds": rounds,
    }
    finished = subprocess.run(
        ["node", str(_HERE / "run.mjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=os.environ | {"EVM_MODULES": str(modules)},
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr[-300:])
    return float(json.loads(finished.stdout)["us"])


def _modules() -> Path:
    """The folder of the installed packages."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise RuntimeError("Node.js with npm is not installed")
    lock = (_HERE / "package-lock.json").read_bytes()
    folder = _CACHE / sha256(lock).hexdigest()[:16]
    complete = folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, folder / name)
        command = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund",
                   "--loglevel=error", f"--cache={_CACHE / 'downloads'}"]  # fmt: skip
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise RuntimeError(f"npm failed: {finished.stderr[:300]}")
        complete.touch()
    return folder / "node_modules"


def _text(address: Address) -> str:
    return "0x" + address.hex()


def _word(number: int) -> str:
    return "0x" + number.to_bytes(32, "big").hex()
