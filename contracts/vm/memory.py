"""Memory, copying, hashing and logging.

Dynamic prices: 3 a word copied, 6 a word hashed, 8 a byte logged (Yellow Paper, appendix G).
"""

from collections.abc import Callable

from chain.blocks import Log
from chain.crypto.keccak import keccak
from chain.machine import Halt
from chain.types import Hash
from contracts.vm.environment import address_of, warm_up
from contracts.vm.frame import Frame, Halted, padded


def mload(frame: Frame) -> None:
    stack = frame.stack
    offset = stack[-1]
    if offset + 32 > len(frame.memory):
        frame.expand(offset, 32)
    stack[-1] = int.from_bytes(frame.memory[offset : offset + 32], "big")


def mstore(frame: Frame) -> None:
    stack = frame.stack
    offset = stack.pop()
    if offset + 32 > len(frame.memory):
        frame.expand(offset, 32)
    frame.memory[offset : offset + 32] = stack.pop().to_bytes(32, "big")


def mstore8(frame: Frame) -> None:
    stack = frame.stack
    offset = stack.pop()
    frame.expand(offset, 1)
    frame.memory[offset] = stack.pop() & 0xFF


def msize(frame: Frame) -> None:
    frame.stack.append(len(frame.memory))


def mcopy(frame: Frame) -> None:
    """Copy within memory, as if through a buffer (EIP-5656)."""
    stack = frame.stack
    to, source, size = stack.pop(), stack.pop(), stack.pop()
    _charge_words(frame, 3, size)
    frame.expand(max(to, source), size)
    if size:
        frame.memory[to : to + size] = frame.memory[source : source + size]


def _charge_words(frame: Frame, price: int, size: int) -> None:
    frame.charge(price * ((size + 31) >> 5))


def _copy_in(frame: Frame, source: bytes) -> None:
    stack = frame.stack
    to, offset, size = stack.pop(), stack.pop(), stack.pop()
    _charge_words(frame, 3, size)
    frame.expand(to, size)
    if size:
        frame.memory[to : to + size] = padded(source, offset, size)


def calldatacopy(frame: Frame) -> None:
    _copy_in(frame, frame.data)


def codecopy(frame: Frame) -> None:
    _copy_in(frame, frame.code)


def extcodecopy(frame: Frame) -> None:
    """Copy another account's code; a delegation counts as its 23 bytes (EIP-7702)."""
    account = address_of(frame.stack.pop())
    warm_up(frame, account)
    _copy_in(frame, frame.state.code(account))


def returndatacopy(frame: Frame) -> None:
    """Unlike the other copies, reading past the end halts (EIP-211)."""
    stack = frame.stack
    to, offset, size = stack.pop(), stack.pop(), stack.pop()
    if offset + size > len(frame.return_data):
        raise Halted(Halt.RETURN_DATA_OUT_OF_BOUNDS)
    _charge_words(frame, 3, size)
    frame.expand(to, size)
    if size:
        frame.memory[to : to + size] = frame.return_data[offset : offset + size]


def keccak256(frame: Frame) -> None:
    stack = frame.stack
    offset, size = stack.pop(), stack.pop()
    _charge_words(frame, 6, size)
    frame.expand(offset, size)
    stack.append(int.from_bytes(keccak(bytes(frame.memory[offset : offset + size])), "big"))


def log(topics: int) -> Callable[[Frame], None]:
    """The LOG opcode with so many topics."""

    def append_log(frame: Frame) -> None:
        frame.need_write()
        stack = frame.stack
        offset, size = stack.pop(), stack.pop()
        frame.charge(8 * size)
        frame.expand(offset, size)
        words = tuple(Hash(stack.pop().to_bytes(32, "big")) for _ in range(topics))
        frame.state.logs.append(Log(frame.address, words, frame.read(offset, size)))

    return append_log
