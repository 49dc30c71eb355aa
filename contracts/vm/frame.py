"""The live objects of an execution: a frame for every message, an environment for all of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from chain.forks import Fork
from chain.machine import BlockContext, Halt, HaltWatcher, Tracer, TransactionContext
from chain.types import Address

if TYPE_CHECKING:
    from chain.state import State
    from contracts.vm.precompiles import Precompile
    from contracts.vm.program import Program, Programs

STACK_MAX: Final = 1024  # words
DEPTH_MAX: Final = 1024  # the deepest frame, counting the first as 0

# Beyond this no amount of gas pays for memory, and sizes stay small enough to add up.
_MEMORY_MAX: Final = 0x1FFFFFFFE0  # bytes


class Halted(Exception):
    """Ends a frame in failure. It never leaves the VM: an Outcome carries the halt."""

    def __init__(self, halt: Halt) -> None:
        super().__init__(halt.value)
        self.halt = halt


class Environment:
    """What all frames of one top-level message share."""

    __slots__ = (
        "block", "fork", "precompiles", "programs", "state", "stepper", "tracer", "transaction",
        "watcher",
    )  # fmt: skip

    def __init__(
        self,
        state: "State",
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        programs: "Programs",
        precompiles: "Mapping[Address, Precompile]",
        tracer: Tracer | None,
    ) -> None:
        self.state = state
        self.block = block
        self.transaction = transaction
        self.fork = fork
        self.programs = programs
        self.precompiles = precompiles
        self.tracer = tracer
        watches = tracer is not None and isinstance(tracer, HaltWatcher)
        self.watcher = cast(HaltWatcher, tracer) if watches else None
        self.stepper = tracer if tracer is not None and tracer.wants_steps else None


class Frame:
    """A message in execution: its parameters, machine state and, at the end, its result.

    `gas` is what is left. `memory` always has whole words. `return_data` is the
    output of the last message this frame sent. `kind` is the name of the opcode
    that made the message; the first frame has CALL or CREATE.
    """

    __slots__ = (
        "address",
        "caller",
        "code",
        "code_address",
        "creates",
        "data",
        "depth",
        "env",
        "fork",
        "gas",
        "gas_given",
        "halt",
        "kind",
        "mark",
        "memory",
        "output",
        "pc",
        "program",
        "return_data",
        "return_offset",
        "return_size",
        "stack",
        "state",
        "static",
        "transfers",
        "value",
    )

    program: "Program"

    def __init__(
        self,
        env: Environment,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        code: bytes,
        data: bytes,
        gas: int,
        value: int,
        depth: int,
        static: bool,
        *,
        creates: bool = False,
        transfers: bool = False,
        return_offset: int = 0,
        return_size: int = 0,
    ) -> None:
        self.env = env
        self.state = env.state
        self.fork = env.fork
        self.kind = kind
        self.caller = caller
        self.address = address
        self.code_address = code_address
        self.code = code
        self.data = data
        self.gas = self.gas_given = gas
        self.value = value  # wei
        self.depth = depth
        self.static = static
        self.creates = creates
        self.transfers = transfers  # whether `value` moves from caller to address
        self.return_offset = return_offset  # where the caller wants the output
        self.return_size = return_size
        self.pc = 0
        self.stack: list[int] = []
        self.memory = bytearray()
        self.return_data = b""
        self.output = b""
        self.halt: Halt | None = None
        self.mark: int | None = None  # of the state's journal, once the message has begun

    def charge(self, gas: int) -> None:
        """Pay `gas`, or halt."""
        self.gas -= gas
        if self.gas < 0:
            raise Halted(Halt.OUT_OF_GAS)

    def expand(self, offset: int, size: int) -> None:
        """Pay for and add the memory that reaches to `offset + size`; none when size is 0."""
        if size:
            end = offset + size
            if end > len(self.memory):
                self._grow(end)

    def _grow(self, end: int) -> None:
        if end > _MEMORY_MAX:
            raise Halted(Halt.OUT_OF_GAS)
        memory = self.memory
        before = len(memory) >> 5
        after = (end + 31) >> 5
        self.gas -= 3 * (after - before) + (after * after >> 9) - (before * before >> 9)
        if self.gas < 0:
            raise Halted(Halt.OUT_OF_GAS)
        memory.extend(bytes((after - before) << 5))

    def read(self, offset: int, size: int) -> bytes:
        """A piece of memory that `expand` has made sure of."""
        return bytes(self.memory[offset : offset + size]) if size else b""

    def need_write(self) -> None:
        """Halt in a static call, which changes nothing (EIP-214)."""
        if self.static:
            raise Halted(Halt.WRITE_PROTECTION)


def padded(data: bytes, offset: int, size: int) -> bytes:
    """`size` bytes of `data` from `offset` on, with zeros after its end."""
    return data[offset : offset + size].ljust(size, b"\0")
