"""Amounts of coins: exact, in every unit, and nothing guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.amounts import UNITS, format_amount, parse_amount
from wallet.outcome import Exit, Failed

AMOUNTS = st.integers(min_value=0, max_value=2**256 - 1)


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("1", 10**18),
        ("1.5", 15 * 10**17),
        ("1.5ether", 15 * 10**17),
        ("1.5 ETH", 15 * 10**17),
        (" 2 coins ", 2 * 10**18),
        ("20gwei", 20 * 10**9),
        ("0.000000001gwei", 1),
        ("7wei", 7),
        ("7.0wei", 7),
        ("0", 0),
        ("0.000000000000000001", 1),
        ("1.50000000000000000000000", 15 * 10**17),
    ],
)
def test_an_amount_is_read_exactly(text: str, wei: int) -> None:
    assert parse_amount(text) == wei


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", "1e18", "1,5", ".5", "1.", "0x10", "1 0", "nan", "inf", "ether"),
        *("1.5 apples", "1.5wei", "0.0000000000000000001", "1__0", "\u0661", "1" * 101),
        str(2**256 // 10**18 + 1),
    ],
)
def test_anything_that_is_not_an_amount_is_a_usage_error(text: str) -> None:
    with pytest.raises(Failed) as failure:
        parse_amount(text)
    assert failure.value.exit_code is Exit.USAGE


def test_a_bare_fee_is_in_the_unit_that_the_caller_names() -> None:
    assert parse_amount("1.5", unit="gwei") == 15 * 10**8
    assert parse_amount("1.5 ether", unit="gwei") == 15 * 10**17


@given(AMOUNTS, st.sampled_from(sorted(UNITS)))
def test_parsing_inverts_formatting_in_every_unit(wei: int, unit: str) -> None:
    assert parse_amount(f"{format_amount(wei, unit)}{unit}") == wei


def test_formatting_leaves_no_trailing_zeros() -> None:
    assert [format_amount(wei) for wei in (0, 10**18, 15 * 10**17, 1)] == [
        *("0", "1", "1.5", "0.000000000000000001")
    ]
