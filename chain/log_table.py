"""The logs of a block, found by address and topics without looking at each of them.

`chain.log_index` finds blocks; here is what makes the second question about the same block
cheap. Tables are made when a block is first asked about, and the last ones are kept.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from threading import Lock
from typing import Final, NamedTuple

from chain.blocks import Block, Header, Log, Receipt
from chain.types import Address, Hash

_ADDRESS: Final = -1  # the place of a log's address; topics have theirs, 0 to 3


class PlacedLog(NamedTuple):
    """A log with its transaction's hash and index, and its own index in the block."""

    log: Log
    transaction_hash: Hash
    transaction_index: int
    log_index: int


class LogTable:
    """One block's logs. Does not change."""

    def __init__(self, block: Block, block_hash: Hash, receipts: Sequence[Receipt]) -> None:
        self.header: Header = block.header
        self.block_hash = block_hash
        self._logs: list[PlacedLog] = []
        self._with: dict[tuple[int, bytes], list[int]] = {}
        places = self._with
        for at, receipt in enumerate(receipts):
            for log in receipt.logs:
                number = len(self._logs)
                self._logs.append(PlacedLog(log, block.transactions[at].hash, at, number))
                places.setdefault((_ADDRESS, log.address), []).append(number)
                for key in enumerate(log.topics):
                    places.setdefault(key, []).append(number)

    def __len__(self) -> int:
        return len(self._logs)

    def find(
        self, addresses: Collection[Address], topics: Sequence[Collection[Hash]]
    ) -> Iterator[PlacedLog]:
        """The logs of one of the addresses with one of the topics in each place, in order.

        No addresses: any; no topics in a place: any.
        """
        groups = [[(_ADDRESS, bytes(each)) for each in addresses]] if addresses else []
        groups += ([(at, bytes(each)) for each in some] for at, some in enumerate(topics) if some)
        if not groups:
            numbers: Iterable[int] = range(len(self._logs))
        else:
            # One group is looked up, the one that fewest have; of those the rest is compared.
            sizes = [sum(len(self._with.get(key, ())) for key in group) for group in groups]
            fewest = groups[sizes.index(min(sizes))]
            lists = [self._with[key] for key in fewest if key in self._with]
            numbers = lists[0] if len(lists) == 1 else sorted({n for each in lists for n in each})
        for number in numbers:
            found = self._logs[number]
            if matches(addresses, topics, found.log):
                yield found


def matches(addresses: Collection[Address], topics: Sequence[Collection[Hash]], log: Log) -> bool:
    """Whether a log is one of those wanted: address and topics, place by place."""
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(
        not alternatives or topic in alternatives
        for alternatives, topic in zip(topics, log.topics, strict=False)
    )


class LogTables:
    """The tables asked for last, with at most so many logs in all. For any thread."""

    def __init__(self, logs_max: int) -> None:
        self._logs_max = logs_max
        self._tables: OrderedDict[Hash, LogTable] = OrderedDict()
        self._logs = 0
        self._lock = Lock()

    def get(self, block_hash: Hash) -> LogTable | None:
        with self._lock:
            found = self._tables.get(block_hash)
            if found is not None:
                self._tables.move_to_end(block_hash)
            return found

    def put(self, table: LogTable) -> None:
        """Keep a table, and let go of those that nobody asked for the longest time."""
        with self._lock:
            if table.block_hash in self._tables:
                return
            self._tables[table.block_hash] = table
            self._logs += len(table) + 1
            while self._logs > self._logs_max and len(self._tables) > 1:
                _, old = self._tables.popitem(last=False)
                self._logs -= len(old) + 1

    def __len__(self) -> int:
        return len(self._tables)
