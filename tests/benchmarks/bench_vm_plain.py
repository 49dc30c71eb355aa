"""Contract execution in the plain interpreter beside py-evm, interleaved in one process.

Run with `make bench B=vm_plain`. For every case both run the same message on the
same state until neither got faster for a while, in turns, and must use the same gas.
What is printed: the best time of each in milliseconds, their ratio, and our gas per second.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import vyper
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague import PragueVM
from eth.vm.message import Message as PeerMessage
from eth.vm.transaction_context import BaseTransactionContext

from chain.crypto.keccak import keccak
from chain.forks import PRAGUE
from chain.machine import BlockContext, Message, TransactionContext
from chain.state import Account, State
from chain.types import Address, Hash
from contracts.vm import Interpreter

ROUNDS = 7
CALLER = Address(b"\x11" * 20)
TARGET = Address(b"\x22" * 20)
GAS = 30_000_000
RICH = 10**24

TOKEN = """
# pragma version ~=0.4.0
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

balances: HashMap[address, uint256]

@external
def transfer(receiver: address, amount: uint256) -> bool:
    self.balances[msg.sender] -= amount
    self.balances[receiver] += amount
    log Transfer(sender=msg.sender, receiver=receiver, amount=amount)
    return True
"""

SORT = """
# pragma version ~=0.4.0
@external
def run() -> uint256:
    items: uint256[64] = empty(uint256[64])
    seed: uint256 = 1
    for i: uint256 in range(64):
        seed = (seed * 1103515245 + 12345) % 2147483648
        items[i] = seed
    for i: uint256 in range(64):
        for j: uint256 in range(63):
            if items[j] > items[j + 1]:
                swap: uint256 = items[j]
                items[j] = items[j + 1]
                items[j + 1] = swap
    return items[0]
"""


class Case(NamedTuple):
    name: str
    code: bytes
    data: bytes
    storage: dict[int, int]
    repeats: int


def loop(body: str, rounds: int) -> bytes:
    """`body` in hex, run so many times; the counter stays on top of the stack around it."""
    return bytes.fromhex(f"63{rounds:08x}5b{body}6001900380600557" + "00")


def runtime(source: str) -> bytes:
    compiled = vyper.compile_code(source, output_formats=["bytecode_runtime"])
    return bytes.fromhex(compiled["bytecode_runtime"][2:])


def cases() -> list[Case]:
    transfer = (
        keccak(b"transfer(address,uint256)")[:4] + bytes(12) + b"\x33" * 20 + bytes(31) + b"\x01"
    )
    # Vyper keeps a mapping's entry at keccak(slot of the mapping, key).
    entry = int.from_bytes(keccak(bytes(32) + bytes(12) + CALLER), "big")
    callee = "5f5f5f5f5f305af150"  # calls itself; without data it must return at once
    return [
        Case("token transfer", runtime(TOKEN), transfer, {entry: RICH}, 200),
        Case("sort 64 (vyper)", runtime(SORT), keccak(b"run()")[:4], {}, 1),
        Case("count", loop("", 40_000), b"", {}, 1),
        # counter*2 * counter ^ counter < counter
        Case("add, mul, xor, lt", loop("808001810281188111" + "50", 10_000), b"", {}, 1),
        Case("mulmod, div, shifts", loop("6007818009600b0460011c60021b50", 10_000), b"", {}, 1),
        Case("memory", loop("80610fe016818152" + "5150", 10_000), b"", {}, 1),
        Case("keccak", loop("60405f2050", 10_000), b"", {}, 1),
        Case("storage", loop("80607f168054810190" + "55", 3_000), b"", {}, 1),
        Case("calls", calls(callee), b"\x01", {}, 1),
    ]


def calls(body: str) -> bytes:
    """With data: call itself without data 1,000 times; without data: stop."""
    return bytes.fromhex("36600557005b6103e85b" + body + "6001900380600957" + "00")


def our_run(case: Case) -> Callable[[], int]:
    code_hash = Hash(keccak(case.code))
    accounts = {TARGET: Account(1, RICH, code_hash=code_hash), CALLER: Account(0, RICH)}

    class View:
        def account(self, address: Address) -> Account | None:
            return accounts.get(address)

        def storage(self, address: Address, slot: int) -> int:
            return case.storage.get(slot, 0)

        def code(self, code_hash: Hash) -> bytes:
            return case.code

    machine = Interpreter()
    block = BlockContext(1, 1, CALLER, GAS, 1, 7, 0, 1, lambda number: Hash(bytes(32)))
    transaction = TransactionContext(CALLER, 10)
    message = Message(CALLER, TARGET, TARGET, 0, case.data, GAS, case.code, TARGET)
    state = State(View())

    def run() -> int:
        used = 0
        for _ in range(case.repeats):
            state.begin_transaction()
            outcome = machine.execute(message, state, block, transaction, PRAGUE)
            assert outcome.halt is None, outcome.halt
            used += GAS - outcome.gas_left
        return used

    return run


def their_run(case: Case) -> Callable[[], int]:
    context = ExecutionContext(CALLER, 1, 1, 0, bytes(32), GAS, [], 1, 7, 0)
    state: Any = PragueVM.get_state_class()(AtomicDB(), context, _empty_root())
    state.set_balance(TARGET, RICH)
    state.set_nonce(TARGET, 1)
    state.set_code(TARGET, case.code)
    state.set_balance(CALLER, RICH)
    for slot, value in case.storage.items():
        state.set_storage(TARGET, slot, value)
    state.persist()
    transaction = BaseTransactionContext(gas_price=10, origin=CALLER)
    message = PeerMessage(GAS, TARGET, CALLER, 0, case.data, case.code)

    def run() -> int:
        used = 0
        for _ in range(case.repeats):
            state.lock_changes()
            result = state.computation_class.apply_message(state, message, transaction)
            result.raise_if_error()
            used += result.get_gas_used()
        return used

    return run


def _empty_root() -> bytes:
    from eth.constants import BLANK_ROOT_HASH

    return BLANK_ROOT_HASH


def timed(run: Callable[[], int]) -> tuple[float, int]:
    start = time.perf_counter()
    gas = run()
    return time.perf_counter() - start, gas


def main() -> None:
    sys.setrecursionlimit(10_000)
    print(f"{'case':22}{'ours ms':>10}{'py-evm ms':>11}{'ratio':>8}{'Mgas/s':>9}")
    ratios = []
    for case in cases():
        ours, theirs = our_run(case), their_run(case)
        best = [float("inf"), float("inf")]
        for _ in range(ROUNDS):
            for side, run in enumerate((ours, theirs)):
                seconds, gas = timed(run)
                best[side] = min(best[side], seconds)
                if side == 0:
                    our_gas = gas
        same = our_gas == gas
        ratio = best[1] / best[0]
        ratios.append(ratio)
        print(
            f"{case.name:22}{best[0] * 1e3:10.2f}{best[1] * 1e3:11.2f}{ratio:8.1f}"
            f"{our_gas / best[0] / 1e6:9.1f}" + ("" if same else f"  gas {our_gas} != {gas}")
        )
    product = 1.0
    for ratio in ratios:
        product *= ratio
    print(f"{'geometric mean':22}{'':21}{product ** (1 / len(ratios)):8.1f}")


if __name__ == "__main__":
    main()
