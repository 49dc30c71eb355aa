"""The compression function of SHA-256, with the processor's own instructions where it has them.

Source: FIPS 180-4. The instructions do four rounds, or a quarter of the message schedule, on
vectors of four words: Intel's SHA extensions and Arm's FEAT_SHA256, each as its manual says.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from math import isqrt
from typing import Final

from contracts.vm.native.assembly import Function, Module, Value, constant
from contracts.vm.native.declared import compiled
from contracts.vm.native.precompiled.blocks import (
    add_blocks,
    load_words,
    store_words,
    sum_of,
    sums_of,
    turned_right,
)
from contracts.vm.native.records import U64, Words

_VECTOR: Final = "<4 x i32>"
INTEL: Final = "sha"  # LLVM's names of the features
ARM: Final = "sha2"


def first_primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def cube_root(number: int) -> int:
    """Rounded down."""
    low, high = 0, 1 << number.bit_length() // 3 + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low


# The first 32 bits of the fractions of square and of cube roots.
START: Final = [isqrt(prime << 64) % 2**32 for prime in first_primes(8)]
_ROUNDS: Final = [cube_root(prime << 96) % 2**32 for prime in first_primes(64)]


def sha256_blocks(state: Words, data: U64, count: U64) -> None:
    """Take `count` blocks of 64 bytes at an address into the state, eight words of 32 bits."""
    compiled()


def add_sha256(module: Module, features: Collection[str]) -> None:
    """Add the kernel, for a processor that has the features."""
    if INTEL in features:
        add_blocks(module, "sha256_blocks", _intel_order, _intel_block, _store_intel_order)
    elif ARM in features:
        add_blocks(module, "sha256_blocks", _load_halves, _arm_block, _store_halves)
    else:
        add_blocks(module, "sha256_blocks", load_words(8), _plain_block, store_words)


# -- word by word --


def _plain_block(f: Function, state: list[Value], block: Value) -> list[Value]:
    schedule = [f.swap_bytes(f.load("i32", f.offset(block, 4 * i), 1)) for i in range(16)]
    a, b, c, d, e, g, h, k = state
    for number, round_constant in enumerate(_ROUNDS):
        if number >= 16:
            near = _mixed(f, schedule[number - 2], (17, 19), 10)
            far = _mixed(f, schedule[number - 15], (7, 18), 3)
            schedule.append(sum_of(f, near, schedule[number - 7], far, schedule[number - 16]))
        chosen = f.xor(h, f.and_(e, f.xor(g, h)))
        first = sum_of(f, k, _mixed(f, e, (6, 11, 25)), chosen,
                     constant(round_constant, "i32"), schedule[number])  # fmt: skip
        most = f.or_(f.and_(a, b), f.and_(c, f.or_(a, b)))
        second = f.add(_mixed(f, a, (2, 13, 22)), most)
        a, b, c, d, e, g, h, k = f.add(first, second), a, b, c, f.add(d, first), e, g, h
    return sums_of(f, state, (a, b, c, d, e, g, h, k))


def _mixed(f: Function, value: Value, turns: Sequence[int], shift: int = 0) -> Value:
    """The value turned right by several distances, and shifted, in one by exclusive or."""
    mixed: Value | None = f.lshr(value, constant(shift, "i32")) if shift else None
    for bits in turns:
        turned = turned_right(f, value, bits)
        mixed = turned if mixed is None else f.xor(mixed, turned)
    assert mixed is not None
    return mixed


# -- vectors --


def _vectors(
    f: Function, block: Value, more: Callable[[list[Value]], Value]
) -> Iterator[tuple[Value, Value]]:
    """The message schedule by fours: each as it is, and with the rounds' constants added.

    `more` makes the next four words of the last sixteen.
    """
    schedule: list[Value] = []
    for number in range(16):
        if number < 4:
            loaded = f.load(_VECTOR, f.offset(block, 16 * number), 1)
            swap = f.module.declare("llvm.bswap.v4i32", _VECTOR, [_VECTOR])
            schedule.append(f.call(swap, [loaded]))
        else:
            schedule.append(more(schedule[-4:]))
        constants = ", ".join(f"i32 {n}" for n in _ROUNDS[4 * number : 4 * number + 4])
        yield schedule[-1], f.add(schedule[-1], Value(f"<{constants}>", _VECTOR))


def _vector_call(f: Function, name: str, *arguments: Value) -> Value:
    return f.call(f.module.declare(name, _VECTOR, [_VECTOR] * len(arguments)), arguments)


def _load_halves(f: Function, state: Value) -> list[Value]:
    return [f.load(_VECTOR, f.offset(state, 16 * i), 4) for i in range(2)]


def _store_halves(f: Function, state: Value, halves: list[Value]) -> None:
    for i, half in enumerate(halves):
        f.store(half, f.offset(state, 16 * i), 4)


def _intel_order(f: Function, state: Value) -> list[Value]:
    """The words f, e, b, a and h, g, d, c."""
    low, high = _load_halves(f, state)
    return [f.shuffle(low, high, (5, 4, 1, 0)), f.shuffle(low, high, (7, 6, 3, 2))]


def _store_intel_order(f: Function, state: Value, vectors: list[Value]) -> None:
    abef, cdgh = vectors
    halves = [f.shuffle(abef, cdgh, (3, 2, 7, 6)), f.shuffle(abef, cdgh, (1, 0, 5, 4))]
    _store_halves(f, state, halves)


def _intel_block(f: Function, state: list[Value], block: Value) -> list[Value]:
    def more(last: list[Value]) -> Value:
        begun = _vector_call(f, "llvm.x86.sha256msg1", last[0], last[1])
        sevenths = f.shuffle(last[2], last[3], (1, 2, 3, 4))
        return _vector_call(f, "llvm.x86.sha256msg2", f.add(begun, sevenths), last[3])

    abef, cdgh = state
    for _, words in _vectors(f, block, more):
        # Two rounds with the lower two words; what was abef is cdgh then.
        for pair in (words, f.shuffle(words, words, (2, 3, 0, 1))):
            abef, cdgh = _vector_call(f, "llvm.x86.sha256rnds2", cdgh, abef, pair), abef
    return sums_of(f, state, (abef, cdgh))


def _arm_block(f: Function, state: list[Value], block: Value) -> list[Value]:
    def more(last: list[Value]) -> Value:
        begun = _vector_call(f, "llvm.aarch64.crypto.sha256su0", last[0], last[1])
        return _vector_call(f, "llvm.aarch64.crypto.sha256su1", begun, last[2], last[3])

    abcd, efgh = state
    for _, words in _vectors(f, block, more):
        abcd, efgh = (
            _vector_call(f, "llvm.aarch64.crypto.sha256h", abcd, efgh, words),
            _vector_call(f, "llvm.aarch64.crypto.sha256h2", efgh, abcd, words),
        )
    return sums_of(f, state, (abcd, efgh))
