"""The curve alt_bn128, its twist, and the optimal ate pairing, on integers of gmpy2.

The base field has the prime P. Elements of the quadratic extension are pairs
(real, imaginary) with i^2 = -1. The extension of degree 12 is made by w with
w^6 = 9 + i, so w^12 = 18 w^6 - 82; its elements are lists of 12 coefficients, which
are multiplied by packing each list into one long integer. Points are affine,
infinity is None. Source: EIP-196, EIP-197; Vercauteren, "Optimal pairings" (2008).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from gmpy2 import invert, mpz, pack, unpack

Fp2: TypeAlias = tuple[Any, Any]
Fp12: TypeAlias = list[Any]
PointG1: TypeAlias = tuple[Any, Any]
PointG2: TypeAlias = tuple[Fp2, Fp2]

# The curve's parameter, and the prime and group order that it gives.
U: Final = 4965661367192848881
P: Final = mpz(36 * U**4 + 36 * U**3 + 24 * U**2 + 6 * U + 1)
ORDER: Final = 36 * U**4 + 36 * U**3 + 18 * U**2 + 6 * U + 1
# The twist's endomorphism, which raising to the power P gives, multiplies its points of
# order ORDER by this: the curve's trace less 1.
TWIST_MULTIPLE: Final = 6 * U * U

_ONE: Final[Fp12] = [mpz(1)] + [mpz(0)] * 11
# Twelve products of two numbers below P add up to less than this many bits.
_SLOT_BITS: Final = 2 * 254 + 4


def signed_digits(number: int) -> list[int]:
    """Digits 1, 0 and -1 of a number without two neighbours unlike 0, the highest first."""
    digits = []
    while number:
        digit = 2 - number % 4 if number % 2 else 0
        digits.append(digit)
        number = (number - digit) // 2
    return digits[::-1]


LOOP: Final = signed_digits(6 * U + 2)[1:]


# -- the curve over the base field --


def add(a: PointG1 | None, b: PointG1 | None) -> PointG1 | None:
    """The sum of two points of y^2 = x^3 + 3."""
    if a is None:
        return b
    if b is None:
        return a
    if a[0] != b[0]:
        slope = (b[1] - a[1]) * invert(b[0] - a[0], P) % P
    elif a[1] == b[1]:
        slope = 3 * a[0] * a[0] * invert(2 * a[1], P) % P
    else:
        return None
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(point: PointG1, scalar: int) -> PointG1 | None:
    """The point added to itself so many times."""
    result: PointG1 | None = None
    negative = (point[0], -point[1] % P)
    for digit in signed_digits(scalar):
        result = add(result, result)
        if digit:
            result = add(result, point if digit > 0 else negative)
    return result


def is_on_curve(x: Any, y: Any) -> bool:
    return bool((y * y - x * x * x - 3) % P == 0)


# -- the quadratic extension --


def _sub2(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def _mul2(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def _div2(a: Fp2, b: Fp2) -> Fp2:
    inverse = invert(b[0] * b[0] + b[1] * b[1], P)
    return _mul2(a, (b[0] * inverse % P, -b[1] * inverse % P))


def _pow2(a: Fp2, exponent: int) -> Fp2:
    result: Fp2 = (mpz(1), mpz(0))
    for bit in f"{exponent:b}":
        result = _mul2(result, result)
        if bit == "1":
            result = _mul2(result, a)
    return result


_XI: Final[Fp2] = (mpz(9), mpz(1))
TWIST_B: Final[Fp2] = _div2((mpz(3), mpz(0)), _XI)
# w to the power j (P - 1), which is what raising to P does to w^j.
FROBENIUS: Final = [_pow2(_XI, j * (int(P) - 1) // 6) for j in range(6)]


def _conjugate2(a: Fp2) -> Fp2:
    return a[0], -a[1] % P


# -- the twist --


def _slope(a: PointG2, b: PointG2) -> Fp2 | None:
    """The slope of the line through both points; None when it is vertical."""
    if a[0] != b[0]:
        return _div2(_sub2(b[1], a[1]), _sub2(b[0], a[0]))
    if a[1] != b[1] or a[1] == (0, 0):
        return None
    real, imaginary = _mul2(a[0], a[0])
    return _div2((3 * real, 3 * imaginary), (2 * a[1][0], 2 * a[1][1]))


def _third(a: PointG2, b: PointG2, slope: Fp2) -> PointG2:
    """The sum of two points on a line with this slope."""
    x = _sub2(_sub2(_mul2(slope, slope), a[0]), b[0])
    return x, _sub2(_mul2(slope, _sub2(a[0], x)), a[1])


def _add_twist(a: PointG2 | None, b: PointG2 | None) -> PointG2 | None:
    if a is None:
        return b
    if b is None:
        return a
    slope = _slope(a, b)
    return None if slope is None else _third(a, b, slope)


def _negative(point: PointG2) -> PointG2:
    return point[0], _sub2((0, 0), point[1])


def is_in_twist_group(point: PointG2) -> bool:
    """Whether the point is on the twist y^2 = x^3 + 3/(9 + i) and has the order ORDER."""
    x, y = point
    cube = _mul2(_mul2(x, x), x)
    if _sub2(_mul2(y, y), cube) != TWIST_B:
        return False
    result: PointG2 | None = None
    negative = _negative(point)
    for digit in signed_digits(ORDER):
        result = _add_twist(result, result)
        if digit:
            result = _add_twist(result, point if digit > 0 else negative)
    return result is None


def _frobenius_twist(point: PointG2) -> PointG2:
    x, y = point
    return _mul2(_conjugate2(x), FROBENIUS[2]), _mul2(_conjugate2(y), FROBENIUS[3])


# -- the extension of degree 12 --


def _mul12(a: Fp12, b: Fp12) -> Fp12:
    slots = unpack(pack(a, _SLOT_BITS) * pack(b, _SLOT_BITS), _SLOT_BITS)
    slots += [0] * (23 - len(slots))
    for high in range(22, 11, -1):
        slot = slots[high]
        slots[high - 6] += 18 * slot
        slots[high - 12] -= 82 * slot
    return [slot % P for slot in slots[:12]]


def _conjugate12(a: Fp12) -> Fp12:
    """a to the power P^6; the inverse of what has been through the easy exponents."""
    return [-number % P if place % 2 else number for place, number in enumerate(a)]


def _frobenius12(a: Fp12) -> Fp12:
    """a to the power P."""
    result = [mpz(0)] * 12
    for j in range(6):
        imaginary = a[j + 6]
        real, imaginary = _mul2((a[j] + 9 * imaginary, -imaginary), FROBENIUS[j])
        result[j], result[j + 6] = (real - 9 * imaginary) % P, imaginary
    return result


def _inverse12(a: Fp12) -> Fp12:
    """By the norm: the product of all twelve powers a^(P^k) is in the base field."""
    image, others = a, _ONE
    for _ in range(11):
        image = _frobenius12(image)
        others = _mul12(others, image)
    inverse = invert(_mul12(a, others)[0], P)
    return [number * inverse % P for number in others]


def _pow_u(a: Fp12) -> Fp12:
    result = _ONE
    for bit in f"{U:b}":
        result = _mul12(result, result)
        if bit == "1":
            result = _mul12(result, a)
    return result


# -- the pairing --


def pairing_is_one(pairs: Iterable[tuple[PointG1, PointG2]]) -> bool:
    """Whether the product of the pairings is 1. Points of the prime-order groups, no infinity."""
    return bool(_final_power(_miller(list(pairs))) == _ONE)


def _line(p: PointG1, a: PointG2, slope: Fp2) -> Fp12:
    """The line through `a` of the twist, brought to the curve, at the point `p`."""
    result = [mpz(0)] * 12
    result[0] = p[1]
    at_w = (-slope[0] * p[0], -slope[1] * p[0])
    at_w3 = _sub2(_mul2(slope, a[0]), a[1])
    for j, (real, imaginary) in ((1, at_w), (3, at_w3)):
        result[j], result[j + 6] = (real - 9 * imaginary) % P, imaginary % P
    return result


def _miller(pairs: Sequence[tuple[PointG1, PointG2]]) -> Fp12:
    result = _ONE
    running = [q for _, q in pairs]

    def step(place: int, other: PointG2) -> None:
        nonlocal result
        point, p = running[place], pairs[place][0]
        slope = _slope(point, other)
        assert slope is not None  # multiples of a point of prime order don't meet here
        result = _mul12(result, _line(p, point, slope))
        running[place] = _third(point, other, slope)

    for digit in LOOP:
        result = _mul12(result, result)
        for place, (_, q) in enumerate(pairs):
            step(place, running[place])
            if digit:
                step(place, q if digit > 0 else _negative(q))
    for place, (_, q) in enumerate(pairs):
        image = _frobenius_twist(q)
        step(place, image)
        step(place, _negative(_frobenius_twist(image)))
    return result


def _final_power(f: Fp12) -> Fp12:
    """f to the power (P^12 - 1) / ORDER.

    The hard part follows Scott, Benger, Charlemagne, Perez and Kachisa, "On the final
    exponentiation for calculating pairings on ordinary elliptic curves" (2009).
    """
    f = _mul12(_conjugate12(f), _inverse12(f))
    f = _mul12(_frobenius12(_frobenius12(f)), f)
    fu = _pow_u(f)
    fu2 = _pow_u(fu)
    fu3 = _pow_u(fu2)
    f1 = _frobenius12(f)
    f2 = _frobenius12(f1)
    y0 = _mul12(_mul12(f1, f2), _frobenius12(f2))
    y1 = _conjugate12(f)
    y2 = _frobenius12(_frobenius12(fu2))
    y3 = _conjugate12(_frobenius12(fu))
    y4 = _conjugate12(_mul12(fu, _frobenius12(fu2)))
    y5 = _conjugate12(fu2)
    y6 = _conjugate12(_mul12(fu3, _frobenius12(fu3)))
    t0 = _mul12(_mul12(_mul12(y6, y6), y4), y5)
    t1 = _mul12(_mul12(y3, y5), t0)
    t0 = _mul12(t0, y2)
    t1 = _mul12(_mul12(t1, t1), t0)
    t1 = _mul12(t1, t1)
    t0 = _mul12(t1, y1)
    return _mul12(_mul12(t0, t0), _mul12(t1, y0))
