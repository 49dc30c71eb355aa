"""Blocks grouped into regions, each of which becomes one function.

A region has one entry. It takes in a block when all known ways to it are from within
(Allen and Cocke's intervals), so an innermost loop is inside one region, and the
only way back in a region is to its entry. Words of the stack that a region touches are
then variables of its function, also around its loop.
"""

from typing import Final

from msgspec import Struct

from contracts.vm.native.jit.flow import Block, Exit, Flow
from contracts.vm.opcodes import Shape

REGION_WEIGHT_MAX: Final = 300
# A path through a region never moves the stack farther than this from its entry's height.
_HEIGHT_MAX: Final = 200


class Member(Struct, frozen=True):
    """A block in a region.

    `height` is its stack's, counted from the entry's. `changed` are the places, counted
    likewise, whose words may be others by then than memory says.
    """

    block: Block
    height: int
    changed: frozenset[int]


class Region(Struct, frozen=True):
    """`members` by start, the entry first, each after all that lead to it.

    `touched` are the places below the entry's height that matter; `low` and `high`
    how far the stack reaches below and above it.
    """

    start: int
    members: dict[int, Member]
    touched: tuple[int, ...]
    low: int
    high: int

    def inside(self, start: int, height: int) -> bool:
        """Whether going to a block at that height stays in the region."""
        member = self.members.get(start)
        return member is not None and member.height == height


def regions_of(flow: Flow) -> list[Region]:
    """Every block that can be compiled is in one of them."""
    blocks = {start: block for start, block in flow.blocks.items() if worthwhile(block)}
    origins: dict[int, set[int]] = {start: set() for start in blocks}
    for block in blocks.values():
        for successor in block.successors:
            if successor in origins:
                origins[successor].add(block.start)
    entries = [
        start
        for start in sorted(blocks)
        if start == 0 or start in flow.resumed or start in flow.pushed or not origins[start]
    ]
    known = set(entries)
    regions = []
    for start in entries:  # which grows meanwhile
        heights = _grow(start, blocks, origins, known)
        regions.append(_region(start, heights, blocks))
        for inside in heights:
            for successor in blocks[inside].successors:
                if successor in blocks and successor not in heights and successor not in known:
                    known.add(successor)
                    entries.append(successor)
    return regions


def worthwhile(block: Block) -> bool:
    """Not merely an opcode of the interpreter's."""
    return bool(block.instructions) or block.exit is not Exit.GIVE


def _grow(
    start: int, blocks: dict[int, Block], origins: dict[int, set[int]], entries: set[int]
) -> dict[int, int]:
    """The region's blocks with their heights."""
    heights = {start: 0}
    weight = blocks[start].weight
    candidates = list(blocks[start].successors)
    while candidates:
        candidate = candidates.pop()
        if candidate in heights or candidate in entries or candidate not in blocks:
            continue
        if not origins[candidate] <= heights.keys():
            continue
        arriving = {heights[origin] + blocks[origin].rise for origin in origins[candidate]}
        block = blocks[candidate]
        if len(arriving) != 1 or weight + block.weight > REGION_WEIGHT_MAX:
            continue
        (height,) = arriving
        if abs(height) > _HEIGHT_MAX:
            continue
        heights[candidate] = height
        weight += block.weight
        candidates += block.successors
    return heights


def _region(start: int, heights: dict[int, int], blocks: dict[int, Block]) -> Region:
    changed: dict[int, set[int]] = {inside: set() for inside in heights}
    touched: set[int] = set()
    low = high = 0
    again = True
    while again:
        again = False
        for inside, height in heights.items():
            block = blocks[inside]
            read, written = _places(block, height)
            touched |= read | written
            low, high = max(low, block.low - height), max(high, block.high + height)
            end = height + block.rise
            leaving = {place for place in changed[inside] | written if place < end}
            for successor in block.successors:
                if heights.get(successor) == end and not leaving <= changed[successor]:
                    changed[successor] |= leaving
                    again = again or successor == start
    members = {
        inside: Member(blocks[inside], height, frozenset(changed[inside]))
        for inside, height in heights.items()
    }
    below = tuple(sorted(place for place in touched if place < 0))
    return Region(start, members, below, low, high)


def _places(block: Block, height: int) -> tuple[set[int], set[int]]:
    """The places that a block reads and writes."""
    read: set[int] = set()
    written: set[int] = set()
    for instruction in block.instructions:
        opcode = instruction.opcode
        match opcode.shape:
            case Shape.DUP:
                read.add(height - opcode.pops)
                written.add(height)
                height += 1
            case Shape.SWAP:
                both = {height - 1, height - opcode.pops}
                read |= both
                written |= both
            case _:
                read |= set(range(height - opcode.pops, height))
                height += opcode.pushes - opcode.pops
                written |= set(range(height - opcode.pushes, height))
    popped = {Exit.BRANCH: 2, Exit.JUMP: 1, Exit.GOTO: 1}.get(block.exit, 0)
    read |= set(range(height - popped, height))
    return read, written
