"""Keys from words: BIP-32's own vectors, the well-known test phrase, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.crypto.hd import (
    ETHEREUM_PATH,
    HARDENED,
    ExtendedKey,
    child_key,
    derive_key,
    derive_keys,
    master_key,
    parse_path,
)
from chain.errors import Reason, Rejected

TEST_PHRASE = "test test test test test test test test test test test junk"


def test_the_test_phrase_gives_the_well_known_keys() -> None:
    assert [key.hex() for key in derive_keys(TEST_PHRASE, 3)] == [
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    ]


def test_a_passphrase_gives_other_keys() -> None:
    plain, other = derive_keys(TEST_PHRASE, 1), derive_keys(TEST_PHRASE, 1, passphrase="x")
    assert plain != other


@pytest.mark.parametrize(
    ("path", "private_key"),
    [
        ("m", "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"),
        ("m/0'", "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"),
        ("m/0h/1", "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368"),
        ("m/0'/1/2H", "cbce0d719ecf7431d88e6a89fa1483e02e35092af60c042b1df2ff59fa424dca"),
        ("m/0'/1/2'/2", "0f479245fb19a38a1954c5c7c0ebab2f9bdfd96a17563ef28a6a4b1a2a764ef4"),
        (
            "m/0'/1/2'/2/1000000000",
            "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8",
        ),
    ],
)
def test_the_first_vector_of_the_standard_is_met(path: str, private_key: str) -> None:
    root = master_key(bytes.fromhex("000102030405060708090a0b0c0d0e0f"))
    assert derive_key(root, path).private_key.hex() == private_key


def test_leading_zeros_of_a_key_are_kept() -> None:
    """Vector 3 of BIP-32, written for implementations that drop them."""
    seed = bytes.fromhex(
        "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f"
        "863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be"
    )
    root = master_key(seed)
    assert root.private_key.hex().startswith("00ddb80b067e0d4993197fe10f2657a8")
    assert derive_key(root, "m/0'").private_key.hex() == (
        "491f7a2eebc7b57028e0d3faa0acda02e75c33b03c48fb288c41e2ea44e1daef"
    )


@given(st.lists(st.integers(min_value=0, max_value=2 * HARDENED - 1), max_size=8))
def test_a_path_is_read_as_it_is_written(indices: list[int]) -> None:
    steps = [f"{i - HARDENED}'" if i >= HARDENED else str(i) for i in indices]
    assert parse_path("/".join(["m", *steps])) == tuple(indices)


@pytest.mark.parametrize(
    "path", ["", "44'/60'", "m/", "m//0", "m/x", "m/-1", "m/1.5", "m/2147483648", "m/0''", "M/0"]
)
def test_what_is_not_a_path_is_refused(path: str) -> None:
    with pytest.raises(Rejected) as rejection:
        parse_path(path)
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_an_index_beyond_32_bits_is_refused() -> None:
    with pytest.raises(Rejected) as rejection:
        child_key(ExtendedKey(bytes(31) + b"\1", bytes(32)), 2**32)
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_the_default_path_is_the_one_that_wallets_share() -> None:
    assert parse_path(ETHEREUM_PATH) == (HARDENED + 44, HARDENED + 60, HARDENED, 0)
