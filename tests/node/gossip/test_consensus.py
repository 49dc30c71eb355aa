"""Consensus messages between nodes: each where it is needed, once, and only if it verified."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chain.blocks import encode_block
from chain.evidence import evidence_of
from chain.types import ZERO_HASH, Hash
from chain.validators import (
    Ballot,
    Vote,
    VoteKind,
    encode_certificate,
    encode_record,
    encode_vote,
)
from node.gossip import votes as limits
from node.gossip.blocks import FinalBlock
from node.net.messages import (
    Block,
    BlockTransactions,
    Certificates,
    Evidence,
    GetBlock,
    GetBlockTransactions,
    GetBodies,
    GetCertificates,
    GetHeaders,
    Message,
    Ping,
    Pong,
    Proposal,
    Status,
    TransactionHashes,
    Transactions,
    Votes,
)
from node.net.network import Offence, PeerId
from tests.node.gossip.plain_blocks import ADDRESSES, certificate, proposed, vote
from tests.node.gossip.plain_node import (
    MEMBERS,
    PlainNode,
    blamed,
    full_mesh,
    line,
    network,
)
from tests.node.gossip.plain_pool import transfer
from tests.support.network import Hub, until, virtually


@st.composite
def topologies(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A connected graph of 2 to 8 nodes."""
    count = draw(st.integers(2, 8))
    links = {(draw(st.integers(0, node - 1)), node) for node in range(1, count)}
    for _ in range(draw(st.integers(0, 2 * count))):
        pair = draw(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)))
        if pair[0] < pair[1]:
            links.add(pair)
    return count, sorted(links)


# -- votes -----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(topologies())
def test_every_vote_reaches_every_node_of_a_connected_network_once_per_link(
    topology: tuple[int, list[tuple[int, int]]],
) -> None:
    async def main() -> None:
        count, links = topology
        hub, nodes = network(count, links)
        await asyncio.sleep(2)  # everybody knows whom everybody hears
        for number, node in enumerate(nodes):
            node.gossip.votes([vote(VoteKind.NULLIFY, number)])
        await asyncio.sleep(2)
        for number, node in enumerate(nodes):
            heard = {signer for _, signer in node.driver.votes}
            assert heard == set(MEMBERS[:count]) - {MEMBERS[number]}
            assert not node.end.blamed and not node.failures
        carried = [
            (sent.source, sent.target, each)
            for sent in hub.of_kind(Votes)
            if isinstance(sent.message, Votes)
            for each in sent.message.votes
        ]
        assert len(carried) == len(set(carried))

    virtually(main())


def test_in_a_full_mesh_nobody_passes_votes_on() -> None:
    async def main() -> None:
        hub, nodes = full_mesh(4)
        await asyncio.sleep(2)
        for number, node in enumerate(nodes):
            node.gossip.votes([vote(VoteKind.NULLIFY, number)])
        await asyncio.sleep(limits.SHOWN_EVERY_S / 2)
        assert len(hub.of_kind(Votes)) == 4 * 3
        assert all(len(node.driver.votes) == 3 for node in nodes)

    virtually(main())


def test_while_links_are_new_votes_are_not_passed_on_to_those_who_hear_them() -> None:
    """Nobody knows yet whom the others hear: what they lack they get once that is known."""

    async def main() -> None:
        hub, nodes = full_mesh(6)
        for number, node in enumerate(nodes):
            node.gossip.votes([vote(VoteKind.NULLIFY, number)])
        await asyncio.sleep(3)
        shown = 6 * limits.SHOWN_PEERS
        assert len(hub.of_kind(Votes)) <= 6 * 5 + shown
        assert all(len(node.driver.votes) == 5 for node in nodes)

    virtually(main())


def test_votes_that_were_cast_before_reach_who_connects_later_even_if_not_by_their_author() -> None:
    async def main() -> None:
        hub, nodes = network(3, [(0, 1)])
        await asyncio.sleep(2)
        nodes[0].gossip.votes([vote(VoteKind.NULLIFY, 0)])
        nodes[1].gossip.votes([vote(VoteKind.NULLIFY, 1)])
        await asyncio.sleep(1)
        hub.connect(nodes[1].id, nodes[2].id)
        await asyncio.sleep(0.1)
        assert {signer for _, signer in nodes[2].driver.votes} == {MEMBERS[1]}
        await asyncio.sleep(2)
        assert {signer for _, signer in nodes[2].driver.votes} == set(MEMBERS[:2])

    virtually(main())


def test_of_many_peers_those_that_hear_all_signers_are_given_a_certificate_last() -> None:
    async def main() -> None:
        hub, nodes = full_mesh(12)
        await asyncio.sleep(3)
        nodes[0].gossip.certificate(certificate(VoteKind.NULLIFY, 1))
        await asyncio.sleep(0.05)
        own = [sent for sent in hub.of_kind(Certificates) if sent.source == nodes[0].id]
        assert len(own) == limits.CERTIFICATE_HEARERS_AT_ONCE
        await asyncio.sleep(2)
        assert all(len(node.driver.certificates) == 1 for node in nodes[1:])

    virtually(main())


def test_a_vote_that_does_not_verify_goes_no_further() -> None:
    async def main() -> None:
        hub, nodes = line(3)
        forged = replace(vote(VoteKind.NULLIFY, 0), signer=ADDRESSES[5])
        nodes[0].end.send(nodes[1].id, Votes((encode_vote(forged),)))
        await asyncio.sleep(1)
        assert blamed(nodes[1]) == [Offence.BAD_SIGNATURE]
        assert not nodes[2].driver.votes
        assert len(hub.of_kind(Votes)) == 1

    virtually(main())


def test_a_vote_that_was_verified_is_not_verified_again() -> None:
    async def main() -> None:
        _, nodes = line(2)
        message = Votes((encode_vote(vote(VoteKind.NULLIFY, 0)),))
        for _ in range(50):
            nodes[0].end.send(nodes[1].id, message)
        await asyncio.sleep(1)
        assert nodes[1].driver.verified == 1

    virtually(main())


@pytest.mark.parametrize(
    "message",
    [
        Votes((b"\xc0",)),
        Votes((b"",)),
        Certificates(0, (b"\xc0",)),
        Evidence(b"\xc0", b"\xc0"),
        Proposal(b"\xc0", None),
        GetCertificates(1, 0, 9, 8),
    ],
)
def test_what_does_not_decode_is_malformed(message: Message) -> None:
    async def main() -> None:
        _, nodes = line(2)
        nodes[0].end.send(nodes[1].id, message)
        await asyncio.sleep(0.1)
        assert blamed(nodes[1]) == [Offence.MALFORMED]
        assert not nodes[1].failures and not nodes[1].driver.verified

    virtually(main())


def test_a_flood_of_votes_is_dropped_and_scored() -> None:
    async def main() -> None:
        _, nodes = line(2)
        forged = [
            replace(vote(VoteKind.NULLIFY, 0), ballot=Ballot(VoteKind.NULLIFY, 0, at, ZERO_HASH, 0))
            for at in range(256)
        ]
        message = Votes(tuple(map(encode_vote, forged)))
        nodes[1].driver.proved = lambda peer, status: True  # type: ignore[method-assign]

        async def count(peer: PeerId, votes: Sequence[Vote]) -> None:
            nodes[1].driver.verified += len(votes)

        nodes[1].driver.votes_arrived = count  # type: ignore[method-assign]
        for _ in range(400):
            nodes[0].end.send(nodes[1].id, message)
        await asyncio.sleep(0.5)
        assert nodes[1].driver.verified <= limits.VOTES_RATE[0] + limits.VOTES_RATE[1]
        assert blamed(nodes[1]) == [Offence.FLOOD]

    virtually(main())


# -- certificates ----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(topologies(), st.integers(0, 7))
def test_a_certificate_reaches_every_node_and_is_never_sent_back(
    topology: tuple[int, list[tuple[int, int]]], origin: int
) -> None:
    async def main() -> None:
        count, links = topology
        hub, nodes = network(count, links)
        nodes[origin % count].gossip.certificate(certificate(VoteKind.FINALIZE))
        await asyncio.sleep(2)
        for at, node in enumerate(nodes):
            assert at == origin % count or len(node.driver.certificates) == 1
            assert node.driver.verified <= 1
        ways = [(sent.source, sent.target) for sent in hub.of_kind(Certificates)]
        assert len(ways) == len(set(ways))

    virtually(main())


def test_of_many_peers_those_beyond_the_view_do_not_get_a_certificate_that_leads_out_of_it() -> (
    None
):
    async def main() -> None:
        hub, nodes = network(12, [(0, other) for other in range(1, 12)])
        for node in nodes[1:]:
            node.driver.view = 7
        await asyncio.sleep(2)
        for node in nodes[1:]:
            node.gossip.status_changed()
        await asyncio.sleep(2)
        nodes[0].gossip.certificate(certificate(VoteKind.NULLIFY, 3))
        await asyncio.sleep(1)
        assert len(hub.of_kind(Certificates)) == limits.CERTIFICATE_PEERS_AT_ONCE
        nodes[0].gossip.certificate(certificate(VoteKind.NULLIFY, 8))
        await asyncio.sleep(1)
        assert len(hub.of_kind(Certificates)) == limits.CERTIFICATE_PEERS_AT_ONCE + 11

    virtually(main())


def test_a_proposal_comes_after_the_certificates_that_it_stands_on() -> None:
    async def main() -> None:
        _, nodes = network(12, [(0, other) for other in range(1, 12)])
        nodes[0].gossip.certificate(certificate(VoteKind.NULLIFY, 3))
        nodes[0].gossip.publish(*proposed([], view=4))
        await asyncio.sleep(1)
        for node in nodes[1:]:
            assert node.driver.order == ["certificate", "proposal"]

    virtually(main())


def test_a_peer_that_connects_is_told_where_i_am_and_what_leads_there() -> None:
    async def main() -> None:
        hub, nodes = network(2, [])
        nodes[0].driver.view = 5
        nodes[0].driver.entry = [certificate(VoteKind.NULLIFY, 4)]
        hub.connect(nodes[0].id, nodes[1].id)
        await until(lambda: bool(nodes[1].driver.certificates))
        peer, status = nodes[1].driver.statuses[0]
        assert (peer, status.view) == (nodes[0].id, 5)
        assert nodes[1].sync.statuses == nodes[1].driver.statuses

    virtually(main())


def test_certificates_are_fetched_from_the_leader_and_then_from_others() -> None:
    """The leader is silent: the next peer is asked soon, and the leader is scored."""

    async def main() -> None:
        hub, nodes = full_mesh(3)
        hub.way(nodes[0].id, nodes[1].id).held = True
        for view in (3, 4):
            held = certificate(VoteKind.NULLIFY, view)
            nodes[2].driver.certificates[held.ballot] = held
        start = asyncio.get_running_loop().time()
        nodes[0].gossip.fetch_certificates(0, 3, 4, ADDRESSES[1])
        nodes[0].gossip.fetch_certificates(0, 3, 4, ADDRESSES[1])
        await until(lambda: len(nodes[0].driver.certificates) == 2)
        assert asyncio.get_running_loop().time() < start + 0.5
        asked = [sent.target for sent in hub.of_kind(GetCertificates)]
        assert asked == [nodes[1].id, nodes[2].id]
        assert not nodes[0].end.blamed

    virtually(main())


def test_a_standstill_is_met_with_a_bounded_number_of_messages() -> None:
    async def main() -> None:
        hub, nodes = network(12, [(0, other) for other in range(1, 12)])
        await asyncio.sleep(1)
        for _ in range(2):
            nodes[0].gossip.resend(
                [certificate(VoteKind.FINALIZE)], [vote(VoteKind.NULLIFY, 0, view=2)]
            )
            await asyncio.sleep(1)
        targets = {sent.target for sent in hub.of_kind(Votes)}
        assert len(hub.of_kind(Votes)) == 2 * limits.RESEND_PEERS_MAX
        assert len(targets) == 11  # the second round reached those that the first did not

    virtually(main())


# -- status ----------------------------------------------------------------------------------------


def test_a_false_claim_is_neither_remembered_nor_told_to_sync() -> None:
    async def main() -> None:
        _, nodes = network(2, [])
        nodes[1].driver.false_claims.add(nodes[0].id)
        nodes[1].end._hub.connect(nodes[0].id, nodes[1].id)
        await asyncio.sleep(0.1)
        assert Offence.FALSE_HEIGHT in blamed(nodes[1])
        assert not nodes[1].sync.statuses
        assert nodes[1].gossip.peer_status(nodes[0].id) is None

    virtually(main())


def test_statuses_are_not_sent_more_often_than_they_are_needed() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        await asyncio.sleep(5)
        before = len(hub.of_kind(Status))
        for _ in range(1000):
            nodes[0].gossip.status_changed()
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert len(hub.of_kind(Status)) - before <= 4

    virtually(main())


def test_a_silent_node_gives_a_sign_of_life() -> None:
    async def main() -> None:
        hub, _ = line(2)
        await asyncio.sleep(5)
        before = len(hub.of_kind(Status))
        await asyncio.sleep(21)
        assert len(hub.of_kind(Status)) >= before + 4

    virtually(main())


# -- evidence --------------------------------------------------------------------------------------


def test_evidence_reaches_everybody_once() -> None:
    async def main() -> None:
        hub, nodes = line(4)
        pair = vote(VoteKind.NULLIFY, 2), vote(VoteKind.FINALIZE, 2, block_hash=Hash(b"\1" * 32))
        nodes[0].gossip.accuse(*pair)
        nodes[0].gossip.accuse(*reversed(pair))
        await asyncio.sleep(1)
        evidence = evidence_of(*pair)
        right = [(evidence.first, evidence.second)]  # others refuse another order
        assert all(node.driver.evidence == right for node in nodes[1:])
        ways = [(sent.source, sent.target) for sent in hub.of_kind(Evidence)]
        assert len(ways) == len(set(ways))

    virtually(main())


def test_a_flood_of_evidence_is_dropped_and_scored() -> None:
    async def main() -> None:
        _, nodes = line(2)
        for view in range(500):
            first = replace(
                vote(VoteKind.NULLIFY, 2), ballot=Ballot(VoteKind.NULLIFY, 0, view, ZERO_HASH, 0)
            )
            nodes[0].end.send(nodes[1].id, Evidence(encode_vote(first), encode_vote(first)))
        await asyncio.sleep(1)
        assert nodes[1].driver.verified <= limits.EVIDENCE_RATE[0] + 2
        assert Offence.FLOOD in blamed(nodes[1])

    virtually(main())


# -- proposals -------------------------------------------------------------------------------------


def pooled(nodes: Sequence[PlainNode], numbers: Sequence[int]) -> None:
    for node in nodes:
        for number in numbers:
            node.pool.admit(transfer(number))
            node.transactions.pooled([transfer(number)], [transfer(number)], local=False)


@settings(max_examples=30, deadline=None)
@given(topologies(), st.integers(0, 7), st.sets(st.integers(0, 30)), st.data())
def test_a_proposal_reaches_every_node_whatever_their_pools_hold(
    topology: tuple[int, list[tuple[int, int]]], leader: int, numbers: set[int], data: st.DataObject
) -> None:
    """On any connected network, with any pools, each node gets the block as it was built."""

    async def main() -> None:
        count, links = topology
        hub, nodes = network(count, links)
        for node in nodes:
            pooled([node], sorted(data.draw(st.sets(st.sampled_from(range(31))))))
        await asyncio.sleep(data.draw(st.sampled_from([0.0, 0.02, 1.0])))
        first = leader % count
        vote, block = proposed([transfer(number) for number in sorted(numbers)], first)
        nodes[first].driver.proposals[vote.ballot] = block
        nodes[first].gossip.publish(vote, block)
        await asyncio.sleep(5)
        for node in nodes:
            got = node.driver.proposals[vote.ballot]
            assert got is not None and got.block == block.block
            assert not node.end.blamed and not node.failures
        ways = [(sent.source, sent.target) for sent in hub.of_kind(Proposal)]
        assert len(ways) == len(set(ways))
        assert nodes[first].id not in [target for _, target in ways]

    virtually(main())


def test_a_proposal_is_passed_on_once() -> None:
    async def main() -> None:
        hub, nodes = line(3)
        vote, block = proposed([transfer(1)])
        for _ in range(3):
            nodes[1].gossip.relay_proposal(vote, block, nodes[0].id)
        await asyncio.sleep(1)
        assert [sent.target for sent in hub.of_kind(Proposal)] == [nodes[2].id]

    virtually(main())


def test_a_proposal_of_pooled_transactions_is_small() -> None:
    """What all pools hold travels as 8 bytes each."""

    async def main() -> None:
        hub, nodes = full_mesh(4)
        pooled(nodes, range(500))
        await asyncio.sleep(1)
        nodes[0].gossip.publish(*proposed([transfer(number) for number in range(500)]))
        await asyncio.sleep(1)
        sizes = [sent.size for sent in hub.of_kind(Proposal)]
        assert len(sizes) == 3 and max(sizes) < 500 * 10 + 1000
        assert not hub.of_kind(GetBlockTransactions)
        assert all(len(node.driver.proposals) == 1 for node in nodes[1:])

    virtually(main())


def test_what_a_pool_has_lost_is_asked_of_the_sender() -> None:
    async def main() -> None:
        hub, nodes = full_mesh(2)
        pooled(nodes, range(20))
        await asyncio.sleep(1)
        lost = transfer(7).transaction.hash
        del nodes[1].pool.checked[lost]
        nodes[0].gossip.publish(*proposed([transfer(number) for number in range(20)]))
        await until(lambda: bool(nodes[1].driver.proposals))
        (asked,) = hub.of_kind(GetBlockTransactions)
        assert isinstance(asked.message, GetBlockTransactions)
        assert asked.message.indices == (7,)
        assert not hub.of_kind(GetBlock)

    virtually(main())


def test_a_block_proposed_again_travels_without_its_body() -> None:
    async def main() -> None:
        hub, nodes = line(3)
        vote, _ = proposed([transfer(1)])
        nodes[0].gossip.publish(vote, None)
        await asyncio.sleep(1)
        assert all(node.driver.proposals == {vote.ballot: None} for node in nodes[1:])
        assert [sent.message for sent in hub.of_kind(Proposal)] == [
            Proposal(encode_vote(vote), None)
        ] * 2

    virtually(main())


def test_a_proposal_that_is_not_wanted_is_not_rebuilt() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        good, block = proposed([transfer(1)])
        nodes[0].gossip.publish(replace(good, signer=ADDRESSES[3]), block)
        await asyncio.sleep(1)
        assert not nodes[1].driver.proposals and not hub.of_kind(GetBlockTransactions)

    virtually(main())


def compact_of(nodes: Sequence[PlainNode], hub: Hub, number: int = 1) -> tuple[Vote, Proposal]:
    """A proposal as node 0 would send it to one that has everything."""
    vote, block = proposed([transfer(number)])
    nodes[0].gossip.publish(vote, block)
    message = hub.of_kind(Proposal)[0].message
    assert isinstance(message, Proposal) and message.block is not None
    short = transfer(number).transaction.hash[:4] + b"\0" * 4
    return vote, Proposal(message.vote, replace(message.block, entries=(short,)))


def test_a_withheld_body_costs_its_sender_and_does_not_keep_the_block_from_coming() -> None:
    """Peer 1 offers the proposal with ids that nobody has, and is silent; peer 0 then sends it."""

    async def main() -> None:
        hub, nodes = network(3, [(0, 2), (1, 2)])
        hub.way(nodes[0].id, nodes[2].id).held = True
        vote, hollow = compact_of(nodes, hub)
        hub.way(nodes[2].id, nodes[1].id).held = True  # it never sees the questions
        nodes[1].end.send(nodes[2].id, hollow)
        await asyncio.sleep(0.1)
        assert not nodes[2].driver.proposals
        hub.release(nodes[0].id, nodes[2].id)
        await until(lambda: vote.ballot in nodes[2].driver.proposals)
        assert asyncio.get_running_loop().time() < 0.3
        await asyncio.sleep(10)
        assert nodes[2].end.points() == {nodes[1].id: Offence.NO_ANSWER.points}

    virtually(main())


def test_a_wrong_transaction_for_a_missing_one_leads_to_the_whole_block() -> None:
    """The sender answers with another transaction: the block is asked for, and judged."""

    async def main() -> None:
        hub, nodes = network(3, [(0, 2), (1, 2)])
        hub.way(nodes[0].id, nodes[2].id).held = True
        vote, hollow = compact_of(nodes, hub)
        hub.way(nodes[2].id, nodes[1].id).held = True
        nodes[1].end.send(nodes[2].id, hollow)
        await until(lambda: bool(hub.of_kind(GetBlockTransactions)))
        question = hub.of_kind(GetBlockTransactions)[0].message
        assert isinstance(question, GetBlockTransactions)
        wrong = transfer(99).transaction.raw
        nodes[1].end.send(nodes[2].id, BlockTransactions(question.request, (wrong,)))
        await until(lambda: bool(hub.of_kind(GetBlock)))
        whole = hub.of_kind(GetBlock)[0].message
        assert isinstance(whole, GetBlock)
        _, other = proposed([transfer(99)])
        nodes[1].end.send(
            nodes[2].id,
            Block(whole.request, encode_record(other.record), encode_block(other.block)),
        )
        await asyncio.sleep(0.1)
        assert blamed(nodes[2]) == [Offence.BAD_BLOCK]
        assert vote.ballot not in nodes[2].driver.proposals

    virtually(main())


@pytest.mark.parametrize("entries", [(b"",), (b"\x05nothing that decodes",), (b"12345678",) * 9])
def test_a_proposal_that_is_no_block_is_an_offence(entries: tuple[bytes, ...]) -> None:
    async def main() -> None:
        hub, nodes = network(3, [(0, 2), (1, 2)])
        hub.way(nodes[0].id, nodes[2].id).held = True
        _, hollow = compact_of(nodes, hub)
        assert hollow.block is not None
        nodes[1].end.send(
            nodes[2].id, Proposal(hollow.vote, replace(hollow.block, entries=entries))
        )
        await asyncio.sleep(0.1)
        assert nodes[2].end.points() == {nodes[1].id: Offence.BAD_BLOCK.points}

    virtually(main())


# -- blocks by hash --------------------------------------------------------------------------------


def test_a_block_is_fetched_from_those_who_signed_for_it() -> None:
    async def main() -> None:
        hub, nodes = full_mesh(4)
        _, block = proposed([transfer(number) for number in range(5)])
        nodes[2].driver.blocks[block.hash] = block
        nodes[0].gossip.fetch_block(block.hash, [ADDRESSES[2]])
        nodes[0].gossip.fetch_block(block.hash, [ADDRESSES[2]])
        await until(lambda: block.hash in nodes[0].driver.blocks)
        assert [sent.target for sent in hub.of_kind(GetBlock)] == [nodes[2].id]
        assert nodes[0].driver.blocks[block.hash].block == block.block

    virtually(main())


def test_a_final_block_is_served_from_the_ledger() -> None:
    async def main() -> None:
        _, nodes = full_mesh(2)
        _, block = proposed([transfer(1)])
        nodes[1].final[block.hash] = FinalBlock(
            encode_record(block.record), encode_block(block.block)
        )
        nodes[0].gossip.fetch_block(block.hash, [])
        await until(lambda: block.hash in nodes[0].driver.blocks)

    virtually(main())


def test_signers_who_withhold_or_lack_a_block_are_passed_over_and_scored() -> None:
    """One is silent, one has nothing, one lies: the fourth is asked within a second or so."""

    async def main() -> None:
        hub, nodes = full_mesh(5)
        _, block = proposed([transfer(1)])
        _, other = proposed([transfer(2)])
        hub.way(nodes[0].id, nodes[1].id).held = True
        nodes[3].driver.blocks[block.hash] = other
        nodes[4].driver.blocks[block.hash] = block
        nodes[0].gossip.fetch_block(block.hash, ADDRESSES[1:5])
        start = asyncio.get_running_loop().time()
        await until(lambda: block.hash in nodes[0].driver.blocks)
        assert asyncio.get_running_loop().time() < start + 2
        scored = {peer: offence for peer, offence, _ in nodes[0].end.blamed}
        assert scored.get(nodes[2].id, Offence.EMPTY_ANSWER) is Offence.EMPTY_ANSWER
        assert scored.get(nodes[3].id, Offence.BAD_BLOCK) is Offence.BAD_BLOCK
        assert nodes[4].id not in scored

    virtually(main())


def test_blocks_are_served_up_to_a_limit() -> None:
    async def main() -> None:
        _, nodes = full_mesh(2)
        _, block = proposed([transfer(1)])
        nodes[1].final[block.hash] = FinalBlock(encode_record(block.record), bytes(8 * 2**20))
        bucket = nodes[1].gossip._blocks._served[nodes[0].id]
        for request in range(1, 20):
            nodes[0].end.send(nodes[1].id, GetBlock(request, block.hash))
        await asyncio.sleep(0.1)
        assert bucket.level(asyncio.get_running_loop().time()) <= 0
        assert Offence.FLOOD in blamed(nodes[1])

    virtually(main())


@pytest.mark.parametrize("indices", [(), (1, 0), (0, 0), (0, 1, 2)])
def test_indices_that_are_none_of_the_block_are_malformed(indices: tuple[int, ...]) -> None:
    async def main() -> None:
        _, nodes = full_mesh(2)
        _, block = proposed([transfer(1), transfer(2)])
        nodes[1].driver.blocks[block.hash] = block
        nodes[0].end.send(nodes[1].id, GetBlockTransactions(1, block.hash, indices))
        await asyncio.sleep(0.1)
        assert blamed(nodes[1]) == [Offence.MALFORMED]

    virtually(main())


# -- dispatch --------------------------------------------------------------------------------------


def test_each_message_reaches_the_part_that_it_is_for() -> None:
    async def main() -> None:
        hub, nodes = full_mesh(2)
        sender, target = nodes[0], nodes[1]
        questions: list[Message] = [GetHeaders(1, 5, 10), GetBodies(2, 5, 10)]
        for message in questions:
            sender.end.send(target.id, message)
        sender.end.send(target.id, Ping(9))
        sender.end.send(target.id, Transactions(0, (transfer(1).transaction.raw,)))
        sender.end.send(target.id, TransactionHashes((transfer(2).transaction.hash,), (120,)))
        await asyncio.sleep(0.2)
        assert target.sync.asked_for == questions
        assert transfer(1).transaction.hash in target.pool
        assert [sent.message for sent in hub.of_kind(Pong)] == [Pong(9)]
        hub.disconnect(sender.id, target.id)
        assert target.sync.gone == [sender.id]
        assert not target.failures

    virtually(main())


def test_answers_to_no_question_are_scored_whatever_their_kind() -> None:
    async def main() -> None:
        _, nodes = full_mesh(2)
        answers: list[Message] = [
            Certificates(5, (encode_certificate(certificate(VoteKind.NULLIFY)),)),
            Block(5, b"", b""),
            BlockTransactions(5, ()),
            Transactions(5, ()),
            Pong(5),
        ]
        for message in answers:
            nodes[0].end.send(nodes[1].id, message)
        await asyncio.sleep(0.1)
        assert blamed(nodes[1]) == [Offence.UNASKED] * len(answers)
        assert not nodes[1].driver.certificates

    virtually(main())


def test_before_it_is_started_gossip_takes_nothing_and_after_its_end_it_sends_nothing() -> None:
    async def main() -> None:
        hub, nodes = full_mesh(2)
        nodes[1].gossip.stop()
        await asyncio.sleep(1)
        before = len(hub.sent)
        nodes[0].gossip.stop()
        nodes[0].gossip.status_changed()
        nodes[0].gossip.fetch_block(Hash(bytes(32)), [])
        nodes[0].gossip.fetch_certificates(0, 1, 2, ADDRESSES[1])
        await asyncio.sleep(60)
        assert len(hub.sent) == before
        nodes[0].end.send(nodes[1].id, Votes((encode_vote(vote(VoteKind.NULLIFY, 0)),)))
        await asyncio.sleep(0.1)
        assert not nodes[1].driver.votes

    virtually(main())
