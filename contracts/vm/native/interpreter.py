"""The native interpreter as a machine: Python begins and ends messages, native code runs them.

What native code cannot do it leaves to Python, which does it with the plain
interpreter's own functions, so their meaning exists once. A message that needs nothing
but slots and accounts never becomes a frame of Python's.
"""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final, cast

from chain.errors import Fault
from chain.forks import Fork
from chain.machine import BlockContext, Halt, Message, Outcome, Tracer, TransactionContext
from chain.state import State
from chain.types import Address
from contracts.vm import messages
from contracts.vm.frame import Environment
from contracts.vm.interpreter import Interpreter, first_frame
from contracts.vm.native.codes import NativeCode, NativeCodes
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.jit.tier import MESSAGE_GAS, ForkCodes, Tier
from contracts.vm.native.objects import Native, load_native
from contracts.vm.native.records import (
    BLOBS_MAX,
    GAS_LIMIT,
    HALTS,
    LEFT_ACCOUNT,
    LEFT_END,
    LEFT_GROW_ACCOUNTS,
    LEFT_GROW_SLOTS,
    LEFT_SLOT,
    LEFT_STEP,
)
from contracts.vm.native.rules import TABLE_BYTES, Rules
from contracts.vm.native.run import Run, StepHook
from contracts.vm.native.session import (
    CURRENT,
    GAS,
    OUTPUT,
    OUTPUT_SIZE,
    Session,
)
from contracts.vm.native.traces import Stepper
from contracts.vm.program import Program, Programs

_COUNTED_EVERY: Final = 16  # messages
_FORKS_MAX: Final = 32  # whose tables are kept
_FULL_TABLES: Final = (LEFT_GROW_SLOTS, LEFT_GROW_ACCOUNTS)
_PEEKED_BYTES_MAX: Final = 2**22  # of slots and accounts


class NativeInterpreter:
    """A chain.machine.Machine. Not thread-safe.

    Where llvmlite is missing, with a tracer, and with more gas than native code can
    count, the plain interpreter runs instead.
    """

    def __init__(
        self,
        moved: Mapping[Address, Address] | None = None,
        *,
        cache: Path | None = None,
        on_step: StepHook | None = None,
        jit: JitSettings | None = None,
        traces: bool = False,
    ) -> None:
        """`cache` is where machine code is kept between processes. `on_step` is for tests.

        Without `jit` nothing is compiled. With `traces` tracers that want steps are told
        of them by native code, and of nothing else.
        """
        self._traces = traces
        self._moved = moved or {}
        self._plain = Interpreter(moved)
        self._native = load_native(cache)
        self._on_step = on_step
        self._in_use = Lock()
        self.tier: Tier | None = None
        if self._native is None:
            return
        self._session = Session(self._native)
        self._codes = NativeCodes(self._native)
        # Steps are told of opcodes, which compiled code does not have.
        self.tier = Tier(self._native, jit, cache) if jit is not None and on_step is None else None
        self._rules: dict[int, Rules] = {}
        self._last_rules: Rules | None = None
        self.crowded = False  # as chain.machine.Peeker says
        self._uncounted = 0  # messages after which nobody has looked what they have sent
        self._running: Rules | None = None
        steps = (ctypes.c_uint64 * 256)(*[self._native.step] * 256)
        self._steps, self._step_table = steps, ctypes.addressof(steps)

    @property
    def is_native(self) -> bool:
        """Whether there is native code at all."""
        return self._native is not None

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
        if native is None or not self.serves(message, transaction, tracer):
            return self._plain.execute(message, state, block, transaction, fork, tracer)
        # Two executions in the same areas would corrupt memory, not only results.
        if not self._in_use.acquire(blocking=False):
            raise Fault("a native interpreter serves one thread, and one message at a time")
        try:
            return self._execute(message, state, block, transaction, fork, native, tracer)
        finally:
            self._in_use.release()

    def peek(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
    ) -> Outcome | None:
        """What `execute` would give, where native code finds it out alone, and soon.

        `state` stays as it was. None where it takes Python, much room, a precompiled contract
        that may run long, or longer than until somebody nudges. What it has read of the state
        is kept for the next message on it, as long as there is room.
        """
        native = self._native
        if native is None or message.value or not message.code or not fork.access_lists:
            return None
        if message.to is None or not self.serves(message, transaction, None):
            return None
        if not self._in_use.acquire(blocking=False):
            raise Fault("a native interpreter serves one thread, and one message at a time")
        session = self._session
        try:
            self._running = rules = self._rules_for(fork, native)
            if message.code_address in rules.precompiles:
                return None
            session.begin(state, fork, block, transaction, self._code_changes())
            return self._peek(message, state, rules)
        except BaseException:  # an interrupt too must not leave half a message in the tables
            session.abandon()
            raise
        finally:
            self._running = None
            session.tables.running = False
            self._in_use.release()

    def _peek(self, message: Message, state: State, rules: Rules) -> Outcome | None:
        session, code = self._session, rules.codes.of(message.code)
        enter, table, words = code.native.enter, rules.table, session.record.words
        current = first = session.push_first(message, code)
        while True:
            left = enter(current, table, table)
            reason, current = left & 0xFF, words[CURRENT]
            if reason == LEFT_SLOT:
                session.tables.fill_slot(state)
            elif reason == LEFT_ACCOUNT:
                rules.fill_account(session, state, in_a_hurry=True)
            elif reason in _FULL_TABLES and session.tables.size < _PEEKED_BYTES_MAX:
                session.grow(reason, 0)
            else:
                break
        if reason == LEFT_STEP:
            rules.restore()
        self.crowded = reason in _FULL_TABLES
        outcome = None
        if reason == LEFT_END and current == first:
            outcome = _outcome(session, left >> 8)
        session.undo(0)
        return outcome

    def nudge(self) -> None:
        """Have what runs look at its state before one of the next opcodes. From any thread.

        The state may end it there (chain.state.State.checkpoint), as it may whenever a
        message begins; but messages that native code sends itself it does not hear of.
        """
        rules = self._running
        if rules is not None:
            # Every opcode's function is taken from there; now all of them leave.
            ctypes.memmove(rules.table, self._step_table, TABLE_BYTES)

    def serves(
        self, message: Message, transaction: TransactionContext, tracer: Tracer | None
    ) -> bool:
        """Whether native code runs such a message; otherwise the plain interpreter does."""
        return (
            self._native is not None
            and (tracer is None or (self._traces and tracer.wants_steps))
            and message.gas < GAS_LIMIT // 2
            and len(transaction.blob_hashes) <= BLOBS_MAX
        )

    def _execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        native: Native,
        tracer: Tracer | None,
    ) -> Outcome:
        rules, session, tier = self._rules_for(fork, native), self._session, self.tier
        session.begin(state, fork, block, transaction, self._code_changes())
        self._running = rules
        try:
            if (
                tracer is None
                and self._on_step is None
                and message.to is not None
                and not message.value
                and message.code
                and message.code_address not in rules.precompiles
            ):
                outcome = self._call(message, state, block, transaction, rules)
            else:
                outcome = self._send(message, state, block, transaction, rules, tracer)
        except BaseException:  # an interrupt too must not leave half a message in the tables
            session.abandon()
            raise
        finally:
            self._running = None
        session.end(state, fork, succeeded=outcome.halt is None)
        if tracer is not None:
            session.tables.release()
        if tier is not None and isinstance(rules.codes, ForkCodes):
            self._uncounted += 1
            if self._uncounted >= _COUNTED_EVERY:
                self._uncounted = 0
                for code, number in session.tables.messages_sent():
                    rules.codes.used(code, number * MESSAGE_GAS)
        return outcome

    def _call(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        rules: Rules,
    ) -> Outcome:
        """A call without value of code; as `_send`, without more of Python than it needs."""
        session, code = self._session, rules.codes.of(message.code)
        enter, table, words = code.native.enter, rules.table, session.record.words
        current = first = session.push_first(message, code)
        while True:
            left = enter(current, table, table)
            reason, current = left & 0xFF, words[CURRENT]
            if reason == LEFT_END and current == first:
                outcome = _outcome(session, left >> 8)
                if self.tier is not None:
                    self._heat(message.code, code, message.gas - outcome.gas_left)
                return outcome
            if reason == LEFT_SLOT:
                session.tables.fill_slot(state)
            elif reason == LEFT_ACCOUNT:
                rules.fill_account(session, state)
            else:
                break
        env = self._environment(state, block, transaction, rules)
        run = Run(session, rules, env, None, self._step_table)
        frame = first_frame(env, message)
        # Until here the state has not changed since the message began.
        frame.program, frame.mark = cast(Program, code), state.checkpoint()
        run.resume(frame, left, current)
        self._count(run.used, code)
        return Outcome(frame.gas, frame.output, frame.halt)

    def _send(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        rules: Rules,
        tracer: Tracer | None,
    ) -> Outcome:
        """Any message."""
        env = self._environment(state, block, transaction, rules)
        frame = first_frame(env, message)
        if messages.begin(frame):
            run = Run(self._session, rules, env, self._on_step, self._step_table)
            if tracer is not None:
                run.on_step = Stepper(self._session, env, tracer, run.frames).tell
                run.next_table = self._step_table
            run.run(frame)
            self._count(run.used, cast(NativeCode, frame.program))
        else:
            messages.end(frame)
        return Outcome(frame.gas, frame.output, frame.halt)

    def _environment(
        self,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        rules: Rules,
    ) -> Environment:
        codes = cast(Programs, rules.codes)  # contracts.vm.messages asks it for code only
        return Environment(state, block, transaction, rules.fork, codes, rules.precompiles, None)

    def _heat(self, code: bytes, native_code: NativeCode, gas: int) -> None:
        """As `_count`, of one code that only native code has run."""
        tier, rules = self.tier, self._running
        if tier is None or rules is None or not isinstance(rules.codes, ForkCodes):
            return
        if native_code.compiled:
            tier.figures.messages += 1
            tier.figures.gas += gas
        else:
            rules.codes.heat(code, native_code, gas)

    def _count(self, used: Mapping[bytes, int], first: NativeCode) -> None:
        """Tell what gas was used in, so that what is hot gets compiled."""
        tier, rules = self.tier, self._running
        if tier is None or rules is None or not isinstance(rules.codes, ForkCodes):
            return
        if first.compiled:
            tier.figures.messages += 1
            tier.figures.gas += sum(used.values())
        for code, gas in used.items():
            rules.codes.used(code, gas)

    def _code_changes(self) -> int:
        """Another number when codes have been compiled since."""
        if self.tier is None:
            return 0
        self.tier.poll()
        return self.tier.changes

    def _rules_for(self, fork: Fork, native: Native) -> Rules:
        rules = self._last_rules
        if rules is not None and rules.fork is fork:
            return rules
        rules = self._rules.get(id(fork))
        if rules is None:
            if len(self._rules) >= _FORKS_MAX:
                self._rules.clear()
            codes = self._codes if self.tier is None else ForkCodes(self.tier, native, fork)
            rules = self._rules[id(fork)] = Rules(native, fork, self._moved, codes)
        self._last_rules = rules
        return rules


def _outcome(session: Session, how: int) -> Outcome:
    """How a simple message has ended, of which Python knows nothing else."""
    words = session.frames.words
    size = words[OUTPUT_SIZE]
    output = ctypes.string_at(words[OUTPUT], size) if size else b""
    if not how:
        return Outcome(words[GAS], output, None)
    session.undo(0)
    halt = HALTS[how - 1]
    return Outcome(words[GAS], output, halt) if halt is Halt.REVERT else Outcome(0, b"", halt)
