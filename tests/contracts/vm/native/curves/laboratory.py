"""The curve's kernels, each callable on numbers, beside what they should give."""

import ctypes
from functools import cache

from contracts.vm.native.curves import bn254, elements
from contracts.vm.native.objects import load_engine
from contracts.vm.native.records import layout
from contracts.vm.precompiles import bn254_curve
from tests.contracts.vm.native.both import CACHE

P = int(bn254_curve.P)
FORM = 2**256
SIZES = {
    "fp": 32,
    "fp2": 64,
    "fp6": 192,
    "fp12": layout(elements.Fp12).size,
    "point": layout(elements.Point).size,
    "twist": layout(elements.TwistPoint).size,
    "line": layout(elements.Line).size,
}


@cache
def curve() -> bn254.Curve:
    found = bn254.load_curve(CACHE)
    assert found is not None
    return found


@cache
def _engine():
    names = [
        name
        for name in bn254.module(()).signatures
        if "." not in name and not name.startswith("enter_")
    ]
    text = bn254.module(names).text
    return load_engine("bn254-kernels", bn254.sources(), text, CACHE)


@cache
def _function(name: str, parameters: int):
    kind = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_void_p] * parameters)
    return kind(_engine().get_function_address(f"call_{name}"))


def constants() -> int:
    """Where the record of the curve's constants is."""
    return curve().constants


def call(name: str, *arguments) -> int:
    """Call a kernel with addresses and buffers."""
    return _function(name, len(arguments))(*arguments)


def buffer(numbers: list[int]):
    """Numbers in Montgomery form, in memory."""
    return ctypes.create_string_buffer(
        b"".join((n % P * FORM % P).to_bytes(32, "little") for n in numbers), 32 * len(numbers)
    )


def room(kind: str):
    return ctypes.create_string_buffer(SIZES[kind])


def numbers(memory) -> list[int]:
    """What is in memory; every number has to be below the prime."""
    raw = memory.raw
    found = [int.from_bytes(raw[i : i + 32], "little") for i in range(0, len(raw), 32)]
    assert all(number < P for number in found)
    back = pow(FORM, -1, P)
    return [number * back % P for number in found]


def operate(name: str, kind: str, *operands: list[int], with_constants: bool = False) -> list[int]:
    """The result of a kernel of that kind, also when it goes where the first operand is."""
    extra = (constants(),) if with_constants else ()
    out = room(kind)
    memories = [buffer(operand) for operand in operands]
    call(name, out, *memories, *extra)
    result = numbers(out)
    assert [numbers(memory) for memory in memories] == [[n % P for n in o] for o in operands]
    call(name, memories[0], *memories, *extra)
    assert numbers(memories[0]) == result, "in place"
    return result


# An element of degree 12 is, to the kernels, six pairs in this order of powers of w, and
# to bn254_curve twelve coefficients of powers of w, with i = w^6 - 9.
_POWERS = (0, 2, 4, 1, 3, 5)


def to_flat(pairs: list[int]) -> list[int]:
    """From the kernels' order to the definition's."""
    flat = [0] * 12
    for place, power in enumerate(_POWERS):
        real, imaginary = pairs[2 * place], pairs[2 * place + 1]
        flat[power] = (real - 9 * imaginary) % P
        flat[power + 6] = imaginary % P
    return flat


def from_flat(flat: list[int]) -> list[int]:
    pairs = []
    for power in _POWERS:
        imaginary = int(flat[power + 6])
        pairs += [(int(flat[power]) + 9 * imaginary) % P, imaginary % P]
    return pairs
