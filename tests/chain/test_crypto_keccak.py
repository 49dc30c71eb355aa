"""Keccak-256: known hashes, and the native batch beside the definition."""

import os
import random
import subprocess
import sys

import pytest
from Crypto.Hash import keccak as pycryptodome
from hypothesis import given
from hypothesis import strategies as st

from chain.crypto import batch
from chain.crypto.keccak import keccak, keccak_many
from chain.types import EMPTY_CODE_HASH, EMPTY_OMMERS_HASH

EDGES = [0, 1, 31, 32, 55, 135, 136, 137, 271, 272, 273, 407, 408, 532, 1024, 5000]


def test_known_hashes():
    assert keccak(b"") == EMPTY_CODE_HASH
    assert keccak(b"\xc0") == EMPTY_OMMERS_HASH
    assert keccak(b"abc").hex() == (
        "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    )


@pytest.mark.parametrize("size", EDGES)
def test_both_libraries_agree(size):
    data = random.Random(size).randbytes(size)
    assert keccak(data) == pycryptodome.new(digest_bits=256, data=data).digest()


@pytest.fixture(scope="module", params=[1, 4, 8])
def kernels(request):
    """The kernels of each width: all run everywhere, LLVM splits what the processor lacks."""
    pytest.importorskip("llvmlite")
    return batch.compile_kernels(request.param)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 8, 9, 17, 100])
def test_a_batch_equals_one_by_one(kernels, count):
    """Given messages of mixed lengths around the block size, then every lane ends on its own."""
    source = random.Random(count)
    messages = [source.randbytes(source.choice(EDGES)) for _ in range(count)]
    assert kernels.keccak_many(messages) == [keccak(message) for message in messages]


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_any_list_of_messages_is_hashed_in_order(messages):
    padded = messages + [b""] * 70  # enough to reach the native code
    assert keccak_many(padded) == [keccak(message) for message in padded]


WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from chain.crypto import batch, secp256k1
from chain.crypto.keccak import keccak, keccak_many
messages = [bytes([i]) * i for i in range(200)]
print(keccak(b"".join(keccak_many(messages))).hex())
key = bytes(31) + b"\\x07"
items = [(keccak(m), *secp256k1.sign(keccak(m), key)) for m in messages]
assert set(secp256k1.recover_many(items)) == {{secp256k1.address_of(key)}}
assert (batch.kernels(1000) is None) == ("llvmlite" in {missing!r})
"""


@pytest.mark.parametrize("missing", [["llvmlite"], ["sha3"], ["llvmlite", "sha3"]], ids="+".join)
def test_everything_works_without_the_optional_libraries(missing):
    """Given a process where importing them fails, then the same hashes and signers come out."""
    expected = keccak(b"".join(keccak(bytes([i]) * i) for i in range(200))).hex()
    assert _run(WITHOUT.format(missing=missing)) == expected


def test_llvmlite_is_not_imported_before_a_large_batch():
    script = """
import sys
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak_many
keccak_many([b"x"] * 10)
print("llvmlite" in sys.modules)
"""
    assert _run(script) == "False"


CACHED = """
from chain.crypto import batch
from chain.crypto.keccak import keccak, keccak_many
assert keccak_many([b"x"] * 100) == [keccak(b"x")] * 100
print(batch.cache_folder())
"""


def test_object_code_is_cached_and_a_damaged_file_is_made_anew(tmp_path):
    """Given each kind of damage to the cached file, then hashes stay right and it is replaced."""
    pytest.importorskip("llvmlite")
    folder = tmp_path / "chain-node"
    assert _run(CACHED, XDG_CACHE_HOME=str(tmp_path)) == str(folder)
    (cached,) = folder.iterdir()
    good = cached.read_bytes()
    for damaged in (b"", good[:100], good[:-1], bytes(len(good)), good[:500] + b"?" + good[501:]):
        cached.write_bytes(damaged)
        _run(CACHED, XDG_CACHE_HOME=str(tmp_path))
        assert list(folder.iterdir()) == [cached]
        assert cached.read_bytes() == good


def test_a_cache_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    """Given a file in the folder's place, then the kernels work all the same."""
    (tmp_path / "chain-node").write_text("in the way")
    _run(CACHED, XDG_CACHE_HOME=str(tmp_path))
    assert (tmp_path / "chain-node").read_text() == "in the way"


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(batch.Path, "home", homeless)
    assert batch.cache_folder() is None
    pytest.importorskip("llvmlite")
    assert batch.compile_kernels(1).keccak_many([b"abc"]) == [keccak(b"abc")]


def _run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
    )
    return done.stdout.strip()
