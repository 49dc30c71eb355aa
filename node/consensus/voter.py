"""This node's key in consensus: when it may vote, what its log remembers (section 4).

Without a key a node observes; so does one whose key has lost its log, until the epoch is over
in which it found the network.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from chain.errors import Fault
from chain.ledger import Ledger
from chain.types import Address
from chain.validators import Ballot, Certificate, Vote, VoteKind, decode_certificate, decode_record
from node.consensus.candidates import Candidates, decode_proposed, encode_proposed, proposal_of
from node.consensus.core import Core, Epoch, Restored
from node.consensus.epochs import Epochs
from node.consensus.messages import Base, Proposal
from node.consensus.signer import Signer
from node.consensus.vote_log import Kept, Position, position_of

_log: Final = logging.getLogger("consensus")


class Voter:
    """One node's. Used in the event loop's thread; the signer in its own."""

    def __init__(
        self,
        ledger: Ledger,
        epochs: Epochs,
        candidates: Candidates,
        signer: Signer | None,
        late_signer: Callable[[], Signer] | None,
        thread: Executor,
    ) -> None:
        """`late_signer` instead of `signer`: this key's votes are lost, so that it observes to
        the end of the epoch that it finds the network in, and signs only then (V5).
        """
        self.signer = signer
        self._ledger = ledger
        self._epochs = epochs
        self._candidates = candidates
        self._late_signer = late_signer
        self._mute_through: int | None = None  # the epoch that the network was found in
        self._thread = thread

    @property
    def address(self) -> Address | None:
        """Whose key signs here; None: nobody's, or not yet."""
        return None if self.signer is None else self.signer.address

    # -- what a core begins with -------------------------------------------------------------------

    def begin(self) -> Core:
        """The core of the epoch that the ledger's head leads to, as the log left it (V2)."""
        ledger = self._ledger
        epoch = self._epochs.current()
        record = ledger.record(ledger.height)
        finalization = finalization_of(ledger)
        view = 0
        if record and (decoded := decode_record(record)).epoch == epoch.number:
            view = decoded.view
        if finalization is not None and finalization.ballot.epoch == epoch.number:
            view = max(view, finalization.ballot.view)
        else:
            finalization = None
        signer = self.signer
        imported = ledger.height and not record
        if signer is not None and imported and signer.floor[0] == epoch.number:
            view = max(view, signer.floor[1])
        base = Base(view, ledger.head_hash, ledger.height)
        if signer is None or not self.may_vote(epoch, base):
            return Core(epoch, base, None, finalization=finalization)
        signer.raise_floor((epoch.number, view))
        restored = self._restore(signer, epoch.number)
        return Core(epoch, base, signer.address, restored, finalization)

    def may_vote(self, epoch: Epoch, base: Base) -> bool:
        """A member votes, unless its ledger is older than its votes: then it first catches up."""
        signer = self.signer
        if signer is None or epoch.validators.index_of(signer.address) is None:
            return False
        return signer.floor <= (epoch.number, base.view)

    def _restore(self, signer: Signer, epoch: int) -> Restored:
        """What the vote log remembers of this epoch (V2)."""
        proposals: list[Proposal] = []
        for (of, _), data in sorted(signer.proposals.items()):
            proposed = decode_proposed(data)
            if of == epoch and proposed.record.height > self._ledger.height:
                self._candidates.propose(proposed)
                proposals.append(proposal_of(proposed.record, proposed.hash))
        return Restored(
            tuple(vote for vote in signer.votes if vote.ballot.epoch == epoch),
            tuple(proposals),
            tuple(held for held in signer.certificates if held.ballot.epoch == epoch),
        )

    def demand_own_blocks(self, core: Core) -> None:
        """Where this node is a quorum by itself, what it finalized must be on disk by now.

        Otherwise it would build beside its own votes: `Fault`.
        """
        signer, validators = self.signer, core.epoch.validators
        index = None if signer is None else validators.index_of(signer.address)
        if signer is None or index is None:
            return
        if not validators.quorum(validators.validators[index].power):
            return
        voted = [v.ballot for v in signer.votes if v.ballot.kind is VoteKind.FINALIZE]
        if voted:
            raise Fault(
                f"the vote log holds a vote for block 0x{voted[0].block_hash.hex()}, "
                "which is lost: this key must not build beside it; restore the data folder"
            )

    # -- votes -------------------------------------------------------------------------------------

    async def sign(
        self, ballots: Sequence[Ballot], held: Sequence[Certificate]
    ) -> dict[Ballot, Vote]:
        """The turn's votes, logged with the bodies and certificates that they stand on (V1)."""
        assert self.signer is not None
        bodies: list[tuple[Position, bytes]] = []
        for ballot in ballots:
            proposed = self._candidates.proposed(ballot.block_hash)
            if ballot.kind is VoteKind.NOTARIZE and proposed is not None:
                record = proposed.record
                bodies.append(((record.epoch, record.view), encode_proposed(proposed)))
        kept = Kept(tuple(bodies), tuple(held))
        loop = asyncio.get_running_loop()
        votes = await loop.run_in_executor(self._thread, self.signer.sign, ballots, kept)
        return {vote.ballot: vote for vote in votes}

    async def raise_floor(self, floor: Position) -> None:
        """The ledger has everything up to here on disk (V6); for who takes part."""
        if self.signer is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self.signer.raise_floor, floor)

    def close(self) -> None:
        """Let go of the vote log."""
        if self.signer is not None:
            self.signer.close()

    # -- votes that are lost (V5) ------------------------------------------------------------------

    def is_unknown_own(self, vote: Vote) -> bool:
        """Whether this node's key signed a vote that its log does not hold."""
        signer = self.signer
        return (
            signer is not None
            and vote.signer == signer.address
            and position_of(vote.ballot) > signer.floor
            and vote not in signer.votes
        )

    def caught_up(self, epoch: int) -> None:
        """This node has what its peers have: the epoch it is in is the network's."""
        if self._late_signer is None or self._mute_through is not None:
            return
        self._mute_through = epoch
        _log.warning("the votes of this key are lost: it observes to the end of epoch %d", epoch)

    def epoch_begins(self, epoch: int) -> None:
        """Whoever was silent for as long as it had to be votes from now on."""
        late = self._late_signer
        if late is not None and self._mute_through is not None and epoch > self._mute_through:
            _log.warning("epoch %d: this key has been silent for an epoch and votes again", epoch)
            self.signer, self._late_signer = late(), None


def finalization_of(ledger: Ledger) -> Certificate | None:
    """The certificate of the ledger's head; None at genesis and after an import."""
    stored = ledger.certificate(ledger.height)
    return decode_certificate(stored) if stored else None
