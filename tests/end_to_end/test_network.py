"""Networks of real processes: agreement whatever happens to a minority, and what the docs promise.

`CHAIN_KILL_ROUNDS` sets the rounds of kills (default 2; `make e2e` runs more), `CHAIN_KILL_SEED`
who is killed when.
"""

import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from chain.crypto.secp256k1 import address_of
from node.up.children import State
from tests.end_to_end.network import HEALING_SECONDS, Load, Testnet
from tests.support.daemon import (
    DEV_ADDRESSES,
    DEV_KEYS,
    Rpc,
    clean_environment,
    command,
    run_command,
    wait_until,
)

ROUNDS: Final = int(os.environ.get("CHAIN_KILL_ROUNDS", "2"))
SEED: Final = int(os.environ.get("CHAIN_KILL_SEED", "1"))
ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = ROOT / "docs" / "network.md"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """Four validators with short epochs, for all tests that leave them as they were."""
    folder = tmp_path_factory.mktemp("network") / "net"
    with Testnet.running(folder, "--epoch-length", "20", "--interval-ms", "100") as net:
        yield net


def check(net: Testnet) -> None:
    """What holds at any time."""
    net.check_agreement()
    net.check_receipts()


def test_a_transfer_through_one_node_is_final_on_all(net: Testnet) -> None:
    """Given four validators, when a transfer is sent to one, then all serve the same receipt."""
    sent = net.send(1)
    for index in range(4):
        receipt = net.receipt(sent, index)
        assert receipt["status"] == "0x1"
    assert all(node.rpc.call("net_peerCount") == "0x3" for node in net.nodes)
    check(net)


def test_blocks_of_several_leaders_and_epochs_are_proved_final(net: Testnet) -> None:
    """Given two epochs, then each block has a record and a quorum's certificate at every node."""
    net.wait_height(45)
    leaders = set()
    for height in (1, 20, 21, 40, 41):
        answers = [node.rpc.call("ledger_finality", hex(height)) for node in net.nodes]
        for found in answers:
            certificate = found["certificate"]
            assert 3 * int(certificate["power"], 16) > 2 * int(certificate["totalPower"], 16)
            assert found["record"] == answers[0]["record"]
            assert int(found["record"]["epoch"], 16) == (height - 1) // 20
    for height in range(1, 30):
        leaders.add(net[0].rpc.call("ledger_finality", hex(height))["record"]["proposer"])
    assert len(leaders) > 1
    assert leaders <= {node.validator for node in net.nodes}


def test_any_one_of_four_may_be_killed_under_load(net: Testnet) -> None:
    """Given clients at work, when one node is killed again and again, then nothing is lost."""
    choice = random.Random(SEED)
    load = Load(net)
    for _ in range(ROUNDS):
        victim = choice.randrange(4)
        enough = load.count() + 5
        net.wait(lambda enough=enough: load.count() > enough)
        net.kill(victim)
        net.wait_progress(seconds=HEALING_SECONDS)
        net.start([victim])
        net.wait_ready([victim])
        net.wait_progress(seconds=HEALING_SECONDS)
    load.stop()
    assert load.count() > 5 * ROUNDS
    check(net)


def test_a_paused_node_is_missed_and_catches_up(net: Testnet) -> None:
    """Given a node that hangs, then the others say who it is, and go on; later it follows."""
    net.pause(3)
    net.wait_progress(blocks=6, seconds=HEALING_SECONDS)

    def missing() -> list[str]:
        status = net[0].rpc.call("ledger_consensusStatus")
        return [item["address"] for item in status["missing"]]

    net.wait(lambda: missing() == [net[3].validator])
    net.resume(3)
    net.wait_progress(seconds=HEALING_SECONDS)
    net.wait(lambda: missing() == [])
    check(net)


def test_two_of_four_are_no_quorum_and_all_go_on_when_one_is_back(net: Testnet) -> None:
    """Given two nodes down, when nothing can become final, then one back is enough."""
    net.kill(0, 1)
    # What was under way may still become final; after that nothing does.
    sent = net.send(2)
    net.wait(lambda: net[2].rpc.call("txpool_status")["pending"] == "0x1")
    assert net[2].rpc.call("eth_getTransactionReceipt", sent) is None
    net.start([0])
    net.receipt(sent, 2, seconds=HEALING_SECONDS)
    net.start([1])
    net.wait_ready([0, 1])
    net.wait_progress(seconds=HEALING_SECONDS)
    check(net)


def test_a_network_that_was_killed_as_a_whole_goes_on(net: Testnet) -> None:
    load = Load(net)
    net.wait(lambda: load.count() > 10)
    net.kill(0, 1, 2, 3)
    net.start()
    net.wait_ready()
    net.wait_progress(seconds=HEALING_SECONDS)
    load.stop()
    check(net)


def test_a_lost_ledger_comes_back_from_the_peers(net: Testnet) -> None:
    """Given a node without its db, when it starts, then it has what the others have."""
    net[1].stop()
    shutil.rmtree(net[1].datadir / "db")
    net[1].forget_heights()
    net.start([1])
    net.wait_ready([1])
    net.wait_progress(seconds=HEALING_SECONDS)
    check(net)


def test_all_stop_when_told(net: Testnet) -> None:
    net.stop()
    inspected = run_command("inspect", "--datadir", str(net[0].datadir), "--json")
    found = json.loads(inspected.stdout)
    assert found["height"] > 0 and found["finality"].get("valid", True)
    assert {item["address"] for item in found["consensus"]["validators"]} == {
        node.validator for node in net.nodes
    }
    chain = net.folder / "chain.rlp"
    assert run_command("export", "--datadir", str(net[0].datadir), str(chain)).returncode == 0
    again = run_command("import", "--genesis", str(net.genesis), str(chain))
    assert again.stdout == f"head {found['height']} {found['head']}\n", again.stderr


# -- chain-node up ---------------------------------------------------------------------------------


class Up:
    """A running `chain-node up`, with what it printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command("up", str(folder), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
            cwd=ROOT,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def order(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return run_command("up", str(self.folder), *arguments)

    def states(self) -> list[dict[str, Any]]:
        """Name, state and process of each node; nothing while it starts."""
        done = self.order("--status")
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return found

    def wait_running(self) -> list[dict[str, Any]]:
        def running() -> list[dict[str, Any]]:
            assert self.process.poll() is None, "".join(self.lines)
            states = self.states()
            return states if all(item["state"] == State.RUNNING for item in states) else []

        found: list[dict[str, Any]] = wait_until(running)
        return found


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator[Up]:
    started = Up(folder, *arguments)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait(30)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_up_runs_a_network_and_takes_orders(tmp_path: Path) -> None:
    """Kill, pause and resume from a second command; when it is killed itself, nobody is left."""
    net = Testnet.create(tmp_path / "net", validators=4)
    with up(net.folder) as running:
        states = running.wait_running()
        sent = net.send(0)
        net.receipt(sent, 3)
        assert running.order("--kill", "2").returncode == 0
        assert [item["state"] for item in running.states()][2] == State.KILLED
        assert running.order("--kill", "2").returncode == 1
        assert running.order("--pause", "node1").returncode == 0
        assert running.order("--resume", "1").returncode == 0
        assert running.order("--restart", "2").returncode == 0
        states = running.wait_running()
        net.receipt(sent, 2)
        second = run_command("up", str(net.folder))
        assert second.returncode == 3 and "datadir_in_use" in second.stderr
        running.process.send_signal(signal.SIGKILL)
        for item in states:
            wait_until(lambda pid=item["pid"]: is_gone(pid))
    with up(net.folder, "--log", "json") as running:
        running.wait_running()
        assert running.order("--stop").returncode == 0
        assert running.process.wait(60) == 0
    names = {json.loads(line)["node"] for line in running.lines}
    assert names - {"up"} == {"node0", "node1", "node2", "node3"}


def test_on_a_terminal_keys_are_orders_and_the_table_is_live(tmp_path: Path) -> None:
    """Given a terminal, k0 kills, r0 starts again, q stops all; the terminal is left as it was."""
    net = Testnet.create(tmp_path / "net", validators=1)
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    shown = bytearray()
    process = subprocess.Popen(
        command("up", str(net.folder)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(),
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )

    def read() -> None:
        with suppress(OSError):  # the terminal is closed
            while data := os.read(ours, 65536):
                shown.extend(data)

    threading.Thread(target=read, daemon=True).start()
    try:
        net.wait(lambda: re.search(rb"node0 +running +\d+", shown))
        for key, state in ((b"k0", rb"node0 +killed"), (b"r0", rb"node0 +running +\d+")):
            shown.clear()
            os.write(ours, key)
            net.wait(lambda state=state: re.search(state, shown))
        os.write(ours, b"q")
        assert process.wait(60) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait(30)
        os.close(theirs)
        os.close(ours)


def test_up_names_a_port_that_is_in_use(tmp_path: Path) -> None:
    net = Testnet.create(tmp_path / "net", validators=2)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(net[1].url.rsplit(":", 1)[1])))
        busy.listen()
        done = run_command("up", str(net.folder))
    assert done.returncode == 4
    assert "address_in_use: node1: its RPC port" in done.stderr


# -- docs/network.md, to the letter ----------------------------------------------------------------


def steps(name: str) -> list[str]:
    """The shell blocks of this name, in order."""
    found = re.findall(
        rf"^ *```sh {name}\n(.*?)^ *```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, name
    return ["\n".join(line.strip() for line in block.splitlines()) for block in found]


class Newcomer:
    """Who reads the page: a shell in a folder, where `run` goes on in the background."""

    def __init__(self, net: Testnet, folder: Path, ports: tuple[int, int]) -> None:
        self.rpc = Rpc(f"http://127.0.0.1:{ports[0]}")
        self._folder = folder
        self._environment = clean_environment(
            {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "GENESIS": str(net.genesis),
                "PEER": net[0].p2p,
                "RPC_PORT": str(ports[0]),
                "NET_PORT": str(ports[1]),
                "CHAIN_WALLET_KEYSTORE": str(folder / "keystore"),
                "CHAIN_WALLET_PASSWORD": "password",
            }
        )
        self._background: list[subprocess.Popen[bytes]] = []
        self._said = folder / "said.txt"

    def do(self, script: str) -> str:
        """What a step prints; it must succeed."""
        if script.startswith("chain-node run"):
            with self._said.open("ab") as said:
                self._background.append(
                    subprocess.Popen(
                        ["bash", "-c", f"exec {script}"],
                        cwd=self._folder,
                        env=self._environment,
                        stdout=said,
                        stderr=said,
                    )
                )
            wait_until(self._answers)
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _answers(self) -> bool:
        assert all(process.poll() is None for process in self._background), self._said.read_text()
        try:
            return bool(self.rpc.call("eth_chainId"))
        except OSError:
            return False

    def close(self) -> None:
        for process in self._background:
            process.kill()
            process.wait(30)


@pytest.fixture
def two_free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def test_joining_and_leaving_work_as_documented(
    tmp_path: Path, two_free_ports: tuple[int, int]
) -> None:
    """A follower, who becomes a validator over epochs, votes, and leaves again."""
    options = ("--epoch-length", "8", "--interval-ms", "50")
    with Testnet.running(tmp_path / "net", *options, validators=4) as net:
        newcomer = Newcomer(net, tmp_path, two_free_ports)
        try:
            follow(net, newcomer)
        finally:
            newcomer.close()
        newcomer = Newcomer(net, tmp_path, two_free_ports)
        try:
            validate(net, newcomer)
        finally:
            newcomer.close()


def follow(net: Testnet, newcomer: Newcomer) -> None:
    initial, run, look = steps("follower")
    assert re.search(r"validator +none", newcomer.do(initial))
    newcomer.do(run)
    height = net[0].height()
    wait_until(lambda: newcomer.rpc.height() >= height)
    shown = newcomer.do(look)
    assert net[0].node_id in shown and str(net[2].validator) in shown
    block = newcomer.rpc.call("eth_getBlockByNumber", hex(height), False)
    assert block["hash"] == net[1].block_hash(height)


def validate(net: Testnet, newcomer: Newcomer) -> None:
    initial, run, stake, look = steps("validator")
    shown = newcomer.do(initial)
    address = str(re.search(r"validator +(0x[0-9a-f]{40})", shown)[1])  # type: ignore[index]
    newcomer.do(run)
    owner = address_of(bytes.fromhex(DEV_KEYS[0]))
    assert "0x" + owner.hex() == DEV_ADDRESSES[0]
    newcomer.do(f"echo {DEV_KEYS[0]} | chain-wallet import -")
    newcomer.do(stake)

    def seats() -> dict[str, int]:
        found = net[0].rpc.call("ledger_validators")
        return {item["address"]: int(item["power"], 16) for item in found["validators"]}

    net.wait(lambda: seats().get(address) == 5)
    assert address in newcomer.do(look).lower()
    # Its votes count: it is among the signers of a block.
    net.wait(lambda: address in signers(net))
    (leave,) = steps("leave")
    newcomer.do(leave)
    net.wait(lambda: address not in seats())
    net.wait_progress(seconds=HEALING_SECONDS)
    net.check_agreement()


def signers(net: Testnet) -> set[str]:
    found = net[0].rpc.call("ledger_finality", "latest")
    return set() if found is None else {i["address"] for i in found["certificate"]["signers"]}
