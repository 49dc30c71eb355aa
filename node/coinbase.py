"""Whom a node's blocks pay their tips to, as its settings name him."""

from chain.errors import Reason, Rejected
from chain.types import ZERO_ADDRESS, Address


def parse_coinbase(text: str) -> Address | None:
    """The address that the settings name, if any; Rejected(BAD_SETTING)."""
    if not text:
        return None
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != len(ZERO_ADDRESS):
        raise Rejected(Reason.BAD_SETTING, f"chain.coinbase: {text!r} is not an address")
    return Address(address)
