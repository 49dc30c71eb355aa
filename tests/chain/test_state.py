"""The living state: what a revert undoes, what is deleted at the end, what a block changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from chain.blocks import Log
from chain.crypto.keccak import keccak
from chain.forks import FRONTIER, OSAKA, SPURIOUS_DRAGON
from chain.state import Account, State
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash

A, B, C = (Address(bytes([n]) * 20) for n in (1, 2, 3))
RIPEMD = Address((3).to_bytes(20, "big"))


@dataclass
class FixedView:
    """A view over dictionaries."""

    accounts: Mapping[Address, Account] = field(default_factory=dict)
    slots: Mapping[tuple[Address, int], int] = field(default_factory=dict)
    codes: Mapping[Hash, bytes] = field(default_factory=dict)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.slots.get((address, slot), 0)

    def code(self, code_hash: Hash) -> bytes:
        return self.codes[code_hash]


ROOT = Hash(b"\x07" * 32)  # of a storage that is not empty


def rich() -> FixedView:
    return FixedView(
        accounts={A: Account(5, 1000, ROOT, EMPTY_CODE_HASH), B: Account(0, 7)},
        slots={(A, 1): 11, (A, 2): 22},
    )


def snapshot(state: State) -> object:
    """All that execution can observe of three accounts and a few slots."""
    addresses = (A, B, C)
    return (
        [(state.account(a), state.code(a), state.created_here(a)) for a in addresses],
        [(state.storage(a, s), state.transient(a, s)) for a in addresses for s in range(4)],
        [(state.is_warm_address(a), state.is_warm_slot(a, 1)) for a in addresses],
        list(state.destructed()),
        list(state.logs),
        state.refund,
    )


addresses = st.sampled_from((A, B, C))
slots = st.integers(0, 3)
actions = st.one_of(
    st.tuples(st.just("add_balance"), addresses, st.integers(0, 50)),
    st.tuples(st.just("set_balance"), addresses, st.integers(0, 50)),
    st.tuples(st.just("set_nonce"), addresses, st.integers(0, 9)),
    st.tuples(st.just("set_code"), addresses, st.binary(max_size=4)),
    st.tuples(st.just("set_storage"), addresses, slots, st.integers(0, 2)),
    st.tuples(st.just("set_transient"), addresses, slots, st.integers(0, 2)),
    st.tuples(st.just("create_contract"), addresses, st.just(1)),
    st.tuples(st.just("destruct"), addresses),
    st.tuples(st.just("touch"), addresses),
    st.tuples(st.just("warm_address"), addresses),
    st.tuples(st.just("warm_slot"), addresses, slots),
    st.just(("log",)),
    st.just(("refund",)),
)


def perform(state: State, action: tuple[object, ...]) -> None:
    name, *arguments = action
    if name == "log":
        state.logs.append(Log(A, (), b""))
    elif name == "refund":
        state.refund += 3
    else:
        getattr(state, str(name))(*arguments)


@given(st.lists(actions, max_size=12), st.lists(actions, max_size=12))
def test_a_revert_restores_everything_that_execution_can_observe(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    """Given any actions, when they follow a checkpoint, then its revert undoes exactly those."""
    state = State(rich())
    for action in before:
        perform(state, action)
    seen = snapshot(state)
    mark = state.checkpoint()
    for action in after:
        perform(state, action)
    state.revert(mark)
    assert snapshot(state) == seen


@given(st.lists(actions, max_size=12))
def test_reverting_everything_leaves_no_delta(steps: list[tuple[object, ...]]) -> None:
    state = State(rich())
    mark = state.checkpoint()
    for action in steps:
        perform(state, action)
    state.revert(mark)
    delta = state.delta()
    assert not delta.accounts and not delta.storage and not delta.codes and not delta.wiped


def test_reading_changes_nothing() -> None:
    state = State(rich())
    assert state.storage(A, 1) == 11 and state.balance(C) == 0 and state.code(B) == b""
    delta = state.delta()
    assert not delta.accounts and not delta.storage


def test_a_cleared_slot_is_in_the_delta_as_zero() -> None:
    state = State(rich())
    state.set_storage(A, 1, 0)
    state.set_storage(A, 2, 5)
    state.set_storage(A, 2, 22)
    assert state.delta().storage == {A: {1: 0}}
    assert A in state.delta().accounts


def test_the_original_value_is_that_of_the_transactions_start() -> None:
    state = State(rich())
    state.set_storage(A, 1, 12)
    state.begin_transaction()
    state.set_storage(A, 1, 13)
    mark = state.checkpoint()
    state.set_storage(A, 1, 14)
    state.revert(mark)
    assert state.original_storage(A, 1) == 12
    assert state.original_storage(A, 2) == 22


def test_an_empty_touched_account_is_deleted_from_spurious_dragon_on() -> None:
    for fork, exists in ((FRONTIER, True), (SPURIOUS_DRAGON, False), (OSAKA, False)):
        state = State(rich())
        state.begin_transaction()
        state.add_balance(C, 0)
        state.end_transaction(fork)
        assert state.exists(C) is exists


def test_only_ripemds_touch_survives_a_revert() -> None:
    """The addendum of EIP-161: mainnet deleted address 3 after an out-of-gas call to it."""
    state = State(FixedView(accounts={RIPEMD: Account(), C: Account()}))
    state.begin_transaction()
    mark = state.checkpoint()
    state.touch(RIPEMD)
    state.touch(C)
    state.revert(mark)
    state.end_transaction(SPURIOUS_DRAGON)
    assert not state.exists(RIPEMD)
    assert state.exists(C)


def test_a_destructed_account_loses_its_storage_even_when_it_is_created_again() -> None:
    state = State(rich())
    state.begin_transaction()
    state.destruct(A)
    state.end_transaction(OSAKA)
    assert not state.exists(A) and state.storage(A, 1) == 0
    state.begin_transaction()
    state.create_contract(A, 1)
    state.set_storage(A, 2, 9)
    state.end_transaction(OSAKA)
    delta = state.delta()
    assert delta.wiped == {A}
    assert delta.storage == {A: {2: 9}}
    assert delta.accounts[A] == Account(1, 0, EMPTY_ROOT, EMPTY_CODE_HASH)


def test_old_storage_forbids_a_creation_until_it_is_wiped() -> None:
    """EIP-7610: code and nonce may be empty, storage may not."""
    state = State(FixedView(accounts={A: Account(0, 1, ROOT)}, slots={(A, 1): 1}))
    assert state.has_code_nonce_or_storage(A)
    assert not state.has_code_nonce_or_storage(B)


def test_code_is_in_the_delta_only_while_an_account_has_it() -> None:
    state = State(rich())
    mark = state.checkpoint()
    state.set_code(B, b"\x01")
    state.revert(mark)
    state.set_code(C, b"\x02")
    assert state.delta().codes == {keccak(b"\x02"): b"\x02"}
    assert state.code(C) == b"\x02" and state.code(B) == b""


def test_slots_that_python_hashes_alike_are_different_keys():
    """Numbers are hashed modulo 2^61 - 1; whoever chooses slots could choose only such."""
    alike = [n * (2**61 - 1) for n in range(1, 50)]
    assert len({hash(slot) for slot in alike}) == 1
    state = State(rich())
    mark = state.checkpoint()
    for slot in alike:
        state.set_storage(A, slot, slot)
        state.set_transient(A, slot, slot)
        state.warm_slot(A, slot)
    for table in (state._storage[A], state._original, state._transient, state._warm_slots):
        assert len({hash(key) for key in table}) == len(alike)
    assert all(state.storage(A, slot) == state.transient(A, slot) == slot for slot in alike)
    assert sorted(state.transients()) == [(A, slot, slot) for slot in alike]
    assert state.delta().storage == {A: {slot: slot for slot in alike}}
    assert state.known().slots == {A: {slot: slot for slot in alike}}
    state.revert(mark)
    assert state.delta().storage == {} and not any(state.is_warm_slot(A, slot) for slot in alike)
