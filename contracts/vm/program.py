"""Code made ready to run: jump destinations, and straight runs of opcodes decoded into blocks.

A block's static gas and stack needs are checked once, at its start; then it runs
unchecked. What ends a block: a jump, the end of the frame, a message,
an opcode that sees the gas, the next jump destination. Blocks are decoded when
first reached, so long code that hardly runs costs little.
"""

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

from chain.forks import Fork
from contracts.vm.frame import STACK_MAX, Frame
from contracts.vm.opcodes import OPCODES, Opcode, Shape
from contracts.vm.steps import Step, pop_step, push_step, step_of
from contracts.vm.translate import Instruction, translate

_INVALID: Final = 0xFE
# Looking up an enum's member takes longer than comparing with it.
_PUSH, _PC, _NOTHING = Shape.PUSH, Shape.PC, Shape.NOTHING
_KNOWN: Final = (Shape.PUSH, Shape.PC)  # what they push is known from the code
_PLAIN: Final = (Shape.PURE, Shape.STEP, Shape.DUP, Shape.SWAP, Shape.POP)
_FIXED: Final = (
    Shape.PURE, Shape.PUSH, Shape.PC, Shape.DUP, Shape.SWAP, Shape.POP, Shape.NOTHING,
    Shape.JUMP, Shape.JUMPI,
)  # fmt: skip

# Everything up to and including the next jump destination that is not push data.
# Possessive, so that the scan never goes back into the middle of an instruction.
_UP_TO_DESTINATION: Final = re.compile(
    rb"(?:[^\x5b\x60-\x7f]++|"
    + b"|".join(re.escape(bytes([0x5F + n])) + b"[\\x00-\\xff]{%d}" % n for n in range(1, 33))
    + rb")*+(?:\x5b|\Z)"
)

_BLOCK_OPCODES_MAX: Final = 64
_CACHED_CODE_MAX: Final = 4 * 2**20  # bytes of code kept decoded, per fork
_FAMILIAR: Final = 4  # messages to a code after which it is decoded into blocks
_HOT: Final = 64  # runs after which translating a block pays


def jump_destinations(code: bytes) -> frozenset[int]:
    """The positions of JUMPDEST opcodes, leaving out push data."""
    # Padding completes a push at the end; without it the scan would start over inside.
    ends = (match.end() for match in _UP_TO_DESTINATION.finditer(code + bytes(32)))
    return frozenset(end - 1 for end in ends if end <= len(code))


class Exit(IntEnum):
    """How a block ends, and so what running it gives."""

    FALL = 0  # into the block after it
    BRANCH = 1  # to a known destination when the result is not 0, else as FALL
    GOTO = 2  # to a known destination
    JUMP = 3  # to the result; None is as FALL
    SEND = 4  # the result is the frame of a message
    END = 5


class Block:
    """A straight run of opcodes: what it needs, what it does, where it goes.

    `low` and `high` bound the stack's height at its start; `gas` is all the static
    gas. `run(frame, stack)` executes it: first step by step, and once it has become
    hot through the Python function that contracts.vm.translate makes of it.
    """

    __slots__ = (
        "exit",
        "gas",
        "high",
        "instructions",
        "low",
        "next",
        "next_pc",
        "run",
        "runs",
        "start",
        "steps",
        "to",
        "to_pc",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        self.gas = 0
        self.low = 0
        self.high = STACK_MAX
        self.instructions: list[Instruction] = []
        self.steps: list[Step] = []
        self.exit = Exit.FALL
        self.next_pc = 0
        self.next: Block | None = None  # filled in when first needed
        self.to_pc = 0  # of a known jump
        self.to: Block | None = None
        self.runs = 0
        self.run: Step = self._run_steps

    def _run_steps(self, frame: Frame, stack: list[int]) -> Any:
        self.runs += 1
        if self.runs > _HOT:
            self.run = translate(self.instructions, known_jump=self.exit is Exit.BRANCH)
            return self.run(frame, stack)
        result = None
        for step in self.steps:
            result = step(frame, stack)
        return result


class Priced:
    """An opcode with its static gas in one fork."""

    __slots__ = (
        "fixed",
        "gas",
        "opcode",
        "operand_bytes",
        "plain",
        "pops",
        "rise",
        "shape",
        "step",
    )

    def __init__(self, opcode: Opcode, fork: Fork) -> None:
        self.opcode = opcode
        self.gas = opcode.static_gas(fork)
        self.pops = opcode.pops
        self.rise = opcode.pushes - opcode.pops
        self.shape = opcode.shape
        self.fixed = opcode.shape in _FIXED  # there is no other gas
        self.plain = opcode.shape in _PLAIN  # all in its step, and the next opcode follows
        self.operand_bytes = opcode.operand_bytes
        self.step = step_of(opcode)


def table_of(fork: Fork) -> tuple[Priced | None, ...]:
    """The fork's opcodes by code; None where it has none."""
    rows = (OPCODES.get(code) for code in range(256))
    return tuple(Priced(row, fork) if row and row.available(fork) else None for row in rows)


class Program:
    """One code under one fork's table.

    Decoding into blocks takes longer than running them a few times opcode by opcode;
    `familiar` says that the code has run often enough for it to pay.
    """

    __slots__ = ("blocks", "code", "destinations", "familiar", "table", "uses")

    def __init__(self, code: bytes, table: tuple[Priced | None, ...]) -> None:
        self.code = code
        self.table = table
        self.destinations = jump_destinations(code)
        self.blocks: dict[int, Block] = {}
        self.uses = 0
        self.familiar = False

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
        code, table, size, destinations = self.code, self.table, len(self.code), self.destinations
        instructions, steps = block.instructions, block.steps
        pc, gas, height, lowest, highest = start, 0, 0, 0, 0
        while len(instructions) < _BLOCK_OPCODES_MAX:
            # Behind the end of the code there are zeros, which are STOP.
            priced = table[code[pc] if pc < size else 0] or table[_INVALID]
            assert priced is not None
            shape = priced.shape
            if shape is _NOTHING and pc in destinations and pc != start:
                break
            gas += priced.gas
            lowest = min(lowest, height - priced.pops)
            height += priced.rise
            highest = max(highest, height)
            at, pc = pc, pc + 1 + priced.operand_bytes
            if priced.plain:
                instructions.append((priced.opcode, 0))
                steps.append(priced.step)
                if priced.opcode.reads_gas:
                    break
            elif shape is _PUSH or shape is _PC:
                word = at if shape is _PC else pushed(code, at, priced.operand_bytes)
                instructions.append((priced.opcode, word))
                steps.append(push_step(word))
            elif shape is not _NOTHING:
                self._finish(block, priced)
                break
        block.gas, block.low, block.high = gas, -lowest, STACK_MAX - highest
        block.next_pc = pc
        return block

    def _finish(self, block: Block, priced: Priced) -> None:
        """Add the opcode that ends the block."""
        instructions, shape = block.instructions, priced.shape
        step = priced.step
        if shape is Shape.SEND:
            block.exit = Exit.SEND
        elif shape is Shape.END:
            block.exit = Exit.END
        else:
            known = instructions[-1] if instructions else None
            if known is not None and known[0].shape in _KNOWN and known[1] in self.destinations:
                instructions.pop()
                block.steps.pop()
                block.to_pc = known[1]
                if shape is Shape.JUMP:
                    block.exit = Exit.GOTO
                    return
                block.exit, step = Exit.BRANCH, pop_step
            else:
                block.exit = Exit.JUMP
        instructions.append((priced.opcode, 0))
        block.steps.append(step)


def pushed(code: bytes, pc: int, size: int) -> int:
    """The operand of the PUSH at `pc`; bytes after the end of the code count as zeros."""
    return int.from_bytes(code[pc + 1 : pc + 1 + size].ljust(size, b"\0"), "big")


class Programs:
    """The decoded codes of one fork, the least recently used forgotten first."""

    def __init__(self, fork: Fork) -> None:
        self.table = table_of(fork)
        self._programs: dict[bytes, Program] = {}
        self._size = 0  # bytes of code

    def __len__(self) -> int:
        return len(self._programs)

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
        program.uses += 1
        if program.uses > _FAMILIAR:
            program.familiar = True
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
