"""Transactions reach every node, each body once, and nobody can make that expensive."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.blobs import BLOB_PROOFS, BlobSidecar
from chain.errors import Reason, Rejected
from chain.transactions import (
    Checked,
    Kind,
    build_transaction,
    encode_network_transaction,
    sign_transaction,
)
from chain.types import Address, Hash
from node.gossip import checking
from node.gossip import transactions as limits
from node.gossip.checking import Outcome
from node.gossip.errands import Errands
from node.gossip.requests import Requests
from node.gossip.transactions import TransactionGossip
from node.net.messages import GetTransactions, Message, TransactionHashes, Transactions
from node.net.network import Offence, Peer, PeerId
from tests.node.gossip.plain_pool import KEY, SENDER, PlainPool, transfer
from tests.support.network import Hub, until, virtually


class Gossiper:
    """A node that does nothing but gossip transactions."""

    def __init__(self, hub: Hub, number: int, validator: bytes = b"") -> None:
        self.end = hub.end(number, validator)
        self.end.receiver = self
        self.pool = PlainPool()
        self.requests = Requests(self.end)
        self.failures: list[BaseException] = []
        self.errands = Errands(self.failures.append)
        self.synced = True
        self.builders: Sequence[bytes] = ()
        self.verdict: Callable[[bytes], Rejected | None] = lambda raw: None
        self.submitted: Counter[bytes] = Counter()
        self.gossip = TransactionGossip(
            self.end,
            self.requests,
            self.pool,
            self._submit,
            lambda: self.synced,
            self.errands,
            linked=lambda peer, other: False,
            builders=lambda: self.builders,
            random=Random(number),
        )

    @property
    def id(self) -> PeerId:
        return self.end.id

    async def _submit(self, raws: Sequence[bytes], peer: PeerId) -> list[Outcome]:
        await asyncio.sleep(0.0001)
        outcomes: list[Outcome] = []
        for raw in raws:
            self.submitted[raw] += 1
            refused = self.verdict(raw)
            if refused is not None:
                outcomes.append(refused)
                continue
            (pooled,) = self.pool.take([raw])
            if isinstance(pooled, Rejected):
                outcomes.append(pooled)
            else:
                self.gossip.pooled([pooled], [pooled], local=False)
                outcomes.append(pooled.transaction.hash)
        return outcomes

    def submit(self, checked: Checked) -> None:
        """As an RPC caller does."""
        self.pool.admit(checked)
        self.gossip.pooled([checked], [checked], local=True)

    def connected(self, peer: Peer) -> None:
        self.gossip.connected(peer)

    async def received(self, peer: PeerId, message: Message) -> None:
        match message:
            case TransactionHashes():
                self.gossip.announced(peer, message)
            case GetTransactions():
                self.gossip.asked(peer, message)
            case Transactions(request=0):
                self.gossip.pushed(peer, message)
            case Transactions():
                self.requests.answer(peer, message)
            case _:
                raise AssertionError(message)

    def disconnected(self, peer: PeerId) -> None:
        self.gossip.disconnected(peer)
        self.requests.forget(peer)


def network(count: int, links: Sequence[tuple[int, int]]) -> tuple[Hub, list[Gossiper]]:
    hub = Hub()
    nodes = [Gossiper(hub, number + 1) for number in range(count)]
    for first, second in links:
        hub.connect(nodes[first].id, nodes[second].id)
    return hub, nodes


def line(count: int) -> tuple[Hub, list[Gossiper]]:
    return network(count, [(at, at + 1) for at in range(count - 1)])


def bodies(hub: Hub) -> Counter[tuple[PeerId, PeerId, bytes]]:
    """How often each body was sent from one node to another."""
    return Counter(
        (sent.source, sent.target, raw)
        for sent in hub.of_kind(Transactions)
        if isinstance(sent.message, Transactions)
        for raw in sent.message.transactions
    )


def blob_transaction() -> tuple[Checked, BlobSidecar]:
    transaction = build_transaction(
        kind=Kind.BLOB,
        chain_id=1337,
        nonce=0,
        gas_limit=21_000,
        max_fee=10**9,
        to=Address(b"\x11" * 20),
        max_blob_fee=1,
        blob_hashes=(Hash(b"\x01" * 32),),
    )
    sidecar = BlobSidecar(BLOB_PROOFS, (bytes(131_072),), (bytes(48),), (bytes(48),))
    return Checked(sign_transaction(transaction, KEY), SENDER), sidecar


@st.composite
def topologies(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A connected graph of 2 to 12 nodes."""
    count = draw(st.integers(2, 12))
    links = {(draw(st.integers(0, node - 1)), node) for node in range(1, count)}
    for _ in range(draw(st.integers(0, 2 * count))):
        pair = draw(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)))
        if pair[0] < pair[1]:
            links.add(pair)
    return count, sorted(links)


@settings(max_examples=60, deadline=None)
@given(topologies(), st.lists(st.tuples(st.integers(0, 11), st.floats(0, 0.05)), max_size=30))
def test_every_transaction_reaches_every_node_and_no_link_carries_it_twice(
    topology: tuple[int, list[tuple[int, int]]], submissions: list[tuple[int, float]]
) -> None:
    """Given any connected network, whatever is submitted anywhere is in all pools soon."""

    async def main() -> None:
        count, links = topology
        hub, nodes = network(count, links)
        everything = [transfer(nonce) for nonce in range(len(submissions))]
        for checked, (at, pause) in zip(everything, submissions, strict=True):
            nodes[at % count].submit(checked)
            await asyncio.sleep(pause)
        await asyncio.sleep(5)
        for node in nodes:
            assert set(node.pool.checked) == {each.transaction.hash for each in everything}
            assert not node.end.blamed and not node.failures
            assert all(times == 1 for times in node.submitted.values())
        carried = bodies(hub)
        assert all(times == 1 for times in carried.values())
        # Nothing is echoed: a body never goes back to who sent it.
        assert not any((target, source, raw) in carried for source, target, raw in carried)

    virtually(main())


def test_what_waits_for_a_nonce_is_not_passed_on_but_blocks_may_name_it() -> None:
    """It may never run: what peers would hold of it is wasted, and theirs is as little."""

    async def main() -> None:
        hub, nodes = network(3, [(0, 1), (0, 2), (1, 2)])
        waiting = transfer(5)
        nodes[0].pool.admit(waiting)
        nodes[0].pool.waiting.add(waiting.transaction.hash)
        nodes[0].gossip.pooled([waiting], [], local=True)
        hub.disconnect(nodes[0].id, nodes[1].id)
        hub.connect(nodes[0].id, nodes[1].id)
        await asyncio.sleep(3)
        assert not hub.of_kind(Transactions) and not hub.of_kind(TransactionHashes)
        assert list(nodes[0].gossip.find(waiting.transaction.hash[:4])) == [waiting]
        nodes[0].submit(transfer(4))
        nodes[0].pool.waiting.clear()
        nodes[0].gossip.pooled([], [waiting], local=True)
        await asyncio.sleep(3)
        assert all(len(node.pool) == 2 for node in nodes)

    virtually(main())


def test_a_small_transaction_is_pushed_at_once_to_all_when_peers_are_few() -> None:
    async def main() -> None:
        hub, nodes = network(5, [(0, other) for other in range(1, 5)])
        nodes[0].submit(transfer(0))
        await until(lambda: all(transfer(0).transaction.hash in node.pool for node in nodes))
        assert asyncio.get_running_loop().time() < 0.02
        assert not hub.of_kind(TransactionHashes)

    virtually(main())


def test_of_many_peers_some_are_pushed_to_validators_first_and_the_others_told() -> None:
    async def main() -> None:
        hub = Hub()
        center = Gossiper(hub, 1)
        others = [Gossiper(hub, 2 + at, b"\x01" * 20 if at < 3 else b"") for at in range(20)]
        for other in others:
            hub.connect(center.id, other.id)
        center.submit(transfer(0))
        await asyncio.sleep(2)
        pushed = {sent.target for sent in hub.of_kind(Transactions) if sent.message.request == 0}
        assert len(pushed) == limits.PUSH_PEERS_ALL
        assert {other.id for other in others[:3]} <= pushed
        assert all(transfer(0).transaction.hash in other.pool for other in others)

    virtually(main())


def test_of_many_validators_those_that_build_next_are_pushed_to() -> None:
    async def main() -> None:
        hub = Hub()
        center = Gossiper(hub, 1)
        others = [Gossiper(hub, 2 + at, bytes([at + 1]) * 20) for at in range(30)]
        center.builders = [bytes([at + 1]) * 20 for at in (7, 21, 29)]
        for other in others:
            hub.connect(center.id, other.id)
        center.submit(transfer(0))
        await asyncio.sleep(limits.LATER_S / 2)
        pushed = {sent.target for sent in hub.of_kind(Transactions) if sent.message.request == 0}
        assert len(pushed) == limits.PUSH_PEERS_ALL
        assert {others[7].id, others[21].id, others[29].id} <= pushed

    virtually(main())


def test_a_push_is_not_announced_to_peers_that_the_pusher_reaches_itself() -> None:
    async def main() -> None:
        hub, nodes = network(3, [(0, 1), (0, 2), (1, 2)])
        for node in nodes:
            node.gossip._linked = lambda peer, other: True
        nodes[0].submit(transfer(0))
        await until(lambda: all(transfer(0).transaction.hash in node.pool for node in nodes))
        await asyncio.sleep(limits.LATER_S / 2)
        assert not hub.of_kind(TransactionHashes)

    virtually(main())


def test_of_many_peers_a_few_are_told_at_once_and_the_others_while_it_is_still_pooled() -> None:
    async def main() -> None:
        hub, nodes = network(31, [(0, other) for other in range(1, 31)])
        checked = transfer(0)
        nodes[0].pool.admit(checked)
        nodes[0].gossip.pooled([checked], [checked], local=False)
        await asyncio.sleep(limits.LATER_S / 2)
        told = {sent.target for sent in hub.of_kind(TransactionHashes)}
        assert len(told) == limits.ANNOUNCE_PEERS
        await asyncio.sleep(2 * limits.LATER_S)
        assert all(checked.transaction.hash in node.pool for node in nodes)

    virtually(main())


def test_a_large_transaction_is_announced_and_fetched() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        large = transfer(0, bytes(limits.PUSH_BYTES_MAX))
        nodes[0].submit(large)
        await until(lambda: large.transaction.hash in nodes[1].pool)
        assert [sent.message.request > 0 for sent in hub.of_kind(Transactions)] == [True]

    virtually(main())


def test_a_blob_transaction_is_announced_and_travels_with_its_blobs() -> None:
    async def main() -> None:
        hub, nodes = line(3)
        checked, sidecar = blob_transaction()
        nodes[0].pool.admit(checked, sidecar)
        nodes[0].gossip.pooled([checked], [checked], local=True)
        await until(lambda: checked.transaction.hash in nodes[2].pool)
        assert nodes[2].pool.sidecar(checked.transaction.hash) == sidecar
        assert all(sent.message.request > 0 for sent in hub.of_kind(Transactions))
        assert not nodes[1].end.blamed

    virtually(main())


def test_what_is_pooled_is_announced_to_a_peer_that_connects_later() -> None:
    async def main() -> None:
        hub, nodes = network(2, [])
        for nonce in range(3000):
            nodes[0].submit(transfer(nonce))
        hub.connect(nodes[0].id, nodes[1].id)
        await until(lambda: len(nodes[1].pool) == 3000)
        assert max(len(sent.message.hashes) for sent in hub.of_kind(TransactionHashes)) <= (
            limits.ANNOUNCE_BATCH_MAX
        )
        assert not nodes[0].end.blamed and not nodes[1].end.blamed

    virtually(main())


def test_announcements_wait_for_a_peer_whose_queue_is_full() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        way = hub.way(nodes[0].id, nodes[1].id)
        way.full = True
        nodes[0].submit(transfer(0))
        await asyncio.sleep(1)
        way.full = False
        await until(lambda: len(nodes[1].pool) == 1)

    virtually(main())


def test_a_fetch_that_one_announcer_does_not_answer_goes_to_another() -> None:
    """Both announce, the first is silent: the second delivers, and the first is scored."""

    async def main() -> None:
        hub, nodes = network(3, [(0, 2), (1, 2)])
        wanted = transfer(0, bytes(2000))
        hub.way(nodes[2].id, nodes[0].id).held = True
        message = TransactionHashes((wanted.transaction.hash,), (2200,))
        nodes[0].end.send(nodes[2].id, message)
        await asyncio.sleep(0.01)
        nodes[1].pool.admit(wanted)
        nodes[1].end.send(nodes[2].id, message)
        await until(lambda: wanted.transaction.hash in nodes[2].pool)
        assert nodes[2].end.points() == {nodes[0].id: Offence.NO_ANSWER.points}

    virtually(main())


def test_a_fetch_from_a_peer_that_leaves_goes_to_another() -> None:
    async def main() -> None:
        hub, nodes = network(3, [(0, 2), (1, 2)])
        wanted = transfer(0, bytes(2000))
        hub.way(nodes[2].id, nodes[0].id).held = True
        message = TransactionHashes((wanted.transaction.hash,), (2200,))
        nodes[1].pool.admit(wanted)
        nodes[0].end.send(nodes[2].id, message)
        await asyncio.sleep(0.01)
        nodes[1].end.send(nodes[2].id, message)
        await asyncio.sleep(0.01)
        hub.disconnect(nodes[0].id, nodes[2].id)
        await until(lambda: wanted.transaction.hash in nodes[2].pool)
        assert asyncio.get_running_loop().time() < 1
        assert not nodes[2].end.blamed

    virtually(main())


def test_a_peer_that_delivers_what_was_not_asked_for_is_scored() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        hub.way(nodes[1].id, nodes[0].id).held = True
        nodes[0].end.send(nodes[1].id, TransactionHashes((bytes(32),), (200,)))
        await asyncio.sleep(0.01)
        nodes[0].end.send(nodes[1].id, Transactions(1, (transfer(0).transaction.raw,)))
        await asyncio.sleep(0.01)
        assert Offence.UNASKED in [offence for _, offence, _ in nodes[1].end.blamed]
        assert not nodes[1].submitted

    virtually(main())


def test_a_peer_that_announces_and_never_delivers_is_scored() -> None:
    async def main() -> None:
        _, nodes = line(2)
        for round_number in range(20):
            hashes = tuple(
                (round_number * 1000 + at).to_bytes(32, "big") for at in range(limits.UNSERVED[0])
            )
            nodes[0].end.send(nodes[1].id, TransactionHashes(hashes, (200,) * len(hashes)))
            await asyncio.sleep(1)
        assert nodes[1].end.points()[nodes[0].id] >= Offence.EMPTY_ANSWER.points

    virtually(main())


def test_a_flood_of_invalid_signatures_bans_its_sender_after_few_checks() -> None:
    async def main() -> None:
        _, nodes = line(2)
        nodes[1].verdict = lambda raw: Rejected(Reason.BAD_SIGNATURE)
        raws = tuple(transfer(nonce).transaction.raw for nonce in range(1000))
        nodes[0].end.send(nodes[1].id, Transactions(0, raws))
        await asyncio.sleep(1)
        assert nodes[1].end.points()[nodes[0].id] >= 100
        assert sum(nodes[1].submitted.values()) <= checking.CHECKED_FIRST

    virtually(main())


@pytest.mark.parametrize(
    ("reason", "scored"),
    [
        (Reason.NONCE_TOO_HIGH, True),
        (Reason.INSUFFICIENT_FUNDS, True),
        (Reason.NONCE_TOO_LOW, False),
        (Reason.POOL_FULL, False),
        (Reason.UNDERPRICED, False),
    ],
)
def test_refusals_by_state_are_no_offence_until_they_are_a_flood(
    reason: Reason, scored: bool
) -> None:
    """A few of any kind cost nothing; a flood costs a bounded number of checks."""

    async def main() -> None:
        _, nodes = line(2)
        nodes[1].verdict = lambda raw: Rejected(reason)
        raws = [transfer(nonce).transaction.raw for nonce in range(20_000)]
        nodes[0].end.send(nodes[1].id, Transactions(0, tuple(raws[:100])))
        await asyncio.sleep(1)
        assert not nodes[1].end.blamed
        for start in range(100, 20_000, 1000):
            nodes[0].end.send(nodes[1].id, Transactions(0, tuple(raws[start : start + 1000])))
        await asyncio.sleep(0.5)
        assert bool(nodes[1].end.blamed) is scored
        assert nodes[1].end.points()[nodes[0].id] <= Offence.FLOOD.points
        cost = checking.STALE_COST if reason is Reason.NONCE_TOO_LOW else 1
        assert sum(nodes[1].submitted.values()) * cost <= checking.REFUSALS[0] + 1000

    virtually(main())


def test_what_a_throttled_peer_sent_is_still_taken_from_an_honest_one() -> None:
    async def main() -> None:
        _, nodes = network(3, [(0, 2), (1, 2)])
        refused = [transfer(nonce).transaction.raw for nonce in range(4000)]
        bad = set(refused)
        nodes[2].verdict = lambda raw: Rejected(Reason.NONCE_TOO_HIGH) if raw in bad else None
        for start in range(0, 4000, 1000):
            nodes[0].end.send(nodes[2].id, Transactions(0, tuple(refused[start : start + 1000])))
        honest = transfer(9999)
        nodes[0].end.send(nodes[2].id, Transactions(0, (honest.transaction.raw,)))
        await asyncio.sleep(0.1)
        assert honest.transaction.hash not in nodes[2].pool
        nodes[1].submit(honest)
        await until(lambda: honest.transaction.hash in nodes[2].pool)
        assert nodes[1].id not in nodes[2].end.points()

    virtually(main())


def test_blobs_that_are_wrong_cost_their_sender_and_do_not_keep_the_right_ones_out() -> None:
    """The hash does not cover the blobs: a forged copy must not make the true one known."""

    async def main() -> None:
        _, nodes = network(3, [(0, 2), (1, 2)])
        checked, sidecar = blob_transaction()
        forged = BlobSidecar(BLOB_PROOFS, (b"\1" * 131_072,), (bytes(48),), (bytes(48),))
        wrong = encode_network_transaction(checked.transaction, forged)
        nodes[2].verdict = lambda raw: Rejected(Reason.BAD_BLOB_PROOF) if raw == wrong else None
        for node, blobs in ((nodes[0], forged), (nodes[1], sidecar)):
            node.pool.admit(checked, blobs)
        nodes[0].gossip.pooled([checked], [checked], local=True)
        await until(lambda: bool(nodes[2].end.blamed))
        assert nodes[2].end.points() == {nodes[0].id: Offence.BAD_TRANSACTION.points}
        nodes[1].gossip.pooled([checked], [checked], local=True)
        await until(lambda: checked.transaction.hash in nodes[2].pool)
        assert nodes[2].pool.sidecar(checked.transaction.hash) == sidecar

    virtually(main())


def test_pushing_what_must_be_announced_is_an_offence() -> None:
    async def main() -> None:
        _, nodes = line(2)
        large = transfer(0, bytes(limits.PUSH_BYTES_MAX))
        nodes[0].end.send(nodes[1].id, Transactions(0, (large.transaction.raw,)))
        await asyncio.sleep(0.1)
        assert [offence for _, offence, _ in nodes[1].end.blamed] == [Offence.FLOOD]
        assert not nodes[1].submitted

    virtually(main())


def test_a_node_that_is_behind_leaves_transactions_alone() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        nodes[1].synced = False
        nodes[0].submit(transfer(0))
        nodes[0].submit(transfer(1, bytes(2000)))
        await asyncio.sleep(1)
        assert not nodes[1].submitted and not hub.of_kind(GetTransactions)

    virtually(main())


def test_what_is_in_a_block_is_not_fetched_any_more() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        large = transfer(0, bytes(2000))
        nodes[1].gossip.included([large.transaction.hash])
        nodes[0].submit(large)
        await asyncio.sleep(1)
        assert not hub.of_kind(GetTransactions)

    virtually(main())


def test_memory_per_peer_is_bounded_whatever_it_announces() -> None:
    async def main() -> None:
        hub, nodes = line(2)
        hub.way(nodes[1].id, nodes[0].id).held = True  # its questions are never answered
        for start in range(0, 200_000, 4096):
            hashes = tuple(number.to_bytes(32, "big") for number in range(start, start + 4096))
            nodes[0].end.send(nodes[1].id, TransactionHashes(hashes, (200,) * 4096))
        await asyncio.sleep(0.5)
        assert len(nodes[1].gossip._wanted) <= 8192 + 2 * limits.FETCH_BATCH_MAX
        assert len(nodes[1].gossip._peers[nodes[0].id].known) <= limits.KNOWN_PER_PEER_MAX
        assert nodes[1].end.points()[nodes[0].id] >= Offence.FLOOD.points

    virtually(main())
