"""Many rounds of BLAKE2b's mixing in native code.

A message may ask for 2^32 rounds at one gas each; in Python a round takes some 20
microseconds. contracts.vm.precompiles.blake2 has the definition.
"""

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from contracts.vm.precompiles.blake2_constants import LANES, SIGMA

PERIOD: Final = len(SIGMA)  # rounds until the order of message words repeats

_Words = ctypes.c_uint64 * 16
Mix = Callable[[list[int], tuple[int, ...], int], list[int]]


@cache
def mixer() -> Mix | None:
    """A function of working state, message and n that does n times PERIOD rounds.

    None where llvmlite is missing. The first call compiles, which takes a while.
    """
    try:
        from llvmlite import binding
    except ImportError:
        return None
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), opt=2
    )
    module = binding.parse_assembly(_assembly())
    module.verify()
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return _caller(engine)


def _caller(engine: Any) -> Mix:
    mix = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)(
        engine.get_function_address("mix")
    )

    def call(state: list[int], message: tuple[int, ...], count: int) -> list[int]:
        assert engine is not None  # owns the code, so it has to live as long as this function
        words = _Words(*state)
        mix(words, _Words(*message), count)
        return list(words)

    return call


def _assembly() -> str:
    """LLVM assembly of `mix(state, message, count)`; a count of 0 does nothing."""
    words = range(16)
    lines = [
        "define void @mix(ptr %state, ptr %message, i64 %count) {",
        "entry:",
        *_loads("m", "message"),
        *_loads("first", "state"),
        "  %none = icmp eq i64 %count, 0",
        "  br i1 %none, label %end, label %rounds",
        "rounds:",
        "  %left = phi i64 [ %count, %entry ], [ %less, %rounds ]",
    ]
    body = _Body(lines)
    for word in words:
        lines.append(f"  %v{word} = phi i64 [ %first{word}, %entry ], [ @{word}, %rounds ]")
    for order in SIGMA:
        body.round(order)
    lines += [
        "  %less = sub i64 %left, 1",
        "  %more = icmp ne i64 %less, 0",
        "  br i1 %more, label %rounds, label %store",
        "store:",
    ]
    for word in words:
        lines += [
            f"  %out{word} = getelementptr i64, ptr %state, i64 {word}",
            f"  store i64 {body.value[word]}, ptr %out{word}",
        ]
    lines += ["  br label %end", "end:", "  ret void", "}", _ROTATE]
    text = "\n".join(lines)
    for word in words:
        text = text.replace(f"@{word},", f"{body.value[word]},")
    return text


_ROTATE: Final = "declare i64 @llvm.fshr.i64(i64, i64, i64)"


def _loads(name: str, source: str) -> Iterator[str]:
    for word in range(16):
        yield f"  %{name}_at{word} = getelementptr i64, ptr %{source}, i64 {word}"
        yield f"  %{name}{word} = load i64, ptr %{name}_at{word}"


class _Body:
    """The rounds' text; `value` names what holds each word of the working state."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.value = [f"%v{word}" for word in range(16)]
        self.names = 0

    def _name(self, text: str) -> str:
        self.names += 1
        self.lines.append(f"  %t{self.names} = {text}")
        return f"%t{self.names}"

    def _add(self, a: str, b: str) -> str:
        return self._name(f"add i64 {a}, {b}")

    def _turn(self, a: str, b: str, bits: int) -> str:
        """a xor b, rotated to the right."""
        word = self._name(f"xor i64 {a}, {b}")
        return self._name(f"call i64 @llvm.fshr.i64(i64 {word}, i64 {word}, i64 {bits})")

    def round(self, order: tuple[int, ...]) -> None:
        value = self.value
        for lane, places in enumerate(LANES):
            a, b, c, d = (value[place] for place in places)
            for word, (first, second) in zip(order[2 * lane :], ((32, 24), (16, 63)), strict=False):
                a = self._add(self._add(a, b), f"%m{word}")
                d = self._turn(d, a, first)
                c = self._add(c, d)
                b = self._turn(b, c, second)
            for place, name in zip(places, (a, b, c, d), strict=True):
                value[place] = name
