"""MODEXP's kernel: powers modulo short numbers, or where there is no GMP; it has the others.

Prices and meaning are those of contracts.vm.precompiles.modexp.
"""

from typing import Final

from chain.forks import ModexpPricing
from contracts.vm.native.precompiled.entries import Contract
from contracts.vm.native.precompiled.exchange import give_output, take
from contracts.vm.native.precompiled.gmp import Powers, raise_modulo
from contracts.vm.native.precompiled.halves import inverse_word, raise_low, unite
from contracts.vm.native.precompiled.kernels import run_in_python
from contracts.vm.native.precompiled.numbers import (
    add_numbers,
    count_zeros,
    is_less,
    shift_right,
    subtract_numbers,
)
from contracts.vm.native.precompiled.residues import LIMBS, STEP, montgomery
from contracts.vm.native.records import NO_GAS, U64, Words
from contracts.vm.native.words import (
    address_of,
    at,
    clear_bytes,
    leading_zeros,
    load_byte,
    move_bytes,
    room,
    store_byte,
    words_at,
)

ORIGINAL = 0
CHEAPER = 1
RAISED = 2
PRICINGS: Final = {
    ModexpPricing.ORIGINAL: ORIGINAL,
    ModexpPricing.CHEAPER: CHEAPER,
    ModexpPricing.RAISED: RAISED,
}

HEADER = 96  # bytes of the three lengths
SIZE_MAX = 1_024  # bytes of base, exponent and modulus
OWN_LIMBS = 8  # of moduli for which we are faster than the library

SCRATCH = LIMBS + 2
BASE_LIMBS = (SIZE_MAX >> 3) + LIMBS  # whole numbers of the modulus's size
POWERS = 16  # of the base: from 0 to 15, for four bits of the exponent at once
TABLE = POWERS * LIMBS


def length(header: U64, number: U64) -> U64:
    """One of the three lengths; SIZE_MAX + 1 for all that are larger."""
    place = header + 32 * number
    above = 0
    for i in range(24):
        above |= load_byte(place + i)
    size = 0
    for i in range(24, 32):
        size = (size << 8) | load_byte(place + i)
    return SIZE_MAX + 1 if above != 0 or size > SIZE_MAX else size


def load_number(out: Words, limbs: U64, place: U64, size: U64) -> None:
    """The number in `size` bytes, the most significant first, in so many limbs."""
    clear_bytes(address_of(out), limbs << 3)
    end = address_of(out) + size
    for i in range(size):
        end -= 1
        store_byte(end, load_byte(place + i))


def bit_length(place: U64, size: U64) -> U64:
    """Of the number in `size` bytes."""
    for i in range(size):
        byte = load_byte(place + i)
        if byte != 0:
            return 8 * (size - i) - (leading_zeros(byte) - 56)
    return 0


def modexp_price(pricing: U64, size: U64, exponent_size: U64, head_bits: U64) -> U64:
    """`size` is that of the longer one of base and modulus."""
    iterations = 0
    if head_bits > 0:
        iterations = head_bits - 1
    if exponent_size > 32:
        per_byte = 16 if pricing == RAISED else 8
        iterations += per_byte * (exponent_size - 32)
    if iterations == 0:
        iterations = 1
    words = (size + 7) >> 3
    if pricing == ORIGINAL:
        if size <= 64:
            return size * size * iterations // 20
        return (size * size // 4 + 96 * size - 3_072) * iterations // 20
    if pricing == CHEAPER:
        price = words * words * iterations // 3
        return max(price, 200)
    complexity = 16
    if size > 32:
        complexity = 2 * words * words
    price = complexity * iterations
    return max(price, 500)


def add_modulo(out: Words, a: Words, b: Words, modulus: Words, limbs: U64) -> None:
    """Of two numbers below the modulus; `out` may be one of them."""
    if add_numbers(out, a, b, limbs) or not is_less(out, modulus, limbs):
        subtract_numbers(out, out, modulus, limbs)


def size_in_limbs(bits: U64) -> U64:
    """The next size for which there is a product."""
    limbs = (bits + 63) >> 6
    if limbs <= STEP:
        return limbs
    step = 2 if limbs <= 2 * STEP else STEP
    return (limbs + step - 1) // step * step


def ones(one: Words, square: Words, modulus: Words, bits: U64, limbs: U64, factor: U64) -> None:
    """R = 2^(64 limbs) and its square, modulo a modulus of so many bits, which is not 1."""
    clear_bytes(address_of(one), limbs << 3)
    one[(bits - 1) >> 6] = 1 << ((bits - 1) & 63)
    for _i in range(bits - 1, limbs << 6):
        add_modulo(one, one, one, modulus, limbs)
    # In Montgomery's form, in which `one` is 1: 2 to the power 64 limbs.
    scratch = room(SCRATCH)
    move_bytes(address_of(square), address_of(one), limbs << 3)
    exponent = limbs << 6
    bit = 64 - leading_zeros(exponent)
    while bit > 0:
        bit -= 1
        montgomery(square, square, square, modulus, factor, limbs, scratch)
        if (exponent >> bit) & 1:
            add_modulo(square, square, square, modulus, limbs)


def power(
    out: Words, base: U64, base_size: U64, exponent: U64, exponent_size: U64,
    modulus: Words, bits: U64, limbs: U64,
) -> None:  # fmt: skip
    """base ** exponent modulo an odd modulus, not 1, of so many bits; all in so many limbs."""
    factor = -inverse_word(modulus[0])
    one = room(LIMBS)
    square = room(LIMBS)
    ones(one, square, modulus, bits, limbs, factor)
    scratch = room(SCRATCH)
    table = room(TABLE)
    size = limbs << 3
    move_bytes(address_of(table), address_of(one), size)
    # The base, number by number of the modulus's size from above.
    digits = room(BASE_LIMBS)
    load_number(digits, BASE_LIMBS, base, base_size)
    first = words_at(address_of(table) + size)
    digit = room(LIMBS)
    clear_bytes(address_of(first), size)
    remaining = (base_size + size - 1) // size
    while remaining > 0:
        remaining -= 1
        place = words_at(address_of(digits) + remaining * size)
        montgomery(digit, place, square, modulus, factor, limbs, scratch)
        montgomery(first, first, square, modulus, factor, limbs, scratch)
        add_modulo(first, first, digit, modulus, limbs)
    # The exponent, bit by bit where it is short, else by fours.
    left = bit_length(exponent, exponent_size)
    step = 4
    if left <= 32:
        step = 1
    else:
        for i in range(2, POWERS):
            before = words_at(address_of(table) + (i - 1) * size)
            place = words_at(address_of(table) + i * size)
            montgomery(place, before, first, modulus, factor, limbs, scratch)
    left = (left + step - 1) // step * step
    move_bytes(address_of(out), address_of(one), size)
    begun = 0
    while left > 0:
        left -= step
        if begun:
            for _i in range(step):
                montgomery(out, out, out, modulus, factor, limbs, scratch)
        byte = load_byte(exponent + exponent_size - 1 - (left >> 3))
        number = (byte >> (left & 7)) & ((1 << step) - 1)
        if number != 0:
            place = words_at(address_of(table) + number * size)
            montgomery(out, out, place, modulus, factor, limbs, scratch)
            begun = 1
    clear_bytes(address_of(digit), size)
    digit[0] = 1
    montgomery(out, out, digit, modulus, factor, limbs, scratch)


def own_power(
    end: U64, base: U64, base_size: U64, exponent: U64, exponent_size: U64,
    number: U64, bits: U64,
) -> None:  # fmt: skip
    """base ** exponent modulo a number of so many bits, at least 2, in bytes that end at `end`.

    The modulus begins with its first byte that is not 0.
    """
    limbs = size_in_limbs(bits)
    size = (bits + 7) >> 3
    modulus = room(LIMBS)
    load_number(modulus, limbs, number, size)
    found = room(LIMBS)
    clear_bytes(address_of(found), limbs << 3)
    zeros = count_zeros(modulus)
    shift_right(modulus, modulus, zeros, limbs)
    odd_bits = bits - zeros
    if odd_bits > 1:
        power(found, base, base_size, exponent, exponent_size, modulus, odd_bits,
              size_in_limbs(odd_bits))  # fmt: skip
    if zeros > 0:
        # Base and power modulo the power of two, then both parts together.
        few = (zeros + 63) >> 6
        there = min(base_size, few << 3)
        last = room(LIMBS)
        load_number(last, few, base + base_size - there, there)
        low = room(LIMBS)
        exponent_bits = bit_length(exponent, exponent_size)
        raise_low(low, last, exponent, exponent_size, exponent_bits, few)
        odd_part = room(LIMBS)
        move_bytes(address_of(odd_part), address_of(found), limbs << 3)
        unite(found, low, odd_part, modulus, zeros, limbs)
    store_number(end, address_of(found), size)


def store_number(end: U64, limbs: U64, size: U64) -> None:
    """So many bytes of limbs, the most significant first, so that they end at an address."""
    for i in range(size):
        store_byte(end - 1 - i, load_byte(limbs + i))


def make_integer(place: U64, limbs: U64, bytes_: U64, size: U64) -> None:
    """The library's integer of so many bytes; there is room for those of SIZE_MAX."""
    load_number(words_at(limbs), (size + 7) >> 3, bytes_, size)
    words_at(place)[0] = ((bit_length(bytes_, size) + 63) >> 6 << 32) | (SIZE_MAX >> 3)
    words_at(place)[1] = limbs


def library_power(
    powers: Powers, end: U64, base: U64, base_size: U64, exponent: U64, exponent_size: U64,
    number: U64, size: U64,
) -> None:  # fmt: skip
    """Likewise, by the library; the modulus has so many bytes."""
    of_base = address_of(room(2))
    of_exponent = address_of(room(2))
    of_modulus = address_of(room(2))
    found = room(2)
    make_integer(of_base, address_of(room(128)), base, base_size)
    make_integer(of_exponent, address_of(room(128)), exponent, exponent_size)
    make_integer(of_modulus, address_of(room(128)), number, size)
    found[0] = SIZE_MAX >> 3
    found[1] = address_of(room(128))
    raise_modulo(powers, address_of(found), of_base, of_exponent, of_modulus)
    store_number(end, found[1], min(size, found[0] >> 32 << 3))


def run_modexp(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    powers = at(Powers, contract.constants)
    header = address_of(room(12))
    take(header, data, size, 0, HEADER)
    base_size = length(header, 0)
    exponent_size = length(header, 1)
    modulus_size = length(header, 2)
    if base_size > SIZE_MAX or exponent_size > SIZE_MAX or modulus_size > SIZE_MAX:
        return run_in_python(contract, data, size, gas)
    exponent = address_of(room(128))
    take(exponent, data, size, HEADER + base_size, exponent_size)
    head_bits = bit_length(exponent, min(exponent_size, 32))
    longer = max(base_size, modulus_size)
    price = modexp_price(powers.pricing, longer, exponent_size, head_bits)
    if price > gas:
        return NO_GAS
    number = address_of(room(128))
    take(number, data, size, HEADER + base_size + exponent_size, modulus_size)
    bits = bit_length(number, modulus_size)
    if bits > 64 * LIMBS and powers.raise_modulo == 0:
        return run_in_python(contract, data, size, gas)
    give_output(contract, modulus_size)
    clear_bytes(contract.output_at, modulus_size)
    if bits < 2:
        return gas - price
    base = address_of(room(128))
    take(base, data, size, HEADER, base_size)
    end = contract.output_at + modulus_size
    bytes_ = (bits + 7) >> 3
    first = number + modulus_size - bytes_
    if bits > 64 * OWN_LIMBS and powers.raise_modulo != 0:
        library_power(powers, end, base, base_size, exponent, exponent_size, first, bytes_)
    else:
        own_power(end, base, base_size, exponent, exponent_size, first, bits)
    return gas - price
