"""Code as blocks: straight runs of opcodes, and where each of them goes.

Only what compiled code does itself is in a block. A block ends before an opcode that is
the interpreter's: messages, the ends of frames, what has no lowering, what does not exist.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from contracts.vm.opcodes import OPCODES, Opcode, Shape
from contracts.vm.program import jump_destinations, pushed

# What each opcode costs without its operands' share in the fork, None for one it lacks.
Prices = Sequence[int | None]

BLOCK_WEIGHT_MAX: Final = 64
_TERMINATORS: Final = frozenset(
    {0x56} | {code for code, row in OPCODES.items() if row.shape is Shape.END}
)

# How much machine code an opcode becomes, an addition being 1; all others are small.
WEIGHTS: Final = {"MUL": 5, "SHL": 4, "SHR": 4, "SAR": 4, "BYTE": 4, "EXP": 4, "SLOAD": 3,
                  "SSTORE": 4, "MLOAD": 4, "MSTORE": 4, "MSTORE8": 3, "MCOPY": 6,
                  "CALLDATALOAD": 6, "CALLDATACOPY": 6, "CODECOPY": 6, "RETURNDATACOPY": 6,
                  "KECCAK256": 6, "BLOCKHASH": 5, "DIV": 3, "SDIV": 3, "MOD": 3, "SMOD": 3,
                  "ADDMOD": 3, "MULMOD": 3, "LOG0": 6, "LOG1": 7, "LOG2": 8, "LOG3": 9,
                  "LOG4": 10, "TLOAD": 3, "TSTORE": 3, "BALANCE": 5, "SELFBALANCE": 4,
                  "EXTCODESIZE": 5, "EXTCODEHASH": 5, "EXTCODECOPY": 10}  # fmt: skip


class Exit(Enum):
    """Where a block goes after its last opcode."""

    FALL = auto()  # to `after`
    GOTO = auto()  # to `target`
    BRANCH = auto()  # to `target` unless the top of the stack, which is dropped, is 0; else `after`
    JUMP = auto()  # to the destination on top of the stack
    GIVE = auto()  # the opcode at `after` is the interpreter's


class Instruction(Struct, frozen=True):
    """An opcode in its place; `word` goes with what pushes a known one."""

    opcode: Opcode
    position: int
    word: int = 0


class Block(Struct, frozen=True):
    """A straight run.

    `instructions` leave out the jump at the end, with `jump` its position. `gas` is
    the static gas of all, the jump's included. `low` is how many words below its
    start it touches, `high` how many above it its stack reaches, `rise` what it leaves.
    `known` are words that are there when it begins, by place from there on: below 0.
    """

    start: int
    instructions: tuple[Instruction, ...]
    exit: Exit
    gas: int
    low: int
    high: int
    rise: int
    weight: int
    after: int = 0
    target: int = 0
    jump: int = 0
    known: Mapping[int, int] = {}

    @property
    def successors(self) -> tuple[int, ...]:
        """Starts of the blocks that are known to follow."""
        match self.exit:
            case Exit.FALL:
                return (self.after,)
            case Exit.GOTO:
                return (self.target,)
            case Exit.BRANCH:
                return (self.target, self.after)
            case _:
                return ()


class Flow(Struct, frozen=True):
    """The blocks of a code, by their starts, and how they can be reached.

    `resumed` are starts after opcodes of the interpreter; `pushed` are
    destinations that the code pushes without jumping there at once.
    """

    code: bytes
    prices: Prices
    destinations: frozenset[int]
    blocks: dict[int, Block]
    resumed: frozenset[int]
    pushed: frozenset[int]


def flow_of(code: bytes, prices: Prices) -> Flow:
    """All blocks that execution can reach."""
    destinations = jump_destinations(code)
    # One that no PUSH names may be run into. Jumping there takes the interpreter on.
    mentioned = destinations & _pushed_words(code)
    blocks: dict[int, Block] = {}
    resumed: set[int] = set()
    loose: dict[int, int] = {}  # how often a destination is pushed, less the jumps that use it
    waiting = [0, *sorted(_not_run_into(code, destinations) | mentioned, reverse=True)]
    while waiting:
        start = waiting.pop()
        if start in blocks or start >= len(code):
            continue
        block = blocks[start] = _decode(code, prices, destinations, mentioned, start)
        for instruction in block.instructions:
            if instruction.opcode.shape is Shape.PUSH and instruction.word in destinations:
                loose[instruction.word] = loose.get(instruction.word, 0) + 1
        if block.exit in (Exit.GOTO, Exit.BRANCH):
            loose[block.target] = loose.get(block.target, 0) - 1
        waiting += block.successors
        if block.exit is Exit.GIVE and block.after < len(code):
            opcode = OPCODES.get(code[block.after])
            if opcode is not None and opcode.shape is not Shape.END:
                resumed.add(block.after + 1)
                waiting.append(block.after + 1)
    kept = frozenset(word for word, count in loose.items() if count > 0)
    return Flow(code, prices, destinations, blocks, frozenset(resumed), kept)


class _Stack:
    """What is known of the words above a block's start while it is decoded."""

    def __init__(self) -> None:
        self.known: dict[int, int | None] = {}
        self.height = 0
        self.low = 0
        self.high = 0

    def get(self, depth: int) -> int | None:
        self.touch(depth)
        return self.known.get(self.height - depth)

    def touch(self, depth: int) -> None:
        self.low = min(self.low, self.height - depth)

    def change(self, opcode: Opcode, word: int | None) -> None:
        """Pop and push as the opcode does; `word` is what it pushes, where that is known."""
        self.touch(opcode.pops)
        self.height += opcode.pushes - opcode.pops
        self.high = max(self.high, self.height)
        if opcode.pushes == 1:
            self.known[self.height - 1] = word


def _not_run_into(code: bytes, destinations: frozenset[int]) -> set[int]:
    """Destinations after the end of something, which only jumps can reach."""
    return {
        position for position in destinations if position == 0 or code[position - 1] in _TERMINATORS
    }


def _pushed_words(code: bytes) -> set[int]:
    """What the code pushes of numbers that could be positions in it."""
    found = set()
    pc = 0
    while pc < len(code):
        opcode = OPCODES.get(code[pc])
        size = 0 if opcode is None else opcode.operand_bytes
        if size:
            found.add(pushed(code, pc, size))
        pc += 1 + size
    return found


def _decode(
    code: bytes,
    prices: Prices,
    destinations: frozenset[int],
    mentioned: frozenset[int],
    start: int,
) -> Block:
    stack = _Stack()
    instructions: list[Instruction] = []
    pc, gas, weight, exit_, target, jump = start, 0, 0, Exit.GIVE, 0, 0
    while pc < len(code):
        price, opcode = prices[code[pc]], OPCODES.get(code[pc])
        if price is None or opcode is None:
            break
        shape = opcode.shape
        if pc != start and pc in mentioned:
            exit_ = Exit.FALL
            break
        if shape in (Shape.JUMP, Shape.JUMPI):
            known = stack.get(1)
            if shape is Shape.JUMPI:
                if known not in destinations:
                    break
                exit_ = Exit.BRANCH
            else:
                exit_ = Exit.GOTO if known in destinations else Exit.JUMP
            target, jump = known or 0, pc
            gas += price
            stack.touch(opcode.pops)
            stack.height -= opcode.pops
            pc += 1
            break
        if not _compiles(opcode):
            break
        if weight >= BLOCK_WEIGHT_MAX:
            exit_ = Exit.FALL
            break
        word = _word(code, opcode, pc)
        gas += price
        weight += WEIGHTS.get(opcode.name, 1)
        instructions.append(Instruction(opcode, pc, word or 0))
        _follow(stack, opcode, word)
        pc += 1 + opcode.operand_bytes
    return Block(start, tuple(instructions), exit_, gas, -stack.low, stack.high, stack.height,
                 weight, pc, target, jump)  # fmt: skip


def _compiles(opcode: Opcode) -> bool:
    if opcode.shape in (Shape.END, Shape.SEND):
        return False
    return opcode.lower is not None or opcode.shape not in (Shape.PURE, Shape.STEP)


def _word(code: bytes, opcode: Opcode, pc: int) -> int | None:
    """The word that the opcode pushes, as far as the code alone says it."""
    if opcode.shape is Shape.PUSH:
        return pushed(code, pc, opcode.operand_bytes)
    return pc if opcode.shape is Shape.PC else None


def _follow(stack: _Stack, opcode: Opcode, word: int | None) -> None:
    match opcode.shape:
        case Shape.DUP:
            copied = stack.get(opcode.pops)
            stack.height += 1
            stack.high = max(stack.high, stack.height)
            stack.known[stack.height - 1] = copied
        case Shape.SWAP:
            upper, lower = stack.get(1), stack.get(opcode.pops)
            stack.known[stack.height - 1] = lower
            stack.known[stack.height - opcode.pops] = upper
        case _:
            stack.change(opcode, word)
