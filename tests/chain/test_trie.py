"""Roots by the definition, and what proofs prove."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import codec
from chain.crypto.keccak import keccak
from chain.errors import Reason, Rejected
from chain.trie import (
    extension_node,
    hex_prefix,
    leaf_node,
    ordered_root,
    reference,
    trie_root,
    verify_proof,
)
from chain.types import EMPTY_ROOT, Hash


@pytest.mark.parametrize(
    ("nibbles", "leaf", "expected"),
    [("12345", False, "112345"), ("012345", False, "00012345"), ("f1cb8", True, "3f1cb8"),
     ("0f1cb8", True, "200f1cb8"), ("", True, "20")],
)  # fmt: skip
def test_paths_are_packed_as_the_yellow_paper_has_it(
    nibbles: str, leaf: bool, expected: str
) -> None:
    assert hex_prefix(nibbles, leaf=leaf).hex() == expected


def test_an_empty_value_is_no_item() -> None:
    assert trie_root({b"a": b"", b"b": b"1"}) == trie_root({b"b": b"1"})
    assert trie_root({b"a": b""}) == EMPTY_ROOT


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=40)
    | st.integers(100, 300).map(lambda count: [bytes((i % 251, 1)) for i in range(count)])
)
def test_an_ordered_root_is_the_root_over_encoded_indexes(values: list[bytes]) -> None:
    by_index = {codec.encode_int(i): value for i, value in enumerate(values)}
    assert ordered_root(values) == trie_root(by_index)


def test_an_ordered_root_of_thousands_is_the_root_over_encoded_indexes() -> None:
    values = [keccak(i.to_bytes(4, "big")) * (i % 5 + 1) for i in range(5000)]
    by_index = {codec.encode_int(i): value for i, value in enumerate(values)}
    assert ordered_root(values) == trie_root(by_index)


def _proof(items: dict[bytes, bytes], key: bytes) -> list[bytes]:
    """A proof made by taking the trie apart, independent of `chain.proofs`."""
    nodes: list[bytes] = []
    pairs = sorted((k.hex(), v) for k, v in items.items())
    _collect(pairs, 0, key.hex(), nodes)
    return [node for at, node in enumerate(nodes) if at == 0 or len(node) > 31]


def _collect(pairs: list[tuple[str, bytes]], depth: int, key: str, nodes: list[bytes]) -> bytes:
    """The node over `pairs`; those on the way to `key` go to the front of `nodes`."""
    mine = key.startswith(pairs[0][0][:depth])
    if len(pairs) == 1:
        node = leaf_node(pairs[0][0][depth:], pairs[0][1])
    else:
        first, last = pairs[0][0], pairs[-1][0]
        shared = depth
        while first[shared] == last[shared]:
            shared += 1
        if shared > depth:
            node = extension_node(
                first[depth:shared], reference(_collect(pairs, shared, key, nodes))
            )
        else:
            children = []
            for digit in "0123456789abcdef":
                group = [pair for pair in pairs if pair[0][depth] == digit]
                child = _collect(group, depth + 1, key, nodes) if group else b""
                children.append(reference(child) if child else b"\x80")
            node = codec.encode_list([*children, b"\x80"])
    if mine:
        nodes.insert(0, node)
    return node


_KEYS = st.integers(0, 40).map(lambda i: i.to_bytes(3, "big") + bytes(2))


@given(st.dictionaries(_KEYS, st.binary(min_size=1, max_size=40), min_size=1), _KEYS)
def test_a_proof_shows_the_value_or_its_absence(items: dict[bytes, bytes], key: bytes) -> None:
    root = trie_root(items)
    assert verify_proof(root, key, _proof(items, key)) == items.get(key)


@given(
    st.dictionaries(_KEYS, st.binary(min_size=1, max_size=40), min_size=1),
    _KEYS,
    st.data(),
)
def test_a_changed_proof_proves_nothing(
    items: dict[bytes, bytes], key: bytes, data: st.DataObject
) -> None:
    """Whatever bit of a proof is flipped, or node dropped or added, it is refused."""
    root = trie_root(items)
    proof = _proof(items, key)
    at = data.draw(st.integers(0, len(proof) - 1))
    node = bytearray(proof[at])
    bit = data.draw(st.integers(0, len(node) * 8 - 1))
    node[bit // 8] ^= 1 << bit % 8
    for bad in ([*proof[:at], bytes(node), *proof[at + 1 :]], proof[:-1], [*proof, b"\xc0"]):
        with pytest.raises(Rejected) as refused:
            verify_proof(root, key, bad)
        assert refused.value.reason is Reason.BAD_PROOF


def test_the_empty_trie_proves_absence_with_no_nodes() -> None:
    assert verify_proof(EMPTY_ROOT, b"any", []) is None
    with pytest.raises(Rejected) as refused:
        verify_proof(EMPTY_ROOT, b"any", [b"\x80"])
    assert refused.value.reason is Reason.BAD_PROOF


@pytest.mark.parametrize(
    "node",
    [
        b"\xc0",
        codec.encode([b"\x20"]),
        codec.encode([b"\x40\x00", b"x" * 40]),
        codec.encode([b"\x01", b"x" * 40]),
        codec.encode([b"", b"x" * 40]),
        codec.encode([[], b"x" * 40]),
        codec.encode([b"\x00", b""]),
        codec.encode([b"\x20", []]),
        b"\x83abc",
    ],
)
def test_what_is_no_trie_node_proves_nothing(node: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        verify_proof(Hash(keccak(node)), b"", [node])
    assert refused.value.reason is Reason.BAD_PROOF


def test_a_value_in_a_branch_is_proved() -> None:
    """Keys of different length: one ends where another branches."""
    items = {b"do": b"verb", b"dog": b"puppy", b"doge": b"coin"}
    root = trie_root(items)
    branch = [b""] * 17
    branch[16] = b"coin"
    below = leaf_node("5", b"coin")
    dog = codec.encode_list([*[b"\x80"] * 6, below, *[b"\x80"] * 9, codec.encode_bytes(b"puppy")])
    inner = extension_node("7", reference(dog))
    do = codec.encode_list([*[b"\x80"] * 6, reference(inner), *[b"\x80"] * 9,
                            codec.encode_bytes(b"verb")])  # fmt: skip
    top = extension_node("646f", reference(do))
    assert keccak(top) == root
    listed = [node for node in (top, do, inner, dog) if node is top or len(node) > 31]
    assert verify_proof(root, b"do", listed[:2]) == b"verb"
    assert verify_proof(root, b"dog", listed) == b"puppy"
    assert verify_proof(root, b"doge", listed) == b"coin"
    assert verify_proof(root, b"dot", listed[:2]) is None
