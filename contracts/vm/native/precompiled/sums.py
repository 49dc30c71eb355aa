"""The compression functions of SHA-256, RIPEMD-160 and BLAKE2b, written out round for round.

Sources: FIPS 180-4; Dobbertin, Bosselaers and Preneel, "RIPEMD-160" (1996); RFC 7693.
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


def _cube_root(number: int) -> int:
    low, high = 0, 1 << number.bit_length() // 3 + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low


_FIRST_PRIMES: Final = [prime for prime, _ in zip(_primes(), range(64))]
# The first 32 bits of the fractions of square and of cube roots.
SHA256_START: Final = [isqrt(prime << 64) % 2**32 for prime in _FIRST_PRIMES[:8]]
_SHA256_ROUNDS: Final = [_cube_root(prime << 96) % 2**32 for prime in _FIRST_PRIMES]

RIPEMD160_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_RIPEMD160_LEFT: Final = [0, *(isqrt(prime << 60) for prime in _FIRST_PRIMES[:4])]
_RIPEMD160_RIGHT: Final = [*(_cube_root(prime << 90) for prime in _FIRST_PRIMES[:4]), 0]
_RHO: Final = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_LEFT_TURNS: Final = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12),
    (11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5),
    (11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12),
    (9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6),
)
_RIGHT_TURNS: Final = (
    (8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6),
    (9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11),
    (9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5),
    (15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8),
    (8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11),
)


def add_sums(module: Module) -> None:
    """Add the kernels that are declared at the end of this file."""
    _add_sha256(module)
    _add_ripemd160(module)
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


def _add_ripemd160(module: Module) -> None:
    """Two lines of five times sixteen steps, whose ends are added to the state crosswise."""
    f = _kernel(module, "ripemd160_block", ["ptr", "ptr"])
    state, block = f.arguments
    words = [f.load("i32", f.offset(block, 4 * i), 1) for i in range(16)]
    start = [f.load("i32", f.offset(state, 4 * i), 4) for i in range(5)]
    order = list(range(16))
    left = _ripemd160_line(f, start, words, order, _RIPEMD160_LEFT, _LEFT_TURNS, (0, 1, 2, 3, 4))
    order = [(9 * i + 5) % 16 for i in range(16)]
    right = _ripemd160_line(f, start, words, order, _RIPEMD160_RIGHT, _RIGHT_TURNS, (4, 3, 2, 1, 0))
    for i in range(5):
        total = _sum(f, start[(i + 1) % 5], left[(i + 2) % 5], right[(i + 3) % 5])
        f.store(total, f.offset(state, 4 * i), 4)
    f.give(constant(0))


def _ripemd160_line(
    f: Function,
    start: list[Value],
    words: list[Value],
    order: list[int],
    constants: list[int],
    turns: tuple[tuple[int, ...], ...],
    functions: tuple[int, ...],
) -> list[Value]:
    a, b, c, d, e = start
    for step in range(80):
        number, place = divmod(step, 16)
        mixed = _ripemd160_function(f, functions[number], b, c, d)
        total = _sum(f, a, mixed, words[order[place]], constant(constants[number], "i32"))
        total = f.add(_turned_right(f, total, 32 - turns[number][place]), e)
        a, b, c, d, e = e, total, b, _turned_right(f, c, 22), d
        if place == 15:
            order = [_RHO[word] for word in order]
    return [a, b, c, d, e]


def _ripemd160_function(f: Function, number: int, x: Value, y: Value, z: Value) -> Value:
    match number:
        case 0:
            return f.xor(f.xor(x, y), z)
        case 1:
            return f.or_(f.and_(x, y), f.and_(f.not_(x), z))
        case 2:
            return f.xor(f.or_(x, f.not_(y)), z)
        case 3:
            return f.or_(f.and_(x, z), f.and_(y, f.not_(z)))
        case _:
            return f.xor(x, f.or_(y, f.not_(z)))


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


def ripemd160_block(state: Words, block: Words) -> None:
    """Likewise; the state is five words of 32 bits."""
    _compiled()


def blake2_rounds(state: Words, message: Words, rounds: U64) -> None:
    """So many rounds on the working state of 16 words."""
    _compiled()
