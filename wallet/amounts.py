"""Amounts of coins as people type them, in exact integers of the smallest unit (wei)."""

import re
from typing import Final

from wallet.outcome import Exit, Failed

# Decimal places of each unit.
UNITS: Final = {
    "wei": 0,
    "kwei": 3,
    "mwei": 6,
    "gwei": 9,
    "ether": 18,
    "eth": 18,
    "coin": 18,
    "coins": 18,
}

COIN: Final = 10**18  # wei

_AMOUNT = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_DIGITS_MAX: Final = 100  # far beyond 2^256; bounds the arithmetic on pasted text


def parse_amount(text: str, unit: str = "ether") -> int:
    """Wei in "1.5", "1.5ether", "20 gwei" or "7wei"; a bare number is in `unit`.

    Failed(USAGE) for anything else: signs, exponents, unknown units, fractions of a
    wei, and amounts of 2^256 wei or more.
    """
    match = _AMOUNT.fullmatch(text.strip()) if len(text) <= _DIGITS_MAX else None
    if match is None:
        raise Failed(Exit.USAGE, f"{text[:80]!r} is not an amount (such as 1.5, 20gwei or 7wei)")
    name = match["unit"].lower() or unit
    if name not in UNITS:
        raise Failed(Exit.USAGE, f"unknown unit {match['unit']!r}; known are {', '.join(UNITS)}")
    places = UNITS[name]
    part = (match["part"] or "").rstrip("0")
    if len(part) > places:
        raise Failed(Exit.USAGE, f"{text.strip()} has a fraction of a wei: {places} decimals")
    amount = int(match["whole"] + part.ljust(places, "0"))
    if amount >= 2**256:
        raise Failed(Exit.USAGE, f"{text.strip()} is more than an account can hold")
    return amount


def format_amount(wei: int, unit: str = "ether") -> str:
    """`wei` as an exact decimal of `unit`, without trailing zeros: 1500000000000000000 is "1.5"."""
    places = UNITS[unit]
    whole, part = divmod(wei, 10**places)
    digits = f"{part:0{places}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)
