"""The kernels of the precompiled contracts as machine code, made when first asked for."""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from contracts.vm.native import (
    assembly,
    declared,
    dialect,
    emitter,
    limbs,
    objects,
    permutation,
    records,
    words,
)
from contracts.vm.native.assembly import Module
from contracts.vm.native.precompiled import (
    blocks,
    bls12,
    blst,
    entries,
    exchange,
    gmp,
    halves,
    kernels,
    numbers,
    outside,
    powers,
    recovery,
    residues,
    sha256,
    sums,
)
from contracts.vm.precompiles import blake2, blake2_constants

# The kernels that native code enters; those of alt_bn128 are with their curve.
ENTERED: Final = (
    *("run_ecrecover", "run_identity", "run_sha256", "run_ripemd160", "run_blake2"),
    *("run_modexp", "run_bls12_add", "run_bls12_sum", "run_bls12_map", "run_bls12_pairing"),
    *("run_point_evaluation", "run_in_python"),
)
_ROUNDS: Final = "blake2_rounds"


@cache
def load(folder: Path | None) -> Any:
    """What owns the functions `enter_` and a kernel's name; None without llvmlite.

    `folder` is where machine code is kept between processes; without it each compiles anew.
    """
    return objects.load_engine("precompiled", sources(), lambda: module((_ROUNDS,)).text(), folder)


def sources() -> list[Path]:
    """The files that the machine code depends on."""
    modules = (assembly, blake2, blake2_constants, bls12, blocks, blst, declared, dialect, emitter,
               entries, exchange, gmp, halves, kernels, limbs, numbers, objects, outside,
               permutation, powers, records, recovery, residues, sha256, sums, words)  # fmt: skip
    return [Path(__file__), *(Path(str(module.__file__)) for module in modules)]


def module(public: Iterable[str]) -> Module:
    """All kernels; those named can be called from Python, as call_ and their name."""
    whole = Module()
    features = objects.processor_features()
    sha256.add_sha256(whole, features)
    sums.add_sums(whole)
    permutation.add_permutation(whole, features)
    recovery.add_recovery(whole)
    residues.add_residues(whole)
    outside.add_outside(whole, entries.ask_python, "i64")
    blst.add_blst(whole)
    gmp.add_gmp(whole)
    for source in (exchange, kernels, numbers, halves, powers, bls12):
        dialect.compile_kernels(whole, source)
    for kernel in ENTERED:
        entries.add_entry(whole, kernel)
    for name in public:
        kernel_signature = whole.signatures[name]
        f = whole.function(f"call_{name}", "i64", kernel_signature.parameters, public=True)
        f.give(f.call(kernel_signature, f.arguments))
    return whole


# Working state of 16 words, message of 16, number of rounds; gives the state after them.
Rounds: TypeAlias = Callable[[Sequence[int], Sequence[int], int], list[int]]


def native_rounds(folder: Path | None) -> Rounds | None:
    """Rounds of BLAKE2b, for Python; None without llvmlite. A call frees the GIL."""
    engine = load(folder)
    if engine is None:
        return None
    pointer, words_type = ctypes.c_void_p, ctypes.c_uint64 * 16
    kind = ctypes.CFUNCTYPE(ctypes.c_uint64, pointer, pointer, ctypes.c_uint64)
    function = kind(engine.get_function_address(f"call_{_ROUNDS}"))

    def call(state: Sequence[int], message: Sequence[int], rounds: int) -> list[int]:
        assert engine is not None  # owns the code, so it has to live as long as this function
        after = words_type(*state)
        function(after, words_type(*message), rounds)
        return list(after)

    return call
