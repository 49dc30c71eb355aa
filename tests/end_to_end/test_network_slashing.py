"""A validator that votes twice: its own key, a real link, and the end of its stake."""

import asyncio
from pathlib import Path
from typing import Any, Final

from chain.types import Hash
from chain.validators import Ballot, Domain, VoteKind, encode_vote, sign_ballot
from node import identity
from node.net.messages import Votes
from tests.end_to_end.attacks import Intruder, identity_of, until
from tests.end_to_end.network import HEALING_SECONDS, Testnet, wallet_validators

OPTIONS: Final = ("--epoch-length", "10", "--interval-ms", "100", "--jail", "1000000")


def test_a_validator_that_votes_twice_is_slashed_and_jailed(tmp_path: Path) -> None:
    """Given two votes of one view for different blocks, each sent to another node, then the
    nodes put them together, one of them has the contract punish it, and it loses its seat."""
    with Testnet.running(tmp_path / "net", *OPTIONS) as net:
        offender = net[3]
        before = rows(net, 0)[str(offender.validator)]
        net.kill(3)
        asyncio.run(vote_twice(net, 3))
        after = rows(net, 0)[str(offender.validator)]
        assert int(after["stakeWei"]) < int(before["stakeWei"]), (before, after)

        def seats(place: int) -> set[str]:
            found = net[place].rpc.call("ledger_validators")
            return {item["address"] for item in found["validators"]}

        # Its power goes in steps: less than a third of all moves per epoch.
        net.wait(lambda: offender.validator not in seats(0))
        # The node itself learns it like everybody else.
        net.start([3])
        net.wait_ready([3])
        net.wait_progress(seconds=HEALING_SECONDS)
        for place in range(4):
            assert rows(net, place)[str(offender.validator)]["jailedUntil"], place
            assert seats(place) == {node.validator for node in net.nodes[:3]}
        assert offender.validator not in net[0].signs()
        net.check_agreement()


async def vote_twice(net: Testnet, place: int) -> None:
    """In view after view one node hears one vote from the offender's node, another node
    another, and the third hears both from these two. Until the contract has acted."""
    offender = net[place]
    key = identity.load_validator_key(offender.datadir)
    assert key is not None
    who = identity_of(net, node_key=identity.make_node_key(offender.datadir), validator_key=key)
    domain = Domain(who.chain_id, who.genesis_hash)

    async def tell(liar: Intruder, ballot: Ballot) -> None:
        await liar.say(Votes((encode_vote(sign_ballot(ballot, domain, key)),)))

    async def punished() -> bool:
        status = await asyncio.to_thread(net[0].rpc.call, "ledger_consensusStatus")
        epoch, view = int(status["epoch"], 16), int(status["view"], 16)
        for number, liar in enumerate(liars):
            block_hash = Hash(bytes([number + 1]) * 32)
            await tell(liar, Ballot(VoteKind.NOTARIZE, epoch, view, block_hash, view - 1))
        shown = await asyncio.to_thread(rows, net, 0)
        return bool(shown[str(offender.validator)]["jailedUntil"])

    async with Intruder(net[0], who) as one, Intruder(net[1], who) as other:
        liars = (one, other)
        await until(punished, "nobody punished it")


def rows(net: Testnet, place: int) -> dict[str, Any]:
    """What the wallet shows through a node, by address."""
    return {row["address"].lower(): row for row in wallet_validators(net[place])}
