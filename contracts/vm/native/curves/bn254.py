"""The curve alt_bn128 in native code: addition, multiplication, the pairing check, on bytes.

The machine code is made when first asked for, which takes a second or two, and kept in
the user's cache, from which it loads in milliseconds.
"""

import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from contracts.vm.native import assembly, declared, dialect, emitter, limbs, objects, records, words
from contracts.vm.native.assembly import Module
from contracts.vm.native.curves import contracts, elements, extension, field, pairing, points
from contracts.vm.native.precompiled import entries, exchange
from contracts.vm.native.records import layout
from contracts.vm.precompiles import bn254_curve

_FORM: Final = 1 << field.BITS
_PUBLIC: Final = ("bn254_add", "bn254_multiply", "bn254_pairing")
_ENTRIES: Final = ("run_bn254_add", "run_bn254_multiply", "run_bn254_pairing")
_POINT: Final = 64  # bytes


class Curve:
    """Native code, loaded. Its methods may be called from several threads, and free the GIL."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine  # owns the code that the functions point to
        self._constants = _constants()
        self.constants = ctypes.addressof(self._constants)
        pointer, number = ctypes.c_void_p, ctypes.c_uint64
        self._add = self._function("bn254_add", pointer, pointer, pointer)
        self._multiply = self._function("bn254_multiply", pointer, pointer, pointer)
        self._pairing = self._function("bn254_pairing", pointer, number, pointer)

    def _function(self, name: str, *parameters: Any) -> Callable[..., int]:
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, *parameters)
        function: Callable[..., int] = kind(self._engine.get_function_address(f"call_{name}"))
        return function

    def entry(self, kernel: str) -> int:
        """The address of the function by which native code enters a precompiled contract."""
        return int(self._engine.get_function_address(f"enter_{kernel}"))

    def add(self, points: bytes) -> bytes | None:
        """The sum of two points in 128 bytes; None when one is not a point."""
        assert len(points) == 2 * _POINT
        out = ctypes.create_string_buffer(_POINT)
        return out.raw if self._add(out, points, self.constants) else None

    def multiply(self, point_and_scalar: bytes) -> bytes | None:
        """A point times a scalar, in 96 bytes; None when it is not a point."""
        assert len(point_and_scalar) == _POINT + 32
        out = ctypes.create_string_buffer(_POINT)
        return out.raw if self._multiply(out, point_and_scalar, self.constants) else None

    def pairing_is_one(self, pairs: bytes) -> bool | None:
        """Whether the product of the pairings is 1; None when a point is wrong."""
        count, rest = divmod(len(pairs), pairing.PAIR)
        assert rest == 0
        found = self._pairing(pairs, count, self.constants)
        return None if found == points.WRONG else found == pairing.ONE


@cache
def load_curve(folder: Path | None) -> Curve | None:
    """The curve; None where llvmlite is missing.

    `folder` is where machine code is kept between processes; without it each compiles anew.
    """
    engine = objects.load_engine("bn254", sources(), lambda: module(_PUBLIC).text(), folder)
    return None if engine is None else Curve(engine)


def sources() -> list[Path]:
    """The files that the machine code depends on."""
    modules = (assembly, contracts, declared, dialect, elements, emitter, entries, exchange,
               extension, field, limbs, objects, pairing, points, records, words,
               bn254_curve)  # fmt: skip
    return [Path(__file__), *(Path(str(module.__file__)) for module in modules)]


def module(public: Iterable[str]) -> Module:
    """All kernels; those named can be called from Python, as call_ and their name."""
    whole = Module()
    field.add_field(whole, int(bn254_curve.P))
    for kernels in (exchange, extension, points, pairing, contracts):
        dialect.compile_kernels(whole, kernels)
    for name in public:
        kernel = whole.signatures[name]
        f = whole.function(f"call_{name}", "i64", kernel.parameters, public=True)
        f.give(f.call(kernel, f.arguments))
    for name in _ENTRIES:
        entries.add_entry(whole, name)
    return whole


def _constants() -> Any:
    """A record of elements.Constants, filled in."""
    prime = int(bn254_curve.P)

    def number(value: Any) -> list[int]:
        """In Montgomery form."""
        return _limbs(int(value) * _FORM % prime)

    def pair(value: Any) -> list[int]:
        return [*number(value[0]), *number(value[1])]

    content: dict[str, list[int]] = {
        "prime": _limbs(prime),
        "unit": _limbs(1),
        "to_form": _limbs(_FORM * _FORM % prime),
        "one": number(1),
        "three": number(3),
        "twist_b": pair(bn254_curve.TWIST_B),
    }
    for j in range(1, 6):
        content[f"turn_{j}"] = pair(bn254_curve.FROBENIUS[j])
    assert list(content) == list(layout(elements.Constants).offsets), "the record's order"
    limbs = [limb for numbers in content.values() for limb in numbers]
    return (ctypes.c_uint64 * len(limbs))(*limbs)


def _limbs(number: int) -> list[int]:
    return [number >> 64 * i & (2**64 - 1) for i in range(field.LIMBS)]
