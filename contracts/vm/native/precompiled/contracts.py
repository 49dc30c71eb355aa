"""The precompiled contracts of a fork, as native code calls them."""

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from chain.crypto.batch import recovery_library
from chain.forks import Fork
from chain.types import Address
from contracts.vm.native import objects
from contracts.vm.native.areas import address_of_bytes
from contracts.vm.native.curves.bn254 import load_curve
from contracts.vm.native.precompiled import blst, gmp, machine_code, powers
from contracts.vm.native.precompiled.definition import Definition
from contracts.vm.native.precompiled.entries import CONTRACT
from contracts.vm.native.records import ENTERS_COMPILED
from contracts.vm.precompiles import Precompile

# The contract's whole code, as far as native code sees any.
_CODE: Final = bytes([ENTERS_COMPILED]) + bytes(40)
_ADDRESS: Final = address_of_bytes(_CODE)

# By the precompile's name: the kernel, and the bytes of input that a further unit takes.
_KERNELS: Final = {
    "ECREC": ("run_ecrecover", 0),
    "ID": ("run_identity", 32),
    "SHA256": ("run_sha256", 32),
    "RIPEMD160": ("run_ripemd160", 32),
    "BLAKE2F": ("run_blake2", 0),
    "MODEXP": ("run_modexp", 0),
    "BN254_ADD": ("run_bn254_add", 0),
    "BN254_MUL": ("run_bn254_multiply", 0),
    "BN254_PAIRING": ("run_bn254_pairing", 192),
    "BLS12_G1ADD": ("run_bls12_add", 0),
    "BLS12_G1MSM": ("run_bls12_sum", 160),
    "BLS12_G2ADD": ("run_bls12_add", 0),
    "BLS12_G2MSM": ("run_bls12_sum", 288),
    "BLS12_PAIRING_CHECK": ("run_bls12_pairing", 384),
    "BLS12_MAP_FP_TO_G1": ("run_bls12_map", 0),
    "BLS12_MAP_FP2_TO_G2": ("run_bls12_map", 0),
    "KZG_POINT_EVALUATION": ("run_point_evaluation", 0),
}
_OTHERS: Final = ("run_in_python", 0)
_OF_FIRST_GROUP: Final = ("BLS12_G1ADD", "BLS12_G1MSM", "BLS12_MAP_FP_TO_G1")
_OF_SECOND_GROUP: Final = ("BLS12_G2ADD", "BLS12_G2MSM", "BLS12_MAP_FP2_TO_G2")


class PrecompiledCode:
    """Stands where contracts.vm.native.codes.NativeCode does, without any code to read."""

    __slots__ = ("_definition", "address", "compiled", "data", "destinations", "record", "size")

    def __init__(self, record: Any, definition: Definition) -> None:
        self.record = record  # an entries.Contract
        self._definition = definition
        self.compiled = ctypes.addressof(record)
        self.address = _ADDRESS
        self.data = self.destinations = _ADDRESS + 1  # zeros
        self.size = 0


class PrecompiledCodes:
    """A fork's precompiled contracts for one native interpreter, made when first called."""

    def __init__(self, fork: Fork, precompiles: Mapping[Address, Precompile], finish: int) -> None:
        """`finish` is the address of the interpreter's function that ends a frame."""
        self._fork = fork
        self._precompiles = precompiles
        self._finish = finish
        self._codes: dict[Address, PrecompiledCode | None] = {}

    def of(self, address: Address) -> PrecompiledCode | None:
        """The contract at an address; None where there is none, or no llvmlite."""
        if address not in self._codes:
            precompile = self._precompiles.get(address)
            if precompile is None:
                return None
            self._codes[address] = code_of(precompile, self._fork, self._finish)
        return self._codes[address]


def kernel_of(precompile: Precompile) -> str:
    """What native code runs for a contract; run_in_python where it has nothing of its own."""
    return _kernel_and_unit(precompile)[0]


def code_of(precompile: Precompile, fork: Fork, finish: int) -> PrecompiledCode | None:
    """A contract at a fork's prices; None without llvmlite."""
    kernel, unit = _kernel_and_unit(precompile)
    if precompile.name.startswith("BN254"):
        curve = load_curve(objects.user_cache())
        if curve is None:
            return None
        enter, constants = curve.entry(kernel), curve.constants
    else:
        engine = machine_code.load(objects.user_cache())
        if engine is None:
            return None
        enter = engine.get_function_address(f"enter_{kernel}")
        constants = _constants(precompile.name, fork)
    price = precompile.gas(b"", fork)
    record = (ctypes.c_uint64 * (CONTRACT.size >> 3))()
    definition = Definition(precompile, fork, record)
    fields = {
        "enter": enter,
        "finish": finish,
        "price": price,
        "unit_price": precompile.gas(bytes(unit), fork) - price,
        "constants": constants,
        "ask_python": definition.address,
    }
    for name, value in fields.items():
        record[CONTRACT.index(name)] = value
    return PrecompiledCode(record, definition)


def prepare(folder: Path | None) -> None:
    """Load the machine code of them all, or compile it, so that no contract has to wait for it."""
    machine_code.load(folder)
    load_curve(folder)


def _is_of_blst(name: str) -> bool:
    return name.startswith(("BLS12", "KZG"))


def _kernel_and_unit(precompile: Precompile) -> tuple[str, int]:
    if _is_of_blst(precompile.name) and blst.load() is None:
        return _OTHERS
    return _KERNELS.get(precompile.name, _OTHERS)


def _constants(name: str, fork: Fork) -> int:
    """What the kernel wants beside the input and the prices."""
    library = blst.load() if _is_of_blst(name) else None
    if library is not None:
        if name in _OF_SECOND_GROUP:
            return library.second
        return library.first if name in _OF_FIRST_GROUP else library.pairings
    if name == "ECREC":
        return ctypes.addressof(_recovery_record())
    if name == "MODEXP":
        return ctypes.addressof(gmp.record(powers.PRICINGS[fork.modexp_pricing]))
    return 0


@cache
def _recovery_record() -> Any:
    """A record of recovery.Library."""
    return (ctypes.c_uint64 * 4)(*recovery_library())
