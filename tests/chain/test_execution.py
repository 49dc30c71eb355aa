"""Blocks: what a builder makes is what everybody else accepts, and any false claim is refused."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chain.blocks import Block, Header, Withdrawal
from chain.commitment import commit
from chain.crypto.hd import derive_keys
from chain.errors import Reason, Rejected
from chain.execution import BlockBuilder, Executed, apply_block
from chain.forks import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS
from chain.genesis import dev_genesis, genesis_block
from chain.headers import header_hash
from chain.transactions import build_transaction, sign_transaction
from chain.types import ZERO_HASH, Address, Hash
from chain.validation import check_transaction
from chain.views import EmptyView, Overlay, TrieView
from contracts.vm import Interpreter

GENESIS = dev_genesis()
CONFIG = GENESIS.config
MACHINE = Interpreter()
KEYS = derive_keys("test test test test test test test test test test test junk", 2)
TO = Address(b"\x22" * 20)
TIME = 1_800_000_000


def start() -> tuple[Block, TrieView]:
    block, delta = genesis_block(GENESIS)
    return block, Overlay(EmptyView(), commit(EmptyView(), delta))


def no_hash(number: int) -> Hash:
    return ZERO_HASH


def builder(parent: Header, view: TrieView, **fields: object) -> BlockBuilder:
    defaults: dict[str, object] = {
        "timestamp": TIME,
        "coinbase": Address(b"\xcc" * 20),
        "gas_limit": parent.gas_limit,
        "randomness": Hash(b"\x09" * 32),
        "beacon_root": Hash(b"\x0b" * 32),
    }
    return BlockBuilder(view, parent, MACHINE, CONFIG, no_hash, **(defaults | fields))  # type: ignore[arg-type]


def build(transfers: int = 3, **fields: object) -> tuple[Executed, Block, TrieView]:
    genesis, view = start()
    making = builder(genesis.header, view, **fields)
    for nonce in range(transfers):
        unsigned = build_transaction(
            kind=2,
            chain_id=CONFIG.chain_id,
            nonce=nonce,
            gas_limit=21_000,
            max_fee=10**10,
            max_priority_fee=1,
            to=TO,
            value=1,
        )
        signed = sign_transaction(unsigned, KEYS[0])
        making.add(check_transaction(signed, making.execution.fork, CONFIG.chain_id))
    return making.seal(), genesis, view


def test_what_a_builder_makes_is_accepted_and_gives_the_same_result() -> None:
    made, genesis, view = build(
        withdrawals=(Withdrawal(0, 0, TO, 5),),
    )
    again = apply_block(view, made.block, genesis.header, MACHINE, CONFIG, no_hash)
    assert again.hash == made.hash == header_hash(made.block.header)
    assert again.receipts == made.receipts
    assert again.changes.root == made.changes.root
    after = Overlay(view, again.changes).account(TO)
    assert after is not None and after.balance == 3 + 5 * 10**9


def test_the_system_contracts_remember_the_beacon_root_and_the_parents_hash() -> None:
    """EIP-4788 and EIP-2935: both are rings of 8191 slots."""
    made, genesis, view = build(transfers=0)
    after = Overlay(view, made.changes)
    assert after.storage(BEACON_ROOTS_ADDRESS, TIME % 8191) == TIME
    assert after.storage(BEACON_ROOTS_ADDRESS, TIME % 8191 + 8191) == int.from_bytes(
        b"\x0b" * 32, "big"
    )
    assert after.storage(HISTORY_STORAGE_ADDRESS, 0) == int.from_bytes(
        header_hash(genesis.header), "big"
    )


def test_a_refused_transaction_leaves_the_block_as_it_was() -> None:
    genesis, view = start()
    making = builder(genesis.header, view)
    fields = {"kind": 2, "chain_id": CONFIG.chain_id, "gas_limit": 21_000, "max_fee": 10**10}
    early = sign_transaction(build_transaction(nonce=1, to=TO, **fields), KEYS[0])  # type: ignore[arg-type]
    with pytest.raises(Rejected) as refused:
        making.add(check_transaction(early, making.execution.fork, CONFIG.chain_id))
    assert refused.value.reason == Reason.NONCE_TOO_HIGH
    assert making.seal().hash == builder(genesis.header, view).seal().hash


Lie = Callable[[Block], Block]


def lie(**fields: object) -> Lie:
    return lambda block: replace(block, header=replace(block.header, **fields))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lie(gas_used=1), Reason.WRONG_GAS_USED),
        (lie(state_root=ZERO_HASH), Reason.WRONG_STATE_ROOT),
        (lie(receipts_root=ZERO_HASH), Reason.WRONG_RECEIPTS_ROOT),
        (lie(transactions_root=ZERO_HASH), Reason.WRONG_TRANSACTIONS_ROOT),
        (lie(logs_bloom=b"\x01" * 256), Reason.WRONG_LOGS_BLOOM),
        (lie(withdrawals_root=ZERO_HASH), Reason.WRONG_WITHDRAWALS),
        (lie(requests_hash=ZERO_HASH), Reason.WRONG_REQUESTS),
        (lie(blob_gas_used=131_072), Reason.WRONG_BLOB_GAS),
        (lie(base_fee=1), Reason.WRONG_BASE_FEE),
        (lie(timestamp=0), Reason.WRONG_TIMESTAMP),
        (lie(number=2), Reason.WRONG_NUMBER),
        (lie(gas_limit=1), Reason.WRONG_GAS_LIMIT),
        (lie(parent_hash=ZERO_HASH), Reason.UNKNOWN_PARENT),
        (lambda block: replace(block, transactions=()), Reason.WRONG_TRANSACTIONS_ROOT),
        (lambda block: replace(block, withdrawals=None), Reason.WRONG_WITHDRAWALS),
    ],
)
def test_every_false_claim_of_a_block_is_refused_with_its_reason(
    change: Lie, reason: Reason
) -> None:
    made, genesis, view = build()
    with pytest.raises(Rejected) as refused:
        apply_block(view, change(made.block), genesis.header, MACHINE, CONFIG, no_hash)
    assert refused.value.reason == reason


def test_a_block_of_more_than_eight_mebibytes_is_refused() -> None:
    """EIP-7934."""
    made, genesis, view = build(transfers=0)
    data = b"\x00" * 100_000
    unsigned = build_transaction(
        kind=2, chain_id=CONFIG.chain_id, nonce=0, gas_limit=10**6, max_fee=1, data=data, to=TO
    )
    big = replace(made.block, transactions=(sign_transaction(unsigned, KEYS[0]),) * 84)
    with pytest.raises(Rejected) as refused:
        apply_block(view, big, genesis.header, MACHINE, CONFIG, no_hash)
    assert refused.value.reason == Reason.BLOCK_TOO_LARGE
