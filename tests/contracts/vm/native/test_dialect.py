"""Kernels: compiled they compute what Python would; what is not in the dialect is refused."""

import ctypes
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Fault
from contracts.vm.native import dialect
from contracts.vm.native.assembly import Module
from contracts.vm.native.dialect import compile_kernels
from contracts.vm.native.objects import compile_text

HEAD = """
from contracts.vm.native.records import U64, Words
from contracts.vm.native.words import leading_zeros, mul_high, room

LIMIT = 10
"""

KERNELS = (
    HEAD
    + """
def collatz(n: U64) -> U64:
    steps = 0
    while n > 1:
        if n % 2 == 0:
            n //= 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps

def total(n: U64) -> U64:
    found = 0
    for i in range(n):
        found += i
    for i in range(n, n + 3):
        found += i
    return found

def between(a: U64, b: U64) -> U64:
    return 1 if a > 2 and (b < LIMIT or not a == b) else 0

def one_of(a: U64) -> U64:
    return a in (1, 5, 7)

def upper(a: U64, b: U64) -> U64:
    return mul_high(a, b) + leading_zeros(a)

def reversed_(a: U64, b: U64) -> U64:
    words = room(2)
    words[0] = a
    words[1] = b
    return words[1] - words[0]

def clamp(a: U64) -> U64:
    if a < 3:
        return 3
    elif a > LIMIT:
        return LIMIT
    return min(a, 8)
"""
)


def source(text: str, monkeypatch=None) -> ModuleType:
    module = ModuleType("kernels_of_a_test")
    exec(text, vars(module))
    module.__text__ = text
    return module


@pytest.fixture(scope="module")
def kernels():
    """The compiled functions by name."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(opt=2)
    module = Module()
    patch = pytest.MonkeyPatch()
    patch.setattr(dialect.inspect, "getsource", lambda module: module.__text__)
    compile_kernels(module, source(KERNELS))
    patch.undo()
    names = [name for name in module.signatures if "." not in name]
    for name in names:
        kernel = module.signatures[name]
        f = module.function(f"call_{name}", "i64", kernel.parameters, public=True)
        f.give(f.call(kernel, f.arguments))
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    code = compile_text(binding, machine, module.text())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    functions = {}
    for name in names:
        kinds = [ctypes.c_uint64] * (1 + len(module.signatures[name].parameters))
        address = engine.get_function_address(f"call_{name}")
        functions[name] = ctypes.CFUNCTYPE(*kinds)(address)
    yield functions
    assert engine is not None


numbers = st.one_of(st.integers(0, 20), st.integers(0, 2**64 - 1))


def test_loops_and_branches(kernels):
    def collatz(n):
        steps = 0
        while n > 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        return steps

    assert [kernels["collatz"](n) for n in range(50)] == [collatz(n) for n in range(50)]
    assert [kernels["total"](n) for n in range(9)] == [sum(range(n + 3)) for n in range(9)]


@given(numbers, numbers)
def test_conditions_and_arithmetic(kernels, a, b):
    assert kernels["between"](a, b) == int(a > 2 and (b < 10 or a != b))
    assert kernels["one_of"](a) == int(a in (1, 5, 7))
    assert kernels["upper"](a, b) == ((a * b >> 64) + 64 - a.bit_length()) % 2**64
    assert kernels["reversed_"](a, b) == (b - a) % 2**64
    assert kernels["clamp"](a) == (3 if a < 3 else 10 if a > 10 else min(a, 8))


@pytest.mark.parametrize(
    "body",
    [
        "with a: pass",
        "return unknown(a)",
        "return undefined",
        "a = room(2)",
        "return a[0]",
        "return 1.5",
        "for x in a: pass",
    ],
)
def test_what_is_not_in_the_dialect_is_refused(body, monkeypatch):
    monkeypatch.setattr(dialect.inspect, "getsource", lambda module: module.__text__)
    text = f"{HEAD}\ndef kernel(a: U64) -> U64:\n    {body}\n"
    with pytest.raises(Fault, match="kernel kernel"):
        compile_kernels(Module(), source(text))
