"""Each message to the part that it is for. Implements `node.net.network.Receiver`."""

from typing import Protocol

from node.gossip.consensus import ConsensusGossip
from node.gossip.requests import Requests
from node.gossip.transactions import TransactionGossip
from node.net.messages import (
    Certificates,
    Evidence,
    GetBlock,
    GetBlockTransactions,
    GetBodies,
    GetCertificates,
    GetHeaders,
    GetPeers,
    GetTransactions,
    Goodbye,
    Message,
    Ping,
    Pong,
    Proposal,
    Status,
    TransactionHashes,
    Transactions,
    Votes,
)
from node.net.network import Network, Peer, PeerId


class Sync(Protocol):
    """What is told to the part that catches up. `node.sync`, and a plain one in tests."""

    def peer_status(self, peer: PeerId, status: Status) -> None:
        """A peer's claim to a height, which was proved."""
        ...

    async def asked(self, peer: PeerId, message: GetHeaders | GetBodies) -> None:
        """Answer with final headers or bodies."""
        ...

    def forget(self, peer: PeerId) -> None:
        """The peer is gone."""
        ...


class Dispatch:
    """One for the node; the network calls it."""

    def __init__(
        self,
        network: Network,
        requests: Requests,
        transactions: TransactionGossip,
        consensus: ConsensusGossip,
        sync: Sync,
    ) -> None:
        self._network = network
        self._requests = requests
        self._transactions = transactions
        self._consensus = consensus
        self._sync = sync

    def connected(self, peer: Peer) -> None:
        self._consensus.connected(peer)
        self._transactions.connected(peer)

    def disconnected(self, peer: PeerId) -> None:
        self._requests.forget(peer)
        self._consensus.disconnected(peer)
        self._transactions.disconnected(peer)
        self._sync.forget(peer)

    async def received(self, peer: PeerId, message: Message) -> None:
        match message:
            case Status():
                if self._consensus.status_received(peer, message):
                    self._sync.peer_status(peer, message)
            case (
                Proposal()
                | Votes()
                | Certificates(request=0)
                | Evidence()
                | GetCertificates()
                | GetBlock()
                | GetBlockTransactions()
            ):
                await self._consensus.received(peer, message)
            case TransactionHashes():
                self._transactions.announced(peer, message)
            case Transactions(request=0):
                self._transactions.pushed(peer, message)
            case GetTransactions():
                self._transactions.asked(peer, message)
            case GetHeaders() | GetBodies():
                await self._sync.asked(peer, message)
            case Ping(request):
                self._network.send(peer, Pong(request))
            case Goodbye() | GetPeers():
                pass  # the links answer and note these themselves
            case _:
                self._requests.answer(peer, message)
