"""A contract's code to an object file, and an object file to functions that can be entered.

An object depends on the code, the fork's prices, the processor, the compiler and our
sources, and on nothing else: addresses of kernels are filled in when it is loaded.
"""

import ctypes
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from chain.forks import Fork
from contracts.vm import opcodes, program
from contracts.vm.native import kernels, objects
from contracts.vm.native.assembly import constant
from contracts.vm.native.jit import pieces
from contracts.vm.native.jit.flow import Prices, flow_of
from contracts.vm.native.jit.regions import regions_of, worthwhile
from contracts.vm.native.jit.writer import KERNEL_PREFIX, OPCODE_PREFIX, region_module
from contracts.vm.native.objects import Native
from contracts.vm.opcodes import OPCODES

_COUNT, _POSITIONS, _FUNCTIONS = "entry_count", "entry_positions", "entry_functions"

# Beyond these code stays interpreted.
CODE_BYTES_MAX: Final = 2**16
WEIGHT_MAX: Final = 60_000  # of all of a code's blocks
OBJECT_BYTES_MAX: Final = 2**24


class TooLarge(Exception):
    """Code that would take too long to compile, or an object that would fill the memory."""


class Compiled(Struct, frozen=True):
    """Functions of one code: their addresses by position. `owners` keep them alive."""

    functions: Mapping[int, int]
    size: int  # bytes of the object file
    owners: tuple[Any, ...]


def prices_of(fork: Fork) -> Prices:
    """The static gas of every opcode that the fork has."""
    rows = (OPCODES.get(code) for code in range(256))
    return tuple(
        row.static_gas(fork) if row is not None and row.available(fork) else None for row in rows
    )


def assembly_of(code: bytes, prices: Prices, *, opcode_by_opcode: bool = False) -> str:
    """LLVM assembly of all of the code's regions; empty when there is nothing to compile.

    With `opcode_by_opcode` each opcode is one, and is gone to through the interpreter's table.
    """
    if len(code) > CODE_BYTES_MAX:
        raise TooLarge(f"{len(code)} bytes of code")
    flow = flow_of(code, prices)
    weight = sum(block.weight for block in flow.blocks.values())
    if weight > WEIGHT_MAX:
        raise TooLarge(f"code of weight {weight}")
    if opcode_by_opcode:
        flow = pieces.cut(flow)
        regions = [pieces.region_of(piece) for piece in flow.blocks.values() if worthwhile(piece)]
    else:
        regions = regions_of(flow)
    if not regions:
        return ""
    module = region_module(flow, regions, through_table=opcode_by_opcode)
    starts = [region.start for region in regions]
    positions = module.table("positions", "i64", [str(start) for start in starts])
    functions = module.table("functions", "ptr", [f"@region_{start}" for start in starts])
    count = module.function(_COUNT, "i64", [], public=True)
    count.give(constant(len(starts)))
    for name, table in ((_POSITIONS, positions), (_FUNCTIONS, functions)):
        give = module.function(name, "i64", [], public=True)
        give.give(give.address(table))
    return module.text()


def compile_code(code: bytes, prices: Prices, *, opcode_by_opcode: bool = False) -> bytes:
    """An object file; empty when there is nothing to compile. TooLarge beyond the limits."""
    from llvmlite import binding

    text = assembly_of(code, prices, opcode_by_opcode=opcode_by_opcode)
    if not text:
        return b""
    effort = 0 if opcode_by_opcode else 1  # for as many functions as there are opcodes
    machine = objects.target_machine(binding, opt=effort)
    found = objects.compile_text(binding, machine, text, effort=effort)
    if len(found) > OBJECT_BYTES_MAX and not opcode_by_opcode:
        raise TooLarge(f"{len(found)} bytes of machine code")
    return found


def load_compiled(found: bytes, native: Native, *, opcode_by_opcode: bool = False) -> Compiled:
    """The functions of an object file that compile_code has made."""
    from llvmlite import binding

    if not found:
        return Compiled({}, 0, ())
    for name, address in native.kernels.items():
        binding.add_symbol(KERNEL_PREFIX + name, address)
    if opcode_by_opcode:
        for number, address in enumerate(native.handlers):
            binding.add_symbol(f"{OPCODE_PREFIX}{number}", address)
    engine = objects.engine_of(binding, objects.target_machine(binding, opt=1), found)

    def give(name: str) -> int:
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64)
        number: int = kind(engine.get_function_address(name))()
        return number

    array = ctypes.c_uint64 * give(_COUNT)
    positions = array.from_address(give(_POSITIONS))
    functions = array.from_address(give(_FUNCTIONS))
    return Compiled(dict(zip(positions, functions)), len(found), (engine, native))


class ObjectNames:
    """What the files of compiled code are called in the cache."""

    def __init__(self) -> None:
        from llvmlite import binding

        native = Path(objects.__file__).parent
        sources = [
            Path(opcodes.__file__),
            Path(program.__file__),
            *native.glob("*.py"),
            *(native / "jit").glob("*.py"),
            *Path(kernels.__file__).parent.glob("*.py"),
        ]
        self._key = objects.object_key(binding, sources).encode()

    def name(self, code: bytes, prices: Prices) -> str:
        digest = hashlib.sha256(self._key + repr(prices).encode() + b"\0" + code)
        return f"code-{digest.hexdigest()[:40]}.o"
