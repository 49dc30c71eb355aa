"""Kernels for even moduli: powers modulo a power of two, united with those modulo an odd number.

Numbers have as many limbs of 64 bits as is said, the least significant first; what does not
fit is dropped. Source: Koc, "Montgomery reduction with even modulus" (1994).
"""

from contracts.vm.native.precompiled.residues import LIMBS
from contracts.vm.native.records import U64, Words
from contracts.vm.native.words import (
    address_of,
    clear_bytes,
    load_byte,
    move_bytes,
    mul_high,
    room,
)


def multiply_low(out: Words, a: Words, b: Words, limbs: U64) -> None:
    """`out` must not be an operand."""
    clear_bytes(address_of(out), limbs << 3)
    for i in range(limbs):
        factor = a[i]
        carry = 0
        if factor != 0:
            for j in range(limbs - i):
                low = factor * b[j]
                sum_ = out[i + j] + low
                above = mul_high(factor, b[j]) + (sum_ < low)
                sum_ += carry
                carry = above + (sum_ < carry)
                out[i + j] = sum_


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
    right = 1
    while right < limbs:
        right *= 2
        multiply_low(product, out, odd, limbs)
        # 2 less the product
        borrow = 0
        for i in range(limbs):
            first = 0
            if i == 0:
                first = 2
            less = first - product[i]
            rest = less - borrow
            borrow = (first < product[i]) | (less < borrow)
            product[i] = rest
        move_bytes(address_of(before), address_of(out), limbs << 3)
        multiply_low(out, before, product, limbs)


def count_zeros(number: Words) -> U64:
    """How often 2 divides a number that is not 0."""
    zeros = 0
    while number[zeros >> 6] & (1 << (zeros & 63)) == 0:
        zeros += 1
    return zeros


def shift_right(out: Words, number: Words, bits: U64, limbs: U64) -> None:
    """`out` may be the number."""
    whole = bits >> 6
    part = bits & 63
    for i in range(limbs):
        low = 0
        high = 0
        if i + whole < limbs:
            low = number[i + whole]
        if i + whole + 1 < limbs:
            high = number[i + whole + 1]
        if part != 0:
            low = (low >> part) | (high << (64 - part))
        out[i] = low


def unite(out: Words, low: Words, odd_part: Words, odd: Words, zeros: U64, limbs: U64) -> None:
    """The number below odd * 2^zeros that is `low` modulo 2^zeros and `odd_part` modulo `odd`.

    It is odd_part + odd * ((low - odd_part) / odd modulo 2^zeros), and has so many limbs.
    """
    difference = room(LIMBS)
    inverse = room(LIMBS)
    quotient = room(LIMBS)
    few = (zeros + 63) >> 6
    borrow = 0
    for i in range(few):
        less = low[i] - odd_part[i]
        rest = less - borrow
        borrow = (low[i] < odd_part[i]) | (less < borrow)
        difference[i] = rest
    invert_low(inverse, odd, few)
    clear_bytes(address_of(quotient), limbs << 3)
    multiply_low(quotient, difference, inverse, few)
    if zeros & 63 != 0:
        quotient[few - 1] = quotient[few - 1] & ((1 << (zeros & 63)) - 1)
    multiply_low(out, odd, quotient, limbs)
    carry = 0
    for i in range(limbs):
        sum_ = out[i] + carry
        carry = sum_ < carry
        sum_ += odd_part[i]
        carry += sum_ < odd_part[i]
        out[i] = sum_
