"""Native code told opcode by opcode: tracers see the same as from the plain interpreter.

Before each opcode native code leaves; here a plain frame is made of the native one, and
the state is shown for that moment what a session has not given to it yet. Slow, and
meant to find where two VMs part.
"""

import ctypes
from collections.abc import Sequence
from typing import Final

from chain.machine import Tracer
from contracts.vm.frame import Environment, Frame
from contracts.vm.native import records
from contracts.vm.native.records import FRAME_STRIDE, layout
from contracts.vm.native.session import MEMORY, MEMORY_SIZE, Session
from contracts.vm.program import Priced, table_of
from contracts.vm.tracing import whole_price

_FRAME: Final = layout(records.Frame)
_DATA, _DATA_SIZE = _FRAME.index("data"), _FRAME.index("data_size")


class Stepper:
    """Tells a tracer of the opcodes of one top-level message. Messages are not told."""

    def __init__(
        self, session: Session, env: Environment, tracer: Tracer, frames: Sequence[Frame]
    ) -> None:
        """`frames` are the open frames as Python knows them, now and later."""
        self._session = session
        self._frames = frames
        self._env = env
        self._tracer = tracer
        self._table: tuple[Priced | None, ...] = table_of(env.fork)

    def tell(self, depth: int, pc: int, opcode: int, gas: int, stack: list[int]) -> None:
        """What the native interpreter's hook is told before an opcode."""
        frame = self._copy(self._frames[depth], pc, gas, stack)
        state = self._env.state
        mark = state.checkpoint()
        self._session.show(state)
        priced = self._table[opcode]
        # To find the price the opcode is tried, which native code must not hear of.
        with self._session.tables.apart_from(state):
            price = 0 if priced is None else whole_price(frame, priced)
            self._tracer.on_step(pc, opcode, gas, price, frame)
            state.revert(mark)

    def _copy(self, running: Frame, pc: int, gas: int, stack: list[int]) -> Frame:
        """A frame as the plain interpreter would have it now."""
        session, depth = self._session, running.depth
        words, at = session.frames.words, depth * FRAME_STRIDE >> 3
        frame = Frame(
            self._env,
            running.kind,
            running.caller,
            running.address,
            running.code_address,
            running.code,
            ctypes.string_at(words[at + _DATA], words[at + _DATA_SIZE]),
            gas,
            running.value,
            depth,
            running.static,
            creates=running.creates,
        )
        frame.pc, frame.stack = pc, stack
        start = words[at + MEMORY] - session.memory.address
        frame.memory = bytearray(session.memory.bytes[start : start + words[at + MEMORY_SIZE]])
        frame.return_data = bytes(session.returned.bytes[: session.get("returned_size")])
        return frame
