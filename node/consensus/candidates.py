"""Blocks that may become final: their bodies, and the state that each leads to.

A block runs before it is final. Its result is an overlay on its parent's, down to the
ledger's head; what consensus skips is dropped without a trace.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from chain import codec
from chain.blocks import Block, Header, decode_block, encode_block
from chain.errors import Fault, Reason, Rejected
from chain.execution import Executed, apply_block
from chain.headers import header_hash
from chain.ledger import Ledger
from chain.machine import Machine
from chain.types import ZERO_HASH, Address, Hash, Height
from chain.validation import check_transactions
from chain.validators import ConsensusRecord, decode_record, encode_record, randomness, record_hash
from chain.views import Overlay, TrieView
from node.consensus.messages import Proposal
from node.consensus.outbox import ProposedBlock
from node.proposer import Ground, Run


class Candidate(Struct, frozen=True):
    """An executed block that may become final."""

    executed: Executed
    record: ConsensusRecord
    runs: tuple[Run, ...]  # what building it showed; nothing when somebody else built it


class Candidates:
    """The bodies and results above the ledger's head. Used from the event loop's thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._proposed: dict[Hash, ProposedBlock] = {}
        self._executed: dict[Hash, Candidate] = {}

    def propose(self, proposed: ProposedBlock) -> None:
        """Remember a body."""
        self._proposed.setdefault(proposed.hash, proposed)

    def keep(self, candidate: Candidate) -> None:
        """Remember a result, and the body with it."""
        executed = candidate.executed
        self._executed[executed.hash] = candidate
        self.propose(
            ProposedBlock(candidate.record, executed.block, executed.hash, executed.senders)
        )

    def proposed(self, block_hash: Hash) -> ProposedBlock | None:
        return self._proposed.get(block_hash)

    def executed(self, block_hash: Hash) -> Candidate | None:
        return self._executed.get(block_hash)

    def above_head(self, block_hash: Hash) -> list[Candidate]:
        """The executed blocks from after the head up to this one; KeyError when one is missing."""
        chain: list[Candidate] = []
        while block_hash != self._ledger.head_hash:
            candidate = self._executed[block_hash]
            chain.append(candidate)
            block_hash = candidate.record.parent_hash
        return chain[::-1]

    def ground(self, parent_hash: Hash) -> Ground:
        """What a block on this parent runs on; KeyError when the parent was not executed."""
        ledger = self._ledger
        chain = self.above_head(parent_hash)
        view: TrieView = ledger.view()
        hashes: dict[int, Hash] = {}
        parent: Header = ledger.head
        for candidate in chain:
            view = Overlay(view, candidate.executed.changes)
            parent = candidate.executed.block.header
            hashes[parent.number] = candidate.executed.hash
        return Ground(
            view=view,
            parent=parent,
            total_difficulty=ledger.total_difficulty(ledger.height),
            block_hash=_hashes(ledger, hashes),
        )

    def time_ms(self, block_hash: Hash) -> int:
        """The time of a final or executed block, in milliseconds."""
        candidate = self._executed.get(block_hash)
        if candidate is not None:
            return candidate.record.timestamp_ms
        record = self._ledger.record(self._ledger.height)
        if record:
            return decode_record(record).timestamp_ms
        return self._ledger.head.timestamp * 1000

    def next_nonces(self, parent_hash: Hash) -> Mapping[Address, int]:
        """The next nonces of those who have transactions in blocks that are not final yet."""
        nonces: dict[Address, int] = {}
        for candidate in self.above_head(parent_hash):
            executed = candidate.executed
            for sender, transaction in zip(
                executed.senders, executed.block.transactions, strict=True
            ):
                nonces[sender] = transaction.nonce + 1
        return nonces

    def prune(self) -> None:
        """Forget what the ledger's head has left behind, and results that stand beside it."""
        height = self._ledger.height
        for block_hash, proposed in list(self._proposed.items()):
            if proposed.record.height <= height:
                del self._proposed[block_hash]
        standing = {self._ledger.head_hash}
        for block_hash, candidate in list(self._executed.items()):  # parents before children
            if candidate.record.height > height and candidate.record.parent_hash in standing:
                standing.add(block_hash)
            else:
                del self._executed[block_hash]

    def forget(self, delivered: int, wanted: Callable[[Hash], bool]) -> None:
        """Forget the blocks that are not wanted, but for those up to height `delivered` that are
        not yet committed.
        """
        committed = self._ledger.height
        for block_hash, proposed in list(self._proposed.items()):
            waits = committed < proposed.record.height <= delivered
            if not waits and not wanted(block_hash):
                del self._proposed[block_hash]
                self._executed.pop(block_hash, None)


def _hashes(ledger: Ledger, unfinal: Mapping[int, Hash]) -> Callable[[int], Hash]:
    def block_hash(number: int) -> Hash:
        found = unfinal.get(number)
        if found is not None:
            return found
        if not 0 <= number <= ledger.height:
            return ZERO_HASH
        return ledger.hash_at(Height(number))

    return block_hash


def execute(proposed: ProposedBlock, ground: Ground, ledger: Ledger, machine: Machine) -> Candidate:
    """Run somebody's block on its parent's state; Rejected when it is not valid (R1)."""
    record, block = proposed.record, proposed.block
    header = block.header
    if header.parent_beacon_root != record_hash(record):
        raise Rejected(Reason.WRONG_HEADER_FIELDS, "the header names another record")
    if header.parent_hash != record.parent_hash or header.number != record.height:
        raise Rejected(Reason.WRONG_HEADER_FIELDS, "the record has another parent or height")
    if header.mix_hash != randomness(record):
        raise Rejected(Reason.WRONG_HEADER_FIELDS, "the randomness is not the record's")
    if header.timestamp != record.timestamp_ms // 1000:
        raise Rejected(Reason.WRONG_TIMESTAMP, "the record has another time")
    executed = apply_block(
        ground.view,
        block,
        ground.parent,
        machine,
        ledger.config,
        ground.block_hash,
        parent_total_difficulty=ground.total_difficulty,
        senders=_senders(proposed, ground, ledger),
    )
    return Candidate(executed, record, ())


def _senders(proposed: ProposedBlock, ground: Ground, ledger: Ledger) -> list[Address] | None:
    """All senders, those that are not known recovered; None when recovery has to do it all."""
    transactions, senders = proposed.block.transactions, proposed.senders
    missing = [index for index, sender in enumerate(senders) if sender is None]
    if len(missing) == len(senders):
        return None
    header = proposed.block.header
    fork = ledger.config.fork_at(header.number, header.timestamp, merged=True)
    checked = check_transactions(
        [transactions[index] for index in missing], fork, ledger.config.chain_id
    )
    found: dict[int, Address] = {}
    for index, result in zip(missing, checked, strict=True):
        if isinstance(result, Rejected):
            raise result
        found[index] = result.sender
    return [found[i] if sender is None else sender for i, sender in enumerate(senders)]


# -- bytes, for the vote log -----------------------------------------------------------------------


def encode_proposed(proposed: ProposedBlock) -> bytes:
    """A block with its record, as the vote log keeps it."""
    return codec.encode_list(
        (
            codec.encode_bytes(encode_record(proposed.record)),
            codec.encode_bytes(encode_block(proposed.block)),
        )
    )


def decode_proposed(data: bytes) -> ProposedBlock:
    """A proposal from the vote log; `Fault` when it makes no sense."""
    try:
        item = codec.decode(data)
        if isinstance(item, list) and len(item) == 2:
            record, block = item
            if isinstance(record, bytes) and isinstance(block, bytes):
                return proposed_block(decode_record(record), decode_block(block))
    except Rejected as error:
        raise Fault(f"the vote log holds a proposal that makes no sense: {error}") from error
    raise Fault("the vote log holds a proposal of another format")


def proposed_block(record: ConsensusRecord, block: Block) -> ProposedBlock:
    """A block whose senders nobody knows yet."""
    return ProposedBlock(
        record, block, header_hash(block.header), (None,) * len(block.transactions)
    )


def proposal_of(record: ConsensusRecord, block_hash: Hash) -> Proposal:
    """A block as the core sees it."""
    return Proposal(record.view, block_hash, record.parent_view, record.parent_hash, record.height)
