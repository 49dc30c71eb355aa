"""Who was away for long, or is new, gets everything by itself: real processes.

`CHAIN_NETWORK_LONG` (`make e2e`) makes it 10,000 blocks instead of 300.
"""

import os
import threading
from pathlib import Path
from typing import Any, Final

from tests.end_to_end.network import HEALING_SECONDS, Load, NetworkNode, Testnet

LONG: Final = "CHAIN_NETWORK_LONG" in os.environ
BLOCKS: Final = 10_000 if LONG else 300
BUILDING_SECONDS: Final = 1800.0 if LONG else 120.0


def test_a_validator_that_was_off_and_a_follower_reach_the_head(tmp_path: Path) -> None:
    """Given hundreds of blocks that two nodes have agreed on, when a validator that was off
    and a follower that is new start, then both have them soon, `eth_syncing` tells how far
    they are, and the validator's vote is needed and counted."""
    # The first two decide, and so do the first and the last.
    options = ("--powers", "66,17,1,16", "--followers", "1", "--interval-ms", "1")
    net = Testnet.create(tmp_path / "net", *options, "--epoch-length", "200")
    with net.cleared():
        net.start([0, 1], "--consensus-delta-ms", "25")
        net.wait_ready([0, 1])
        load = Load(net)
        net.wait(lambda: load.count() > 20)
        load.stop()
        net.wait_height(BLOCKS, [0, 1], BUILDING_SECONDS)
        late, follower = net[3], net[4]
        watched = [Watched(late), Watched(follower)]
        net.start([3, 4])
        net.wait_ready([3, 4])
        target = net[0].height()
        net.wait_height(target, [3, 4], BUILDING_SECONDS)
        for each in watched:
            each.stop()
        check_progress(watched, target)
        net.wait_progress(seconds=HEALING_SECONDS)
        net.kill(1)
        net.wait_progress(seconds=HEALING_SECONDS)
        assert net[0].signs() == {net[0].validator, late.validator}
        for node in (late, follower):
            net.wait(lambda node=node: node.rpc.call("eth_syncing") is False)
        net.check_agreement([0, 3, 4])
        net.check_receipts([0, 3, 4])


class Watched:
    """What a node says of its own progress, from its start on."""

    def __init__(self, node: NetworkNode) -> None:
        self.seen: list[Any] = []
        self._node = node
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            try:
                self.seen.append(self._node.rpc.call("eth_syncing"))
            except OSError:
                continue  # it does not listen yet


def check_progress(watched: list[Watched], target: int) -> None:
    """Of all that was said while they fetched, the heights only grow and fit each other."""
    for each in watched:
        said = [answer for answer in each.seen if answer]
        assert said, "a node that lacked hundreds of blocks never said so"
        current = [int(answer["currentBlock"], 16) for answer in said]
        highest = [int(answer["highestBlock"], 16) for answer in said]
        assert current == sorted(current)
        assert all(low <= high for low, high in zip(current, highest, strict=True))
        assert max(highest) >= target - 100
