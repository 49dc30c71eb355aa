"""How native code enters a precompiled contract, and what the contract finds there."""

from typing import Annotated, Final

from chain.machine import Halt
from contracts.vm.native.assembly import THREADED, Module, constant
from contracts.vm.native.declared import compiled
from contracts.vm.native.emitter import FRAME, HANDLER_PARAMETERS
from contracts.vm.native.records import BROKEN, NUMBER_OF, U64, Words, layout


class Contract:
    """One precompiled contract of one fork. Its address is that of the list of functions that
    compiled code is entered by, so the function for the first opcode comes first."""

    enter: U64
    finish: U64  # the interpreter's function that ends every frame
    price: U64
    unit_price: U64  # for each word, pair or round
    constants: U64  # what the kernel wants beside: a number, or a record's address
    ask_python: U64  # the definition, as a function that native code can call
    output_at: U64  # address, and size, of the last output
    output_size: U64
    output: Annotated[Words, 1_024]


CONTRACT: Final = layout(Contract)


# What Python answers: FAILED, or more than LEFT by the gas left.
FAILED: Final = 1
LEFT: Final = 2


def ask_python(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    """Have the definition do it, and put the output in its place; the answer, 0 for an error."""
    compiled()


def add_entry(module: Module, kernel: str) -> None:
    """Add the public function `enter_` and the name of a kernel.

    The kernel gets the contract, address and size of the input, and the gas; it gives the
    gas left, having set the output, or NO_GAS when the contract fails, or BROKEN.
    """
    f = module.function(
        f"enter_{kernel}", "i64", HANDLER_PARAMETERS, convention=THREADED, public=True
    )
    frame, _, top, gas, table = f.arguments

    data, size, place = (
        f.load("i64", f.offset(frame, FRAME.offsets[name]))
        for name in ("data", "data_size", "compiled")
    )
    contract = f.pointer(place)
    left = f.call(module.signatures[kernel], (contract, data, size, gas))
    succeeded, unusual, failed, broken = (f.new_block() for _ in range(4))
    finish = f.load("ptr", f.offset(contract, CONTRACT.offsets["finish"]))
    f.branch(f.compare("uge", left, constant(BROKEN)), unusual, succeeded, likely=False)
    f.block = unusual
    f.branch(f.compare("eq", left, constant(BROKEN)), broken, failed, likely=False)
    f.block = broken
    f.give(f.not_(left))
    f.block = failed
    how = f.pointer(constant(NUMBER_OF[Halt.PRECOMPILE]))
    f.become(finish, (frame, how, top, constant(0), table))
    f.block = succeeded
    for field, value in (("output", "output_at"), ("output_size", "output_size")):
        found = f.load("i64", f.offset(contract, CONTRACT.offsets[value]))
        f.store(found, f.offset(frame, FRAME.offsets[field]))
    f.become(finish, (frame, f.pointer(constant(0)), top, left, table))
