"""The precompiled contracts of a fork, as native code calls them."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from chain.crypto.batch import recovery_library
from chain.forks import Fork
from chain.types import Address
from contracts.vm.native import (
    assembly,
    declared,
    dialect,
    emitter,
    objects,
    permutation,
    records,
    words,
)
from contracts.vm.native.areas import address_of_bytes
from contracts.vm.native.assembly import Module
from contracts.vm.native.curves.bn254 import load_curve
from contracts.vm.native.permutation import add_permutation
from contracts.vm.native.precompiled import (
    blocks,
    entries,
    kernels,
    outside,
    powers,
    recovery,
    residues,
    sha256,
    sums,
)
from contracts.vm.native.precompiled.definition import Definition
from contracts.vm.native.precompiled.entries import CONTRACT
from contracts.vm.native.records import ENTERS_COMPILED
from contracts.vm.precompiles import Precompile, blake2, blake2_constants

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
}
_OTHERS: Final = ("run_in_python", 0)
_ROUNDS: Final = "call_blake2_rounds"
_CURVE: Final = {
    "BN254_ADD": ("run_bn254_add", 0),
    "BN254_MUL": ("run_bn254_multiply", 0),
    "BN254_PAIRING": ("run_bn254_pairing", 192),
}


class PrecompiledCode:
    """Stands where contracts.vm.native.codes.NativeCode does, without any code to read."""

    __slots__ = ("_definition", "_record", "address", "compiled", "data", "destinations", "size")

    def __init__(self, record: Any, definition: Definition) -> None:
        self._record = record
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
        """The contract at an address; None where only Python has it."""
        if address not in self._codes:
            precompile = self._precompiles.get(address)
            if precompile is None:
                return None
            self._codes[address] = self._made(precompile)
        return self._codes[address]

    def _made(self, precompile: Precompile) -> PrecompiledCode | None:
        engine = _engine(objects.user_cache())
        if engine is None:
            return None
        constants = 0
        if precompile.name in _CURVE:
            kernel, unit = _CURVE[precompile.name]
            curve = load_curve(objects.user_cache())
            if curve is None:
                return None
            enter, constants = curve.entry(kernel), curve.constants
        else:
            kernel, unit = _KERNELS.get(precompile.name, _OTHERS)
            if precompile.name == "ECREC":
                constants = ctypes.addressof(_library())
            elif precompile.name == "MODEXP":
                constants = powers.PRICINGS.index(self._fork.modexp_pricing)
            enter = engine.get_function_address(f"enter_{kernel}")
        price = precompile.gas(b"", self._fork)
        record = (ctypes.c_uint64 * (CONTRACT.size >> 3))()
        definition = Definition(precompile, self._fork, record)
        fields = {
            "enter": enter,
            "finish": self._finish,
            "price": price,
            "unit_price": precompile.gas(bytes(unit), self._fork) - price,
            "constants": constants,
            "ask_python": definition.address,
        }
        for name, value in fields.items():
            record[CONTRACT.index(name)] = value
        return PrecompiledCode(record, definition)


def prepare(folder: Path | None) -> None:
    """Load the machine code of them all, or compile it, so that no contract has to wait for it."""
    _engine(folder)
    load_curve(folder)


# Working state of 16 words, message of 16, number of rounds; gives the state after them.
Rounds: TypeAlias = Callable[[Sequence[int], Sequence[int], int], list[int]]


def native_rounds(folder: Path | None) -> Rounds | None:
    """Rounds of BLAKE2b, for Python; None without llvmlite. A call frees the GIL."""
    engine = _engine(folder)
    if engine is None:
        return None
    pointer, words_type = ctypes.c_void_p, ctypes.c_uint64 * 16
    kind = ctypes.CFUNCTYPE(ctypes.c_uint64, pointer, pointer, ctypes.c_uint64)
    function = kind(engine.get_function_address(_ROUNDS))

    def call(state: Sequence[int], message: Sequence[int], rounds: int) -> list[int]:
        assert engine is not None  # owns the code, so it has to live as long as this function
        after = words_type(*state)
        function(after, words_type(*message), rounds)
        return list(after)

    return call


@cache
def _library() -> Any:
    """A record of recovery.Library."""
    return (ctypes.c_uint64 * 4)(*recovery_library())


@cache
def _engine(folder: Path | None) -> Any:
    modules = (assembly, blocks, declared, dialect, emitter, entries, kernels, objects, outside,
               permutation, powers, records, recovery, residues, sha256, sums, words, blake2,
               blake2_constants)  # fmt: skip
    sources = [Path(str(module.__file__)) for module in modules]
    return objects.load_engine("precompiled", sources, lambda: _module().text(), folder)


def _processor_features() -> frozenset[str]:
    from llvmlite import binding

    return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)


def _module() -> Module:
    module = Module()
    sha256.add_sha256(module, _processor_features())
    sums.add_sums(module)
    add_permutation(module)
    recovery.add_recovery(module)
    residues.add_residues(module)
    outside.add_outside(module, entries.ask_python, "i64")
    for source in (kernels, powers):
        dialect.compile_kernels(module, source)
    for kernel, _ in (*_KERNELS.values(), _OTHERS):
        entries.add_entry(module, kernel)
    rounds = module.signatures["blake2_rounds"]
    f = module.function(_ROUNDS, "i64", rounds.parameters, public=True)
    f.give(f.call(rounds, f.arguments))
    return module
