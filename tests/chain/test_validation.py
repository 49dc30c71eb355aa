"""The rules of a transaction that need no state, each broken alone."""

import pytest
from msgspec.structs import replace

from chain import forks, validation
from chain.blobs import (
    BLOB_PROOFS,
    CELL_PROOFS,
    BlobSidecar,
    build_sidecar,
    versioned_hash,
)
from chain.crypto import secp256k1
from chain.errors import Reason, Rejected
from chain.forks import CANCUN, FRONTIER, HOMESTEAD, LONDON, OSAKA, PRAGUE, SHANGHAI
from chain.transactions import (
    Authorization,
    Checked,
    build_transaction,
    decode_transaction,
    sign_transaction,
    with_signature,
)
from chain.types import Address, Hash
from chain.validation import (
    check_again,
    check_ahead,
    check_sidecar,
    check_transaction,
    check_transactions,
    floor_gas,
    intrinsic_gas,
)

KEY = bytes(31) + b"\x2a"
TO = Address(b"\xaa" * 20)
CHAIN = 31337
BLOB_HASH = Hash(b"\1" + bytes(31))
AUTHORIZATION = Authorization(0, TO, 0, 0, 1, 1)


def _unsigned(kind=2, **changes):
    fields = {
        "kind": kind,
        "chain_id": CHAIN,
        "nonce": 0,
        "gas_limit": 1_000_000,
        "max_fee": 100,
        "max_priority_fee": 1,
        "to": TO,
        "value": 1,
    }
    if kind == 3:
        fields |= {"max_blob_fee": 1, "blob_hashes": [BLOB_HASH]}
    if kind == 4:
        fields |= {"authorizations": [AUTHORIZATION]}
    return build_transaction(**fields | changes)


def _signed(kind=2, **changes):
    return sign_transaction(_unsigned(kind, **changes), KEY)


def _refusal(transaction, fork=OSAKA):
    """Why it is refused, alone and within a batch of good ones."""
    with pytest.raises(Rejected) as caught:
        check_transaction(transaction, fork, CHAIN)
    good = _signed(0, chain_id=None if fork is FRONTIER or fork is HOMESTEAD else CHAIN)
    first, second, third = check_transactions([good, transaction, good], fork, CHAIN)
    assert isinstance(first, Checked)
    assert isinstance(third, Checked)
    assert isinstance(second, Rejected)
    assert second.reason is caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("kind", range(5))
def test_a_good_transaction_is_checked_and_its_sender_found(kind):
    checked = check_transaction(_signed(kind), OSAKA, CHAIN)
    assert checked.sender == secp256k1.address_of(KEY)
    assert check_transactions([checked.transaction], OSAKA, CHAIN) == [checked]


@pytest.mark.parametrize(
    ("kind", "before", "first"),
    [
        (1, forks.MUIR_GLACIER, forks.BERLIN),
        (2, forks.BERLIN, LONDON),
        (3, SHANGHAI, CANCUN),
        (4, CANCUN, PRAGUE),
    ],
)
def test_a_kind_is_refused_before_its_fork(kind, before, first):
    assert _refusal(_signed(kind), before) is Reason.TYPE_NOT_SUPPORTED
    check_transaction(_signed(kind), first, CHAIN)


@pytest.mark.parametrize(
    ("kind", "options", "before", "after", "reason"),
    [
        (3, {}, CANCUN, SHANGHAI, Reason.TYPE_NOT_SUPPORTED),
        (0, {}, forks.SPURIOUS_DRAGON, HOMESTEAD, Reason.BAD_SIGNATURE),
        (2, {"gas_limit": 2**25}, PRAGUE, OSAKA, Reason.GAS_LIMIT_OVER_CAP),
    ],
)
def test_another_fork_may_refuse_what_was_accepted(kind, options, before, after, reason):
    """Nothing is recovered again: the sender does not change."""
    checked = Checked(_signed(kind, **options), address := b"\x01" * 20)
    check_again(checked, before, CHAIN)
    assert checked.sender is address
    with pytest.raises(Rejected) as caught:
        check_again(checked, after, CHAIN)
    assert caught.value.reason is reason


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("chain_id", [0, CHAIN - 1, CHAIN + 1, 2**64])
def test_another_chains_transaction_is_refused(kind, chain_id):
    assert _refusal(_signed(kind, chain_id=chain_id)) is Reason.WRONG_CHAIN_ID


def test_a_legacy_transaction_may_be_of_no_chain():
    for fork in (FRONTIER, HOMESTEAD, OSAKA):
        check_transaction(_signed(0, chain_id=None), fork, CHAIN)


def test_a_protected_legacy_transaction_is_refused_before_its_fork():
    assert _refusal(_signed(0), HOMESTEAD) is Reason.BAD_SIGNATURE
    check_transaction(_signed(0), forks.SPURIOUS_DRAGON, CHAIN)


def test_high_s_is_refused_from_homestead_on():
    """Given the other form of a good signature (EIP-2)."""
    unsigned = _unsigned(0, chain_id=None)
    y_parity, r, s = secp256k1.sign(unsigned.signing_hash, KEY)
    high = with_signature(unsigned, 1 - y_parity, r, secp256k1.ORDER - s)
    assert check_transaction(high, FRONTIER, CHAIN).sender == secp256k1.address_of(KEY)
    assert _refusal(high, HOMESTEAD) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 1),
        (1, 0),
        (secp256k1.ORDER, 1),
        (1, secp256k1.ORDER),
        (1, secp256k1.HALF_ORDER + 1),
        (5, 1),  # no point of the curve has this x
    ],
)
@pytest.mark.parametrize("kind", [0, 2])
def test_scalars_that_no_key_makes_are_refused(kind, r, s):
    assert _refusal(with_signature(_unsigned(kind), 0, r, s)) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 34])
def test_a_legacy_v_of_no_form_is_refused(v):
    transaction = replace(_signed(0, chain_id=None), v=v)
    assert _refusal(transaction) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("v", [2, 27, 28, 255])
def test_a_typed_parity_other_than_0_and_1_is_refused(v):
    assert _refusal(replace(_signed(2), v=v)) is Reason.BAD_SIGNATURE


def test_the_largest_nonce_is_refused():
    """Given 2^64 - 1, which could not be raised (EIP-2681)."""
    assert _refusal(_signed(nonce=2**64 - 1)) is Reason.NONCE_OVERFLOW
    check_transaction(_signed(nonce=2**64 - 2), OSAKA, CHAIN)


def test_a_tip_above_the_fee_cap_is_refused():
    assert _refusal(_signed(max_fee=5, max_priority_fee=6)) is Reason.TIP_ABOVE_FEE_CAP
    check_transaction(_signed(max_fee=5, max_priority_fee=5), OSAKA, CHAIN)


def test_gas_that_may_cost_more_than_256_bits_is_refused():
    largest = (2**256 - 1) // 21_000
    check_transaction(_signed(gas_limit=21_000, max_fee=largest), OSAKA, CHAIN)
    assert _refusal(_signed(gas_limit=21_000, max_fee=largest + 1)) is Reason.FEE_OVERFLOW
    assert _refusal(_signed(max_priority_fee=2**256)) is Reason.FEE_OVERFLOW


def test_intrinsic_gas_follows_the_forks():
    """Given data with 2 zero and 3 other bytes, and the prices of the EIPs."""
    data = b"\0\1\2\0\3"
    call, create = _unsigned(0, data=data), _unsigned(0, data=data, to=None)
    assert intrinsic_gas(call, FRONTIER) == 21_000 + 2 * 4 + 3 * 68
    assert intrinsic_gas(create, FRONTIER) == 21_000 + 2 * 4 + 3 * 68
    assert intrinsic_gas(create, HOMESTEAD) == 53_000 + 2 * 4 + 3 * 68
    assert intrinsic_gas(call, forks.ISTANBUL) == 21_000 + 2 * 4 + 3 * 16
    assert intrinsic_gas(create, SHANGHAI) == 53_000 + 2 * 4 + 3 * 16 + 2
    two_words = _unsigned(0, data=bytes(33), to=None)
    assert intrinsic_gas(two_words, SHANGHAI) == 53_000 + 33 * 4 + 2 * 2
    listed = ((TO, (Hash(bytes(32)),) * 3), (TO, ()))
    listing = _unsigned(1, access_list=listed)
    assert intrinsic_gas(listing, forks.BERLIN) == 21_000 + 2 * 2_400 + 3 * 1_900
    delegating = _unsigned(4, authorizations=[AUTHORIZATION] * 2)
    assert intrinsic_gas(delegating, PRAGUE) == 21_000 + 2 * 25_000


def test_less_gas_than_intrinsic_is_refused():
    data = b"\1" * 10
    needed = 21_000 + 160
    assert _refusal(_signed(data=data, gas_limit=needed - 1), CANCUN) is (
        Reason.INTRINSIC_GAS_TOO_LOW
    )
    check_transaction(_signed(data=data, gas_limit=needed), CANCUN, CHAIN)


def test_less_gas_than_the_floor_of_the_data_is_refused():
    """Given 10 bytes other than zero: 40 tokens of 10 gas (EIP-7623)."""
    transaction = _unsigned(data=b"\1" * 10)
    assert floor_gas(transaction.data, CANCUN) == 0
    assert floor_gas(transaction.data, PRAGUE) == 21_400
    low = _signed(data=b"\1" * 10, gas_limit=21_399)
    assert _refusal(low, PRAGUE) is Reason.FLOOR_GAS_TOO_LOW
    check_transaction(low, CANCUN, CHAIN)
    check_transaction(_signed(data=b"\1" * 10, gas_limit=21_400), PRAGUE, CHAIN)


def test_a_gas_limit_over_the_cap_is_refused():
    check_transaction(_signed(gas_limit=2**24), OSAKA, CHAIN)
    check_transaction(_signed(gas_limit=2**24 + 1), PRAGUE, CHAIN)
    assert _refusal(_signed(gas_limit=2**24 + 1)) is Reason.GAS_LIMIT_OVER_CAP


def test_initcode_over_its_size_is_refused():
    """Given 49152 bytes and one more (EIP-3860)."""
    fits, large = (_signed(data=bytes(size), to=None) for size in (49_152, 49_153))
    check_transaction(fits, SHANGHAI, CHAIN)
    assert _refusal(large, SHANGHAI) is Reason.INITCODE_TOO_LARGE
    check_transaction(large, forks.PARIS, CHAIN)
    check_transaction(_signed(data=bytes(49_153)), SHANGHAI, CHAIN)


def test_blob_transactions_name_blobs_and_a_recipient():
    assert _refusal(_signed(3, blob_hashes=[])) is Reason.NO_BLOBS
    assert _refusal(_signed(3, to=None)) is Reason.BLOB_CREATES_CONTRACT
    wrong = [BLOB_HASH, Hash(bytes(32))]
    assert _refusal(_signed(3, blob_hashes=wrong)) is Reason.BAD_BLOB_HASH
    assert _refusal(_signed(3, blob_hashes=[Hash(b"\1")])) is Reason.BAD_BLOB_HASH


@pytest.mark.parametrize(("fork", "most"), [(CANCUN, 6), (PRAGUE, 9), (OSAKA, 6)])
def test_more_blobs_than_a_transaction_may_have_are_refused(fork, most):
    """Given the schedule's limit, and from Osaka on six (EIP-7594)."""
    check_transaction(_signed(3, blob_hashes=[BLOB_HASH] * most), fork, CHAIN)
    many = _signed(3, blob_hashes=[BLOB_HASH] * (most + 1))
    assert _refusal(many, fork) is Reason.TOO_MANY_BLOBS


def test_a_schedule_below_six_limits_a_transaction_too():
    narrow = replace(OSAKA, blobs=forks.BlobSchedule(target=1, max=2, base_fee_update_fraction=1))
    assert _refusal(_signed(3, blob_hashes=[BLOB_HASH] * 3), narrow) is Reason.TOO_MANY_BLOBS


def test_authorizing_transactions_name_tuples_and_a_recipient():
    assert _refusal(_signed(4, authorizations=[])) is Reason.NO_AUTHORIZATIONS
    assert _refusal(_signed(4, to=None)) is Reason.AUTHORIZATION_CREATES_CONTRACT


def test_a_large_batch_keeps_its_order():
    """Given 200 transactions of 200 keys, every third of another chain."""
    transactions, senders = [], []
    for number in range(1, 201):
        key = number.to_bytes(32, "big")
        chain_id = CHAIN if number % 3 else 1
        transactions.append(sign_transaction(_unsigned(chain_id=chain_id), key))
        senders.append(secp256k1.address_of(key))
    results = check_transactions(transactions, OSAKA, CHAIN)
    for number, (result, sender) in enumerate(zip(results, senders, strict=True), start=1):
        if number % 3:
            assert isinstance(result, Checked)
            assert result.sender == sender
            assert result.transaction is transactions[number - 1]
        else:
            assert isinstance(result, Rejected)
            assert result.reason is Reason.WRONG_CHAIN_ID


def test_what_a_decoded_transaction_is_checked_for_is_what_was_signed():
    decoded = decode_transaction(_signed(2).raw)
    assert check_transaction(decoded, OSAKA, CHAIN).sender == secp256k1.address_of(KEY)


# -- sidecars -----------------------------------------------------------------------------

BLOBS = [bytes(131_072), b"".join(i.to_bytes(32, "big") for i in range(4096))]
FORK_OF_VERSION = {BLOB_PROOFS: PRAGUE, CELL_PROOFS: OSAKA}


@pytest.fixture(scope="module", params=[BLOB_PROOFS, CELL_PROOFS], ids=["blobs", "cells"])
def sidecar(request):
    return build_sidecar(BLOBS, request.param)


def _naming(sidecar):
    hashes = [versioned_hash(commitment) for commitment in sidecar.commitments]
    return _signed(3, blob_hashes=hashes)


def test_a_good_sidecar_is_accepted_by_its_forks_only(sidecar):
    transaction = _naming(sidecar)
    right, wrong = (PRAGUE, OSAKA) if sidecar.version == BLOB_PROOFS else (OSAKA, PRAGUE)
    check_sidecar(transaction, sidecar, right)
    with pytest.raises(Rejected) as caught:
        check_sidecar(transaction, sidecar, wrong)
    assert caught.value.reason is Reason.BAD_BLOB_PROOF


def _swapped(items):
    return (items[1], items[0], *items[2:])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: replace(s, blobs=_swapped(s.blobs)), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, commitments=_swapped(s.commitments)), Reason.BAD_BLOB_HASH),
        (lambda s: replace(s, proofs=tuple(reversed(s.proofs))), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, proofs=s.proofs[:-1]), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, blobs=s.blobs[:1]), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, blobs=(s.blobs[0], s.blobs[1][:-1])), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, blobs=(s.blobs[0], b"\xff" * 131_072)), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, proofs=(b"\xff" * 48, *s.proofs[1:])), Reason.BAD_BLOB_PROOF),
        (lambda s: replace(s, proofs=(b"", *s.proofs[1:])), Reason.BAD_BLOB_PROOF),
    ],
)
def test_a_sidecar_that_is_not_the_transactions_is_refused(sidecar, change, reason):
    with pytest.raises(Rejected) as caught:
        check_sidecar(_naming(sidecar), change(sidecar), FORK_OF_VERSION[sidecar.version])
    assert caught.value.reason is reason


def test_blob_transactions_need_a_sidecar_and_others_may_have_none(sidecar):
    for transaction, given in ((_naming(sidecar), None), (_signed(2), sidecar)):
        with pytest.raises(Rejected) as caught:
            check_sidecar(transaction, given, OSAKA)
        assert caught.value.reason is Reason.BAD_BLOB_PROOF
    check_sidecar(_signed(2), None, OSAKA)


def test_what_is_no_blob_has_no_sidecar():
    for blob in (b"\xff" * 131_072, b""):
        with pytest.raises(Rejected) as caught:
            build_sidecar([blob], BLOB_PROOFS)
        assert caught.value.reason is Reason.BAD_BLOB_PROOF


def test_an_empty_sidecar_names_nothing():
    empty = BlobSidecar(CELL_PROOFS, (), (), ())
    with pytest.raises(Rejected) as caught:
        check_sidecar(_signed(3), empty, OSAKA)
    assert caught.value.reason is Reason.BAD_BLOB_PROOF


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
def test_checking_ahead_gives_what_checking_together_gives(monkeypatch, count):
    """Given good, wrong and unsigned transactions, in batches of 64, in their order."""
    monkeypatch.setattr(validation, "_BATCH", 64)
    good = [_signed(nonce=nonce) for nonce in range(count)]
    transactions = [
        replace(each, v=7) if n % 7 == 3 else replace(each, r=n) if n % 11 == 5 else each
        for n, each in enumerate(good)
    ]
    results = list(check_ahead(iter(transactions), OSAKA, CHAIN))
    expected = check_transactions(transactions, OSAKA, CHAIN)
    assert [each if isinstance(each, Checked) else each.reason for each in results] == [
        each if isinstance(each, Checked) else each.reason for each in expected
    ]


def test_checking_ahead_may_be_left_early():
    """Given more than one batch, when the taker stops at the first result, then nothing follows."""
    upcoming = check_ahead((_signed(nonce=n) for n in range(1_100)), OSAKA, CHAIN)
    assert isinstance(next(upcoming), Checked)
    upcoming.close()
    assert list(upcoming) == []
