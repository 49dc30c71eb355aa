"""Addresses as people read and type them: hexadecimal with a checksum in the letters' case."""

from chain.crypto.keccak import keccak
from chain.types import Address
from wallet.outcome import Exit, Failed

_DIGITS = frozenset("0123456789abcdefABCDEF")


def checksum_address(address: Address) -> str:
    """`address` as 0x and 40 digits; a letter is upper case where the digit of the
    hash of the lower-case form is 8 or more. Source: EIP-55.
    """
    digits = address.hex()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def parse_address(text: str) -> Address:
    """The address written in `text`: 40 hexadecimal digits, with or without 0x.

    Digits of mixed case carry a checksum, which must hold; in one case they carry
    none. Failed(USAGE) otherwise.
    """
    text = text.strip()
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) != 40 or not _DIGITS.issuperset(digits):
        raise Failed(Exit.USAGE, f"{text!r} is not an address (0x and 40 hexadecimal digits)")
    address = Address(bytes.fromhex(digits))
    mixed = digits not in (digits.lower(), digits.upper())
    if mixed and checksum_address(address) != "0x" + digits:
        raise Failed(
            Exit.USAGE,
            f"the checksum of {text} does not hold: a digit or a letter's case is wrong (EIP-55)",
        )
    return address
