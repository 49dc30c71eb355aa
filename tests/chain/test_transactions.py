"""Transactions as bytes: every type there and back, and shapes that are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import codec
from chain.blobs import BLOB_PROOFS, CELL_PROOFS, BlobSidecar
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.transactions import (
    Authorization,
    Kind,
    authority_of,
    build_transaction,
    decode_network_transaction,
    decode_transaction,
    effective_gas_price,
    encode_network_transaction,
    encode_transaction,
    sign_transaction,
    with_signature,
)
from chain.types import Address, Hash

KEY = bytes(31) + b"\x2a"
WORDS = st.integers(0, 2**256 - 1)
ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
HASHES = st.binary(min_size=32, max_size=32).map(Hash)
ACCESS_LISTS = st.lists(
    st.tuples(ADDRESSES, st.lists(HASHES, max_size=3).map(tuple)), max_size=3
).map(tuple)
AUTHORIZATIONS = st.builds(
    Authorization,
    chain_id=WORDS,
    address=ADDRESSES,
    nonce=st.integers(0, 2**64 - 1),
    y_parity=st.integers(0, 255),
    r=WORDS,
    s=WORDS,
)


@st.composite
def unsigned_transactions(draw):
    kind = draw(st.sampled_from(Kind))
    fields = {
        "kind": kind,
        "chain_id": draw(st.integers(0, 2**64)),
        "nonce": draw(st.integers(0, 2**64 - 1)),
        "gas_limit": draw(st.integers(0, 2**64 - 1)),
        "max_fee": draw(WORDS),
        "to": draw(st.none() | ADDRESSES),
        "value": draw(WORDS),
        "data": draw(st.binary(max_size=100)),
    }
    if kind == Kind.LEGACY and draw(st.booleans()):
        fields["chain_id"] = None
    if kind >= Kind.ACCESS_LIST:
        fields["access_list"] = draw(ACCESS_LISTS)
    if kind >= Kind.DYNAMIC_FEE:
        fields["max_priority_fee"] = draw(WORDS)
    if kind == Kind.BLOB:
        fields["max_blob_fee"] = draw(WORDS)
        fields["blob_hashes"] = draw(st.lists(HASHES, max_size=3))
    if kind == Kind.SET_CODE:
        fields["authorizations"] = draw(st.lists(AUTHORIZATIONS, max_size=3))
    return build_transaction(**fields)


@settings(deadline=None)
@given(unsigned_transactions())
def test_a_signed_transaction_decodes_to_itself(unsigned):
    """Given any fields, then the bytes carry all of them, both hashes, and the signer."""
    signed = sign_transaction(unsigned, KEY)
    decoded = decode_transaction(encode_transaction(signed))
    assert decoded == signed
    assert decoded.hash == keccak(decoded.raw)
    parity = decoded.v if decoded.kind else (decoded.v - 27 if decoded.v < 35 else decoded.v - 35)
    signer = secp256k1.recover(decoded.signing_hash, parity & 1, decoded.r, decoded.s)
    assert signer == secp256k1.address_of(KEY)


@settings(deadline=None)
@given(unsigned_transactions(), st.data())
def test_a_changed_byte_is_refused_or_changes_the_hash(unsigned, data):
    raw = bytearray(sign_transaction(unsigned, KEY).raw)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_transaction(bytes(raw))
    except Rejected:
        return
    assert decoded.raw == raw
    assert decoded.hash == keccak(bytes(raw))
    rebuilt = with_signature(decoded, decoded.v, decoded.r, decoded.s)
    if decoded.kind:
        assert rebuilt.raw == raw  # canonical: its fields have no other encoding


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_with_a_reason_or_decoded(data):
    for prefix in (b"", b"\1", b"\2", b"\3", b"\4"):
        try:
            assert decode_transaction(prefix + data).raw == prefix + data
        except Rejected as error:
            assert error.reason in {
                Reason.BAD_RLP,
                Reason.BAD_TRANSACTION,
                Reason.TYPE_NOT_SUPPORTED,
                Reason.NONCE_OVERFLOW,
                Reason.FEE_OVERFLOW,
            }


def _legacy(**changes):
    fields = {
        "nonce": b"\1",
        "price": b"\2",
        "gas": b"\x52\x08",
        "to": bytes(20),
        "value": b"",
        "data": b"",
        "v": b"\x1b",
        "r": b"\1",
        "s": b"\1",
    }
    return codec.encode(list((fields | changes).values()))


def _typed(kind, **changes):
    fields = {"chain": b"\1", "nonce": b"", "tip": b"\1", "fee": b"\2", "gas": b"\3"}
    fields |= {"to": bytes(20), "value": b"", "data": b"", "access": []}
    if kind == 1:
        del fields["tip"]
    if kind == 3:
        fields |= {"blob_fee": b"\1", "hashes": [b"\1" + bytes(31)]}
    if kind == 4:
        tuples = [[b"\1", bytes(20), b"", b"", b"\1", b"\1"]]
        fields |= {"authorizations": tuples}
    fields |= {"v": b"\1", "r": b"\1", "s": b"\1"}
    return bytes([kind]) + codec.encode(list((fields | changes).values()))


def test_the_shapes_that_refusals_below_start_from_decode():
    for raw in (_legacy(), *map(_typed, (1, 2, 3, 4))):
        assert decode_transaction(raw).raw == raw


TOO_WIDE = b"\1" + bytes(32)
AUTHORIZATION = [b"\1", bytes(20), b"", b"", b"\1", b"\1"]


def _with(fields, index, value):
    return [*fields[:index], value, *fields[index + 1 :]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.BAD_TRANSACTION),
        (b"\0" + _legacy(), Reason.TYPE_NOT_SUPPORTED),
        (b"\5" + _typed(4)[1:], Reason.TYPE_NOT_SUPPORTED),
        (b"\x7f", Reason.TYPE_NOT_SUPPORTED),
        (codec.encode_bytes(_typed(2)), Reason.TYPE_NOT_SUPPORTED),
        (b"\2", Reason.BAD_RLP),
        (b"\2\x80", Reason.BAD_TRANSACTION),
        (b"\xc0", Reason.BAD_TRANSACTION),
        (_legacy() + b"\0", Reason.BAD_RLP),
        (_typed(2) + b"\0", Reason.BAD_RLP),
        (_legacy(extra=b""), Reason.BAD_TRANSACTION),
        (_typed(2, extra=b""), Reason.BAD_TRANSACTION),
        (_legacy(nonce=b"\1" + bytes(8)), Reason.NONCE_OVERFLOW),
        (_legacy(nonce=b"\0"), Reason.BAD_RLP),
        (_legacy(price=TOO_WIDE), Reason.FEE_OVERFLOW),
        (_legacy(gas=b"\1" + bytes(8)), Reason.BAD_TRANSACTION),
        (_legacy(gas=b"\0\1"), Reason.BAD_RLP),
        (_legacy(to=bytes(19)), Reason.BAD_TRANSACTION),
        (_legacy(to=bytes(21)), Reason.BAD_TRANSACTION),
        (_legacy(to=[]), Reason.BAD_TRANSACTION),
        (_legacy(value=TOO_WIDE), Reason.BAD_TRANSACTION),
        (_legacy(value=[]), Reason.BAD_TRANSACTION),
        (_legacy(data=[]), Reason.BAD_TRANSACTION),
        (_legacy(r=TOO_WIDE), Reason.BAD_TRANSACTION),
        (_legacy(s=b"\0\1"), Reason.BAD_RLP),
        (_legacy(v=[b"\1"]), Reason.BAD_TRANSACTION),
        (_typed(2, chain=TOO_WIDE), Reason.BAD_TRANSACTION),
        (_typed(2, tip=TOO_WIDE), Reason.FEE_OVERFLOW),
        (_typed(2, access=b""), Reason.BAD_TRANSACTION),
        (_typed(1, access=[b""]), Reason.BAD_TRANSACTION),
        (_typed(1, access=[[bytes(20)]]), Reason.BAD_TRANSACTION),
        (_typed(1, access=[[bytes(19), []]]), Reason.BAD_TRANSACTION),
        (_typed(1, access=[[bytes(20), [bytes(31)]]]), Reason.BAD_TRANSACTION),
        (_typed(1, access=[[bytes(20), bytes(32)]]), Reason.BAD_TRANSACTION),
        (_typed(3, blob_fee=TOO_WIDE), Reason.FEE_OVERFLOW),
        (_typed(3, hashes=[bytes(31)]), Reason.BAD_TRANSACTION),
        (_typed(3, hashes=b""), Reason.BAD_TRANSACTION),
        (_typed(4, authorizations=b""), Reason.BAD_TRANSACTION),
        (_typed(4, authorizations=[AUTHORIZATION[:5]]), Reason.BAD_TRANSACTION),
        (_typed(4, authorizations=[_with(AUTHORIZATION, 0, TOO_WIDE)]), Reason.BAD_TRANSACTION),
        (_typed(4, authorizations=[_with(AUTHORIZATION, 1, b"")]), Reason.BAD_TRANSACTION),
        (
            _typed(4, authorizations=[_with(AUTHORIZATION, 2, b"\1" + bytes(8))]),
            Reason.BAD_TRANSACTION,
        ),
        (_typed(4, authorizations=[_with(AUTHORIZATION, 3, b"\1\0")]), Reason.BAD_TRANSACTION),
        (_typed(4, authorizations=[_with(AUTHORIZATION, 4, TOO_WIDE)]), Reason.BAD_TRANSACTION),
        (_typed(4, authorizations=[_with(AUTHORIZATION, 5, b"\0")]), Reason.BAD_RLP),
    ],
)
def test_wrong_shapes_are_refused_with_their_reason(raw, reason):
    with pytest.raises(Rejected) as caught:
        decode_transaction(raw)
    assert caught.value.reason is reason


def test_the_effective_price_is_the_base_fee_and_what_the_cap_leaves_of_the_tip():
    transaction = build_transaction(
        kind=2, chain_id=1, nonce=0, gas_limit=21000, max_fee=100, max_priority_fee=10
    )
    assert effective_gas_price(transaction, 50) == 60
    assert effective_gas_price(transaction, 95) == 100
    legacy = build_transaction(kind=0, chain_id=1, nonce=0, gas_limit=21000, max_fee=7)
    assert effective_gas_price(legacy, 0) == 7
    assert effective_gas_price(legacy, 3) == 7


def _authorize(**changes):
    fields = {"chain_id": 1, "address": Address(bytes(19) + b"\7"), "nonce": 3}
    fields |= changes
    message = b"\5" + codec.encode(
        [codec.int_bytes(fields["chain_id"]), fields["address"], codec.int_bytes(fields["nonce"])]
    )
    y_parity, r, s = secp256k1.sign(keccak(message), KEY)
    return Authorization(**fields, y_parity=y_parity, r=r, s=s)


def test_the_authority_is_who_signed_the_tuple():
    good = _authorize()
    assert authority_of(good) == secp256k1.address_of(KEY)
    fields = good.chain_id, good.address, good.nonce
    high = Authorization(*fields, 1 - good.y_parity, good.r, secp256k1.ORDER - good.s)
    assert authority_of(high) is None
    assert authority_of(Authorization(*fields, 2, good.r, good.s)) is None
    assert authority_of(Authorization(*fields, good.y_parity, 0, good.s)) is None
    assert authority_of(Authorization(*fields, good.y_parity, good.r, 0)) is None
    other = Authorization(2, good.address, good.nonce, good.y_parity, good.r, good.s)
    assert authority_of(other) != secp256k1.address_of(KEY)


@pytest.mark.parametrize("version", [BLOB_PROOFS, CELL_PROOFS])
def test_a_blob_transaction_travels_with_its_blobs_and_without_them(version):
    transaction = sign_transaction(
        build_transaction(
            kind=3, chain_id=1, nonce=0, gas_limit=21000, max_fee=1, to=Address(bytes(20))
        ),
        KEY,
    )
    sidecar = BlobSidecar(version, (b"blob", b"b"), (b"commitment", b"c"), (b"proof", b"p"))
    wrapped = encode_network_transaction(transaction, sidecar)
    assert decode_network_transaction(wrapped) == (transaction, sidecar)
    assert decode_network_transaction(transaction.raw) == (transaction, None)


def test_other_kinds_travel_as_they_are():
    raw = _typed(2)
    assert decode_network_transaction(raw) == (decode_transaction(raw), None)


@pytest.mark.parametrize(
    "parts",
    [
        [[]],
        [[], b"\2", [], [], []],  # an unknown wrapper version
        [[], b"", [], [], []],
        [[], [], []],
        [[], [], [], [], [], []],
        [codec.decode(_typed(3)[1:]), b"", [], []],
        [codec.decode(_typed(3)[1:]), [[]], [], []],
        [codec.decode(_typed(3)[1:])[:-1], [], [], []],
    ],
)
def test_wrappers_of_another_shape_are_refused(parts):
    with pytest.raises(Rejected) as caught:
        decode_network_transaction(b"\3" + codec.encode(parts))
    assert caught.value.reason is Reason.BAD_TRANSACTION
