"""Kernels that are functions from elsewhere: of a library, or of Python."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from contracts.vm.native.assembly import Module, Signature
from contracts.vm.native.records import layout


def add_outside(module: Module, kernel: Callable[..., Any], result: str = "i32") -> None:
    """Add a kernel that calls the function whose address is in a record's field of its name.

    The record is the declared kernel's first parameter; the function gets the others, as
    addresses and words. `result` is the LLVM type of what it gives; what a function
    without any result "gives" means nothing.
    """
    hints = get_type_hints(kernel)
    record, *kinds = (hints[name] for name in inspect.signature(kernel).parameters)
    types = ["i64" if kind is int else "ptr" for kind in kinds]
    f = module.function(kernel.__name__, "i64", ["ptr", *types], attributes="alwaysinline")
    place, *arguments = f.arguments
    function = f.load("ptr", f.offset(place, layout(record).offsets[kernel.__name__]))
    given = f.call_through(function, Signature("", result, types), arguments)
    f.give(f.widen(given, "i64"))
