"""ECRECOVER's way to libsecp256k1, whose functions coincurve has loaded."""

from typing import Annotated, Final

from contracts.vm.native.assembly import Module
from contracts.vm.native.declared import compiled
from contracts.vm.native.precompiled.outside import add_outside
from contracts.vm.native.records import U64, Words

UNCOMPRESSED: Final = 2  # libsecp256k1's SECP256K1_EC_UNCOMPRESSED
SERIALIZED: Final = 65  # bytes of such a key: a 4, then x and y


class Library:
    """Addresses of the library's context and functions."""

    context: U64
    parse_signature: U64
    recover_signer: U64
    serialize_key: U64


class Scratch:
    """What the library writes."""

    signature: Annotated[Words, 72]  # it takes 65 bytes
    key: Annotated[Words, 64]
    serialized: Annotated[Words, 72]  # it takes 65 bytes
    size: Annotated[Words, 16]  # it takes one word


def add_recovery(module: Module) -> None:
    """Add the kernels that are declared here; all give 0 when they find nothing."""
    for kernel in (parse_signature, recover_signer, serialize_key):
        add_outside(module, kernel)


def parse_signature(
    library: Library, context: U64, signature: Words, compact: U64, parity: U64
) -> U64:
    """Take r and s, 64 bytes at an address, in any range."""
    compiled()


def recover_signer(
    library: Library, context: U64, key: Words, signature: Words, digest: Words
) -> U64:
    compiled()


def serialize_key(
    library: Library, context: U64, serialized: Words, size: Words, key: Words, form: U64
) -> U64:
    """Of `size` bytes there is room."""
    compiled()
