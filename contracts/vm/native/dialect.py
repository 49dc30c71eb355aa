"""A compiler for kernels: a small part of Python, to LLVM assembly.

A kernel is a function of numbers (U64), pointers (Words) and records, that gives a
number. Its module is ordinary Python to every tool, but never run: the functions'
text is compiled. Names in capitals are constants of the module.
"""

import ast
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from chain.errors import Fault
from contracts.vm.native.assembly import Function, Module, Signature, Value, constant
from contracts.vm.native.records import U64, Words, layout

_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Function], Callable[..., Value]]]] = {
    ast.Add: lambda f: f.add,
    ast.Sub: lambda f: f.sub,
    ast.Mult: lambda f: f.mul,
    ast.FloorDiv: lambda f: f.udiv,
    ast.Mod: lambda f: f.urem,
    ast.BitAnd: lambda f: f.and_,
    ast.BitOr: lambda f: f.or_,
    ast.BitXor: lambda f: f.xor,
    ast.LShift: lambda f: f.shl,
    ast.RShift: lambda f: f.lshr,
}
_ORDER: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "ult",
    ast.LtE: "ule",
    ast.Gt: "ugt",
    ast.GtE: "uge",
}

# What a value is to the kernel: a number, words, or a record's class.
Kind = type[Any]


class _Variable:
    __slots__ = ("kind", "place")

    def __init__(self, kind: Kind, place: Value) -> None:
        self.kind = kind
        self.place = place


class _Result:
    """A value with what it is; conditions stay 1 bit wide until a number is needed."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: Kind, value: Value) -> None:
        self.kind = kind
        self.value = value


def compile_kernels(module: Module, source: ModuleType) -> None:
    """Add all functions that the Python module `source` defines."""
    names = vars(source)
    tree = ast.parse(inspect.getsource(source))
    nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    kernels = [_Kernel(module, names, node) for node in nodes]  # so that they know each other
    for kernel in kernels:
        kernel.compile()


class _Kernel:
    """One function on its way to assembly."""

    def __init__(self, module: Module, names: dict[str, Any], node: ast.FunctionDef) -> None:
        self.module = module
        self.names = names
        self.node = node
        self.kinds = [self._kind(argument.annotation) for argument in node.args.args]
        types = ["i64" if kind is U64 else "ptr" for kind in self.kinds]
        inlined = any(
            isinstance(line, ast.Name) and line.id == "inlined" for line in node.decorator_list
        )
        self.f = module.function(
            node.name, "i64", types, attributes="alwaysinline" if inlined else "noinline"
        )
        self.variables: dict[str, _Variable] = {}

    def _kind(self, annotation: ast.expr | None) -> Kind:
        if not isinstance(annotation, ast.Name):
            raise self._wrong(self.node, "a parameter without a plain type")
        kind: Kind = self.names[annotation.id]
        return kind

    def _wrong(self, node: ast.AST, what: str) -> Fault:
        return Fault(f"kernel {self.node.name}, line {getattr(node, 'lineno', 0)}: {what}")

    def compile(self) -> None:
        for argument, kind, value in zip(self.node.args.args, self.kinds, self.f.arguments):
            self._assign_name(argument.arg, _Result(kind, value))
        self._run(self.node.body)
        if not self.f.block.over:
            self.f.give(constant(0))

    # -- statements --

    def _run(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if self.f.block.over:
                return
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        f = self.f
        match node:
            case ast.Assign(targets=[target], value=value):
                self._assign(target, self._full(self._evaluate(value)))
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._full(self._evaluate(value)))
            case ast.AugAssign(target=target, op=op, value=value):
                old, by = self._evaluate(target), self._number(value)
                self._assign(target, _Result(U64, _ARITHMETIC[type(op)](f)(old.value, by)))
            case ast.If(test=test, body=body, orelse=orelse):
                then, otherwise, after = f.new_block(), f.new_block(), f.new_block()
                self._branch(test, then, otherwise)
                for block, statements in ((then, body), (otherwise, orelse)):
                    f.block = block
                    self._run(statements)
                    if not f.block.over:
                        f.go_to(after)
                f.block = after
                if not f.reached(after):
                    f.unreachable()
            case ast.While(test=test, body=body):
                check, inside, after = f.new_block(), f.new_block(), f.new_block()
                f.go_to(check)
                f.block = check
                self._branch(test, inside, after)
                f.block = inside
                self._run(body)
                if not f.block.over:
                    f.go_to(check)
                f.block = after
            case ast.For(target=ast.Name(id=name), iter=ast.Call(args=arguments), body=body):
                self._count(name, arguments, body)
            case ast.Return(value=value):
                f.give(constant(0) if value is None else self._number(value))
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case ast.Expr(value=value):
                self._evaluate(value)
            case _:
                raise self._wrong(node, f"{type(node).__name__} is not in the dialect")

    def _count(self, name: str, arguments: list[ast.expr], body: list[ast.stmt]) -> None:
        """`for name in range(stop)` or `range(start, stop)`."""
        f = self.f
        stop = self._number(arguments[-1])
        start = self._number(arguments[0]) if len(arguments) == 2 else constant(0)
        self._assign_name(name, _Result(U64, start))
        place = self.variables[name].place
        check, inside, after = f.new_block(), f.new_block(), f.new_block()
        f.go_to(check)
        f.block = check
        f.branch(f.compare("ult", f.load("i64", place), stop), inside, after)
        f.block = inside
        self._run(body)
        f.store(f.add(f.load("i64", place), constant(1)), place)
        f.go_to(check)
        f.block = after

    def _assign(self, target: ast.expr, result: _Result) -> None:
        match target:
            case ast.Name(id=name):
                self._assign_name(name, result)
            case ast.Subscript() | ast.Attribute():
                self.f.store(result.value, self._place(target))
            case _:
                raise self._wrong(target, "can't be assigned to")

    def _assign_name(self, name: str, result: _Result) -> None:
        variable = self.variables.get(name)
        if variable is None:
            place = self.f.local(result.value.type)
            variable = self.variables[name] = _Variable(result.kind, place)
        elif variable.kind is not result.kind:
            raise self._wrong(self.node, f"{name} changes its type")
        self.f.store(result.value, variable.place)

    # -- expressions --

    def _full(self, result: _Result) -> _Result:
        """With conditions as numbers."""
        if result.value.type == "i1":
            return _Result(U64, self.f.widen(result.value, "i64"))
        return result

    def _number(self, node: ast.expr) -> Value:
        result = self._full(self._evaluate(node))
        if result.kind is not U64:
            raise self._wrong(node, "a number is wanted")
        return result.value

    def _branch(self, test: ast.expr, then: Any, otherwise: Any) -> None:
        """Go to one of two blocks; `and` and `or` evaluate no more than Python would."""
        f = self.f
        match test:
            case ast.BoolOp(op=op, values=[first, *rest]):
                remaining = rest[0] if len(rest) == 1 else ast.BoolOp(op=op, values=rest)
                more = f.new_block()
                if isinstance(op, ast.And):
                    self._branch(first, more, otherwise)
                else:
                    self._branch(first, then, more)
                f.block = more
                self._branch(remaining, then, otherwise)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._branch(operand, otherwise, then)
            case _:
                value = self._evaluate(test).value
                if value.type != "i1":
                    value = f.compare("ne", value, constant(0))
                f.branch(value, then, otherwise)

    def _evaluate(self, node: ast.expr) -> _Result:
        f = self.f
        match node:
            case ast.Constant(value=int() as number):
                return _Result(U64, constant(number))
            case ast.Name(id=name) if name in self.variables:
                variable = self.variables[name]
                type_ = "i64" if variable.kind is U64 else "ptr"
                return _Result(variable.kind, f.load(type_, variable.place))
            case ast.Name(id=name) if isinstance(self.names.get(name), int):
                return _Result(U64, constant(self.names[name]))
            case ast.Subscript():
                return _Result(U64, f.load("i64", self._place(node)))
            case ast.Attribute(value=value, attr=field):
                fields = layout(self._evaluate(value).kind)
                if fields.sizes[field] == 8:
                    return _Result(U64, f.load("i64", self._place(node)))
                return _Result(fields.kinds[field], self._place(node))
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self._number(left), self._number(right)
                return _Result(U64, _ARITHMETIC[type(op)](f)(a, b))
            case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Tuple(elts=choices)]):
                is_one = [
                    ast.Compare(left=left, ops=[ast.Eq()], comparators=[one]) for one in choices
                ]
                return self._condition(ast.BoolOp(op=ast.Or(), values=list(is_one)))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                a, b = self._number(left), self._number(right)
                return _Result(U64, f.compare(_ORDER[type(op)], a, b))
            case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return self._condition(node)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return _Result(U64, f.not_(self._number(operand)))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _Result(U64, f.sub(constant(0), self._number(operand)))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._choice(test, body, orelse)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(node, name, arguments)
            case _:
                raise self._wrong(node, f"{type(node).__name__} is not in the dialect")

    def _condition(self, node: ast.expr) -> _Result:
        return self._choice(node, ast.Constant(value=1), ast.Constant(value=0))

    def _choice(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> _Result:
        f = self.f
        then, otherwise, after = f.new_block(), f.new_block(), f.new_block()
        self._branch(test, then, otherwise)
        incoming = []
        for block, node in ((then, body), (otherwise, orelse)):
            f.block = block
            value = self._number(node)
            incoming.append((value, f.block))
            f.go_to(after)
        f.block = after
        return _Result(U64, f.phi(*incoming))

    def _place(self, node: ast.Subscript | ast.Attribute) -> Value:
        """The pointer to what a subscript or an attribute names."""
        f = self.f
        owner = self._evaluate(node.value)
        if isinstance(node, ast.Attribute):
            return f.offset(owner.value, layout(owner.kind).offsets[node.attr])
        if owner.kind is not Words:
            raise self._wrong(node, "only words have an index")
        return f.offset(owner.value, f.shl(self._number(node.slice), constant(3)))

    def _call(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> _Result:
        f = self.f
        match name, arguments:
            case "at", [ast.Name(id=record), place]:
                return _Result(self.names[record], f.pointer(self._number(place)))
            case "words_at", [place]:
                return _Result(Words, f.pointer(self._number(place)))
            case "address_of", [thing]:
                return _Result(U64, f.address(self._evaluate(thing).value))
            case "room", [ast.Constant(value=int() as count)]:
                return _Result(Words, f.local(f"[{count} x i64]"))
            case "room", [ast.Name(id=count)] if isinstance(self.names.get(count), int):
                return _Result(Words, f.local(f"[{self.names[count]} x i64]"))
            case "fresh", [ast.Name(id=record)]:
                kind = self.names[record]
                return _Result(kind, f.local(f"[{layout(kind).size >> 3} x i64]"))
            case "min" | "max", [left, right]:
                a, b = self._number(left), self._number(right)
                order = "ult" if name == "min" else "ugt"
                return _Result(U64, f.select(f.compare(order, a, b), a, b))
            case "mul_high", [left, right]:
                a, b = (f.widen(self._number(side), "i128") for side in (left, right))
                product = f.lshr(f.mul(a, b), constant(64, "i128"))
                return _Result(U64, f.narrow(product, "i64"))
            case "leading_zeros", [value]:
                return _Result(U64, f.leading_zeros(self._number(value)))
            case "load_byte", [place]:
                byte = f.load("i8", f.pointer(self._number(place)), 1)
                return _Result(U64, f.widen(byte, "i64"))
            case "store_byte", [place, value]:
                byte = f.narrow(self._number(value), "i8")
                f.store(byte, f.pointer(self._number(place)), 1)
            case "move_bytes", [to, source, size]:
                places = (f.pointer(self._number(to)), f.pointer(self._number(source)))
                f.move_bytes(*places, self._number(size))
            case "clear_bytes", [to, size]:
                f.clear_bytes(f.pointer(self._number(to)), self._number(size))
            case _:
                callee = self.module.signatures.get(name)
                if callee is None:
                    raise self._wrong(node, f"{name} is no kernel")
                return _Result(U64, f.call(callee, self._arguments(callee, arguments)))
        return _Result(U64, constant(0))

    def _arguments(self, callee: Signature, arguments: list[ast.expr]) -> list[Value]:
        return [
            self._number(node) if type_ == "i64" else self._evaluate(node).value
            for node, type_ in zip(arguments, callee.parameters, strict=True)
        ]
