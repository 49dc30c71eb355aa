"""The VMs of a node: the plain interpreter until native code is there, from then on that.

Native code is made ready in a thread when the first contract runs, or earlier when somebody
has the time (`prepare`): from the cache that takes some hundredths of a second, without it
the seconds of compiling. All tiers give the same, so nobody need know when they change.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final

from chain.forks import Fork
from chain.machine import BlockContext, Machine, Message, Outcome, Tracer, TransactionContext
from chain.state import State
from contracts.vm import Interpreter
from node.settings import VmSettings
from node.watch.observation import TierCount

# The native VM is imported by the thread that loads it, so that starting does not wait for that.
if TYPE_CHECKING:
    from contracts.vm.native.interpreter import NativeInterpreter
    from contracts.vm.native.objects import Native

PYTHON, NATIVE, JIT = "python", "native", "jit"
_log: Final = logging.getLogger("node")


class Machines:
    """Makes the machines of one node, and knows what they did."""

    def __init__(
        self,
        settings: VmSettings,
        threads: Callable[[int, str], Executor],
        load: Callable[[], "Native | None"] | None = None,
    ) -> None:
        """`load` is for tests: it gives native code, or None where there can't be any."""
        self._settings = settings
        self._load = load or _from_cache
        self._asked = False
        self._lock = threading.Lock()
        self._loader = None if settings.tier == PYTHON else threads(1, "vm")
        self._ready = False
        self._own = threading.local()
        self._made: list[TieredMachine] = []

    @property
    def is_native(self) -> bool:
        """Whether native code is ready."""
        return self._ready

    def new(self, *, compiles: bool = False) -> "TieredMachine":
        """A machine for one thread at a time. One that `compiles` does so in tier jit."""
        machine = TieredMachine(self, compiles=compiles and self._settings.tier == JIT)
        with self._lock:
            self._made.append(machine)
        return machine

    def of_thread(self) -> "TieredMachine":
        """The calling thread's machine."""
        machine: TieredMachine | None = getattr(self._own, "machine", None)
        if machine is None:
            machine = self._own.machine = self.new()
        return machine

    def prepare(self) -> None:
        """Begin to make native code ready, unless that has been begun or is not wanted."""
        if self._asked or self._loader is None:
            return
        with self._lock:
            first, self._asked = not self._asked, True
        if first:
            self._loader.submit(self._make_ready)

    def _make_ready(self) -> None:
        level = logging.INFO if self._settings.tier == "auto" else logging.WARNING
        try:
            native = self._load()
        except Exception as error:  # whatever a compiler may raise: the definition serves as well
            _log.warning("contracts run on the plain interpreter: native code fails: %r", error)
            return
        if native is None:
            _log.log(level, "contracts run on the plain interpreter: llvmlite is not installed")
            return
        self._ready = True
        _log.debug("contracts run natively")

    def native(self, *, compiles: bool) -> "NativeInterpreter | None":
        """A native interpreter once there can be one."""
        if not self._ready:
            self.prepare()
            return None
        from contracts.vm.native.interpreter import NativeInterpreter
        from contracts.vm.native.jit.settings import JitSettings
        from contracts.vm.native.objects import user_cache

        jit = JitSettings(hot_gas=self._settings.jit_hot_gas) if compiles else None
        return NativeInterpreter(cache=user_cache(), jit=jit)

    def nudge(self) -> None:
        """Have native code look whether the time of what it runs is over."""
        with self._lock:
            made = list(self._made)
        for machine in made:
            machine.nudge()

    def counts(self) -> tuple[TierCount, ...]:
        """What ran where so far, over all machines."""
        with self._lock:
            made = list(self._made)
        tiers = (PYTHON, NATIVE, JIT) if self._settings.tier == JIT else (PYTHON, NATIVE)
        return tuple(
            TierCount(
                tier,
                sum(machine.messages[tier] for machine in made),
                sum(machine.gas[tier] for machine in made),
            )
            for tier in tiers
        )

    def close(self) -> None:
        """End what compiles. Waits for native code that is being made ready."""
        if self._loader is not None:
            self._loader.shutdown()
        with self._lock:
            made = list(self._made)
        for machine in made:
            machine.close()


def _from_cache() -> "Native | None":
    # Both are imported here, though only one is used: this is the thread that has the time.
    import contracts.vm.native.interpreter  # noqa: F401
    from contracts.vm.native.objects import load_native, user_cache
    from contracts.vm.native.precompiled.contracts import prepare

    native = load_native(user_cache())
    if native is not None:
        prepare(user_cache())
    return native


class TieredMachine:
    """A chain.machine.Machine and Peeker on the best tier that is ready. Not thread-safe."""

    def __init__(self, machines: Machines, *, compiles: bool) -> None:
        self._machines = machines
        self._compiles = compiles
        self._plain = Interpreter()
        self._native: NativeInterpreter | None = None
        # Top-level ones that ran code, and the gas that they used; as JIT those to compiled code.
        self.messages = {PYTHON: 0, NATIVE: 0, JIT: 0}
        self.gas = {PYTHON: 0, NATIVE: 0, JIT: 0}

    def execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: Tracer | None = None,
    ) -> Outcome:
        """Run a message to its end. A failed one has left `state` as it was."""
        native = self._native
        if native is None and tracer is None:
            native = self._native = self._machines.native(compiles=self._compiles)
        machine: Machine = self._plain
        tier = PYTHON
        if native is not None and native.serves(message, transaction, tracer):
            machine, tier = native, NATIVE
        compiled = self._compiled_messages()
        outcome = machine.execute(message, state, block, transaction, fork, tracer)
        if self._compiled_messages() != compiled:
            tier = JIT
        self.messages[tier] += 1
        self.gas[tier] += message.gas - outcome.gas_left
        return outcome

    def peek(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
    ) -> Outcome | None:
        """As chain.machine.Peeker says; None too until native code is ready."""
        native = self._native
        if native is None:
            native = self._native = self._machines.native(compiles=self._compiles)
            if native is None:
                return None
        outcome = native.peek(message, state, block, transaction, fork)
        if outcome is not None:
            self.messages[NATIVE] += 1
            self.gas[NATIVE] += message.gas - outcome.gas_left
        return outcome

    @property
    def crowded(self) -> bool:
        """As chain.machine.Peeker says."""
        return self._native is not None and self._native.crowded

    def _compiled_messages(self) -> int:
        """How many messages have begun in compiled code."""
        if self._native is None or self._native.tier is None:
            return 0
        return self._native.tier.figures.messages

    def nudge(self) -> None:
        """Have what runs natively look at its state. From any thread."""
        if self._native is not None:
            self._native.nudge()

    def close(self) -> None:
        """End what is being compiled."""
        if self._native is not None and self._native.tier is not None:
            self._native.tier.close()
