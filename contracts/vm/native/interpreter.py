"""The native interpreter as a machine: Python begins and ends messages, native code runs them.

What native code cannot do it leaves to Python, which does it with the plain
interpreter's own functions, so their meaning exists once. Accounts are the state's
matter throughout; storage, logs and refunds stay native until the message has
succeeded (contracts.vm.native.session).
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
from chain.types import Address
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
    LEFT_END,
    LEFT_OPCODE,
    LEFT_SLOT,
    LEFT_STEP,
)
from contracts.vm.native.session import (
    GAS,
    MEMORY,
    MEMORY_SIZE,
    OUTPUT,
    OUTPUT_SIZE,
    PC,
    TOP,
    ReadyCode,
    Session,
    little,
)
from contracts.vm.native.traces import Stepper
from contracts.vm.opcodes import OPCODES, Opcode, Shape
from contracts.vm.precompiles import Precompile, precompiles_of
from contracts.vm.program import Programs

_COUNTED_CODES_MAX: Final = 64  # whose gas is counted in one message
_TABLE_BYTES: Final = 256 * 8
_FORKS_MAX: Final = 32  # whose tables are kept
_BLOCKHASH, _SELFBALANCE = 0x40, 0x47  # what native code keeps the answers of
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
        rules = self._rules_of(fork, native)
        if self.tier is not None:
            self.tier.poll()
        codes = cast(Programs, rules.codes)  # contracts.vm.messages asks it for code only
        env = Environment(state, block, transaction, fork, codes, rules.precompiles, None)
        frame = first_frame(env, message)
        if messages.begin(frame):
            self._session.begin(fork, block, transaction)
            run = _Run(self._session, native, rules, env, self._on_step, self._step_table)
            if tracer is not None:
                run.on_step = Stepper(self._session, env, tracer, run.frames).tell
                run.next_table = self._step_table
            self._running = rules
            try:
                run.run(frame)
            finally:
                self._running = None
            if self.tier is not None and isinstance(rules.codes, ForkCodes):
                self._count(frame, run.used, rules.codes, self.tier)
        else:
            messages.end(frame)
        return Outcome(frame.gas, frame.output, frame.halt)

    def _count(self, first: Frame, used: Mapping[bytes, int], codes: ForkCodes, tier: Tier) -> None:
        """Tell what gas was used in, so that what is hot gets compiled."""
        if cast(NativeCode, first.program).compiled:
            tier.figures.messages += 1
            tier.figures.gas += first.gas_given - first.gas
        for code, gas in used.items():
            codes.used(code, gas)
        for code, number in self._session.messages_sent():
            codes.used(code, number * MESSAGE_GAS)

    def _rules_of(self, fork: Fork, native: Native) -> _Rules:
        rules = self._rules.get(id(fork))
        if rules is None:
            if len(self._rules) >= _FORKS_MAX:
                self._rules.clear()
            codes = self._codes if self.tier is None else ForkCodes(self.tier, native, fork)
            rules = self._rules[id(fork)] = _Rules(native, fork, self._moved, codes)
        return rules


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
        native: Native,
        rules: _Rules,
        env: Environment,
        on_step: StepHook | None,
        step_table: int,
    ) -> None:
        self.session = session
        self.native = native
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
        session, enter = self.session, self.native.enter
        table, next_table = self.table, self.next_table
        self._push(first)
        begin_with = next_table
        while self.frames:
            left = enter(self.current, begin_with, next_table)
            reason = left & 0xFF
            self.current = session.get("frame")
            begin_with = next_table
            if reason == LEFT_OPCODE:
                self._know_frames()
                self._carry_out(OPCODES[left >> 8])
            elif reason == LEFT_END:
                self._know_frames()
                self._finish(HALTS[(left >> 8) - 1] if left >> 8 else None)
            else:
                # The opcode that was about to run starts over, or runs now that it is told.
                begin_with = table
                if reason == LEFT_SLOT:
                    session.fill_slot(self.state)
                elif reason == LEFT_STEP:
                    self._know_frames()
                    self._tell_step()
                else:
                    session.grow(reason, session.get("wanted"))

    def _know_frames(self) -> None:
        """Frames for the messages that native code has begun since it was entered."""
        depth = (self.current - self.session.frames.address) // FRAME_STRIDE
        for new in range(len(self.frames), depth + 1):
            frame = self.session.known_frame(new, self.env)
            frame.memory = cast(bytearray, MemoryWindow(self.session, new))
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
            if opcode.code == _SELFBALANCE:
                session.keep_balance(frame.depth, result)
            elif opcode.code == _BLOCKHASH:
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
        self.session.wei_moved()
        if messages.begin(child):
            if not child.creates:
                self._make_ready(child)
            self._push(child)
            return
        messages.end(child)
        if not child.creates:
            self._make_codeless_ready(child)
        elif child.halt is None:
            self.session.forget(child.address)
        self._deliver(child)

    def _make_codeless_ready(self, child: Frame) -> None:
        """Likewise for a precompiled contract, or an account without code.

        Later calls don't touch it any more, so it is touched by now, or not empty.
        Before empty accounts went away, a call could still make one.
        """
        address = child.code_address
        if (
            self.on_step is not None
            or child.halt is not None
            or (not child.transfers and self.state.is_empty(address))
            or not child.fork.deletes_empty_accounts
            or self.state.code(address)
        ):
            return
        native_code: ReadyCode | None
        if address in self.env.precompiles:
            native_code = self.rules.precompiled.of(address)
        else:
            native_code = self.rules.no_code
        if native_code is not None:
            self.session.make_ready(address, b"", native_code)

    def _make_ready(self, child: Frame) -> None:
        """The next message to the same account stays native, unless it is delegated (EIP-7702)."""
        if delegate_of(self.state.code(child.code_address), child.fork) is None:
            native_code = cast(NativeCode, child.program)
            self.session.make_ready(child.code_address, child.code, native_code)

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
        self.session.wei_moved()
        frame = self.frames.pop()
        self.current -= FRAME_STRIDE
        frame.halt = halt
        self._count(frame)
        messages.end(frame)
        if frame.halt is not None:
            self.session.undo(frame.depth)
        elif frame.creates:
            self.session.forget(frame.address)
        if self.frames:
            self._deliver(frame)
        elif frame.halt is None:
            self.session.settle(self.state)

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
