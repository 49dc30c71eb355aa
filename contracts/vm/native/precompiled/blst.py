"""The way to blst, the library for BLS12-381 that ckzg contains and lets others call.

Its types are plain memory: field elements of 48 bytes in its own form, affine points of two
coordinates (zeros for infinity), others of three; scalars are 32 bytes, the least significant
first. Where a ckzg does not show the functions, or not with these types, `load` is None.
"""

import ctypes
from functools import cache
from typing import Annotated, Any, Final

from contracts.vm.native.assembly import Module
from contracts.vm.native.declared import compiled
from contracts.vm.native.precompiled.outside import add_outside
from contracts.vm.native.records import U64, Words, layout
from contracts.vm.precompiles.bls12 import ORDER
from contracts.vm.precompiles.bls12_discounts import G1_DISCOUNTS, G2_DISCOUNTS
from contracts.vm.precompiles.kzg import OUTPUT, TAU_G2

BATCH: Final = 128  # terms that are summed up together; as many have prices of their own
SCRATCH: Final = 32_768  # bytes, for the sum of a batch

# The field's prime, and the groups' order, from the number that the curve is made of.
_SEED: Final = -0xD201000000010000
_PRIME: Final = (_SEED - 1) ** 2 * ORDER // 3 + _SEED
assert ORDER == _SEED**4 - _SEED**2 + 1

_G1_AFFINE: Final = 96
_G2_AFFINE: Final = 192
_SIZES: Final = {
    "blst_p1_sizeof": 144,
    "blst_p1_affine_sizeof": _G1_AFFINE,
    "blst_p2_sizeof": 288,
    "blst_p2_affine_sizeof": _G2_AFFINE,
    "blst_fp12_sizeof": 576,
}


class Group:
    """One of the two groups: what the kernels have to know, and the library's functions."""

    fields: U64  # elements of the field in a coordinate
    discounts: U64  # address of BATCH words, in thousandths
    read_element: U64
    write_element: U64
    read_scalar: U64
    is_on_curve: U64
    is_in_group: U64
    from_affine: U64
    to_affine: U64
    add_points: U64
    add_affine: U64
    multiply: U64
    add_multiples: U64
    map_to_group: U64
    prime: Annotated[Words, 48]  # the most significant byte first


class Pairings:
    """Both groups, and the library's functions for pairings and for commitments."""

    first: U64  # address of a Group
    second: U64
    run_loops: U64
    multiply_values: U64
    take_final_power: U64
    is_one: U64
    uncompress: U64
    is_reduced: U64
    negate: U64
    generator: U64  # of the first group, its address
    second_generator: Annotated[Words, 192]
    tau: Annotated[Words, 192]  # the second generator's multiple of the KZG ceremony
    evaluated: Annotated[Words, 64]  # what a point evaluation that holds gives


_OF_GROUP: Final = {
    "read_element": "blst_fp_from_bendian",
    "write_element": "blst_bendian_from_fp",
    "read_scalar": "blst_scalar_from_be_bytes",
    "is_on_curve": "blst_{}_affine_on_curve",
    "is_in_group": "blst_{}_affine_in_{}",
    "from_affine": "blst_{}_from_affine",
    "to_affine": "blst_{}_to_affine",
    "add_points": "blst_{}_add_or_double",
    "add_affine": "blst_{}_add_or_double_affine",
    "multiply": "blst_{}_mult",
    "add_multiples": "blst_{}s_mult_pippenger",
    "map_to_group": "blst_map_to_{1}",
}
_OF_PAIRINGS: Final = {
    "run_loops": "blst_miller_loop_n",
    "multiply_values": "blst_fp12_mul",
    "take_final_power": "blst_final_exp",
    "is_one": "blst_fp12_is_one",
    "uncompress": "blst_p1_uncompress",
    "is_reduced": "blst_scalar_fr_check",
    "negate": "blst_p1_cneg",
}


class Blst:
    """The records that the kernels are given, by address, and what they refer to."""

    def __init__(self, library: Any) -> None:
        self._kept: list[Any] = [library]
        self.first = self._group(library, "p1", "g1", 1, G1_DISCOUNTS)
        self.second = self._group(library, "p2", "g2", 2, G2_DISCOUNTS)
        generator = library.blst_p2_affine_generator
        generator.restype = ctypes.c_void_p
        tau = ctypes.create_string_buffer(_G2_AFFINE)
        library.blst_p2_uncompress(tau, TAU_G2)
        fields: dict[str, int | bytes] = {
            name: _address(library, symbol) for name, symbol in _OF_PAIRINGS.items()
        }
        base = library.blst_p1_generator
        base.restype = ctypes.c_void_p
        fields |= {
            "first": self.first,
            "second": self.second,
            "generator": base(),
            "second_generator": ctypes.string_at(generator(), _G2_AFFINE),
            "tau": tau.raw,
            "evaluated": OUTPUT,
        }
        self.pairings = self._record(Pairings, fields)

    def _group(
        self, library: Any, point: str, group: str, fields: int, discounts: tuple[int, ...]
    ) -> int:
        assert len(discounts) == BATCH
        thousandths = (ctypes.c_uint64 * BATCH)(*discounts)
        self._kept.append(thousandths)
        content: dict[str, int | bytes] = {
            name: _address(library, symbol.format(point, group))
            for name, symbol in _OF_GROUP.items()
        }
        content |= {
            "fields": fields,
            "discounts": ctypes.addressof(thousandths),
            "prime": _PRIME.to_bytes(48, "big"),
        }
        return self._record(Group, content)

    def _record(self, kind: type, fields: dict[str, int | bytes]) -> int:
        """The address of a record with this content."""
        places = layout(kind)
        assert set(fields) == set(places.offsets), kind
        record = ctypes.create_string_buffer(places.size)
        for name, value in fields.items():
            content = value if isinstance(value, bytes) else value.to_bytes(8, "little")
            assert len(content) == places.sizes[name], name
            ctypes.memmove(ctypes.addressof(record) + places.offsets[name], content, len(content))
        self._kept.append(record)
        return ctypes.addressof(record)


def _address(library: Any, symbol: str) -> int:
    return ctypes.cast(library[symbol], ctypes.c_void_p).value or 0


@cache
def load() -> Blst | None:
    """The library, unless ckzg hides it or contains another one than is described here."""
    import ckzg

    try:
        library: Any = ctypes.CDLL(ckzg.__file__)
        if any(_size(library, name) != size for name, size in _SIZES.items()):
            return None
        for point in ("p1", "p2"):
            if _size(library, f"blst_{point}s_mult_pippenger_scratch_sizeof", BATCH) > SCRATCH:
                return None
        return Blst(library)
    except (OSError, AttributeError):
        return None


def _size(library: Any, function: str, *arguments: int) -> int:
    give = library[function]
    give.restype = ctypes.c_size_t
    give.argtypes = [ctypes.c_size_t] * len(arguments)
    return int(give(*arguments))


# -- the functions; what is an address is the library's own memory --


def add_blst(module: Module) -> None:
    """Add the kernels that are declared here."""
    for kernel in (
        *(read_element, write_element, read_scalar, is_on_curve, is_in_group, from_affine),
        *(to_affine, add_points, add_affine, multiply, add_multiples, map_to_group),
        *(run_loops, multiply_values, take_final_power, is_one, uncompress, is_reduced, negate),
    ):
        add_outside(module, kernel)


def read_element(group: Group, out: U64, place: U64) -> None:
    """The element in 48 bytes, the most significant first, which are below the prime."""
    compiled()


def write_element(group: Group, place: U64, element: U64) -> None:
    compiled()


def read_scalar(group: Group, out: U64, place: U64, size: U64) -> U64:
    """The number in so many bytes, modulo the order; gives whether it is not 0."""
    compiled()


def is_on_curve(group: Group, affine: U64) -> U64:
    compiled()


def is_in_group(group: Group, affine: U64) -> U64:
    compiled()


def from_affine(group: Group, out: U64, affine: U64) -> None:
    compiled()


def to_affine(group: Group, out: U64, point: U64) -> None:
    compiled()


def add_points(group: Group, out: U64, a: U64, b: U64) -> None:
    compiled()


def add_affine(group: Group, out: U64, a: U64, affine: U64) -> None:
    compiled()


def multiply(group: Group, out: U64, point: U64, scalar: U64, bits: U64) -> None:
    """By a scalar of so many bits, below the order."""
    compiled()


def add_multiples(
    group: Group, out: U64, points: U64, count: U64, scalars: U64, bits: U64, scratch: U64
) -> None:
    """`points`, affine and none infinity, and `scalars` are addresses of an address and a 0."""
    compiled()


def map_to_group(group: Group, out: U64, element: U64, other: U64) -> None:
    """`other` is 0, or a further element to be mapped and added."""
    compiled()


def run_loops(pairings: Pairings, out: U64, seconds: U64, firsts: U64, count: U64) -> None:
    """The product of Miller loops; affine points, none infinity, as add_multiples takes them."""
    compiled()


def multiply_values(pairings: Pairings, out: U64, a: U64, b: U64) -> None:
    compiled()


def take_final_power(pairings: Pairings, out: U64, value: U64) -> None:
    compiled()


def is_one(pairings: Pairings, value: U64) -> U64:
    compiled()


def uncompress(pairings: Pairings, affine: U64, place: U64) -> U64:
    """The point of the curve in 48 bytes; gives 0 when there is one."""
    compiled()


def is_reduced(pairings: Pairings, scalar: U64) -> U64:
    compiled()


def negate(pairings: Pairings, point: U64, really: U64) -> None:
    compiled()
