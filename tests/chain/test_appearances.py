"""The transactions that have to do with an address are listed under it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain import appearances
from chain.execution import BlockBuilder
from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage import MemoryStore, Store, schema
from chain.storage.rocks import RocksStore
from chain.transactions import Checked, Kind, build_transaction, sign_transaction
from chain.transition import contract_address
from chain.types import ZERO_HASH, Address, Height
from contracts.vm import Interpreter
from node.keys import dev_accounts

ACCOUNTS = dev_accounts("test test test test test test test test test test test junk", 3)
FIRST, SECOND, THIRD = ACCOUNTS
COINBASE = Address(b"\xcb" * 20)
PAID = Address(b"\x77" * 20)
# Pays 1 wei to PAID: call(gas, PAID, 1, 0, 0, 0, 0)
PAYING = bytes.fromhex(f"60006000600060006001 73{PAID.hex()} 5af1 00".replace(" ", ""))
# Reverts after it has paid.
UNDOING = PAYING[:-1] + bytes.fromhex("60006000fd")


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "db")
    yield made
    made.close()


def commit(ledger: Ledger, *messages: tuple[Address, Address | None, int, bytes]) -> None:
    """A block of one transaction for each sender, recipient, value and data."""
    head = ledger.head
    builder = BlockBuilder(
        ledger.view(),
        head,
        Interpreter(),
        ledger.config,
        ledger.hash_at,
        timestamp=head.timestamp + 1,
        coinbase=COINBASE,
        gas_limit=head.gas_limit,
        randomness=ZERO_HASH,
    )
    for sender, to, value, data in messages:
        unsigned = build_transaction(
            kind=Kind.DYNAMIC_FEE,
            chain_id=ledger.config.chain_id,
            nonce=builder.execution.state.nonce(sender),
            gas_limit=200_000,
            max_fee=10**10,
            max_priority_fee=1,
            to=to,
            value=value,
            data=data,
        )
        builder.add(Checked(sign_transaction(unsigned, ACCOUNTS[sender]), sender))
    ledger.commit(builder.seal())


def of(ledger: Ledger, address: Address, *, newest_first: bool = False) -> list[tuple[int, ...]]:
    where = range(ledger.height + 1)
    return [
        (found.height, *found.indices)
        for found in ledger.appearances(address, where, newest_first=newest_first)
    ]


def opened(store: Store) -> Ledger:
    return Ledger.open(store, dev_genesis(accounts=list(ACCOUNTS)))


def test_senders_and_recipients_are_listed_by_block(store: Store) -> None:
    ledger = opened(store)
    commit(ledger, (FIRST, SECOND, 1, b""), (FIRST, THIRD, 1, b""), (SECOND, THIRD, 1, b""))
    commit(ledger, (THIRD, FIRST, 1, b""))
    assert of(ledger, FIRST) == [(1, 0, 1), (2, 0)]
    assert of(ledger, SECOND) == [(1, 0, 2)]
    assert of(ledger, THIRD, newest_first=True) == [(2, 0), (1, 1, 2)]
    assert of(ledger, COINBASE) == []
    assert of(ledger, PAID) == []


def test_whoever_a_contract_pays_or_makes_is_listed(store: Store) -> None:
    ledger = opened(store)
    initcode = bytes.fromhex(f"60{len(PAYING):02x}80600b6000396000f3") + PAYING
    contract = contract_address(FIRST, 0)
    commit(ledger, (FIRST, None, 0, initcode))
    commit(ledger, (SECOND, contract, 5, b""))
    assert of(ledger, contract) == [(1, 0), (2, 0)]
    assert of(ledger, PAID) == [(2, 0)]


def test_whoever_was_called_is_listed_even_if_it_was_undone(store: Store) -> None:
    ledger = opened(store)
    commit(ledger, (FIRST, None, 7, UNDOING), (FIRST, SECOND, 0, b""))
    assert of(ledger, PAID) == [(1, 0)]
    assert of(ledger, SECOND) == [(1, 1)]
    assert of(ledger, FIRST, newest_first=True) == [(1, 0, 1)]
    assert of(ledger, contract_address(FIRST, 0)) == [(1, 0)]


def test_blocks_taken_back_are_not_listed(store: Store) -> None:
    """Given another block at the same height, only its transactions are found."""
    ledger = opened(store)
    commit(ledger, (FIRST, SECOND, 1, b""))
    commit(ledger, (FIRST, SECOND, 1, b""))
    ledger.rollback(Height(1))
    assert of(ledger, SECOND) == [(1, 0)]
    commit(ledger, (FIRST, THIRD, 1, b""))
    assert of(ledger, SECOND) == [(1, 0)]
    assert of(ledger, THIRD) == [(2, 0)]


def test_a_long_history_is_read_backwards_in_order() -> None:
    """Given appearances far apart and close together, both orders tell the same."""
    store = MemoryStore()
    heights = sorted({*range(10), *range(5_000, 5_100), 9_000, 200_000})
    for height in heights:
        key = FIRST + schema.height_key(height)
        store.write([(schema.APPEARANCES, key, bytes(4) + b"\0\0\1")], sync=False)
    where = range(300_000)
    forwards = [found.height for found in appearances.ascending(store, FIRST, where)]
    backwards = [found.height for found in appearances.descending(store, FIRST, where)]
    assert forwards == heights == backwards[::-1]
    middle = [found.height for found in appearances.descending(store, FIRST, range(5, 5_010))]
    assert middle == [*range(5_009, 4_999, -1), *range(9, 4, -1)]


def test_a_ledger_from_before_the_indexes_goes_on_with_them(store: Store) -> None:
    """Given data of version 1, its blocks stay without rows and those that follow have them."""
    ledger = opened(store)
    commit(ledger, (FIRST, SECOND, 1, b""))
    key = SECOND + schema.height_key(1)
    version = (1).to_bytes(4, "big")
    store.write([(schema.APPEARANCES, key, None), (schema.META, schema.SCHEMA, version)], sync=True)
    for _ in range(2):
        ledger = opened(store)
        assert ledger.indexed_from == 2
    commit(ledger, (FIRST, SECOND, 1, b""))
    assert of(ledger, SECOND) == [(2, 0)]
    assert opened(MemoryStore()).indexed_from == 0
