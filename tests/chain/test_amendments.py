"""The head's state changed without a block: read, proved, built on and taken back."""

from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from chain.commitment import commit
from chain.genesis import dev_genesis, genesis_block
from chain.ledger import Ledger
from chain.state import Account, Delta
from chain.storage import MemoryStore
from chain.storage.rocks import RocksStore
from chain.types import Address, Hash, Height
from tests.chain.state_model import (
    ADDRESSES,
    BLOCKS,
    State,
    Write,
    apply,
    check,
    check_proofs,
    executed,
)

GENESIS = dev_genesis(accounts=[])


def _initial() -> State:
    _, delta = genesis_block(GENESIS)
    return {
        address: (account, {}) for address, account in delta.accounts.items() if account is not None
    }


def _pay(amount: int) -> Delta:
    return Delta({ADDRESSES[0]: Account(1, amount)}, {}, frozenset(), {})


@settings(max_examples=60, deadline=None)
@given(
    writes=BLOCKS,
    kinds=st.lists(st.booleans(), min_size=8, max_size=8),
    target=st.integers(0, 8),
)
def test_blocks_and_amendments_in_any_order_read_and_go_back_as_they_came(
    writes: list[Mapping[Address, Write]], kinds: list[bool], target: int
) -> None:
    """Each height shows its amended state; a rollback to any moment restores that moment."""
    store = MemoryStore()
    ledger = Ledger.open(store, GENESIS)
    state = _initial()
    moments = [(0, 0, state, ledger.view().root)]  # height, amendments, state, root
    for write, amends in zip(writes, kinds, strict=False):
        state, delta = apply(state, ledger.view(), write)
        if amends:
            ledger.amend(commit(ledger.view(), delta))
        else:
            ledger.commit(executed(ledger, delta))
        height = ledger.height
        moments.append((height, ledger.amendments(height), state, ledger.view().root))
    last = {height: (model, root) for height, _, model, root in moments}
    for at, (model, root) in last.items():
        view = ledger.view(Height(at))
        assert view.root == root == ledger.state_root(Height(at))
        check(view, model)
    check_proofs(ledger.view(), moments[-1][2])
    middle = ledger.height // 2
    check_proofs(ledger.view(Height(middle)), last[middle][0])

    height, count, model, root = moments[min(target, len(moments) - 1)]
    goal = Height(height)
    ledger.rollback(goal, amendments=count)
    for found in (ledger, Ledger.open(store)):
        assert (found.height, found.amendments(goal)) == (goal, count)
        assert found.view().root == root
        check(found.view(), model)
        check_proofs(found.view(), model)
        for lower in range(height):
            check(found.view(Height(lower)), last[lower][0])


def test_a_block_stands_on_the_amended_state(tmp_path: Path) -> None:
    ledger = Ledger.open(RocksStore(tmp_path), GENESIS)
    before = ledger.head_hash
    ledger.amend(commit(ledger.view(), _pay(7)))
    assert (ledger.height, ledger.head_hash) == (0, before)
    other = Delta({ADDRESSES[1]: Account(1, 1)}, {}, frozenset(), {})
    ledger.commit(executed(ledger, other))
    ledger.close()
    ledger = Ledger.open(RocksStore(tmp_path), GENESIS)
    assert ledger.view().account(ADDRESSES[0]) == Account(1, 7)
    assert ledger.view(Height(0)).account(ADDRESSES[0]) == Account(1, 7)
    ledger.rollback(Height(0), amendments=0)
    assert ledger.view().account(ADDRESSES[0]) is None
    assert ledger.view().root == ledger.header(Height(0)).state_root
    ledger.close()


def test_a_view_of_before_an_amendment_can_still_be_read() -> None:
    """A call under way sees the new values; it is not brought down by them."""
    ledger = Ledger.open(MemoryStore(), GENESIS)
    ledger.commit(executed(ledger, _pay(1)))
    view = ledger.view()
    ledger.amend(commit(ledger.view(), _pay(2)))
    assert view.account(ADDRESSES[0]) == Account(1, 2)


def test_what_amended_heights_that_are_no_longer_kept_is_forgotten() -> None:
    store = MemoryStore()
    ledger = Ledger.open(store, GENESIS, retain_heights=2)
    for amount in range(1, 8):
        ledger.commit(executed(ledger, _pay(10 * amount)))
        ledger.amend(commit(ledger.view(), _pay(10 * amount + 1)))
    assert ledger.oldest_state == Height(5)
    assert ledger.view(Height(5)).account(ADDRESSES[0]) == Account(1, 51)
    assert [ledger.amendments(Height(height)) for height in range(1, 8)] == [0] * 4 + [1] * 3
    assert Ledger.open(store).amendments(Height(4)) == 0
    assert Ledger.open(store).view(Height(6)).root == ledger.state_root(Height(6))


def test_many_blocks_are_taken_back_at_once() -> None:
    ledger = Ledger.open(MemoryStore(), GENESIS)
    for amount in range(1, 40):
        ledger.commit(executed(ledger, _pay(amount)))
    hashes = [ledger.hash_at(Height(height)) for height in range(40)]
    ledger.rollback(Height(3))
    assert ledger.view().account(ADDRESSES[0]) == Account(1, 3)
    assert [ledger.height_of(Hash(known)) for known in hashes[3:6]] == [3, None, None]
