"""What consensus needs of the network, and what the network hands to consensus.

The driver is written against `Outbox`; gossip implements it. Gossip is written against
`Inbox`, which the driver implements.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from chain.blocks import Block
from chain.types import Address, Hash
from chain.validators import Certificate, ConsensusRecord, Vote
from node.net.messages import Status
from node.net.network import PeerId


class ProposedBlock(Struct, frozen=True):
    """A block with its record, and the senders of its transactions as far as they are known.

    `senders` has one item per transaction; None where the signature was not yet recovered.
    """

    record: ConsensusRecord
    block: Block
    hash: Hash
    senders: tuple[Address | None, ...]


class Outbox(Protocol):
    """Everything that consensus sends. Nothing here blocks; what can't be sent is dropped."""

    def publish(self, vote: Vote, proposed: ProposedBlock | None) -> None:
        """Send my proposal: my NOTARIZE and the block; None when it is proposed again."""
        ...

    def votes(self, votes: Sequence[Vote]) -> None:
        """Send my own votes to every peer."""
        ...

    def certificate(self, certificate: Certificate) -> None:
        """Send a certificate to every peer that is not known to have it."""
        ...

    def resend(self, certificates: Sequence[Certificate], votes: Sequence[Vote]) -> None:
        """R8: send this again, known or not, to a bounded number of peers."""
        ...

    def relay_votes(self, votes: Sequence[Vote], source: PeerId) -> None:
        """Pass on votes of others, which verified, to peers that do not hear their signers."""
        ...

    def relay_proposal(self, vote: Vote, proposed: ProposedBlock | None, source: PeerId) -> None:
        """Pass on a proposal whose leader's vote and record verified, once."""
        ...

    def fetch_block(self, block_hash: Hash, signers: Sequence[Address]) -> None:
        """Ask for a block that a certificate names, its signers first; ends in `block_arrived`."""
        ...

    def fetch_certificates(
        self, epoch: int, first_view: int, last_view: int, leader: Address
    ) -> None:
        """Ask for certificates, the leader first; ends in `certificates_arrived`."""
        ...

    def accuse(self, first: Vote, second: Vote) -> None:
        """Send evidence to every peer, once."""
        ...

    def status_changed(self) -> None:
        """`Inbox.status` has news: tell the peers, not more often than they need."""
        ...


class Inbox(Protocol):
    """What consensus takes. Everything is verified in there; offenders are blamed there.

    `peer` is who sent it. Each call returns when the message is taken, not when it had its
    effect; a full inbox makes the caller wait, and with it the peer.
    """

    async def proposal_arrived(
        self, peer: PeerId, vote: Vote, proposed: ProposedBlock | None
    ) -> None: ...

    async def votes_arrived(self, peer: PeerId, votes: Sequence[Vote]) -> None: ...

    async def certificates_arrived(
        self, peer: PeerId, certificates: Sequence[Certificate]
    ) -> None: ...

    async def block_arrived(self, peer: PeerId, proposed: ProposedBlock) -> None: ...

    async def evidence_arrived(self, peer: PeerId, first: Vote, second: Vote) -> None: ...

    def wants_proposal(self, vote: Vote) -> bool:
        """Whether a proposal with this vote is worth rebuilding: its view, its signer, its
        signature are right, and it is the first of its view."""
        ...

    def proved(self, peer: PeerId, status: Status) -> bool:
        """Whether a peer's claim to its height is proved; blames it when it is false."""
        ...

    def status(self) -> Status:
        """Where this node is, without the validators it hears."""
        ...

    def entry_certificates(self) -> Sequence[Certificate]:
        """What a peer that connects needs to enter my view: sent after the status."""
        ...

    def held_certificates(self, epoch: int, first_view: int, last_view: int) -> list[Certificate]:
        """The certificates of these views that are still held, at most 64."""
        ...

    def held_block(self, block_hash: Hash) -> ProposedBlock | None:
        """A block that is not final yet and was proposed or fetched."""
        ...
