"""Traces of compiled code: what it does to each opcode, one by one."""

import pytest

from chain.forks import OSAKA
from chain.machine import Machine
from contracts.vm import Interpreter
from contracts.vm.native.assembly import word
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit import pieces, writer
from contracts.vm.native.jit.compiler import assembly_of, prices_of
from contracts.vm.native.jit.flow import Exit, flow_of
from contracts.vm.native.jit.settings import JitSettings
from node.conformance.steps import Traced
from tests.contracts.vm.laboratory import OTHER, RETURN_TOP, assemble
from tests.contracts.vm.native.both import CACHE, Case, case_of, effects
from tests.contracts.vm.native.jit.compiled import agree
from tests.contracts.vm.native.test_native_interpreter import KINDS, twice, world

PRICES = prices_of(OSAKA)
LOOP = assemble("3 JUMPDEST 1 SWAP1 SUB DUP1 PUSH1 2 JUMPI 7 XOR GAS " + RETURN_TOP)


def tracing() -> NativeInterpreter:
    settings = JitSettings(at_once=True, opcode_by_opcode=True, cached_files_max=0)
    return NativeInterpreter(cache=CACHE, jit=settings, traces=True)


def lines_of(case: Case, machine: Machine) -> list[str]:
    lines: list[str] = []
    case.run(Traced(machine, lines.append))
    return lines


def same_lines(case: Case, machine: NativeInterpreter) -> list[str]:
    expected, got = lines_of(case, Interpreter()), lines_of(case, machine)
    assert got == expected
    # Without a tracer, too:
    assert effects(*case.run(machine), case.fork) == effects(*case.run(Interpreter()), case.fork)
    return got


@pytest.fixture(scope="module")
def machine() -> NativeInterpreter:
    return tracing()


def test_a_wrong_opcode_of_compiled_code_is_where_the_traces_part(monkeypatch):
    """Only the compiler is wrong: the interpreters' lines are the same."""
    compute = writer._Writer._compute

    def wrong(self, instruction, *rest):
        result = compute(self, instruction, *rest)
        if instruction.opcode.name != "XOR":
            return result
        return result + 1 if isinstance(result, int) else self.f.add(result, word(1))

    monkeypatch.setattr(writer._Writer, "_compute", wrong)
    case = Case(LOOP, world())
    expected, got = lines_of(case, Interpreter()), lines_of(case, tracing())
    parted = next(at for at, pair in enumerate(zip(expected, got)) if pair[0] != pair[1])
    assert '"opName":"XOR"' in expected[parted - 1] and '"stack":["0x7"]' in expected[parted]
    assert '"stack":["0x8"]' in got[parted]
    monkeypatch.undo()
    assert lines_of(case, tracing()) == expected


def test_compiled_code_is_what_is_traced(machine):
    """Its functions are at every opcode that it does itself."""
    same_lines(Case(LOOP, world()), machine)
    rules = next(iter(machine._rules.values()))
    ready = rules.codes.known(LOOP)
    assert ready.compiled
    entries = sum(line.startswith("define") for line in
                  assembly_of(LOOP, PRICES, opcode_by_opcode=True).splitlines()
                  if "@region_" in line)  # fmt: skip
    opcodes = len(flow_of(LOOP, PRICES).blocks)
    assert entries > 10 > opcodes


@pytest.mark.parametrize("gas", [0, 3, 20, 61, 75, 100, 2_300, 60_000])
def test_lines_end_where_gas_does(gas, machine):
    same_lines(Case(LOOP, world(), gas=gas), machine)
    same_lines(case_of(f"1 SLOAD 5 1 SSTORE 1 SLOAD 9 2 TSTORE {RETURN_TOP}", gas=gas), machine)


@pytest.mark.parametrize("code", ["5b50", "60015b0150", "5f5b90", "5f5b81", "0c", "5b0c", "60"])
def test_lines_end_where_code_fails(code, machine):
    same_lines(Case(bytes.fromhex(code), world()), machine)


def test_the_stack_overflows_on_the_same_line(machine):
    assert len(same_lines(Case(b"\x5f" * 1_030, world()), machine)) == 1_026  # and the end


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_told_of_in_their_frames(kind, machine):
    view = world()
    callee = "0 CALLDATALOAD 5 SLOAD ADD 1 ADD DUP1 5 SSTORE 0 MSTORE 64 0 RETURN"
    view.put(OTHER, code=assemble(callee), storage={5: 1})
    lines = same_lines(case_of(f"{twice(kind)} {twice(kind)} ADD {RETURN_TOP}", view=view), machine)
    assert any('"depth":2' in line for line in lines)


def test_computed_jumps_are_followed_wherever_they_lead(machine):
    text = (
        "PUSH1 7 PUSH1 6 PUSH1 20 JUMP JUMPDEST PUSH1 14 PUSH1 20 JUMP STOP JUMPDEST "
        f"{RETURN_TOP} STOP JUMPDEST SWAP1 1 ADD SWAP1 JUMP"
    )
    code = bytearray(assemble(text))
    places = [at for at, byte in enumerate(code) if byte == 0x5B]
    code[3], code[5], code[9], code[11] = places[0], places[2], places[1], places[2]
    for target in (places[0], *range(0, len(code) + 2, 3)):
        code[3] = target
        same_lines(Case(bytes(code)), machine)


def test_a_destination_that_only_arithmetic_gives_forgets_what_was_known(machine):
    """Run into, the word on top is 5; jumped to, it is another."""
    code = assemble("9 0 CALLDATALOAD PUSH1 9 JUMPI POP 5 JUMPDEST 2 SHL " + RETURN_TOP)
    at = code.index(0x5B)
    hidden = code.replace(b"\x60\x09\x57", bytes([0x60, at - 1]) + b"\x57")
    flow = pieces.cut(flow_of(hidden, PRICES))
    assert flow.blocks[at + 1].known == {}
    for data in (b"", b"\1" * 32):
        same_lines(Case(hidden, data=data), machine)


def test_pieces_are_single_opcodes_that_know_what_their_block_does():
    code = assemble("5 DUP1 ADD CALLDATASIZE SWAP1 SHL PUSH1 14 JUMPI STOP STOP STOP STOP JUMPDEST")
    flow = pieces.cut(flow_of(code, PRICES))
    names = {at: piece.instructions[0].opcode.name if piece.instructions else piece.exit
             for at, piece in flow.blocks.items()}  # fmt: skip
    assert names == {0: "PUSH1", 2: "DUP1", 3: "ADD", 4: "CALLDATASIZE", 5: "SWAP1", 6: "SHL",
                     7: "PUSH1", 9: Exit.BRANCH, 14: "JUMPDEST"}  # fmt: skip
    assert flow.blocks[3].known == {-1: 5, -2: 5}
    assert flow.blocks[5].known == {-2: 10} and flow.blocks[6].known == {-1: 10}
    assert flow.blocks[9].known == {-1: 14}
    assert flow.blocks[9].target == 14 and flow.blocks[9].after == 10


def test_without_traces_compiled_code_knows_nothing_of_them():
    assert "chain_vm_opcode_" not in assembly_of(LOOP, PRICES)
    assert "chain_vm_opcode_" in assembly_of(LOOP, PRICES, opcode_by_opcode=True)
    agree(Case(LOOP, world()))
