"""Trie nodes as bytes: leaves made, branches kept as records and edited in place.

A record is what is stored of a branch, under the path where it hangs in its trie: the
masks of its children that are leaves and that are branches (2 bytes each), the length
of the extension above it and that extension's hex digits, then the branch's sixteen
child references as RLP. So the references of a record are hashed as they stand.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from chain.trie import EMPTY, extension_node, reference

RECORD_HEAD: Final = Struct(">HHB")
NO_CHILDREN: Final = EMPTY * 16

# RLP prefixes by payload size.
_BYTE: Final = [bytes((size,)) for size in range(256)]
_STRING: Final = [bytes((0x80 + size,)) for size in range(56)]
_LIST: Final = (
    [bytes((0xC0 + size,)) for size in range(56)]
    + [b"\xf8" + _BYTE[size] for size in range(56, 256)]
    + [b"\xf9" + size.to_bytes(2, "big") for size in range(256, 530)]
)


class Branch:
    """A branch with the extension above it, taken from its record or made new.

    `body` holds the child references. As long as all of them are hashes or empty
    (`plain`), a reference's place follows from how many children stand before it.
    """

    __slots__ = (
        "body",
        "branches",
        "extension",
        "filled",
        "index",
        "leaves",
        "parent",
        "plain",
        "slot",
        "trie",
    )

    def __init__(
        self,
        trie: bytes,
        slot: str,
        extension: str,
        body: bytes = NO_CHILDREN,
        leaves: int = 0,
        branches: int = 0,
    ) -> None:
        self.trie = trie  # the key space of its records
        self.slot = slot  # the path where it hangs
        self.extension = extension  # the nibbles between there and the branch itself
        self.body = bytearray(body)
        self.leaves = leaves  # mask of the children that are leaves
        self.branches = branches  # mask of those that are branches
        filled = leaves | branches
        self.filled = filled  # mask of the references in `body` that are not empty
        self.plain = len(body) == 16 + 32 * filled.bit_count()
        self.parent: Branch | None = None
        self.index = 0  # its place in its parent

    def bounds(self, index: int) -> tuple[int, int]:
        """Where a child's reference begins and ends in `body`."""
        if self.plain:
            bit = 1 << index
            start = index + 32 * (self.filled & (bit - 1)).bit_count()
            return start, start + (33 if self.filled & bit else 1)
        end = 0
        for _ in range(index + 1):
            start = end
            first = self.body[start]
            end = start + (1 if first == 0x80 else 33 if first == 0xA0 else first - 191)
        return start, end

    def reference(self, index: int) -> bytes:
        """A child's reference: a hash's RLP, an embedded node, or `EMPTY`."""
        start, end = self.bounds(index)
        return bytes(self.body[start:end])

    def put(self, index: int, node: bytes, node_hash: bytes) -> None:
        """Refer to a child by its hash, or hold all of it when it is shorter than that."""
        bit = 1 << index
        if len(node) > 31 and self.plain:
            start = index + 32 * (self.filled & (bit - 1)).bit_count()
            if self.filled & bit:
                self.body[start + 1 : start + 33] = node_hash
            else:
                self.body[start : start + 1] = b"\xa0" + node_hash
                self.filled |= bit
            return
        start, end = self.bounds(index)
        self.body[start:end] = b"\xa0" + node_hash if len(node) > 31 else node
        self.filled |= bit
        self.plain = len(self.body) == 16 + 32 * self.filled.bit_count()

    def clear(self, index: int) -> None:
        """Refer to no child."""
        start, end = self.bounds(index)
        self.body[start:end] = EMPTY
        self.filled &= ~(1 << index)
        self.plain = len(self.body) == 16 + 32 * self.filled.bit_count()

    def node(self) -> bytes:
        """The RLP of the branch itself."""
        body = self.body
        return b"".join((_LIST[len(body) + 1], body, EMPTY))

    def record(self) -> bytes:
        """What is stored."""
        extension = self.extension
        head = RECORD_HEAD.pack(self.leaves, self.branches, len(extension))
        if extension:
            return b"".join((head, extension.encode(), self.body))
        return head + self.body

    def top(self) -> bytes:
        """The RLP of the node that hangs in the slot: the extension, or the branch itself."""
        node = self.node()
        return extension_node(self.extension, reference(node)) if self.extension else node


def load(trie: bytes, slot: str, record: bytes) -> Branch:
    """The branch in a record."""
    leaves, branches, size = RECORD_HEAD.unpack_from(record)
    if size:
        return Branch(
            trie, slot, record[5 : 5 + size].decode(), record[5 + size :], leaves, branches
        )
    return Branch(trie, slot, "", record[5:], leaves, branches)


def encode_leaves(leaves: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """The RLP of leaves, each given as the rest of its key and its value of 1 to 255 bytes."""
    encoded = []
    for suffix, value in leaves:
        if len(suffix) & 1:
            path = bytes.fromhex("3" + suffix)
        else:
            path = bytes.fromhex("20" + suffix)
        if len(path) > 1:
            path = _STRING[len(path)] + path
        size = len(value)
        if size > 55:
            body = path + b"\xb8" + _BYTE[size] + value
        elif size > 1 or value[0] > 127:
            body = path + _STRING[size] + value
        else:
            body = path + value
        encoded.append(_LIST[len(body)] + body)
    return encoded
