"""What tracers are told that the untraced interpreter never needs."""

from typing import Final

from contracts.vm.frame import Frame, Halted
from contracts.vm.opcodes import Shape
from contracts.vm.program import Priced

_FIXED: Final = (
    Shape.PURE, Shape.PUSH, Shape.PC, Shape.DUP, Shape.SWAP, Shape.POP, Shape.NOTHING,
    Shape.JUMP, Shape.JUMPI,
)  # fmt: skip


def whole_price(frame: Frame, priced: Priced) -> int:
    """The gas that the opcode about to run takes, static and dynamic, also if there is less.

    A call's includes what it hands to the callee, a creation's does not, as in geth.
    Found by running the semantics on trial and undoing it, so that prices are
    written down only once. The static price alone when operands are missing.
    """
    count = priced.pops
    if priced.shape in _FIXED or not 0 < count <= len(frame.stack):
        return priced.gas
    operands = frame.stack[: -count - 1 : -1]
    state = frame.state
    gas, memory, mark = frame.gas, bytes(frame.memory), state.checkpoint()
    env, handed_over = frame.env, 0
    tracer, env.tracer = env.tracer, None  # a trial is no event
    frame.gas -= priced.gas
    try:
        result = priced.opcode.semantics(frame, *operands)
        if isinstance(result, Frame) and result.creates:
            handed_over = result.gas
    except Halted:
        pass  # what it had charged until then is the price that could not be paid
    env.tracer = tracer
    price = gas - frame.gas - handed_over
    frame.gas, frame.memory, frame.output, frame.halt = gas, bytearray(memory), b"", None
    state.revert(mark)
    return price
