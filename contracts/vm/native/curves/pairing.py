"""Kernels of the optimal ate pairing: the loop over all pairs, and the final power.

contracts.vm.precompiles.bn254_curve computes the same in the same order, and is easier to read.
"""

from contracts.vm.native.curves.elements import (
    Constants,
    Fp2,
    Fp12,
    Line,
    Pairing,
    Point,
    fp2_negate,
    fp_sub,
)
from contracts.vm.native.curves.extension import (
    cyclotomic_square,
    fp2_scale,
    fp12_by_line,
    fp12_conjugate,
    fp12_copy,
    fp12_frobenius,
    fp12_invert,
    fp12_is_one,
    fp12_mul,
    fp12_one,
    fp12_square,
)
from contracts.vm.native.curves.points import (
    FINITE,
    WRONG,
    clear,
    load_big,
    point_add,
    point_multiply,
    read_point,
    read_twist_point,
    start_twist,
    twist_add,
    twist_double,
    twist_frobenius,
    write_point,
)
from contracts.vm.native.records import U64, layout
from contracts.vm.native.words import address_of, at, fresh, inlined, room
from contracts.vm.precompiles.bn254_curve import LOOP, U, signed_digits

PAIR = 192  # bytes of input
PAIRING = layout(Pairing).size
CHUNK = 16  # pairs that go through the loop together
CHUNK_WORDS = CHUNK * PAIRING >> 3
NOT_ONE = 1
ONE = 2

# The signed digits, but the highest, of the loop's length and of the curve's parameter.
# Of the loop's 65 the first one is 0, so that the others fit in a word.
LOOP_DIGITS = len(LOOP)
assert LOOP_DIGITS == 65 and LOOP[0] == 0
LOOP_PLUS = sum(1 << i for i, digit in enumerate(reversed(LOOP)) if digit > 0)
LOOP_MINUS = sum(1 << i for i, digit in enumerate(reversed(LOOP)) if digit < 0)
U_ALL = signed_digits(U)[1:]
U_DIGITS = len(U_ALL)
U_PLUS = sum(1 << i for i, digit in enumerate(reversed(U_ALL)) if digit > 0)
U_MINUS = sum(1 << i for i, digit in enumerate(reversed(U_ALL)) if digit < 0)


@inlined
def multiply_line(result: Fp12, line: Line, pair: Pairing) -> None:
    fp2_scale(line.a, line.a, pair.y)
    fp2_scale(line.b, line.b, pair.minus_x)
    fp12_by_line(result, line)


def loop(result: Fp12, pairs: U64, count: U64, k: Constants) -> None:
    """The product of the values of all pairs, up to factors that the final power makes 1."""
    line = fresh(Line)
    minus = fresh(Fp2)
    fp12_one(result, k)
    end = pairs + count * PAIRING
    digit = LOOP_DIGITS
    while digit > 0:
        digit -= 1
        fp12_square(result, result)
        plus = (LOOP_PLUS >> digit) & 1 if digit < 64 else 0
        less = (LOOP_MINUS >> digit) & 1 if digit < 64 else 0
        place = pairs
        while place < end:
            pair = at(Pairing, place)
            twist_double(pair.running, line, k)
            multiply_line(result, line, pair)
            if plus:
                twist_add(pair.running, pair.twist_x, pair.twist_y, line)
                multiply_line(result, line, pair)
            elif less:
                fp2_negate(minus, pair.twist_y)
                twist_add(pair.running, pair.twist_x, minus, line)
                multiply_line(result, line, pair)
            place += PAIRING
    place = pairs
    while place < end:
        pair = at(Pairing, place)
        twist_frobenius(pair.twist_x, pair.twist_y, pair.twist_x, pair.twist_y, k)
        twist_add(pair.running, pair.twist_x, pair.twist_y, line)
        multiply_line(result, line, pair)
        twist_frobenius(pair.twist_x, pair.twist_y, pair.twist_x, pair.twist_y, k)
        fp2_negate(minus, pair.twist_y)
        twist_add(pair.running, pair.twist_x, minus, line)
        multiply_line(result, line, pair)
        place += PAIRING


def power_u(out: Fp12, a: Fp12) -> None:
    """a to the power of the curve's parameter; `out` must not be `a`."""
    inverse = fresh(Fp12)
    fp12_conjugate(inverse, a)
    fp12_copy(out, a)
    digit = U_DIGITS
    while digit > 0:
        digit -= 1
        cyclotomic_square(out, out)
        if (U_PLUS >> digit) & 1:
            fp12_mul(out, out, a)
        elif (U_MINUS >> digit) & 1:
            fp12_mul(out, out, inverse)


def final_power(f: Fp12, k: Constants) -> None:
    """f to the power (p^12 - 1) / order."""
    fu = fresh(Fp12)
    fu2 = fresh(Fp12)
    fu3 = fresh(Fp12)
    y0 = fresh(Fp12)
    y2 = fresh(Fp12)
    y3 = fresh(Fp12)
    y4 = fresh(Fp12)
    y6 = fresh(Fp12)
    t0 = fresh(Fp12)
    t1 = fresh(Fp12)
    fp12_invert(t0, f, k)
    fp12_conjugate(f, f)
    fp12_mul(f, f, t0)
    fp12_frobenius(t0, f, k)
    fp12_frobenius(t0, t0, k)
    fp12_mul(f, f, t0)
    power_u(fu, f)
    power_u(fu2, fu)
    power_u(fu3, fu2)
    # y0 = f^(p + p^2 + p^3)
    fp12_frobenius(t0, f, k)
    fp12_frobenius(t1, t0, k)
    fp12_mul(y0, t0, t1)
    fp12_frobenius(t1, t1, k)
    fp12_mul(y0, y0, t1)
    fp12_frobenius(y2, fu2, k)  # fu2^p for now
    fp12_frobenius(y3, fu, k)
    fp12_conjugate(y3, y3)
    fp12_mul(y4, fu, y2)
    fp12_conjugate(y4, y4)
    fp12_frobenius(y2, y2, k)
    fp12_frobenius(y6, fu3, k)
    fp12_mul(y6, fu3, y6)
    fp12_conjugate(y6, y6)
    fp12_conjugate(fu2, fu2)  # y5
    cyclotomic_square(t0, y6)
    fp12_mul(t0, t0, y4)
    fp12_mul(t0, t0, fu2)
    fp12_mul(t1, y3, fu2)
    fp12_mul(t1, t1, t0)
    fp12_mul(t0, t0, y2)
    cyclotomic_square(t1, t1)
    fp12_mul(t1, t1, t0)
    cyclotomic_square(t1, t1)
    fp12_conjugate(f, f)  # y1
    fp12_mul(t0, t1, f)
    fp12_mul(t1, t1, y0)
    cyclotomic_square(t0, t0)
    fp12_mul(f, t0, t1)


# -- the precompiled contracts --


def bn254_add(out: U64, data: U64, k: Constants) -> U64:
    """Two points of 64 bytes each, and room for one; gives 0 when one is wrong."""
    a = fresh(Point)
    b = fresh(Point)
    kind_a = read_point(a.x, a.y, data, k)
    kind_b = read_point(b.x, b.y, data + 64, k)
    if kind_a == WRONG or kind_b == WRONG:
        return 0
    for i in range(4):
        a.z[i] = k.one[i] if kind_a == FINITE else 0
        b.z[i] = k.one[i] if kind_b == FINITE else 0
    point_add(a, a, b)
    write_point(out, a, k)
    return 1


def bn254_multiply(out: U64, data: U64, k: Constants) -> U64:
    """A point of 64 bytes and a scalar of 32; gives 0 when the point is wrong."""
    a = fresh(Point)
    kind = read_point(a.x, a.y, data, k)
    if kind == WRONG:
        return 0
    product = fresh(Point)
    clear(product.z)
    if kind == FINITE:
        scalar = room(4)
        for i in range(4):
            scalar[3 - i] = load_big(data + 64 + 8 * i)
        point_multiply(product, a.x, a.y, scalar, k)
    write_point(out, product, k)
    return 1


def bn254_pairing(data: U64, count: U64, k: Constants) -> U64:
    """Pairs of 192 bytes each: 0 when one is wrong, else NOT_ONE or ONE."""
    records = room(CHUNK_WORDS)
    pairs = address_of(records)
    value = fresh(Fp12)
    product = fresh(Fp12)
    fp12_one(product, k)
    end = data + count * PAIR
    finite = 0
    place = data
    while place < end:
        pair = at(Pairing, pairs + finite * PAIRING)
        kind = read_point(pair.minus_x, pair.y, place, k)
        if kind == WRONG:
            return 0
        twist_kind = read_twist_point(pair.twist_x, pair.twist_y, place + 64, k)
        if twist_kind == WRONG:
            return 0
        # With infinity on one side the value is 1.
        if kind == FINITE and twist_kind == FINITE:
            zero = room(4)
            clear(zero)
            fp_sub(pair.minus_x, zero, pair.minus_x)
            start_twist(pair.running, pair.twist_x, pair.twist_y, k)
            finite += 1
        place += PAIR
        if finite == CHUNK or place == end:
            loop(value, pairs, finite, k)
            fp12_mul(product, product, value)
            finite = 0
    final_power(product, k)
    return ONE if fp12_is_one(product, k) else NOT_ONE
