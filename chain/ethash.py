"""Ethash, verified without the dataset (Yellow Paper appendix J).

A light check rebuilds the few dataset items it needs from a cache of 16 MB and up.
Words are 32 bits; sixteen of them are kept in one integer with 64 bits each, so that
one multiplication moves all sixteen and no carry crosses from word to word.
"""

from functools import lru_cache
from math import isqrt
from typing import Final

from chain.crypto.keccak import keccak
from chain.types import Hash

try:
    from sha3 import keccak_512 as _new_keccak_512
except ImportError:  # slower, and always there
    from Crypto.Hash import keccak as _crypto_keccak

    def _new_keccak_512(data: bytes) -> _crypto_keccak.Keccak_Hash:
        return _crypto_keccak.new(digest_bits=512, data=data)


EPOCH_BLOCKS: Final = 30_000
_CACHE_BYTES_FIRST: Final = 2**24
_CACHE_BYTES_GROWTH: Final = 2**17
_DATASET_BYTES_FIRST: Final = 2**30
_DATASET_BYTES_GROWTH: Final = 2**23
_CACHE_ROUNDS: Final = 3
_HASH_BYTES: Final = 64
_MIX_BYTES: Final = 128
_PARENTS: Final = 256
_ACCESSES: Final = 64
_PRIME: Final = 0x01000193
_WORD: Final = 0xFFFFFFFF
_WORDS: Final = sum(_WORD << (64 * lane) for lane in range(16))


def keccak_512(data: bytes) -> bytes:
    digest: bytes = _new_keccak_512(data).digest()
    return digest


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, isqrt(number) + 1))


def _size(first: int, growth: int, epoch: int, unit: int) -> int:
    """The largest size below the epoch's bound that is a prime number of units."""
    size = first + growth * epoch - unit
    while not _is_prime(size // unit):
        size -= 2 * unit
    return size


def cache_bytes(number: int) -> int:
    """Size of the cache that verifies block `number`."""
    return _size(_CACHE_BYTES_FIRST, _CACHE_BYTES_GROWTH, number // EPOCH_BLOCKS, _HASH_BYTES)


def dataset_bytes(number: int) -> int:
    """Size of the dataset that block `number` was mined with."""
    return _size(_DATASET_BYTES_FIRST, _DATASET_BYTES_GROWTH, number // EPOCH_BLOCKS, _MIX_BYTES)


def _spread(data: bytes) -> int:
    """64 bytes of little-endian words, one word in each 64 bits."""
    lanes = bytearray(128)
    for byte in range(4):
        lanes[byte::8] = data[byte::4]
    return int.from_bytes(lanes, "little")


def _gather(lanes: int) -> bytes:
    spread = lanes.to_bytes(128, "little")
    data = bytearray(64)
    for byte in range(4):
        data[byte::4] = spread[byte::8]
    return bytes(data)


def seed_hash(number: int) -> Hash:
    """The seed of the epoch of block `number`."""
    seed = Hash(bytes(32))
    for _ in range(number // EPOCH_BLOCKS):
        seed = keccak(seed)
    return seed


def make_cache(size: int, seed: bytes) -> list[bytes]:
    """The cache as items of 64 bytes (Appendix J.3: RandMemoHash)."""
    count = size // _HASH_BYTES
    items = [keccak_512(seed)]
    for _ in range(count - 1):
        items.append(keccak_512(items[-1]))
    for _ in range(_CACHE_ROUNDS):
        for index in range(count):
            other = int.from_bytes(items[index][:4], "little") % count
            mixed = int.from_bytes(items[index - 1], "little") ^ int.from_bytes(
                items[other], "little"
            )
            items[index] = keccak_512(mixed.to_bytes(_HASH_BYTES, "little"))
    return items


@lru_cache(maxsize=2)
def _epoch_cache(epoch: int) -> list[int]:
    number = epoch * EPOCH_BLOCKS
    return [_spread(item) for item in make_cache(cache_bytes(number), seed_hash(number))]


def _dataset_item(cache: list[int], index: int) -> int:
    """Item `index` of the dataset, words spread."""
    count = len(cache)
    mix = _spread(keccak_512(_gather(cache[index % count] ^ index)))
    for parent in range(_PARENTS):
        word = (mix >> (64 * (parent % 16))) & _WORD
        other = (((index ^ parent) * _PRIME & _WORD) ^ word) % count
        mix = (mix * _PRIME & _WORDS) ^ cache[other]
    return _spread(keccak_512(_gather(mix)))


def hashimoto_light(number: int, seal_hash: Hash, nonce: int) -> tuple[Hash, Hash]:
    """The mix hash and the result of a proof of work on block `number`.

    The work suffices when result * difficulty <= 2**256.
    """
    cache = _epoch_cache(number // EPOCH_BLOCKS)
    rows = dataset_bytes(number) // _MIX_BYTES
    seed = keccak_512(seal_hash + nonce.to_bytes(8, "little"))
    first = int.from_bytes(seed[:4], "little")
    half = _spread(seed)
    mix = [half, half]
    for access in range(_ACCESSES):
        lane = access % 32
        word = (mix[lane // 16] >> (64 * (lane % 16))) & _WORD
        row = (((first ^ access) * _PRIME & _WORD) ^ word) % rows
        mix = [
            (mix[part] * _PRIME & _WORDS) ^ _dataset_item(cache, 2 * row + part)
            for part in range(2)
        ]
    words = [
        int.from_bytes(data[at : at + 4], "little")
        for data in (_gather(mix[0]), _gather(mix[1]))
        for at in range(0, 64, 4)
    ]
    digest = bytearray()
    for at in range(0, 32, 4):
        value = words[at]
        for word in words[at + 1 : at + 4]:
            value = (value * _PRIME & _WORD) ^ word
        digest += value.to_bytes(4, "little")
    return Hash(bytes(digest)), keccak(seed + digest)
