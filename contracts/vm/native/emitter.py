"""What lowerings write with: the builder, the frame, gas, memory, and the ways out.

A lowering (contracts.vm.native.lowerings) gets an Emitter and its operands as 256-bit
values and gives the word to push. The static gas is paid and the stack checked before.
An opcode may start over, so that Python can enlarge an area or look a slot up; so a
lowering asks first and changes last. Memory that it has expanded stays so.
"""

from collections.abc import Sequence
from typing import Final

from chain.machine import Halt
from contracts.vm.native.assembly import Block, Function, Value, constant, word
from contracts.vm.native.records import (
    FRAME_SIZE,
    FRAME_STRIDE,
    GAS_LIMIT,
    LEFT_END,
    LEFT_OPCODE,
    NO_GAS,
    NUMBER_OF,
    Account,
    Frame,
    Session,
    layout,
)

FRAME: Final = layout(Frame)
SESSION: Final = layout(Session)
ACCOUNT: Final = layout(Account)

# frame, position in the code, top of the stack, gas, opcodes' functions.
HANDLER_PARAMETERS: Final = ("ptr", "ptr", "ptr", "i64", "ptr")

# Offsets and sizes from here on are too large for any gas; smaller ones add up in 64 bits.
_TOO_LARGE: Final = 2**40


class GivingUp:
    """Where an opcode in compiled code goes when only the interpreter can do it.

    The opcode starts over there, so that it halts or leaves just as it always does.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self.block: Block | None = None  # there is one as soon as something goes there
        self.incoming: list[tuple[Value, Block]] = []  # the gas to start over with, and from where

    def with_gas(self, gas: Value, origin: Block) -> Block:
        """The block to branch to from `origin`, which branches there once."""
        if self.block is None:
            self.block = self._function.new_block()
        self.incoming.append((gas, origin))
        return self.block


class Emitter:
    """One opcode's function of the native interpreter, being written.

    `f` is the builder. `gas` is the gas left at this point. `registers` are the values
    of HANDLER_PARAMETERS when they aren't the function's own. With `giving_up` the
    opcode is one of many in a function, and neither halts nor leaves itself.
    """

    def __init__(
        self,
        function: Function,
        opcode: int,
        registers: Sequence[Value] | None = None,
        giving_up: GivingUp | None = None,
    ) -> None:
        self.f = function
        self.opcode = opcode
        self.frame, self.pc, self.top, self.gas, self.table = registers or function.arguments
        self.giving_up = giving_up
        self._gas_at_start = self.gas
        self._halts: dict[Halt, Block] = {}

    # -- the frame and the session --

    def field(self, name: str) -> Value:
        return self.f.load("i64", self.f.offset(self.frame, FRAME.offsets[name]))

    def set_field(self, name: str, value: Value) -> None:
        self.f.store(value, self.f.offset(self.frame, FRAME.offsets[name]))

    def frame_word(self, name: str) -> Value:
        return self.f.load("i256", self.f.offset(self.frame, FRAME.offsets[name]))

    def session(self) -> Value:
        return self.f.load("ptr", self.f.offset(self.frame, FRAME.offsets["session"]))

    def session_field(self, name: str) -> Value:
        return self.f.load("i64", self.f.offset(self.session(), SESSION.offsets[name]))

    def session_word(self, name: str) -> Value:
        return self.f.load("i256", self.f.offset(self.session(), SESSION.offsets[name]))

    def static_gas(self) -> Value:
        """What the fork asks for this opcode, where forks differ."""
        at = SESSION.offsets["static_gas"] + 8 * self.opcode
        return self.f.load("i64", self.f.offset(self.session(), at))

    def account_field(self, account: Value, name: str) -> Value:
        """Of a contracts.vm.native.records.Account at an address."""
        return self.f.load("i64", self.f.offset(self.f.pointer(account), ACCOUNT.offsets[name]))

    def account_word(self, account: Value, name: str) -> Value:
        return self.f.load("i256", self.f.offset(self.f.pointer(account), ACCOUNT.offsets[name]))

    # -- words --

    def to_word(self, value: Value) -> Value:
        """A number or condition as 256 bits."""
        return self.f.widen(value, "i256")

    def spill(self, value: Value, type_: str = "i256") -> Value:
        """A pointer to a copy in memory, for a kernel to read and write."""
        place = self.f.local(type_)
        self.f.store(self.f.widen(value, type_), place)
        return place

    def unspill(self, place: Value) -> Value:
        return self.f.load("i256", place)

    def call(self, kernel: str, *arguments: Value) -> Value:
        return self.f.call(self.f.module.signatures[kernel], arguments)

    # -- gas and failure --

    def charge(self, amount: Value | int) -> None:
        if isinstance(amount, int):
            amount = constant(amount)
        self.halt_if(self.f.compare("ult", self.gas, amount), Halt.OUT_OF_GAS)
        self.gas = self.f.sub(self.gas, amount)

    def halt_if(self, condition: Value, halt: Halt) -> None:
        proceed = self.f.new_block()
        self.f.branch(condition, self._halt_block(halt), proceed, likely=False)
        self.f.block = proceed

    def _halt_block(self, halt: Halt) -> Block:
        if self.giving_up is not None:
            return self.giving_up.with_gas(self._gas_at_start, self.f.block)
        block = self._halts.get(halt)
        if block is None:
            here, block = self.f.block, self.f.new_block()
            self.f.block = block
            self.end(halt)
            self.f.block = here
            self._halts[halt] = block
        return block

    def end(self, halt: Halt | None) -> None:
        """The frame is over; its output, if any, has been set."""
        number = NUMBER_OF[halt] if halt is not None else 0
        gas = self.gas if halt in (None, Halt.REVERT) else constant(0)
        finish = self.f.module.signatures["finish"]
        self.f.become(finish, (self.frame, self.f.pointer(constant(number)), self.top, gas,
                               self.table))  # fmt: skip

    def leave(self, code: Value | int, pc: Value, gas: Value) -> None:
        """Back to Python; native code goes on at `pc` with the stack as it was before."""
        f = self.f
        self._save(pc, self.top, gas)
        f.store(f.address(self.frame), f.offset(self.session(), SESSION.offsets["frame"]))
        f.give(constant(code) if isinstance(code, int) else code)

    def checked(self, result: Value) -> Value:
        """A kernel's result, unless it says that there is no gas or that Python is needed."""
        f = self.f
        proceed = f.new_block()
        unusual = f.compare("uge", result, constant(GAS_LIMIT))
        if self.giving_up is not None:
            start_over = self.giving_up.with_gas(self._gas_at_start, f.block)
            f.branch(unusual, start_over, proceed, likely=False)
            f.block = proceed
            return result
        special, start_over = f.new_block(), f.new_block()
        f.branch(unusual, special, proceed, likely=False)
        f.block = special
        no_gas = f.compare("eq", result, constant(NO_GAS))
        f.branch(no_gas, self._halt_block(Halt.OUT_OF_GAS), start_over)
        f.block = start_over
        self.leave(f.not_(result), self.pc, self._gas_at_start)
        f.block = proceed
        return result

    # -- memory --

    def size(self, size: Value) -> Value:
        """A size in 64 bits; one that no gas could pay for runs out of gas."""
        too_large = self.f.compare("uge", size, word(_TOO_LARGE))
        self.halt_if(too_large, Halt.OUT_OF_GAS)
        return self.f.narrow(size, "i64")

    def clamped(self, offset: Value) -> Value:
        """An offset in 64 bits; a larger one as one that is behind all data."""
        f = self.f
        inside = f.compare("ult", offset, word(_TOO_LARGE))
        return f.select(inside, f.narrow(offset, "i64"), constant(_TOO_LARGE))

    def charge_words(self, price: int, size: Value) -> None:
        """Pay for every begun 32 bytes."""
        f = self.f
        words = f.lshr(f.add(size, constant(31)), constant(5))
        self.charge(f.mul(words, constant(price)))

    def memory(self, offset: Value, size: Value | int) -> Value:
        """The address of a piece of memory, paid for and there; anywhere when size is 0.

        `offset` has 256 bits, `size` 64 or is known.
        """
        f = self.f
        if isinstance(size, int):
            size = constant(size)
        else:
            # Nothing is nowhere: its offset does not count.
            nothing = f.compare("eq", size, constant(0))
            offset = f.select(nothing, word(0), offset)
        start = self.clamped(offset)
        end = f.add(start, size)
        before, gas = f.block, self.gas
        grow, there = f.new_block(), f.new_block()
        f.branch(f.compare("ugt", end, self.field("memory_size")), grow, there, likely=False)
        f.block = grow
        left = self.checked(self.call("expand", self.frame, end, gas))
        # Memory stays expanded when the opcode starts over later, so it stays paid.
        restart = f.sub(self._gas_at_start, f.sub(gas, left))
        after = f.block
        f.go_to(there)
        f.block = there
        self.gas = f.phi((gas, before), (left, after))
        self._gas_at_start = f.phi((self._gas_at_start, before), (restart, after))
        return f.add(self.field("memory"), start)

    # -- the stack --

    def operand(self, depth: int) -> Value:
        """The word at `depth`, 1 for the top."""
        return self.f.load("i256", self.place(depth))

    def place(self, depth: int) -> Value:
        return self.f.offset(self.top, -32 * depth)

    def check_stack(self, pops: int, rise: int, limit: int) -> None:
        f = self.f
        if not pops and rise <= 0:
            return
        height = f.sub(f.address(self.top), f.address(self.frame))  # in bytes, plus the frame's
        if pops:
            least = constant(FRAME_SIZE + 32 * pops)
            self.halt_if(f.compare("ult", height, least), Halt.STACK_UNDERFLOW)
        if rise > 0:
            most = constant(FRAME_SIZE + 32 * (limit - rise))
            self.halt_if(f.compare("ugt", height, most), Halt.STACK_OVERFLOW)

    # -- messages --

    def leave_if(self, condition: Value) -> None:
        """Leave the whole opcode to Python. Only as the first thing that it does."""
        f = self.f
        if self.giving_up is not None:
            start_over = self.giving_up.with_gas(self._gas_at_start, f.block)
            proceed = f.new_block()
            f.branch(condition, start_over, proceed, likely=False)
            f.block = proceed
            return
        unable, proceed = f.new_block(), f.new_block()
        f.branch(condition, unable, proceed, likely=False)
        f.block = unable
        self.leave(LEFT_OPCODE | self.opcode << 8, self.after(), self.gas)
        f.block = proceed

    def open_frame(self, pops: int, gas: Value, *message: Value) -> None:
        """Run another frame with `gas`, which this one has paid; `message` is as the kernel says.

        This frame goes on after the opcode, when the other one is over.
        """
        f = self.f
        self._save(self.after(), self.place(pops), self.gas)
        self.call("open_frame", self.frame, *message, gas)
        child = f.offset(self.frame, FRAME_STRIDE)
        code = f.pointer(f.load("i64", f.offset(child, FRAME.offsets["code"])))
        number = f.widen(f.load("i8", code, 1), "i64")
        handler = f.load("ptr", f.offset(self.table, f.shl(number, constant(3))))
        f.become(handler, (child, code, f.offset(child, FRAME_SIZE), gas, self.table))

    def _save(self, pc: Value, top: Value, gas: Value) -> None:
        """Write into the frame what otherwise is in registers."""
        self.set_field("pc", self.f.sub(self.f.address(pc), self.field("code")))
        self.set_field("top", self.f.address(top))
        self.set_field("gas", gas)

    # -- going on --

    def dispatch(self, pc: Value, top: Value) -> None:
        """Run the opcode at `pc`."""
        f = self.f
        number = f.widen(f.load("i8", pc, 1), "i64")
        handler = f.load("ptr", f.offset(self.table, f.shl(number, constant(3))))
        f.become(handler, (self.frame, pc, top, self.gas, self.table))

    def after(self, size: int = 1) -> Value:
        """The position that many bytes further in the code."""
        return self.f.offset(self.pc, size)


def add_finish(function: Function) -> None:
    """What every frame ends in: `pc` holds how. A frame of Python's is ended there."""
    e, f = Emitter(function, 0), function
    how = f.address(e.pc)
    native, python = f.new_block(), f.new_block()
    f.branch(f.compare("eq", e.field("of_python"), constant(0)), native, python)
    f.block = native
    gas = e.call("close_frame", e.frame, how, e.gas)
    proceed = f.new_block()
    f.branch(f.compare("uge", gas, constant(GAS_LIMIT)), python, proceed, likely=False)
    f.block = proceed
    sender = f.offset(e.frame, -FRAME_STRIDE)
    code, pc, top = (
        f.load("i64", f.offset(sender, FRAME.offsets[name])) for name in ("code", "pc", "top")
    )
    position = f.pointer(f.add(code, pc))
    number = f.widen(f.load("i8", position, 1), "i64")
    handler = f.load("ptr", f.offset(e.table, f.shl(number, constant(3))))
    f.become(handler, (sender, position, f.pointer(top), gas, e.table))
    f.block = python
    e.set_field("gas", e.gas)
    f.store(f.address(e.frame), f.offset(e.session(), SESSION.offsets["frame"]))
    f.give(f.or_(f.shl(how, constant(8)), constant(LEFT_END)))
