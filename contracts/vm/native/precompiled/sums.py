"""The compression functions of SHA-256 and BLAKE2b, written out round for round.

Sources: FIPS 180-4; RFC 7693.
"""

from collections.abc import Iterator
from math import isqrt
from typing import Final, NoReturn

from contracts.vm.native.assembly import Function, Module, Value, constant
from contracts.vm.native.records import U64, Words
from contracts.vm.precompiles.blake2_constants import LANES, SIGMA


def _primes() -> Iterator[int]:
    found: list[int] = []
    number = 2
    while True:
        if all(number % prime for prime in found):
            found.append(number)
            yield number
        number += 1


def _root_bits(number: int, power: int) -> int:
    """The first 32 bits of the fraction of a number's square or cube root."""
    scaled = number << 32 * power
    if power == 2:
        return isqrt(scaled) & 0xFFFFFFFF
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= scaled else (low, middle)
    return low & 0xFFFFFFFF


_FIRST_PRIMES: Final = [prime for prime, _ in zip(_primes(), range(64))]
SHA256_START: Final = [_root_bits(prime, 2) for prime in _FIRST_PRIMES[:8]]
_SHA256_ROUNDS: Final = [_root_bits(prime, 3) for prime in _FIRST_PRIMES]


def add_sums(module: Module) -> None:
    """Add the kernels that are declared at the end of this file."""
    _add_sha256(module)
    _add_blake2(module)


def _kernel(module: Module, name: str, parameters: list[str]) -> Function:
    return module.function(name, "i64", parameters, attributes="noinline")


def _turned_right(f: Function, value: Value, bits: int) -> Value:
    return f.intrinsic("fshr", value, value, constant(bits, value.type))


def _sum(f: Function, first: Value, *others: Value) -> Value:
    for other in others:
        first = f.add(first, other)
    return first


def _add_sha256(module: Module) -> None:
    f = _kernel(module, "sha256_block", ["ptr", "ptr"])
    state, block = f.arguments
    schedule = [f.swap_bytes(f.load("i32", f.offset(block, 4 * i), 1)) for i in range(16)]
    start = [f.load("i32", f.offset(state, 4 * i), 4) for i in range(8)]
    a, b, c, d, e, g, h, k = start
    for number, round_constant in enumerate(_SHA256_ROUNDS):
        if number >= 16:
            near, far = schedule[number - 2], schedule[number - 15]
            shifted = f.lshr(near, constant(10, "i32"))
            near = f.xor(f.xor(_turned_right(f, near, 17), _turned_right(f, near, 19)), shifted)
            shifted = f.lshr(far, constant(3, "i32"))
            far = f.xor(f.xor(_turned_right(f, far, 7), _turned_right(f, far, 18)), shifted)
            schedule.append(_sum(f, near, schedule[number - 7], far, schedule[number - 16]))
        mixed = f.xor(
            f.xor(_turned_right(f, e, 6), _turned_right(f, e, 11)), _turned_right(f, e, 25)
        )
        chosen = f.xor(h, f.and_(e, f.xor(g, h)))
        first = _sum(f, k, mixed, chosen, constant(round_constant, "i32"), schedule[number])
        mixed = f.xor(
            f.xor(_turned_right(f, a, 2), _turned_right(f, a, 13)), _turned_right(f, a, 22)
        )
        most = f.or_(f.and_(a, b), f.and_(c, f.or_(a, b)))
        a, b, c, d, e, g, h, k = (
            _sum(f, first, mixed, most), a, b, c, f.add(d, first), e, g, h,
        )  # fmt: skip
    for i, (before, after) in enumerate(zip(start, (a, b, c, d, e, g, h, k))):
        f.store(f.add(before, after), f.offset(state, 4 * i), 4)
    f.give(constant(0))


def _add_blake2(module: Module) -> None:
    """The order of words repeats after ten rounds; the loop may end after any of them."""
    f = _kernel(module, "blake2_rounds", ["ptr", "ptr", "i64"])
    state, message, rounds = f.arguments
    words = [f.local("i64") for _ in range(16)]
    for i, place in enumerate(words):
        f.store(f.load("i64", f.offset(state, 8 * i)), place)
    left = f.local("i64")
    f.store(rounds, left)
    blocks = [f.new_block() for _ in SIGMA]
    done = f.new_block()
    f.go_to(blocks[0])
    for number, order in enumerate(SIGMA):
        f.block = blocks[number]
        remaining, proceed = f.load("i64", left), f.new_block()
        f.branch(f.compare("eq", remaining, constant(0)), done, proceed)
        f.block = proceed
        f.store(f.sub(remaining, constant(1)), left)
        v = [f.load("i64", place) for place in words]
        for lane, (ia, ib, ic, id_) in enumerate(LANES):
            a, b, c, d = v[ia], v[ib], v[ic], v[id_]
            for word, (first, second) in zip(order[2 * lane :], ((32, 24), (16, 63))):
                a = _sum(f, a, b, f.load("i64", f.offset(message, 8 * word)))
                d = _turned_right(f, f.xor(d, a), first)
                c = f.add(c, d)
                b = _turned_right(f, f.xor(b, c), second)
            v[ia], v[ib], v[ic], v[id_] = a, b, c, d
        for value, place in zip(v, words):
            f.store(value, place)
        f.go_to(blocks[(number + 1) % len(SIGMA)])
    f.block = done
    for i, place in enumerate(words):
        f.store(f.load("i64", place), f.offset(state, 8 * i))
    f.give(constant(0))


def _compiled() -> NoReturn:
    raise NotImplementedError("kernels are compiled, not run")


def sha256_block(state: Words, block: Words) -> None:
    """Take 64 bytes into the state, which is eight words of 32 bits."""
    _compiled()


def blake2_rounds(state: Words, message: Words, rounds: U64) -> None:
    """So many rounds on the working state of 16 words."""
    _compiled()
