"""The VMs that `--vm` offers. `python` is the definition; the others must give the same."""

from functools import cache
from typing import Final

from chain.errors import Fault
from chain.machine import Machine
from contracts.vm import Interpreter
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.objects import user_cache

TIERS: Final = ("python", "native", "jit")  # the first by default


@cache
def machine_of(tier: str, *, traces: bool = False) -> Machine:
    """One machine for each tier and process. Native code that isn't there is a Fault.

    One that `traces` tells of each opcode, for which tier jit compiles each of them apart.
    """
    if tier == "python":
        return Interpreter()
    # For comparing, compiled code is all code, and is compiled before it first runs.
    jit = None
    if tier == "jit":
        jit = JitSettings(at_once=True, opcode_by_opcode=traces, cached_files_max=0)
    machine = NativeInterpreter(cache=user_cache(), jit=jit, traces=traces)
    if not machine.is_native:
        raise Fault("the native tier needs llvmlite, which is not installed")
    return machine
