"""Proposals and the blocks they bring: sent compactly, rebuilt, fetched, answered.

A proposal carries the ids of transactions that its receiver is thought to have. What the
pool lacks is asked of the sender, and if that fails the whole block. A block that a
certificate names is asked of those who signed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain.blocks import encode_block
from chain.errors import Rejected
from chain.types import Address, Hash
from chain.validators import Ballot, Vote, encode_record, encode_vote
from node.consensus.outbox import Inbox, ProposedBlock
from node.gossip.buckets import Bucket
from node.gossip.compact import SALT_BYTES, Compactor, Rebuild, check_block, open_compact
from node.gossip.errands import Errands
from node.gossip.hearing import Hearing
from node.gossip.hedging import first_of
from node.gossip.requests import Requests
from node.gossip.transactions import TransactionGossip
from node.net.messages import (
    Block,
    BlockTransactions,
    CompactBlock,
    GetBlock,
    GetBlockTransactions,
    Proposal,
)
from node.net.network import Network, Offence, Peer, PeerId

SENT_MAX: Final = 8  # blocks that were sent compactly and may be asked about
PROPOSALS_REMEMBERED_MAX: Final = 256
REBUILDS_MAX: Final = 64
REBUILDS_PER_PEER_MAX: Final = 2
FETCHES_MAX: Final = 16
FETCH_PEERS_MAX: Final = 8
MISSING_TIMEOUT_S: Final = 1.0
BLOCK_TIMEOUT_S: Final = 4.0
NEXT_PEER_AFTER_S: Final = 0.5  # ask one more peer when the one asked takes longer
SERVED_BYTES: Final = (64 * 2**20, 8 * 2**20)  # to one peer: at once, and per second
COMPLAINT_PAUSE_S: Final = 5.0


class FinalBlock(Struct, frozen=True):
    """A final block as it is kept: the bytes of its record and of the block."""

    record: bytes
    block: bytes


class BlockGossip:
    """Of the event loop's thread only."""

    def __init__(
        self,
        network: Network,
        requests: Requests,
        hearing: Hearing,
        transactions: TransactionGossip,
        errands: Errands,
        final_block: Callable[[Hash], FinalBlock | None],
        random: Random,
    ) -> None:
        """`random` makes the salts of short ids; nobody else must be able to guess them."""
        self._network = network
        self._requests = requests
        self._hearing = hearing
        self._transactions = transactions
        self._errands = errands
        self._final_block = final_block
        self._random = random
        self._sent: OrderedDict[Hash, ProposedBlock] = OrderedDict()
        # Who has the proposal of a ballot; passed on: whether this node did its part.
        self._holders: OrderedDict[Ballot, set[PeerId]] = OrderedDict()
        self._passed_on: OrderedDict[Ballot, None] = OrderedDict()
        self._rebuilding: dict[tuple[Ballot, PeerId], None] = {}
        self._fetching: dict[Hash, None] = {}
        self._served: dict[PeerId, Bucket] = {}
        self._turn = 0

    def connected(self, peer: PeerId) -> None:
        self._served[peer] = Bucket(*SERVED_BYTES, self._now())

    def disconnected(self, peer: PeerId) -> None:
        self._served.pop(peer, None)
        for holders in self._holders.values():
            holders.discard(peer)

    # -- out ---------------------------------------------------------------------------------------

    def publish(self, vote: Vote, proposed: ProposedBlock | None) -> None:
        """My own proposal, to every peer; to validators first."""
        self._note_passed_on(vote.ballot)
        self._send(vote, proposed, [peer.id for peer in self._validators_first()])

    def relay(self, vote: Vote, proposed: ProposedBlock | None, source: PeerId) -> None:
        """A verified proposal, to the peers that do not hear its leader; once."""
        holders = self._note_holder(vote.ballot, source)
        if vote.ballot in self._passed_on:
            return
        self._note_passed_on(vote.ballot)
        targets = [
            peer.id
            for peer in self._validators_first()
            if peer.id not in holders and not self._hearing.hears(peer.id, vote.signer)
        ]
        self._send(vote, proposed, targets)

    def _validators_first(self) -> list[Peer]:
        return sorted(self._network.peers(), key=lambda peer: not peer.validator)

    def _send(self, vote: Vote, proposed: ProposedBlock | None, targets: Iterable[PeerId]) -> None:
        data = encode_vote(vote)
        compactor: Compactor | None = None
        for peer in targets:
            compact: CompactBlock | None = None
            if proposed is not None:
                if compactor is None:
                    self._note_sent(proposed)
                    salt = self._random.getrandbits(8 * SALT_BYTES).to_bytes(SALT_BYTES, "big")
                    compactor = Compactor(proposed, salt)
                compact = compactor.build(self._knowledge(peer))
            if self._network.send(peer, Proposal(data, compact)):
                self._note_holder(vote.ballot, peer)

    def _knowledge(self, peer: PeerId) -> Callable[[Hash], bool]:
        return lambda transaction_hash: self._transactions.has(peer, transaction_hash)

    # -- proposals in ------------------------------------------------------------------------------

    async def proposal_received(
        self, peer: PeerId, vote: Vote, compact: CompactBlock, inbox: Inbox
    ) -> None:
        """Rebuild the block and hand it on; what is missing is fetched meanwhile.

        Each peer's proposal is followed by itself, so that one who withholds what it offers
        keeps nobody from taking the block of another.
        """
        self._note_holder(vote.ballot, peer)
        if (vote.ballot, peer) in self._rebuilding:
            return
        try:
            rebuild = open_compact(
                compact,
                vote.ballot.block_hash,
                self._transactions.find,
                self._transactions.arriving,
            )
        except Rejected as rejected:
            self._network.blame(peer, Offence.BAD_BLOCK, str(rejected)[:128])
            return
        if not rebuild.missing:
            try:
                proposed = rebuild.finish()
            except Rejected:
                pass  # two transactions with one short id, or a wrong block: the whole one tells
            else:
                await inbox.proposal_arrived(peer, vote, proposed)
                return
        by_peer = sum(each == peer for _, each in self._rebuilding)
        if len(self._rebuilding) >= REBUILDS_MAX or by_peer >= REBUILDS_PER_PEER_MAX:
            return
        self._rebuilding[vote.ballot, peer] = None
        if not self._errands.start(self._complete(peer, vote, rebuild, inbox)):
            del self._rebuilding[vote.ballot, peer]

    async def _complete(self, peer: PeerId, vote: Vote, rebuild: Rebuild, inbox: Inbox) -> None:
        """Fetch what is missing or else the whole block from the peer that offered it."""
        block_hash = vote.ballot.block_hash
        try:
            proposed = await self._fill(peer, block_hash, rebuild) if rebuild.missing else None
            if proposed is None and inbox.wants_proposal(vote):
                proposed = await self._ask_block(peer, block_hash, promised=True)
        finally:
            del self._rebuilding[vote.ballot, peer]
        if proposed is not None and inbox.wants_proposal(vote):
            await inbox.proposal_arrived(peer, vote, proposed)

    async def _fill(self, peer: PeerId, block_hash: Hash, rebuild: Rebuild) -> ProposedBlock | None:
        """The block with its missing transactions from the peer; None when that fails."""
        indices = tuple(rebuild.missing)
        answer = await self._requests.ask(
            peer,
            lambda request: GetBlockTransactions(request, block_hash, indices),
            timeout=MISSING_TIMEOUT_S,
        )
        if not isinstance(answer, BlockTransactions):
            return None
        if not answer.transactions:
            self._network.blame(peer, Offence.EMPTY_ANSWER, "offered a block and lacks it")
            return None
        try:
            rebuild.fill(answer.transactions)
        except Rejected as rejected:
            self._network.blame(peer, Offence.BAD_BLOCK, str(rejected)[:128])
            return None
        try:
            return rebuild.finish()
        except Rejected:
            return None  # short ids may collide: the whole block tells whose fault it is

    # -- blocks by hash ----------------------------------------------------------------------------

    def fetch(self, block_hash: Hash, signers: Sequence[Address], inbox: Inbox) -> None:
        """Ask for a block, its signers first, one more peer every while until one has it."""
        if block_hash in self._fetching or len(self._fetching) >= FETCHES_MAX:
            return
        self._fetching[block_hash] = None
        if not self._errands.start(self._fetch(block_hash, frozenset(signers), inbox)):
            del self._fetching[block_hash]

    async def _fetch(self, block_hash: Hash, signers: frozenset[Address], inbox: Inbox) -> None:
        peers = self._network.peers()
        self._turn = (self._turn + 1) % (len(peers) or 1)
        turned = [*peers[self._turn :], *peers[: self._turn]]
        turned.sort(key=lambda peer: peer.validator not in signers)
        promised = {peer.id: peer.validator in signers for peer in turned[:FETCH_PEERS_MAX]}

        async def ask(peer: PeerId) -> ProposedBlock | None:
            return await self._ask_block(peer, block_hash, promised=promised[peer])

        try:
            found = await first_of(list(promised), ask, NEXT_PEER_AFTER_S)
        finally:
            del self._fetching[block_hash]
        if found is not None:
            await inbox.block_arrived(*found)

    async def _ask_block(
        self, peer: PeerId, block_hash: Hash, *, promised: bool
    ) -> ProposedBlock | None:
        """A whole block; `promised`: the peer said that it has it."""
        answer = await self._requests.ask(
            peer, lambda request: GetBlock(request, block_hash), timeout=BLOCK_TIMEOUT_S
        )
        if not isinstance(answer, Block):
            return None
        if not answer.block:
            if promised:
                self._network.blame(peer, Offence.EMPTY_ANSWER, "promised a block and lacks it")
            return None
        try:
            found = check_block(answer.record, answer.block, block_hash)
        except Rejected as rejected:
            self._network.blame(peer, Offence.BAD_BLOCK, str(rejected)[:128])
            return None
        senders = [self._transactions.sender(each.hash) for each in found.block.transactions]
        return replace(found, senders=tuple(senders))

    # -- answers -----------------------------------------------------------------------------------

    def block_asked(self, peer: PeerId, message: GetBlock, inbox: Inbox) -> None:
        """Answer with a block, final or not; with an empty one when it is not here."""
        block_hash = Hash(message.block_hash)
        answer = Block(message.request, b"", b"")
        if self._may_serve(peer):
            held = self._sent.get(block_hash) or inbox.held_block(block_hash)
            if held is not None:
                answer = Block(
                    message.request, encode_record(held.record), encode_block(held.block)
                )
            else:
                final = self._final_block(block_hash)
                if final is not None:
                    answer = Block(message.request, final.record, final.block)
        self._charge(peer, len(answer.block))
        self._network.send(peer, answer)

    def transactions_asked(self, peer: PeerId, message: GetBlockTransactions, inbox: Inbox) -> None:
        """Answer with some transactions of a block that was sent compactly."""
        indices = message.indices
        held: ProposedBlock | None = None
        if self._may_serve(peer):
            block_hash = Hash(message.block_hash)
            held = self._sent.get(block_hash) or inbox.held_block(block_hash)
        raws: tuple[bytes, ...] = ()
        if held is not None:
            transactions = held.block.transactions
            ascending = all(low < high for low, high in pairwise(indices))
            if not ascending or not indices or indices[-1] >= len(transactions):
                self._network.blame(peer, Offence.MALFORMED, "no ascending indices of the block")
                return
            raws = tuple(transactions[index].raw for index in indices)
        self._charge(peer, sum(map(len, raws)))
        self._network.send(peer, BlockTransactions(message.request, raws))

    def _may_serve(self, peer: PeerId) -> bool:
        bucket = self._served.get(peer)
        if bucket is None:
            return False
        now = self._now()
        if bucket.level(now) > 0:
            return True
        if bucket.overdrawn(now, COMPLAINT_PAUSE_S):
            self._network.blame(peer, Offence.FLOOD, "fetches blocks without end")
        return False

    def _charge(self, peer: PeerId, size: int) -> None:
        if peer in self._served:
            self._served[peer].charge(size, self._now())

    # -- memory ------------------------------------------------------------------------------------

    def _note_sent(self, proposed: ProposedBlock) -> None:
        self._sent[proposed.hash] = proposed
        self._sent.move_to_end(proposed.hash)
        if len(self._sent) > SENT_MAX:
            self._sent.popitem(last=False)

    def _note_holder(self, ballot: Ballot, peer: PeerId) -> set[PeerId]:
        holders = self._holders.setdefault(ballot, set())
        if len(self._holders) > PROPOSALS_REMEMBERED_MAX:
            self._holders.popitem(last=False)
        holders.add(peer)
        return holders

    def _note_passed_on(self, ballot: Ballot) -> None:
        self._passed_on[ballot] = None
        if len(self._passed_on) > PROPOSALS_REMEMBERED_MAX:
            self._passed_on.popitem(last=False)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
