"""What is said of system contracts beside what their code does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.commitment import commit
from chain.forks import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    OSAKA,
    SYSTEM_ADDRESS,
    SYSTEM_CALL_GAS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from chain.machine import BlockContext, Message, Outcome, TransactionContext
from chain.state import Delta, State
from chain.system_calls import known_output
from chain.system_contracts import SYSTEM_CONTRACTS
from chain.types import ZERO_ADDRESS, ZERO_HASH, Address
from chain.views import Overlay
from contracts.vm import Interpreter
from tests.chain.memory_trie import MemoryTrie

RINGS = (BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS)
QUEUES = (WITHDRAWAL_REQUESTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS)
WORDS = st.one_of(st.just(0), st.integers(1, 40), st.integers(0, 2**256 - 1))
NUMBERS = st.one_of(st.integers(1, 3), st.integers(1, 2**64 - 1), st.sampled_from([8191, 8192]))


def context(number: int, timestamp: int) -> BlockContext:
    return BlockContext(
        number=number,
        timestamp=timestamp,
        coinbase=ZERO_ADDRESS,
        gas_limit=30_000_000,
        chain_id=1,
        base_fee=7,
        randomness=0,
        blob_base_fee=1,
        block_hash=lambda _: ZERO_HASH,
    )


def state_with(address: Address, slots: dict[int, int]) -> State:
    """A state that holds the contract; its code and slots count as changes to an empty one."""
    state = State(MemoryTrie())
    state.set_code(address, SYSTEM_CONTRACTS[address])
    for slot, value in slots.items():
        state.set_storage(address, slot, value)
    state.end_transaction(OSAKA)
    state.begin_transaction()
    return state


def run(state: State, address: Address, data: bytes, block: BlockContext) -> Outcome:
    """What the protocol's call does by the contract's code."""
    message = Message(
        caller=SYSTEM_ADDRESS,
        to=address,
        address=address,
        value=0,
        data=data,
        gas=SYSTEM_CALL_GAS,
        code=SYSTEM_CONTRACTS[address],
        code_address=address,
    )
    outcome = Interpreter().execute(
        message, state, block, TransactionContext(SYSTEM_ADDRESS, 0), OSAKA
    )
    state.end_transaction(OSAKA)
    return outcome


def said(state: State, address: Address, data: bytes, block: BlockContext) -> bytes | None:
    output = known_output(state, address, SYSTEM_CONTRACTS[address], data, block)
    state.end_transaction(OSAKA)
    return output


def shown(delta: Delta) -> tuple[object, ...]:
    return delta.accounts, {a: dict(s) for a, s in delta.storage.items()}, delta.wiped, delta.codes


@pytest.mark.parametrize("address", RINGS)
@given(
    number=NUMBERS,
    timestamp=NUMBERS,
    data=st.binary(min_size=32, max_size=32),
    slots=st.dictionaries(st.integers(0, 16_381), WORDS, max_size=4),
)
def test_a_ring_takes_what_its_code_would_write(
    address: Address, number: int, timestamp: int, data: bytes, slots: dict[int, int]
) -> None:
    at = timestamp % 8191 if address == BEACON_ROOTS_ADDRESS else (number - 1) % 8191
    slots = {**slots, at: slots.get(at, 5)}
    block = context(number, timestamp)
    by_code, by_word = state_with(address, slots), state_with(address, slots)
    outcome = run(by_code, address, data, block)
    assert outcome.halt is None
    assert said(by_word, address, data, block) == outcome.output
    assert shown(by_word.delta()) == shown(by_code.delta())


@pytest.mark.parametrize("address", QUEUES)
@given(slots=st.dictionaries(st.integers(0, 7), WORDS, max_size=6))
def test_a_queue_is_known_to_stay_only_as_its_code_would_leave_it(
    address: Address, slots: dict[int, int]
) -> None:
    block = context(5, 60)
    by_code, by_word = state_with(address, slots), state_with(address, slots)
    before = shown(by_word.delta())
    output = said(by_word, address, b"", block)
    assert shown(by_word.delta()) == before
    if output is not None:
        outcome = run(by_code, address, b"", block)
        assert (outcome.halt, outcome.output) == (None, output)
        assert shown(by_code.delta()) == before


@pytest.mark.parametrize("address", QUEUES)
def test_an_empty_queue_needs_no_code(address: Address) -> None:
    assert said(state_with(address, {}), address, b"", context(5, 60)) == b""


@pytest.mark.parametrize("address", QUEUES)
@pytest.mark.parametrize("slot", range(4))
def test_a_queue_with_anything_in_it_is_left_to_its_code(address: Address, slot: int) -> None:
    assert said(state_with(address, {slot: 1}), address, b"", context(5, 60)) is None


@pytest.mark.parametrize("address", QUEUES)
@pytest.mark.parametrize("slots", [{}, {0: 1}, {3: 1}])
def test_what_the_state_before_holds_in_a_queue_is_seen(
    address: Address, slots: dict[int, int]
) -> None:
    """Written by an earlier block, so that the account's storage root tells of it."""
    base = MemoryTrie()
    before = Overlay(base, commit(base, state_with(address, slots).delta()))
    block = context(5, 60)
    assert said(State(before), address, b"", block) == (None if slots else b"")
    written = State(before)
    written.set_storage(address, 2, 1)
    assert said(written, address, b"", block) is None


@pytest.mark.parametrize("address", [*RINGS, *QUEUES, Address(b"\x07" * 20)])
def test_nothing_is_said_of_other_code(address: Address) -> None:
    state = State(MemoryTrie())
    data = b"" if address in QUEUES else bytes(31) + b"\x01"
    assert known_output(state, address, b"\x00", data, context(5, 60)) is None
    assert not state.delta().storage
