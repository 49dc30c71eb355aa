"""Regions as functions in assembly, opcode by opcode through the lowerings of the table.

Every way out is a jump to another function with the same parameters, after the words
that have changed were written back to the stack: to another region, or to the opcode's
function in the interpreter's table. Static gas is paid once for a block; an opcode that
gives up gets back what was paid for it and those after it.
"""

from typing import Final

from chain.errors import Fault
from contracts.vm.frame import STACK_MAX
from contracts.vm.native.assembly import (
    THREADED,
    Function,
    Module,
    Signature,
    Value,
    constant,
    word,
)
from contracts.vm.native.emitter import FRAME, HANDLER_PARAMETERS, Emitter, GivingUp
from contracts.vm.native.handlers import HEAVY
from contracts.vm.native.jit.flow import WEIGHTS, Exit, Flow, Instruction
from contracts.vm.native.jit.regions import Member, Region
from contracts.vm.native.records import FRAME_SIZE
from contracts.vm.opcodes import OPCODES, Opcode, Shape

_GAS: Final = 0x5A
_JUMPDEST: Final = 0x5B
# As much of the opcodes that are heavy but can be written out is, in one code.
_HEAVY_WEIGHT_MAX: Final = 1_500
_ALWAYS_CALLED: Final = ("ADDMOD", "MULMOD", "DIV", "SDIV", "MOD", "SMOD")
# Before the names of kernels and heavy opcodes, as symbols that are filled in on loading.
KERNEL_PREFIX: Final = "chain_vm_"
# Before the numbers of opcodes, as symbols of the interpreter's functions.
OPCODE_PREFIX: Final = "chain_vm_opcode_"
# The kernels that lowerings call, by their parameters; all give a number.
_KERNELS: Final = {
    "divide": ("ptr", "ptr", "ptr", "i64", "ptr"),
    "power": ("ptr", "ptr"),
    "expand": ("ptr", "i64", "i64"),
    "copy_padded": ("i64", "i64", "i64", "i64", "i64"),
    "keccak": ("ptr captures(none)", "ptr readonly captures(none)", "i64"),
    "keccak_pair": ("ptr", "ptr", "ptr"),
    "reserve_log": ("ptr", "i64", "i64"),
    "load_slot": ("ptr", "ptr", "i64"),
    "load_transient": ("ptr", "ptr", "i64"),
    "store_slot": ("ptr", "ptr", "ptr", "i64"),
    "store_transient": ("ptr", "ptr", "ptr", "i64"),
    "known_account": ("ptr", "ptr"),
    "warm_account": ("ptr", "i64", "i64"),
}

# Kernels that only read and write what their pointers point at. LLVM leaves out a call of
# one whose result nobody uses.
_OF_ARGUMENTS: Final = ("divide", "power", "keccak", *(f"heavy_{name}" for name in HEAVY))
_PROMISES: Final = "nounwind willreturn nofree nosync memory(argmem: readwrite)"

# A word on the stack: a number that is known, or a value.
Word = int | Value


def region_module(flow: Flow, regions: list[Region], *, through_table: bool = False) -> Module:
    """All regions' functions, `region_` and the position that they start at.

    Regions go to each other directly, or `through_table` as to any opcode of the interpreter.
    """
    module = Module()
    called = {**_KERNELS, **{f"heavy_{name}": ("ptr",) for name in HEAVY}}
    for name, parameters in called.items():
        promises = _PROMISES if name in _OF_ARGUMENTS else "nounwind"
        symbol = KERNEL_PREFIX + name
        module.signatures[name] = module.declare(symbol, "i64", parameters, promises)
    functions = [
        module.function(f"region_{region.start}", "i64", HANDLER_PARAMETERS, convention=THREADED)
        for region in regions
    ]
    budget = _Budget()
    for region, function in zip(regions, functions):
        _Writer(function, flow, region, budget, through_table=through_table).write()
    return module


class _Budget:
    """How much of heavy opcodes has been written out in this code."""

    def __init__(self) -> None:
        self.used = 0

    def allows(self, opcode: Opcode) -> bool:
        if opcode.name in _ALWAYS_CALLED:
            return False
        self.used += WEIGHTS.get(opcode.name, 1)
        return self.used <= _HEAVY_WEIGHT_MAX


class _Writer:
    """One region's function.

    `variables` are the words of the stack by place, counted from the entry's height;
    `words` those that the current block has read or written, `changed` the places
    at which the stack in memory may be outdated.
    """

    def __init__(
        self,
        function: Function,
        flow: Flow,
        region: Region,
        budget: _Budget,
        *,
        through_table: bool,
    ) -> None:
        self.f = function
        self.through_table = through_table
        self.flow = flow
        self.region = region
        self.budget = budget
        self.frame, _, self.top, self.first_gas, self.table = function.arguments
        self.gas_variable = function.local("i64")
        self.variables: dict[int, Value] = {}
        self.labels = {start: function.new_block() for start in region.members}
        self.words: dict[int, Word] = {}
        self.changed: set[int] = set()
        self.height = 0
        self.gas = self.first_gas

    def write(self) -> None:
        self._enter()
        for start, member in self.region.members.items():
            self.f.block = self.labels[start]
            self._block(member)

    # -- the entry --

    def _enter(self) -> None:
        f, region = self.f, self.region
        height = f.sub(f.address(self.top), f.address(self.frame))  # in bytes, plus the frame's
        least = FRAME_SIZE + 32 * region.low
        most = FRAME_SIZE + 32 * (STACK_MAX - region.high)
        unusual = f.compare("ugt", f.sub(height, constant(least)), constant(most - least))
        fits, does_not = f.new_block(), f.new_block()
        f.branch(unusual, does_not, fits, likely=False)
        f.block = does_not
        self._to_interpreter(region.start, self.first_gas, 0)
        f.block = fits
        for place in region.touched:
            f.store(f.load("i256", f.offset(self.top, 32 * place)), self._variable(place))
        f.store(self.first_gas, self.gas_variable)
        f.go_to(self.labels[region.start])

    def _variable(self, place: int) -> Value:
        found = self.variables.get(place)
        if found is None:
            found = self.variables[place] = self.f.local("i256")
        return found

    # -- the stack --

    def _get(self, place: int) -> Word:
        found = self.words.get(place)
        if found is None:
            found = self.words[place] = self.f.load("i256", self._variable(place))
        return found

    def _set(self, place: int, value: Word) -> None:
        self.words[place] = value
        self.changed.add(place)

    def _keep(self) -> None:
        """Put the block's words in the variables, for the region's other blocks."""
        for place, value in self.words.items():
            if place < self.height:
                self.f.store(_value(value), self._variable(place))

    def _write_back(self, height: int) -> None:
        """Put what has changed on the stack in memory."""
        for place in sorted(self.changed):
            if place < height:
                self.f.store(_value(self._get_late(place)), self.f.offset(self.top, 32 * place))

    def _get_late(self, place: int) -> Word:
        """A word on a way out: what is loaded there is not at hand elsewhere."""
        found = self.words.get(place)
        return self.f.load("i256", self._variable(place)) if found is None else found

    # -- ways out --

    def _to_interpreter(self, position: int, gas: Value, height: int) -> None:
        """Let the interpreter do the opcode at `position`."""
        code = self.flow.code
        number = code[position] if position < len(code) else 0
        if self.through_table and position == self.region.start:
            # The table would lead here again.
            name, parameters = f"{OPCODE_PREFIX}{number}", HANDLER_PARAMETERS
            opcode = self.f.module.declare(name, "i64", parameters, convention=THREADED)
            self._become(opcode, position, gas, height)
            return
        handler = self.f.load("ptr", self.f.offset(self.table, 8 * number))
        self._become(handler, position, gas, height)

    def _become(
        self, function: Value | Signature, position: int | Value, gas: Value, height: int
    ) -> None:
        f = self.f
        code = f.load("i64", f.offset(self.frame, FRAME.offsets["code"]))
        distance = constant(position) if isinstance(position, int) else position
        top = f.offset(self.top, 32 * height)
        f.become(function, (self.frame, f.pointer(f.add(code, distance)), top, gas, self.table))

    def _go_on(self, start: int) -> None:
        """To a block, in this region or not; the block's words have been kept."""
        f = self.f
        if self.region.inside(start, self.height):
            f.store(self.gas, self.gas_variable)
            f.go_to(self.labels[start])
            return
        self._write_back(self.height)
        callee = f.module.signatures.get(f"region_{start}")
        if callee is None or self.through_table:
            self._to_interpreter(start, self.gas, self.height)
        else:
            self._become(Value(f"@{callee.name}", "ptr"), start, self.gas, self.height)

    # -- blocks --

    def _block(self, member: Member) -> None:
        f, block = self.f, member.block
        self.height = member.height
        self.words = {self.height + place: known for place, known in block.known.items()}
        self.changed = set(member.changed)
        self.gas = f.load("i64", self.gas_variable)
        if block.gas:
            enough, short = f.new_block(), f.new_block()
            too_little = f.compare("ult", self.gas, constant(block.gas))
            f.branch(too_little, short, enough, likely=False)
            f.block = short
            self._write_back(self.height)
            self._to_interpreter(block.start, self.gas, self.height)
            f.block = enough
            self.gas = f.sub(self.gas, constant(block.gas))
        unspent = block.gas
        for instruction in block.instructions:
            price = self.flow.prices[instruction.opcode.code]
            assert price is not None
            self._instruction(instruction, unspent - price, price)
            unspent -= price
        self._leave_block(member, unspent)

    def _leave_block(self, member: Member, jump_gas: int) -> None:
        f, block = self.f, member.block
        match block.exit:
            case Exit.GIVE:
                self._write_back(self.height)
                self._to_interpreter(block.after, self.gas, self.height)
            case Exit.FALL:
                self._keep()
                self._go_on(block.after)
            case Exit.GOTO:
                self.height -= 1
                self._keep()
                self._go_on(block.target)
            case Exit.BRANCH:
                condition = self._get(self.height - 2)
                self.height -= 2
                self._keep()
                self._branch(condition, block.target, block.after)
            case Exit.JUMP:
                self._jump(block.jump, jump_gas)
        assert f.block.over

    def _branch(self, condition: Word, target: int, after: int) -> None:
        f = self.f
        if isinstance(condition, int):
            self._go_on(target if condition else after)
            return
        taken, straight = f.new_block(), f.new_block()
        f.branch(f.compare("ne", condition, word(0)), taken, straight)
        for block, start in ((taken, target), (straight, after)):
            f.block = block
            self._go_on(start)

    def _jump(self, position: int, price: int) -> None:
        """To where the stack says, if that is the entry of a region."""
        f = self.f
        target = _value(self._get(self.height - 1))
        self._write_back(self.height)
        inside, other = f.new_block(), f.new_block()
        f.branch(f.compare("ult", target, word(len(self.flow.code))), inside, other, likely=True)
        f.block = inside
        distance = f.narrow(target, "i64")
        mark = f.load("i8", f.pointer(f.add(self._field("destinations"), distance)), 1)
        allowed = f.new_block()
        f.branch(f.compare("ne", mark, constant(0, "i8")), allowed, other, likely=True)
        f.block = allowed
        if self.through_table:
            function = f.load("ptr", f.offset(self.table, 8 * _JUMPDEST))
        else:
            entry = f.new_block()
            place = f.add(self._field("compiled"), f.shl(distance, constant(3)))
            function = f.load("ptr", f.pointer(place))
            f.branch(f.compare("ne", f.address(function), constant(0)), entry, other, likely=True)
            f.block = entry
        self._become(function, distance, self.gas, self.height - 1)
        f.block = other
        self._to_interpreter(position, f.add(self.gas, constant(price)), self.height)

    def _field(self, name: str) -> Value:
        return self.f.load("i64", self.f.offset(self.frame, FRAME.offsets[name]))

    # -- opcodes --

    def _instruction(self, instruction: Instruction, later: int, price: int) -> None:
        """`later` is the static gas of what follows in the block, `price` the opcode's own."""
        opcode, height = instruction.opcode, self.height
        match opcode.shape:
            case Shape.PUSH | Shape.PC:
                self._set(height, instruction.word)
            case Shape.DUP:
                self._set(height, self._get(height - opcode.pops))
            case Shape.SWAP:
                upper, lower = self._get(height - 1), self._get(height - opcode.pops)
                self._set(height - 1, lower)
                self._set(height - opcode.pops, upper)
            case Shape.PURE | Shape.STEP:
                result = self._compute(instruction, later, price)
                if result is not None:
                    self._set(height - opcode.pops, result)
            case Shape.POP | Shape.NOTHING:
                pass
            case _:
                raise Fault(f"{opcode.name} in the middle of a block")
        rise = 1 if opcode.shape is Shape.DUP else opcode.pushes - opcode.pops
        self.height = height + rise

    def _compute(self, instruction: Instruction, later: int, price: int) -> Word | None:
        opcode, f = instruction.opcode, self.f
        words = [self._get(self.height - depth) for depth in range(1, opcode.pops + 1)]
        if opcode.shape is Shape.PURE and all(isinstance(each, int) for each in words):
            known: int = opcode.semantics(*words)
            return known
        operands = [_value(each) for each in words]
        constant_shift = opcode.name in ("SHL", "SHR", "SAR", "BYTE", "SIGNEXTEND") and isinstance(
            words[0], int
        )
        if opcode.name in HEAVY and not constant_shift and not self.budget.allows(opcode):
            return self._call_heavy(opcode, operands)
        assert opcode.lower is not None
        giving_up = GivingUp(f)
        gas = f.add(self.gas, constant(later)) if opcode.code == _GAS else self.gas
        registers = (self.frame, self.top, self.top, gas, self.table)
        e = Emitter(f, opcode.code, registers, giving_up)
        result = opcode.lower(e, *operands)
        if opcode.code != _GAS:
            self.gas = e.gas
        self._give_up(giving_up, instruction.position, later + price)
        return result

    def _call_heavy(self, opcode: Opcode, operands: list[Value]) -> Value:
        f = self.f
        place = f.local(f"[{len(operands)} x i256]")
        for at, operand in enumerate(operands):
            f.store(operand, f.offset(place, 32 * at))
        f.call(f.module.signatures[f"heavy_{opcode.name}"], (place,))
        return f.load("i256", place)

    def _give_up(self, giving_up: GivingUp, position: int, unspent: int) -> None:
        """Where the opcode goes that the interpreter has to do after all."""
        if giving_up.block is None:
            return
        f, here = self.f, self.f.block
        f.block = giving_up.block
        gas = f.add(f.phi(*giving_up.incoming), constant(unspent))
        self._write_back(self.height)
        self._to_interpreter(position, gas, self.height)
        f.block = here


def _value(content: Word) -> Value:
    return word(content) if isinstance(content, int) else content


assert OPCODES[_GAS].name == "GAS" and OPCODES[_JUMPDEST].name == "JUMPDEST"
