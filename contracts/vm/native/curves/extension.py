"""Kernels of the extensions of degree 2, 6 and 12, each made from the one before.

Sources: Devegili, O hEigeartaigh, Scott and Dahab, "Multiplication and squaring on
pairing-friendly fields" (2006); Granger and Scott, "Faster squaring in the cyclotomic
subgroup of sixth degree extensions" (2010).
"""

from contracts.vm.native.curves.elements import (
    Constants,
    Fp2,
    Fp6,
    Fp12,
    Line,
    fp2_add,
    fp2_by_root,
    fp2_conjugate,
    fp2_mul,
    fp2_negate,
    fp2_square,
    fp2_sub,
    fp_add,
    fp_almost_inverse,
    fp_mul,
)
from contracts.vm.native.records import U64, Words, layout
from contracts.vm.native.words import address_of, fresh, inlined, move_bytes, room

FP2 = layout(Fp2).size  # bytes
FP12 = layout(Fp12).size
FP12_WORDS = FP12 >> 3


def fp_invert(out: Words, a: Words, k: Constants) -> None:
    """1 / a, for an a that is not 0."""
    inverse = room(4)
    shift = 512 - fp_almost_inverse(inverse, a)
    # a stands for a / 2^256, so the inverse is short of a factor 2^512 / 2^k.
    fp_mul(inverse, inverse, k.to_form)
    while shift > 255:
        fp_add(inverse, inverse, inverse)
        shift -= 1
    factor = room(4)
    for i in range(4):
        factor[i] = 0
    factor[shift >> 6] = 1 << (shift & 63)
    fp_mul(out, inverse, factor)


def fp_is_zero(a: Words) -> U64:
    return (a[0] | a[1] | a[2] | a[3]) == 0


def fp_equal(a: Words, b: Words) -> U64:
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0


# -- degree 2 --


@inlined
def fp2_copy(out: Fp2, a: Fp2) -> None:
    move_bytes(address_of(out), address_of(a), FP2)


def fp2_is_zero(a: Fp2) -> U64:
    return fp_is_zero(a.real) & fp_is_zero(a.imaginary)


def fp2_equal(a: Fp2, b: Fp2) -> U64:
    return fp_equal(a.real, b.real) & fp_equal(a.imaginary, b.imaginary)


@inlined
def fp2_scale(out: Fp2, a: Fp2, factor: Words) -> None:
    fp_mul(out.real, a.real, factor)
    fp_mul(out.imaginary, a.imaginary, factor)


def fp2_invert(out: Fp2, a: Fp2, k: Constants) -> None:
    norm = room(4)
    square = room(4)
    fp_mul(norm, a.real, a.real)
    fp_mul(square, a.imaginary, a.imaginary)
    fp_add(norm, norm, square)
    fp_invert(norm, norm, k)
    fp2_conjugate(out, a)
    fp2_scale(out, out, norm)


# -- degree 6 --


@inlined
def fp6_add(out: Fp6, a: Fp6, b: Fp6) -> None:
    fp2_add(out.a, a.a, b.a)
    fp2_add(out.b, a.b, b.b)
    fp2_add(out.c, a.c, b.c)


@inlined
def fp6_sub(out: Fp6, a: Fp6, b: Fp6) -> None:
    fp2_sub(out.a, a.a, b.a)
    fp2_sub(out.b, a.b, b.b)
    fp2_sub(out.c, a.c, b.c)


@inlined
def fp6_negate(out: Fp6, a: Fp6) -> None:
    fp2_negate(out.a, a.a)
    fp2_negate(out.b, a.b)
    fp2_negate(out.c, a.c)


@inlined
def fp6_by_v(out: Fp6, a: Fp6) -> None:
    last = fresh(Fp2)
    fp2_by_root(last, a.c)
    fp2_copy(out.c, a.b)
    fp2_copy(out.b, a.a)
    fp2_copy(out.a, last)


def fp6_mul(out: Fp6, a: Fp6, b: Fp6) -> None:
    aa = fresh(Fp2)
    bb = fresh(Fp2)
    cc = fresh(Fp2)
    left = fresh(Fp2)
    right = fresh(Fp2)
    first = fresh(Fp2)
    second = fresh(Fp2)
    fp2_mul(aa, a.a, b.a)
    fp2_mul(bb, a.b, b.b)
    fp2_mul(cc, a.c, b.c)
    # b c' + c b', which v^3 brings down
    fp2_add(left, a.b, a.c)
    fp2_add(right, b.b, b.c)
    fp2_mul(first, left, right)
    fp2_sub(first, first, bb)
    fp2_sub(first, first, cc)
    fp2_by_root(first, first)
    # a b' + b a'
    fp2_add(left, a.a, a.b)
    fp2_add(right, b.a, b.b)
    fp2_mul(second, left, right)
    fp2_sub(second, second, aa)
    fp2_sub(second, second, bb)
    # a c' + c a'
    fp2_add(left, a.a, a.c)
    fp2_add(right, b.a, b.c)
    fp2_mul(left, left, right)
    fp2_sub(left, left, aa)
    fp2_sub(left, left, cc)
    fp2_add(out.a, aa, first)
    fp2_by_root(cc, cc)
    fp2_add(out.b, second, cc)
    fp2_add(out.c, left, bb)


@inlined
def fp6_scale(out: Fp6, a: Fp6, factor: Fp2) -> None:
    fp2_mul(out.a, a.a, factor)
    fp2_mul(out.b, a.b, factor)
    fp2_mul(out.c, a.c, factor)


def fp6_by_two(out: Fp6, a: Fp6, b: Fp2, c: Fp2) -> None:
    """Times b + c v."""
    ab = fresh(Fp2)
    bc = fresh(Fp2)
    cc = fresh(Fp2)
    both = fresh(Fp2)
    sum_ = fresh(Fp2)
    fp2_mul(ab, a.a, b)
    fp2_mul(bc, a.b, c)
    fp2_mul(cc, a.c, c)
    fp2_add(both, a.a, a.b)
    fp2_add(sum_, b, c)
    fp2_mul(both, both, sum_)
    fp2_sub(both, both, ab)
    fp2_mul(sum_, a.c, b)
    fp2_add(out.c, sum_, bc)
    fp2_sub(out.b, both, bc)
    fp2_by_root(cc, cc)
    fp2_add(out.a, ab, cc)


def fp6_invert(out: Fp6, a: Fp6, k: Constants) -> None:
    adjoint = fresh(Fp6)
    term = fresh(Fp2)
    norm = fresh(Fp2)
    fp2_square(adjoint.a, a.a)
    fp2_mul(term, a.b, a.c)
    fp2_by_root(term, term)
    fp2_sub(adjoint.a, adjoint.a, term)
    fp2_square(adjoint.b, a.c)
    fp2_by_root(adjoint.b, adjoint.b)
    fp2_mul(term, a.a, a.b)
    fp2_sub(adjoint.b, adjoint.b, term)
    fp2_square(adjoint.c, a.b)
    fp2_mul(term, a.a, a.c)
    fp2_sub(adjoint.c, adjoint.c, term)
    fp2_mul(norm, a.c, adjoint.b)
    fp2_mul(term, a.b, adjoint.c)
    fp2_add(norm, norm, term)
    fp2_by_root(norm, norm)
    fp2_mul(term, a.a, adjoint.a)
    fp2_add(norm, norm, term)
    fp2_invert(norm, norm, k)
    fp6_scale(out, adjoint, norm)


# -- degree 12 --


@inlined
def fp12_copy(out: Fp12, a: Fp12) -> None:
    move_bytes(address_of(out), address_of(a), FP12)


@inlined
def fp12_one(out: Fp12, k: Constants) -> None:
    words = out.even.a.real
    for i in range(FP12_WORDS):
        words[i] = 0
    for i in range(4):
        words[i] = k.one[i]


def fp12_is_one(a: Fp12, k: Constants) -> U64:
    words = a.even.a.real
    differing = 0
    for i in range(4):
        differing |= words[i] ^ k.one[i]
    for i in range(4, FP12_WORDS):
        differing |= words[i]
    return differing == 0


def fp12_mul(out: Fp12, a: Fp12, b: Fp12) -> None:
    even = fresh(Fp6)
    odd = fresh(Fp6)
    left = fresh(Fp6)
    right = fresh(Fp6)
    fp6_mul(even, a.even, b.even)
    fp6_mul(odd, a.odd, b.odd)
    fp6_add(left, a.even, a.odd)
    fp6_add(right, b.even, b.odd)
    fp6_mul(left, left, right)
    fp6_sub(left, left, even)
    fp6_sub(out.odd, left, odd)
    fp6_by_v(odd, odd)
    fp6_add(out.even, even, odd)


def fp12_square(out: Fp12, a: Fp12) -> None:
    """even^2 + v odd^2 = (even + odd) (even + v odd) - (1 + v) even odd."""
    both = fresh(Fp6)
    left = fresh(Fp6)
    right = fresh(Fp6)
    fp6_mul(both, a.even, a.odd)
    fp6_add(left, a.even, a.odd)
    fp6_by_v(right, a.odd)
    fp6_add(right, right, a.even)
    fp6_mul(left, left, right)
    fp6_sub(left, left, both)
    fp6_by_v(right, both)
    fp6_sub(out.even, left, right)
    fp6_add(out.odd, both, both)


def fp12_by_line(out: Fp12, line: Line) -> None:
    """Times a + (b + c v) w."""
    even = fresh(Fp6)
    odd = fresh(Fp6)
    both = fresh(Fp6)
    sum_ = fresh(Fp2)
    fp6_scale(even, out.even, line.a)
    fp6_by_two(odd, out.odd, line.b, line.c)
    fp6_add(both, out.even, out.odd)
    fp2_add(sum_, line.a, line.b)
    fp6_by_two(both, both, sum_, line.c)
    fp6_sub(both, both, even)
    fp6_sub(out.odd, both, odd)
    fp6_by_v(odd, odd)
    fp6_add(out.even, even, odd)


@inlined
def fp12_conjugate(out: Fp12, a: Fp12) -> None:
    """a to the power p^6."""
    move_bytes(address_of(out.even), address_of(a.even), 3 * FP2)
    fp6_negate(out.odd, a.odd)


def fp12_frobenius(out: Fp12, a: Fp12, k: Constants) -> None:
    """a to the power p."""
    fp2_conjugate(out.even.a, a.even.a)
    fp2_conjugate(out.even.b, a.even.b)
    fp2_conjugate(out.even.c, a.even.c)
    fp2_conjugate(out.odd.a, a.odd.a)
    fp2_conjugate(out.odd.b, a.odd.b)
    fp2_conjugate(out.odd.c, a.odd.c)
    fp2_mul(out.odd.a, out.odd.a, k.turn_1)
    fp2_mul(out.even.b, out.even.b, k.turn_2)
    fp2_mul(out.odd.b, out.odd.b, k.turn_3)
    fp2_mul(out.even.c, out.even.c, k.turn_4)
    fp2_mul(out.odd.c, out.odd.c, k.turn_5)


def fp12_invert(out: Fp12, a: Fp12, k: Constants) -> None:
    norm = fresh(Fp6)
    square = fresh(Fp6)
    fp6_mul(norm, a.even, a.even)
    fp6_mul(square, a.odd, a.odd)
    fp6_by_v(square, square)
    fp6_sub(norm, norm, square)
    fp6_invert(norm, norm, k)
    fp6_mul(out.even, a.even, norm)
    fp6_mul(out.odd, a.odd, norm)
    fp6_negate(out.odd, out.odd)


@inlined
def square_of_degree_4(real: Fp2, other: Fp2, a: Fp2, b: Fp2) -> None:
    """(a + b w^3)^2 = real + other w^3."""
    sum_ = fresh(Fp2)
    square = fresh(Fp2)
    fp2_add(sum_, a, b)
    fp2_square(sum_, sum_)
    fp2_square(real, a)
    fp2_square(square, b)
    fp2_sub(sum_, sum_, real)
    fp2_sub(other, sum_, square)
    fp2_by_root(square, square)
    fp2_add(real, real, square)


@inlined
def thrice_less_twice(out: Fp2, a: Fp2, b: Fp2) -> None:
    """3 a - 2 b."""
    difference = fresh(Fp2)
    fp2_sub(difference, a, b)
    fp2_add(difference, difference, difference)
    fp2_add(out, difference, a)


@inlined
def thrice_and_twice(out: Fp2, a: Fp2, b: Fp2) -> None:
    """3 a + 2 b."""
    sum_ = fresh(Fp2)
    fp2_add(sum_, a, b)
    fp2_add(sum_, sum_, sum_)
    fp2_add(out, sum_, a)


def cyclotomic_square(out: Fp12, a: Fp12) -> None:
    """The square of what the easy exponents of the final power have been applied to.

    a = A + B w + C w^2 over the extension of degree 4 by w^3; the square is
    3 A^2 - 2 A' + (3 w^3 C^2 + 2 B') w + (3 B^2 - 2 C') w^2, where A' is A with -w^3.
    """
    aa_real = fresh(Fp2)
    aa_other = fresh(Fp2)
    bb_real = fresh(Fp2)
    bb_other = fresh(Fp2)
    cc_real = fresh(Fp2)
    cc_other = fresh(Fp2)
    square_of_degree_4(aa_real, aa_other, a.even.a, a.odd.b)
    square_of_degree_4(bb_real, bb_other, a.odd.a, a.even.c)
    square_of_degree_4(cc_real, cc_other, a.even.b, a.odd.c)
    thrice_less_twice(out.even.a, aa_real, a.even.a)
    thrice_and_twice(out.odd.b, aa_other, a.odd.b)
    fp2_by_root(cc_other, cc_other)
    thrice_and_twice(out.odd.a, cc_other, a.odd.a)
    thrice_less_twice(out.even.c, cc_real, a.even.c)
    thrice_less_twice(out.even.b, bb_real, a.even.b)
    thrice_and_twice(out.odd.c, bb_other, a.odd.c)
