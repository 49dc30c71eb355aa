"""Memory, copying, hashing and logging.

Dynamic prices: 3 a word copied, 6 a word hashed, 8 a byte logged (Yellow Paper, appendix G).
"""

from chain.blocks import Log
from chain.crypto.keccak import keccak
from chain.machine import Halt
from chain.types import Hash
from contracts.vm.environment import address_of, warm_up
from contracts.vm.frame import Frame, Halted, padded


def mload(frame: Frame, offset: int) -> int:
    if offset + 32 > len(frame.memory):
        frame.expand(offset, 32)
    return int.from_bytes(frame.memory[offset : offset + 32], "big")


def mstore(frame: Frame, offset: int, word: int) -> None:
    if offset + 32 > len(frame.memory):
        frame.expand(offset, 32)
    frame.memory[offset : offset + 32] = word.to_bytes(32, "big")


def mstore8(frame: Frame, offset: int, word: int) -> None:
    frame.expand(offset, 1)
    frame.memory[offset] = word & 0xFF


def msize(frame: Frame) -> int:
    return len(frame.memory)


def mcopy(frame: Frame, to: int, source: int, size: int) -> None:
    """Copy within memory, as if through a buffer (EIP-5656)."""
    _charge_words(frame, 3, size)
    frame.expand(max(to, source), size)
    if size:
        frame.memory[to : to + size] = frame.memory[source : source + size]


def _charge_words(frame: Frame, price: int, size: int) -> None:
    frame.charge(price * ((size + 31) >> 5))


def _copy_in(frame: Frame, data: bytes, to: int, offset: int, size: int) -> None:
    _charge_words(frame, 3, size)
    frame.expand(to, size)
    if size:
        frame.memory[to : to + size] = padded(data, offset, size)


def calldatacopy(frame: Frame, to: int, offset: int, size: int) -> None:
    _copy_in(frame, frame.data, to, offset, size)


def codecopy(frame: Frame, to: int, offset: int, size: int) -> None:
    _copy_in(frame, frame.code, to, offset, size)


def extcodecopy(frame: Frame, word: int, to: int, offset: int, size: int) -> None:
    """Copy another account's code; a delegation counts as its 23 bytes (EIP-7702)."""
    account = address_of(word)
    _charge_words(frame, 3, size)
    frame.expand(to, size)
    warm_up(frame, account)
    if size:
        frame.memory[to : to + size] = padded(frame.state.code(account), offset, size)


def returndatacopy(frame: Frame, to: int, offset: int, size: int) -> None:
    """Unlike the other copies, reading past the end halts (EIP-211)."""
    if offset + size > len(frame.return_data):
        raise Halted(Halt.RETURN_DATA_OUT_OF_BOUNDS)
    _copy_in(frame, frame.return_data, to, offset, size)


def keccak256(frame: Frame, offset: int, size: int) -> int:
    _charge_words(frame, 6, size)
    frame.expand(offset, size)
    return int.from_bytes(keccak(bytes(frame.memory[offset : offset + size])), "big")


def log(frame: Frame, offset: int, size: int, *topics: int) -> None:
    frame.need_write()
    frame.charge(8 * size)
    frame.expand(offset, size)
    words = tuple(Hash(topic.to_bytes(32, "big")) for topic in topics)
    frame.state.logs.append(Log(frame.address, words, frame.read(offset, size)))
