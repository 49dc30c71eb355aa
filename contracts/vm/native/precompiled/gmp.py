"""The way to GMP, which gmpy2 has loaded: powers modulo long numbers, for MODEXP.

A GMP integer is 16 bytes: how many limbs there is room for and how many it has, 32 bits each,
and their address. Limbs have 64 bits here, the least significant first, without leading zeros.
"""

import ctypes
from functools import cache
from typing import Any, Final

from contracts.vm.native.assembly import Module
from contracts.vm.native.declared import compiled
from contracts.vm.native.precompiled.outside import add_outside
from contracts.vm.native.records import U64

_LIMB: Final = 64


class Powers:
    """What MODEXP's kernel wants to know."""

    pricing: U64  # one of powers.PRICINGS
    raise_modulo: U64  # the library's function; 0 for none


def add_gmp(module: Module) -> None:
    """Add the kernel that is declared here."""
    add_outside(module, raise_modulo)


def raise_modulo(powers: Powers, out: U64, base: U64, exponent: U64, modulus: U64) -> None:
    """All are addresses of integers; in `out` there is room for the modulus, which is not 0."""
    compiled()


@cache
def record(pricing: int) -> Any:
    """A record of Powers."""
    return (ctypes.c_uint64 * 2)(pricing, _power_function())


def _power_function() -> int:
    """The function's address; 0 where the library hides it, or is unlike what is said above."""
    try:
        from gmpy2 import gmpy2

        library: Any = ctypes.CDLL(gmpy2.__file__)
        if ctypes.c_int.in_dll(library, "__gmp_bits_per_limb").value != _LIMB:
            return 0
        # Native code holds no lock of Python's, which memory of Python's would need.
        functions = [ctypes.c_void_p() for _ in range(3)]
        library["__gmp_get_memory_functions"](*map(ctypes.byref, functions))
        names = ("__gmp_default_allocate", "__gmp_default_reallocate", "__gmp_default_free")
        if [function.value for function in functions] != [_address(library, n) for n in names]:
            return 0
        return _address(library, "__gmpz_powm")
    except (ImportError, OSError, AttributeError, ValueError):
        return 0


def _address(library: Any, symbol: str) -> int:
    return ctypes.cast(library[symbol], ctypes.c_void_p).value or 0
