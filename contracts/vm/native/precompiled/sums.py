"""The compression functions of RIPEMD-160 and BLAKE2b, written out round for round.

Sources: Dobbertin, Bosselaers and Preneel, "RIPEMD-160" (1996); RFC 7693.
"""

from math import isqrt
from typing import Final

from contracts.vm.native.assembly import Function, Module, Value, constant
from contracts.vm.native.declared import compiled
from contracts.vm.native.precompiled.blocks import (
    add_blocks,
    load_words,
    store_words,
    sum_of,
    turned_right,
)
from contracts.vm.native.precompiled.sha256 import cube_root, first_primes
from contracts.vm.native.records import U64, Words
from contracts.vm.precompiles.blake2_constants import LANES, SIGMA

_FIRST_PRIMES: Final = first_primes(4)

RIPEMD160_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_RIPEMD160_LEFT: Final = [0, *(isqrt(prime << 60) for prime in _FIRST_PRIMES)]
_RIPEMD160_RIGHT: Final = [*(cube_root(prime << 90) for prime in _FIRST_PRIMES), 0]
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
    add_blocks(module, "ripemd160_blocks", load_words(5), _ripemd160_block, store_words)
    _add_blake2(module)


def _ripemd160_block(f: Function, start: list[Value], block: Value) -> list[Value]:
    """Two lines of five times sixteen steps, whose ends are added to the state crosswise.

    They take turns, since a processor can do a step of both at once.
    """
    words = [f.load("i32", f.offset(block, 4 * i), 1) for i in range(16)]
    left, right = start, start
    left_order, right_order = list(range(16)), [(9 * i + 5) % 16 for i in range(16)]
    for step in range(80):
        number, place = divmod(step, 16)
        left = _ripemd160_step(f, left, number, words[left_order[place]],
                               _RIPEMD160_LEFT[number], _LEFT_TURNS[number][place])  # fmt: skip
        right = _ripemd160_step(f, right, 4 - number, words[right_order[place]],
                                _RIPEMD160_RIGHT[number], _RIGHT_TURNS[number][place])  # fmt: skip
        if place == 15:
            left_order, right_order = (
                [_RHO[word] for word in order] for order in (left_order, right_order)
            )
    return [sum_of(f, start[(i + 1) % 5], left[(i + 2) % 5], right[(i + 3) % 5]) for i in range(5)]


def _ripemd160_step(
    f: Function, state: list[Value], function: int, word: Value, added: int, turn: int
) -> list[Value]:
    a, b, c, d, e = state
    mixed = _ripemd160_function(f, function, b, c, d)
    total = sum_of(f, a, mixed, word, constant(added, "i32"))
    total = f.add(turned_right(f, total, 32 - turn), e)
    return [e, total, b, turned_right(f, c, 22), d]


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
    f = module.function("blake2_rounds", "i64", ["ptr", "ptr", "i64"], attributes="noinline")
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
                a = sum_of(f, a, b, f.load("i64", f.offset(message, 8 * word)))
                d = turned_right(f, f.xor(d, a), first)
                c = f.add(c, d)
                b = turned_right(f, f.xor(b, c), second)
            v[ia], v[ib], v[ic], v[id_] = a, b, c, d
        for value, place in zip(v, words):
            f.store(value, place)
        f.go_to(blocks[(number + 1) % len(SIGMA)])
    f.block = done
    for i, place in enumerate(words):
        f.store(f.load("i64", place), f.offset(state, 8 * i))
    f.give(constant(0))


def ripemd160_blocks(state: Words, data: U64, count: U64) -> None:
    """Take `count` blocks of 64 bytes at an address into the state, five words of 32 bits."""
    compiled()


def blake2_rounds(state: Words, message: Words, rounds: U64) -> None:
    """So many rounds on the working state of 16 words."""
    compiled()
