"""Ommers: the headers of stale siblings that a proof-of-work block may name (Yellow Paper 11.1)."""

from collections.abc import Sequence
from typing import Final

from chain import headers
from chain.blocks import Block, ommers_hash
from chain.errors import Reason, Rejected
from chain.genesis import ChainConfig

OMMERS_MAX: Final = 2
# How many generations before the block an ommer's parent may be.
ANCESTORS_SEEN: Final = 7


def check_ommers(
    block: Block, ancestors: Sequence[Block], config: ChainConfig, *, seal: bool = False
) -> None:
    """Check the ommers of a block against its chain; raises WRONG_OMMERS or a header's reason.

    `ancestors` are the block's last seven ancestors, its parent first, fewer near
    genesis. An ommer is a valid child of one of them other than the parent, is no
    ancestor itself, and nobody has named it before.
    """
    if ommers_hash(block.ommers) != block.header.ommers_hash:
        raise Rejected(Reason.WRONG_OMMERS, f"block {block.header.number}: hash differs")
    if not block.ommers:
        return
    if len(block.ommers) > OMMERS_MAX:
        raise Rejected(Reason.WRONG_OMMERS, f"{len(block.ommers)} ommers")
    near = ancestors[:ANCESTORS_SEEN]
    by_hash = {headers.header_hash(ancestor.header): ancestor.header for ancestor in near}
    taken = set(by_hash)
    for ancestor in near:
        taken.update(headers.header_hash(ommer) for ommer in ancestor.ommers)
    for ommer in block.ommers:
        ommer_hash = headers.header_hash(ommer)
        if ommer_hash in taken:
            raise Rejected(Reason.WRONG_OMMERS, f"0x{ommer_hash.hex()} is known already")
        taken.add(ommer_hash)
        parent = by_hash.get(ommer.parent_hash)
        if parent is None or ommer.parent_hash == block.header.parent_hash:
            raise Rejected(Reason.WRONG_OMMERS, f"0x{ommer_hash.hex()} is not near enough")
        fork = config.fork_at(ommer.number, ommer.timestamp, merged=False)
        headers.check_header(ommer, parent, fork, config, seal=seal)
