"""What can go wrong with a validator's machine: it hangs, its disk fills, its clock is set.

`CHAIN_KILL_ROUNDS` sets the rounds of kills (default 2; `make e2e` runs more). With
`CHAIN_NETWORK_LONG` a node hangs for 20 s, and links live as long as they do by default.
Clocks are set by what `tests.end_to_end.altered` does to a node's process: the product has
no switch for it.
"""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.network import Load, NetworkNode, Testnet

ROUNDS: Final = int(os.environ.get("CHAIN_KILL_ROUNDS", "2"))
SEED: Final = int(os.environ.get("CHAIN_KILL_SEED", "1"))
LONG: Final = "CHAIN_NETWORK_LONG" in os.environ
PAUSE_SECONDS: Final = 20.0 if LONG else 4.0
HEALING_SECONDS: Final = 30.0  # a loaded machine's 10
EPOCH: Final = 25
OPTIONS: Final = ("--epoch-length", str(EPOCH), "--interval-ms", "100")
# Links notice a peer that hangs within a pause of these tests.
LINKS: Final = () if LONG else ("--net-silence-max-ms", "2500", "--net-ping-interval-ms", "500")
DISK_BYTES: Final = 96 * 2**20


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """Four validators, for all tests that leave them as they were."""
    net = Testnet.create(tmp_path_factory.mktemp("faults") / "net", *OPTIONS)
    with net.cleared():
        net.start(None, *LINKS)
        net.wait_ready()
        yield net


def check(net: Testnet) -> None:
    """What holds at any time."""
    net.check_agreement()
    net.check_receipts()


def healed(net: Testnet) -> None:
    """All go on, agree and remember."""
    net.wait_progress(seconds=HEALING_SECONDS)
    check(net)


def leader_of(net: Testnet, asked: int) -> int:
    """Who leads the view that a node is in."""
    leader = net[asked].rpc.call("ledger_consensusStatus")["leader"]
    return [node.validator for node in net.nodes].index(leader)


def test_whoever_hangs_the_others_go_on(net: Testnet) -> None:
    """Given a leader that stops in its view, then one timeout later there is another; when it
    wakes up, its links being long dead, it catches up."""
    load = Load(net)
    enough = load.count() + 10
    net.wait(lambda: load.count() > enough)
    victim = leader_of(net, 0)
    net.pause(victim)
    start = time.monotonic()
    net.wait_progress(blocks=5, seconds=HEALING_SECONDS)
    net.wait(lambda: time.monotonic() > start + PAUSE_SECONDS, PAUSE_SECONDS + 10)
    net.resume(victim)
    net.wait_progress(seconds=HEALING_SECONDS)
    load.stop()
    healed(net)


def test_all_may_be_killed_at_once_again_and_again(net: Testnet) -> None:
    """Given clients at work, when all nodes are killed at some moment, and some of them again
    while they start, then they go on from what was final (V1, V5, V6)."""
    choice = random.Random(SEED)
    load = Load(net)
    for _ in range(ROUNDS):
        enough = load.count() + choice.choice((1, 5, 20))
        net.wait(lambda enough=enough: load.count() > enough)
        net.kill(0, 1, 2, 3)
        net.start(None, *LINKS)
        again = choice.sample(range(4), choice.randrange(5))
        net.wait_ready(again)
        net.kill(*again)
        net.start(None, *LINKS)
        net.wait_ready()
        net.wait_progress(seconds=HEALING_SECONDS)
    load.stop()
    healed(net)


def test_a_wiped_validator_observes_for_an_epoch_and_then_votes_again(net: Testnet) -> None:
    """Given a validator whose ledger and votes are gone, but not its keys: it signs nothing up
    to the end of the epoch that it came back in (V5), and after that it is needed again."""
    victim = net[3]
    victim.stop()
    shutil.rmtree(victim.datadir / "db")
    (victim.datadir / "votes.log").unlink()
    victim.forget_heights()
    wiped_at: int = net.wait(lambda: net[0].height())
    net.start([3], *LINKS)
    net.wait_ready([3])
    net.wait_progress(seconds=HEALING_SECONDS)
    net.wait(lambda: victim.rpc.call("ledger_consensusStatus")["validator"] is not None)
    voted = first_signed(net, victim, wiped_at + 2)
    # It had to be there before the epoch that it votes in began.
    assert (voted - 1) // EPOCH > wiped_at // EPOCH
    net.kill(1)
    net.wait_progress(seconds=HEALING_SECONDS)
    assert victim.validator in net.wait(lambda: net[0].signs())
    net.start([1], *LINKS)
    net.wait_ready()
    healed(net)


def first_signed(net: Testnet, node: NetworkNode, first: int) -> int:
    """The first height from `first` on whose certificate a validator signed, waited for."""
    height = first

    def look() -> bool:
        nonlocal height
        head = net[0].height()
        while height < head:
            if node.validator in net[0].signs(hex(height)):
                return True
            height += 1
        return False

    net.wait(look)
    return height


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """What is in `folder` is on a disk of its own; skipped where nobody may mount one."""
    content = folder.with_name(folder.name + ".content")
    folder.rename(content)
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        content.rename(folder)
        pytest.skip("this user may not mount a small disk")
    try:
        shutil.copytree(content, folder, dirs_exist_ok=True)
        shutil.rmtree(content)
        yield
    finally:
        # What comes after finds the folder where it was.
        saved = shutil.copytree(folder, content)
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
        saved.rename(folder)


def fill(folder: Path) -> Path:
    """A file that takes all that was left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def test_a_full_disk_ends_the_node_clearly_and_nothing_else(net: Testnet) -> None:
    """Given a disk without room, then that node says so and ends with status 1, and the others
    go on; once there is room, it comes back."""
    victim = net[2]
    assert victim.stop() == 0
    with small_disk(victim.datadir):
        net.start([2], *LINKS)
        net.wait_ready([2])
        net.wait_progress(seconds=HEALING_SECONDS)
        filler = fill(victim.datadir)
        net.wait(lambda: not victim.running)
        assert victim.wait_ended() == 1
        assert any("fault" in line for line in victim.output), victim.tail()
        said = victim.tail(20).lower()
        assert "no space" in said, said
        assert "traceback" not in said, said
        net.wait_progress(seconds=HEALING_SECONDS)
        filler.unlink()
        net.start([2], *LINKS)
        net.wait_ready([2])
        healed(net)
        net.kill(2)
    net.start([2], *LINKS)
    net.wait_ready([2])
    healed(net)


# -- clocks ----------------------------------------------------------------------------------------


class Clocks:
    """The wall clocks of a network's nodes, ahead by seconds that can be set."""

    def __init__(self, net: Testnet, folder: Path) -> None:
        self._files = [folder / f"{node.name}.clock" for node in net.nodes]
        for place, node in enumerate(net.nodes):
            self.set(place, 0)
            node.start(*LINKS, alterations=("clock", str(self._files[place])))
        net.wait_ready()

    def set(self, place: int, seconds: float) -> None:
        file = self._files[place]
        new = file.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(file)


def test_clocks_that_are_set_stop_nobody_for_long(tmp_path: Path) -> None:
    """One of four clocks goes wrong by an hour, either way: the others go on, and with it once
    it is right again. All are set back a little: no block is older than its parent."""
    net = Testnet.create(tmp_path / "net", *OPTIONS)
    with net.cleared():
        clocks = Clocks(net, tmp_path)
        load = Load(net)
        net.wait_progress(seconds=HEALING_SECONDS)
        for victim, seconds in ((1, 3600.0), (2, -3600.0)):
            clocks.set(victim, seconds)
            net.wait_progress(blocks=8, seconds=HEALING_SECONDS)
            clocks.set(victim, 0)
            net.wait_progress(seconds=HEALING_SECONDS)
        for place in range(4):
            clocks.set(place, -2.0)
        net.wait_progress(blocks=4, seconds=HEALING_SECONDS)
        load.stop()
        healed(net)
        check_times(net)
        # Whose clock was wrong is heard again.
        for victim in (1, 2):
            net.wait(lambda victim=victim: net[victim].validator in net[0].signs())


def check_times(net: Testnet) -> None:
    """Times never go back, and nobody's wrong clock is in them."""
    last = net[0].height()
    calls: list[tuple[str, list[Any]]] = [("ledger_finality", [hex(n)]) for n in range(1, last)]
    times = [
        int(answer["result"]["record"]["timestampMs"], 16)
        for first in range(0, len(calls), 200)
        for answer in net[0].rpc.batch(calls[first : first + 200])
    ]
    assert times == sorted(times)
    assert times[-1] < 1000 * (time.time() + 60)


# -- versions --------------------------------------------------------------------------------------


def test_two_versions_refuse_each_other_politely(net: Testnet) -> None:
    """Given one node of a later version, then both sides say what each speaks, nobody is
    banned, the others go on; with the right version it is back."""
    victim = net[3]
    assert victim.stop() == 0
    victim.start(*LINKS, alterations=("version", "2"))
    net.wait_ready([3])
    net.wait(lambda: any("wrong_protocol_version" in line for line in victim.output))
    net.wait(lambda: any("wrong_protocol_version" in line for line in net[0].output))
    assert victim.peer_ids() == set()
    net.wait_progress(nodes=[0, 1, 2], seconds=HEALING_SECONDS)
    for node in net.nodes:
        assert node.rpc.call("admin_bans") == []
    assert victim.stop() == 0
    net.start([3], *LINKS)
    net.wait_ready([3])
    net.wait_progress(seconds=HEALING_SECONDS)
    net.wait(lambda: len(victim.peer_ids()) == 3)
    check(net)


# -- seven -----------------------------------------------------------------------------------------


def test_any_two_of_seven_may_be_killed_under_load(tmp_path: Path) -> None:
    """Given clients at work, when two of seven are killed again and again, nothing is lost."""
    choice = random.Random(SEED)
    with Testnet.running(tmp_path / "net", *OPTIONS, validators=7) as net:
        load = Load(net)
        for _ in range(max(1, ROUNDS // 2)):
            enough = load.count() + 5
            net.wait(lambda enough=enough: load.count() > enough)
            victims = choice.sample(range(7), 2)
            net.kill(*victims)
            net.wait_progress(seconds=HEALING_SECONDS)
            net.start(victims)
            net.wait_ready(victims)
            net.wait_progress(seconds=HEALING_SECONDS)
        load.stop()
        check(net)
