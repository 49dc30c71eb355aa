"""One transaction on a state: what it costs, whom it pays, and why it is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.crypto import secp256k1
from chain.errors import Reason, Rejected
from chain.forks import BERLIN, FRONTIER, LONDON, OSAKA, SPURIOUS_DRAGON, Fork
from chain.machine import BlockContext, Halt
from chain.state import Account, State
from chain.transactions import Checked, Transaction, build_transaction, sign_transaction
from chain.transition import (
    DELEGATION_PREFIX,
    TransactionResult,
    apply_transaction,
    contract_address,
    delegate_of,
    simulate,
)
from chain.types import ZERO_HASH, Address
from chain.validation import check_transaction
from contracts.vm import Interpreter
from tests.chain.test_state import FixedView
from tests.support.builders import authorization

KEY = bytes(31) + b"\x01"
SENDER = secp256k1.address_of(KEY)
TO = Address(b"\x22" * 20)
COINBASE = Address(b"\xcc" * 20)
ETHER = 10**18


def block(base_fee: int = 10, chain_id: int = 1, blob_base_fee: int = 1) -> BlockContext:
    return BlockContext(
        number=1,
        timestamp=1,
        coinbase=COINBASE,
        gas_limit=30_000_000,
        chain_id=chain_id,
        base_fee=base_fee,
        randomness=0,
        blob_base_fee=blob_base_fee,
        block_hash=lambda number: ZERO_HASH,
    )


def world(code: bytes = b"", balance: int = ETHER, nonce: int = 0) -> State:
    """A state with a rich sender and, at TO, the given code."""
    state = State(FixedView(accounts={SENDER: Account(nonce, balance)}))
    if code:
        state.set_code(TO, code)
    return state


def transfer(**fields: object) -> Transaction:
    given_fields: dict[str, object] = {
        "kind": 2,
        "chain_id": 1,
        "nonce": 0,
        "gas_limit": 100_000,
        "max_fee": 20,
        "max_priority_fee": 3,
        "to": TO,
        "value": 5,
    }
    return build_transaction(**(given_fields | fields))  # type: ignore[arg-type]


def apply(
    state: State,
    transaction: Transaction,
    fork: Fork = OSAKA,
    context: BlockContext | None = None,
    gas_available: int = 30_000_000,
    blob_gas_available: int = 0,
) -> TransactionResult:
    return apply_transaction(
        state,
        Checked(transaction, SENDER),
        context or block(0 if not fork.base_fee else 10),
        Interpreter(),
        fork,
        gas_available=gas_available,
        blob_gas_available=blob_gas_available,
    )


def test_a_transfer_moves_value_burns_the_base_fee_and_tips_the_coinbase() -> None:
    state = world()
    result = apply(state, transfer())
    assert (result.gas_used, result.gas_price, result.halt) == (21_000, 13, None)
    assert state.balance(TO) == 5
    assert state.balance(SENDER) == ETHER - 5 - 21_000 * 13
    assert state.balance(COINBASE) == 21_000 * 3
    assert state.nonce(SENDER) == 1


@given(st.integers(0, 10**6), st.integers(10, 40), st.integers(0, 10))
def test_ether_is_conserved_but_for_the_burned_base_fee(value: int, max_fee: int, tip: int) -> None:
    state = world()
    tip = min(tip, max_fee)
    result = apply(state, transfer(value=value, max_fee=max_fee, max_priority_fee=tip))
    total = sum(state.balance(a) for a in (SENDER, TO, COINBASE))
    assert total == ETHER - result.gas_used * 10


@pytest.mark.parametrize(
    ("fields", "state_fields", "limits", "reason"),
    [
        ({"nonce": 0}, {"nonce": 1}, {}, Reason.NONCE_TOO_LOW),
        ({"nonce": 2}, {"nonce": 1}, {}, Reason.NONCE_TOO_HIGH),
        ({"nonce": 2**64 - 1}, {"nonce": 2**64 - 1}, {}, Reason.NONCE_OVERFLOW),
        ({}, {}, {"gas_available": 99_999}, Reason.BLOCK_GAS_EXCEEDED),
        ({"max_fee": 9, "max_priority_fee": 0}, {}, {}, Reason.FEE_CAP_BELOW_BASE_FEE),
        ({}, {"balance": 100_000 * 20 + 4}, {}, Reason.INSUFFICIENT_FUNDS),
        ({"gas_limit": 20_999}, {}, {}, Reason.INTRINSIC_GAS_TOO_LOW),
        ({"gas_limit": 21_160, "data": b"\x01" * 10}, {}, {}, Reason.FLOOR_GAS_TOO_LOW),
        (
            {"kind": 3, "blob_hashes": (b"\x01" + bytes(31),), "max_blob_fee": 1},
            {},
            {"blob_gas_available": 131_071},
            Reason.BLOB_GAS_EXCEEDED,
        ),
        (
            {"kind": 3, "blob_hashes": (b"\x01" + bytes(31),), "max_blob_fee": 0},
            {},
            {"blob_gas_available": 131_072},
            Reason.BLOB_FEE_CAP_TOO_LOW,
        ),
    ],
)
def test_a_refusal_has_its_reason_and_changes_nothing(
    fields: dict[str, object],
    state_fields: dict[str, int],
    limits: dict[str, int],
    reason: Reason,
) -> None:
    state = world(**state_fields)  # type: ignore[arg-type]
    with pytest.raises(Rejected) as refused:
        apply(state, transfer(**fields), **limits)  # type: ignore[arg-type]
    assert refused.value.reason == reason
    delta = state.delta()
    assert not delta.accounts and not delta.storage


def test_the_balance_that_just_covers_the_worst_case_is_enough() -> None:
    state = world(balance=100_000 * 20 + 5)
    assert apply(state, transfer()).halt is None


def test_a_contract_can_not_send_but_a_delegating_account_can() -> None:
    """EIP-3607, and its exception from EIP-7702."""
    state = world()
    state.set_code(SENDER, b"\x00")
    with pytest.raises(Rejected) as refused:
        apply(state, transfer())
    assert refused.value.reason == Reason.SENDER_NOT_EOA
    state.set_code(SENDER, DELEGATION_PREFIX + TO)
    assert apply(state, transfer()).halt is None


def test_a_failed_call_pays_for_all_its_gas_and_keeps_its_value() -> None:
    state = world(code=b"\xfe")
    result = apply(state, transfer())
    assert result.halt == Halt.BAD_OPCODE
    assert result.gas_used == 100_000
    assert state.balance(TO) == 0 and state.nonce(SENDER) == 1


def test_a_reverted_call_gives_its_data_and_its_rest_of_gas() -> None:
    # MSTORE8(0, 0xAB), REVERT(0, 1)
    state = world(code=bytes.fromhex("60ab60005360016000fd"))
    result = apply(state, transfer())
    assert result.halt == Halt.REVERT
    assert result.output == b"\xab"
    assert result.gas_used < 22_000


def test_a_creation_deploys_at_the_address_of_sender_and_nonce() -> None:
    # returns one byte 0x00 as code
    state = world()
    result = apply(state, transfer(to=None, data=bytes.fromhex("60016000f3"), value=7))
    assert result.created == contract_address(SENDER, 0)
    assert result.halt is None
    assert state.code(result.created) == b"\x00"
    assert state.nonce(result.created) == 1 and state.balance(result.created) == 7


def test_a_refund_is_at_most_a_fifth_from_london_and_half_before() -> None:
    """EIP-3529: clearing a slot refunds 4800 of what was used; before, 15000."""
    clearing = bytes.fromhex("6000600055")  # SSTORE(0, 0)
    for fork, refund in ((BERLIN, 15_000), (LONDON, 4_800)):
        view = FixedView(accounts={SENDER: Account(0, ETHER)}, slots={(TO, 0): 1})
        state = State(view)
        state.set_code(TO, clearing)
        result = apply(state, transfer(value=0), fork)
        spent = 21_000 + 6 + 5_000
        assert result.gas_used == spent - min(spent // fork.refund_quotient, refund)
        assert result.gas_needed == spent


def test_the_floor_of_calldata_is_paid_after_refunds() -> None:
    """EIP-7623: at least 10 per token, four tokens for a byte that is not zero."""
    result = apply(world(), transfer(data=b"\x01" * 1000))
    assert result.gas_used == 21_000 + 40_000
    assert result.gas_needed == result.gas_used


def test_the_coinbase_is_touched_before_spurious_dragon_and_not_left_empty_after() -> None:
    for fork, exists in ((FRONTIER, True), (SPURIOUS_DRAGON, False)):
        state = world()
        apply(state, transfer(kind=0, chain_id=None, max_fee=0, max_priority_fee=0), fork)
        assert state.exists(COINBASE) is exists


def test_an_authorization_points_an_account_at_code_and_cleared_takes_it_away() -> None:
    key = bytes(31) + b"\x02"
    authority = secp256k1.address_of(key)
    state = world(code=bytes.fromhex("00"))
    granted = authorization(key, chain_id=1, address=TO, nonce=0)
    apply(state, transfer(kind=4, authorizations=(granted,)))
    assert delegate_of(state.code(authority)) == TO
    assert state.nonce(authority) == 1
    taken = authorization(key, chain_id=0, address=Address(bytes(20)), nonce=1)
    apply(state, transfer(kind=4, nonce=1, authorizations=(taken,)))
    assert state.code(authority) == b"" and state.nonce(authority) == 2


@pytest.mark.parametrize(
    "changes",
    [{"chain_id": 2}, {"nonce": 1}, {"nonce": 2**64 - 1}],
)
def test_an_authorization_that_does_not_fit_is_skipped(changes: dict[str, int]) -> None:
    key = bytes(31) + b"\x02"
    fields = {"chain_id": 1, "nonce": 0} | changes
    state = world()
    result = apply(
        state, transfer(kind=4, authorizations=(authorization(key, address=TO, **fields),))
    )
    assert result.halt is None
    assert state.code(secp256k1.address_of(key)) == b""
    assert result.gas_used == 21_000 + 25_000


def test_a_simulated_call_needs_neither_nonce_nor_fees() -> None:
    # returns BASEFEE: zero, since the call pays none
    state = world(code=bytes.fromhex("4860005260206000f3"), nonce=9)
    call = transfer(max_fee=0, max_priority_fee=0, value=0, gas_limit=50_000)
    result = simulate(state, call, SENDER, block(), Interpreter(), OSAKA)
    assert int.from_bytes(result.output, "big") == 0


def test_a_simulated_call_still_needs_funds_for_its_value() -> None:
    with pytest.raises(Rejected) as refused:
        simulate(
            world(balance=4),
            transfer(max_fee=0, max_priority_fee=0),
            SENDER,
            block(),
            Interpreter(),
            OSAKA,
        )
    assert refused.value.reason == Reason.INSUFFICIENT_FUNDS


def test_signing_recovers_to_the_sender() -> None:
    signed = sign_transaction(transfer(), KEY)
    assert check_transaction(signed, OSAKA, 1).sender == SENDER
