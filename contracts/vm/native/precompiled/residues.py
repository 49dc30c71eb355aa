"""Products modulo any odd number, in Montgomery's form, for as many limbs as are wanted.

Limbs have 64 bits, the least significant first; a number has `size` of them: 1 to 4, 6, 8, or a
multiple of 4.
Source: Koc, Acar and Kaliski, "Analyzing and comparing Montgomery multiplication algorithms"
(1996), where this way of taking turns is called FIOS.
"""

from collections.abc import Callable
from typing import Final

from contracts.vm.native.assembly import Function, Module, Value, constant
from contracts.vm.native.declared import compiled
from contracts.vm.native.limbs import accumulate, multiply_add, number_of, wide
from contracts.vm.native.records import U64, Words

STEP: Final = 4  # limbs; sizes are multiples of it
_SHORT: Final = (1, 2, 3, 4, 6, 8)
LIMBS: Final = 32  # the most for which this is about as fast as a library


def montgomery(
    out: Words, a: Words, b: Words, modulus: Words, factor: U64, size: U64, scratch: Words
) -> None:
    """out = a * b / 2^(64 size) modulo `modulus`, and less than it; `out` may be an operand.

    One of a and b is less than the modulus. `factor` is -1 / modulus modulo 2^64; in
    `scratch` there is room for size + 2 words.
    """
    compiled()


def add_residues(module: Module) -> None:
    """Add the kernel `montgomery`."""
    for limbs in _SHORT:
        _add_short(module, limbs)
    _add_long(module)
    parameters = ["ptr", "ptr", "ptr", "ptr", "i64", "i64", "ptr"]
    f = module.function("montgomery", "i64", parameters, attributes="noinline")
    *operands, size, scratch = f.arguments
    long = f.new_block()
    blocks = {limbs: f.new_block() for limbs in _SHORT}
    f.switch(size, long, list(blocks.items()))
    for limbs, block in blocks.items():
        f.block = block
        f.give(f.call(module.signatures[f"montgomery_{limbs}"], operands))
    f.block = long
    f.give(f.call(module.signatures["montgomery_long"], [*operands, size, scratch]))


def _limb(f: Function, place: Value, number: int) -> Value:
    return f.load("i64", f.offset(place, 8 * number))


def _add_short(module: Module, size: int) -> None:
    """Without loops."""
    parameters = ["ptr", "ptr", "ptr", "ptr", "i64"]
    f = module.function(f"montgomery_{size}", "i64", parameters, attributes="noinline")
    out, a, b, modulus, factor = f.arguments
    right = [_limb(f, b, j) for j in range(size)]
    limbs = [_limb(f, modulus, j) for j in range(size)]
    kind, zero = f"i{64 * size}", constant(0)
    total = [zero] * (size + 1)
    for i in range(size):
        left = _limb(f, a, i)
        multiple, above, below = zero, zero, zero
        for j in range(size):
            low, above = multiply_add(f, left, right[j], total[j], above)
            if j == 0:
                multiple = f.mul(low, factor)
            low, below = multiply_add(f, multiple, limbs[j], low, below)
            if j:
                total[j - 1] = low
        total[size - 1], total[size] = accumulate(f, wide(f, total[size]), above, below)
    number, whole = number_of(f, total[:size]), f.load(kind, modulus)
    too_large = f.or_(f.compare("ne", total[size], zero), f.compare("uge", number, whole))
    f.store(f.select(too_large, f.sub(number, whole), number), out)
    f.give(zero)


def _add_long(module: Module) -> None:
    """A loop over the limbs of `a`, and in it one over those of b and the modulus, by STEP."""
    parameters = ["ptr", "ptr", "ptr", "ptr", "i64", "i64", "ptr"]
    f = module.function("montgomery_long", "i64", parameters, attributes="noinline")
    out, a, b, modulus, factor, size, scratch = f.arguments
    # The sum is one limb further, so that the one that is always 0 has a place before it.
    total = f.offset(scratch, 8)
    end = f.shl(size, constant(3))
    f.call(module.declare("llvm.memset.p0.i64", "void", ("ptr", "i8", "i64", "i1")),
           (scratch, constant(0, "i8"), f.add(end, constant(16)), constant(0, "i1")))  # fmt: skip
    i, top = f.local("i64"), f.local("i64")
    f.store(constant(0), top)

    def rows() -> None:
        left = f.load("i64", f.offset(a, f.load("i64", i)))
        first, _ = multiply_add(f, left, _limb(f, b, 0), _limb(f, total, 0))
        multiple = f.mul(first, factor)
        j, above, below = f.local("i64"), f.local("i64"), f.local("i64")
        f.store(constant(0), above)
        f.store(constant(0), below)

        def columns() -> None:
            at = f.load("i64", j)
            sums, right, limbs = f.offset(total, at), f.offset(b, at), f.offset(modulus, at)
            up, down = f.load("i64", above), f.load("i64", below)
            for k in range(STEP):
                low, up = multiply_add(f, left, _limb(f, right, k), _limb(f, sums, k), up)
                low, down = multiply_add(f, multiple, _limb(f, limbs, k), low, down)
                f.store(low, f.offset(sums, 8 * (k - 1)))
            f.store(up, above)
            f.store(down, below)

        _count(f, j, end, 8 * STEP, columns)
        carries = (f.load("i64", place) for place in (above, below))
        low, high = accumulate(f, wide(f, f.load("i64", top)), *carries)
        f.store(low, f.offset(scratch, end))
        f.store(high, top)

    _count(f, i, end, 8, rows)
    _reduce(f, out, total, modulus, end, f.load("i64", top))
    f.give(constant(0))


def _reduce(f: Function, out: Value, total: Value, modulus: Value, end: Value, top: Value) -> None:
    """`total`, with `top` above it, less the modulus unless that is negative."""
    i, borrow = f.local("i64"), f.local("i64")
    f.store(constant(0), borrow)

    def subtract() -> None:
        at = f.load("i64", i)
        sum_, limb = (wide(f, f.load("i64", f.offset(place, at))) for place in (total, modulus))
        less = f.sub(f.sub(sum_, limb), wide(f, f.load("i64", borrow)))
        low, high = accumulate(f, less)
        f.store(low, f.offset(out, at))
        f.store(f.and_(high, constant(1)), borrow)

    _count(f, i, end, 8, subtract)
    keep, done = f.new_block(), f.new_block()
    f.branch(f.compare("ult", top, f.load("i64", borrow)), keep, done)
    f.block = keep
    f.move_bytes(out, total, end)
    f.go_to(done)
    f.block = done


def _count(f: Function, place: Value, end: Value, by: int, body: Callable[[], None]) -> None:
    """Run the body with 0, `by`, ... in a place, until it is `end`, which is more than 0."""
    again, after = f.new_block(), f.new_block()
    f.store(constant(0), place)
    f.go_to(again)
    f.block = again
    body()
    following = f.add(f.load("i64", place), constant(by))
    f.store(following, place)
    f.branch(f.compare("ult", following, end), again, after)
    f.block = after
