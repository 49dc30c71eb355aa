"""Votes that are shown to a few more: so that who tells each node another one is found."""

import asyncio

from msgspec.structs import replace

from chain.types import Hash
from chain.validators import VoteKind, encode_vote
from node.gossip import votes as limits
from node.net.messages import CompactBlock, Proposal, Votes
from node.net.network import Offence
from tests.node.gossip.plain_blocks import ADDRESSES, vote
from tests.node.gossip.plain_node import blamed, full_mesh, network
from tests.support.network import virtually


def test_who_tells_each_node_another_vote_is_found() -> None:
    """Section 6: everybody hears the author, so that nobody need be told; some are all the
    same, and one of them holds both votes then."""

    async def main() -> None:
        _, nodes = full_mesh(4)
        await asyncio.sleep(2)
        for number, node in enumerate(nodes[:3]):
            said = vote(VoteKind.NOTARIZE, 3, block_hash=Hash(bytes([number > 0]) * 32))
            nodes[3].end.send(node.id, Votes((encode_vote(said),)))
        await asyncio.sleep(2 * limits.SHOWN_EVERY_S)
        assert any(len(node.driver.votes) == 2 for node in nodes[:3])
        assert not any(node.end.blamed for node in nodes)

    virtually(main())


def test_a_leader_that_shows_each_node_another_block_is_found() -> None:
    """Section 6: the vote that comes with a proposal is shown, too."""

    async def main() -> None:
        _, nodes = full_mesh(4)
        await asyncio.sleep(2)
        for number, node in enumerate(nodes[:3]):
            said = vote(VoteKind.NOTARIZE, 3, block_hash=Hash(bytes([number > 0]) * 32))
            nodes[3].end.send(node.id, Proposal(encode_vote(said), None))
        await asyncio.sleep(2 * limits.SHOWN_EVERY_S)
        known = [{*node.driver.proposals, *(b for b, _ in node.driver.votes)} for node in nodes[:3]]
        assert any(len(ballots) == 2 for ballots in known)

    virtually(main())


def test_of_many_votes_a_few_are_shown_to_few() -> None:
    """What finds liars costs little, however many validators there are."""

    async def main() -> None:
        hub, nodes = full_mesh(6)
        await asyncio.sleep(2)
        for view in range(1, 201):
            nodes[0].gossip.votes([vote(VoteKind.NULLIFY, 0, view)])
        await asyncio.sleep(limits.SHOWN_EVERY_S * 3)
        shown = [sent for sent in hub.of_kind(Votes) if sent.source == nodes[1].id]
        assert len(shown) <= limits.SHOWN_PEERS
        for sent in shown:
            assert isinstance(sent.message, Votes)
            assert len(sent.message.votes) == limits.SHOWN_MAX

    virtually(main())


def test_the_vote_of_a_second_proposal_is_counted_though_its_block_is_not_wanted() -> None:
    """Section 6: a leader that proposes two blocks has signed both."""

    async def main() -> None:
        _, nodes = network(2, [(0, 1)])
        first, second = (
            vote(VoteKind.NOTARIZE, 0, block_hash=Hash(bytes([n]) * 32)) for n in range(2)
        )
        nodes[1].driver.wants_proposal = lambda vote: vote == first  # type: ignore[method-assign]
        for said in (first, second, second):
            nodes[0].end.send(nodes[1].id, Proposal(encode_vote(said), None))
        await asyncio.sleep(1)
        assert list(nodes[1].driver.proposals) == [first.ballot]
        assert list(nodes[1].driver.votes) == [(second.ballot, ADDRESSES[0])]
        assert nodes[1].driver.verified == 1  # not once per copy
        assert not nodes[1].end.blamed

    virtually(main())


def test_a_proposal_with_a_forged_vote_is_held_against_its_sender() -> None:
    """Who passes a proposal on has verified its vote. Its block is not even opened."""

    async def main() -> None:
        _, nodes = network(2, [(0, 1)])
        forged = replace(vote(VoteKind.NOTARIZE, 0), signer=ADDRESSES[1])
        block = CompactBlock(b"", b"", bytes(8), (bytes(2**20),))
        nodes[0].end.send(nodes[1].id, Proposal(encode_vote(forged), block))
        await asyncio.sleep(1)
        assert blamed(nodes[1]) == [Offence.BAD_SIGNATURE]
        assert not nodes[1].driver.proposals and not nodes[1].driver.votes

    virtually(main())
