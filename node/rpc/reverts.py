"""Why a call reverted, in words: Solidity's Error(string) and Panic(uint256)."""

from typing import Final

_ERROR: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")
# geth's words for Solidity's panic codes.
_PANICS: Final[dict[int, str]] = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def revert_reason(output: bytes) -> str | None:
    """The reason that revert data gives, or None when it is no standard one."""
    selector, arguments = output[:4], output[4:]
    if selector == _PANIC and len(arguments) >= 32:
        code = int.from_bytes(arguments[:32], "big")
        return _PANICS.get(code, f"unknown panic code: {code:#x}")
    if selector != _ERROR or len(arguments) < 64:
        return None
    offset = int.from_bytes(arguments[:32], "big")
    if offset + 32 > len(arguments):
        return None
    length = int.from_bytes(arguments[offset : offset + 32], "big")
    text = arguments[offset + 32 : offset + 32 + length]
    if len(text) < length:
        return None
    return text.decode("utf-8", "replace")
