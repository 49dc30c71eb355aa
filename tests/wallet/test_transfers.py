"""Signed transactions: byte for byte what another wallet makes of the same fields."""

from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.transactions import Kind, decode_transaction
from chain.types import Address
from wallet.signer import ORDER, address_of
from wallet.transfers import Prepared, sign

KEYS = st.integers(min_value=1, max_value=ORDER - 1).map(lambda secret: secret.to_bytes(32))
FEES = st.integers(min_value=0, max_value=2**64)


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Prepared, bytes]:
    """A transaction of either kind that the wallet makes, with the key it is signed by."""
    key = draw(KEYS)
    tip = draw(FEES)
    prepared = Prepared(
        sender=address_of(key),
        to=draw(st.one_of(st.none(), st.binary(min_size=20, max_size=20).map(Address))),
        value=draw(st.integers(min_value=0, max_value=2**256 - 1)),
        data=draw(st.binary(max_size=100)),
        kind=draw(st.sampled_from((Kind.LEGACY, Kind.DYNAMIC_FEE))),
        chain_id=draw(st.integers(min_value=1, max_value=2**40)),
        nonce=draw(st.integers(min_value=0, max_value=2**64 - 2)),
        gas_limit=draw(st.integers(min_value=21_000, max_value=2**40)),
        max_fee=tip + draw(FEES),
        max_priority_fee=tip,
    )
    return prepared, key


@settings(max_examples=60, deadline=None)
@given(drafts())
def test_another_wallet_signs_the_same_bytes(draft: tuple[Prepared, bytes]) -> None:
    prepared, key = draft
    fields = {
        "to": b"" if prepared.to is None else bytes(prepared.to),
        "value": prepared.value,
        "data": prepared.data,
        "chainId": prepared.chain_id,
        "nonce": prepared.nonce,
        "gas": prepared.gas_limit,
    }
    if prepared.kind == Kind.LEGACY:
        fields["gasPrice"] = prepared.max_fee
    else:
        fields |= {
            "type": 2,
            "maxFeePerGas": prepared.max_fee,
            "maxPriorityFeePerGas": prepared.max_priority_fee,
        }
    other = Account.sign_transaction(fields, key)
    ours = sign(prepared, key)
    assert ours.raw == bytes(other.raw_transaction)
    assert ours.hash == bytes(other.hash)


@settings(max_examples=60, deadline=None)
@given(drafts())
def test_the_chain_reads_what_the_wallet_signs(draft: tuple[Prepared, bytes]) -> None:
    prepared, key = draft
    transaction = sign(prepared, key)
    assert decode_transaction(transaction.raw) == transaction
    assert (transaction.to, transaction.value) == (prepared.to, prepared.value)
