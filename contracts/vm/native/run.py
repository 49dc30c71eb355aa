"""A message whose frames Python knows: it does for native code what that was left for."""

import ctypes
from collections.abc import Callable
from typing import Final, cast

from chain.machine import Halt
from contracts.vm import messages
from contracts.vm.frame import Environment, Frame, Halted
from contracts.vm.native.codes import NativeCode
from contracts.vm.native.records import (
    FRAME_STRIDE,
    HALTS,
    LEFT_ACCOUNT,
    LEFT_END,
    LEFT_OPCODE,
    LEFT_SLOT,
    LEFT_STEP,
)
from contracts.vm.native.rules import Rules
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
from contracts.vm.opcodes import OPCODES, Opcode, Shape

_COUNTED_CODES_MAX: Final = 64  # whose gas is counted in one message
_BLOCKHASH: Final = 0x40  # what native code keeps the answers of
_WITH_OUTPUT: Final = (None, Halt.REVERT)

# Depth, position, opcode, gas left and stack before every opcode.
StepHook = Callable[[int, int, int, int, list[int]], None]


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


class Run:
    """One session's open frames, as Python knows them, deepest last."""

    def __init__(
        self,
        session: Session,
        rules: Rules,
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
