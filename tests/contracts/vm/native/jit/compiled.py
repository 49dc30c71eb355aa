"""The same message on the plain interpreter and on compiled code."""

from functools import cache

from chain.machine import Outcome
from contracts.vm.native.interpreter import NativeInterpreter
from contracts.vm.native.jit.settings import JitSettings
from tests.contracts.vm.native.both import CACHE, Case, Definition, effects, first_difference


@cache
def compiling() -> NativeInterpreter:
    """One for all tests: it compiles all code before it first runs, and keeps no files."""
    settings = JitSettings(at_once=True, loaded_codes_max=64, cached_files_max=0)
    return NativeInterpreter(cache=CACHE, jit=settings)


def agree(case: Case, machine: NativeInterpreter | None = None) -> Outcome:
    """An AssertionError names what is different in compiled code. Gives the outcome."""
    expected = effects(*case.run(Definition()), case.fork)
    outcome, state = case.run(machine or compiling())
    got = effects(outcome, state, case.fork)
    if got != expected:
        lines = [f"{key}: {expected[key]} but compiled {got[key]}"
                 for key in expected if expected[key] != got[key]]  # fmt: skip
        raise AssertionError(
            "\n".join([*lines, "interpreted: " + first_difference(case), repr(case)])
        )
    return outcome
