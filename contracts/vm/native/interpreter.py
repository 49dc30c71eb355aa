"""The native interpreter as a machine: Python begins and ends messages, native code runs them.

What native code cannot do it leaves to Python, which does it with the plain
interpreter's own functions, so their meaning exists once. A message that needs nothing
but slots and accounts never becomes a frame of Python's.
"""

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Final, cast

from chain.errors import Fault
from chain.forks import Fork
from chain.machine import BlockContext, Halt, Message, Outcome, Tracer, TransactionContext
from chain.state import State
from chain.types import EMPTY_CODE_HASH, Address
from contracts.vm import messages
from contracts.vm.calls import delegate_of
from contracts.vm.frame import Environment, Frame, Halted
from contracts.vm.interpreter import Interpreter, first_frame
from contracts.vm.native.codes import NativeCode, NativeCodes
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.jit.tier import MESSAGE_GAS, ForkCodes, Tier
from contracts.vm.native.objects import Native, load_native
from contracts.vm.native.precompiled.contracts import PrecompiledCodes
from contracts.vm.native.records import (
    BLOBS_MAX,
    ENTERS_COMPILED,
    FRAME_STRIDE,
    GAS_LIMIT,
    HALTS,
    LEFT_ACCOUNT,
    LEFT_END,
    LEFT_OPCODE,
    LEFT_SLOT,
    LEFT_STEP,
)
from contracts.vm.native.session import (
    CURRENT,
    GAS,
    MEMORY,
    MEMORY_SIZE,
    OUTPUT,
    OUTPUT_SIZE,
    PC,
    TOP,
    Session,
    little,
)
from contracts.vm.native.tables import ReadyCode
from contracts.vm.native.traces import Stepper
from contracts.vm.opcodes import OPCODES, Opcode, Shape
from contracts.vm.precompiles import Precompile, precompiles_of
from contracts.vm.program import Program, Programs

_COUNTED_EVERY: Final = 16  # messages
_COUNTED_CODES_MAX: Final = 64  # whose gas is counted in one message
_TABLE_BYTES: Final = 256 * 8
_FORKS_MAX: Final = 32  # whose tables are kept
_BLOCKHASH: Final = 0x40  # what native code keeps the answers of
_WITH_OUTPUT: Final = (None, Halt.REVERT)

# Depth, position, opcode, gas left and stack before every opcode.
StepHook = Callable[[int, int, int, int, list[int]], None]


class _Rules:
    """What is prepared once for a fork."""

    def __init__(
        self,
        native: Native,
        fork: Fork,
        moved: Mapping[Address, Address],
        codes: NativeCodes | ForkCodes,
    ) -> None:
        self.fork = fork  # kept, so that its identity stays its own
        self.codes = codes
        self.precompiles: Mapping[Address, Precompile] = precompiles_of(fork, moved)
        addresses = [
            native.handlers[code]
            if code in OPCODES and OPCODES[code].available(fork)
            else native.missing
            for code in range(256)
        ]
        addresses[ENTERS_COMPILED] = native.compiled
        self.precompiled = PrecompiledCodes(fork, self.precompiles, native.finish)
        self.no_code = NativeCode(b"", native)
        self._table = (ctypes.c_uint64 * 256)(*addresses)
        self._pristine = bytes(self._table)
        self.table = ctypes.addressof(self._table)

    def fill_account(self, session: Session, state: State, *, traced: bool) -> None:
        """Tell native code of the account that it asks about.

        Delegated accounts, and precompiled contracts that only Python has, it may not call.
        Nor accounts that would go away because of the call's touch (EIP-161). When `traced`,
        nor any account without code: there would be a step where there is no opcode.
        """
        address = session.tables.account_missed()
        account, code = state.account(address), b""
        if account is not None and account.code_hash != EMPTY_CODE_HASH:
            code = state.code_of(account.code_hash)
        native_code: ReadyCode = self.codes.of(code) if code else self.no_code
        if code:
            delegated = delegate_of(code, self.fork) is not None
            may_call = not delegated and address not in self.precompiles
        else:
            may_call = not traced and self.fork.deletes_empty_accounts and state.would_stay(address)
            if address in self.precompiles:
                precompiled = self.precompiled.of(address)
                if precompiled is None:
                    may_call = False
                else:
                    native_code = precompiled
        session.tables.fill_account(state, address, account, code, native_code, may_call=may_call)

    def restore(self) -> None:
        """Forget that somebody has nudged."""
        ctypes.memmove(self.table, self._pristine, _TABLE_BYTES)


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
        self._rules: dict[int, _Rules] = {}
        self._last_rules: _Rules | None = None
        self._uncounted = 0  # messages after which nobody has looked what they have sent
        self._running: _Rules | None = None
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

    def nudge(self) -> None:
        """Have what runs look at its state before one of the next opcodes. From any thread.

        The state may end it there (chain.state.State.checkpoint), as it may whenever a
        message begins; but messages that native code sends itself it does not hear of.
        """
        rules = self._running
        if rules is not None:
            # Every opcode's function is taken from there; now all of them leave.
            ctypes.memmove(rules.table, self._step_table, _TABLE_BYTES)

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
        rules, session, tier = self._last_rules, self._session, self.tier
        if rules is None or rules.fork is not fork:
            rules = self._last_rules = self._rules_of(fork, native)
        changes = 0
        if tier is not None:
            tier.poll()
            changes = tier.changes
        session.begin(state, fork, block, transaction, changes)
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
        except BaseException:
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
        rules: _Rules,
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
                rules.fill_account(session, state, traced=False)
            else:
                break
        env = self._environment(state, block, transaction, rules, None)
        run = _Run(session, rules, env, None, self._step_table)
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
        rules: _Rules,
        tracer: Tracer | None,
    ) -> Outcome:
        """Any message."""
        env = self._environment(state, block, transaction, rules, None)
        frame = first_frame(env, message)
        if messages.begin(frame):
            run = _Run(self._session, rules, env, self._on_step, self._step_table)
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
        rules: _Rules,
        tracer: Tracer | None,
    ) -> Environment:
        codes = cast(Programs, rules.codes)  # contracts.vm.messages asks it for code only
        return Environment(state, block, transaction, rules.fork, codes, rules.precompiles, tracer)

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

    def _rules_of(self, fork: Fork, native: Native) -> _Rules:
        rules = self._rules.get(id(fork))
        if rules is None:
            if len(self._rules) >= _FORKS_MAX:
                self._rules.clear()
            codes = self._codes if self.tier is None else ForkCodes(self.tier, native, fork)
            rules = self._rules[id(fork)] = _Rules(native, fork, self._moved, codes)
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


class MemoryWindow:
    """A native frame's memory, for semantics that expect a bytearray."""

    __slots__ = ("_at", "_depth", "_session")

    def __init__(self, session: Session, depth: int) -> None:
        self._session = session
        self._depth = depth
        self._at = depth * FRAME_STRIDE >> 3

    def _start(self) -> int:
        session = self._session
        return session.frames.words[self._at + MEMORY] - session.memory.address

    def __len__(self) -> int:
        return self._session.frames.words[self._at + MEMORY_SIZE]

    def __getitem__(self, piece: slice) -> memoryview:
        start = self._start()
        return self._session.memory.bytes[start + piece.start : start + piece.stop]

    def __setitem__(self, piece: slice, content: bytes) -> None:
        start = self._start()
        self._session.memory.bytes[start + piece.start : start + piece.stop] = content

    def extend(self, zeros: bytes) -> None:
        session, size = self._session, len(self)
        if self._start() + size + len(zeros) > session.memory.size:
            session.grow_memory(size + len(zeros), self._depth)
        start = self._start() + size
        session.memory.bytes[start : start + len(zeros)] = zeros
        session.frames.words[self._at + MEMORY_SIZE] = size + len(zeros)


class _Run:
    """One session's open frames, as Python knows them, deepest last."""

    def __init__(
        self,
        session: Session,
        rules: _Rules,
        env: Environment,
        on_step: StepHook | None,
        step_table: int,
    ) -> None:
        self.session = session
        self.rules = rules
        self.table = rules.table
        self.env = env
        self.state = env.state
        self.on_step = on_step
        self.next_table = rules.table if on_step is None else step_table
        self.frames: list[Frame] = []
        self.used: dict[bytes, int] = {}  # gas, by code, of messages that Python has begun
        self.current = 0  # address of the native frame that runs

    def run(self, first: Frame) -> None:
        """Run a message that has begun, and all that it sends."""
        self._push(first)
        self._run_on(self.next_table)

    def resume(self, first: Frame, left: int, current: int) -> None:
        """Go on with a message that native code has been left in."""
        first.memory = cast(bytearray, MemoryWindow(self.session, 0))
        self.frames.append(first)
        self.current = current
        begin_with = self._serve(left)
        self._run_on(begin_with)

    def _run_on(self, begin_with: int) -> None:
        session, enter = self.session, self.session.native.enter
        while self.frames:
            left = enter(self.current, begin_with, self.next_table)
            self.current = session.record.words[CURRENT]
            begin_with = self._serve(left)

    def _serve(self, left: int) -> int:
        """Do what native code was left for; the table to take the next opcode's function from."""
        reason, session = left & 0xFF, self.session
        if reason == LEFT_OPCODE:
            self._know_frames()
            self._carry_out(OPCODES[left >> 8])
            return self.next_table
        if reason == LEFT_END:
            self._know_frames()
            self._finish(HALTS[(left >> 8) - 1] if left >> 8 else None)
            return self.next_table
        # The opcode that was about to run starts over, or runs now that it is told.
        if reason == LEFT_SLOT:
            session.tables.fill_slot(self.state)
        elif reason == LEFT_ACCOUNT:
            self.rules.fill_account(session, self.state, traced=self.on_step is not None)
        elif reason == LEFT_STEP:
            self._know_frames()
            self._tell_step()
        else:
            session.grow(reason, session.get("wanted"))
        return self.table

    def _know_frames(self) -> None:
        """Frames for the messages that native code has begun since it was entered."""
        depth = (self.current - self.session.frames.address) // FRAME_STRIDE
        for frame in self.session.known_frames(len(self.frames), depth, self.env):
            frame.memory = cast(bytearray, MemoryWindow(self.session, frame.depth))
            self.frames.append(frame)

    def _push(self, frame: Frame) -> None:
        self.current = self.session.frames.address + frame.depth * FRAME_STRIDE
        frame.memory = cast(bytearray, MemoryWindow(self.session, frame.depth))
        self.session.push(frame, cast(NativeCode, frame.program))
        self.frames.append(frame)

    def _carry_out(self, opcode: Opcode) -> None:
        """Do with the plain semantics what has no lowering; native code has paid the static gas."""
        frame, session = self.frames[-1], self.session
        at = frame.depth * FRAME_STRIDE >> 3
        words = session.frames.words
        top = words[at + TOP] - session.frames.address
        operands = self._stack(top - 32 * opcode.pops, top)
        operands.reverse()
        frame.gas = words[at + GAS]
        words[at + TOP] -= 32 * opcode.pops
        try:
            result = opcode.semantics(frame, *operands)
        except Halted as halted:
            self._end(halted.halt)
            return
        words[at + GAS] = frame.gas
        if opcode.shape is Shape.END:
            self._end(None)
        elif opcode.shape is Shape.SEND:
            self._send(result)
        elif opcode.pushes:
            self._give(frame.depth, result)
            if opcode.code == _BLOCKHASH:
                session.keep_block_hash(operands[0], result)

    def _stack(self, start: int, end: int) -> list[int]:
        content = self.session.frames.bytes
        return [int.from_bytes(content[i : i + 32], "little") for i in range(start, end, 32)]

    def _give(self, depth: int, word: int) -> None:
        """Push a word on a frame's stack."""
        frames, at = self.session.frames, depth * FRAME_STRIDE >> 3
        top = frames.words[at + TOP] - frames.address
        frames.bytes[top : top + 32] = little(word)
        frames.words[at + TOP] += 32

    def _send(self, child: Frame) -> None:
        if messages.begin(child):
            self._push(child)
        else:
            messages.end(child)
            self._deliver(child)

    def _finish(self, halt: Halt | None) -> None:
        """The deepest frame is over, says native code."""
        frame, session = self.frames[-1], self.session
        words, at = session.frames.words, frame.depth * FRAME_STRIDE >> 3
        frame.gas = words[at + GAS]
        if halt in _WITH_OUTPUT:
            size = words[at + OUTPUT_SIZE]
            if size:  # in the frame's memory, or where a precompiled contract has it
                frame.output = ctypes.string_at(words[at + OUTPUT], size)
        self._end(halt)

    def _end(self, halt: Halt | None) -> None:
        frame = self.frames.pop()
        self.current -= FRAME_STRIDE
        frame.halt = halt
        self._count(frame)
        messages.end(frame)
        if frame.halt is not None:
            self.session.undo(frame.depth)
        if self.frames:
            self._deliver(frame)

    def _count(self, frame: Frame) -> None:
        used = self.used
        if frame.code in used or len(used) < _COUNTED_CODES_MAX:
            used[frame.code] = used.get(frame.code, 0) + frame.gas_given - frame.gas

    def _deliver(self, child: Frame) -> None:
        """Give a finished message's result to the frame that sent it, as messages.deliver does."""
        session, depth = self.session, child.depth - 1
        at = depth * FRAME_STRIDE >> 3
        session.frames.words[at + GAS] += child.gas
        if child.halt is not None:
            self._give(depth, 0)
        elif child.creates:
            self._give(depth, int.from_bytes(child.address, "big"))
            session.return_output(b"")
            return
        else:
            self._give(depth, 1)
        session.return_output(child.output)
        size = min(child.return_size, len(child.output))
        if size:
            memory = self.frames[-1].memory
            memory[child.return_offset : child.return_offset + size] = child.output[:size]

    def _tell_step(self) -> None:
        if self.on_step is None:  # it is a nudge
            self.rules.restore()
            self.state.checkpoint()
            return
        session, frame = self.session, self.frames[-1]
        depth = frame.depth
        words, at = session.frames.words, depth * FRAME_STRIDE >> 3
        pc = words[at + PC]
        opcode = frame.code[pc] if pc < len(frame.code) else 0
        bottom = session.stack_bottom(depth)
        stack = self._stack(bottom, words[at + TOP] - session.frames.address)
        self.on_step(depth, pc, opcode, words[at + GAS], stack)
