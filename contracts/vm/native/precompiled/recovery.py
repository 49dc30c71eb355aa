"""ECRECOVER's way to libsecp256k1, whose functions coincurve has loaded."""

from typing import Annotated, Final

from contracts.vm.native.assembly import Module, Signature, constant
from contracts.vm.native.declared import compiled
from contracts.vm.native.records import U64, Words, layout

_UNCOMPRESSED: Final = 2  # libsecp256k1's SECP256K1_EC_UNCOMPRESSED
_PARSE: Final = Signature("", "i32", ["ptr", "ptr", "ptr", "i32"])
_RECOVER: Final = Signature("", "i32", ["ptr", "ptr", "ptr", "ptr"])
_SERIALIZE: Final = Signature("", "i32", ["ptr", "ptr", "ptr", "ptr", "i32"])


class Library:
    """Addresses of the library's context and functions."""

    context: U64
    parse: U64
    recover: U64
    serialize: U64


class Scratch:
    """What the library writes."""

    signature: Annotated[Words, 72]  # it takes 65 bytes
    key: Annotated[Words, 64]
    serialized: Annotated[Words, 72]  # it takes 65 bytes: a 4, then x and y
    size: U64


def add_recovery(module: Module) -> None:
    """Add the kernel `recover_key`."""
    f = module.function("recover_key", "i64", ["ptr", "ptr", "ptr", "i64", "ptr"],
                        attributes="noinline")  # fmt: skip
    library, scratch, compact, parity, digest = f.arguments
    functions, places = layout(Library).offsets, layout(Scratch).offsets
    context, parse, recover, serialize = (
        f.load("ptr", f.offset(library, functions[name]))
        for name in ("context", "parse", "recover", "serialize")
    )
    signature, key, serialized, size = (
        f.offset(scratch, places[name]) for name in ("signature", "key", "serialized", "size")
    )
    nobody = f.new_block()
    for function, kind, arguments in (
        (parse, _PARSE, (signature, compact, f.narrow(parity, "i32"))),
        (recover, _RECOVER, (key, signature, digest)),
    ):
        proceed = f.new_block()
        done = f.call_through(function, kind, (context, *arguments))
        f.branch(f.compare("eq", done, constant(0, "i32")), nobody, proceed)
        f.block = proceed
    f.store(constant(65), size)
    f.call_through(
        serialize, _SERIALIZE, (context, serialized, size, key, constant(_UNCOMPRESSED, "i32"))
    )
    f.give(constant(1))
    f.block = nobody
    f.give(constant(0))


def recover_key(
    library: Library, scratch: Scratch, compact: Words, parity: U64, digest: Words
) -> U64:
    """Put the signer's key into `scratch.serialized`; 0 when there is none.

    `compact` is r and s, 64 bytes, in any range; `digest` 32 bytes.
    """
    compiled()
