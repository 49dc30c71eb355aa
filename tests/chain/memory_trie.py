"""One trie of raw 32-byte keys, updated the way the state's are: for tests of the update."""

from collections.abc import Iterator, Mapping

from chain.state import Account
from chain.trie_update import Leaf, Plan, Work, root_of
from chain.types import EMPTY_ROOT, Address, Hash

SPACE = b"s" + bytes(32)


class MemoryTrie:
    """A trie's records and leaves in dictionaries; enough of a view for `Plan`."""

    def __init__(self) -> None:
        self.root = EMPTY_ROOT
        self.values: dict[Hash, bytes] = {}
        self.records: dict[bytes, bytes] = {}

    def account(self, address: Address) -> Account | None:
        return None

    def storage(self, address: Address, slot: int) -> int:
        return 0

    def code(self, code_hash: Hash) -> bytes:
        return b""

    def node(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def leaves(self, trie: bytes, prefix: str = "") -> Iterator[tuple[Hash, bytes]]:
        for key in sorted(self.values):
            if key.hex().startswith(prefix):
                yield key, self.values[key]

    def update(self, changes: Mapping[Hash, bytes | None]) -> Work:
        """Apply changed leaves (None: gone) and keep what came out; gives the work done."""
        items: list[Leaf] = [
            (key.hex(), value, key in self.values)
            for key, value in sorted(changes.items())
            if value is not None or key in self.values
        ]
        work = Work()
        if not items:
            return work
        top = work.root(Plan(self, SPACE, work).run(self.root, items))
        work.hash()
        self.root = root_of(top)
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        for path, record in work.nodes.items():
            if record is None:
                self.records.pop(path, None)
            else:
                self.records[path] = record
        return work
