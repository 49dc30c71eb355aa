"""From assembly to functions that Python can call, with the machine code kept on disk.

Compiling takes a second or two, loading milliseconds. A file in the cache is named by
everything that its content depends on, starts with a checksum, and is believed only when
it belongs to this user alone: it is code that runs.
"""

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from chain import machine as machines
from contracts.vm import frame, opcodes
from contracts.vm.native import kernels
from contracts.vm.native.handlers import (
    COMPILED,
    COMPILED_CALLS,
    ENTER,
    FINISH,
    HANDLERS,
    KERNELS,
    MISSING,
    STEP,
    interpreter_module,
)

_CHECKSUM_BYTES: Final = 32
_HANDLERS: Final = FINISH + 1


class Native:
    """The native interpreter in this process. `enter` runs until native code is left.

    `enter(frame, first, table)`: all three are addresses; the first opcode's function is
    taken from the table `first`. The other functions are the kernels of their names.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine  # owns the code, so it has to live as long as the functions
        self.enter = self._function(ENTER, 3)
        self.undo = self._function("call_undo", 2)
        self.move_slots = self._function("call_move_slots", 3)
        self.move_accounts = self._function("call_move_accounts", 3)
        self.find_slot = self._function("call_find_slot", 3)
        self.find_account = self._function("call_find_account", 2)
        self.collect_slots = self._function("call_collect_slots", 2)
        self.mark_destinations = self._function("call_mark_destinations", 3)
        addresses = (ctypes.c_uint64 * _HANDLERS).from_address(self._function(HANDLERS, 0)())
        self.handlers = tuple(addresses[:256])
        self.missing = addresses[MISSING]
        self.step = addresses[STEP]
        self.compiled = addresses[COMPILED]
        self.finish = addresses[FINISH]
        kernels = (ctypes.c_uint64 * len(COMPILED_CALLS)).from_address(self._function(KERNELS, 0)())
        self.kernels = dict(zip(COMPILED_CALLS, kernels))  # addresses, for compiled code

    def _function(self, name: str, parameters: int) -> Callable[..., int]:
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * parameters)
        function: Callable[..., int] = kind(self._engine.get_function_address(name))
        return function


def user_cache() -> Path:
    """Where this user's machine code is kept."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "chain-node" / "native"


@cache
def load_native(folder: Path | None) -> Native | None:
    """The native interpreter; None where llvmlite is missing.

    `folder` is where machine code is kept between processes; without it each compiles anew.
    """
    sources = [
        Path(opcodes.__file__),
        *Path(__file__).parent.glob("*.py"),
        *Path(kernels.__file__).parent.glob("*.py"),
    ]
    engine = load_engine(
        "interpreter", sources, lambda: interpreter_module(processor_features()).text(), folder
    )
    return None if engine is None else Native(engine)


def load_engine(
    name: str, sources: Iterable[Path], text: Callable[[], str], folder: Path | None
) -> Any:
    """LLVM assembly as code that can be called, from the cache or compiled; None without llvmlite.

    `sources` are the files that the assembly depends on. The engine owns the code.
    """
    try:
        from llvmlite import binding
    except ImportError:
        return None
    machine = target_machine(binding, opt=2)
    path = None if folder is None else folder / f"{name}-{object_key(binding, sources)}.o"
    code = None if path is None else load_object(path)
    if code is None:
        code = compile_text(binding, machine, text())
        if path is not None:
            store_object(path, code)
    return engine_of(binding, machine, code)


def target_machine(binding: Any, opt: int) -> Any:
    """This machine's processor, with all that it can do."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=opt,
        codemodel="jitdefault",
        jit=True,
    )


def processor_features() -> frozenset[str]:
    """LLVM's names of what this machine's processor has."""
    from llvmlite import binding

    return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)


def engine_of(binding: Any, machine: Any, code: bytes) -> Any:
    """What owns the functions of an object file and finds them by name."""
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def compile_text(binding: Any, machine: Any, text: str, effort: int = 2) -> bytes:
    """Machine code of LLVM assembly, as an object file. `effort` is LLVM's level, 1 or 2."""
    module = binding.parse_assembly(text)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=effort)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def object_key(binding: Any, sources: Iterable[Path]) -> str:
    """All that machine code depends on: the processor, the compiler, our sources."""
    import llvmlite

    digest = hashlib.sha256()
    for part in (
        llvmlite.__version__,
        str(binding.llvm_version_info),
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
    ):
        digest.update(part.encode() + b"\0")
    # Numbers of halts, and limits of the stack and of depth, are in all of it.
    for path in sorted({*sources, Path(machines.__file__), Path(frame.__file__)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


def load_object(path: Path) -> bytes | None:
    """A file of the cache, unless it is missing, damaged or somebody else could have written it."""
    try:
        for place in (path, path.parent):
            status = place.stat()
            if (hasattr(os, "geteuid") and status.st_uid != os.geteuid()) or status.st_mode & 0o022:
                return None
        stored = path.read_bytes()
    except OSError:
        return None
    checksum, code = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return code if hashlib.sha256(code).digest() == checksum else None


def store_object(path: Path, code: bytes) -> None:
    """Keep a file; all of it or nothing. A cache that can't be written is one that isn't used."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent)
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(name, path)
    except OSError:
        with suppress(OSError):
            os.unlink(name)  # or a full disk would be fuller with each start
