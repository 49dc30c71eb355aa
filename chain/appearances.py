"""Which transactions have to do with an address, written with each block.

Listed are the sender, the recipient or the contract made, and all that was called, paid,
made or asked for while the transaction ran, even if that was undone. Precompiles and the
block's fee recipient are listed only as senders and recipients, since every transaction
has to do with them; before Berlin nobody else was. A row is found by
address and height; it holds the first bytes of the block's hash, which tell it from a
row that a block taken back has left behind, and the transactions' indices.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from chain import log_index
from chain.execution import Executed
from chain.storage import schema
from chain.storage.schema import height_key
from chain.storage.store import Change, Store
from chain.transition import contract_address
from chain.types import Address, Hash

_HASH_BYTES: Final = 4
_INDEX_BYTES: Final = 3
# Rows are looked for backwards in steps of this many heights, then twice as many, and so on.
_STEP: Final = 1024


def rows(executed: Executed) -> Iterator[Change]:
    """What is written for a block."""
    found: dict[Address, list[bytes]] = {}
    touched = executed.touched or ((),) * len(executed.senders)
    for index, transaction in enumerate(executed.block.transactions):
        sender = executed.senders[index]
        target = transaction.to
        if target is None:
            target = contract_address(sender, transaction.nonce)
        number = index.to_bytes(_INDEX_BYTES, "big")
        for address in {sender, target, *touched[index]}:
            found.setdefault(address, []).append(number)
    at = height_key(executed.block.header.number)
    head = executed.hash[:_HASH_BYTES]
    for address, numbers in found.items():
        yield schema.APPEARANCES, address + at, head + b"".join(numbers)


class Appearance:
    """The transactions of one block that have to do with an address."""

    __slots__ = ("_head", "height", "indices")

    def __init__(self, height: int, value: bytes) -> None:
        self.height = height
        self._head = value[:_HASH_BYTES]
        self.indices = tuple(
            int.from_bytes(value[at : at + _INDEX_BYTES], "big")
            for at in range(_HASH_BYTES, len(value), _INDEX_BYTES)
        )

    def belongs_to(self, block_hash: Hash) -> bool:
        return block_hash.startswith(self._head)


def ascending(store: Store, address: Address, where: range) -> Iterator[Appearance]:
    """The appearances in `where`, the oldest first."""
    for height, value in log_index.heights(store, schema.APPEARANCES, address, where):
        yield Appearance(height, value)


def descending(store: Store, address: Address, where: range) -> Iterator[Appearance]:
    """The appearances in `where`, the newest first."""
    stop, step = where.stop, _STEP
    while stop > where.start:
        start = max(stop - step, where.start)
        found: Sequence[Appearance] = list(ascending(store, address, range(start, stop)))
        yield from reversed(found)
        stop = start
        step = 2 * step if not found else _STEP
