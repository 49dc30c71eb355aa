"""What kernels do with the input and the output of their contract."""

from contracts.vm.native.precompiled.entries import Contract
from contracts.vm.native.records import U64
from contracts.vm.native.words import address_of, clear_bytes, inlined, move_bytes


def take(to: U64, data: U64, size: U64, start: U64, count: U64) -> None:
    """Copy `count` bytes of the input from `start` on; those beyond its end are zeros."""
    there = 0
    if start < size:
        there = min(size - start, count)
    move_bytes(to, data + start, there)
    clear_bytes(to + there, count - there)


@inlined
def give_output(contract: Contract, size: U64) -> None:
    """It is in the contract's own room."""
    contract.output_at = address_of(contract.output)
    contract.output_size = size
