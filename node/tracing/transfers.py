"""Value moved between accounts, told as if ether were a token that logs its transfers."""

from typing import Final

from chain.blocks import Log
from chain.crypto.keccak import keccak
from chain.machine import Halt
from chain.state import State
from chain.types import Address, Hash

# The address that stands for ether (ERC-7528).
ETHER: Final = Address(b"\xee" * 20)
_TRANSFER: Final = keccak(b"Transfer(address,address,uint256)")
_STAYS: Final = frozenset({"CALLCODE", "DELEGATECALL"})  # these move no value


def _padded(address: Address) -> Hash:
    return Hash(address.rjust(32, b"\0"))


class TransferTracer:
    """Collects the transfers of one transaction that were not undone.

    Each is kept with the number of logs before it: a revert shortens the list of logs
    and drops the frame's transfers alike, so the two can be merged at the end.
    """

    wants_steps = False

    def __init__(self, state: State) -> None:
        self._state = state
        self._transfers: list[tuple[int, Log]] = []
        self._marks: list[int] = []  # of the open frames

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        """Not asked for."""

    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None:
        self._marks.append(len(self._transfers))
        if value and kind not in _STAYS:
            topics = (_TRANSFER, _padded(caller), _padded(address))
            log = Log(address=ETHER, topics=topics, data=value.to_bytes(32, "big"))
            self._transfers.append((len(self._state.logs), log))

    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None:
        mark = self._marks.pop()
        if halt is not None:
            del self._transfers[mark:]

    def merged(self, logs: tuple[Log, ...]) -> list[Log]:
        """The transaction's logs with the transfers among them, in the order of events."""
        merged = list(logs)
        for offset, (position, log) in enumerate(self._transfers):
            merged.insert(position + offset, log)
        return merged
