"""Blocks laid over a view read as the state they lead to."""

from collections.abc import Mapping

from hypothesis import given, settings

from chain.changes import ACCOUNT_TRIE, storage_trie
from chain.commitment import commit
from chain.leaves import address_key, slot_key
from chain.state import Account, Delta
from chain.types import EMPTY_ROOT, Address
from chain.views import EmptyView, Overlay, TrieView
from tests.chain.state_model import BLOCKS, State, Write, apply, check, check_proofs


@settings(max_examples=50, deadline=None)
@given(BLOCKS)
def test_every_layer_of_a_stack_keeps_reading_as_its_own_state(
    blocks: list[Mapping[Address, Write]],
) -> None:
    state: State = {}
    view: TrieView = EmptyView()
    passed: list[tuple[TrieView, State]] = [(view, state)]
    for block in blocks:
        state, delta = apply(state, view, block)
        view = Overlay(view, commit(view, delta))
        passed.append((view, state))
    for view, state in passed:
        check(view, state)
        keys = sorted(address_key(address) for address in state)
        assert [key for key, _ in view.leaves(ACCOUNT_TRIE)] == keys
        for address, (_, slots) in state.items():
            trie = storage_trie(address_key(address))
            expected = sorted(slot_key(slot) for slot in slots)
            assert [key for key, _ in view.leaves(trie)] == expected
            for prefix in ("0", "a", "7f"):
                assert [key for key, _ in view.leaves(trie, prefix)] == [
                    key for key in expected if key.hex().startswith(prefix)
                ]
    check_proofs(*passed[-1])


def test_two_blocks_on_one_parent_know_nothing_of_each_other() -> None:
    one, two = Address(b"\1" * 20), Address(b"\2" * 20)
    parent = Overlay(
        EmptyView(), commit(EmptyView(), Delta({one: Account(1)}, {}, frozenset(), {}))
    )
    left = Overlay(parent, commit(parent, Delta({one: Account(5)}, {}, frozenset(), {})))
    right = Overlay(parent, commit(parent, Delta({two: Account(6)}, {}, frozenset(), {})))
    assert left.account(one) == Account(5)
    assert left.account(two) is None
    assert right.account(one) == parent.account(one) == Account(1)
    assert right.account(two) == Account(6)


def test_a_thousand_blocks_are_read_through_few_layers() -> None:
    view: TrieView = EmptyView()
    for number in range(1000):
        address = Address(number.to_bytes(20, "big"))
        changes = commit(view, Delta({address: Account(number)}, {}, frozenset(), {}))
        view = Overlay(view, changes)
    assert isinstance(view, Overlay)
    assert view.depth < 20
    for number in range(1000):
        assert view.account(Address(number.to_bytes(20, "big"))) == Account(number)


def test_the_empty_state_has_nothing() -> None:
    view = EmptyView()
    assert view.root == EMPTY_ROOT
    assert view.account(Address(bytes(20))) is None
    assert view.storage(Address(bytes(20)), 0) == 0
    check(view, {})
