"""The native interpreter, made of the opcode table: one function for every opcode.

They jump to each other through a table of addresses that travels in a register; a fork
is such a table, and so is tracing. Frame, position, stack and gas stay in registers too.
"""

from collections.abc import Collection
from typing import Final

from chain.errors import Fault
from chain.machine import Halt
from contracts.vm.frame import STACK_MAX
from contracts.vm.native.assembly import (
    THREADED,
    Function,
    Module,
    Value,
    constant,
    word,
)
from contracts.vm.native.dialect import compile_kernels
from contracts.vm.native.emitter import FRAME, HANDLER_PARAMETERS, Emitter, add_finish
from contracts.vm.native.kernels import (
    accounts,
    division,
    frames,
    journal,
    memory,
    storage,
    undoing,
)
from contracts.vm.native.permutation import add_permutation
from contracts.vm.native.records import LEFT_OPCODE, LEFT_STEP
from contracts.vm.opcodes import OPCODES, Opcode, Shape

ENTER: Final = "enter"  # (frame, table for the first opcode, table for those after it)
HANDLERS: Final = "handlers"  # what it gives is an array of 260 addresses
MISSING: Final = 256  # in that array, after the opcodes: what does not exist in the fork
STEP: Final = 257  # leaves before the opcode
COMPILED: Final = 258  # goes on with compiled code, where there is some
FINISH: Final = 259  # ends a frame
KERNELS: Final = "kernels"  # what it gives is an array of the addresses of COMPILED_CALLS

# Pure opcodes that compiled code calls rather than contains: functions of a pointer to the
# operands, the first one first, which put the result in its place.
HEAVY: Final = ("MUL", "DIV", "SDIV", "MOD", "SMOD", "ADDMOD", "MULMOD", "SIGNEXTEND", "BYTE",
                "SHL", "SHR", "SAR")  # fmt: skip
COMPILED_CALLS: Final = (
    *("divide", "power", "expand", "copy_padded", "keccak", "keccak_pair", "reserve_log"),
    *("load_slot", "load_transient", "store_slot", "store_transient"),
    *("known_account", "warm_account"),
    *(f"heavy_{name}" for name in HEAVY),
)
# Kernels that Python calls itself.
PUBLISHED: Final = (
    *("undo", "move_slots", "move_accounts", "find_slot", "find_account", "collect_slots"),
    "mark_destinations",
)


def interpreter_module(features: Collection[str]) -> Module:
    """All of it, ready to be compiled for a processor that has the features."""
    module = Module()
    add_permutation(module, features)
    for kernels in (division, memory, journal, storage, accounts, undoing, frames):
        compile_kernels(module, kernels)
    _add_power(module)
    add_finish(_handler(module, "finish"))
    _add_missing(_handler(module, "missing"))
    _add_step(_handler(module, "step"))
    _add_compiled(_handler(module, "compiled"))
    names = []
    for code in range(256):
        opcode = OPCODES.get(code)
        if opcode is None:
            names.append("@missing")
            continue
        names.append(f"@op_{opcode.name}")
        _add_opcode(_handler(module, f"op_{opcode.name}"), opcode)
    table = module.table(
        "all_handlers", "ptr", [*names, "@missing", "@step", "@compiled", "@finish"]
    )
    give = module.function(HANDLERS, "i64", [], public=True)
    give.give(give.address(table))
    _add_enter(module)
    _publish(module)
    _add_heavy(module)
    addresses = module.table("all_kernels", "ptr", [f"@{name}" for name in COMPILED_CALLS])
    give = module.function(KERNELS, "i64", [], public=True)
    give.give(give.address(addresses))
    return module


def _handler(module: Module, name: str) -> Function:
    return module.function(name, "i64", HANDLER_PARAMETERS, convention=THREADED)


def _publish(module: Module) -> None:
    """Functions that Python calls itself: plain numbers in, a number out."""
    for name in PUBLISHED:
        kernel = module.signatures[name]
        function = module.function(f"call_{name}", "i64", ["i64"] * len(kernel.parameters),
                                   public=True)  # fmt: skip
        arguments = [
            function.pointer(value) if type_ == "ptr" else value
            for value, type_ in zip(function.arguments, kernel.parameters)
        ]
        function.give(function.call(kernel, arguments))


def _add_missing(function: Function) -> None:
    Emitter(function, 0).end(Halt.BAD_OPCODE)


def _add_step(function: Function) -> None:
    emitter = Emitter(function, 0)
    emitter.leave(LEFT_STEP, emitter.pc, emitter.gas)


def _add_compiled(function: Function) -> None:
    """Go on with the function for this position; without one this is no opcode."""
    e, f = Emitter(function, 0), function
    table = e.field("compiled")
    some, missing = f.new_block(), f.new_block()
    f.branch(f.compare("eq", table, constant(0)), missing, some, likely=False)
    f.block = some
    position = f.sub(f.address(e.pc), e.field("code"))
    place = f.add(table, f.shl(position, constant(3)))
    compiled = f.load("ptr", f.pointer(place))
    enters = f.new_block()
    f.branch(f.compare("eq", f.address(compiled), constant(0)), missing, enters, likely=False)
    f.block = enters
    f.become(compiled, function.arguments)
    f.block = missing
    e.end(Halt.BAD_OPCODE)


def _add_heavy(module: Module) -> None:
    for opcode in OPCODES.values():
        if opcode.name not in HEAVY or opcode.lower is None:
            continue
        f = module.function(f"heavy_{opcode.name}", "i64", ["ptr"], attributes="noinline")
        places = [f.offset(f.arguments[0], 32 * i) for i in range(opcode.pops)]
        # A pure lowering touches no register.
        nowhere, nothing = f.arguments[0], constant(0)
        e = Emitter(f, opcode.code, (nowhere, nowhere, nowhere, nothing, nowhere))
        result = opcode.lower(e, *(f.load("i256", place) for place in places))
        if result is None:
            raise Fault(f"{opcode.name} is not a pure opcode")
        f.store(result, f.arguments[0])
        f.give(constant(0))


def _add_enter(module: Module) -> None:
    f = module.function(ENTER, "i64", ["ptr", "ptr", "ptr"], public=True)
    frame, first, table = f.arguments
    fields = {
        name: f.load("i64", f.offset(frame, FRAME.offsets[name]))
        for name in ("code", "pc", "top", "gas")
    }
    pc = f.pointer(f.add(fields["code"], fields["pc"]))
    number = f.widen(f.load("i8", pc, 1), "i64")
    handler = f.load("ptr", f.offset(first, f.shl(number, constant(3))))
    arguments = (frame, pc, f.pointer(fields["top"]), fields["gas"], table)
    f.give(f.call_through(handler, module.signatures["missing"], arguments))


def _add_power(module: Module) -> None:
    """`power(base, exponent)`: base to the power, modulo 2^256, in place of base."""
    f = module.function("power", "i64", ["ptr", "ptr"], attributes="noinline")
    base, exponent = f.arguments
    result, square, left = f.local("i256"), f.local("i256"), f.local("i256")
    f.store(word(1), result)
    f.store(f.load("i256", base), square)
    f.store(f.load("i256", exponent), left)
    check, odd, multiply, next_, after = (f.new_block() for _ in range(5))
    f.go_to(check)
    f.block = check
    f.branch(f.compare("eq", f.load("i256", left), word(0)), after, odd)
    f.block = odd
    f.branch(f.narrow(f.load("i256", left), "i1"), multiply, next_)
    f.block = multiply
    f.store(f.mul(f.load("i256", result), f.load("i256", square)), result)
    f.go_to(next_)
    f.block = next_
    f.store(f.mul(f.load("i256", square), f.load("i256", square)), square)
    f.store(f.lshr(f.load("i256", left), word(1)), left)
    f.go_to(check)
    f.block = after
    f.store(f.load("i256", result), base)
    f.give(constant(0))


def _add_opcode(function: Function, opcode: Opcode) -> None:
    e = Emitter(function, opcode.code)
    e.check_stack(opcode.pops, opcode.pushes - opcode.pops, STACK_MAX)
    if not isinstance(opcode.gas, int):
        e.charge(e.static_gas())
    elif opcode.gas:
        e.charge(opcode.gas)
    match opcode.shape:
        case Shape.PUSH:
            _push(e, opcode.operand_bytes)
        case Shape.PC:
            position = e.f.sub(e.f.address(e.pc), e.field("code"))
            _give(e, opcode, e.to_word(position))
        case Shape.DUP:
            _give(e, opcode, e.operand(opcode.pops), pops=0)
        case Shape.SWAP:
            upper, lower = e.operand(1), e.operand(opcode.pops)
            e.f.store(lower, e.place(1))
            e.f.store(upper, e.place(opcode.pops))
            e.dispatch(e.after(), e.top)
        case Shape.POP | Shape.NOTHING:
            _give(e, opcode, None)
        case Shape.JUMP:
            _jump(e, e.operand(1), e.place(1))
        case Shape.JUMPI:
            _jump_if(e)
        case _:
            _lower(e, opcode)


def _lower(e: Emitter, opcode: Opcode) -> None:
    """What the table says, or Python where it says nothing."""
    if opcode.lower is None:
        e.leave(LEFT_OPCODE | opcode.code << 8, e.after(), e.gas)
        return
    operands = [e.operand(depth) for depth in range(1, opcode.pops + 1)]
    result = opcode.lower(e, *operands)
    if opcode.shape in (Shape.END, Shape.SEND):
        if not e.f.block.over:
            raise Fault(f"the lowering of {opcode.name} goes on in the same frame")
        return
    if (result is None) is not (opcode.pushes == 0):
        raise Fault(f"the lowering of {opcode.name} pushes otherwise than the table says")
    _give(e, opcode, result)


def _give(e: Emitter, opcode: Opcode, result: Value | None, *, pops: int | None = None) -> None:
    """Pop, push the result, and go on."""
    pops = opcode.pops if pops is None else pops
    rise = -32 * pops
    if result is not None:
        e.f.store(result, e.place(pops))
        rise += 32
    e.dispatch(e.after(), e.f.offset(e.top, rise))


def _push(e: Emitter, size: int) -> None:
    f = e.f
    if size == 0:
        value = word(0)
    elif size == 1:
        value = f.widen(f.load("i8", e.after(), 1), "i256")
    else:
        # One load of the next power of two; code is followed by enough zeros.
        bits = 8 * next(width for width in (2, 4, 8, 16, 32) if width >= size)
        type_ = f"i{bits}"
        value = f.swap_bytes(f.load(type_, e.after(), 1))
        if 8 * size < bits:
            value = f.lshr(value, constant(bits - 8 * size, type_))
        value = f.widen(value, "i256")
    f.store(value, e.top)
    e.dispatch(e.after(1 + size), f.offset(e.top, 32))


def _jump(e: Emitter, target: Value, top: Value) -> None:
    f = e.f
    outside = f.compare("uge", target, e.to_word(e.field("code_size")))
    e.halt_if(outside, Halt.BAD_JUMP)
    distance = f.narrow(target, "i64")
    mark = f.load("i8", f.pointer(f.add(e.field("destinations"), distance)), 1)
    e.halt_if(f.compare("eq", mark, constant(0, "i8")), Halt.BAD_JUMP)
    e.dispatch(f.pointer(f.add(e.field("code"), distance)), top)


def _jump_if(e: Emitter) -> None:
    f = e.f
    target, condition = e.operand(1), e.operand(2)
    taken, straight = f.new_block(), f.new_block()
    f.branch(f.compare("ne", condition, word(0)), taken, straight)
    f.block = straight
    e.dispatch(e.after(), e.place(2))
    f.block = taken
    _jump(e, target, e.place(2))
