"""Opcodes as functions of a frame and its stack, made from the table.

A step trusts that the stack holds what the opcode pops and has room for what it
pushes, and that the static gas is paid. What it returns matters only at the end
of a block: see contracts.vm.program.Exit.
"""

from collections.abc import Callable
from typing import Any

from contracts.vm.frame import Frame
from contracts.vm.opcodes import Opcode, Shape

Step = Callable[[Frame, list[int]], Any]


def push_step(word: int) -> Step:
    """Push a word known from the code."""

    def push(frame: Frame, stack: list[int]) -> None:
        stack.append(word)

    return push


def pop_step(frame: Frame, stack: list[int]) -> int:
    return stack.pop()


def step_of(opcode: Opcode) -> Step:
    """The step of an opcode that needs no operand from the code."""
    match opcode.shape:
        case Shape.PURE:
            return _pure(opcode.semantics, opcode.pops)
        case Shape.STEP if opcode.pushes:
            return _giving(opcode.semantics, opcode.pops)
        case Shape.STEP | Shape.SEND | Shape.END:
            return _doing(opcode.semantics, opcode.pops)
        case Shape.DUP:
            return _dup(opcode.pops)
        case Shape.SWAP:
            return _swap(opcode.pops)
        case Shape.JUMPI:
            return _jumpi
        case Shape.POP | Shape.JUMP:
            return pop_step
        case _:
            return _nothing


def _pure(function: Callable[..., int], pops: int) -> Step:
    def unary(frame: Frame, stack: list[int]) -> None:
        stack[-1] = function(stack[-1])

    def binary(frame: Frame, stack: list[int]) -> None:
        top = stack.pop()
        stack[-1] = function(top, stack[-1])

    def ternary(frame: Frame, stack: list[int]) -> None:
        a, b = stack.pop(), stack.pop()
        stack[-1] = function(a, b, stack[-1])

    return (unary, binary, ternary)[pops - 1]


def _giving(function: Callable[..., int], pops: int) -> Step:
    def of_none(frame: Frame, stack: list[int]) -> None:
        stack.append(function(frame))

    def of_one(frame: Frame, stack: list[int]) -> None:
        stack[-1] = function(frame, stack[-1])

    def of_two(frame: Frame, stack: list[int]) -> None:
        top = stack.pop()
        stack[-1] = function(frame, top, stack[-1])

    return (of_none, of_one, of_two)[pops]


def _doing(function: Callable[..., Any], pops: int) -> Step:
    def of_two(frame: Frame, stack: list[int]) -> Any:
        return function(frame, stack.pop(), stack.pop())

    def of_many(frame: Frame, stack: list[int]) -> Any:
        operands = stack[: -pops - 1 : -1]
        del stack[len(stack) - pops :]
        return function(frame, *operands)

    return of_two if pops == 2 else of_many


def _dup(depth: int) -> Step:
    def dup(frame: Frame, stack: list[int]) -> None:
        stack.append(stack[-depth])

    return dup


def _swap(depth: int) -> Step:
    def swap(frame: Frame, stack: list[int]) -> None:
        stack[-1], stack[-depth] = stack[-depth], stack[-1]

    return swap


def _jumpi(frame: Frame, stack: list[int]) -> int | None:
    """Where to go, or None for on."""
    target, condition = stack.pop(), stack.pop()
    return target if condition else None


def _nothing(frame: Frame, stack: list[int]) -> None:
    return None
