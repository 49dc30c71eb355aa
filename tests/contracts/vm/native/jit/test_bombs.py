"""24 KB of an opcode: compiled as in a node, or refused, and run as the definition runs it.

A few opcodes, chosen by CHAIN_BOMBS_SEED; all of them with CHAIN_BOMBS_ALL=1, or `make bombs`.
"""

import os
from random import Random

import pytest

from chain.forks import OSAKA
from chain.machine import Halt
from contracts.vm import OPCODES, Interpreter
from contracts.vm.native.jit.compiler import prices_of
from contracts.vm.native.jit.flow import flow_of
from tests.contracts.vm.native.both import Case
from tests.contracts.vm.native.jit.bombs import OPERANDS, ROWS, SIZE, bomb, measure
from tests.contracts.vm.native.jit.compiled import agree
from tests.contracts.vm.native.test_native_interpreter import world

CHOSEN = 2
SEED = os.environ.get("CHAIN_BOMBS_SEED", "5")
EVERY = bool(os.environ.get("CHAIN_BOMBS_ALL"))
SELECTED = ROWS if EVERY else tuple(Random(int(SEED)).sample(ROWS, CHOSEN))
BY_NAME = {row.name: row for row in OPCODES.values()}


@pytest.mark.parametrize("row", SELECTED, ids=[row.name for row in SELECTED])
def test_a_bomb_is_compiled_or_refused_and_does_the_same(row):
    measured = measure(row, Random(f"{SEED} {row.name}").choice(OPERANDS))
    assert not measured.wrong


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_short_bombs_of_every_opcode_do_the_same_compiled(row):
    """In rounds, until the gas is gone or something else is wrong."""
    for operand in Random(f"{SEED} {row.name}").sample(OPERANDS, 2):
        code = bomb(row, operand, size=100)
        agree(Case(code, world(), gas=40_000, data=b""))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_bomb_is_full_of_its_opcode(row):
    code = bomb(row, 1)
    assert SIZE - 40 <= len(code) <= SIZE
    assert code.count(row.code) >= SIZE // (20 + row.operand_bytes)


def test_bombs_go_off_until_the_gas_is_gone():
    """What computes and jumps does, round after round; and all of it is the compiler's."""
    for name in ("ADD", "MULMOD", "SHL", "SWAP3", "DUP1", "PUSH32", "JUMP", "JUMPI", "MLOAD"):
        outcome, _ = Case(bomb(BY_NAME[name], 1), world(), gas=300_000, data=b"").run(Interpreter())
        assert outcome.halt is Halt.OUT_OF_GAS, name
        flow = flow_of(bomb(BY_NAME[name], 1), prices_of(OSAKA))
        compiled = sum(len(block.instructions) for block in flow.blocks.values())
        assert compiled > SIZE // (4 + BY_NAME[name].operand_bytes), name
