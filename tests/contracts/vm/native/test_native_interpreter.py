"""Random and chosen code, beside the plain interpreter: gas, halts, state, logs, traces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.crypto.keccak import keccak
from chain.errors import Fault
from chain.forks import FORKS, FRONTIER, OSAKA
from chain.machine import Halt, Message
from contracts.vm import OPCODES
from tests.contracts.vm.laboratory import (
    BLOCK,
    CALLER,
    OTHER,
    RETURN_TOP,
    TARGET,
    TRANSACTION,
    View,
    assemble,
    begin,
    run,
)
from tests.contracts.vm.native.both import (
    Case,
    Definition,
    agree,
    agree_in_steps,
    case_of,
    effects,
    native,
)

OTHER_WORD = int.from_bytes(OTHER, "big")
SELF_WORD = int.from_bytes(TARGET, "big")
THIRD = 0x3333333333333333333333333333333333333333

CALLEES = {
    OTHER_WORD: "CALLDATASIZE 3 ADD 5 SSTORE 7 0 MSTORE 9 5 TSTORE 1 1 1 LOG1 64 0 RETURN",
    THIRD: f"1 5 SSTORE 0 0 3 0 0 {OTHER_WORD} 20000 CALL 5 SLOAD 0 MSTORE 32 0 REVERT",
}

EDGES = [0, 1, 2, 31, 32, 33, 255, 256, 2**16, 2**32, 2**40, 2**63, 2**64 - 1, 2**64, 2**255]
EDGES += [2**256 - 1, OTHER_WORD, THIRD, SELF_WORD, 4, 6, 9, 0xFFFFFFFE0, 0x1FFFFFFFE0]
COMMON = [0x01, 0x03, 0x10, 0x14, 0x15, 0x16, 0x34, 0x35, 0x50, 0x51, 0x52, 0x54, 0x55]
COMMON += [0x5A, 0x5B, 0x56, 0x57, 0x58, 0x5F, 0x60, 0x61, 0x80, 0x81, 0x82, 0x90, 0x91, 0xF3]


def piece(text: str) -> st.SearchStrategy[bytes]:
    return st.just(assemble(text))


def message(name: str, to: int, value: int, size: int) -> bytes:
    """A message of one of the four kinds, with its result and output left to look at."""
    values = f"{value} " if name in ("CALL", "CALLCODE") else ""
    return assemble(f"{size} 3 5 1 {values}{to} 60000 {name} RETURNDATASIZE 0 MLOAD")


messages = st.builds(
    message,
    st.sampled_from(["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"]),
    st.sampled_from([OTHER_WORD, THIRD, SELF_WORD, 2, 4, 0x9999]),
    st.sampled_from([0, 0, 1, 2**80]),
    st.sampled_from([0, 7, 100]),
)
pieces = st.one_of(
    st.sampled_from(COMMON).map(lambda code: bytes([code])),
    st.sampled_from(sorted(OPCODES)).map(lambda code: bytes([code])),
    st.integers(0, 70).map(lambda n: bytes([0x60, n])),
    st.integers(0, 60).map(lambda n: bytes([0x60, n, 0x56])),
    st.integers(0, 60).map(lambda n: bytes([0x60, n, 0x57])),
    st.sampled_from(EDGES).map(lambda word: assemble(str(word))),
    messages,
    piece("CALLDATASIZE 1 ADD DUP1 5 SSTORE 5 SLOAD"),
    piece("0 1 SSTORE 3 1 SSTORE 2 1 SSTORE"),
    piece("RETURNDATASIZE 0 0 RETURNDATACOPY"),
    piece("40 3 70 MCOPY 100 0 KECCAK256"),
    piece("8 1 0 CREATE EXTCODESIZE"),
    piece("PUSH8 0x6001600055600160 0 MSTORE 0 32 0 0 CREATE2 EXTCODEHASH"),
    piece(f"40 0 0 {OTHER_WORD} EXTCODECOPY"),
    piece("6 5 4 3 2 1 LOG4"),
)
programs = st.lists(pieces, min_size=1, max_size=40).map(b"".join)
gases = st.sampled_from([300, 3_000, 25_000, 60_000, 150_000, 1_000_000])


def world() -> View:
    view = View()
    for address, text in CALLEES.items():
        view.put(address.to_bytes(20, "big"), code=assemble(text), balance=5, storage={5: 9})
    return view


@settings(max_examples=500, deadline=None)
@given(programs, st.sampled_from(FORKS), gases, st.booleans(), st.booleans())
def test_random_programs_do_the_same_natively(code, fork, gas, static, creates):
    case = Case(code, world(), gas=gas, fork=fork, static=static and not creates, creates=creates)
    agree(case)


@settings(max_examples=100, deadline=None)
@given(programs, st.sampled_from(FORKS), gases)
def test_traces_are_the_same_line_for_line(code, fork, gas):
    agree_in_steps(Case(code, world(), gas=gas, fork=fork))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(FORKS), gases)
def test_random_bytes_do_the_same_natively(code, fork, gas):
    agree(Case(code, world(), gas=gas, fork=fork))


@pytest.mark.parametrize("row", OPCODES.values(), ids=[row.name for row in OPCODES.values()])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_opcode_does_the_same_on_edge_operands(row, data):
    """With too few operands, too little gas, in every fork that has it or not."""
    operands = data.draw(st.lists(st.sampled_from(EDGES), min_size=max(0, row.pops - 1),
                                  max_size=row.pops))  # fmt: skip
    pushes = b"".join(assemble(f"PUSH32 {operand}") for operand in operands)
    tail = assemble("MSIZE GAS") if row.shape.name != "END" else b""
    gas = data.draw(st.sampled_from([0, 20, 100, 2_000, 40_000, 2**62]))
    if any(2**20 < operand < 2**37 for operand in operands):
        gas = min(gas, 40_000)  # nobody has so much memory
    fork = data.draw(st.sampled_from(FORKS))
    agree(Case(pushes + bytes([row.code]) + tail, world(), gas=gas, fork=fork,
               static=data.draw(st.booleans())))  # fmt: skip


@pytest.mark.parametrize("fork", FORKS, ids=[fork.name for fork in FORKS])
@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6),
       st.integers(0, 2), st.integers(2_000, 60_000))  # fmt: skip
def test_storage_costs_and_refunds_the_same(fork, writes, original, gas):
    text = " ".join(f"{value} {slot} SSTORE {slot} SLOAD POP" for slot, value in writes)
    view = View().put(TARGET, code=assemble(text), storage={0: original, 1: 1})
    agree(Case(assemble(text), view, gas=gas, fork=fork))


# -- limits --


def test_the_stack_ends_at_1024_words():
    for height in (1_023, 1_024, 1_025):
        case = Case(bytes([0x5F]) * height, world())
        assert (agree(case).halt is Halt.STACK_OVERFLOW) is (height > 1_024)
    agree(Case(bytes([0x5F]) * 1_024 + bytes([0x80]), world()))
    agree(Case(bytes([0x5F]) * 1_024 + bytes([0x9F, 0x50]), world()))


@pytest.mark.parametrize("name", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
def test_calls_nest_to_depth_1024_and_no_deeper(name):
    """The code calls itself with all gas; how deep it got is what the gas tells."""
    value = "0 " if name in ("CALL", "CALLCODE") else ""
    case = case_of(f"0 0 0 0 {value}ADDRESS GAS {name} GAS {RETURN_TOP}", gas=2**61)
    assert agree(case).halt is None


def test_creations_nest_to_depth_1024_and_no_deeper():
    """Each creation runs its own code as the next one's initcode."""
    case = case_of("CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE GAS", gas=2**61, creates=True)
    assert agree(case).halt is None


@pytest.mark.parametrize("gas", [2**32, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**70])
def test_gas_is_counted_beyond_63_bits(gas):
    outcome = agree(case_of(f"5 0 SSTORE 0 0 0 0 0 {OTHER_WORD} GAS CALL GAS {RETURN_TOP}",
                            view=world(), gas=gas))  # fmt: skip
    assert outcome.halt is None and gas - outcome.gas_left < 100_000


@pytest.mark.parametrize("size", [1, 31, 32, 33, 10_000, 2**20, 2**24 + 1, 2**25])
def test_memory_grows_to_what_gas_can_pay(size):
    text = f"1 {size - 1} MSTORE8 {size - 1} MLOAD MSIZE {RETURN_TOP}"
    agree(case_of(text, gas=2**40))
    agree(case_of(text, gas=100_000))


def test_memories_of_several_frames_survive_growing():
    """The callee's memory outgrows the area while the caller's is in use."""
    callee = View().put(OTHER, code=assemble(f"1 {2**24} MSTORE8 {2**24 + 40} 0 RETURN"))
    text = (
        f"99 500 MSTORE {2**24 + 64} 1000 0 0 0 {OTHER_WORD} GAS CALL "
        f"500 MLOAD {1000 + 2**24} MLOAD XOR RETURNDATASIZE XOR {RETURN_TOP}"
    )
    assert agree(case_of(text, view=callee, gas=2**45)).halt is None


def test_more_slots_than_the_table_has_at_first():
    text = (
        "PUSH2 5000 JUMPDEST DUP1 DUP1 SSTORE DUP1 SLOAD POP 1 SWAP1 SUB DUP1 PUSH1 3 JUMPI "
        "77 4999 SSTORE 0 0 REVERT"
    )
    assert assemble(text)[3] == 0x5B
    agree(case_of(text, gas=2**40))
    agree(case_of(text.replace("0 0 REVERT", "4999 SLOAD 4998 SLOAD"), gas=2**40))


def test_more_journal_and_logs_than_there_is_room_for_at_first():
    text = (
        "PUSH2 30000 JUMPDEST DUP1 1 SSTORE DUP1 40 0 LOG1 1 SWAP1 SUB DUP1 PUSH1 3 JUMPI 1 SLOAD"
    )
    case = case_of(text, gas=2**40)
    outcome, state = case.run(native())
    assert outcome.halt is None and len(state.logs) == 30_000
    assert state.storage(TARGET, 1) == 1
    assert [int.from_bytes(log.topics[0], "big") for log in state.logs[:2]] == [30_000, 29_999]
    reverting = case_of(text + " 0 0 REVERT", gas=2**40)
    outcome, state = reverting.run(native())
    assert outcome.halt is Halt.REVERT and not state.logs and state.storage(TARGET, 1) == 2


# -- between frames --


def test_a_failed_call_takes_back_storage_warmth_refunds_and_logs():
    reverting = "0 5 SSTORE 6 SLOAD 1 0 0 LOG1 9 9 TSTORE 0 0 REVERT"
    view = View().put(OTHER, code=assemble(reverting), storage={5: 9})
    call = f"0 0 0 0 0 {OTHER_WORD} 50000 CALL"
    agree(case_of(f"0 1 SSTORE {call} {call} 1 SLOAD", view=view))
    failing = View().put(OTHER, code=assemble(reverting.replace("0 0 REVERT", "INVALID")))
    agree(case_of(f"0 1 SSTORE {call} {call} 1 SLOAD", view=failing))


def test_transient_storage_is_shared_by_the_frames_of_an_account():
    """Calling itself with data writes; without, reads."""
    text = (
        "CALLDATASIZE PUSH1 9 JUMPI 7 1 TSTORE STOP JUMPDEST "
        f"0 0 0 0 0 ADDRESS 50000 CALL 1 TLOAD {RETURN_TOP}"
    )
    text = text.replace("PUSH1 9", f"PUSH1 {assemble(text).index(0x5B)}")
    assert int.from_bytes(agree(case_of(text)).output, "big") == 7


def test_one_machine_serves_forks_and_sessions_in_turn():
    machine = native()
    code = assemble(f"PUSH0 PUSH0 ADD {RETURN_TOP}")
    assert run(code, machine=machine, fork=OSAKA).halt is None
    assert run(code, machine=machine, fork=FRONTIER).halt is Halt.BAD_OPCODE
    writing = assemble("1 SLOAD 1 ADD 1 SSTORE")
    for _ in range(3):
        result = run(writing, machine=machine, view=View().put(TARGET, code=writing))
        assert result.state.storage(TARGET, 1) == 1


def test_a_tracer_is_served_by_the_definition():
    from tests.contracts.vm.native.both import Steps

    steps = Steps()
    run("1 2 ADD", machine=native(), tracer=steps)
    assert [OPCODES[line[2]].name for line in steps.lines] == ["PUSH1", "PUSH1", "ADD", "STOP"]


# -- messages that native code sends itself, which are those to accounts called before --


def twice(kind: str, to: int = OTHER_WORD, gas: int = 60_000) -> str:
    """Two messages: the second one does not need Python."""
    value = "0 " if kind in ("CALL", "CALLCODE") else ""
    one = f"40 3 9 2 {value}{to} {gas} {kind} "
    return one + one


KINDS = ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"]
ENDS = {
    "success": "64 0 RETURN",
    "no output": "STOP",
    "revert": "64 0 REVERT",
    "failure": "INVALID",
    "no gas": "JUMPDEST PC JUMP",
    "the heir": "CALLER SELFDESTRUCT",
}
# What a callee can see of its message, and what it can do to the state.
SEES = (
    "ADDRESS 0 MSTORE CALLER 32 MSTORE CALLVALUE MSIZE MSTORE CALLDATASIZE MSIZE MSTORE "
    "0 CALLDATALOAD MSIZE MSTORE RETURNDATASIZE MSIZE MSTORE 5 SLOAD MSIZE MSTORE"
)
DOES = "5 SLOAD 1 ADD 5 SSTORE 0 6 SSTORE 1 7 TSTORE 8 SLOAD POP 3 4 0 LOG1 4242 BALANCE POP"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fork", [FORKS[0], FORKS[4], FORKS[9], OSAKA], ids=lambda f: f.name)
def test_a_callee_sees_and_does_the_same(kind, end, fork):
    tail = ENDS[end].replace("64 0", "MSIZE 0")
    for body in (SEES, DOES, f"{DOES} {SEES}"):
        view = View().put(OTHER, code=assemble(f"{body} {tail}"), balance=7, storage={5: 1, 6: 2})
        text = f"{twice(kind)} RETURNDATASIZE MLOAD XOR 5 SLOAD 9 TLOAD ADD 8 SLOAD {RETURN_TOP}"
        agree(case_of(text, view=view, gas=1_000_000, fork=fork, data=bytes(range(60))))


@pytest.mark.parametrize("kind", KINDS)
def test_a_native_message_that_fails_takes_back_what_its_callees_did(kind):
    """TARGET calls OTHER twice, which calls THIRD twice with the same kind and then reverts."""
    third = assemble(f"{DOES} 3 SLOAD 1 ADD 3 SSTORE STOP")
    for end in ("0 0 REVERT", "STOP", "INVALID"):
        view = View().put(OTHER, code=assemble(f"{twice(kind, THIRD)} 1 9 SSTORE {end}"))
        view.put(THIRD.to_bytes(20, "big"), code=third, storage={5: 1, 6: 2})
        text = f"{twice(kind, gas=300_000)} {twice(kind, THIRD)} 3 SLOAD GAS {RETURN_TOP}"
        agree(case_of(text, view=view, gas=3_000_000))


def test_a_created_contract_is_gone_with_its_creator_also_for_native_code():
    """OTHER creates a contract, calls it and reverts; then its address is called again."""
    runtime = assemble("1 0 SSTORE 7 0 MSTORE 32 0 RETURN")
    word = int.from_bytes(runtime, "big") << 8 * (32 - len(runtime))
    init = assemble(f"PUSH32 {word} 0 MSTORE {len(runtime)} 0 RETURN")
    halves = [int.from_bytes(init[i : i + 32].ljust(32, b"\0"), "big") for i in (0, 32)]
    create = f"PUSH32 {halves[0]} 0 MSTORE PUSH32 {halves[1]} 32 MSTORE 9 {len(init)} 0 0 CREATE2"
    call = "0 0 0 0 0 DUP6 50000 CALL POP"
    creating = assemble(f"{create} {call} {call} 0 MSTORE 32 0 REVERT")
    view = View().put(OTHER, code=creating)
    text = (
        f"32 0 0 0 0 {OTHER_WORD} 400000 CALL POP 0 MLOAD {call} {call} "
        f"EXTCODESIZE RETURNDATASIZE ADD GAS {RETURN_TOP}"
    )
    agree(case_of(text, view=view, gas=2_000_000))
    agree(case_of(text.replace("POP 0 MLOAD", "POP 0 MLOAD DUP1 EXTCODESIZE POP"), view=view))


def deploying(runtime: str) -> bytes:
    """Initcode that leaves a runtime of at most 32 bytes."""
    code = assemble(runtime)
    word = int.from_bytes(code.ljust(32, b"\0"), "big")
    return assemble(f"PUSH32 {word} 0 MSTORE {len(code)} 0 RETURN")


def test_an_address_whose_creation_was_taken_back_may_get_other_code():
    """OTHER creates what it is sent, calls it twice, and reverts when the data is even."""
    first, second = deploying("7 0 MSTORE 32 0 RETURN"), deploying("9 0 MSTORE 32 0 RETURN")
    call = "32 0 0 0 0 DUP6 50000 CALL POP"
    text = (
        "CALLDATASIZE 0 0 CALLDATACOPY CALLDATASIZE 0 0 CREATE "
        f"{call} {call} 1 CALLDATASIZE AND PUSH1 THERE JUMPI 32 0 REVERT JUMPDEST 32 0 RETURN"
    )
    text = text.replace("THERE", str(assemble(text.replace("THERE", "0")).index(0x5B)))
    view = View().put(OTHER, code=assemble(text))
    load = "".join(
        f"PUSH32 {int.from_bytes(data[i : i + 32].ljust(32, bytes(1)), 'big')} {at + i} MSTORE "
        for data, at in ((first, 0), (second, 128))
        for i in range(0, len(data), 32)
    )
    even, odd = len(first) + len(first) % 2, len(second) + 1 - len(second) % 2
    send = f"32 500 {{}} {{}} 0 {OTHER_WORD} 400000 CALL POP 500 MLOAD "
    code = f"{load}{send.format(even, 0)}{send.format(odd, 128)}"
    outcome = agree(case_of(f"{code} 8 SHL OR {RETURN_TOP}", view=view, gas=3_000_000))
    assert int.from_bytes(outcome.output, "big") == 7 | 9 << 8


@pytest.mark.parametrize("size", [0, 1, 31, 2**18, 2**18 + 1, 2**20])
def test_outputs_of_any_size_come_back(size):
    view = View().put(OTHER, code=assemble(f"77 {max(size, 40) - 32} MSTORE {size} 0 RETURN"))
    text = f"{twice('CALL', gas=2**40)} RETURNDATASIZE 0 50 RETURNDATACOPY MSIZE 0 KECCAK256"
    agree(case_of(f"{text} GAS {RETURN_TOP}", view=view, gas=2**50))


def test_gas_that_is_asked_for_beyond_what_there_is():
    """All but one 64th from EIP-150 on, a failure before."""
    for fork in (FORKS[1], FORKS[2], OSAKA):
        for wanted in (2**64 - 1, 2**64, 2**255, 3_000_000):
            text = twice("CALL").replace("60000 CALL", f"{wanted} CALL")
            agree(case_of(f"{text} GAS {RETURN_TOP}", view=world(), fork=fork, gas=500_000))


def test_more_contracts_than_native_code_keeps_at_hand():
    """Calls 3,000 accounts in turn, each twice; all have the same code."""
    view = View()
    code = assemble("1 0 SSTORE")
    for number in range(1, 3_001):
        view.put((2**32 + number).to_bytes(20, "big"), code=code)
    one = f"0 0 0 0 0 DUP6 {2**32} ADD 30000 CALL POP "
    text = f"PUSH2 3000 JUMPDEST {one}{one}1 SWAP1 SUB DUP1 PUSH1 3 JUMPI GAS {RETURN_TOP}"
    agree(case_of(text, view=view, gas=2**40))


# -- answers that native code keeps --


def test_balances_are_asked_for_again_when_wei_may_have_moved():
    """OTHER pays TARGET back, and reverts when it gets 3 wei."""
    back = f"CALLVALUE 3 EQ PUSH1 THERE JUMPI 0 0 0 0 5 {SELF_WORD} 30000 CALL POP SELFBALANCE "
    back += "0 MSTORE 32 0 RETURN JUMPDEST SELFBALANCE 0 MSTORE 32 0 REVERT"
    back = back.replace("THERE", str(assemble(back.replace("THERE", "0")).index(0x5B)))
    view = View().put(OTHER, code=assemble(back), balance=50)
    code = "CALLDATASIZE PUSH1 THERE JUMPI STOP JUMPDEST SELFBALANCE SELFBALANCE "
    for value in (0, 2, 3, 0, 4):
        code += f"32 0 0 0 {value} {OTHER_WORD} 90000 CALL SELFBALANCE SELFBALANCE 0 MLOAD "
    code += "1 0 0 CREATE POP SELFBALANCE SELFBALANCE ADD ADD ADD XOR ADD XOR"
    code = code.replace("THERE", str(assemble(code.replace("THERE", "0")).index(0x5B)))
    view.put(TARGET, code=assemble(code), balance=1_000)
    agree(case_of(f"{code} {RETURN_TOP}", view=view, gas=2_000_000))


def test_hashes_of_blocks_and_blobs_are_those_that_there_are():
    asked = [0, 1, 743, 744, 745, 900, 998, 999, 1_000, 1_001, 2**64 + 900, 2**255]
    text = " ".join(f"{number} BLOCKHASH" for number in asked * 2)
    agree(case_of(f"{text} {'XOR ' * 23} {RETURN_TOP}"))
    agree_in_steps(case_of(text))
    blobs = " ".join(f"{index} BLOBHASH" for index in (0, 1, 2, 2**64, 2**64 + 1, 2**255))
    agree_in_steps(case_of(blobs))
    agree(case_of(f"{blobs} ADD XOR ADD XOR ADD {RETURN_TOP}"))


def test_a_block_does_not_see_the_hashes_of_another():
    machine = native()
    code = assemble(f"999 BLOCKHASH 999 BLOCKHASH SUB 999 BLOCKHASH ADD {RETURN_TOP}")
    for name in (b"a", b"b"):
        block = replace(BLOCK, block_hash=lambda number, name=name: keccak(name))
        message = Message(CALLER, TARGET, TARGET, 0, b"", 10**6, code, TARGET)
        outcome = machine.execute(message, begin(View()), block, TRANSACTION, OSAKA)
        assert outcome.output == keccak(name)


# -- several messages on one state --


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(programs, st.booleans(), st.booleans()), min_size=2, max_size=5),
    st.sampled_from(FORKS),
)
def test_messages_that_follow_each_other_do_the_same(messages_sent, fork):
    """In the same transaction or the next one; what the first did is there for the second,
    whether or not somebody has looked at the state in between."""
    found = []
    for machine in (Definition(), native()):
        view = world()
        state = begin(view.put(TARGET, code=b"", balance=1_000, storage={1: 2, 5: 3}))
        left = []
        for code, same, looked_at in messages_sent:
            if not same:
                state.end_transaction(fork)
                state.begin_transaction()
            message = Message(CALLER, TARGET, TARGET, 0, b"ab", 150_000, code, TARGET)
            outcome = machine.execute(message, state, BLOCK, TRANSACTION, fork)
            left += [outcome, state.refund, list(state.logs)]
            if looked_at:
                left.append(state.delta().storage)
        found.append([*left, effects(outcome, state, fork)])
    assert found[0] == found[1]


def test_one_machine_does_not_run_two_messages_at_once():
    """The second one comes while the first asks for a block's hash."""
    machine = native()

    def asked(number):
        return run("STOP", machine=machine).outcome.output

    block = replace(BLOCK, block_hash=asked)
    view = View().put(CALLER, balance=1)
    message = Message(CALLER, TARGET, TARGET, 0, b"", 10**6, assemble("999 BLOCKHASH"), TARGET)
    with pytest.raises(Fault, match="one message at a time"):
        machine.execute(message, begin(view), block, TRANSACTION, OSAKA)
    assert run(f"1 2 ADD {RETURN_TOP}", machine=machine).word == 3
