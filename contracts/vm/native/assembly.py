"""LLVM assembly written as text, value by value.

`Function` is a builder: each method appends one instruction to the current block and
gives its result. Text needs no library to write, is typed for our own tools, and costs
a fraction of what objects for every instruction do. Malformed text crashes LLVM instead
of raising, so types are checked here, where the wrong call still has a traceback.
"""

from collections.abc import Sequence
from typing import Final

from chain.errors import Fault

# Functions that jump to each other, with their state in registers throughout.
THREADED: Final = "preserve_nonecc"


class Value:
    """A constant, a parameter or an instruction's result: its text and LLVM type."""

    __slots__ = ("text", "type")

    def __init__(self, text: str, type_: str) -> None:
        self.text = text
        self.type = type_

    @property
    def bits(self) -> int:
        """The width of an integer."""
        return int(self.type[1:])

    def __repr__(self) -> str:
        return f"{self.type} {self.text}"


def constant(number: int, type_: str = "i64") -> Value:
    return Value(str(number % (1 << int(type_[1:]))), type_)


def word(number: int) -> Value:
    return constant(number, "i256")


class Signature:
    """How a function is called."""

    __slots__ = ("convention", "name", "parameters", "result")

    def __init__(
        self, name: str, result: str, parameters: Sequence[str], convention: str = ""
    ) -> None:
        self.name = name
        self.result = result
        self.parameters = tuple(parameters)
        self.convention = convention


class Block:
    """A label and the instructions under it."""

    __slots__ = ("label", "lines", "over")

    def __init__(self, label: str) -> None:
        self.label = label
        self.lines: list[str] = []
        self.over = False  # whether a terminator has been written


class Module:
    """Functions and constants that are compiled together."""

    def __init__(self) -> None:
        self.signatures: dict[str, Signature] = {}
        self._functions: list[Function] = []
        self._declared: dict[str, str] = {}
        self._constants: list[str] = []

    def declare(
        self,
        name: str,
        result: str,
        parameters: Sequence[str],
        promises: str = "",
        *,
        convention: str = "",
    ) -> Signature:
        """A function from elsewhere: an intrinsic, or one of another module.

        What LLVM may rely on follows the types of `parameters`, unless they are vectors, or
        is in `promises`.
        """
        signature = self.signatures.get(name)
        if signature is None:
            types = [
                parameter if parameter.startswith("<") else parameter.partition(" ")[0]
                for parameter in parameters
            ]
            signature = self.signatures[name] = Signature(name, result, types, convention)
            listed = ", ".join(parameters)
            self._declared[name] = f"declare {convention} {result} @{name}({listed}) {promises}"
        return signature

    def function(
        self,
        name: str,
        result: str,
        parameters: Sequence[str],
        *,
        convention: str = "",
        public: bool = False,
        attributes: str = "",
    ) -> "Function":
        if name in self.signatures:
            raise Fault(f"native function {name} is defined twice")
        signature = self.signatures[name] = Signature(name, result, parameters, convention)
        function = Function(self, signature, public=public, attributes=attributes)
        self._functions.append(function)
        return function

    def table(self, name: str, type_: str, entries: Sequence[str]) -> Value:
        """A constant array; entries are constants' or functions' texts."""
        body = ", ".join(f"{type_} {entry}" for entry in entries)
        self._constants.append(f"@{name} = internal constant [{len(entries)} x {type_}] [{body}]")
        return Value(f"@{name}", "ptr")

    def text(self) -> str:
        declared = [self._declared[name] for name in sorted(self._declared)]
        bodies = [function.text() for function in self._functions]
        return "\n".join((*self._constants, *declared, *bodies, BRANCH_WEIGHTS))


class Function:
    """A function being written. `block` is where the next instruction goes."""

    # Without noimplicitfloat LLVM moves words through vector registers, where a load
    # soon after narrower stores waits for them: half the speed.
    _ATTRIBUTES: Final = "noimplicitfloat nounwind"

    def __init__(
        self, module: Module, signature: Signature, *, public: bool, attributes: str
    ) -> None:
        self.module = module
        self.signature = signature
        self.arguments = [Value(f"%a{i}", type_) for i, type_ in enumerate(signature.parameters)]
        self._public = public
        self._extra = attributes
        self._names = 0
        self._entry = Block("entry")
        self._blocks = [self._entry]
        self._reached: set[Block] = set()
        self._body = self.new_block()
        self.block = self._body

    # -- blocks --

    def new_block(self) -> Block:
        self._names += 1
        block = Block(f"b{self._names}")
        self._blocks.append(block)
        return block

    def reached(self, block: Block) -> bool:
        """Whether a jump to the block has been written."""
        return block in self._reached

    def go_to(self, block: Block) -> None:
        """Jump there; nothing is written after it until `block` is set anew."""
        self._reached.add(block)
        self._end(f"br label %{block.label}")

    def branch(
        self, condition: Value, then: Block, otherwise: Block, *, likely: bool | None = None
    ) -> None:
        assert condition.type == "i1", condition
        self._reached |= {then, otherwise}
        hint = "" if likely is None else ", !prof " + ("!0" if likely else "!1")
        self._end(f"br i1 {condition.text}, label %{then.label}, label %{otherwise.label}{hint}")

    def switch(self, value: Value, default: Block, cases: Sequence[tuple[int, Block]]) -> None:
        self._reached |= {default, *(to for _, to in cases)}
        body = " ".join(f"{value.type} {number}, label %{to.label}" for number, to in cases)
        self._end(f"switch {value}, label %{default.label} [ {body} ]")

    def give(self, value: Value) -> None:
        """Return."""
        assert value.type == self.signature.result, value
        self._end(f"ret {value}")

    def become(self, callee: Value | Signature, arguments: Sequence[Value]) -> None:
        """Jump to a function of the same signature, which returns in place of this one."""
        own = self.signature
        name = f"@{callee.name}" if isinstance(callee, Signature) else callee.text
        self._end(
            f"%z{self._names} = musttail call {own.convention} {own.result} {name}"
            f"({', '.join(map(repr, arguments))})\n  ret {own.result} %z{self._names}"
        )
        self._names += 1

    def unreachable(self) -> None:
        self._end("unreachable")

    def _end(self, line: str) -> None:
        assert not self.block.over, "a block ends once"
        self.block.lines.append(line)
        self.block.over = True

    # -- instructions --

    def _do(self, type_: str, text: str) -> Value:
        assert not self.block.over, text
        self._names += 1
        self.block.lines.append(f"%v{self._names} = {text}")
        return Value(f"%v{self._names}", type_)

    def _binary(self, operation: str, a: Value, b: Value) -> Value:
        assert a.type == b.type, (operation, a, b)
        return self._do(a.type, f"{operation} {a}, {b.text}")

    def add(self, a: Value, b: Value) -> Value:
        return self._binary("add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        return self._binary("sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self._binary("mul", a, b)

    def udiv(self, a: Value, b: Value) -> Value:
        return self._binary("udiv", a, b)

    def urem(self, a: Value, b: Value) -> Value:
        return self._binary("urem", a, b)

    def sdiv(self, a: Value, b: Value) -> Value:
        return self._binary("sdiv", a, b)

    def srem(self, a: Value, b: Value) -> Value:
        return self._binary("srem", a, b)

    def and_(self, a: Value, b: Value) -> Value:
        return self._binary("and", a, b)

    def or_(self, a: Value, b: Value) -> Value:
        return self._binary("or", a, b)

    def xor(self, a: Value, b: Value) -> Value:
        return self._binary("xor", a, b)

    def shl(self, a: Value, b: Value) -> Value:
        return self._binary("shl", a, b)

    def lshr(self, a: Value, b: Value) -> Value:
        return self._binary("lshr", a, b)

    def ashr(self, a: Value, b: Value) -> Value:
        return self._binary("ashr", a, b)

    def not_(self, a: Value) -> Value:
        return self.xor(a, constant(-1, a.type))

    def compare(self, how: str, a: Value, b: Value) -> Value:
        """`how` is LLVM's: eq, ne, ult, ule, ugt, uge, slt, sgt, ..."""
        assert a.type == b.type, (how, a, b)
        return self._do("i1", f"icmp {how} {a}, {b.text}")

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        assert then.type == otherwise.type, (then, otherwise)
        return self._do(then.type, f"select i1 {condition.text}, {then}, {otherwise}")

    def widen(self, value: Value, type_: str) -> Value:
        """With zeros; a value of that type already stays itself."""
        return value if value.type == type_ else self._do(type_, f"zext {value} to {type_}")

    def extend(self, value: Value, type_: str) -> Value:
        """With the sign."""
        return self._do(type_, f"sext {value} to {type_}")

    def narrow(self, value: Value, type_: str) -> Value:
        return value if value.type == type_ else self._do(type_, f"trunc {value} to {type_}")

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """A vector of lanes of two, which are counted from the first lane of `a` on."""
        assert a.type == b.type, (a, b)
        chosen = ", ".join(f"i32 {lane}" for lane in lanes)
        kind = f"<{len(lanes)} {a.type[a.type.index('x') :]}"
        return self._do(kind, f"shufflevector {a}, {b}, <{len(lanes)} x i32> <{chosen}>")

    def first_lane(self, value: Value, type_: str) -> Value:
        """A vector that begins with the value; nothing is known of its other lanes."""
        return self._do(type_, f"insertelement {type_} poison, {value}, i32 0")

    def lane(self, vector: Value, number: int) -> Value:
        kind = vector.type[vector.type.index("x") + 1 : -1].strip()
        return self._do(kind, f"extractelement {vector}, i32 {number}")

    def pointer(self, address: Value) -> Value:
        return self._do("ptr", f"inttoptr {address} to ptr")

    def address(self, pointer: Value) -> Value:
        return self._do("i64", f"ptrtoint {pointer} to i64")

    def offset(self, pointer: Value, distance: Value | int) -> Value:
        """The pointer that many bytes further."""
        if isinstance(distance, int):
            if distance == 0:
                return pointer
            distance = constant(distance)
        return self._do("ptr", f"getelementptr i8, {pointer}, {distance}")

    def load(self, type_: str, pointer: Value, align: int = 8) -> Value:
        return self._do(type_, f"load {type_}, {pointer}, align {align}")

    def store(self, value: Value, pointer: Value, align: int = 8) -> None:
        assert not self.block.over and pointer.type == "ptr", (value, pointer)
        self.block.lines.append(f"store {value}, {pointer}, align {align}")

    def local(self, type_: str) -> Value:
        """Room on the machine's stack for one value, for as long as the function runs."""
        self._names += 1
        self._entry.lines.append(f"%v{self._names} = alloca {type_}, align 8")
        return Value(f"%v{self._names}", "ptr")

    def phi(self, *incoming: tuple[Value, Block]) -> Value:
        """The value that belongs to the block that control came from."""
        type_ = incoming[0][0].type
        pairs = ", ".join(f"[ {value.text}, %{block.label} ]" for value, block in incoming)
        return self._do(type_, f"phi {type_} {pairs}")

    def call(self, callee: Signature, arguments: Sequence[Value]) -> Value:
        got = tuple(argument.type for argument in arguments)
        assert got == callee.parameters, (callee.name, got, callee.parameters)
        text = (
            f"call {callee.convention} {callee.result} @{callee.name}"
            f"({', '.join(map(repr, arguments))})"
        )
        if callee.result == "void":
            self.block.lines.append(text)
            return Value("undef", "void")
        return self._do(callee.result, text)

    def call_through(
        self, pointer: Value, signature: Signature, arguments: Sequence[Value]
    ) -> Value:
        """Call the function at an address."""
        return self._do(
            signature.result,
            f"call {signature.convention} {signature.result} {pointer.text}"
            f"({', '.join(map(repr, arguments))})",
        )

    def intrinsic(self, name: str, *arguments: Value, result: str | None = None) -> Value:
        """Call LLVM's own `name`, overloaded on the first argument's type."""
        types = tuple(argument.type for argument in arguments)
        callee = self.module.declare(f"llvm.{name}.{types[0]}", result or types[0], types)
        return self.call(callee, arguments)

    def swap_bytes(self, value: Value) -> Value:
        return self.intrinsic("bswap", value)

    def leading_zeros(self, value: Value) -> Value:
        """As many as there are bits for 0."""
        return self.intrinsic("ctlz", value, constant(0, "i1"))

    def move_bytes(self, to: Value, source: Value, size: Value) -> None:
        """Copy `size` bytes; the two may overlap."""
        kinds = ("ptr", "ptr", "i64", "i1")
        callee = self.module.declare("llvm.memmove.p0.p0.i64", "void", kinds)
        self.call(callee, (to, source, size, constant(0, "i1")))

    def clear_bytes(self, to: Value, size: Value) -> None:
        callee = self.module.declare("llvm.memset.p0.i64", "void", ("ptr", "i8", "i64", "i1"))
        self.call(callee, (to, constant(0, "i8"), size, constant(0, "i1")))

    # -- the whole --

    def text(self) -> str:
        own = self.signature
        linkage = "" if self._public else "internal "
        parameters = ", ".join(map(repr, self.arguments))
        attributes = f"{self._ATTRIBUTES} {self._extra}"
        head = f"define {linkage}{own.convention} {own.result} @{own.name}({parameters})"
        lines = [f"{head} {attributes} {{"]
        entry = [*self._entry.lines, f"br label %{self._body.label}"]
        for block in self._blocks:
            assert block is self._entry or block.over, f"{own.name}: {block.label} has no end"
            lines.append(f"{block.label}:")
            lines += [f"  {line}" for line in (entry if block is self._entry else block.lines)]
        lines.append("}")
        return "\n".join(lines)


BRANCH_WEIGHTS: Final = (
    '!0 = !{!"branch_weights", i32 1000, i32 1}\n!1 = !{!"branch_weights", i32 1, i32 1000}\n'
)
