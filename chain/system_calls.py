"""What the forks' system contracts do when the protocol calls them, said without running them.

Every block calls four of them, and a block of one transaction spends more on that than on the
transaction. An account with exactly the code of its EIP does exactly this; whatever is not
said here - other code, requests in a queue - is left to the machine. Sources: EIP-4788,
EIP-2935, EIP-7002, EIP-7251.
"""

from typing import Final

from chain.forks import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from chain.history import StoredView
from chain.machine import BlockContext
from chain.state import State
from chain.system_contracts import SYSTEM_CONTRACTS
from chain.types import Address
from chain.views import Overlay

_RING: Final = 8191  # entries that both rings of roots and hashes have
_QUEUES: Final = (WITHDRAWAL_REQUESTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS)
_QUEUE_SLOTS: Final = range(4)  # excess, count of this block, head, tail
# Views whose accounts' storage roots tell of all slots: not so on a forked ledger, or overridden.
_WITH_ROOTS: Final = (StoredView, Overlay)


def known_output(
    state: State, address: Address, code: bytes, data: bytes, block: BlockContext
) -> bytes | None:
    """The output of a system call with 32 bytes of data or none, whose effect `state` then has.

    None where it is not known; then nothing has changed.
    """
    if SYSTEM_CONTRACTS.get(address) != code:
        return None
    if address in _QUEUES:
        # An empty queue, and no excess that could fall, stays as it is.
        if isinstance(state.view, _WITH_ROOTS) and not state.may_have_storage(address):
            return b""
        return None if any(state.storage(address, slot) for slot in _QUEUE_SLOTS) else b""
    word = int.from_bytes(data, "big")
    if address == BEACON_ROOTS_ADDRESS:
        at = block.timestamp % _RING
        state.set_storage(address, at, block.timestamp)
        state.set_storage(address, at + _RING, word)
        return b""
    assert address == HISTORY_STORAGE_ADDRESS
    state.set_storage(address, (block.number - 1) % _RING, word)
    return b""
