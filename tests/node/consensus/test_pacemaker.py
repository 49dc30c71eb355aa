"""The timers of a view, on virtual time."""

import asyncio
from typing import Final

from msgspec.structs import replace

from tests.node.consensus.shell import FINALIZE, IDLE, NULLIFY, Author, Shell, virtual

BUSY: Final = replace(IDLE, interval_ms=10, empty_blocks=True)
BEHIND: Final = 30  # heights; with so many views unfinal, a leader is waited for longest


@virtual
async def test_who_catches_up_within_a_view_gives_up_on_its_leader_like_everybody() -> None:
    """Given timers that were set while the last final view was far below, when sync brings
    all that is final, then a silent leader is waited for no longer than in any view."""
    author = Author()
    final = []
    for view in range(1, BEHIND + 1):
        block = author.block(view)
        certificate = author.certify(FINALIZE, block)
        author.commit(block, certificate)
        final.append((block, certificate))
    view = BEHIND + 1
    loop = asyncio.get_running_loop()
    async with Shell(author, author.follower(view), timing=BUSY) as shell:
        await shell.certify(final[-1][1])
        await shell.until(lambda: shell.driver.core.view == view)
        await shell.settle()
        for block, certificate in final:
            await shell.driver.apply_final(block, certificate)
        start = loop.time()
        await shell.until(lambda: (NULLIFY, view) in shell.outbox.kinds())
        assert loop.time() - start < 3 * BUSY.delta_ms / 1000
