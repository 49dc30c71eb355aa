"""Tries that only grow, in native code: what the definition makes of them, or nothing."""

import os
import random
import subprocess
import sys
from typing import Any

import pytest

from chain.crypto import batch
from chain.errors import Fault
from chain.trie import trie_root
from chain.trie_growth import grow
from chain.trie_update import Leaf
from chain.types import EMPTY_ROOT, Hash
from tests.chain.memory_trie import SPACE, MemoryTrie

pytest.importorskip("llvmlite")


@pytest.fixture(scope="module", params=[1, 4, 8])
def kernels(request: pytest.FixtureRequest) -> batch.Kernels:
    return batch.compile_kernels(request.param)


def _items(trie: MemoryTrie, changes: dict[Hash, bytes]) -> list[Leaf]:
    return [(key.hex(), value, key in trie.values) for key, value in sorted(changes.items())]


def _keys(source: random.Random, count: int, shared: list[int]) -> list[Hash]:
    """Keys of which some share so many bytes with others."""
    keys: list[Hash] = []
    for _ in range(count):
        key = source.randbytes(32)
        if keys and shared and source.random() < 0.4:
            size = source.choice(shared)
            key = source.choice(keys)[:size] + key[size:]
        keys.append(Hash(key))
    return keys


@pytest.mark.parametrize("count", [1, 2, 3, 12, 80, 700])
@pytest.mark.parametrize("shared", [[], [1, 2, 3], [5, 19, 20, 21, 31]])
def test_roots_and_records_are_those_of_the_definition(
    kernels: batch.Kernels, count: int, shared: list[int]
) -> None:
    """Leaves that change and come, with extensions long and short; some are left to it."""
    source = random.Random(count)
    grown = 0
    for _ in range(4):
        trie = MemoryTrie()
        keys = _keys(source, count, shared)
        for _ in range(5):
            some = source.sample(keys, source.randint(1, count))
            changes = {key: source.randbytes(source.randint(33, 110)) for key in some}
            found = grow(trie, [(SPACE, trie.root, _items(trie, changes))], kernels)
            work = trie.update(changes)
            assert trie.root == trie_root({bytes(key): value for key, value in trie.values.items()})
            if found is not None:
                grown += 1
                assert found == ([trie.root], work.nodes)
    assert grown or shared  # where leaves come to many, some extension splits


def test_several_tries_are_hashed_at_once(kernels: batch.Kernels) -> None:
    """One is new, one has a single leaf, one has many; each has a root of its own."""
    source = random.Random(5)
    tries = []
    expected: list[Hash] = []
    records: dict[bytes, bytes | None] = {}

    class Views:
        """Each trie under a key space of its own."""

        def node(self, key: bytes) -> bytes | None:
            return held[key[:33]].records.get(SPACE + key[33:])

        def leaves(self, trie: bytes, prefix: str = "") -> Any:
            return held[trie].leaves(SPACE, prefix)

    held: dict[bytes, MemoryTrie] = {}
    for number, before in enumerate([0, 1, 400]):
        space = b"s" + bytes(31) + bytes((number,))
        trie = held[space] = MemoryTrie()
        trie.update({Hash(source.randbytes(32)): bytes(40) for _ in range(before)})
        changes = {Hash(source.randbytes(32)): bytes(41) for _ in range(9)}
        tries.append((space, trie.root, _items(trie, changes)))
        copy = MemoryTrie()
        copy.root, copy.values, copy.records = trie.root, {**trie.values}, {**trie.records}
        work = copy.update(changes)
        expected.append(copy.root)
        records |= {space + key[33:]: record for key, record in work.nodes.items()}
    assert grow(Views(), tries, kernels) == (expected, records)  # type: ignore[arg-type]


def test_embedded_nodes_and_split_extensions_are_left_to_the_definition(
    kernels: batch.Kernels,
) -> None:
    near = [Hash(bytes(31) + bytes((last,))) for last in range(3)]
    short = dict.fromkeys(near, b"\x01")  # nodes of a few bytes, deep down
    trie = MemoryTrie()
    assert grow(trie, [(SPACE, EMPTY_ROOT, _items(trie, short))], kernels) is None
    long = {Hash(bytes(2) + bytes((last,)) * 30): bytes(40) for last in (1, 2)}
    trie.update(long)  # below an extension of four nibbles
    beside = {Hash(b"\x00\x0f" + bytes(30)): bytes(40)}
    assert grow(trie, [(SPACE, trie.root, _items(trie, beside))], kernels) is None
    below = {Hash(bytes(2) + b"\x03" * 30): bytes(40)}
    assert grow(trie, [(SPACE, trie.root, _items(trie, below))], kernels) is not None


def test_embedded_nodes_that_are_there_already_are_left_to_the_definition(
    kernels: batch.Kernels,
) -> None:
    near = [Hash(bytes(31) + bytes((last,))) for last in range(3)]
    trie = MemoryTrie()
    trie.update(dict.fromkeys(near[:2], b"\x01"))
    changes = {near[2]: bytes(40)}
    assert grow(trie, [(SPACE, trie.root, _items(trie, changes))], kernels) is None


def test_a_missing_record_or_leaf_is_a_fault(kernels: batch.Kernels) -> None:
    trie = MemoryTrie()
    source = random.Random(1)
    keys = [Hash(source.randbytes(32)) for _ in range(200)]
    trie.update({key: bytes(40) for key in keys})
    changes = _items(trie, {key: bytes(41) for key in keys})
    for name in [name for name in trie.records if name != SPACE]:
        del trie.records[name]
    with pytest.raises(Fault, match="record missing"):
        grow(trie, [(SPACE, trie.root, changes)], kernels)
    lone = MemoryTrie()
    lone.update({keys[0]: bytes(40)})
    lone.values.clear()
    with pytest.raises(Fault, match="leaf missing"):
        grow(lone, [(SPACE, lone.root, _items(lone, {keys[1]: bytes(40)}))], kernels)


def test_the_kernels_are_loaded_when_enough_leaves_were_hashed_without() -> None:
    """So that a short program never loads them, and a long one does; too many take memory."""
    script = """
from chain.crypto import batch
counts = []
while batch.trie_kernels(8) is None:
    counts.append(8)
print(1_000 < sum(counts) < 10_000, batch.trie_kernels(1) is not None, batch.trie_kernels(10**6))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stdout.split() == ["True", "True", "None"]
