"""Running code: jumps, gas to the unit, and the three ways to run that must agree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.forks import FORKS, FRONTIER, OSAKA
from chain.machine import Halt
from contracts.vm import OPCODES, Interpreter, program
from contracts.vm.program import Programs, jump_destinations
from tests.contracts.vm.laboratory import OTHER, RETURN_TOP, TARGET, View, assemble, run


class Recorder:
    """A tracer that keeps everything."""

    wants_steps = True

    def __init__(self):
        self.steps = []
        self.enters = []
        self.exits = []

    def on_step(self, pc, opcode, gas, cost, frame):
        self.steps.append((pc, OPCODES[opcode].name if opcode in OPCODES else "?", gas, cost))

    def on_enter(self, kind, caller, address, code_address, data, gas, value):
        self.enters.append((kind, caller, address, code_address, data, gas, value))

    def on_exit(self, output, gas_used, halt):
        self.exits.append((output, gas_used, halt))


# -- jumps --


def naive_destinations(code: bytes) -> set[int]:
    found, pc = set(), 0
    while pc < len(code):
        if code[pc] == 0x5B:
            found.add(pc)
        pc += 1 + (code[pc] - 0x5F if 0x60 <= code[pc] <= 0x7F else 0)
    return found


pushy = st.lists(st.sampled_from([0x5B, 0x60, 0x61, 0x7F, 0x7B, 0x7C, 0x00, 0x5A, 0xFF])).map(bytes)


@given(st.one_of(pushy, st.binary(max_size=200)))
def test_jump_destinations_leave_out_push_data(code):
    assert jump_destinations(code) == naive_destinations(code)


def test_a_jump_into_push_data_halts():
    assert run(bytes.fromhex("600456005b00")).halt is None
    assert run(bytes.fromhex("600556615b5b00")).halt is Halt.BAD_JUMP
    assert run(bytes.fromhex("605056")).halt is Halt.BAD_JUMP


def test_a_jump_far_beyond_the_code_halts():
    assert run(f"{2**255} JUMP").halt is Halt.BAD_JUMP


def test_a_conditional_jump_with_a_bad_target_halts_only_when_taken():
    assert run("0 99 JUMPI STOP").halt is None
    assert run("1 99 JUMPI STOP").halt is Halt.BAD_JUMP


def test_a_destination_at_zero_is_found_whatever_stands_before_the_jump():
    """The word before JUMP is computed, not pushed, though a destination 0 exists."""
    code = assemble("JUMPDEST GAS 1000 GT PUSH1 17 ADD JUMP") + bytes([0] * 8)
    assert run(code, gas=50_000).halt is Halt.BAD_JUMP


def test_jumps_to_computed_destinations_work():
    code = "CALLDATASIZE PUSH1 6 ADD JUMP INVALID JUMPDEST 7 0 MSTORE 32 0 RETURN"
    assert run(code, data=b"").word == 7 and assemble(code)[6] == 0x5B


def test_a_push_at_the_end_of_the_code_reads_zeros():
    assert run(bytes.fromhex("61ff")).halt is None
    assert run(assemble("GAS POP") + b"\x7f").halt is None


def test_pc_gives_the_position_of_its_opcode():
    assert run(f"PUSH1 0 POP PC {RETURN_TOP}").word == 3


# -- gas --


def cost(code: str, **kwargs) -> int:
    result = run(code, **kwargs)
    assert result.halt is None
    return result.gas_used


@pytest.mark.parametrize(
    ("code", "gas"),
    [
        ("", 0),
        ("1 2 ADD", 9),
        ("1 2 MUL", 11),
        ("PUSH0 JUMPDEST", 3),
        ("300 2 EXP", 3 + 3 + 10 + 50 * 2),
        ("0 2 EXP", 16),
        ("0 0 KECCAK256", 6 + 30),
        ("33 0 KECCAK256", 6 + 30 + 12 + 6),
        ("5 0 LOG0", 6 + 375 + 8 * 5 + 3),
        ("4 3 2 1 0 0 LOG4", 18 + 375 * 5),
        ("0 MLOAD", 3 + 3 + 3),
        ("1 0 MSTORE8", 9 + 3),
        ("1000 MLOAD", 6 + 3 * 33 + 33 * 33 // 512),
        ("40 0 0 CALLDATACOPY", 9 + 3 + 2 * 3 + 2 * 3),
        ("0 0 9999999 CALLDATACOPY", 12),
        ("ADDRESS BALANCE", 2 + 100),
        ("7 BALANCE", 3 + 2600),
        ("7 EXTCODESIZE 7 EXTCODEHASH", 3 + 2600 + 3 + 100),
        ("7 SLOAD 7 SLOAD", 3 + 2100 + 3 + 100),
        ("1 7 TSTORE 7 TLOAD", 6 + 100 + 3 + 100),
        ("999 BLOCKHASH", 23),
        ("0 BLOBHASH BLOBBASEFEE SELFBALANCE", 6 + 2 + 5),
    ],
)
def test_gas_is_exact_and_one_unit_less_is_not_enough(code, gas):
    assert cost(code) == gas
    if gas:
        short = run(code, gas=gas - 1)
        assert short.halt is Halt.OUT_OF_GAS
        assert short.outcome.gas_left == 0


@given(st.integers(0, 2**20), st.integers(1, 2**16))
def test_memory_costs_three_a_word_and_a_square(offset, size):
    words = (offset + size + 31) // 32
    code = f"{size} {offset} RETURN"
    assert cost(code) == 6 + 3 * words + words * words // 512


def test_memory_beyond_all_gas_halts_without_being_taken():
    for offset in (2**40, 2**64, 2**255):
        assert run(f"{offset} MLOAD", gas=2**62).halt is Halt.OUT_OF_GAS
        assert run(f"1 {offset} RETURN").halt is Halt.OUT_OF_GAS
        assert run(f"0 {offset} RETURN").halt is None


def test_gas_gives_what_is_left_after_itself():
    assert run(f"1 POP GAS {RETURN_TOP}", gas=1_000).word == 1_000 - 3 - 2 - 2


def test_an_endless_loop_ends_out_of_gas():
    result = run("JUMPDEST 0 JUMP", gas=100_000)
    assert result.halt is Halt.OUT_OF_GAS


# -- the ways to run agree --


@pytest.fixture
def at_once(monkeypatch):
    """Decode every code and translate every block when it first runs."""
    monkeypatch.setattr(program, "_FAMILIAR", 0)
    monkeypatch.setattr(program, "_HOT", 0)


CALLEE = assemble("CALLDATASIZE 3 ADD 5 SSTORE 7 0 MSTORE 64 0 RETURN")
COMMON = [0x01, 0x03, 0x10, 0x14, 0x15, 0x16, 0x34, 0x35, 0x50, 0x51, 0x52, 0x54, 0x55]
COMMON += [0x5A, 0x5B, 0x56, 0x57, 0x58, 0x5F, 0x60, 0x61, 0x80, 0x81, 0x82, 0x90, 0x91, 0xF3]
opcode_bytes = st.one_of(st.sampled_from(COMMON), st.sampled_from(sorted(OPCODES)))
pieces = st.one_of(
    opcode_bytes.map(lambda code: bytes([code])),
    st.integers(0, 70).map(lambda n: bytes([0x60, n])),
    st.integers(0, 40).map(lambda n: bytes([0x60, n, 0x56])),
    st.integers(0, 40).map(lambda n: bytes([0x60, n, 0x57])),
    st.just(assemble(f"0 0 2 0 1 {int.from_bytes(OTHER, 'big')} 30000 CALL")),
    st.just(assemble("CALLDATASIZE 1 ADD DUP1 5 SSTORE 5 SLOAD")),
)
programs = st.lists(pieces, min_size=1, max_size=40).map(b"".join)


def world() -> View:
    return View().put(OTHER, code=CALLEE, balance=5, storage={5: 9})


def outcome_of(code, fork, gas, *, tracer=None):
    view = world().put(TARGET, code=code, balance=1_000, storage={1: 2})
    result = run(code, view=view, fork=fork, gas=gas, data=b"\x01\x02\x03", tracer=tracer)
    delta = result.state.delta()
    return (
        result.outcome.gas_left,
        result.outcome.output,
        result.halt is None,
        result.state.refund,
        result.state.logs,
        delta.accounts,
        delta.storage,
    )


@settings(max_examples=300, deadline=None)
@given(programs, st.sampled_from(FORKS), st.sampled_from([300, 3_000, 60_000, 150_000]))
def test_blocks_and_single_steps_give_the_same(code, fork, gas):
    stepped = outcome_of(code, fork, gas, tracer=Recorder())
    assert outcome_of(code, fork, gas) == stepped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_FAMILIAR", 0)
        assert outcome_of(code, fork, gas) == stepped


@settings(max_examples=300, deadline=None)
@given(programs, st.sampled_from(FORKS), st.sampled_from([300, 3_000, 60_000, 150_000]))
def test_translated_blocks_and_single_steps_give_the_same(code, fork, gas):
    stepped = outcome_of(code, fork, gas, tracer=Recorder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_FAMILIAR", 0)
        patch.setattr(program, "_HOT", 0)
        assert outcome_of(code, fork, gas) == stepped


def test_a_loop_gives_the_same_before_and_after_it_gets_hot():
    """Fibonacci numbers modulo 2^256, long enough for the block to be translated on the way."""
    code = "0 1 PUSH2 1000 JUMPDEST SWAP2 DUP2 ADD SWAP1 SWAP2 1 SWAP1 SUB DUP1 PUSH1 7 JUMPI POP"
    assert assemble(code)[7] == 0x5B
    a, b = 0, 1
    for _ in range(1_000):
        a, b = b, (a + b) % 2**256
    assert run(f"{code} {RETURN_TOP}").word in (a, b)


def test_every_block_shape_survives_translation(at_once):
    code = (
        "5 4 3 2 1 SWAP4 POP DUP3 ADDMOD CALLDATASIZE XOR 0 MSTORE "
        "CALLDATASIZE PUSH1 28 JUMPI INVALID JUMPDEST POP POP 32 0 RETURN"
    )
    code = code.replace("28", str(assemble(code).index(0x5B)))
    translated = run(code, data=b"1")
    assert translated.halt is None
    assert translated.outcome == run(code, data=b"1", tracer=Recorder()).outcome


# -- caches --


def test_one_interpreter_runs_the_same_code_under_several_forks():
    machine = Interpreter()
    code = assemble(f"PUSH0 PUSH0 ADD {RETURN_TOP}")
    assert run(code, machine=machine, fork=OSAKA).halt is None
    assert run(code, machine=machine, fork=FRONTIER).halt is Halt.BAD_OPCODE
    assert run(code, machine=machine, fork=OSAKA).halt is None


def test_decoded_code_is_kept_within_its_limit(monkeypatch):
    monkeypatch.setattr(program, "_CACHED_CODE_MAX", 1_000)
    programs = Programs(OSAKA)
    first = programs.of(bytes([0]) * 400)
    assert programs.of(bytes([0]) * 400) is first
    programs.of(bytes([1]) * 400)
    programs.of(bytes([0]) * 400)  # now the younger one
    programs.of(bytes([2]) * 400)
    assert programs.of(bytes([0]) * 400) is first
    assert len(programs) == 2


# -- tracing --


def test_a_tracer_sees_every_opcode_with_its_whole_price():
    tracer = Recorder()
    result = run("2 1 ADD 100 MSTORE 7 SLOAD POP", tracer=tracer, gas=10_000)
    assert [(name, price) for _, name, _, price in tracer.steps] == [
        ("PUSH1", 3),
        ("PUSH1", 3),
        ("ADD", 3),
        ("PUSH1", 3),
        ("MSTORE", 18),
        ("PUSH1", 3),
        ("SLOAD", 2_100),
        ("POP", 2),
        ("STOP", 0),
    ]
    assert [gas for _, _, gas, _ in tracer.steps][-1] == result.outcome.gas_left


def test_prices_told_to_a_tracer_add_up_to_the_gas_used():
    tracer = Recorder()
    code = "1 2 SSTORE 0 2 SSTORE 64 0 LOG0 64 0 KECCAK256 POP 9 BALANCE POP 40 0 5 CODECOPY"
    result = run(code, tracer=tracer)
    assert sum(price for *_, price in tracer.steps) == result.gas_used
    assert len(result.state.logs) == 1


def test_a_calls_price_includes_the_callees_gas_and_a_creations_does_not():
    tracer = Recorder()
    run(f"0 0 0 0 0 {int.from_bytes(OTHER, 'big')} 5000 CALL", tracer=tracer, view=world())
    (call,) = [price for _, name, _, price in tracer.steps if name == "CALL"]
    assert call == 2_600 + 5_000
    tracer = Recorder()
    run("0 0 0 CREATE", tracer=tracer)
    (create,) = [price for _, name, _, price in tracer.steps if name == "CREATE"]
    assert create == 32_000


def test_a_tracer_sees_every_message_also_precompiles_and_refused_ones():
    tracer = Recorder()
    code = (
        "0 0 0 0 0 4 9999 CALL POP "  # identity
        f"0 0 0 0 {10**30} {int.from_bytes(OTHER, 'big')} 9999 CALL POP "  # too much value
        "0 0 0 CREATE POP"
    )
    run(code, tracer=tracer, view=world())
    assert [kind for kind, *_ in tracer.enters] == ["CALL", "CALL", "CALL", "CREATE"]
    assert [halt for _, _, halt in tracer.exits] == [None, Halt.BALANCE, None, None]
    assert tracer.exits[0][1] == 15
    assert tracer.exits[1][1] == 0


@pytest.mark.parametrize(
    "doing",
    [
        "64 0 4 MCOPY",
        "32 0 0 CALLDATACOPY",
        "9 0 3 CODECOPY",
        f"8 0 64 {int.from_bytes(OTHER, 'big')} EXTCODECOPY",
        "96 0 KECCAK256 0 MSTORE",
        "7 33 MSTORE8",
        "7 200 MSTORE",
        "96 0 LOG0",
        f"64 32 96 0 0 {int.from_bytes(OTHER, 'big')} 5000 CALL POP",
        "96 0 0 CREATE POP 1 10 0 0 CREATE2 POP",
    ],
)
def test_trying_what_an_opcode_costs_leaves_memory_alone(doing):
    code = f"0x{'a5' * 32} 0 MSTORE 0x{'3c' * 32} 32 MSTORE {doing} 256 0 RETURN"
    traced, plain = run(code, tracer=Recorder(), view=world()), run(code, view=world())
    assert traced.outcome == plain.outcome
    assert traced.gas_used == plain.gas_used
