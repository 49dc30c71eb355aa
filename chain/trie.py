"""The Merkle-Patricia trie: what a root means, and what a proof proves.

This is the definition, in memory and at once; `chain.commitment` computes the same
roots from stored records, touching only what a block changed. Keys are worked on
as strings of hex digits, one digit a nibble. Source: Yellow Paper, appendix D.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from os.path import commonprefix
from typing import Final

from chain import codec
from chain.crypto.keccak import keccak, keccak_many
from chain.errors import Reason, Rejected
from chain.types import EMPTY_ROOT, Hash

NIBBLES: Final = {digit: value for value, digit in enumerate("0123456789abcdef")}
EMPTY: Final = b"\x80"  # the reference to no node: RLP of the empty string
_FIRST: Final = "80"  # the key of an ordered trie's first value: RLP of 0


def hex_prefix(nibbles: str, *, leaf: bool) -> bytes:
    """The path piece of a leaf or an extension as bytes (Yellow Paper, appendix C)."""
    if len(nibbles) & 1:
        return bytes.fromhex(("3" if leaf else "1") + nibbles)
    return bytes.fromhex(("20" if leaf else "00") + nibbles)


def leaf_node(nibbles: str, value: bytes) -> bytes:
    """The RLP of a leaf with the rest of its key and its value."""
    prefix = codec.encode_bytes(hex_prefix(nibbles, leaf=True))
    return codec.encode_list((prefix, codec.encode_bytes(value)))


def extension_node(nibbles: str, child: bytes) -> bytes:
    """The RLP of an extension over a child reference."""
    prefix = hex_prefix(nibbles, leaf=False)
    return codec.encode_list((codec.encode_bytes(prefix), child))


def reference(node: bytes) -> bytes:
    """How a parent names a node: its RLP when shorter than 32 bytes, else its hash."""
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def trie_root(items: Mapping[bytes, bytes]) -> Hash:
    """The root of the trie that holds `items`: any keys; an empty value is no item."""
    pairs = sorted((key.hex(), value) for key, value in items.items() if value)
    return keccak(_node(pairs, 0)) if pairs else EMPTY_ROOT


def _node(pairs: Sequence[tuple[str, bytes]], depth: int) -> bytes:
    """The RLP of the node over sorted pairs that share their first `depth` nibbles."""
    first, value = pairs[0]
    if len(pairs) == 1:
        return leaf_node(first[depth:], value)
    shared = len(commonprefix((first, pairs[-1][0])))
    if shared > depth:
        return extension_node(first[depth:shared], reference(_node(pairs, shared)))
    children = [EMPTY] * 16
    own = EMPTY
    if len(first) == depth:
        own = codec.encode_bytes(value)
        pairs = pairs[1:]
    for digit, group in groupby(pairs, key=lambda pair: pair[0][depth]):
        children[NIBBLES[digit]] = reference(_node(list(group), depth + 1))
    return codec.encode_list((*children, own))


def ordered_root(values: Sequence[bytes]) -> Hash:
    """The root over values under the RLP of their index (transactions, receipts, withdrawals).

    Each value is at least one byte. Equal to `trie_root` of the same items, with the
    hashing done level by level in batches.
    """
    if not values:
        return EMPTY_ROOT
    if len(values) == 1:
        return keccak(leaf_node(_FIRST, values[0]))
    if len(values) < 16:
        return trie_root({codec.encode_int(i): value for i, value in enumerate(values)})
    pairs = sorted((codec.encode_int(i).hex(), value) for i, value in enumerate(values))
    levels: list[list[tuple[list[bytes], str, list[bytes], int]]] = []
    leaves: list[tuple[str, bytes, list[bytes], int]] = []
    top = [EMPTY]
    _plan(pairs, 0, top, 0, levels, leaves)
    _fill([(leaf_node(*leaf[:2]), leaf[2], leaf[3]) for leaf in leaves])
    for level in reversed(levels):
        _fill(
            [(codec.encode_list((*kids, EMPTY)), place, index) for kids, _, place, index in level]
        )
        for _, shared, parent, index in level:
            if shared:
                parent[index] = reference(extension_node(shared, parent[index]))
    return Hash(top[0][1:])  # sixteen leaves or more never fit into 31 bytes


def _plan(
    pairs: Sequence[tuple[str, bytes]],
    depth: int,
    parent: list[bytes],
    index: int,
    levels: list[list[tuple[list[bytes], str, list[bytes], int]]],
    leaves: list[tuple[str, bytes, list[bytes], int]],
) -> None:
    """Lay out the branches over prefix-free sorted pairs by the depth of their slot."""
    if len(pairs) == 1:
        leaves.append((pairs[0][0][depth:], pairs[0][1], parent, index))
        return
    first = pairs[0][0]
    shared = len(commonprefix((first, pairs[-1][0])))
    while len(levels) <= shared:
        levels.append([])
    kids = [EMPTY] * 16
    levels[shared].append((kids, first[depth:shared], parent, index))
    for digit, group in groupby(pairs, key=lambda pair: pair[0][shared]):
        _plan(list(group), shared + 1, kids, NIBBLES[digit], levels, leaves)


def _fill(nodes: Sequence[tuple[bytes, list[bytes], int]]) -> None:
    """Put the reference of each node into its place in its parent."""
    hashes = keccak_many([node for node, _, _ in nodes])
    for (node, parent, index), node_hash in zip(nodes, hashes, strict=True):
        parent[index] = node if len(node) < 32 else b"\xa0" + node_hash


def verify_proof(root: Hash, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value that `proof` shows under `key`, or None when it shows that there is none.

    `proof` is the nodes from the root down, without those embedded in their parent;
    it is empty for the empty trie. Raises `Rejected` (BAD_PROOF, or BAD_RLP for a node
    that is no RLP) when it proves nothing.
    """
    nodes = iter(proof)
    rest = key.hex()
    child: codec.Item = b"" if root == EMPTY_ROOT else root
    while True:
        if child == b"":
            return _end(nodes, None)
        node = _open(child, nodes) if isinstance(child, bytes) else child
        if len(node) == 17:
            if not rest:
                return _end(nodes, _value(node[16]) or None)
            child = node[NIBBLES[rest[0]]]
            rest = rest[1:]
            continue
        nibbles, leaf = _path(node)
        if leaf:
            return _end(nodes, _value(node[1]) if nibbles == rest else None)
        if not rest.startswith(nibbles):
            return _end(nodes, None)
        rest = rest[len(nibbles) :]
        child = node[1]
        if child == b"":
            raise Rejected(Reason.BAD_PROOF, "an extension over nothing")


def _open(expected: bytes, nodes: Iterator[bytes]) -> Sequence[codec.Item]:
    """The next node of a proof, which must hash to what its parent calls it."""
    encoded = next(nodes, None)
    if encoded is None or keccak(encoded) != expected:
        raise Rejected(Reason.BAD_PROOF, "a node is missing or does not match its reference")
    node = codec.decode(encoded)
    if isinstance(node, bytes):
        raise Rejected(Reason.BAD_PROOF, "a node is not a list")
    return node


def _path(node: Sequence[codec.Item]) -> tuple[str, bool]:
    """The nibbles of a leaf or an extension, and whether it is a leaf."""
    prefix = node[0] if len(node) == 2 else b""
    if not isinstance(prefix, bytes) or not prefix or prefix[0] >= 0x40:
        raise Rejected(Reason.BAD_PROOF, "neither branch, extension nor leaf")
    odd = prefix[0] & 0x10
    if not odd and prefix[0] & 0x0F:
        raise Rejected(Reason.BAD_PROOF, "bad path prefix")
    return prefix.hex()[1 if odd else 2 :], prefix[0] >= 0x20


def _value(item: codec.Item) -> bytes:
    if not isinstance(item, bytes):
        raise Rejected(Reason.BAD_PROOF, "a value is not a string")
    return item


def _end(nodes: Iterator[bytes], value: bytes | None) -> bytes | None:
    if next(nodes, None) is not None:
        raise Rejected(Reason.BAD_PROOF, "nodes left over")
    return value
