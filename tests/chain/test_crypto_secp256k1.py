"""Signatures: made, verified and recovered, beside fastecdsa as a second opinion."""

import random

import pytest
from fastecdsa import ecdsa
from fastecdsa.curve import secp256k1 as curve
from fastecdsa.keys import get_public_key
from hypothesis import given
from hypothesis import strategies as st

from chain.crypto import batch, secp256k1
from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import HALF_ORDER, ORDER

KEYS = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
HASHES = st.binary(min_size=32, max_size=32)


@given(HASHES, KEYS)
def test_a_signature_recovers_to_its_signer(message_hash, key):
    y_parity, r, s = secp256k1.sign(message_hash, key)
    assert s <= HALF_ORDER
    assert secp256k1.recover(message_hash, y_parity, r, s) == secp256k1.address_of(key)
    assert secp256k1.recover_public_key(message_hash, y_parity, r, s) == secp256k1.public_key_of(
        key
    )
    assert secp256k1.recover(message_hash, 1 - y_parity, r, s) != secp256k1.address_of(key)


@given(HASHES, KEYS)
def test_the_other_form_of_s_recovers_with_the_other_parity(message_hash, key):
    """Given a high s, then it recovers: refusing it is the transaction rules' matter (EIP-2)."""
    y_parity, r, s = secp256k1.sign(message_hash, key)
    high = secp256k1.recover(message_hash, 1 - y_parity, r, ORDER - s)
    assert high == secp256k1.address_of(key)


@pytest.mark.parametrize("seed", range(10))
def test_fastecdsa_makes_the_same_signature(seed):
    """Given RFC 6979, two libraries have no freedom but the sign of s."""
    source = random.Random(seed)
    number, message_hash = source.randrange(1, ORDER), source.randbytes(32)
    key = number.to_bytes(32, "big")
    _, r, s = secp256k1.sign(message_hash, key)
    other_r, other_s = ecdsa.sign(message_hash, number, curve, prehashed=True)
    assert (r, s) == (other_r, min(other_s, ORDER - other_s))
    point = get_public_key(number, curve)
    public_key = point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
    assert secp256k1.public_key_of(key) == public_key
    assert secp256k1.address_of(key) == keccak(public_key)[12:]


def test_known_account():
    """Given the first key of the well-known development mnemonic, then its known account."""
    key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    assert secp256k1.address_of(bytes.fromhex(key)).hex() == (
        "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    )


@given(HASHES, KEYS, st.binary(min_size=32, max_size=32))
def test_verify_takes_the_right_message_only(message_hash, key, other):
    _, r, s = secp256k1.sign(message_hash, key)
    public_key = secp256k1.public_key_of(key)
    assert secp256k1.verify(message_hash, r, s, public_key)
    assert secp256k1.verify(message_hash, r, ORDER - s, public_key)
    assert secp256k1.verify(other, r, s, public_key) == (other == message_hash)
    assert not secp256k1.verify(message_hash, s, r, public_key)


def test_verify_takes_no_key_that_is_not_a_point():
    message_hash = keccak(b"message")
    for public_key in (bytes(64), b"\xff" * 64, bytes(63) + b"\1", b"", bytes(65)):
        assert not secp256k1.verify(message_hash, 1, 1, public_key)


OUT_OF_RANGE = [
    (0, 0, 1),
    (0, 1, 0),
    (0, ORDER, 1),
    (0, 1, ORDER),
    (0, 2**256, 1),
    (0, 1, 2**300),
    (0, -1, 1),
    (2, 1, 1),
    (27, 1, 1),
    (-1, 1, 1),
    (0, 5, 1),  # no point of the curve has this x
]


@pytest.mark.parametrize(("y_parity", "r", "s"), OUT_OF_RANGE)
def test_scalars_out_of_range_have_no_signer(y_parity, r, s):
    assert secp256k1.recover(keccak(b"message"), y_parity, r, s) is None


def test_a_point_at_infinity_is_no_signer():
    """Given r and s such that the recovered key would be infinity, then there is none."""
    public = secp256k1.public_key_of((1).to_bytes(32, "big"))
    r = int.from_bytes(public[:32], "big")
    parity = public[63] & 1
    for s in (1, 5):  # (s * R - z * G) / r with R = G and z = s
        assert secp256k1.recover(s.to_bytes(32, "big"), parity, r, s) is None


@pytest.mark.parametrize("count", [1, 70, 300])
def test_a_batch_equals_one_by_one_and_keeps_the_order(count):
    """Given good and impossible signatures mixed, on one thread and on several."""
    pytest.importorskip("llvmlite")
    source = random.Random(count)
    items = []
    for _ in range(count):
        message_hash, key = source.randbytes(32), source.randrange(1, ORDER).to_bytes(32, "big")
        items.append((message_hash, *secp256k1.sign(message_hash, key)))
    items += [(source.randbytes(32), *scalars) for scalars in OUT_OF_RANGE]
    items.append((b"not 32 bytes", 0, 1, 1))
    source.shuffle(items)
    expected = [secp256k1.recover(*item) for item in items]
    assert secp256k1.recover_many(items) == expected
    assert batch.compile_kernels(1).recover_many(items) == expected


def test_an_empty_batch_is_empty():
    assert secp256k1.recover_many([]) == []


@pytest.mark.parametrize("key", [bytes(32), ORDER.to_bytes(32, "big"), b"\1" * 31, b"\1" * 33, b""])
def test_what_is_no_private_key_cannot_sign(key):
    with pytest.raises(ValueError):
        secp256k1.sign(bytes(32), key)
    with pytest.raises(ValueError):
        secp256k1.address_of(key)
