"""The official trie vectors: by the definition, by the batch update, and in order of keys."""

import json
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

from chain.crypto.keccak import keccak
from chain.storage import MemoryStore
from chain.storage.schema import TRIE
from chain.trie import trie_root
from chain.types import EMPTY_ROOT
from tests.chain.memory_trie import MemoryTrie
from tests.support.conformance import samples


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()


def _files() -> list[Path]:
    found = sorted(samples("basic-tests").rglob("TrieTests/*.json"))
    assert found
    return found


def _steps(case: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The case's writes in order; an empty value deletes."""
    given = case["in"]
    pairs = given.items() if isinstance(given, dict) else given
    return [(_bytes(key), b"" if value is None else _bytes(value)) for key, value in pairs]


def test_roots_of_the_official_cases_come_out() -> None:
    """Keys of any length by the definition; hashed keys also by updates of stored records."""
    count = 0
    for path in _files():
        if "nextprev" in path.name:
            continue
        hashed = "secure" in path.name.lower()
        for name, case in json.loads(path.read_text()).items():
            items: dict[bytes, bytes] = {}
            stored = MemoryTrie()
            for key, value in _steps(case):
                items[keccak(key) if hashed else key] = value
                if hashed:
                    stored.update({keccak(key): value or None})
            root = _bytes(case["root"])
            assert trie_root(items) == root, f"{path.name} {name}"
            if hashed:
                assert stored.root == root, f"{path.name} {name}"
            count += 1
    assert count


def test_the_order_of_keys_is_the_official_one() -> None:
    """Next and previous keys, by a store's scan."""
    [path] = [path for path in _files() if "nextprev" in path.name]
    for case in json.loads(path.read_text()).values():
        store = MemoryStore()
        store.write([(TRIE, key.encode(), b"") for key in case["in"]], sync=False)
        keys = [key for key, _ in store.scan(TRIE, b"")]
        for given, previous, following in case["tests"]:
            probe = given.encode()
            later = [key for key, _ in store.scan(TRIE, b"", probe + b"\0")]
            assert (later[0] if later else b"") == following.encode()
            before = bisect_left(keys, probe)
            assert (keys[before - 1] if before else b"") == previous.encode()
            assert keys[bisect_right(keys, probe) :] == later


def test_the_root_of_nothing_is_the_empty_root() -> None:
    assert trie_root({}) == EMPTY_ROOT
    assert MemoryTrie().root == EMPTY_ROOT
