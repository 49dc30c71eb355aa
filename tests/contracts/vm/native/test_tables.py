"""What a machine keeps between the messages on one state, and how the state gets it back."""

import gc
import threading
import weakref

from chain import forks
from chain.crypto.keccak import keccak
from chain.forks import OSAKA
from chain.machine import Message
from chain.state import State
from chain.types import Address
from contracts.vm import Interpreter
from contracts.vm.native.areas import address_of_bytes
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.tables import Tables
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
from tests.contracts.vm.native.both import CACHE, Case, agree, native

# Adds the message's first word to the slot that its second one names.
ADDS = assemble("32 CALLDATALOAD SLOAD 0 CALLDATALOAD ADD 32 CALLDATALOAD SSTORE")


def added(amount: int, slot: int) -> bytes:
    return amount.to_bytes(32, "big") + slot.to_bytes(32, "big")


def world(code: bytes = ADDS, **fields) -> State:
    view = View().put(CALLER, balance=100 * ETHER, nonce=1)
    return begin(view.put(TARGET, code=code, storage={1: 100}, **fields))


def send(machine, state: State, data: bytes, code: bytes = ADDS, value: int = 0, fork=OSAKA):
    message = Message(CALLER, TARGET, TARGET, value, data, 10**7, code, TARGET)
    outcome = machine.execute(message, state, BLOCK, TRANSACTION, fork)
    assert outcome.halt is None
    return outcome


def counted(monkeypatch) -> list[int]:
    """Grows by one for each slot that a machine asks a state for."""
    asked: list[int] = []
    fill_slot = Tables.fill_slot

    def filled(self, state):
        asked.append(1)
        fill_slot(self, state)

    monkeypatch.setattr(Tables, "fill_slot", filled)
    return asked


def test_a_slot_is_asked_for_once_in_many_transactions(monkeypatch):
    machine, state, asked = native(), world(), counted(monkeypatch)
    for _ in range(5):
        state.begin_transaction()
        send(machine, state, added(2, 1))
        state.end_transaction(OSAKA)
    assert len(asked) == 1
    assert state.storage(TARGET, 1) == 110


def test_each_transaction_finds_slots_cold_and_original():
    machine, state = native(), world()
    gas = []
    for _ in range(2):
        state.begin_transaction()
        state.warm_address(TARGET)
        gas.append([send(machine, state, added(1, 1)).gas_left for _ in range(2)])
        state.end_transaction(OSAKA)
    assert gas[0] == gas[1]
    assert gas[0][1] > gas[0][0]


def test_a_slot_that_an_access_list_names_is_warm_though_it_was_kept():
    machine, state = native(), world()
    cold = send(machine, state, added(1, 1)).gas_left
    state.end_transaction(OSAKA)
    state.begin_transaction()
    assert state.warm_slot(TARGET, 1)
    assert not state.warm_slot(TARGET, 1)
    assert send(machine, state, added(1, 1)).gas_left == cold + 2_000


def test_the_plain_interpreter_goes_on_with_what_was_kept():
    machine, plain, state = native(), Interpreter(), world()
    for each in (machine, plain, machine, plain):
        send(each, state, added(1, 1))
    assert state.storage(TARGET, 1) == 104
    assert state.original_storage(TARGET, 1) == 100


def test_two_machines_take_turns():
    one, other, state = native(), NativeInterpreter(cache=CACHE), world()
    for machine in (one, other, other, one):
        send(machine, state, added(1, 1))
    assert state.delta().storage == {TARGET: {1: 104}}


def test_one_machine_serves_states_by_turns():
    machine, states = native(), [world(), world(), world()]
    for turn in range(3):
        for number, state in enumerate(states):
            send(machine, state, added(number, turn + 1))
    for number, state in enumerate(states):
        assert [state.storage(TARGET, slot) for slot in (1, 2, 3)] == [100 + number, number, number]


def test_a_mark_is_gone_back_to_over_whole_messages():
    """Given three messages with marks between them, then each mark is a state of its own."""
    machine, state = native(), world()
    send(machine, state, added(1, 1))
    first = state.checkpoint()
    send(machine, state, added(10, 1))
    second = state.checkpoint()
    send(machine, state, added(1_000, 1))
    state.revert(second)
    send(machine, state, added(20, 1))
    assert state.storage(TARGET, 1) == 131
    state.revert(first)
    send(machine, state, added(5, 1))
    assert state.storage(TARGET, 1) == 106


def test_an_override_leaves_no_slot_that_was_kept():
    machine, state = native(), world()
    send(machine, state, added(5, 2))
    state.override_storage(TARGET, {3: 7})
    send(machine, state, added(1, 4))
    assert [state.storage(TARGET, slot) for slot in (1, 2, 3, 4)] == [0, 0, 7, 1]


def test_transient_slots_last_as_long_as_the_transaction():
    """Also when the state has had them back in between, and however many they are."""
    machine = native()
    writes = assemble("3000 JUMPDEST DUP1 DUP1 TSTORE 1 SWAP1 SUB DUP1 3 JUMPI")
    reads = assemble("5 TLOAD 0 MSTORE 2999 TLOAD 32 MSTORE 64 0 RETURN")
    state = world(writes)
    for given_back in (False, True):
        send(machine, state, b"", writes)
        if given_back:
            assert state.transient(TARGET, 7) == 7
        output = send(machine, state, b"", reads).output
        assert output == (5).to_bytes(32, "big") + (2_999).to_bytes(32, "big")
    state.end_transaction(OSAKA)
    state.begin_transaction()
    assert send(machine, state, b"", reads).output == bytes(64)


def test_a_deleted_accounts_slots_are_empty_when_it_is_made_again():
    machine = native()
    gone = assemble("CALLER SELFDESTRUCT")
    state = world()
    send(machine, state, added(1, 1), fork=forks.BERLIN)
    send(machine, state, b"", gone, fork=forks.BERLIN)
    state.end_transaction(forks.BERLIN)
    state.begin_transaction()
    state.set_code(TARGET, ADDS)
    send(machine, state, added(7, 1), fork=forks.BERLIN)
    assert state.storage(TARGET, 1) == 7


def test_a_state_that_nobody_else_has_is_given_up():
    machine, state = native(), world()
    send(machine, state, added(1, 1))
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None
    send(machine, world(), added(1, 1))


def test_another_thread_may_ask_for_what_is_kept():
    """While the machine serves other states in its own."""
    machine, states = native(), [world() for _ in range(40)]
    found, passed = [], [threading.Event() for _ in states]

    def ask():
        for state, done in zip(states, passed):
            done.wait(10)
            found.append(state.storage(TARGET, 1))

    thread = threading.Thread(target=ask)
    thread.start()
    for number, (state, done) in enumerate(zip(states, passed)):
        send(machine, state, added(number, 1))
        done.set()
    thread.join(10)
    assert found == [100 + number for number in range(40)]


def test_a_message_that_is_broken_off_leaves_what_earlier_ones_have_written():
    machine, state = native(), world()
    send(machine, state, added(1, 1))

    def no_hash(number):
        raise ZeroDivisionError

    code = assemble("5 1 SSTORE 999 BLOCKHASH")
    block = type(BLOCK)(**{name: getattr(BLOCK, name) for name in BLOCK.__struct_fields__}
                        | {"block_hash": no_hash})  # fmt: skip
    message = Message(CALLER, TARGET, TARGET, 0, b"", 10**6, code, TARGET)
    try:
        machine.execute(message, state, block, TRANSACTION, OSAKA)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("nobody asked for the hash")
    assert state.storage(TARGET, 1) == 101
    send(machine, state, added(1, 1))
    assert state.storage(TARGET, 1) == 102


def test_balances_are_those_of_this_moment():
    """Given an account whose balance native code knows, when wei moves, then it is another."""
    machine = native()
    code = assemble("CALLER BALANCE 0 MSTORE SELFBALANCE 32 MSTORE 64 0 RETURN")
    state = world(code)
    for value in (0, 5, 0, 7):
        output = send(machine, state, b"", code, value).output
        assert int.from_bytes(output[:32], "big") == state.balance(CALLER)
        assert int.from_bytes(output[32:], "big") == state.balance(TARGET)
    state.set_balance(CALLER, 1)
    assert int.from_bytes(send(machine, state, b"", code).output[:32], "big") == 1


def test_an_account_that_gets_code_is_seen_with_it():
    machine, other = native(), Address(b"\x77" * 20)
    number = int.from_bytes(other, "big")
    code = assemble(f"{number} EXTCODESIZE 0 MSTORE {number} EXTCODEHASH 32 MSTORE 64 0 RETURN")
    state = world(code)
    assert send(machine, state, b"", code).output == bytes(64)
    state.set_code(other, b"\x5b\x5b")
    expected = (2).to_bytes(32, "big") + keccak(b"\x5b\x5b")
    assert send(machine, state, b"", code).output == expected


def test_tables_grow_in_the_middle_of_a_message():
    """Given one message that looks at thousands of accounts and slots, then it is as defined."""
    text = "3000 JUMPDEST DUP1 BALANCE POP DUP1 DUP1 SSTORE DUP1 SLOAD POP 1 SWAP1 SUB DUP1 3 JUMPI"
    for end in ("", " 0 0 REVERT"):
        outcome = agree(Case(assemble(text + end), gas=10**9))
        assert outcome.gas_left < 10**9 - 3_000 * 24_000


def places_of(machine, keys) -> list[int]:
    """Where slots of the first account would be in an empty table."""
    tables = machine._session.tables
    tables.release()
    tables._forget_all()
    record, words = machine._session.record.address, [key.to_bytes(32, "little") for key in keys]
    places = [machine._native.find_slot(record, 1, address_of_bytes(word)) for word in words]
    return [place - tables.slots.address for place in places]


def test_nobody_can_choose_slots_that_all_belong_in_the_same_place():
    """Each slot that does has to be passed by the next one, so many would take forever."""
    odd = 0x9E3779B97F4A7C15
    chosen = {
        "in a row": [*range(1_000)],
        "their first halves": [n << 224 for n in range(1_000)],
        "their upper bits": [(n & 31) << 59 | (n >> 5) << 123 for n in range(1_000)],
        "a multiple in the other word": [n << 64 | n * odd % 2**64 for n in range(1_000)],
    }
    machine, another = (NativeInterpreter(cache=CACHE) for _ in range(2))
    for name, keys in chosen.items():
        places = places_of(machine, keys)
        assert len(set(places)) > 500, name
        assert places != places_of(another, keys), name


def test_the_state_has_slots_back_in_an_order_that_anybody_finds():
    code = assemble(" ".join(f"1 {slot * 7919} SSTORE" for slot in range(40, 0, -1)))
    orders = []
    for machine in (NativeInterpreter(cache=CACHE) for _ in range(3)):
        state = world(code)
        send(machine, state, b"", code)
        state.storage(TARGET, 0)
        orders.append([key for table, key, _ in state._journal if table is not None])
    assert orders[0] == orders[1] == orders[2]
