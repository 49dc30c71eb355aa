"""A whole node in one process: transactions in, blocks out, crashes in between."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from msgspec.structs import replace

from chain.blocks import decode_block, encode_block
from chain.errors import Fault, Reason, Rejected
from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from chain.storage.store import Store
from chain.transactions import Kind, build_transaction, sign_transaction
from chain.types import Address, Hash, Height
from chain.validators import (
    Domain,
    Validator,
    check_certificate,
    decode_certificate,
    decode_record,
    randomness,
    record_hash,
    validator_set,
)
from node.consensus.log_file import DiskFile
from node.keys import dev_accounts
from node.node import Node
from node.pool.journal import decode_records
from node.settings import TEST_MNEMONIC, Settings

ACCOUNTS: Final = dev_accounts(TEST_MNEMONIC, 3)
ADDRESSES: Final = list(ACCOUNTS)
KEY: Final = bytes(31) + b"\x2a"
RECIPIENT: Final = Address(b"\x77" * 20)
T = TypeVar("T")


class KeptStore(MemoryStore):
    """A memory store that survives the ledger's closing it, as a disk would."""

    def close(self) -> None:
        """Stays open."""


def transfer(index: int, nonce: int, *, max_fee: int = 10**12, gas: int = 21_000) -> bytes:
    sender = ADDRESSES[index]
    unsigned = build_transaction(
        kind=Kind.DYNAMIC_FEE, chain_id=31337, nonce=nonce, gas_limit=gas, max_fee=max_fee,
        max_priority_fee=min(10**9, max_fee), to=RECIPIENT, value=1,
    )  # fmt: skip
    return sign_transaction(unsigned, ACCOUNTS[sender]).raw


def make_node(
    store: Store, votes: Path | None = None, *, pool: Path | None = None, **chain: Any
) -> Node:
    settings = Settings()
    settings = replace(settings, chain=replace(settings.chain, **chain))
    ledger = Ledger.open(store, dev_genesis(accounts=ADDRESSES))
    return Node(
        settings,
        ledger,
        accounts=ACCOUNTS,
        validator_key=KEY,
        votes=None if votes is None else DiskFile(votes),
        pool=pool,
    )


def run(work: Callable[[Node], Coroutine[Any, Any, T]], node: Callable[[], Node]) -> T:
    """Start a node, do some work with it, stop it."""

    async def scenario() -> T:
        running = node()
        await running.start()
        try:
            return await asyncio.wait_for(work(running), 60)
        finally:
            await running.stop()

    return asyncio.run(scenario())


async def committed(node: Node, count: int) -> list[int]:
    """Wait until this many transactions are in blocks; transactions per block."""
    blocks = node.announcements.subscribe("blocks")
    sizes = [
        len(node.ledger.block(Height(height)).transactions)
        for height in range(1, node.ledger.height + 1)
    ]
    while sum(sizes) < count:
        sizes.append(len((await blocks.get()).block.transactions))
    return sizes


def test_a_transaction_becomes_a_block_with_certificate_and_record() -> None:
    async def work(node: Node) -> None:
        blocks = node.announcements.subscribe("blocks")
        pooled = node.announcements.subscribe("transactions")
        transaction_hash = await node.submit(transfer(0, 0))
        executed = await blocks.get()
        assert (await pooled.get()).transaction.hash == transaction_hash
        header = executed.block.header
        assert node.ledger.locate(transaction_hash) == (1, 0)
        assert node.ledger.view().account(RECIPIENT)
        assert len(node.mempool) == 0
        record = decode_record(node.ledger.record(Height(1)) or b"")
        assert header.parent_beacon_root == record_hash(record)
        assert header.mix_hash == randomness(record)
        assert (record.height, record.parent_hash) == (1, node.ledger.genesis_hash)
        assert record.timestamp_ms // 1000 == header.timestamp
        certificate = decode_certificate(node.ledger.certificate(Height(1)) or b"")
        assert certificate.ballot.block_hash == executed.hash
        assert node.validator is not None
        members = validator_set([Validator(node.validator, 1)])
        check_certificate(certificate, members, Domain(31337, node.ledger.genesis_hash))
        assert decode_block(encode_block(executed.block)) == executed.block

    run(work, lambda: make_node(MemoryStore()))


def test_everything_sent_at_once_gets_in_without_empty_blocks() -> None:
    async def work(node: Node) -> list[int]:
        raws = [transfer(index, nonce) for nonce in range(400) for index in range(3)]
        await asyncio.gather(*map(node.submit, raws))
        return await committed(node, 1200)

    sizes = run(work, lambda: make_node(MemoryStore()))
    assert sum(sizes) == 1200
    assert all(sizes)


def test_nonces_that_come_in_the_wrong_order_all_get_in() -> None:
    async def work(node: Node) -> int:
        for nonce in reversed(range(20)):
            await node.submit(transfer(0, nonce))
        return sum(await committed(node, 20))

    assert run(work, lambda: make_node(MemoryStore())) == 20


def test_a_fee_cap_that_the_base_fee_overtook_gets_in_when_it_falls() -> None:
    """No kick, no other traffic: blocks are built until the fee is low enough."""

    async def work(node: Node) -> int:
        before = node.ledger.head.base_fee or 0
        await node.submit(transfer(0, 0, max_fee=before // 2))
        sizes = await committed(node, 1)
        return len(sizes)

    assert 5 <= run(work, lambda: make_node(MemoryStore())) <= 8


def test_a_hopeless_fee_cap_waits_without_blocks_being_built() -> None:
    async def work(node: Node) -> tuple[int, int]:
        await node.submit(transfer(0, 0, max_fee=7))
        await node.submit(transfer(1, 0))
        await committed(node, 1)
        return node.ledger.height, len(node.mempool)

    assert run(work, lambda: make_node(MemoryStore())) == (1, 1)


def test_refusals_reach_their_own_caller() -> None:
    async def work(node: Node) -> list[Any]:
        return await asyncio.gather(
            node.submit(transfer(0, 0)),
            node.submit(transfer(0, 0)),
            node.submit(b"\x02garbage"),
            node.submit(transfer(1, 0, gas=20_999)),
            node.submit(transfer(2, 0)),
            return_exceptions=True,
        )

    good, known, garbage, cheap, other = run(work, lambda: make_node(MemoryStore()))
    assert len(good) == len(other) == 32
    assert known.reason is Reason.ALREADY_KNOWN
    assert isinstance(garbage, Rejected)
    assert cheap.reason is Reason.INTRINSIC_GAS_TOO_LOW


def test_times_strictly_ascend() -> None:
    async def work(node: Node) -> list[int]:
        for nonce in range(6):
            await node.submit(transfer(0, nonce))
            await committed(node, nonce + 1)
        return [node.ledger.header(Height(h)).timestamp for h in range(node.ledger.height + 1)]

    times = run(work, lambda: make_node(MemoryStore()))
    assert times == sorted(set(times))


def test_with_a_block_time_blocks_come_by_the_clock() -> None:
    async def work(node: Node) -> int:
        blocks = node.announcements.subscribe("blocks")
        await blocks.get()
        await node.submit(transfer(0, 0))
        while not (await blocks.get()).block.transactions:
            pass
        return node.ledger.height

    assert run(work, lambda: make_node(MemoryStore(), block_time=0.05)) >= 2


def test_with_a_block_time_and_no_empty_blocks_only_transactions_make_blocks() -> None:
    async def work(node: Node) -> list[int]:
        await node.submit(transfer(0, 0))
        await committed(node, 1)
        await node.submit(transfer(0, 1))
        return await committed(node, 2)

    chain = {"block_time": 0.05, "empty_blocks": False}
    assert run(work, lambda: make_node(MemoryStore(), **chain)) == [1, 1]


def crash_at_commit(store: Store, votes: Path) -> Hash:
    """A node that dies after it voted for a block and before the ledger has it."""

    async def scenario() -> Hash:
        node = make_node(store, votes)
        await node.start()

        def die(*_: object, **__: object) -> None:
            raise Fault("power cut")

        node.ledger.commit = die  # type: ignore[method-assign]
        transaction_hash = await node.submit(transfer(0, 0))
        with pytest.raises(Fault, match="power cut"):
            await asyncio.wait_for(node.failed, 60)
        with pytest.raises(Fault):
            await node.submit(transfer(0, 1))
        await node.stop()
        assert node.ledger.height == 0
        return transaction_hash

    return asyncio.run(scenario())


def test_a_block_that_was_voted_for_survives_a_crash_before_the_commit(tmp_path: Path) -> None:
    store, votes = KeptStore(), tmp_path / "votes.log"
    transaction_hash = crash_at_commit(store, votes)

    async def work(node: Node) -> None:
        assert node.ledger.locate(transaction_hash) == (1, 0)
        await node.submit(transfer(0, 1))
        assert await committed(node, 2) == [1, 1]

    run(work, lambda: make_node(store, votes))


def test_a_vote_whose_block_is_lost_stops_the_start(tmp_path: Path) -> None:
    """The key must not build beside its own vote."""
    votes = tmp_path / "votes.log"
    crash_at_commit(KeptStore(), votes)
    from node.consensus.vote_log import VoteLog

    log = VoteLog(DiskFile(votes))
    kept = list(log.votes)
    log.close()
    votes.unlink()
    bare = VoteLog(DiskFile(votes))
    bare.append(kept)
    bare.close()

    async def scenario() -> None:
        node = make_node(KeptStore(), votes)
        try:
            with pytest.raises(Fault, match="lost"):
                await node.start()
        finally:
            await node.stop()

    asyncio.run(scenario())


def test_stopping_keeps_what_was_committed_and_starting_goes_on(tmp_path: Path) -> None:
    store, votes = KeptStore(), tmp_path / "votes.log"

    async def first(node: Node) -> Hash:
        await node.submit(transfer(0, 0))
        await committed(node, 1)
        return node.ledger.head_hash

    async def second(node: Node) -> Hash:
        parent = node.ledger.head_hash
        await node.submit(transfer(0, 1))
        await committed(node, 2)
        assert node.ledger.head.parent_hash == parent
        return parent

    head = run(first, lambda: make_node(store, votes))
    assert run(second, lambda: make_node(store, votes)) == head


def test_without_a_key_transactions_wait_and_nothing_is_built() -> None:
    async def scenario() -> tuple[int, int]:
        ledger = Ledger.open(MemoryStore(), dev_genesis(accounts=ADDRESSES))
        node = Node(Settings(), ledger, accounts={}, validator_key=None, votes=None)
        await node.start()
        await node.submit(transfer(0, 0))
        await node.stop()
        return ledger.height, len(node.mempool)

    assert asyncio.run(scenario()) == (0, 1)


def test_what_waits_in_the_pool_is_kept_over_a_stop(tmp_path: Path) -> None:
    store, pool = KeptStore(), tmp_path / "pool.log"

    async def first(node: Node) -> None:
        for nonce in (0, 1, 3):
            await node.submit(transfer(0, nonce))

    async def second(node: Node) -> tuple[int, int]:
        assert node.mempool.status() == (2, 1)
        await node.submit(transfer(0, 2))
        return node.mempool.status()

    # An hour between blocks: nothing gets in before the stop.
    assert run(first, lambda: make_node(store, pool=pool, block_time=3600)) is None
    assert run(second, lambda: make_node(store, pool=pool, block_time=3600)) == (4, 0)

    async def third(node: Node) -> int:
        return sum(await committed(node, 4))

    assert run(third, lambda: make_node(store, pool=pool)) == 4


def test_what_can_not_run_yet_is_told_to_nobody_until_it_can(tmp_path: Path) -> None:
    """Subscribers and peers hear of a transaction once no earlier nonce is missing; of what
    was kept over a stop they hear, too."""
    store, pool = KeptStore(), tmp_path / "pool.log"

    async def heard(node: Node, work: Callable[[], Coroutine[Any, Any, None]]) -> list[int]:
        news = node.announcements.subscribe("transactions")
        await work()
        found = []
        while (checked := news.get_nowait()) is not None:
            found.append(checked.transaction.nonce)
        return found

    async def first(node: Node) -> None:
        async def send(*nonces: int) -> None:
            for nonce in nonces:
                await node.submit(transfer(0, nonce))

        assert await heard(node, lambda: send(1, 2, 4)) == []
        assert await heard(node, lambda: send(0)) == [0, 1, 2]

    async def second() -> None:
        node = make_node(store, pool=pool, block_time=3600)
        assert sorted(await heard(node, node.start)) == [0, 1, 2]
        await node.stop()

    run(first, lambda: make_node(store, pool=pool, block_time=3600))
    asyncio.run(second())


@pytest.mark.parametrize("damage", [b"", b"\0\0\0\0\xc0", b"garbage", b"cn-pool1\0\0"])
def test_a_damaged_pool_file_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    pool = tmp_path / "pool.log"
    pool.write_bytes(damage)

    async def work(node: Node) -> int:
        return len(node.mempool)

    assert run(work, lambda: make_node(MemoryStore(), pool=pool)) == 0


def test_a_bug_stops_the_node_and_its_pool_is_not_kept(tmp_path: Path) -> None:
    """What brought it down must not do so at every start."""
    pool = tmp_path / "pool.log"

    async def scenario() -> None:
        node = make_node(MemoryStore(), pool=pool)
        await node.start()

        def break_down(*_: object) -> None:
            raise ZeroDivisionError

        node.ledger.view = break_down  # type: ignore[method-assign, assignment]
        try:
            await node.submit(transfer(0, 0))
            with pytest.raises(Fault, match="ZeroDivisionError"):
                await asyncio.wait_for(node.failed, 60)
        finally:
            await node.stop()

    asyncio.run(scenario())
    assert list(decode_records(pool.read_bytes())) == []


def test_a_bug_in_checking_is_told_to_the_caller_and_leaves_the_queue_working() -> None:
    async def work(node: Node) -> None:
        def break_down(*_: object) -> None:
            raise ZeroDivisionError

        sound = node.ledger.total_difficulty
        node.ledger.total_difficulty = break_down  # type: ignore[method-assign, assignment]
        with pytest.raises(ZeroDivisionError):
            await node.submit(transfer(0, 0))
        node.ledger.total_difficulty = sound  # type: ignore[method-assign]
        await node.submit(transfer(0, 0))
        assert await committed(node, 1) == [1]

    run(work, lambda: make_node(MemoryStore()))
