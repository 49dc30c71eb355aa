"""Kernels for even moduli: powers modulo a power of two, united with those modulo an odd number.

Numbers are those of contracts.vm.native.precompiled.numbers. Source: Koc, "Montgomery reduction
with even modulus" (1994).
"""

from contracts.vm.native.precompiled.numbers import (
    add_numbers,
    multiply_low,
    subtract_numbers,
)
from contracts.vm.native.precompiled.residues import LIMBS
from contracts.vm.native.records import U64, Words
from contracts.vm.native.words import (
    address_of,
    clear_bytes,
    load_byte,
    move_bytes,
    room,
)


def raise_low(
    out: Words, base: Words, exponent: U64, exponent_size: U64, bits: U64, limbs: U64
) -> None:
    """base ** exponent; the exponent's bytes have the most significant first, and so many bits."""
    square = room(LIMBS)
    size = limbs << 3
    clear_bytes(address_of(out), size)
    out[0] = 1
    left = bits
    while left > 0:
        left -= 1
        multiply_low(square, out, out, limbs)
        byte = load_byte(exponent + exponent_size - 1 - (left >> 3))
        if (byte >> (left & 7)) & 1:
            multiply_low(out, square, base, limbs)
        else:
            move_bytes(address_of(out), address_of(square), size)


def inverse_word(odd: U64) -> U64:
    """1 / odd modulo 2^64: every step doubles the bits that are right, 3 in the beginning."""
    inverse = odd
    for _i in range(5):
        inverse *= 2 - odd * inverse
    return inverse


def invert_low(out: Words, odd: Words, limbs: U64) -> None:
    """1 / odd; a step doubles the limbs that are right."""
    product = room(LIMBS)
    before = room(LIMBS)
    clear_bytes(address_of(out), limbs << 3)
    out[0] = inverse_word(odd[0])
    two = room(LIMBS)
    clear_bytes(address_of(two), limbs << 3)
    two[0] = 2
    right = 1
    while right < limbs:
        right *= 2
        multiply_low(product, out, odd, limbs)
        # 2 less the product
        subtract_numbers(product, two, product, limbs)
        move_bytes(address_of(before), address_of(out), limbs << 3)
        multiply_low(out, before, product, limbs)


def unite(out: Words, low: Words, odd_part: Words, odd: Words, zeros: U64, limbs: U64) -> None:
    """The number below odd * 2^zeros that is `low` modulo 2^zeros and `odd_part` modulo `odd`.

    It is odd_part + odd * ((low - odd_part) / odd modulo 2^zeros), and has so many limbs.
    """
    difference = room(LIMBS)
    inverse = room(LIMBS)
    quotient = room(LIMBS)
    few = (zeros + 63) >> 6
    subtract_numbers(difference, low, odd_part, few)
    invert_low(inverse, odd, few)
    clear_bytes(address_of(quotient), limbs << 3)
    multiply_low(quotient, difference, inverse, few)
    if zeros & 63 != 0:
        quotient[few - 1] = quotient[few - 1] & ((1 << (zeros & 63)) - 1)
    multiply_low(out, odd, quotient, limbs)
    add_numbers(out, out, odd_part, limbs)
