"""The pool: lanes, replacement, limits, order, following the chain."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.blocks import Block, Header
from chain.changes import Changes
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.execution import Executed
from chain.state import Account
from chain.transactions import Checked, Kind, Transaction
from chain.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_ADDRESS, ZERO_HASH, Address, Hash
from node.pool.mempool import Mempool
from node.settings import PoolSettings

RICH = 10**24
GAS_LIMIT = 30_000_000


class Accounts:
    """A state of plain accounts."""

    def __init__(self, accounts: Mapping[Address, Account], codes: Mapping[Hash, bytes]) -> None:
        self.accounts = dict(accounts)
        self.codes = dict(codes)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return 0

    def code(self, code_hash: Hash) -> bytes:
        return self.codes[code_hash]


def sender(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def transaction(
    who: int, nonce: int, *, fee: int = 100, tip: int = 10, gas: int = 21_000, value: int = 0,
    data: bytes = b"", blob_fee: int = 0,
) -> Checked:  # fmt: skip
    """A transaction as if it had been checked; its hash is of its fields."""
    raw = repr((who, nonce, fee, tip, gas, value, len(data))).encode()
    return Checked(
        Transaction(
            kind=Kind.DYNAMIC_FEE,
            chain_id=1,
            nonce=nonce,
            max_priority_fee=tip,
            max_fee=fee,
            gas_limit=gas,
            to=ZERO_ADDRESS,
            value=value,
            data=data,
            v=0,
            r=1,
            s=1,
            raw=raw + data,
            hash=keccak(raw),
            signing_hash=ZERO_HASH,
            max_blob_fee=blob_fee,
        ),
        sender(who),
    )


def pool(
    accounts: Mapping[int, Account] | None = None, codes: Mapping[Hash, bytes] | None = None,
    *, clock: Callable[[], float] = lambda: 0.0, allowed: Collection[Address] = (), **limits: int,
) -> Mempool:  # fmt: skip
    if accounts is None:
        accounts = {number: Account(0, RICH) for number in range(1, 20)}
    view = Accounts({sender(number): item for number, item in accounts.items()}, codes or {})
    return Mempool(
        replace(PoolSettings(), **limits), view, GAS_LIMIT, clock=clock, allowed_senders=allowed
    )


def executed(accounts: Mapping[int, Account | None]) -> Executed:
    """A block of which only the account changes matter."""
    header = Header(
        parent_hash=ZERO_HASH, ommers_hash=EMPTY_OMMERS_HASH, coinbase=ZERO_ADDRESS,
        state_root=EMPTY_ROOT, transactions_root=EMPTY_ROOT, receipts_root=EMPTY_ROOT,
        logs_bloom=bytes(256), difficulty=0, number=1, gas_limit=GAS_LIMIT, gas_used=0,
        timestamp=1, extra_data=b"", mix_hash=ZERO_HASH, nonce=bytes(8),
    )  # fmt: skip
    changed = {sender(number): item for number, item in accounts.items()}
    changes = Changes(EMPTY_ROOT, changed, {}, frozenset(), {}, {}, {}, {}, frozenset())
    return Executed(Block(header, ()), ZERO_HASH, (), (), changes)


def advance(mempool: Mempool, accounts: dict[int, Account | None], gas: int = GAS_LIMIT) -> None:
    """Follow the chain to a block in which these accounts changed."""
    view = Accounts(
        {sender(number): Account(0, RICH) for number in range(1, 20)}
        | {sender(number): item for number, item in accounts.items() if item is not None},
        {},
    )
    mempool.advance(view, gas, executed(accounts))


def refused(mempool: Mempool, checked: Checked) -> Reason:
    before = (len(mempool), mempool.status())
    with pytest.raises(Rejected) as caught:
        mempool.add(checked)
    assert (len(mempool), mempool.status()) == before
    return caught.value.reason


def order(mempool: Mempool, base_fee: int = 1) -> list[tuple[int, int]]:
    return [
        (int.from_bytes(checked.sender, "big"), checked.transaction.nonce)
        for checked in mempool.ready(base_fee)
    ]


def test_what_is_added_is_found_by_hash_and_pending() -> None:
    mempool = pool()
    checked = transaction(1, 0)
    mempool.add(checked)
    assert mempool.get(checked.transaction.hash) is checked
    assert checked.transaction.hash in mempool
    assert mempool.status() == (1, 0)
    assert mempool.pending() == {sender(1): [checked]}
    assert mempool.queued() == {}
    assert mempool.next_nonce(sender(1)) == 1
    assert mempool.next_nonce(sender(2)) == 0


def test_a_gap_is_queued_until_it_is_filled() -> None:
    mempool = pool()
    late, first = transaction(1, 2), transaction(1, 0)
    mempool.add(late)
    assert mempool.status() == (0, 1)
    assert mempool.next_nonce(sender(1)) == 0
    assert mempool.queued() == {sender(1): [late]}
    assert order(mempool) == []
    mempool.add(first)
    assert (mempool.status(), mempool.next_nonce(sender(1))) == ((1, 1), 1)
    mempool.add(transaction(1, 1))
    assert (mempool.status(), mempool.next_nonce(sender(1))) == ((3, 0), 3)
    assert order(mempool) == [(1, 0), (1, 1), (1, 2)]


def test_what_can_run_is_what_waits_for_no_earlier_nonce() -> None:
    mempool = pool()
    first, second, third = (transaction(1, nonce) for nonce in range(3))
    for checked in (first, third):
        mempool.add(checked)
    can_run = [mempool.can_run(each.transaction.hash) for each in (first, second, third)]
    assert can_run == [True, False, False]
    mempool.add(second)
    assert all(mempool.can_run(each.transaction.hash) for each in (first, second, third))


def test_the_same_transaction_again_is_refused() -> None:
    mempool = pool()
    mempool.add(transaction(1, 0))
    assert refused(mempool, transaction(1, 0)) is Reason.ALREADY_KNOWN


def test_a_used_nonce_is_refused() -> None:
    assert refused(pool({1: Account(5, RICH)}), transaction(1, 4)) is Reason.NONCE_TOO_LOW


def test_a_nonce_far_beyond_the_next_is_refused() -> None:
    mempool = pool(nonce_gap_max=3)
    mempool.add(transaction(1, 3))
    assert refused(mempool, transaction(1, 4)) is Reason.NONCE_TOO_HIGH


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (None, Reason.INSUFFICIENT_FUNDS),
        (Account(0, 21_000 * 100 - 1), Reason.INSUFFICIENT_FUNDS),
        (Account(0, 21_000 * 100), None),
    ],
)
def test_the_worst_case_must_be_funded(account: Account | None, reason: Reason | None) -> None:
    mempool = pool({1: account} if account else {})
    if reason is None:
        mempool.add(transaction(1, 0))
    else:
        assert refused(mempool, transaction(1, 0)) is reason


def test_everything_a_sender_has_waiting_must_be_funded_together() -> None:
    mempool = pool({1: Account(0, 2 * 21_000 * 100)})
    mempool.add(transaction(1, 0))
    mempool.add(transaction(1, 1))
    assert refused(mempool, transaction(1, 2)) is Reason.INSUFFICIENT_FUNDS


def test_a_contract_can_not_send_but_a_delegating_account_can() -> None:
    contract, delegating = b"\x00", b"\xef\x01\x00" + bytes(20)
    codes = {keccak(code): code for code in (contract, delegating)}
    accounts = {
        number: Account(0, RICH, EMPTY_ROOT, keccak(code))
        for number, code in ((1, contract), (2, delegating))
    }
    mempool = pool(accounts, codes)
    assert refused(mempool, transaction(1, 0)) is Reason.SENDER_NOT_EOA
    mempool.add(transaction(2, 0))


def test_more_gas_than_a_block_has_is_refused() -> None:
    assert refused(pool(), transaction(1, 0, gas=GAS_LIMIT + 1)) is Reason.BLOCK_GAS_EXCEEDED


def test_a_tip_below_the_least_is_refused() -> None:
    assert refused(pool(tip_min=11), transaction(1, 0)) is Reason.UNDERPRICED


def test_a_huge_transaction_is_refused() -> None:
    huge = transaction(1, 0, data=bytes(2000))
    assert refused(pool(transaction_bytes_max=1024), huge) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("fee", "tip", "fits"),
    [(110, 11, True), (109, 11, False), (110, 10, False), (1000, 10, False), (200, 20, True)],
)
def test_a_replacement_must_raise_both_fees_by_a_tenth(fee: int, tip: int, fits: bool) -> None:
    mempool = pool()
    old, new = transaction(1, 0), transaction(1, 0, fee=fee, tip=tip)
    mempool.add(old)
    mempool.add(transaction(1, 1))
    if fits:
        mempool.add(new)
        assert mempool.get(old.transaction.hash) is None
        assert (mempool.get(new.transaction.hash), mempool.status()) == (new, (2, 0))
    else:
        assert refused(mempool, new) is Reason.REPLACEMENT_UNDERPRICED


def test_a_sender_has_a_limit_of_its_own() -> None:
    mempool = pool(sender_transactions_max=2)
    mempool.add(transaction(1, 0))
    mempool.add(transaction(1, 1))
    assert refused(mempool, transaction(1, 2)) is Reason.SENDER_LIMIT
    mempool.add(transaction(2, 0))


def test_when_full_the_lowest_tip_makes_room_for_a_higher_one() -> None:
    mempool = pool(transactions_max=16)
    for number in range(1, 17):
        mempool.add(transaction(number, 0, tip=10 + number, fee=1000))
    assert refused(mempool, transaction(17, 0, tip=11, fee=1000)) is Reason.POOL_FULL
    mempool.add(transaction(17, 0, tip=12, fee=1000))
    assert len(mempool) == 16
    assert (1, 0) not in order(mempool)
    assert (17, 0) in order(mempool)


def test_eviction_takes_a_lanes_tail_so_that_no_gap_opens() -> None:
    mempool = pool(transactions_max=16)
    mempool.add(transaction(1, 0, tip=1))
    for nonce in range(1, 16):
        mempool.add(transaction(1, nonce, tip=50))
    mempool.add(transaction(2, 0, tip=5))
    assert mempool.status() == (16, 0)
    assert mempool.next_nonce(sender(1)) == 15


def test_a_sender_does_not_evict_itself() -> None:
    mempool = pool(transactions_max=16)
    for nonce in range(16):
        mempool.add(transaction(1, nonce, tip=1))
    assert refused(mempool, transaction(1, 16, tip=50)) is Reason.POOL_FULL


def test_bytes_are_limited_too() -> None:
    mempool = pool(bytes_max=2**20, transaction_bytes_max=600_000)
    mempool.add(transaction(1, 0, data=bytes(500_000)))
    mempool.add(transaction(2, 0, data=bytes(500_000)))
    assert refused(mempool, transaction(3, 0, data=bytes(500_000))) is Reason.POOL_FULL
    mempool.add(transaction(4, 0, tip=20, data=bytes(500_000)))
    assert len(mempool) == 2


def test_ready_goes_by_effective_tip_and_keeps_nonces_in_order() -> None:
    mempool = pool()
    mempool.add(transaction(1, 0, tip=5))
    mempool.add(transaction(1, 1, tip=90))
    mempool.add(transaction(2, 0, tip=20))
    mempool.add(transaction(3, 0, tip=90, fee=105))  # at a base fee of 100 only 5 are left
    assert order(mempool, 0) == [(3, 0), (2, 0), (1, 0), (1, 1)]
    assert order(mempool, 100) == [(3, 0), (1, 0), (1, 1), (2, 0)]


def test_ready_stops_a_lane_at_a_fee_cap_below_the_base_fee() -> None:
    mempool = pool()
    mempool.add(transaction(1, 0, fee=100))
    mempool.add(transaction(1, 1, fee=50))
    mempool.add(transaction(1, 2, fee=100))
    assert order(mempool, 60) == [(1, 0)]
    assert mempool.best_fee_cap() == 100
    assert mempool.has_ready(100)
    assert not mempool.has_ready(101)


def test_equal_tips_go_by_arrival() -> None:
    mempool = pool()
    for number in (5, 2, 9):
        mempool.add(transaction(number, 0))
    assert order(mempool) == [(5, 0), (2, 0), (9, 0)]


def test_a_block_takes_out_what_it_included() -> None:
    mempool = pool()
    for nonce in range(4):
        mempool.add(transaction(1, nonce))
    mempool.add(transaction(2, 0))
    advance(mempool, {1: Account(3, RICH)})
    assert order(mempool) == [(1, 3), (2, 0)]
    assert (mempool.status(), mempool.next_nonce(sender(1))) == ((2, 0), 4)


def test_a_block_can_fill_a_gap() -> None:
    mempool = pool()
    mempool.add(transaction(1, 1))
    mempool.add(transaction(1, 2))
    advance(mempool, {1: Account(1, RICH)})
    assert (mempool.status(), order(mempool)) == ((2, 0), [(1, 1), (1, 2)])


def test_what_can_no_longer_be_paid_goes_and_what_follows_waits() -> None:
    mempool = pool()
    mempool.add(transaction(1, 0))
    mempool.add(transaction(1, 1, value=10**20))
    mempool.add(transaction(1, 2))
    advance(mempool, {1: Account(0, 10**10)})
    assert mempool.status() == (1, 1)
    assert mempool.next_nonce(sender(1)) == 1


def test_what_no_longer_fits_a_block_goes() -> None:
    mempool = pool()
    mempool.add(transaction(1, 0, gas=GAS_LIMIT))
    advance(mempool, {}, gas=GAS_LIMIT - 1)
    assert len(mempool) == 0


def test_a_dropped_transaction_leaves_a_gap() -> None:
    mempool = pool()
    middle = transaction(1, 1)
    for checked in (transaction(1, 0), middle, transaction(1, 2)):
        mempool.add(checked)
    mempool.drop(middle.transaction.hash)
    mempool.drop(middle.transaction.hash)
    assert (mempool.status(), order(mempool)) == ((1, 1), [(1, 0)])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 4), st.integers(0, 8), st.integers(1, 60)),
            st.tuples(st.just("drop"), st.integers(1, 4), st.integers(0, 6), st.just(0)),
            st.tuples(st.just("block"), st.integers(1, 4), st.integers(0, 6), st.integers(0, 3)),
        ),
        max_size=80,
    )
)
def test_counts_always_agree_with_contents(steps: list[tuple[str, int, int, int]]) -> None:
    """Whatever happens: counts, lanes, order and limits stay consistent."""
    mempool = pool(transactions_max=16, sender_transactions_max=6, local_max=3)
    nonces = dict.fromkeys(range(1, 5), 0)
    accounts: dict[int, Account | None] = {number: Account(0, RICH) for number in range(1, 5)}
    for action, who, nonce, extra in steps:
        if action == "add":
            with suppress(Rejected):
                mempool.add(transaction(who, nonce, tip=extra, fee=100 + extra), local=extra > 50)
        elif action == "drop":
            for checked in list(mempool.everything()):
                if (checked.sender, checked.transaction.nonce) == (sender(who), nonce):
                    mempool.drop(checked.transaction.hash)
        else:
            nonces[who] = max(nonces[who], nonce)
            balance = RICH if extra else 21_000 * 120
            accounts[who] = Account(nonces[who], balance)
            advance(mempool, accounts)
        pending, queued = mempool.pending(), mempool.queued()
        assert mempool.status() == (
            sum(map(len, pending.values())),
            sum(map(len, queued.values())),
        )
        assert len(mempool) == sum(mempool.status()) <= 16
        entries = mempool.entries()
        assert mempool.holds() == sum(entry.size for entry in entries)
        assert sum(entry.local for entry in entries) <= 3
        assert sorted(order(mempool, 0)) == sorted(
            (int.from_bytes(address, "big"), checked.transaction.nonce)
            for address, lane in pending.items()
            for checked in lane
        )
        for address, lane in pending.items():
            first = nonces[int.from_bytes(address, "big")]
            assert [c.transaction.nonce for c in lane] == list(range(first, first + len(lane)))


# -- when it is full -------------------------------------------------------------------------------


def crowd(count: int) -> dict[int, Account]:
    return {number: Account(0, RICH) for number in range(1, count + 1)}


def test_what_waits_behind_a_gap_goes_before_what_can_run_whatever_it_pays() -> None:
    mempool = pool(crowd(40), transactions_max=16)
    for number in range(1, 9):
        mempool.add(transaction(number, 0, tip=1))
    for number in range(9, 17):
        mempool.add(transaction(number, 1, tip=90))
    mempool.add(transaction(20, 0, tip=1))
    assert mempool.status() == (9, 7)
    assert (20, 0) in order(mempool)


def test_what_waits_behind_a_gap_pushes_nothing_out_that_can_run() -> None:
    mempool = pool(crowd(40), transactions_max=16)
    for number in range(1, 17):
        mempool.add(transaction(number, 0, tip=1))
    assert refused(mempool, transaction(20, 1, tip=90)) is Reason.POOL_FULL


def test_a_flood_of_gaps_neither_evicts_the_honest_nor_keeps_them_out() -> None:
    """Thousands of rich senders, dear transactions, none of which can ever run."""
    mempool = pool(crowd(3000), transactions_max=256, sender_queued_max=4)
    honest = [transaction(number, 0, tip=1) for number in range(1, 101)]
    for checked in honest[:50]:
        mempool.add(checked)
    for number in range(1000, 3000):
        for nonce in (1, 2, 3):
            with suppress(Rejected):
                mempool.add(transaction(number, nonce, tip=99))
    for checked in honest[50:]:
        mempool.add(checked)
    assert all(checked.transaction.hash in mempool for checked in honest)
    assert len(mempool) == 256


def test_a_filled_gap_is_as_safe_as_what_was_never_behind_one() -> None:
    mempool = pool(crowd(40), transactions_max=16)
    for number in range(2, 15):
        mempool.add(transaction(number, 1, tip=5))
    mempool.add(transaction(1, 1, tip=5))
    mempool.add(transaction(30, 1, tip=50))
    mempool.add(transaction(31, 1, tip=50))
    assert refused(mempool, transaction(32, 3, tip=1)) is Reason.POOL_FULL  # the order is kept now
    assert mempool.add(transaction(1, 0, tip=5)) == [transaction(1, 0, tip=5),
                                                     transaction(1, 1, tip=5)]  # fmt: skip
    for number in range(20, 40):
        with suppress(Rejected):
            mempool.add(transaction(number, 2, tip=90))
    assert order(mempool) == [(1, 0), (1, 1)]


def test_peers_may_not_send_much_that_waits_for_a_nonce_but_callers_may() -> None:
    mempool = pool(sender_queued_max=3)
    for nonce in (2, 3, 4):
        mempool.add(transaction(1, nonce))
    assert refused(mempool, transaction(1, 5)) is Reason.SENDER_LIMIT
    mempool.add(transaction(1, 5), local=True)
    assert mempool.add(transaction(1, 0)) == [transaction(1, 0)]
    assert [item.transaction.nonce for item in mempool.add(transaction(1, 1))] == [1, 2, 3, 4, 5]


def test_what_was_submitted_here_stays_when_peers_pay_more() -> None:
    mempool = pool(crowd(60), transactions_max=16)
    for number in range(1, 9):
        mempool.add(transaction(number, 0, tip=1), local=True)
    for number in range(9, 17):
        mempool.add(transaction(number, 0, tip=2))
    for number in range(20, 30):
        with suppress(Rejected):
            mempool.add(transaction(number, 0, tip=90))
    assert {who for who, _ in order(mempool)} == {*range(1, 9), *range(20, 28)}
    mempool.add(transaction(30, 0, tip=1), local=True)
    assert (30, 0) in order(mempool)


def test_only_so_many_are_kept_for_having_been_submitted_here() -> None:
    mempool = pool(crowd(60), transactions_max=16, local_max=4)
    for number in range(1, 17):
        mempool.add(transaction(number, 0, tip=1), local=True)
    for number in range(20, 50):
        with suppress(Rejected):
            mempool.add(transaction(number, 0, tip=90))
    assert {who for who, _ in order(mempool)} == {*range(1, 5), *range(20, 32)}


# -- beside blocks that are not final --------------------------------------------------------------


def test_what_blocks_that_are_not_final_hold_is_passed_over_and_stays() -> None:
    mempool = pool()
    for nonce in range(4):
        mempool.add(transaction(1, nonce))
    mempool.add(transaction(2, 0, tip=5))
    after = {sender(1): 2}
    assert [(c.sender, c.transaction.nonce) for c in mempool.ready(1, after)] == [
        (sender(1), 2), (sender(1), 3), (sender(2), 0),
    ]  # fmt: skip
    assert order(mempool) == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    after = {sender(1): 4, sender(2): 1}
    assert list(mempool.ready(1, after)) == []
    assert not mempool.has_ready(1, after)
    assert mempool.best_fee_cap(after) == 0
    assert mempool.has_ready(1)


def test_a_nonce_that_only_another_nodes_block_holds_lets_the_next_one_run() -> None:
    mempool = pool()
    mempool.add(transaction(1, 1))
    assert order(mempool) == []
    assert [c.transaction.nonce for c in mempool.ready(1, {sender(1): 1})] == [1]


def test_a_block_tells_what_can_run_now() -> None:
    mempool = pool()
    mempool.add(transaction(1, 1))
    mempool.add(transaction(1, 2))
    mempool.add(transaction(2, 0))
    view = Accounts({sender(1): Account(1, RICH), sender(2): Account(0, RICH)}, {})
    promoted = mempool.advance(view, GAS_LIMIT, executed({1: Account(1, RICH)}))
    assert [c.transaction.nonce for c in promoted] == [1, 2]


# -- expiry, permission ----------------------------------------------------------------------------


def test_what_waits_too_long_expires_the_gapped_sooner() -> None:
    now = 0.0
    mempool = pool(clock=lambda: now, queued_seconds=100, pending_seconds=1000)
    mempool.add(transaction(1, 0))
    mempool.add(transaction(2, 1))
    now = 90.0
    mempool.add(transaction(3, 1))
    mempool.expire()
    assert mempool.status() == (1, 2)
    now = 101.0
    mempool.expire()
    assert mempool.status() == (1, 1)
    now = 1001.0
    mempool.expire()
    assert len(mempool) == 0


def test_expiry_comes_by_itself_with_transactions_and_blocks() -> None:
    now = 0.0
    mempool = pool(clock=lambda: now, queued_seconds=100, pending_seconds=100)
    mempool.add(transaction(1, 0))
    now = 150.0
    mempool.add(transaction(2, 0))
    assert order(mempool) == [(2, 0)]
    now = 300.0
    advance(mempool, {})
    assert len(mempool) == 0


def test_time_waited_before_counts() -> None:
    mempool = pool(queued_seconds=100, pending_seconds=100)
    mempool.add(transaction(1, 0), age=99.0)
    mempool.add(transaction(2, 0), age=101.0)
    mempool.expire()
    assert order(mempool) == [(1, 0)]


def test_a_long_lane_expires_in_bounded_steps() -> None:
    now = 0.0
    mempool = pool(clock=lambda: now, queued_seconds=100, pending_seconds=100)
    for nonce in range(6000):
        mempool.add(transaction(1, nonce, fee=10, tip=1))
    now = 200.0
    mempool.expire()
    assert len(mempool) == 6000 - 4096
    mempool.expire()
    assert len(mempool) == 0


def test_only_allowed_senders_get_in_where_the_genesis_names_them() -> None:
    mempool = pool(allowed=[sender(1), sender(2)])
    mempool.add(transaction(1, 0))
    assert refused(mempool, transaction(3, 0)) is Reason.SENDER_NOT_ALLOWED


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(0, 3), st.integers(1, 60), st.booleans()),
        max_size=80,
    )
)
def test_while_something_waits_behind_a_gap_nothing_that_can_run_is_evicted(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    """Unless it is the newcomer's own sender that waits there."""
    mempool = pool(transactions_max=16)
    for who, nonce, tip, local in steps:
        runnable = {c.transaction.hash: c for lane in mempool.pending().values() for c in lane}
        others = {address for address in mempool.queued() if address != sender(who)}
        checked = transaction(who, nonce, tip=tip, fee=1000)
        with suppress(Rejected):
            mempool.add(checked, local=local)
        if others:
            gone = [c for key, c in runnable.items() if key not in mempool]
            assert all(c.sender == sender(who) for c in gone)  # replaced
