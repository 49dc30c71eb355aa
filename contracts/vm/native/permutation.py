"""Keccak-f[1600], written out round for round: 25 words that stay in registers where they fit.

Source: FIPS 202, 3.2. Rotations and round constants are computed as the standard defines them.
"""

from typing import Final

from contracts.vm.native.assembly import Function, Module, Value, constant

_ROUNDS: Final = 24


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


def add_permutation(module: Module) -> None:
    """Add `keccak_permute(state)`."""
    f = module.function("keccak_permute", "i64", ["ptr"], attributes="noinline")
    table = module.table("round_constants", "i64", [str(n) for n in _round_constants()])
    state = f.arguments[0]
    places = [f.local("i64") for _ in range(25)]
    for i, place in enumerate(places):
        f.store(f.load("i64", f.offset(state, 8 * i)), place)
    count = f.local("i64")
    f.store(constant(0), count)
    again, after = f.new_block(), f.new_block()
    f.go_to(again)
    f.block = again
    lanes = _round(f, [f.load("i64", place) for place in places])
    done = f.load("i64", count)
    lanes[0] = f.xor(lanes[0], f.load("i64", f.offset(table, f.shl(done, constant(3)))))
    for lane, place in zip(lanes, places):
        f.store(lane, place)
    done = f.add(done, constant(1))
    f.store(done, count)
    f.branch(f.compare("eq", done, constant(_ROUNDS)), after, again)
    f.block = after
    for i, place in enumerate(places):
        f.store(f.load("i64", place), f.offset(state, 8 * i))
    f.give(constant(0))


def _round(f: Function, a: list[Value]) -> list[Value]:
    """Theta, rho, pi and chi; lane (x, y) is at x + 5 y."""

    def turn(value: Value, bits: int) -> Value:
        return f.intrinsic("fshl", value, value, constant(bits)) if bits else value

    columns = []
    for x in range(5):
        column = a[x]
        for y in range(1, 5):
            column = f.xor(column, a[x + 5 * y])
        columns.append(column)
    turns = _rotations()
    moved: dict[int, Value] = {}
    for x in range(5):
        mixed = f.xor(columns[(x - 1) % 5], turn(columns[(x + 1) % 5], 1))
        for y in range(5):
            to = y + 5 * ((2 * x + 3 * y) % 5)
            moved[to] = turn(f.xor(a[x + 5 * y], mixed), turns[x, y])
    return [
        f.xor(
            moved[x + 5 * y],
            f.and_(f.not_(moved[(x + 1) % 5 + 5 * y]), moved[(x + 2) % 5 + 5 * y]),
        )
        for y in range(5)
        for x in range(5)
    ]
