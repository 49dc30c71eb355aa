"""Keccak-256, one message or many: with the padding of the original submission, not SHA-3's."""

from collections.abc import Sequence

from chain.crypto import batch
from chain.types import Hash

try:
    from sha3 import keccak_256 as _keccak_256
except ImportError:  # no wheel of safe-pysha3 for this platform: about five times slower
    from Crypto.Hash import keccak as _pycryptodome

    def keccak(data: bytes) -> Hash:
        """The hash of one message, 32 bytes."""
        return Hash(_pycryptodome.new(digest_bits=256, data=data).digest())
else:

    def keccak(data: bytes) -> Hash:
        """The hash of one message, 32 bytes."""
        return Hash(_keccak_256(data).digest())


def keccak_many(messages: Sequence[bytes]) -> list[Hash]:
    """The hash of each message, in order. Batches run in native code that frees the GIL."""
    kernels = batch.kernels(len(messages))
    if kernels is not None:
        return kernels.keccak_many(messages)
    return [keccak(message) for message in messages]
