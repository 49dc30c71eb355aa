"""Long numbers in assembly, as limbs of 64 bits, the least significant first."""

from collections.abc import Sequence

from contracts.vm.native.assembly import Function, Value, constant


def wide(f: Function, limb: Value) -> Value:
    return f.widen(limb, "i128")


def accumulate(f: Function, term: Value, *more: Value | None) -> tuple[Value, Value]:
    """The lower limb of a term of 128 bits and some limbs more, which 128 bits hold, and the
    upper one."""
    for limb in more:
        if limb is not None:
            term = f.add(term, wide(f, limb))
    return f.narrow(term, "i64"), f.narrow(f.lshr(term, constant(64, "i128")), "i64")


def multiply_add(f: Function, a: Value, b: Value, *more: Value | None) -> tuple[Value, Value]:
    """Both limbs of a * b and up to two limbs more."""
    return accumulate(f, f.mul(wide(f, a), wide(f, b)), *more)


def limbs_of(f: Function, number: Value) -> list[Value]:
    shifted = (
        f.lshr(number, constant(64 * i, number.type)) if i else number
        for i in range(number.bits // 64)
    )
    return [f.narrow(value, "i64") for value in shifted]


def number_of(f: Function, limbs: Sequence[Value]) -> Value:
    kind = f"i{64 * len(limbs)}"
    number = f.widen(limbs[0], kind)
    for i, limb in enumerate(limbs[1:], 1):
        number = f.or_(number, f.shl(f.widen(limb, kind), constant(64 * i, kind)))
    return number
