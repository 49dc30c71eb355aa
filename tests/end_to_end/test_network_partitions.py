"""Networks that are slow, lose packets, and fall apart: what is final stays one ledger.

They run in network namespaces, where packets are late and get lost, or over TCP proxies
where this user may not make any. With `CHAIN_NETWORK_LONG` (`make e2e`) they run over both,
and the network is apart for longer than links live. It falls apart by chance once, and with
`CHAIN_KILL_ROUNDS` a fifth as often.
"""

import os
import random
import time
from collections.abc import Collection, Iterator
from typing import Final

import pytest

from tests.end_to_end.network import HEALING_SECONDS, Load, Testnet
from tests.end_to_end.wires import Namespaces, Proxies, Wires, split

ROUNDS: Final = max(1, int(os.environ.get("CHAIN_KILL_ROUNDS", "1")) // 5)
LONG: Final = "CHAIN_NETWORK_LONG" in os.environ
SEED: Final = int(os.environ.get("CHAIN_KILL_SEED", "1"))
APART_SECONDS: Final = 15.0 if LONG else 3.0
# Links notice within a partition of these tests that nobody is there.
LINKS: Final = () if LONG else ("--net-silence-max-ms", "2500", "--net-ping-interval-ms", "500")
# The sixth account of the test phrase: nobody else here sends from it.
OTHER_KEY: Final = "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"
DELAY_MS: Final = 15.0
LOSS: Final = 0.01


class Parted:
    """A running network, and what lies between its nodes."""

    def __init__(self, net: Testnet, wires: Wires) -> None:
        self.net = net
        self.wires = wires

    def start(self, places: Collection[int]) -> None:
        for place in places:
            self.wires.start(place, *LINKS, "--consensus-delta-ms", "200")
        self.net.wait_ready(places)

    def split(self, *groups: Collection[int]) -> None:
        split(self.wires, *groups)

    def apart(self, seconds: float = APART_SECONDS) -> None:
        """For some time."""
        start = time.monotonic()
        self.net.wait(lambda: time.monotonic() > start + seconds, seconds + 10)

    def heal(self) -> None:
        """Within a bounded time all go on, and still agree."""
        self.wires.heal()
        self.net.wait_progress(seconds=HEALING_SECONDS)
        self.net.check_agreement()
        self.net.check_receipts()


@pytest.fixture(scope="module", params=["namespaces", "proxies"] if LONG else ["best"])
def parted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parted]:
    namespaces = request.param != "proxies" and Namespaces.possible()
    if request.param == "namespaces" and not namespaces:
        pytest.skip("this user may not make network namespaces")
    options = ("--epoch-length", "40", "--interval-ms", "100")
    net = Testnet.create(tmp_path_factory.mktemp("parted") / "net", *options)
    wires: Wires
    if namespaces:
        wires = Namespaces(net.nodes, delay_ms=DELAY_MS, loss=LOSS)
    else:
        wires = Proxies(net.nodes, delay_ms=DELAY_MS)
    try:
        with net.cleared():
            parted = Parted(net, wires)
            parted.start(range(4))
            yield parted
    finally:
        wires.close()


def test_a_slow_network_that_loses_packets_goes_on(parted: Parted) -> None:
    """Given clients at work, then all serve what one serves."""
    load = Load(parted.net)
    parted.net.wait_progress(blocks=6)
    parted.net.wait(lambda: load.count() > 30)
    load.stop()
    parted.heal()


def test_an_even_partition_makes_nothing_final_and_heals(parted: Parted) -> None:
    """Given two and two, then no transaction becomes final until they are together again."""
    net = parted.net
    parted.split((0, 1), (2, 3))
    before = max(net.heights())
    # What had all its votes may still become final; what is sent now does not.
    sent = [net.send(0), net.send(2, key=OTHER_KEY)]
    parted.apart()
    assert max(net.heights()) <= before + 2
    for each in sent:
        for node in net.nodes:
            assert node.rpc.call("eth_getTransactionReceipt", each) is None
    parted.heal()
    for each in sent:
        for place in range(4):
            net.receipt(each, place, seconds=HEALING_SECONDS)


def test_a_majority_goes_on_and_the_one_cut_off_catches_up(parted: Parted) -> None:
    """Given three and one, then the three serve receipts, and the one has them in the end."""
    net = parted.net
    parted.split((0, 2, 3), (1,))
    sent = net.send(2)
    net.receipt(sent, 3, seconds=HEALING_SECONDS)
    parted.apart()
    net.wait_progress(blocks=4, nodes=[0, 2, 3], seconds=HEALING_SECONDS)
    parted.heal()
    net.receipt(sent, 1, seconds=HEALING_SECONDS)


def test_who_hears_and_is_not_heard_harms_nobody(parted: Parted) -> None:
    """Given one way cut between one node and all others, then they go on without it."""
    net = parted.net
    for receiver in (0, 1, 3):
        parted.wires.cut(2, receiver)
    net.wait_progress(blocks=4, nodes=[0, 1, 3], seconds=HEALING_SECONDS)
    parted.apart()
    parted.heal()


def test_whatever_falls_apart_by_chance_is_one_ledger_again(parted: Parted) -> None:
    """Given clients at work, when ways are cut at random and a node is killed meanwhile, then
    after healing nothing that was served is lost."""
    net, choice = parted.net, random.Random(SEED)
    load = Load(net)
    for _ in range(ROUNDS):
        for sender in range(4):
            for receiver in range(4):
                if sender != receiver and choice.random() < 0.4:
                    parted.wires.cut(sender, receiver)
        victim = choice.randrange(4)
        net.kill(victim)
        parted.apart(APART_SECONDS / 2)
        parted.start([victim])
        parted.apart(APART_SECONDS / 2)
        parted.heal()
    load.stop()
    parted.heal()
