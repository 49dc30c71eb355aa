"""Blocks cut into pieces of one opcode, for traces: each a region of its own.

Compiled code then comes to the interpreter's table before each opcode, where a trace looks.
What the whole block would have known of its words is kept, so that an opcode is compiled
as it would be there. What opcodes share - gas paid at once, words kept in registers - is
not in the pieces.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from contracts.vm.native.jit.flow import WEIGHTS, Block, Exit, Flow, Instruction
from contracts.vm.native.jit.regions import Member, Region
from contracts.vm.opcodes import OPCODES, Shape

Known = dict[int, int]  # words by place, counted from a block's start


def cut(flow: Flow) -> Flow:
    """The same code with blocks of one opcode."""
    pieces = {
        piece.start: piece for block in flow.blocks.values() for piece in _pieces(flow, block)
    }
    return replace(flow, blocks=pieces)


def region_of(piece: Block) -> Region:
    """A region that is one piece."""
    touched = tuple(range(-piece.low, 0))
    member = Member(piece, 0, frozenset())
    return Region(piece.start, {piece.start: member}, touched, piece.low, piece.high)


def _pieces(flow: Flow, block: Block) -> Iterator[Block]:
    known: Known = {}
    height = 0
    ends = [instruction.position for instruction in block.instructions[1:]]
    jumps = block.exit in (Exit.GOTO, Exit.BRANCH, Exit.JUMP)
    ends.append(block.jump if jumps else block.after)
    for instruction, end in zip(block.instructions, ends):
        if instruction.position in flow.destinations:
            known = {}  # there may be jumps to it that leave other words
        opcode = instruction.opcode
        rise = opcode.pushes - opcode.pops
        price = flow.prices[opcode.code]
        assert price is not None
        last = end == block.after and not jumps
        yield Block(
            instruction.position,
            (instruction,),
            block.exit if last else Exit.FALL,
            price,
            opcode.pops,
            max(rise, 0),
            rise,
            WEIGHTS.get(opcode.name, 1),
            end,
            known=_counted_from(height, known),
        )
        _follow(known, height, instruction)
        height += rise
    if jumps:
        opcode = OPCODES[flow.code[block.jump]]
        price = flow.prices[opcode.code]
        assert price is not None
        yield Block(
            block.jump,
            (),
            block.exit,
            price,
            opcode.pops,
            0,
            -opcode.pops,
            1,
            block.after,
            block.target,
            block.jump,
            known=_counted_from(height, known),
        )


def _counted_from(height: int, known: Known) -> Known:
    return {place - height: word for place, word in known.items() if place < height}


def _follow(known: Known, height: int, instruction: Instruction) -> None:
    """What is known after the opcode, as far as its block alone says it."""
    opcode = instruction.opcode
    match opcode.shape:
        case Shape.PUSH | Shape.PC:
            known[height] = instruction.word
        case Shape.DUP:
            _copy(known, height - opcode.pops, height)
        case Shape.SWAP:
            _copy(known, height - opcode.pops, height)
            _copy(known, height - 1, height - opcode.pops)
            _copy(known, height, height - 1)
            known.pop(height, None)
        case _:
            words = [known.pop(height - depth, None) for depth in range(1, opcode.pops + 1)]
            if opcode.shape is Shape.PURE and None not in words:
                known[height - opcode.pops] = opcode.semantics(*words)


def _copy(known: Known, source: int, to: int) -> None:
    word = known.get(source)
    if word is None:
        known.pop(to, None)
    else:
        known[to] = word
