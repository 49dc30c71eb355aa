"""Code made ready to run: jump destinations, and straight runs of opcodes decoded into blocks.

A block's static gas and stack needs are checked once, at its start; then its
steps run unchecked. What ends a block: a jump, the end of the frame, a message,
an opcode that sees the gas, the next jump destination. Blocks are decoded when
first reached, so long code that hardly runs costs little.
"""

import re
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final

from chain.forks import Fork
from contracts.vm import control
from contracts.vm.frame import STACK_MAX, Frame
from contracts.vm.opcodes import OPCODES, Opcode, Shape

# Everything up to and including the next jump destination that is not push data.
# Possessive, so that the scan never goes back into the middle of an instruction.
_UP_TO_DESTINATION: Final = re.compile(
    rb"(?:[^\x5b\x60-\x7f]++|"
    + b"|".join(re.escape(bytes([0x5F + n])) + b"[\\x00-\\xff]{%d}" % n for n in range(1, 33))
    + rb")*+(?:\x5b|\Z)"
)

_BLOCK_STEPS_MAX: Final = 64
_CACHED_CODE_MAX: Final = 4 * 2**20  # bytes of code kept decoded, per fork


def jump_destinations(code: bytes) -> frozenset[int]:
    """The positions of JUMPDEST opcodes, leaving out push data."""
    # Padding completes a push at the end; without it the scan would start over inside.
    ends = (match.end() for match in _UP_TO_DESTINATION.finditer(code + bytes(32)))
    return frozenset(end - 1 for end in ends if end <= len(code))


class Do(IntEnum):
    """What a step of a block does; the argument that goes with it in brackets."""

    PUSH = 0  # [word]
    DUP = 1  # [negative index]
    SWAP = 2  # [negative index]
    BINARY = 3  # [function of two words]
    STEP = 4  # [function of the frame]
    UNARY = 5  # [function of a word]
    POP = 6  # [nothing]
    WITH = 7  # [(word, function)]: a push and the binary opcode after it
    TERNARY = 8  # [function of three words]


class Exit(IntEnum):
    """How a block ends."""

    FALL = 0  # into the block after it
    JUMPI_TO = 1  # to a destination known when decoding
    JUMP_TO = 2
    JUMP = 3
    JUMPI = 4
    SEND = 5
    END = 6


class Block:
    """A straight run of opcodes. `low` and `high` bound the stack's height at its start."""

    __slots__ = (
        "exit",
        "gas",
        "high",
        "low",
        "next",
        "next_pc",
        "run",
        "start",
        "steps",
        "to",
        "to_pc",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        self.gas = 0  # all static gas, the exit's included
        self.low = 0
        self.high = STACK_MAX
        self.steps: tuple[tuple[int, Any], ...] = ()
        self.exit = Exit.FALL
        self.run: Callable[[Frame], Any] = control.stop  # of a SEND or END
        self.next_pc = 0
        self.next: Block | None = None  # filled in when first needed
        self.to_pc = 0  # of a known jump
        self.to: Block | None = None


class Priced:
    """An opcode with its static gas in one fork."""

    __slots__ = ("gas", "opcode", "pops", "rise", "semantics", "shape")

    def __init__(self, opcode: Opcode, fork: Fork) -> None:
        self.opcode = opcode
        self.gas = opcode.static_gas(fork)
        self.pops = opcode.pops
        self.rise = opcode.pushes - opcode.pops
        self.shape = opcode.shape
        self.semantics = opcode.semantics


def table_of(fork: Fork) -> tuple[Priced | None, ...]:
    """The fork's opcodes by code; None where it has none."""
    rows = (OPCODES.get(code) for code in range(256))
    return tuple(Priced(row, fork) if row and row.available(fork) else None for row in rows)


class Program:
    """One code under one fork's table."""

    __slots__ = ("blocks", "code", "destinations", "table")

    def __init__(self, code: bytes, table: tuple[Priced | None, ...]) -> None:
        self.code = code
        self.table = table
        self.destinations = jump_destinations(code)
        self.blocks: dict[int, Block] = {}

    def block(self, pc: int) -> Block:
        """The block that starts at `pc`."""
        block = self.blocks.get(pc)
        if block is None:
            block = self.blocks[pc] = self._decode(pc)
        return block

    def after(self, block: Block) -> Block:
        """The block that `block` falls into."""
        block.next = self.block(block.next_pc)
        return block.next

    def target(self, block: Block) -> Block:
        """The block that the known jump at the end of `block` goes to."""
        block.to = self.block(block.to_pc)
        return block.to

    def _decode(self, start: int) -> Block:
        block = Block(start)
        code, table, size = self.code, self.table, len(self.code)
        steps: list[tuple[int, Any]] = []
        pc, height, lowest, highest = start, 0, 0, 0
        while True:
            if pc >= size:
                block.exit, block.run = Exit.END, control.stop
                break
            priced = table[code[pc]]
            if priced is None:
                block.exit, block.run = Exit.END, control.invalid
                break
            shape = priced.shape
            if pc != start and (
                (shape is Shape.NOTHING and pc in self.destinations)
                or len(steps) >= _BLOCK_STEPS_MAX
            ):
                break
            block.gas += priced.gas
            lowest = min(lowest, height - priced.pops)
            height += priced.rise
            highest = max(highest, height)
            at, pc = pc, pc + 1 + priced.opcode.operand_bytes
            if shape is Shape.JUMP or shape is Shape.JUMPI:
                self._jump(block, steps, shape)
                break
            if shape is Shape.SEND or shape is Shape.END:
                block.exit = Exit.SEND if shape is Shape.SEND else Exit.END
                block.run = priced.semantics
                break
            _translate(steps, priced, at, code)
            if priced.opcode.reads_gas:
                break
        block.low, block.high = -lowest, STACK_MAX - highest
        block.steps = tuple(steps)
        block.next_pc = pc
        return block

    def _jump(self, block: Block, steps: list[tuple[int, Any]], shape: Shape) -> None:
        conditional = shape is Shape.JUMPI
        if steps and steps[-1][0] == Do.PUSH and steps[-1][1] in self.destinations:
            block.to_pc = steps.pop()[1]
            block.exit = Exit.JUMPI_TO if conditional else Exit.JUMP_TO
        else:
            block.exit = Exit.JUMPI if conditional else Exit.JUMP


def _translate(steps: list[tuple[int, Any]], priced: Priced, at: int, code: bytes) -> None:
    """Append what the opcode at `at` does to a block's steps."""
    opcode, shape = priced.opcode, priced.shape
    match shape:
        case Shape.PUSH:
            steps.append((Do.PUSH, pushed(code, at, opcode.operand_bytes)))
        case Shape.DUP:
            steps.append((Do.DUP, -opcode.pops))
        case Shape.SWAP:
            steps.append((Do.SWAP, -opcode.pops))
        case Shape.PURE if opcode.pops == 2 and steps and steps[-1][0] == Do.PUSH:
            steps[-1] = (Do.WITH, (steps[-1][1], opcode.semantics))
        case Shape.PURE:
            kind = (Do.UNARY, Do.BINARY, Do.TERNARY)[opcode.pops - 1]
            steps.append((kind, opcode.semantics))
        case Shape.STEP:
            steps.append((Do.STEP, opcode.semantics))
        case Shape.POP:
            steps.append((Do.POP, None))
        case Shape.PC:
            steps.append((Do.PUSH, at))
        case _:
            assert shape is Shape.NOTHING


def pushed(code: bytes, at: int, size: int) -> int:
    """The operand of the PUSH at `at`; bytes after the end of the code count as zeros."""
    return int.from_bytes(code[at + 1 : at + 1 + size].ljust(size, b"\0"), "big")


class Programs:
    """The decoded codes of one fork, the least recently used forgotten first."""

    def __init__(self, fork: Fork) -> None:
        self.table = table_of(fork)
        self._programs: dict[bytes, Program] = {}
        self._size = 0  # bytes of code

    def of(self, code: bytes) -> Program:
        program = self._programs.pop(code, None)
        if program is None:
            program = Program(code, self.table)
            self._size += len(code)
            while self._size > _CACHED_CODE_MAX and self._programs:
                oldest = next(iter(self._programs))
                self._size -= len(oldest)
                del self._programs[oldest]
        self._programs[code] = program
        return program


def disassemble(code: bytes) -> Iterator[tuple[int, str]]:
    """Position and text of every instruction, whether or not a fork has it."""
    pc = 0
    while pc < len(code):
        opcode = OPCODES.get(code[pc])
        if opcode is None:
            yield pc, f"UNKNOWN 0x{code[pc]:02x}"
            pc += 1
            continue
        size = opcode.operand_bytes
        yield pc, f"{opcode.name} 0x{code[pc + 1 : pc + 1 + size].hex()}" if size else opcode.name
        pc += 1 + size
