"""Keccak-f[1600]: 25 words that stay in registers where they fit.

Processors with AVX-512 have 32 vector registers, rotations, and any function of three words as
one instruction: there each word is the first lane of a vector, and nothing leaves the registers.
Source: FIPS 202, 3.2. Rotations and round constants are computed as the standard defines them.
"""

from collections.abc import Collection
from typing import Final

from contracts.vm.native.assembly import Function, Module, Value, constant

_ROUNDS: Final = 24
_VECTOR: Final = "<2 x i64>"
WIDE: Final = "avx512vl"  # LLVM's name of the feature


def _rotations() -> dict[tuple[int, int], int]:
    turns = {(0, 0): 0}
    x, y = 1, 0
    for t in range(24):
        turns[x, y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return turns


def _round_constants() -> list[int]:
    register, constants = 1, []
    for _ in range(_ROUNDS):
        number = 0
        for j in range(7):
            if register & 1:
                number |= 1 << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(number)
    return constants


def add_permutation(module: Module, features: Collection[str]) -> None:
    """Add `keccak_permute(state)` and `keccak_word(digest, data)`, for a processor's features."""
    kind = _VECTOR if WIDE in features else "i64"
    table = module.table("round_constants", "i64", [str(n) for n in _round_constants()])
    f = module.function("keccak_permute", "i64", ["ptr"], attributes="noinline")
    state = f.arguments[0]
    lanes = [_load(f, kind, f.offset(state, 8 * i)) for i in range(25)]
    _store(f, _rounds(f, table, lanes, range(_ROUNDS)), state)
    f.give(constant(0))
    # Of 32 bytes most words are known before the first round, and four are wanted of the last.
    f = module.function("keccak_word", "i64", ["ptr", "ptr"], attributes="noinline")
    digest, data = f.arguments
    lanes = [_both(0, kind)] * 25
    lanes[:4] = [_load(f, kind, f.offset(data, 8 * i)) for i in range(4)]
    lanes[4], lanes[16] = _both(1, kind), _both(1 << 63, kind)
    first, last = 0, _ROUNDS - 1
    lanes = _with_constant(f, table, _round(f, lanes), constant(first))
    lanes = _rounds(f, table, lanes, range(first + 1, last))
    lanes = _with_constant(f, table, _round(f, lanes), constant(last))
    _store(f, lanes[:4], digest)
    f.give(constant(0))


def _rounds(f: Function, table: Value, lanes: list[Value], numbers: range) -> list[Value]:
    """The rounds with these numbers, in a loop."""
    kind = lanes[0].type
    places = [f.local(kind) for _ in lanes]
    for lane, place in zip(lanes, places):
        f.store(lane, place)
    count = f.local("i64")
    f.store(constant(numbers.start), count)
    again, after = f.new_block(), f.new_block()
    f.go_to(again)
    f.block = again
    done = f.load("i64", count)
    lanes = _with_constant(f, table, _round(f, [f.load(kind, place) for place in places]), done)
    for lane, place in zip(lanes, places):
        f.store(lane, place)
    done = f.add(done, constant(1))
    f.store(done, count)
    f.branch(f.compare("eq", done, constant(numbers.stop)), after, again)
    f.block = after
    return [f.load(kind, place) for place in places]


def _with_constant(f: Function, table: Value, lanes: list[Value], number: Value) -> list[Value]:
    """Iota."""
    place = f.offset(table, f.shl(number, constant(3)))
    return [f.xor(lanes[0], _load(f, lanes[0].type, place)), *lanes[1:]]


def _store(f: Function, lanes: list[Value], place: Value) -> None:
    for i, lane in enumerate(lanes):
        f.store(lane if lane.type == "i64" else f.lane(lane, 0), f.offset(place, 8 * i))


def _load(f: Function, kind: str, place: Value) -> Value:
    lane = f.load("i64", place)
    return lane if kind == "i64" else f.first_lane(lane, kind)


def _round(f: Function, a: list[Value]) -> list[Value]:
    """Theta, rho, pi and chi; lane (x, y) is at x + 5 y.

    Row by row of the result, so that few of the words between are needed at once.
    """
    columns = []
    for x in range(5):
        column = a[x]
        for y in range(1, 5):
            column = f.xor(column, a[x + 5 * y])
        columns.append(column)
    mixed = [f.xor(columns[(x - 1) % 5], _turn(f, columns[(x + 1) % 5], 1)) for x in range(5)]
    turns = _rotations()
    origins = {y + 5 * ((2 * x + 3 * y) % 5): (x, y) for x in range(5) for y in range(5)}
    result = []
    for row in range(0, 25, 5):
        moved = []
        for x, y in (origins[row + i] for i in range(5)):
            moved.append(_turn(f, f.xor(a[x + 5 * y], mixed[x]), turns[x, y]))
        for i in range(5):
            others = f.and_(_inverted(f, moved[(i + 1) % 5]), moved[(i + 2) % 5])
            result.append(f.xor(moved[i], others))
    return result


def _both(number: int, kind: str) -> Value:
    """A constant, in each lane of a vector."""
    one = constant(number)
    return one if kind == "i64" else Value(f"<{one}, {one}>", kind)


def _turn(f: Function, value: Value, bits: int) -> Value:
    if bits == 0:
        return value
    kind = value.type
    name = "i64" if kind == "i64" else "v2i64"
    callee = f.module.declare(f"llvm.fshl.{name}", kind, [kind] * 3)
    return f.call(callee, (value, value, _both(bits, kind)))


def _inverted(f: Function, value: Value) -> Value:
    return f.xor(value, _both(-1, value.type))
