"""Kernels of the curve y^2 = x^3 + 3 and of its twist: reading, adding, multiplying, subgroup.

Formulas: Bernstein and Lange's Explicit-Formulas Database for the curve; for the twist,
with the lines that a pairing wants, Aranha, Karabina, Longa, Gebotys and Lopez (2011).
"""

from contracts.vm.native.curves.elements import (
    Constants,
    Fp2,
    Line,
    Point,
    TwistPoint,
    fp2_add,
    fp2_conjugate,
    fp2_mul,
    fp2_negate,
    fp2_square,
    fp2_sub,
    fp_add,
    fp_mul,
    fp_sub,
)
from contracts.vm.native.curves.extension import (
    fp2_copy,
    fp2_equal,
    fp2_is_zero,
    fp_equal,
    fp_invert,
    fp_is_zero,
)
from contracts.vm.native.records import U64, Words, layout
from contracts.vm.native.words import (
    address_of,
    at,
    fresh,
    inlined,
    load_byte,
    move_bytes,
    room,
    store_byte,
)
from contracts.vm.precompiles.bn254_curve import TWIST_MULTIPLE, signed_digits

WRONG = 0
INFINITE = 1
FINITE = 2

POINT = layout(Point).size
WINDOW = 4  # bits of a scalar that are used at once

# The signed digits, but the highest, of what the twist's endomorphism multiplies by: one
# word of bits for 1 and one for -1 each, the lower half first.
DIGITS = signed_digits(TWIST_MULTIPLE)
TWIST_DIGITS = len(DIGITS) - 1
PLUS = sum(1 << i for i, digit in enumerate(reversed(DIGITS[1:])) if digit > 0)
MINUS = sum(1 << i for i, digit in enumerate(reversed(DIGITS[1:])) if digit < 0)
PLUS_LOW = PLUS % 2**64
PLUS_HIGH = PLUS >> 64
MINUS_LOW = MINUS % 2**64
MINUS_HIGH = MINUS >> 64


# -- bytes --


@inlined
def load_big(place: U64) -> U64:
    number = 0
    for i in range(8):
        number = (number << 8) | load_byte(place + i)
    return number


@inlined
def store_big(place: U64, number: U64) -> None:
    for i in range(8):
        store_byte(place + i, number >> (56 - 8 * i))


def read_number(out: Words, place: U64, k: Constants) -> U64:
    """Whether the 32 bytes are a number below the prime; puts it into Montgomery form."""
    for i in range(4):
        out[3 - i] = load_big(place + 8 * i)
    i = 4
    while i > 0:
        i -= 1
        if out[i] < k.prime[i]:
            fp_mul(out, out, k.to_form)
            return 1
        if out[i] > k.prime[i]:
            return 0
    return 0


def write_number(place: U64, a: Words, k: Constants) -> None:
    number = room(4)
    fp_mul(number, a, k.unit)
    for i in range(4):
        store_big(place + 8 * i, number[3 - i])


def read_point(x: Words, y: Words, place: U64, k: Constants) -> U64:
    """WRONG, INFINITE or FINITE. The curve has no other points than those of its group."""
    if not read_number(x, place, k) or not read_number(y, place + 32, k):
        return WRONG
    if fp_is_zero(x) and fp_is_zero(y):
        return INFINITE
    cube = room(4)
    square = room(4)
    fp_mul(cube, x, x)
    fp_mul(cube, cube, x)
    fp_add(cube, cube, k.three)
    fp_mul(square, y, y)
    return FINITE if fp_equal(square, cube) else WRONG


def read_twist_point(x: Fp2, y: Fp2, place: U64, k: Constants) -> U64:
    """WRONG, INFINITE or FINITE. Imaginary parts come first, and the order is looked at."""
    if not read_number(x.imaginary, place, k) or not read_number(x.real, place + 32, k):
        return WRONG
    if not read_number(y.imaginary, place + 64, k) or not read_number(y.real, place + 96, k):
        return WRONG
    if fp2_is_zero(x) and fp2_is_zero(y):
        return INFINITE
    cube = fresh(Fp2)
    square = fresh(Fp2)
    fp2_square(cube, x)
    fp2_mul(cube, cube, x)
    fp2_add(cube, cube, k.twist_b)
    fp2_square(square, y)
    return FINITE if fp2_equal(square, cube) and is_in_twist_group(x, y, k) else WRONG


# -- the curve --


def point_double(out: Point, a: Point) -> None:
    xx = room(4)
    yy = room(4)
    yyyy = room(4)
    d = room(4)
    z = room(4)
    fp_mul(xx, a.x, a.x)
    fp_mul(yy, a.y, a.y)
    fp_mul(yyyy, yy, yy)
    fp_mul(z, a.y, a.z)
    fp_add(out.z, z, z)
    fp_add(d, a.x, yy)
    fp_mul(d, d, d)
    fp_sub(d, d, xx)
    fp_sub(d, d, yyyy)
    fp_add(d, d, d)
    fp_add(yy, xx, xx)
    fp_add(xx, yy, xx)
    fp_mul(yy, xx, xx)
    fp_sub(yy, yy, d)
    fp_sub(out.x, yy, d)
    fp_sub(d, d, out.x)
    fp_mul(d, d, xx)
    for _ in range(3):
        fp_add(yyyy, yyyy, yyyy)
    fp_sub(out.y, d, yyyy)


def point_add(out: Point, a: Point, b: Point) -> None:
    if fp_is_zero(b.z):
        move_bytes(address_of(out), address_of(a), POINT)
        return
    if fp_is_zero(a.z):
        move_bytes(address_of(out), address_of(b), POINT)
        return
    aa = room(4)
    bb = room(4)
    u1 = room(4)
    u2 = room(4)
    s1 = room(4)
    s2 = room(4)
    fp_mul(aa, a.z, a.z)
    fp_mul(bb, b.z, b.z)
    fp_mul(u1, a.x, bb)
    fp_mul(u2, b.x, aa)
    fp_mul(s1, a.y, bb)
    fp_mul(s1, s1, b.z)
    fp_mul(s2, b.y, aa)
    fp_mul(s2, s2, a.z)
    fp_sub(u2, u2, u1)
    fp_sub(s2, s2, s1)
    if fp_is_zero(u2):
        if fp_is_zero(s2):
            point_double(out, a)
        else:
            clear(out.z)
        return
    fp_mul(aa, a.z, b.z)
    fp_mul(out.z, aa, u2)
    fp_mul(aa, u2, u2)  # H^2
    fp_mul(bb, aa, u2)  # H^3
    fp_mul(aa, aa, u1)  # V
    fp_mul(u1, s2, s2)
    fp_sub(u1, u1, bb)
    fp_sub(u1, u1, aa)
    fp_sub(out.x, u1, aa)
    fp_sub(aa, aa, out.x)
    fp_mul(aa, aa, s2)
    fp_mul(bb, bb, s1)
    fp_sub(out.y, aa, bb)


def clear(a: Words) -> None:
    for i in range(4):
        a[i] = 0


def point_multiply(out: Point, x: Words, y: Words, scalar: Words, k: Constants) -> None:
    """`scalar` times a finite point; it need not be below the group's order."""
    table = room(192)  # 16 points: 0 to 15 times the one given
    first = address_of(table)
    clear(at(Point, first).z)
    one = at(Point, first + POINT)
    for i in range(4):
        one.x[i] = x[i]
        one.y[i] = y[i]
        one.z[i] = k.one[i]
    for i in range(2, 16):
        point_add(at(Point, first + POINT * i), at(Point, first + POINT * (i - 1)), one)
    clear(out.z)
    at_bit = 256
    while at_bit > 0:
        at_bit -= WINDOW
        for _ in range(WINDOW):
            point_double(out, out)
        digit = (scalar[at_bit >> 6] >> (at_bit & 63)) & 15
        point_add(out, out, at(Point, first + POINT * digit))


def write_point(place: U64, a: Point, k: Constants) -> None:
    inverse = room(4)
    power = room(4)
    if fp_is_zero(a.z):
        for i in range(8):
            store_big(place + 8 * i, 0)
        return
    fp_invert(inverse, a.z, k)
    fp_mul(power, inverse, inverse)
    fp_mul(a.x, a.x, power)
    write_number(place, a.x, k)
    fp_mul(power, power, inverse)
    fp_mul(a.y, a.y, power)
    write_number(place + 32, a.y, k)


# -- the twist --


def twist_double(a: TwistPoint, line: Line, k: Constants) -> None:
    """Double a point where it is; `line` gets the tangent's numbers, without the point's."""
    xy = fresh(Fp2)
    yy = fresh(Fp2)
    zz = fresh(Fp2)
    e = fresh(Fp2)
    f = fresh(Fp2)
    fp2_mul(xy, a.x, a.y)
    fp2_add(xy, xy, xy)
    fp2_square(yy, a.y)
    fp2_square(zz, a.z)
    fp2_add(e, zz, zz)
    fp2_add(e, e, zz)
    fp2_mul(e, e, k.twist_b)
    fp2_add(f, e, e)
    fp2_add(f, f, e)
    fp2_add(line.a, a.y, a.z)
    fp2_square(line.a, line.a)
    fp2_sub(line.a, line.a, yy)
    fp2_sub(line.a, line.a, zz)  # 2 y z
    fp2_square(zz, a.x)
    fp2_add(line.b, zz, zz)
    fp2_add(line.b, line.b, zz)  # 3 x^2
    fp2_sub(line.c, yy, e)
    # Four times the formulas' numbers, which saves halving.
    fp2_sub(zz, yy, f)
    fp2_mul(a.x, xy, zz)
    fp2_add(f, yy, f)
    fp2_square(f, f)
    fp2_square(e, e)
    fp2_add(zz, e, e)
    fp2_add(e, zz, e)
    fp2_add(e, e, e)
    fp2_add(e, e, e)
    fp2_sub(a.y, f, e)
    fp2_mul(zz, yy, line.a)
    fp2_add(zz, zz, zz)
    fp2_add(a.z, zz, zz)


def twist_add(a: TwistPoint, x: Fp2, y: Fp2, line: Line) -> None:
    """Add (x, y) to a point where it is; `line` gets the numbers of the line through both.

    Where the point is infinity, or plus or minus (x, y), what comes out has z = 0, and
    so has everything made from it.
    """
    theta = line.b
    factor = line.a
    d = fresh(Fp2)
    e = fresh(Fp2)
    g = fresh(Fp2)
    fp2_mul(d, y, a.z)
    fp2_sub(theta, a.y, d)
    fp2_mul(d, x, a.z)
    fp2_sub(factor, a.x, d)
    fp2_square(d, factor)
    fp2_mul(e, d, factor)
    fp2_mul(g, a.x, d)
    fp2_square(d, theta)
    fp2_mul(d, d, a.z)
    fp2_add(d, d, e)
    fp2_sub(d, d, g)
    fp2_sub(d, d, g)
    fp2_mul(a.x, factor, d)
    fp2_sub(g, g, d)
    fp2_mul(g, g, theta)
    fp2_mul(d, e, a.y)
    fp2_sub(a.y, g, d)
    fp2_mul(a.z, a.z, e)
    fp2_mul(d, theta, x)
    fp2_mul(e, factor, y)
    fp2_sub(line.c, d, e)


def twist_frobenius(out_x: Fp2, out_y: Fp2, x: Fp2, y: Fp2, k: Constants) -> None:
    """The endomorphism that raising to the power p gives on the twist."""
    fp2_conjugate(out_x, x)
    fp2_mul(out_x, out_x, k.turn_2)
    fp2_conjugate(out_y, y)
    fp2_mul(out_y, out_y, k.turn_3)


def start_twist(out: TwistPoint, x: Fp2, y: Fp2, k: Constants) -> None:
    fp2_copy(out.x, x)
    fp2_copy(out.y, y)
    for i in range(4):
        out.z.real[i] = k.one[i]
        out.z.imaginary[i] = 0


def is_in_twist_group(x: Fp2, y: Fp2, k: Constants) -> U64:
    """Whether a point of the twist has the prime order.

    Then, and only then, the endomorphism multiplies it by t - 1, where t is the curve's
    trace: the endomorphism satisfies e^2 - t e + p = 0, so e = t - 1 makes
    p + 1 - t, the group's order, kill the point. On the way no exception of twist_add is
    met by a point of that order; one that meets any ends with z = 0.
    """
    running = fresh(TwistPoint)
    line = fresh(Line)
    minus = fresh(Fp2)
    fp2_negate(minus, y)
    start_twist(running, x, y, k)
    place = TWIST_DIGITS
    while place > 0:
        place -= 1
        twist_double(running, line, k)
        plus_bits = PLUS_HIGH if place > 63 else PLUS_LOW
        minus_bits = MINUS_HIGH if place > 63 else MINUS_LOW
        if (plus_bits >> (place & 63)) & 1:
            twist_add(running, x, y, line)
        elif (minus_bits >> (place & 63)) & 1:
            twist_add(running, x, minus, line)
    if fp2_is_zero(running.z):
        return 0
    image_x = fresh(Fp2)
    image_y = fresh(Fp2)
    twist_frobenius(image_x, image_y, x, y, k)
    fp2_mul(image_x, image_x, running.z)
    fp2_mul(image_y, image_y, running.z)
    return fp2_equal(image_x, running.x) & fp2_equal(image_y, running.y)
