"""What the stack-only opcodes compute: pure functions on words.

A word is an int in [0, 2^256). The first parameter is the top of the stack.
Source: Yellow Paper, appendix H; EIP-145 (shifts); EIP-7939 (count leading zeros).
"""

from typing import Final

from chain.types import WORD

_MODULUS: Final = 2**256
_SIGN: Final = 2**255


def signed(word: int) -> int:
    """The two's complement reading of a word."""
    return word - _MODULUS if word & _SIGN else word


def add(a: int, b: int) -> int:
    return (a + b) & WORD


def mul(a: int, b: int) -> int:
    return (a * b) & WORD


def sub(a: int, b: int) -> int:
    return (a - b) & WORD


def div(a: int, b: int) -> int:
    return a // b if b else 0


def sdiv(a: int, b: int) -> int:
    """Signed division rounding towards zero; -2^255 / -1 wraps to itself."""
    if b == 0:
        return 0
    a, b = signed(a), signed(b)
    quotient = abs(a) // abs(b)
    return (quotient if (a < 0) == (b < 0) else -quotient) & WORD


def mod(a: int, b: int) -> int:
    return a % b if b else 0


def smod(a: int, b: int) -> int:
    """Signed remainder with the sign of the dividend."""
    if b == 0:
        return 0
    a, b = signed(a), signed(b)
    remainder = abs(a) % abs(b)
    return (-remainder if a < 0 else remainder) & WORD


def addmod(a: int, b: int, n: int) -> int:
    return (a + b) % n if n else 0


def mulmod(a: int, b: int, n: int) -> int:
    return (a * b) % n if n else 0


def exp(base: int, exponent: int) -> int:
    return pow(base, exponent, _MODULUS)


def signextend(index: int, word: int) -> int:
    """Extend the sign of the byte `index`, counted from the least significant."""
    if index > 30:
        return word
    bit = 1 << (8 * index + 7)
    if word & bit:
        return word | (WORD - bit + 1)
    return word & (bit - 1)


def lt(a: int, b: int) -> int:
    return 1 if a < b else 0


def gt(a: int, b: int) -> int:
    return 1 if a > b else 0


def slt(a: int, b: int) -> int:
    # Flipping the sign bit maps the signed order onto the unsigned one.
    return 1 if a ^ _SIGN < b ^ _SIGN else 0


def sgt(a: int, b: int) -> int:
    return 1 if a ^ _SIGN > b ^ _SIGN else 0


def eq(a: int, b: int) -> int:
    return 1 if a == b else 0


def iszero(a: int) -> int:
    return 0 if a else 1


def and_(a: int, b: int) -> int:
    return a & b


def or_(a: int, b: int) -> int:
    return a | b


def xor(a: int, b: int) -> int:
    return a ^ b


def not_(a: int) -> int:
    return a ^ WORD


def byte(index: int, word: int) -> int:
    """The byte `index`, counted from the most significant."""
    return (word >> (8 * (31 - index))) & 0xFF if index < 32 else 0


def shl(shift: int, word: int) -> int:
    return (word << shift) & WORD if shift < 256 else 0


def shr(shift: int, word: int) -> int:
    return word >> shift if shift < 256 else 0


def sar(shift: int, word: int) -> int:
    if word & _SIGN:
        return ((word - _MODULUS) >> shift) & WORD if shift < 256 else WORD
    return word >> shift if shift < 256 else 0


def clz(word: int) -> int:
    """Leading zero bits; 256 for zero."""
    return 256 - word.bit_length()
