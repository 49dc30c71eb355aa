"""What is committed stays, is found again, and any retained height reads as it was."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.blocks import Block, Log, Receipt, Withdrawal, decode_block, encode_block, logs_bloom
from chain.errors import Fault, Reason, Rejected
from chain.execution import Executed
from chain.genesis import dev_genesis, genesis_block
from chain.headers import header_hash
from chain.leaves import address_key, slot_key
from chain.ledger import Ledger
from chain.state import Account, Delta
from chain.storage import MemoryStore, Store, schema
from chain.storage.rocks import RocksStore
from chain.transactions import Transaction, build_transaction, sign_transaction
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
    """The accounts that the genesis has of its own are in every state."""
    _, delta = genesis_block(GENESIS)
    return {
        address: (account, {}) for address, account in delta.accounts.items() if account is not None
    }


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "db")
    yield made
    made.close()


def _pay(*amounts: int) -> Delta:
    """A block's changes: the first accounts have these balances."""
    accounts = {ADDRESSES[i]: Account(1, amount) for i, amount in enumerate(amounts)}
    return Delta(accounts, {}, frozenset(), {})


def _commit(ledger: Ledger, *amounts: int) -> Executed:
    block = executed(ledger, _pay(*amounts))
    ledger.commit(block)
    return block


@settings(max_examples=40, deadline=None)
@given(blocks=BLOCKS, target=st.integers(0, 8))
def test_every_height_reads_as_it_was_before_and_after_a_rollback(
    blocks: list[Mapping[Address, Write]], target: int
) -> None:
    """Views by height, and those taken when their height was the head; proofs too."""
    store = MemoryStore()
    ledger = Ledger.open(store, GENESIS)
    states = [_initial()]
    kept = [ledger.view()]
    for block in blocks:
        state, delta = apply(states[-1], ledger.view(), block)
        ledger.commit(executed(ledger, delta))
        states.append(state)
        kept.append(ledger.view())
    for height, state in enumerate(states):
        check(ledger.view(Height(height)), state)
        check(kept[height], state)
    check_proofs(ledger.view(), states[-1])
    check_proofs(kept[len(blocks) // 2], states[len(blocks) // 2])
    target = min(target, len(blocks))
    ledger.rollback(Height(target))
    assert ledger.height == target
    again = Ledger.open(store)
    assert again.head_hash == ledger.head_hash
    for height in range(target + 1):
        check(again.view(Height(height)), states[height])
    check_proofs(again.view(), states[target])


def test_a_reopened_ledger_stands_where_it_stood(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    ledger = Ledger.open(store, GENESIS)
    for amount in range(1, 6):
        _commit(ledger, amount)
    head = ledger.head_hash
    ledger.close()
    store = RocksStore(tmp_path)
    ledger = Ledger.open(store, GENESIS)
    assert (ledger.height, ledger.head_hash) == (5, head)
    assert ledger.view().account(ADDRESSES[0]) == Account(1, 5)
    assert ledger.view(Height(2)).account(ADDRESSES[0]) == Account(1, 2)
    _commit(ledger, 9)
    assert ledger.prove(Height(3), ADDRESSES[0]).account == Account(1, 3)
    ledger.close()


def _transactions() -> tuple[Transaction, ...]:
    key = (1).to_bytes(32, "big")
    return tuple(
        sign_transaction(
            build_transaction(
                kind=kind, chain_id=31337, nonce=nonce, max_fee=10, gas_limit=21000,
                to=ADDRESSES[1], value=nonce,
            ),
            key,
        )
        for nonce, kind in enumerate((0, 1, 2))
    )  # fmt: skip


def _full_block(ledger: Ledger) -> Executed:
    """A block with transactions, receipts of every shape, and a withdrawal."""
    plain = executed(ledger, _pay(7, 8))
    transactions = _transactions()
    log = Log(ADDRESSES[2], (Hash(b"\7" * 32),), b"data")
    empty = bytes(256)
    receipts = (
        Receipt(0, 1, None, 21000, empty, ()),
        Receipt(1, 0, None, 42000, empty, ()),
        Receipt(2, None, Hash(b"\1" * 32), 63000, logs_bloom([log]), (log,)),
    )
    block = Block(
        plain.block.header, transactions, (ledger.head,), (Withdrawal(1, 2, ADDRESSES[3], 4),)
    )
    return Executed(block, plain.hash, (ADDRESSES[4],) * 3, receipts, plain.changes, 77)


def test_all_parts_of_a_block_are_found_again(store: Store) -> None:
    ledger = Ledger.open(store, GENESIS)
    done = _full_block(ledger)
    ledger.commit(done, certificate=b"signed", record=b"agreed")
    _commit(ledger, 9)
    one = Height(1)
    for found in (ledger, Ledger.open(store)):
        assert found.block(one) == done.block
        assert found.raw_block(one) == encode_block(done.block)
        assert decode_block(found.raw_block(one)) == done.block
        assert found.receipts(one) == done.receipts
        assert found.senders(one) == done.senders
        assert found.header(one) == done.block.header
        assert found.hash_at(one) == done.hash
        assert found.height_of(done.hash) == 1
        assert found.total_difficulty(one) == 77
        assert found.certificate(one) == b"signed"
        assert found.record(one) == b"agreed"
        assert found.certificate(Height(2)) is None
        for index, transaction in enumerate(done.block.transactions):
            assert found.locate(transaction.hash) == (1, index)
        assert found.locate(Hash(bytes(32))) is None
        assert found.height_of(Hash(bytes(32))) is None
        assert found.genesis_hash == found.hash_at(Height(0))
        assert found.block(Height(0)) == genesis_block(GENESIS)[0]
        assert found.receipts(Height(0)) == ()
        assert found.config == GENESIS.config
        assert found.name_of(address_key(ADDRESSES[0])) == ADDRESSES[0]
    ledger.rollback(Height(0))
    assert ledger.locate(done.block.transactions[0].hash) is None
    assert ledger.height_of(done.hash) is None
    assert ledger.certificate(one) is None


@pytest.mark.parametrize("height", [1, 2**40, -1])
def test_a_height_that_is_not_there_is_refused(height: int) -> None:
    ledger = Ledger.open(MemoryStore(), GENESIS)
    asks: list[Callable[[Height], object]] = [
        ledger.header, ledger.hash_at, ledger.block, ledger.raw_block, ledger.receipts,
        ledger.senders, ledger.view, ledger.rollback, ledger.total_difficulty,
        lambda height: ledger.prove(height, ADDRESSES[0]),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(Rejected) as refused:
            ask(Height(height))
        assert refused.value.reason is Reason.UNKNOWN_BLOCK


def test_a_block_that_does_not_stand_on_the_head_is_refused(store: Store) -> None:
    ledger = Ledger.open(store, GENESIS)
    stale = executed(ledger, _pay(1))
    _commit(ledger, 2)
    skipped = executed(ledger, _pay(3))
    skipped = replace(
        skipped,
        block=replace(skipped.block, header=replace(skipped.block.header, number=3)),
    )
    for block in (stale, skipped):
        with pytest.raises(Rejected) as refused:
            ledger.commit(block)
        assert refused.value.reason is Reason.UNKNOWN_PARENT
    assert ledger.height == 1
    assert ledger.view().account(ADDRESSES[0]) == Account(1, 2)


def test_results_that_are_not_the_headers_are_a_fault() -> None:
    ledger = Ledger.open(MemoryStore(), GENESIS)
    block = executed(ledger, _pay(1))
    other = replace(block, changes=executed(ledger, _pay(2)).changes)
    with pytest.raises(Fault, match="state root"):
        ledger.commit(other)
    assert ledger.height == 0


def test_another_genesis_is_refused(store: Store) -> None:
    Ledger.open(store, GENESIS)
    with pytest.raises(Rejected) as refused:
        Ledger.open(store, dev_genesis(accounts=ADDRESSES))
    assert refused.value.reason is Reason.WRONG_CHAIN


def test_another_schema_is_refused(store: Store) -> None:
    Ledger.open(store, GENESIS)
    store.write([(schema.META, schema.SCHEMA, (99).to_bytes(4, "big"))], sync=True)
    with pytest.raises(Rejected, match="version 99") as refused:
        Ledger.open(store, GENESIS)
    assert refused.value.reason is Reason.WRONG_SCHEMA


def test_an_empty_store_without_a_genesis_is_refused(store: Store) -> None:
    with pytest.raises(Rejected) as refused:
        Ledger.open(store)
    assert refused.value.reason is Reason.BAD_GENESIS
    assert Ledger.open(store, GENESIS).height == 0


@pytest.mark.parametrize("table", [schema.HEADERS, schema.BODIES, schema.RECEIPTS, schema.CODES])
def test_a_corrupt_record_is_a_fault_where_it_is_read(store: Store, table: str) -> None:
    ledger = Ledger.open(store, GENESIS)
    ledger.commit(_full_block(ledger))
    key, value = list(store.scan(table, b""))[-1]
    store.write([(table, key, value[: len(value) // 2])], sync=True)

    def read_all() -> None:
        again = Ledger.open(store)
        for height in range(2):
            again.block(Height(height))
            again.receipts(Height(height))
        for code_hash, _ in list(store.scan(schema.CODES, b"")):
            again.view().code(Hash(code_hash))

    with pytest.raises(Fault):
        read_all()


def test_a_head_whose_state_is_not_there_is_a_fault(store: Store) -> None:
    ledger = Ledger.open(store, GENESIS)
    _commit(ledger, *range(1, 9))
    [root] = [record for key, record in store.scan(schema.TRIE, b"a") if key == b"a"]
    for spoiled in (root[:-1] + bytes((root[-1] ^ 1,)), root[:40], None):
        store.write([(schema.TRIE, b"a", spoiled)], sync=True)
        with pytest.raises(Fault):
            Ledger.open(store)
    store.write([(schema.TRIE, b"a", root)], sync=True)
    Ledger.open(store)


@pytest.mark.parametrize("fact", [schema.HEAD, schema.CHAIN, schema.OLDEST_STATE])
def test_a_missing_fact_is_a_fault(fact: bytes) -> None:
    store = MemoryStore()
    Ledger.open(store, GENESIS)
    store.write([(schema.META, fact, None)], sync=True)
    with pytest.raises(Fault, match="missing"):
        Ledger.open(store, GENESIS)


def test_state_out_of_retention_is_refused_and_its_history_dropped(store: Store) -> None:
    ledger = Ledger.open(store, GENESIS, retain_heights=3)
    first = ledger.view()
    for amount in range(1, 11):
        _commit(ledger, amount)
    for height in range(7):
        with pytest.raises(Rejected) as refused:
            ledger.view(Height(height))
        assert refused.value.reason is Reason.STATE_NOT_RETAINED
    with pytest.raises(Rejected) as refused:
        first.account(ADDRESSES[0])
    assert refused.value.reason is Reason.STATE_NOT_RETAINED
    with pytest.raises(Rejected) as refused:
        ledger.rollback(Height(6))
    assert refused.value.reason is Reason.STATE_NOT_RETAINED
    for height in range(7, 11):
        assert ledger.view(Height(height)).account(ADDRESSES[0]) == Account(1, height)
        assert ledger.prove(Height(height), ADDRESSES[0]).account == Account(1, height)
    assert len(list(store.scan(schema.ACCOUNT_HISTORY, b""))) == 3
    assert len(list(store.scan(schema.CHANGED, b""))) == 3
    again = Ledger.open(store)
    with pytest.raises(Rejected):
        again.view(Height(6))
    assert again.block(Height(1)).header.number == 1


def test_lowered_retention_drops_the_history_bit_by_bit() -> None:
    store = MemoryStore()
    ledger = Ledger.open(store, GENESIS)
    for amount in range(1, 41):
        _commit(ledger, amount)
    ledger = Ledger.open(store, GENESIS, retain_heights=2)
    for amount in range(10):
        _commit(ledger, amount)
    assert ledger.stats().oldest_state == ledger.height - 2
    assert len(list(store.scan(schema.CHANGED, b""))) == 2


def test_a_view_of_blocks_that_were_taken_back_is_refused() -> None:
    ledger = Ledger.open(MemoryStore(), GENESIS)
    _commit(ledger, 1)
    _commit(ledger, 2)
    view = ledger.view()
    ledger.rollback(Height(1))
    with pytest.raises(Rejected) as refused:
        view.account(ADDRESSES[0])
    assert refused.value.reason is Reason.STATE_NOT_RETAINED
    _commit(ledger, 3)
    with pytest.raises(Rejected):
        view.account(ADDRESSES[0])
    assert ledger.view().account(ADDRESSES[0]) == Account(1, 3)


def test_storage_of_a_deleted_account_comes_back_in_the_past_only(store: Store) -> None:
    ledger = Ledger.open(store, GENESIS)
    one = ADDRESSES[0]
    slots = {slot: slot + 1 for slot in range(50)}
    ledger.commit(executed(ledger, Delta({one: Account(1)}, {one: slots}, frozenset(), {})))
    assert ledger.view().storage(one, 9) == 10
    ledger.commit(executed(ledger, Delta({one: None}, {}, frozenset({one}), {})))
    ledger.commit(executed(ledger, Delta({one: Account(2)}, {one: {9: 99}}, frozenset(), {})))
    assert [ledger.view(Height(h)).storage(one, 9) for h in range(4)] == [0, 10, 0, 99]
    assert [ledger.view(Height(h)).storage(one, 8) for h in range(4)] == [0, 9, 0, 0]
    assert len(list(store.scan(schema.STORAGE, address_key(one)))) == 1
    assert ledger.name_of(slot_key(9)) == (9).to_bytes(32, "big")
    shown = ledger.prove(Height(1), one, [9, 8, 50])
    assert [each.value for each in shown.storage] == [10, 9, 0]


def test_readers_see_their_own_height_while_blocks_are_committed(store: Store) -> None:
    """Two threads read views of every age, values and proofs, as fast as they can.

    In block n all accounts hold n, so any mixture of heights would show.
    """
    ledger = Ledger.open(store, GENESIS, cache_entries=8)
    _commit(ledger, *[1] * len(ADDRESSES))
    done = Event()
    wrong: list[object] = []
    reads = [0, 0]

    def read(index: int) -> None:
        views = [(ledger.height, ledger.view())]
        while not wrong:
            finished = done.is_set()
            height, view = views[reads[index] % len(views)]
            held = [view.account(address) for address in ADDRESSES]
            if held != [Account(1, height)] * len(ADDRESSES):
                wrong.append((height, held))
            if reads[index] % 5 == 0:
                shown = ledger.prove(height, ADDRESSES[reads[index] % len(ADDRESSES)])
                if shown.account != Account(1, height):
                    wrong.append((height, shown))
            newest = ledger.view()
            views.append((Height(newest.account(ADDRESSES[0]).balance), newest))  # type: ignore[union-attr]
            del views[:-20]
            reads[index] += 1
            if finished:
                return

    def reading(index: int) -> None:
        try:
            read(index)
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [Thread(target=reading, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for number in range(2, 150):
        _commit(ledger, *[number] * len(ADDRESSES))
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert min(reads) > 0


_WRITER = """
import sys
from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage.rocks import RocksStore
from tests.chain.test_ledger import GENESIS, _commit
ledger = Ledger.open(RocksStore(sys.argv[1]), GENESIS)
while True:
    block = _commit(ledger, *[ledger.height + 1] * 9)
    print(block.hash.hex(), flush=True)
"""


def test_a_killed_ledger_has_every_block_it_reported(tmp_path: Path) -> None:
    """Killed again and again in the middle of commits; each start goes on without repair."""
    last = ""
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(5)]
        process.kill()
        lines += process.stdout.read().split()
        process.stdout.close()
        process.wait()
        last = [line for line in lines if len(line) == 64][-1]
        ledger = Ledger.open(RocksStore(tmp_path))
        height = ledger.height_of(Hash(bytes.fromhex(last)))
        assert height is not None and ledger.height - height in (0, 1)
        for address in ADDRESSES:
            assert ledger.view().account(address) == Account(1, ledger.height)
        assert ledger.header(ledger.height).state_root == ledger.view().root
        ledger.close()
    assert last


def test_stats_count_what_is_there(store: Store) -> None:
    ledger = Ledger.open(store, GENESIS)
    _commit(ledger, 1, 2, 3)
    stats = ledger.stats()
    assert stats.height == 1
    assert stats.accounts == 3 + len(_initial())
    assert stats.history_entries == 3
    assert stats.bytes_stored > 0


def test_the_hash_of_the_first_block_is_the_genesis_hash() -> None:
    ledger = Ledger.open(MemoryStore(), GENESIS)
    assert ledger.genesis_hash == header_hash(genesis_block(GENESIS)[0].header)
