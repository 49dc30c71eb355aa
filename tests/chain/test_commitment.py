"""State roots of changed states are those of the definition."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings

from chain.changes import ACCOUNT_TRIE
from chain.commitment import commit, commit_leaves
from chain.errors import Fault
from chain.leaves import (
    address_key,
    decode_account,
    decode_slot,
    encode_account,
    encode_slot,
    slot_key,
)
from chain.proofs import stored_root
from chain.state import Account, Delta
from chain.types import EMPTY_ROOT, Address
from chain.views import EmptyView, Overlay, TrieView
from tests.chain.state_model import ADDRESSES, BLOCKS, State, Write, apply, root_of


@settings(max_examples=120, deadline=None)
@given(BLOCKS)
def test_any_blocks_give_the_root_of_the_state_they_lead_to(
    blocks: list[Mapping[Address, Write]],
) -> None:
    state: State = {}
    view: TrieView = EmptyView()
    for block in blocks:
        state, delta = apply(state, view, block)
        changes = commit(view, delta)
        assert changes.root == root_of(state)
        view = Overlay(view, changes)
        assert stored_root(view) == changes.root


def _laid(delta: Delta) -> Overlay:
    return Overlay(EmptyView(), commit(EmptyView(), delta))


def _delta(
    accounts: Mapping[Address, Account | None],
    storage: Mapping[Address, Mapping[int, int]] | None = None,
    wiped: frozenset[Address] = frozenset(),
) -> Delta:
    return Delta(accounts, storage or {}, wiped, {})


def test_nothing_changed_is_the_same_root() -> None:
    assert commit(EmptyView(), _delta({})).root == EMPTY_ROOT
    view = _laid(_delta({ADDRESSES[0]: Account(1)}))
    assert commit(view, _delta({})).root == view.root


def test_an_empty_account_counts() -> None:
    """Before EIP-161 an account without anything is in the trie all the same."""
    view = _laid(_delta({ADDRESSES[0]: Account()}))
    assert view.root != EMPTY_ROOT
    assert view.account(ADDRESSES[0]) == Account()


def test_new_storage_roots_are_put_into_the_accounts() -> None:
    one = ADDRESSES[0]
    changes = commit(EmptyView(), _delta({one: Account(1)}, {one: {1: 5, 2: 0}}))
    account = changes.accounts[one]
    assert account is not None and account.storage_root != EMPTY_ROOT
    assert set(changes.storage_leaves[address_key(one)]) == {slot_key(1)}
    cleared = commit(Overlay(EmptyView(), changes), _delta({one: account}, {one: {1: 0}}))
    emptied = cleared.accounts[one]
    assert emptied is not None and emptied.storage_root == EMPTY_ROOT


def test_only_storage_that_was_there_counts_as_wiped() -> None:
    one, two = ADDRESSES[:2]
    view = _laid(_delta({one: Account(1), two: Account(1)}, {one: {1: 5}}))
    accounts = {address: view.account(address) for address in (one, two)}
    changes = commit(view, _delta(accounts, {one: {2: 6}}, frozenset({one, two})))
    assert changes.wiped == {one}
    over = Overlay(view, changes)
    assert (over.storage(one, 1), over.storage(one, 2)) == (0, 6)


def test_an_account_that_is_deleted_loses_its_storage() -> None:
    one = ADDRESSES[0]
    view = _laid(_delta({one: Account(1)}, {one: {1: 5}}))
    changes = commit(view, _delta({one: None}))
    assert changes.root == EMPTY_ROOT
    assert changes.wiped == {one}
    over = Overlay(view, changes)
    again = commit(over, _delta({one: Account(2)}, {one: {3: 7}}))
    assert again.root == commit(EmptyView(), _delta({one: Account(2)}, {one: {3: 7}})).root


def test_committing_changes_nothing_in_the_view() -> None:
    view = _laid(_delta({address: Account(1) for address in ADDRESSES}))
    records = {path: view.node(path) for path in (ACCOUNT_TRIE, ACCOUNT_TRIE + b"0")}
    first = commit(view, _delta({ADDRESSES[0]: Account(2)}))
    second = commit(view, _delta({ADDRESSES[0]: Account(2)}))
    assert first == second
    assert {path: view.node(path) for path in records} == records


def test_leaves_that_contradict_their_account_are_a_fault() -> None:
    one = address_key(ADDRESSES[0])
    leaf = encode_account(Account(1))
    with pytest.raises(Fault, match="does not match"):
        commit_leaves(EmptyView(), {one: leaf}, {one: {slot_key(1): b"\x05"}})


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 2**64 - 1])
@pytest.mark.parametrize("balance", [0, 1, 127, 128, 2**64, 2**256 - 1])
def test_decoding_inverts_encoding_of_accounts(nonce: int, balance: int) -> None:
    for account in (
        Account(nonce, balance),
        Account(nonce, balance, address_key(ADDRESSES[0]), address_key(ADDRESSES[1])),
    ):
        assert decode_account(encode_account(account)) == account


@pytest.mark.parametrize("value", [1, 127, 128, 255, 256, 2**256 - 1])
def test_decoding_inverts_encoding_of_slots(value: int) -> None:
    assert decode_slot(encode_slot(value)) == value


@pytest.mark.parametrize(
    "leaf",
    [b"", b"\xf8", b"\xf8\x44" + bytes(60), b"\xc0" + bytes(80), encode_account(Account())[:-1]],
)
def test_a_corrupt_account_is_a_fault(leaf: bytes) -> None:
    with pytest.raises(Fault, match="corrupt account"):
        decode_account(leaf)


@pytest.mark.parametrize("leaf", [b"", b"\x82\x01", b"\x81\x80\x01"])
def test_a_corrupt_slot_is_a_fault(leaf: bytes) -> None:
    with pytest.raises(Fault, match="corrupt storage"):
        decode_slot(leaf)
