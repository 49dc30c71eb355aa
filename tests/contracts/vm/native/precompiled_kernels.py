"""The kernels of precompiled contracts, called without any interpreter around them."""

import ctypes
from functools import cache

from chain.forks import Fork
from contracts.vm.native.objects import load_engine
from contracts.vm.native.precompiled import machine_code
from contracts.vm.native.precompiled.contracts import PrecompiledCode, code_of, kernel_of
from contracts.vm.native.precompiled.entries import BROKEN, CONTRACT
from contracts.vm.native.records import NO_GAS
from contracts.vm.precompiles import PRECOMPILES
from tests.contracts.vm.native.both import CACHE


@cache
def _engine():
    text = machine_code.module(machine_code.ENTERED).text
    return load_engine("precompiled-kernels", machine_code.sources(), text, CACHE)


@cache
def _function(kernel: str):
    return ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)(
        _engine().get_function_address(f"call_{kernel}")
    )


@cache
def _code(number: int, fork: Fork) -> PrecompiledCode:
    code = code_of(PRECOMPILES[number], fork, 0)
    assert code is not None
    return code


def has_kernel(number: int) -> bool:
    """Whether native code does the work itself, in a kernel that can be called here."""
    return kernel_of(PRECOMPILES[number]) in machine_code.ENTERED[:-1]


def natively(
    number: int, data: bytes, fork: Fork, gas: int, code: PrecompiledCode | None = None
) -> tuple[int, bytes] | None:
    """The gas left and the output of a call; None when it fails."""
    code = code or _code(number, fork)
    # At an odd address: input is wherever memory has it.
    place = ctypes.create_string_buffer(b"\0" + data, len(data) + 1)
    start = ctypes.addressof(place) + 1
    left = _function(kernel_of(PRECOMPILES[number]))(code.compiled, start, len(data), gas)
    assert left != BROKEN
    if left == NO_GAS:
        return None
    size = code.record[CONTRACT.index("output_size")]
    return left, ctypes.string_at(code.record[CONTRACT.index("output_at")], size) if size else b""


def by_definition(number: int, data: bytes, fork: Fork, gas: int) -> tuple[int, bytes] | None:
    precompile = PRECOMPILES[number]
    cost = precompile.gas(data, fork)
    if cost > gas:
        return None
    output = precompile.run(data, fork)
    return None if output is None else (gas - cost, output)
