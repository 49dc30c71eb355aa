"""Stored tries after updates are the tries of the definition, record by record."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chain.trie_update as trie_update
from chain.branches import Branch, load
from chain.crypto.keccak import keccak, keccak_many
from chain.errors import Fault
from chain.trie import trie_root
from chain.types import EMPTY_ROOT, Hash
from tests.chain.memory_trie import SPACE, MemoryTrie

_VALUES = st.none() | st.sampled_from([b"\x01", b"\x81\x80", b"\xa0" + b"\x07" * 32, bytes(80)])


@st.composite
def _keys(draw: st.DrawFn) -> list[Hash]:
    """Keys that share long prefixes with one another, so that nodes embed and extend."""
    keys = [draw(st.binary(min_size=32, max_size=32)).hex()]
    for _ in range(draw(st.integers(0, 11))):
        shared = draw(st.sampled_from([0, 0, 1, 2, 5, 40, 60, 61, 62, 63]))
        other = draw(st.sampled_from(keys))[:shared]
        keys.append(other + draw(st.binary(min_size=32, max_size=32)).hex()[shared:])
    return [Hash(bytes.fromhex(key)) for key in keys]


@settings(max_examples=250, deadline=None)
@given(keys=_keys(), data=st.data())
def test_any_updates_give_the_root_and_the_records_of_the_same_leaves(
    keys: list[Hash], data: st.DataObject
) -> None:
    """Inserts, changes and deletions in blocks; the records are those of building anew."""
    trie = MemoryTrie()
    blocks = st.dictionaries(st.sampled_from(keys), _VALUES, max_size=len(keys))
    for changes in data.draw(st.lists(blocks, max_size=6)):
        trie.update(changes)
        assert trie.root == trie_root(trie.values)
        fresh = MemoryTrie()
        fresh.update(dict(trie.values))
        assert fresh.records == trie.records


def _spread(count: int) -> dict[Hash, bytes]:
    return {key: bytes(40) for key in keccak_many([i.to_bytes(4, "big") for i in range(count)])}


def test_each_dirty_node_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand leaves one changes: as many hashes as nodes from it to the root."""
    trie = MemoryTrie()
    trie.update(_spread(1000))
    hashed: list[bytes] = []

    def counted(messages: list[bytes]) -> list[Hash]:
        hashed.extend(messages)
        return [keccak(message) for message in messages]

    monkeypatch.setattr(trie_update, "keccak_many", counted)
    key = next(iter(trie.values))
    work = trie.update({key: bytes(41)})
    assert len(hashed) == len(set(hashed)) == len(work.nodes) + 1
    assert 3 <= len(hashed) <= 5


def test_deleting_everything_leaves_nothing() -> None:
    trie = MemoryTrie()
    leaves = _spread(300)
    trie.update(leaves)
    trie.update(dict.fromkeys(leaves))
    assert trie.root == EMPTY_ROOT
    assert trie.records == {}


def test_a_missing_record_is_a_fault() -> None:
    trie = MemoryTrie()
    trie.update(_spread(300))
    for path in list(trie.records):
        if path != SPACE:
            del trie.records[path]
    with pytest.raises(Fault, match="record missing"):
        trie.update(dict.fromkeys(list(trie.values)[:50], b"new"))


def test_a_missing_leaf_is_a_fault() -> None:
    trie = MemoryTrie()
    one, two = keccak(b"1"), keccak(b"2")
    trie.update({one: b"a" * 40, two: b"b" * 40})
    del trie.values[one]
    with pytest.raises(Fault, match="leaf missing"):
        trie.update({two: None})


_REFERENCES = st.none() | st.binary(min_size=32, max_size=60) | st.binary(max_size=29)


@given(st.lists(st.tuples(st.integers(0, 15), _REFERENCES), max_size=30))
def test_a_branch_edited_in_place_has_the_references_it_was_given(
    edits: list[tuple[int, bytes | None]],
) -> None:
    """Hashes, embedded nodes and empty places in any order; its record is read back."""
    model: dict[int, bytes] = {}
    branch: Any = Branch(SPACE, "12", "abc")
    for index, content in edits:
        if content is None:
            branch.clear(index)
            model.pop(index, None)
        else:
            # A node is a list; as long as it is short, its RLP is one byte longer.
            node = bytes((0xC0 + len(content),)) + content if len(content) < 31 else content
            branch.put(index, node, keccak(node))
            model[index] = node if len(node) < 32 else b"\xa0" + keccak(node)
    branch.leaves = sum(1 << index for index in model)
    again = load(SPACE, "12", branch.record())
    for index in range(16):
        assert branch.reference(index) == again.reference(index) == model.get(index, b"\x80")
    assert again.extension == "abc"
    assert again.node() == branch.node()
