"""How much is compiled, and what compiling may cost."""

from msgspec import Struct


class JitSettings(Struct, frozen=True):
    """The limits of compiled code.

    `at_once` is for tests: all code, before it first runs. `opcode_by_opcode` is for traces,
    which then see what compiled code does; that needs `at_once`, and no files.
    """

    at_once: bool = False
    opcode_by_opcode: bool = False
    hot_gas: int = 3_000_000  # that messages to a code have used when it is compiled
    compile_cpu_seconds_max: int = 20  # for one code; beyond, it stays interpreted for good
    compile_memory_bytes_max: int = 2 * 2**30
    waiting_codes_max: int = 64  # to be compiled; others have to become hot again
    loaded_codes_max: int = 512
    loaded_bytes_max: int = 2**27
    cached_files_max: int = 4_096  # on disk; the oldest ones are removed. 0 for none at all
