"""Arithmetic, comparison and bits as native instructions: pure functions of words.

Their semantics are in contracts.vm.arithmetic, under the same names.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from contracts.vm.native.assembly import Value, constant, word
from contracts.vm.native.lowerings import Lowering

if TYPE_CHECKING:
    from contracts.vm.native.emitter import Emitter

_SIGN_BIT: Final = word(2**255)


# -- arithmetic --


def add(e: "Emitter", a: Value, b: Value) -> Value:
    return e.f.add(a, b)


def mul(e: "Emitter", a: Value, b: Value) -> Value:
    return e.f.mul(a, b)


def sub(e: "Emitter", a: Value, b: Value) -> Value:
    return e.f.sub(a, b)


def _divide(e: "Emitter", a: Value, b: Value, *, words: int, remainder: bool) -> Value:
    """Quotient or remainder of `words` by 4 words; 0 when b is 0."""
    wide = f"i{64 * words}"
    dividend, divisor = e.spill(a, wide), e.spill(b)
    quotient, rest = e.f.local(wide), e.f.local("i256")
    e.call("divide", quotient, rest, dividend, constant(words), divisor)
    return e.unspill(rest if remainder else quotient)


def _in_64_bits_if(
    e: "Emitter",
    short: Value,
    a: Value,
    b: Value,
    operation: Callable[[Value, Value], Value],
    widen: Callable[[Value, str], Value],
    otherwise: Callable[[], Value],
) -> Value:
    """The machine's own division where both are `short`; 0 when b is 0."""
    f = e.f
    quick, long, after = f.new_block(), f.new_block(), f.new_block()
    f.branch(short, quick, long)
    f.block = quick
    low, by = f.narrow(a, "i64"), f.narrow(b, "i64")
    zero = f.compare("eq", by, constant(0))
    found = operation(low, f.select(zero, constant(1), by))
    quickly = widen(f.select(zero, constant(0), found), "i256")
    f.go_to(after)
    f.block = long
    slowly = otherwise()
    ended = f.block
    f.go_to(after)
    f.block = after
    return f.phi((quickly, quick), (slowly, ended))


def _unsigned(e: "Emitter", a: Value, b: Value, *, remainder: bool) -> Value:
    f = e.f
    short = f.compare("eq", f.lshr(f.or_(a, b), word(64)), word(0))

    def long() -> Value:
        return _divide(e, a, b, words=4, remainder=remainder)

    return _in_64_bits_if(e, short, a, b, f.urem if remainder else f.udiv, f.widen, long)


def div(e: "Emitter", a: Value, b: Value) -> Value:
    return _unsigned(e, a, b, remainder=False)


def mod(e: "Emitter", a: Value, b: Value) -> Value:
    return _unsigned(e, a, b, remainder=True)


def _negative(e: "Emitter", a: Value) -> Value:
    return e.f.compare("slt", a, word(0))


def _magnitude(e: "Emitter", a: Value) -> Value:
    return e.f.select(_negative(e, a), e.f.sub(word(0), a), a)


def _has_63_bits(e: "Emitter", a: Value) -> Value:
    """One less than there are, because the least of 64 by -1 has no quotient."""
    return e.f.compare("eq", e.f.extend(e.f.narrow(a, "i63"), "i256"), a)


def _signed(e: "Emitter", a: Value, b: Value, *, remainder: bool) -> Value:
    f = e.f
    short = f.and_(_has_63_bits(e, a), _has_63_bits(e, b))

    def long() -> Value:
        found = _divide(e, _magnitude(e, a), _magnitude(e, b), words=4, remainder=remainder)
        negative = _negative(e, a)
        if not remainder:
            negative = f.xor(negative, _negative(e, b))
        return f.select(negative, f.sub(word(0), found), found)

    return _in_64_bits_if(e, short, a, b, f.srem if remainder else f.sdiv, f.extend, long)


def sdiv(e: "Emitter", a: Value, b: Value) -> Value:
    return _signed(e, a, b, remainder=False)


def smod(e: "Emitter", a: Value, b: Value) -> Value:
    return _signed(e, a, b, remainder=True)


def addmod(e: "Emitter", a: Value, b: Value, n: Value) -> Value:
    total = e.f.add(e.f.widen(a, "i320"), e.f.widen(b, "i320"))
    return _divide(e, total, n, words=5, remainder=True)


def mulmod(e: "Emitter", a: Value, b: Value, n: Value) -> Value:
    product = e.f.mul(e.f.widen(a, "i512"), e.f.widen(b, "i512"))
    return _divide(e, product, n, words=8, remainder=True)


def exp(e: "Emitter", base: Value, exponent: Value) -> Value:
    f = e.f
    bits = f.sub(constant(256), f.narrow(f.leading_zeros(exponent), "i64"))
    size = f.lshr(f.add(bits, constant(7)), constant(3))
    e.charge(f.mul(size, e.session_field("exp_byte")))
    place, power = e.spill(base), e.spill(exponent)
    e.call("power", place, power)
    return e.unspill(place)


def signextend(e: "Emitter", index: Value, value: Value) -> Value:
    f = e.f
    unused = f.sub(word(248), f.shl(f.and_(index, word(31)), word(3)))
    extended = sar(e, unused, shl(e, unused, value))
    return f.select(f.compare("ugt", index, word(30)), value, extended)


# -- comparison and bits --


def _comparison(how: str) -> Lowering:
    def lower(e: "Emitter", a: Value, b: Value) -> Value:
        return e.to_word(e.f.compare(how, a, b))

    return lower


lt, gt = _comparison("ult"), _comparison("ugt")
slt, sgt = _comparison("slt"), _comparison("sgt")
eq = _comparison("eq")


def iszero(e: "Emitter", a: Value) -> Value:
    return e.to_word(e.f.compare("eq", a, word(0)))


def and_(e: "Emitter", a: Value, b: Value) -> Value:
    return e.f.and_(a, b)


def or_(e: "Emitter", a: Value, b: Value) -> Value:
    return e.f.or_(a, b)


def xor(e: "Emitter", a: Value, b: Value) -> Value:
    return e.f.xor(a, b)


def not_(e: "Emitter", a: Value) -> Value:
    return e.f.not_(a)


def clz(e: "Emitter", a: Value) -> Value:
    return e.f.leading_zeros(a)


def byte(e: "Emitter", index: Value, value: Value) -> Value:
    f = e.f
    shift = f.shl(f.sub(word(31), f.and_(index, word(31))), word(3))
    found = f.and_(shr(e, shift, value), word(0xFF))
    return f.select(f.compare("ult", index, word(32)), found, word(0))


def _shifted(e: "Emitter", shift: Value, value: Value, *, left: bool, fill: Value) -> Value:
    """Shift by 0 to 255 and more, 64 bits at a time: whole limbs first, then within them.

    LLVM's own shifts of 256 bits by a variable amount go through memory.
    """
    f = e.f
    limbs = [f.narrow(f.lshr(value, word(64 * i)), "i64") for i in range(4)]
    if left:
        limbs.reverse()  # so that limbs always move towards the front
    far = f.compare("ugt", shift, word(255))
    amount = f.narrow(shift, "i64")
    limbs = [f.select(far, fill, limb) for limb in limbs]
    for bit, distance in ((6, 1), (7, 2)):
        by = f.narrow(f.lshr(amount, constant(bit)), "i1")
        padded = [*limbs, fill, fill]
        limbs = [f.select(by, padded[i + distance], limbs[i]) for i in range(4)]
    within = f.and_(amount, constant(63))
    padded = [*limbs, fill]
    if left:
        limbs = [f.intrinsic("fshl", padded[i], padded[i + 1], within) for i in range(4)]
        limbs.reverse()
    else:
        limbs = [f.intrinsic("fshr", padded[i + 1], padded[i], within) for i in range(4)]
    result = f.widen(limbs[0], "i256")
    for i in range(1, 4):
        result = f.or_(result, f.shl(f.widen(limbs[i], "i256"), word(64 * i)))
    return result


def shl(e: "Emitter", shift: Value, value: Value) -> Value:
    return _shifted(e, shift, value, left=True, fill=constant(0))


def shr(e: "Emitter", shift: Value, value: Value) -> Value:
    return _shifted(e, shift, value, left=False, fill=constant(0))


def sar(e: "Emitter", shift: Value, value: Value) -> Value:
    sign = e.f.select(_negative(e, value), constant(-1), constant(0))
    return _shifted(e, shift, value, left=False, fill=sign)
