"""Signatures: fastecdsa's, the same as libsecp256k1's to the last bit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.crypto import secp256k1
from chain.errors import Reason, Rejected
from chain.types import Hash
from wallet.signer import ORDER, address_of, check_private_key, new_private_key, sign_hash

KEYS = st.integers(min_value=1, max_value=ORDER - 1).map(lambda secret: secret.to_bytes(32))
HASHES = st.one_of(
    st.binary(min_size=32, max_size=32),
    # Hashes of the order and above are reduced before they enter RFC 6979.
    st.integers(min_value=ORDER - 2, max_value=2**256 - 1).map(lambda value: value.to_bytes(32)),
    st.just(bytes(32)),
)
EDGES = [1, 2, 3, ORDER // 2, ORDER // 2 + 1, ORDER - 2, ORDER - 1]


@settings(max_examples=60)
@given(HASHES, KEYS)
def test_both_libraries_make_the_same_signature(message_hash: bytes, key: bytes) -> None:
    assert sign_hash(Hash(message_hash), key) == secp256k1.sign(message_hash, key)


@settings(max_examples=60)
@given(HASHES, KEYS)
def test_a_signature_is_low_and_recovers_to_its_signer(message_hash: bytes, key: bytes) -> None:
    y_parity, r, s = sign_hash(Hash(message_hash), key)
    assert 0 < r < ORDER
    assert 0 < s <= ORDER // 2
    assert secp256k1.recover(message_hash, y_parity, r, s) == address_of(key)


@pytest.mark.parametrize("secret", EDGES)
def test_keys_at_the_edges_have_the_address_that_libsecp256k1_finds(secret: int) -> None:
    key = secret.to_bytes(32)
    assert address_of(key) == secp256k1.address_of(key)


@pytest.mark.parametrize(
    "key", [b"", bytes(31), bytes(32), bytes(33), ORDER.to_bytes(32), b"\xff" * 32]
)
def test_a_key_out_of_range_is_refused_without_being_shown(key: bytes) -> None:
    for use in (check_private_key, address_of, lambda bad: sign_hash(Hash(bytes(32)), bad)):
        with pytest.raises(Rejected) as rejection:
            use(key)
        assert rejection.value.reason is Reason.BAD_KEYSTORE
        assert not key or key.hex() not in str(rejection.value)


def test_new_keys_are_in_range_and_differ() -> None:
    keys = {new_private_key() for _ in range(20)}
    assert len(keys) == 20
    for key in keys:
        check_private_key(key)
