"""Kernels for long numbers: as many limbs of 64 bits as is said, the least significant first.

What does not fit is dropped.
"""

from contracts.vm.native.records import U64, Words
from contracts.vm.native.words import address_of, clear_bytes, mul_high


def is_less(a: Words, b: Words, limbs: U64) -> U64:
    i = limbs
    while i > 0:
        i -= 1
        if a[i] != b[i]:
            return a[i] < b[i]
    return 0


def add_numbers(out: Words, a: Words, b: Words, limbs: U64) -> U64:
    """The carry; `out` may be an operand, as it may in subtractions."""
    carry = 0
    for i in range(limbs):
        sum_ = a[i] + carry
        carry = sum_ < carry
        sum_ += b[i]
        carry += sum_ < b[i]
        out[i] = sum_
    return carry


def subtract_numbers(out: Words, a: Words, b: Words, limbs: U64) -> U64:
    """The borrow."""
    borrow = 0
    for i in range(limbs):
        less = a[i] - borrow
        borrow = less > a[i]
        borrow += less < b[i]
        out[i] = less - b[i]
    return borrow


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
