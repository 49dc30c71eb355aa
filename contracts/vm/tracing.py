"""What tracers are told that the untraced interpreter never needs."""

from typing import Final, cast

from chain.machine import Halt
from contracts.vm.frame import Frame, Halted
from contracts.vm.program import Priced

_WORDS: Final = frozenset({0x51, 0x52, 0x53})  # MLOAD, MSTORE, MSTORE8


def whole_price(frame: Frame, priced: Priced) -> int:
    """The gas that the opcode about to run takes, static and dynamic, also if there is less.

    A call's includes what it hands to the callee, a creation's does not, as in geth. An opcode
    that may not write here, or reads past what was returned, has its price all the same.
    Found by running the semantics on trial and undoing it, so that prices are
    written down only once. The static price alone when operands are missing, or it
    can't be paid.
    """
    count = priced.pops
    if priced.opcode.code in _WORDS and frame.stack and frame.stack[-1] + 32 <= len(frame.memory):
        return priced.gas  # nothing grows, as is so with most
    if priced.fixed or not 0 < count <= len(frame.stack) or frame.gas < priced.gas:
        return priced.gas
    operands = frame.stack[: -count - 1 : -1]
    try:
        return _tried(frame, priced, operands)[0]
    except _PastTheEndError:
        to, _, size = operands
        if size > frame.gas:  # which could not be paid for
            return priced.gas
        returned, frame.return_data = frame.return_data, bytes(size)
        price, _ = _tried(frame, priced, [to, 0, size])
        frame.return_data = returned
        return price


def refund_of_writing(frame: Frame, priced: Priced) -> int:
    """The transaction's refund once the SSTORE about to run is paid; it has its operands."""
    return _tried(frame, priced, frame.stack[:-3:-1])[1]


class _PastTheEndError(Exception):
    """More was to be read than the last message returned."""


class _Blank:
    """Memory of a size, in which a trial may write without a trace. No price depends on content."""

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def extend(self, more: bytes) -> None:
        self._size += len(more)

    def __getitem__(self, where: slice) -> bytes:
        return bytes(where.stop - where.start)

    def __setitem__(self, where: slice | int, content: bytes | int) -> None:
        pass


def _tried(frame: Frame, priced: Priced, operands: list[int]) -> tuple[int, int]:
    """The price of an opcode, and the refund after it. Everything is as before then."""
    state = frame.state
    gas, memory, mark = frame.gas, frame.memory, state.checkpoint()
    frame.memory = cast(bytearray, _Blank(len(memory)))
    static, frame.static = frame.static, False
    env, handed_over = frame.env, 0
    tracer, env.tracer = env.tracer, None  # a trial is no event
    frame.gas -= priced.gas
    try:
        result = priced.opcode.semantics(frame, *operands)
        if isinstance(result, Frame) and result.creates:
            handed_over = result.gas
    except Halted as halted:
        # What it had charged until then is the price that could not be paid.
        if halted.halt is Halt.RETURN_DATA_OUT_OF_BOUNDS:
            raise _PastTheEndError from None
    finally:
        price, refund = gas - frame.gas - handed_over, state.refund
        env.tracer = tracer
        frame.gas, frame.memory, frame.output, frame.halt = gas, memory, b"", None
        frame.static = static
        state.revert(mark)
    return price, refund
