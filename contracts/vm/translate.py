"""Hot blocks as Python functions.

The words of a block become local variables, so that pushing, duplicating and
exchanging them costs nothing, and the interpreter's stack is read at the start and
written at the end. What an opcode computes still comes from the table: a PURE
opcode whose semantics are a single `return` is written out in place, everything
else is called.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from contracts.vm.opcodes import OPCODES, Opcode, Shape
from contracts.vm.steps import Step

Instruction = tuple[Opcode, int]  # the word that goes with a PUSH or PC, else 0

# What the functions see besides their parameters.
_GLOBALS: Final[dict[str, Any]] = {
    f"op_{opcode.name}": opcode.semantics for opcode in OPCODES.values()
}


def translate(instructions: Sequence[Instruction], *, known_jump: bool) -> Step:
    """A function that does what the instructions do and gives what the last of them gives.

    With `known_jump` a JUMPI at the end gives its condition, since its destination
    was taken off the instructions.
    """
    source = _Source(known_jump)
    for opcode, word in instructions:
        source.add(opcode, word)
    found: dict[str, Step] = {}
    # The text has nothing in it but names from the table and numbers.
    exec(compile(source.text(), "<block>", "exec"), _GLOBALS, found)  # noqa: S102
    return found["block"]


class _Source:
    """The function's text in the making.

    `stack` has what the stack's top will hold, as names or numbers, the top last;
    `taken` words of the frame's stack were replaced by it, called s1 from the top on.
    """

    def __init__(self, known_jump: bool) -> None:
        self.known_jump = known_jump
        self.stack: list[str] = []
        self.taken = 0
        self.lines: list[str] = []
        self.names = 0
        self.written_back = False

    def text(self) -> str:
        if not self.written_back:
            self._write_back()
        body = "\n".join(self.lines)
        loads = [
            f"s{depth} = stack[-{depth}]"
            for depth in range(1, self.taken + 1)
            if f"s{depth}" in body
        ]
        lines = [*loads, *self.lines] or ["pass"]
        return "def block(frame, stack):\n" + textwrap.indent("\n".join(lines), "    ")

    def add(self, opcode: Opcode, word: int) -> None:
        match opcode.shape:
            case Shape.PUSH | Shape.PC:
                self.stack.append(f"({word})")
            case Shape.DUP:
                self._reach(opcode.pops)
                self.stack.append(self.stack[-opcode.pops])
            case Shape.SWAP:
                self._reach(opcode.pops)
                stack = self.stack
                stack[-1], stack[-opcode.pops] = stack[-opcode.pops], stack[-1]
            case Shape.POP:
                self._pop(1)
            case Shape.PURE:
                self._compute(opcode, self._pop(opcode.pops))
            case Shape.STEP:
                text = self._call(opcode)
                if opcode.pushes:
                    self._name(text)
                else:
                    self.lines.append(text)
            case Shape.JUMPI if self.known_jump:
                self._return(self._pop(1)[0])
            case Shape.JUMPI:
                target, condition = self._pop(2)
                self._return(f"{target} if {condition} else None")
            case Shape.JUMP:
                self._return(self._pop(1)[0])
            case Shape.SEND:
                self._return(self._call(opcode))
            case Shape.END:
                self.written_back = True  # nobody reads the stack any more
                self.lines.append(self._call(opcode))
            case _:
                assert opcode.shape is Shape.NOTHING

    def _reach(self, depth: int) -> None:
        while len(self.stack) < depth:
            self.taken += 1
            self.stack.insert(0, f"s{self.taken}")

    def _pop(self, count: int) -> list[str]:
        """The operands, the top first."""
        self._reach(count)
        return [self.stack.pop() for _ in range(count)]

    def _call(self, opcode: Opcode) -> str:
        return f"op_{opcode.name}({', '.join(['frame', *self._pop(opcode.pops)])})"

    def _compute(self, opcode: Opcode, operands: list[str]) -> None:
        if all(operand.startswith("(") for operand in operands):
            word = opcode.semantics(*(int(operand[1:-1]) for operand in operands))
            self.stack.append(f"({word})")
        else:
            self._name(expression(opcode, operands))

    def _name(self, text: str) -> None:
        self.names += 1
        self.lines.append(f"t{self.names} = {text}")
        self.stack.append(f"t{self.names}")

    def _return(self, text: str) -> None:
        self._write_back()
        self.lines.append(f"return {text}")

    def _write_back(self) -> None:
        """Make the frame's stack what `stack` says."""
        self.written_back = True
        taken, words = self.taken, self.stack
        for place in range(min(taken, len(words))):
            depth = taken - place
            if words[place] != f"s{depth}":
                self.lines.append(f"stack[-{depth}] = {words[place]}")
        more = words[taken:]
        if len(more) == 1:
            self.lines.append(f"stack.append({more[0]})")
        elif more:
            self.lines.append(f"stack += ({', '.join(more)})")
        elif len(words) == taken - 1:
            self.lines.append("stack.pop()")
        elif len(words) < taken:
            self.lines.append(f"del stack[-{taken - len(words)}:]")


def expression(opcode: Opcode, operands: Sequence[str]) -> str:
    """A PURE opcode's result in terms of names and numbers in brackets."""
    template = _template(opcode.semantics)
    if template is None:
        return f"op_{opcode.name}({', '.join(operands)})"
    names = {f"__{place}__": operand for place, operand in enumerate(operands)}
    for name, operand in names.items():
        template = template.replace(name, operand)
    return template


@cache
def _template(function: Callable[..., int]) -> str | None:
    """The expression that the function returns, with __0__, __1__ for its parameters.

    None when it does more than return an expression, or its source is not at hand.
    """
    try:
        tree = ast.parse(inspect.getsource(function)).body[0]
    except OSError:
        return None
    assert isinstance(tree, ast.FunctionDef)
    last = tree.body[-1]
    documented = isinstance(tree.body[0], ast.Expr)
    if len(tree.body) != 1 + documented or not isinstance(last, ast.Return) or last.value is None:
        return None
    places = {argument.arg: f"__{place}__" for place, argument in enumerate(tree.args.args)}
    for node in ast.walk(last.value):
        if isinstance(node, ast.Name):
            if node.id in places:
                node.id = places[node.id]
            elif isinstance(value := function.__globals__.get(node.id), int):
                node.id = str(value)
            elif node.id in function.__globals__:
                return None
    return f"({ast.unparse(last.value)})"
