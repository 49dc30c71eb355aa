"""The blocks above the base as the core sees them: who stands on whom, and which are valid."""

from collections.abc import Container

from msgspec import Struct

from chain.types import Hash
from node.consensus.messages import Base, Proposal


class _Known(Struct):
    """A block whose body is here."""

    proposal: Proposal
    valid: bool | None = None  # None: not executed yet
    checking: bool = False


class Blocks:
    """Every block that was proposed or fetched above the base."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._known: dict[Hash, _Known] = {}
        self._changed = False  # since it was last asked what can be executed

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, block_hash: object) -> bool:
        return block_hash in self._known or block_hash == self.base.block_hash

    def add(self, proposal: Proposal) -> None:
        """Remember a block under the view that its record names; never an `again`."""
        if proposal.block_hash not in self and proposal.view > self.base.view:
            self._known[proposal.block_hash] = _Known(proposal)
            self._changed = True

    def get(self, block_hash: Hash) -> Proposal | None:
        known = self._known.get(block_hash)
        return None if known is None else known.proposal

    def verdict(self, block_hash: Hash) -> bool | None:
        """Whether the block is valid; None while that is not known."""
        if block_hash == self.base.block_hash:
            return True
        known = self._known.get(block_hash)
        return None if known is None else known.valid

    def judge(self, block_hash: Hash, valid: bool) -> None:
        """The block was executed."""
        known = self._known.get(block_hash)
        if known is not None:
            known.valid = valid
            known.checking = False
            self._changed = True

    def next_to_check(self) -> list[Proposal]:
        """The blocks that can be executed now and are not being: their parents are valid.

        What stands on an invalid block is invalid.
        """
        found: list[Proposal] = []
        while self._changed:
            self._changed = False
            for known in self._known.values():
                if known.valid is not None or known.checking:
                    continue
                parent = self.verdict(known.proposal.parent_hash)
                if parent is False:
                    known.valid = False
                    self._changed = True
                elif parent:
                    known.checking = True
                    found.append(known.proposal)
        return found

    def chain_to(self, block_hash: Hash) -> tuple[list[Proposal], Hash | None]:
        """The blocks from after the base up to this one, oldest first.

        With them the hash of the first one that is missing on the way down, if any.
        """
        chain: list[Proposal] = []
        while block_hash != self.base.block_hash:
            proposal = self.get(block_hash)
            if proposal is None:
                return chain[::-1], block_hash
            chain.append(proposal)
            block_hash = proposal.parent_hash
        return chain[::-1], None

    def rebase(self, base: Base) -> None:
        """This block is final: what is not above it matters no more.

        A block that was proposed on an older one is never executed again, so nobody has to
        keep the states below the base.
        """
        self.base = base
        for block_hash, known in list(self._known.items()):
            if known.proposal.view <= base.view:
                del self._known[block_hash]
        self._changed = True

    def forget(self, view: int, kept: Container[Hash]) -> None:
        """Forget the blocks of views before `view` but for those kept."""
        for block_hash, known in list(self._known.items()):
            if known.proposal.view < view and block_hash not in kept:
                del self._known[block_hash]
