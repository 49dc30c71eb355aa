"""Modular exponentiation (EIP-198), with the prices of EIP-2565 and EIP-7883."""

from typing import Final

from chain.forks import Fork, ModexpPricing
from contracts.vm.frame import padded

HEADER: Final = 96  # three lengths


def _lengths(data: bytes) -> tuple[int, int, int]:
    header = padded(data, 0, HEADER)
    base, exponent, modulus = (int.from_bytes(header[i : i + 32], "big") for i in (0, 32, 64))
    return base, exponent, modulus


def _exponent_head(data: bytes, base_size: int, exponent_size: int) -> int:
    """The first 32 bytes of the exponent, or all of it when it is shorter."""
    size = min(exponent_size, 32)
    return int.from_bytes(padded(data, HEADER + base_size, size), "big")


def _iterations(exponent_size: int, head: int, per_byte: int) -> int:
    """How many squarings the exponent stands for, by its size and first word."""
    bits = max(head.bit_length() - 1, 0)
    if exponent_size <= 32:
        return bits
    return per_byte * (exponent_size - 32) + bits


def _original_complexity(size: int) -> int:
    if size <= 64:
        return size * size
    if size <= 1024:
        return size * size // 4 + 96 * size - 3_072
    return size * size // 16 + 480 * size - 199_680


def gas(data: bytes, fork: Fork) -> int:
    base_size, exponent_size, modulus_size = _lengths(data)
    head = _exponent_head(data, base_size, exponent_size)
    size = max(base_size, modulus_size)
    words = (size + 7) // 8
    match fork.modexp_pricing:
        case ModexpPricing.ORIGINAL:
            iterations = max(_iterations(exponent_size, head, 8), 1)
            return _original_complexity(size) * iterations // 20
        case ModexpPricing.CHEAPER:
            iterations = max(_iterations(exponent_size, head, 8), 1)
            return max(200, words * words * iterations // 3)
        case ModexpPricing.RAISED:
            iterations = max(_iterations(exponent_size, head, 16), 1)
            complexity = 16 if size <= 32 else 2 * words * words
            return max(500, complexity * iterations)


def run(data: bytes, fork: Fork) -> bytes | None:
    """base ** exponent % modulus, as long as the modulus was said to be."""
    base_size, exponent_size, modulus_size = _lengths(data)
    limit = fork.modexp_size_max
    if limit is not None and max(base_size, exponent_size, modulus_size) > limit:
        return None
    if modulus_size == 0:
        return b""
    # Sizes beyond the input stand for zeros, and only those that gas pays for get here:
    # an exponent may still be long when base and modulus are short, so slice, then pad.
    base = _number(data, HEADER, base_size)
    exponent = _number(data, HEADER + base_size, exponent_size)
    modulus = _number(data, HEADER + base_size + exponent_size, modulus_size)
    if modulus == 0:
        return bytes(modulus_size)
    from gmpy2 import powmod

    return int(powmod(base, exponent, modulus)).to_bytes(modulus_size, "big")


def _number(data: bytes, offset: int, size: int) -> int:
    piece = data[offset : offset + size]
    number = int.from_bytes(piece, "big")
    # Shifting zero costs nothing, however far.
    return number << (8 * (size - len(piece))) if number else 0
