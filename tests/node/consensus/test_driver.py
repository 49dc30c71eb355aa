"""The driver: effects performed in order, the ledger and the core in step, whatever interferes."""

from tests.node.consensus.shell import (
    FINALIZE,
    NOTARIZE,
    Author,
    Shell,
    virtual,
)


@virtual
async def test_a_proposed_block_is_executed_notarized_finalized_and_committed() -> None:
    """R1 to R3, R6: from the leader's proposal to the ledger."""
    author = Author()
    async with Shell(author, author.follower(1, 2)) as shell:
        block = author.block(1)
        await shell.propose(block)
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1)])
        await shell.certify(author.certify(NOTARIZE, block))
        await shell.until(lambda: shell.outbox.kinds() == [(NOTARIZE, 1), (FINALIZE, 1)])
        final = author.certify(FINALIZE, block)
        await shell.certify(final)
        await shell.until(lambda: shell.ledger.height == 1)
        await shell.until(lambda: len(shell.committed) == 1)
        assert shell.ledger.head_hash == block.hash
        assert shell.driver.finalization() == final
        assert shell.blamed == []
