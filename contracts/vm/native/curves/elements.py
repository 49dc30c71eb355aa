"""What the curve kernels compute on: records, and the field's functions as kernels know them.

An element of the base field is 4 words in Montgomery form, below the prime
(contracts.vm.native.curves.field). Results may go where an operand is.
"""

from typing import Annotated, TypeAlias

from contracts.vm.native.declared import compiled
from contracts.vm.native.records import U64, Words

Fp: TypeAlias = Annotated[Words, 32]


class Fp2:
    """real + imaginary * i, with i^2 = -1."""

    real: Fp
    imaginary: Fp


class Fp6:
    """a + b v + c v^2, with v^3 = 9 + i."""

    a: Annotated[Fp2, 64]
    b: Annotated[Fp2, 64]
    c: Annotated[Fp2, 64]


class Fp12:
    """even + odd w, with w^2 = v."""

    even: Annotated[Fp6, 192]
    odd: Annotated[Fp6, 192]


class Point:
    """A point of the curve, x / z^2 and y / z^3; infinity has z = 0."""

    x: Fp
    y: Fp
    z: Fp


class TwistPoint:
    """A point of the twist, x / z and y / z; infinity has z = 0."""

    x: Annotated[Fp2, 64]
    y: Annotated[Fp2, 64]
    z: Annotated[Fp2, 64]


class Line:
    """The value a + (b + c v) w of a line at a point, up to a factor of Fp2."""

    a: Annotated[Fp2, 64]
    b: Annotated[Fp2, 64]
    c: Annotated[Fp2, 64]


class Pairing:
    """One pair of points on its way through the loop."""

    minus_x: Fp  # of the curve's point
    y: Fp
    twist_x: Annotated[Fp2, 64]
    twist_y: Annotated[Fp2, 64]
    running: Annotated[TwistPoint, 192]  # the multiple that the loop has come to


class Constants:
    """Numbers of the curve, computed by contracts.vm.native.curves.bn254."""

    prime: Fp  # as it stands, like the next one
    unit: Fp  # 1, which takes a number out of Montgomery form
    to_form: Fp  # what brings a number into Montgomery form
    one: Fp
    three: Fp  # of y^2 = x^3 + 3
    twist_b: Annotated[Fp2, 64]  # of the twist's equation
    # w to the power j (p - 1): what raising to the power p does to w^j.
    turn_1: Annotated[Fp2, 64]
    turn_2: Annotated[Fp2, 64]
    turn_3: Annotated[Fp2, 64]
    turn_4: Annotated[Fp2, 64]
    turn_5: Annotated[Fp2, 64]


def fp_add(out: Words, a: Words, b: Words) -> None:
    compiled()


def fp_sub(out: Words, a: Words, b: Words) -> None:
    compiled()


def fp_mul(out: Words, a: Words, b: Words) -> None:
    compiled()


def fp_almost_inverse(out: Words, a: Words) -> U64:
    """out = 2^k / a, for the numbers as they stand; gives k. `a` must not be 0."""
    compiled()


def fp2_add(out: Fp2, a: Fp2, b: Fp2) -> None:
    compiled()


def fp2_sub(out: Fp2, a: Fp2, b: Fp2) -> None:
    compiled()


def fp2_mul(out: Fp2, a: Fp2, b: Fp2) -> None:
    compiled()


def fp2_square(out: Fp2, a: Fp2) -> None:
    compiled()


def fp2_negate(out: Fp2, a: Fp2) -> None:
    compiled()


def fp2_conjugate(out: Fp2, a: Fp2) -> None:
    compiled()


def fp2_by_root(out: Fp2, a: Fp2) -> None:
    """Times 9 + i."""
    compiled()
