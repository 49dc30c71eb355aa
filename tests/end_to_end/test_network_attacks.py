"""Attacks on running validators: each stays up, keeps within its memory, and knows who it was.

What is tried here on real processes is tried on its parts elsewhere as well: the table of
all attacks is docs/protocol/attacks.md.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chain.types import ZERO_HASH, Address, Hash
from chain.validators import (
    Ballot,
    Certificate,
    Domain,
    Vote,
    VoteKind,
    decode_certificate,
    encode_certificate,
    encode_vote,
    sign_ballot,
)
from node.commands.testnet import TEST_MNEMONIC
from node.keys import dev_accounts, new_key
from node.net.frames import PART_BYTES
from node.net.messages import (
    FRAME_BYTES_MAX,
    Certificates,
    CompactBlock,
    Evidence,
    GetHeaders,
    Headers,
    Proposal,
    Status,
    TransactionHashes,
    Transactions,
    Votes,
)
from tests.end_to_end.attacks import Intruder, identity_of, noise, until
from tests.end_to_end.network import Load, NetworkNode, Testnet, wallet_validators
from tests.node.net.attacker import frame
from tests.support.daemon import signed_transfer

HEALING_SECONDS: Final = 30.0
MEMORY_MAX: Final = 160 * 2**20  # more than a node may grow under an attack
POOL_MAX: Final = 400  # transactions; small, so that it can be filled
FEE: Final = 10**13
BANNED: Final = 100.0
FLOODED: Final = 5.0  # of the 20 points for a flood, which fade while one looks


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """Four validators who know each other as anybody: nobody is excused from anything."""
    folder = tmp_path_factory.mktemp("attacks") / "net"
    net = Testnet.create(folder, "--epoch-length", "50", "--interval-ms", "100")
    with net.cleared():
        start(net, range(4))
        yield net


def start(net: Testnet, places: Any, **options: Any) -> None:
    boot = ",".join(node.p2p for node in net.nodes)
    for place in places:
        net[place].start(
            *("--net-persistent", "", "--bootnodes", boot),
            *("--pool-transactions-max", str(POOL_MAX)),
            **options,
        )
    net.wait_ready(places)
    for place in places:
        net.wait(lambda place=place: len(net[place].peer_ids()) >= 3)


Attack = Callable[[Testnet, Intruder], Coroutine[Any, Any, None]]


def besiege(net: Testnet, attack: Attack) -> None:
    """What holds under every attack of a stranger, here on the first node.

    It stays up and small, answers clients, keeps its honest peers, and scores the offender;
    the attack itself says how much.
    """
    victim = net[0]
    honest = {node.node_id for node in net.nodes[1:]}
    before = victim.memory_bytes()

    async def run() -> None:
        async with Intruder(victim, identity_of(net)) as evil:
            await attack(net, evil)
            if evil.goodbye is None:
                await evil.scored(1)

    asyncio.run(run())
    assert victim.running, victim.tail()
    assert victim.memory_bytes() - before < MEMORY_MAX
    assert honest <= victim.peer_ids()
    for node_id in honest:
        assert victim.score(node_id) < BANNED / 2
    assert {ban["who"] for ban in victim.rpc.call("admin_bans")}.isdisjoint(honest)
    sent = net.send(0)
    for place in range(4):
        net.receipt(sent, place, seconds=HEALING_SECONDS)
    net.wait_progress(seconds=HEALING_SECONDS)
    net.check_agreement()
    net.check_receipts()


def ballot_of(net: Testnet, kind: VoteKind, *, ahead: int = 0, epochs: int = 0) -> Ballot:
    """A ballot for about the view that the first node is in."""
    status = net[0].rpc.call("ledger_consensusStatus")
    epoch, view = int(status["epoch"], 16) + epochs, int(status["view"], 16) + ahead
    block_hash = ZERO_HASH if kind is VoteKind.NULLIFY else Hash(noise(32))
    return Ballot(kind, epoch, view, block_hash, 0)


def forged(ballot: Ballot, net: Testnet, place: int = 1) -> Vote:
    """A validator's vote by somebody else's key."""
    vote = sign_ballot(ballot, Domain(net.chain_id, Hash(bytes(32))), new_key())
    return replace(vote, signer=Address(bytes.fromhex(str(net[place].validator)[2:])))


# -- votes, certificates, evidence -----------------------------------------------------------------


async def forged_votes(net: Testnet, evil: Intruder) -> None:
    """Votes of the view that counts, by nobody who may."""
    for _ in range(20):
        vote = forged(ballot_of(net, VoteKind.NOTARIZE), net)
        await evil.say(Votes((encode_vote(vote),)))
        await evil.answered()
        if evil.closed.is_set():
            break
    await evil.scored(BANNED)


async def votes_of_the_far_future(net: Testnet, evil: Intruder) -> None:
    """Each names another view that nobody will see: nothing is kept of them (R7)."""
    ahead = (encode_vote(forged(ballot_of(net, VoteKind.NOTARIZE, ahead=5000 + n), net))
             for n in count())  # fmt: skip
    await evil.flood(Votes((vote,)) for vote, _ in zip(ahead, range(40), strict=False))
    await evil.scored(BANNED)


async def votes_without_end(net: Testnet, evil: Intruder) -> None:
    """Of an epoch that nobody knows, so that no signature is looked at: more than anybody has."""
    vote = encode_vote(forged(ballot_of(net, VoteKind.NOTARIZE, epochs=1000), net))
    await evil.flood(Votes((vote,) * 256) for _ in range(400))
    await evil.scored(FLOODED)


async def forged_certificates(net: Testnet, evil: Intruder) -> None:
    """Everybody's bits, and one stranger's signature for all of them."""
    ballot = ballot_of(net, VoteKind.FINALIZE, ahead=1)
    signature = forged(ballot, net).signature
    certificate = Certificate(ballot, bytes([0b1111]), (signature,) * 4)
    await evil.say(Certificates(0, (encode_certificate(certificate),)))
    await evil.scored(BANNED)


async def certificates_of_one_signer(net: Testnet, evil: Intruder) -> None:
    """A genuine certificate, and for another block one of its signatures in each place."""
    status = await evil.status()
    genuine = decode_certificate(status.finalization)
    ballot = replace(genuine.ballot, view=genuine.ballot.view + 3)
    doubled = Certificate(ballot, bytes([0b0111]), (genuine.signatures[0],) * 3)
    await evil.say(Certificates(0, (encode_certificate(doubled),)))
    await evil.scored(BANNED)


async def forged_evidence(net: Testnet, evil: Intruder) -> None:
    """Against an honest validator, by somebody else's key."""
    one, other = (forged(ballot_of(net, VoteKind.FINALIZE), net) for _ in range(2))
    ballot = replace(other.ballot, epoch=one.ballot.epoch, view=one.ballot.view)
    other = forged(ballot, net)
    await evil.say(Evidence(encode_vote(one), encode_vote(other)))
    await evil.scored(BANNED)


async def evidence_without_end(net: Testnet, evil: Intruder) -> None:
    """About an epoch that is not there, and so can't be judged."""
    votes = [forged(ballot_of(net, VoteKind.FINALIZE, epochs=1000 + n), net) for n in range(40)]
    for one in votes:
        two = replace(one, ballot=replace(one.ballot, block_hash=Hash(noise(32))))
        await evil.say(Evidence(encode_vote(one), encode_vote(two)))
    await evil.scored(FLOODED)


# -- heights, blocks -------------------------------------------------------------------------------


async def a_height_with_a_forged_proof(net: Testnet, evil: Intruder) -> None:
    """Far ahead, and certified by itself."""
    ballot = ballot_of(net, VoteKind.FINALIZE, ahead=1000)
    signature = forged(ballot, net).signature
    proof = encode_certificate(Certificate(ballot, bytes([0b1111]), (signature,) * 4))
    await evil.say(Status(ballot.epoch, ballot.view + 1, 10**6, ballot.block_hash, proof, b""))
    await evil.scored(BANNED)


async def a_height_with_another_ones_proof(net: Testnet, evil: Intruder) -> None:
    """The head's own certificate for a height far above: asked for headers, it has none."""
    status = await evil.status()
    await evil.say(replace(status, height=status.height + 600, hears=b""))

    async def asked() -> bool:
        for each in list(evil.heard):
            if isinstance(each, GetHeaders):
                await evil.say(Headers(each.request, ()))
        return await asyncio.to_thread(evil.victim.score, evil.node_id) > 0

    await until(asked, "nobody held the false height against it")
    assert evil.victim.rpc.call("eth_syncing") is False


async def proposals_over_the_limit(net: Testnet, evil: Intruder) -> None:
    """In parts, each as it should be, without an end."""
    part = frame(b"\xc1\x01" + bytes(PART_BYTES))
    for _ in range(FRAME_BYTES_MAX // PART_BYTES + 2):
        await evil._link.send(part)
    await evil.scored(BANNED)


async def long_proposals_of_nobody(net: Testnet, evil: Intruder) -> None:
    """As long as may be, signed by no leader, again and again: none is unpacked or kept."""
    block = CompactBlock(b"", b"", bytes(8), (bytes(2**20),) * 15)
    for _ in range(20):
        vote = encode_vote(forged(ballot_of(net, VoteKind.NOTARIZE, ahead=1), net))
        await evil.flood((Proposal(vote, block),))
        await evil.answered()
        if evil.closed.is_set():
            break
    await evil.scored(BANNED)


# -- transactions ----------------------------------------------------------------------------------


async def invalid_signatures(net: Testnet, evil: Intruder) -> None:
    """Signatures that no key makes."""
    good = [signed_transfer(new_key().hex(), n, chain_id=net.chain_id) for n in range(64)]
    bad = [bytes.fromhex(raw[2:])[:-32] + bytes([0xFF] * 32) for raw in good]
    await evil.flood(Transactions(0, (raw,)) for raw in bad)
    await evil.scored(BANNED)


async def signatures_of_nobody(net: Testnet, evil: Intruder) -> None:
    """Each of a new account without a coin: every check costs a recovery, and is for nothing."""
    await evil.flood(pushed([[late(net, new_key(), 0, 1)[0] for _ in range(3000)]]))
    await evil.scored(FLOODED)


async def nonce_gaps(net: Testnet, evil: Intruder) -> None:
    """Accounts with coins and high tips, whose nonces begin too late: they fill the pool and
    push nobody out. An honest transfer with an ordinary tip is final meanwhile.
    """
    rich = list(dev_accounts(TEST_MNEMONIC, 10).values())[4:]
    await evil.flood(pushed(late(net, key, 3, 200) for key in rich))
    await evil.answered()
    sent = await asyncio.to_thread(net.send, 0)
    await asyncio.to_thread(net.receipt, sent, 2)
    pool = await asyncio.to_thread(evil.victim.rpc.call, "txpool_status")
    assert int(pool["pending"], 16) + int(pool["queued"], 16) <= POOL_MAX
    # Further ahead than any pool keeps: an honest peer has none of these.
    first = count(50_000, 400)

    async def flooded() -> bool:
        nonce = next(first)
        await evil.flood(pushed(late(net, key, nonce, 400) for key in rich))
        await evil.answered()
        return await asyncio.to_thread(evil.victim.score, evil.node_id) >= FLOODED

    await until(flooded, "who floods with nonces out of reach is not scored")


def late(net: Testnet, key: bytes, first: int, size: int) -> list[bytes]:
    """Transfers with a high tip, from a nonce on."""
    return [
        bytes.fromhex(
            signed_transfer(key.hex(), nonce, max_fee=FEE, tip=FEE // 2, chain_id=net.chain_id)[2:]
        )
        for nonce in range(first, first + size)
    ]


def pushed(lots: Iterable[Sequence[bytes]]) -> Iterator[Transactions]:
    """Messages of 50 transactions."""
    for lot in lots:
        for at in range(0, len(lot), 50):
            yield Transactions(0, tuple(lot[at : at + 50]))


async def announced_and_withheld(net: Testnet, evil: Intruder) -> None:
    """Hashes of nothing: what is asked for never comes."""
    hashes = tuple(noise(32) for _ in range(512))
    await evil.say(TransactionHashes(hashes, (200,) * len(hashes)))
    await evil.scored(1)


@pytest.mark.parametrize(
    "attack",
    [
        forged_votes,
        votes_of_the_far_future,
        votes_without_end,
        forged_certificates,
        certificates_of_one_signer,
        forged_evidence,
        evidence_without_end,
        a_height_with_a_forged_proof,
        a_height_with_another_ones_proof,
        proposals_over_the_limit,
        long_proposals_of_nobody,
        invalid_signatures,
        signatures_of_nobody,
        nonce_gaps,
        announced_and_withheld,
    ],
    ids=lambda attack: attack.__name__,
)
def test_a_strangers_attack_harms_only_him(net: Testnet, attack: Attack) -> None:
    """The victim stays up and small, its honest peers stay, and the offender is scored."""
    besiege(net, attack)


# -- from within -----------------------------------------------------------------------------------


# A liar's turn to lead must come before some of its lies do: that takes its time.
LIES: Final = (
    (
        "forge,out-of-range",
        "withhold,replay,selective",
        # Each of these makes it sign twice, by which it loses its seat: they come last.
        "invalid-state,timestamp,equivocate,nullify-and-finalize",
    )
    if "CHAIN_NETWORK_LONG" in os.environ
    else ("withhold,replay,selective",)
)


@pytest.mark.parametrize("lies", LIES)
def test_a_lying_validator_harms_nobody(net: Testnet, lies: str) -> None:
    """Given one validator of four whose node says other things than it means, with its own
    key, then the others go on and agree, forget nothing that was served, keep each other,
    and stay small; what proves itself is held against it."""
    honest, liar = net.nodes[:3], net[3]
    assert liar.stop() == 0
    before = [node.memory_bytes() for node in honest]
    liar.start(
        *("--net-persistent", "", "--bootnodes", ",".join(node.p2p for node in honest)),
        # What it loses and repeats on purpose looks to itself like the others' mistakes.
        *("--net-trusted", ",".join(node.node_id for node in honest)),
        alterations=("lies", lies),
    )
    load = Load(net)
    net.wait_ready([3])
    net.wait_progress(blocks=12, nodes=[0, 1, 2], seconds=60.0)
    if "forge" in lies:
        net.wait(lambda: any(node.score(liar.node_id) >= BANNED for node in honest))
    if "equivocate" in lies:
        net.wait(lambda: jailed(net, liar))
    net.wait(lambda: load.count() > 10)
    load.stop()
    for node, size in zip(honest, before, strict=True):
        assert node.memory_bytes() - size < MEMORY_MAX
        others = {other.node_id for other in honest if other is not node}
        assert others <= node.peer_ids()
        assert {ban["who"] for ban in node.rpc.call("admin_bans")}.isdisjoint(others)
    net.check_agreement([0, 1, 2])
    net.check_receipts([0, 1, 2])
    check_times(net)
    # As an honest node it is one of them again, as far as the others let it.
    liar.kill()
    for node in honest:
        node.rpc.call("admin_unban", liar.node_id)
    start(net, [3])
    net.wait_progress(seconds=HEALING_SECONDS)
    net.check_agreement()


def jailed(net: Testnet, node: NetworkNode) -> bool:
    """Whether the contract has punished a validator, asked through the wallet."""
    row = next(row for row in wallet_validators(net[0]) if row["address"].lower() == node.validator)
    return bool(row["jailedUntil"])


def check_times(net: Testnet) -> None:
    """The times of final blocks never go back, and are nobody's invention."""
    last = net[0].height()
    for height in range(max(1, last - 60), last):
        record = net[0].rpc.call("ledger_finality", hex(height))["record"]
        parent = net[0].rpc.call("ledger_finality", hex(height - 1))
        before = 0 if height == 1 else int(parent["record"]["timestampMs"], 16)
        assert before <= int(record["timestampMs"], 16) < 1000 * (time.time() + 2)
