"""What hashes that take 64 bytes at a time have in common: the loop, and a state of words."""

from collections.abc import Callable, Sequence
from typing import Final

from contracts.vm.native.assembly import Function, Module, Value, constant

BLOCK: Final = 64  # bytes


def add_blocks(
    module: Module,
    name: str,
    load: Callable[[Function, Value], list[Value]],
    block: Callable[[Function, list[Value], Value], list[Value]],
    store: Callable[[Function, Value, list[Value]], None],
) -> None:
    """Add the kernel `name(state, data, count)`: take `count` blocks at an address into a state.

    `load` makes values of the state at a pointer, `store` puts them back, and `block`
    writes what becomes of them with the block at a pointer.
    """
    f = module.function(name, "i64", ["ptr", "i64", "i64"], attributes="noinline")
    state, data, count = f.arguments
    start = load(f, state)
    kept = [f.local(value.type) for value in start]
    for value, local in zip(start, kept):
        f.store(value, local)
    place, left = f.local("i64"), f.local("i64")
    f.store(data, place)
    f.store(count, left)
    check, inside, after = f.new_block(), f.new_block(), f.new_block()
    f.go_to(check)
    f.block = check
    remaining = f.load("i64", left)
    f.branch(f.compare("eq", remaining, constant(0)), after, inside)
    f.block = inside
    f.store(f.sub(remaining, constant(1)), left)
    at = f.load("i64", place)
    f.store(f.add(at, constant(BLOCK)), place)
    before = [f.load(value.type, local) for value, local in zip(start, kept)]
    for new, local in zip(block(f, before, f.pointer(at)), kept):
        f.store(new, local)
    f.go_to(check)
    f.block = after
    store(f, state, [f.load(value.type, local) for value, local in zip(start, kept)])
    f.give(constant(0))


def load_words(count: int) -> Callable[[Function, Value], list[Value]]:
    """A state of so many words of 32 bits."""
    return lambda f, place: [f.load("i32", f.offset(place, 4 * i), 4) for i in range(count)]


def store_words(f: Function, place: Value, words: Sequence[Value]) -> None:
    for i, value in enumerate(words):
        f.store(value, f.offset(place, 4 * i), 4)


def sum_of(f: Function, first: Value, *others: Value) -> Value:
    for other in others:
        first = f.add(first, other)
    return first


def sums_of(f: Function, left: Sequence[Value], right: Sequence[Value]) -> list[Value]:
    """Place by place."""
    return [f.add(a, b) for a, b in zip(left, right)]


def turned_right(f: Function, value: Value, bits: int) -> Value:
    return f.intrinsic("fshr", value, value, constant(bits, value.type))
