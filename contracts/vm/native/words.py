"""The vocabulary of kernels beyond arithmetic, comparison, `if`, `while` and `for`.

contracts.vm.native.dialect compiles a call of one of these to the instruction it stands
for. Numbers are unsigned, 64 bits wide, and wrap around.
"""

from typing import TypeVar

from contracts.vm.native.declared import compiled
from contracts.vm.native.records import U64, Words

Record = TypeVar("Record")


def at(record: type[Record], address: U64) -> Record:
    """The record at an address."""
    compiled()


def words_at(address: U64) -> Words:
    compiled()


def address_of(thing: object) -> U64:
    """Of a record or of words."""
    compiled()


def room(count: U64) -> Words:
    """Words of the machine's stack, not cleared; `count` is a constant."""
    compiled()


def fresh(record: type[Record]) -> Record:
    """A record on the machine's stack, not cleared."""
    compiled()


def mul_high(a: U64, b: U64) -> U64:
    """The upper half of the 128-bit product."""
    compiled()


def leading_zeros(a: U64) -> U64:
    compiled()


def load_byte(address: U64) -> U64:
    compiled()


def store_byte(address: U64, value: U64) -> None:
    compiled()


def move_bytes(to: U64, source: U64, size: U64) -> None:
    """Copy; the two may overlap."""
    compiled()


def clear_bytes(to: U64, size: U64) -> None:
    compiled()


def keccak_permute(state: Words) -> None:
    """Keccak-f[1600] on 25 words (contracts.vm.native.permutation)."""
    compiled()


def keccak_word(digest: Words, data: Words) -> None:
    """Keccak-256 of 32 bytes (contracts.vm.native.permutation)."""
    compiled()


Kernel = TypeVar("Kernel")


def inlined(kernel: Kernel) -> Kernel:
    """Marks a kernel that is written out wherever it is called."""
    return kernel
