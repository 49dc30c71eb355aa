"""Arithmetic modulo a prime, and in its quadratic extension, written out limb by limb.

Numbers are kept in Montgomery form: x stands as x * 2^256 mod p, so that reducing a
product needs no division. All are below p, before and after. The extension is made by i
with i^2 = -1; its products are reduced once for each part of the result. Sources:
Montgomery, "Modular multiplication without trial division" (1985); Aranha, Karabina, Longa,
Gebotys and Lopez, "Faster explicit formulas for computing pairings" (2011) on reducing late.
"""

from collections.abc import Callable
from typing import Final

from contracts.vm.native.assembly import Block, Function, Module, Value, constant
from contracts.vm.native.limbs import accumulate, limbs_of, multiply_add, number_of, wide

LIMBS: Final = 4
BYTES: Final = 8 * LIMBS
BITS: Final = 64 * LIMBS
_NUMBER: Final = f"i{BITS}"
_PRODUCT: Final = f"i{2 * BITS}"
_LIMB: Final = 2**64

# An element of the extension: its real and its imaginary part.
Pair = tuple[Value, Value]


def add_field(module: Module, prime: int) -> None:
    """Add the kernels that contracts.vm.native.curves.elements declares.

    The prime is odd and below 2^254, so that sums of three numbers have no carry.
    """
    field = _Field(prime)

    def over_field(name: str, result: Callable[[Function, Value, Value], Value]) -> None:
        f = _kernel(module, name, 3)
        out, a, b = f.arguments
        f.store(result(f, f.load(_NUMBER, a), f.load(_NUMBER, b)), out)
        f.give(constant(0))

    def over_extension(name: str, result: Callable[[Function, Pair, Pair], Pair]) -> None:
        f = _kernel(module, name, 3)
        out, a, b = f.arguments
        _store_pair(f, result(f, _load_pair(f, a), _load_pair(f, b)), out)
        f.give(constant(0))

    def of_one(name: str, result: Callable[[Function, Pair], Pair]) -> None:
        f = _kernel(module, name, 2)
        out, a = f.arguments
        _store_pair(f, result(f, _load_pair(f, a)), out)
        f.give(constant(0))

    over_field("fp_add", field.add)
    over_field("fp_sub", field.sub)
    over_field("fp_mul", field.mul)
    over_extension("fp2_add", field.add_pairs)
    over_extension("fp2_sub", field.sub_pairs)
    over_extension("fp2_mul", field.mul_pairs)
    of_one("fp2_square", field.square_pair)
    of_one("fp2_negate", field.negate)
    of_one("fp2_conjugate", field.conjugate)
    of_one("fp2_by_root", field.by_root)
    _add_inversion(module, field)


def _kernel(module: Module, name: str, pointers: int) -> Function:
    return module.function(name, "i64", ["ptr"] * pointers, attributes="noinline")


def _load_pair(f: Function, place: Value) -> Pair:
    return f.load(_NUMBER, place), f.load(_NUMBER, f.offset(place, BYTES))


def _store_pair(f: Function, pair: Pair, place: Value) -> None:
    f.store(pair[0], place)
    f.store(pair[1], f.offset(place, BYTES))


class _Field:
    """Writes the instructions of one operation; operands are numbers, not places."""

    def __init__(self, prime: int) -> None:
        assert prime % 2 and prime < 1 << (BITS - 2), prime
        self.prime = constant(prime, _NUMBER)
        # In a product's upper half, so that it makes a difference of products positive.
        self.prime_above = constant(prime << BITS, _PRODUCT)
        self.limbs = [prime >> 64 * i & (_LIMB - 1) for i in range(LIMBS)]
        self.factor = constant(-pow(prime, -1, _LIMB) % _LIMB)

    def reduced(self, f: Function, a: Value) -> Value:
        """A number below twice the prime, below it."""
        less = f.sub(a, self.prime)
        return f.select(_is_negative(f, less), a, less)

    def add(self, f: Function, a: Value, b: Value) -> Value:
        return self.reduced(f, f.add(a, b))

    def sub(self, f: Function, a: Value, b: Value) -> Value:
        less = f.sub(a, b)
        return f.select(_is_negative(f, less), f.add(less, self.prime), less)

    def mul(self, f: Function, a: Value, b: Value) -> Value:
        return self.montgomery(f, _product(f, a, b))

    def montgomery(self, f: Function, product: Value) -> Value:
        """A number below p * 2^256, divided by 2^256 modulo p.

        Limb by limb from below, that multiple of p is added which makes the limb 0.
        """
        limbs = limbs_of(f, product)
        carry_up: Value | None = None
        for i in range(LIMBS):
            multiple = f.mul(limbs[i], self.factor)
            carry: Value | None = None
            for j in range(LIMBS):
                limb = constant(self.limbs[j])
                limbs[i + j], carry = multiply_add(f, multiple, limb, limbs[i + j], carry)
            term = wide(f, limbs[i + LIMBS])
            limbs[i + LIMBS], carry_up = accumulate(f, term, carry, carry_up)
        return self.reduced(f, number_of(f, limbs[LIMBS:]))

    # -- the extension --

    def add_pairs(self, f: Function, a: Pair, b: Pair) -> Pair:
        return self.add(f, a[0], b[0]), self.add(f, a[1], b[1])

    def sub_pairs(self, f: Function, a: Pair, b: Pair) -> Pair:
        return self.sub(f, a[0], b[0]), self.sub(f, a[1], b[1])

    def mul_pairs(self, f: Function, a: Pair, b: Pair) -> Pair:
        real = _product(f, a[0], b[0])
        imaginary = _product(f, a[1], b[1])
        crossed = _product(f, f.add(a[0], a[1]), f.add(b[0], b[1]))
        crossed = f.sub(f.sub(crossed, real), imaginary)
        difference = f.sub(real, imaginary)
        difference = f.select(
            _is_negative(f, difference), f.add(difference, self.prime_above), difference
        )
        return self.montgomery(f, difference), self.montgomery(f, crossed)

    def square_pair(self, f: Function, a: Pair) -> Pair:
        plus, minus = f.add(a[0], a[1]), self.sub(f, a[0], a[1])
        return self.mul(f, plus, minus), self.mul(f, f.add(a[0], a[0]), a[1])

    def negate(self, f: Function, a: Pair) -> Pair:
        zero = constant(0, _NUMBER)
        return self.sub(f, zero, a[0]), self.sub(f, zero, a[1])

    def conjugate(self, f: Function, a: Pair) -> Pair:
        return a[0], self.sub(f, constant(0, _NUMBER), a[1])

    def by_root(self, f: Function, a: Pair) -> Pair:
        """Times 9 + i, whose sixth root makes the extension of degree 12."""
        nine = a
        for _ in range(3):
            nine = self.add_pairs(f, nine, nine)
        nine = self.add_pairs(f, nine, a)
        return self.sub(f, nine[0], a[1]), self.add(f, nine[1], a[0])


def _is_negative(f: Function, a: Value) -> Value:
    return f.compare("slt", a, constant(0, a.type))


def _product(f: Function, a: Value, b: Value) -> Value:
    """All of a * b."""
    left, right = limbs_of(f, a), limbs_of(f, b)
    limbs: list[Value | None] = [None] * (2 * LIMBS)
    for i in range(LIMBS):
        carry: Value | None = None
        for j in range(LIMBS):
            limbs[i + j], carry = multiply_add(f, left[i], right[j], limbs[i + j], carry)
        limbs[i + LIMBS] = carry
    return number_of(f, [limb for limb in limbs if limb is not None])


# -- inversion --


def _add_inversion(module: Module, field: _Field) -> None:
    """Add `fp_almost_inverse(out, a)`: out = 2^k / a, where a != 0 is as it stands; gives k.

    A greatest common divisor by subtracting and halving, in which doubling the one side's
    factor stands for halving the other side. k is between 254 and 508. Source: Kaliski,
    "The Montgomery inverse and its applications" (1995).
    """
    f = _kernel(module, "fp_almost_inverse", 2)
    out, a = f.arguments
    zero, one = constant(0, _NUMBER), constant(1, _NUMBER)
    # u and v shrink; modulo p, u = -a * r / 2^k and v = a * s / 2^k all the time.
    u, v, r, s = (f.local(_NUMBER) for _ in range(4))
    count = f.local("i64")
    for place, start in ((u, field.prime), (v, f.load(_NUMBER, a)), (r, zero), (s, one)):
        f.store(start, place)
    f.store(constant(0), count)
    again, odd, done = (f.new_block() for _ in range(3))
    u_larger, v_larger = f.new_block(), f.new_block()
    _halve(f, v, r, count, then=again)
    f.block = again
    f.branch(f.compare("ugt", f.load(_NUMBER, u), f.load(_NUMBER, v)), u_larger, v_larger)
    for block, large, small, large_factor, small_factor in (
        (u_larger, u, v, r, s),
        (v_larger, v, u, s, r),
    ):
        f.block = block
        f.store(f.sub(f.load(_NUMBER, large), f.load(_NUMBER, small)), large)
        total = f.add(f.load(_NUMBER, large_factor), f.load(_NUMBER, small_factor))
        f.store(total, large_factor)
        if large is v:
            f.branch(f.compare("eq", f.load(_NUMBER, v), zero), done, odd)
            f.block = odd
        _halve(f, large, small_factor, count, then=again)
    f.block = done
    # v was u, so both were 1: one more doubling, then the inverse is -r.
    doubled = f.load(_NUMBER, r)
    doubled = f.add(doubled, doubled)
    f.store(f.sub(field.prime, field.reduced(f, doubled)), out)
    f.give(f.add(f.load("i64", count), constant(1)))


def _halve(f: Function, number: Value, factor: Value, count: Value, *, then: Block) -> None:
    """Shift the number at a place right until it is odd, and the factor left as far."""
    again = f.new_block()
    f.go_to(again)
    f.block = again
    limbs = limbs_of(f, f.load(_NUMBER, number))
    zeros = f.intrinsic("cttz", limbs[0], constant(0, "i1"))
    # At most 63 at once, which two limbs side by side can be shifted by.
    zeros = f.select(f.compare("eq", limbs[0], constant(0)), constant(63), zeros)
    above = [*limbs[1:], constant(0)]
    shifted = [f.intrinsic("fshr", high, low, zeros) for low, high in zip(limbs, above)]
    f.store(number_of(f, shifted), number)
    limbs = limbs_of(f, f.load(_NUMBER, factor))
    below = [constant(0), *limbs[:-1]]
    lengthened = [f.intrinsic("fshl", high, low, zeros) for low, high in zip(below, limbs)]
    f.store(number_of(f, lengthened), factor)
    f.store(f.add(f.load("i64", count), zeros), count)
    is_odd = f.narrow(shifted[0], "i1")
    f.branch(is_odd, then, again, likely=True)
