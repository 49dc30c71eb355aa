"""Networks of real processes: made, started, hurt and asked through the CLI and RPC only.

    with Testnet.running(tmp_path, validators=4) as net:
        net.kill(2)
        net.wait_progress(nodes=[0, 1, 3])
        net.check_agreement()

Conditions are waited for, never slept for. A node that ended by itself fails the test that
waits for it, with the last lines of what it printed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from tests.support.daemon import (
    DEV_KEYS,
    Rpc,
    RpcFailure,
    clean_environment,
    command,
    run_command,
    signed_transfer,
    wait_until,
)

# After healing, on a machine that has time for it; a loaded one may be given more.
HEALING_SECONDS: Final = float(os.environ.get("CHAIN_HEALING_SECONDS", "10"))
_ROOT: Final = Path(__file__).resolve().parents[2]
_STOP_SECONDS: Final = 60.0
_LINES_KEPT: Final = 2000
_FEE_MAX: Final = 10**13  # wei per gas; far above what the base fee can reach in a test
_BATCH: Final = 200


class NetworkNode:
    """A node of the manifest, and its process while there is one."""

    def __init__(self, index: int, entry: dict[str, Any]) -> None:
        self.index = index
        self.name: str = entry["name"]
        self.datadir = Path(entry["datadir"])
        self.url: str = entry["rpc_url"]
        self.p2p: str = entry["p2p_address"]
        self.validator: str | None = entry["validator_address"]
        self.node_id: str = entry["node_id"]
        self.rpc = Rpc(self.url)
        self.process: subprocess.Popen[str] | None = None
        self.paused = False
        self.output: deque[str] = deque(maxlen=_LINES_KEPT)  # of all its processes, both streams
        self._seen = 0  # the greatest height it ever answered
        self._reader: threading.Thread | None = None

    # -- the process -------------------------------------------------------------------------------

    def start(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        alterations: Sequence[str] = (),
    ) -> None:
        """Start it, with flags beside its settings; does not wait until it answers.

        `prefix` goes before the command: `ip netns exec ...`, `prlimit ...`. With
        `alterations` it is the program of `tests.end_to_end.altered`.
        """
        assert not self.running, f"{self.name} runs already"
        line = command("run", "--datadir", str(self.datadir), *arguments)
        if alterations:
            line[1:3] = ["-m", "tests.end_to_end.altered", *alterations, "--"]
        self.process = process = subprocess.Popen(
            [*prefix, *line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(environment),
            cwd=_ROOT,
        )
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line.rstrip("\n"))

    @property
    def running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """SIGTERM, and wait; the exit status."""
        assert self.process is not None
        if self.paused:
            self.resume()
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait_ended()

    def wait_ended(self) -> int:
        """Its exit status, once it was told to stop; AssertionError when it does not."""
        assert self.process is not None
        try:
            return self._ended()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self._ended()
            raise AssertionError(f"{self.name} did not stop\n{self.tail()}") from None

    def _ended(self) -> int:
        assert self.process is not None and self._reader is not None
        status = self.process.wait(_STOP_SECONDS)
        self.paused = False
        self._reader.join(10)
        return status

    def pause(self) -> None:
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.paused = False

    def tail(self, lines: int = 40) -> str:
        """The last lines that it printed, for a failing test."""
        return f"--- {self.name} ---\n" + "\n".join(list(self.output)[-lines:])

    # -- questions ---------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether its RPC answers. AssertionError when the process ended by itself."""
        assert self.running, f"{self.name} is not running\n{self.tail()}"
        try:
            return bool(self.rpc.call("eth_chainId"))
        except (OSError, ValueError, HTTPException):
            return False

    def height(self) -> int:
        """Its final height; AssertionError when it is less than one that it answered before."""
        height = self.rpc.height()
        assert height >= self._seen, f"{self.name}: latest went from {self._seen} to {height}"
        self._seen = height
        return height

    def block_hash(self, height: int) -> str:
        """The hash of the block at a height; empty when the node has none there yet."""
        block = self.rpc.call("eth_getBlockByNumber", hex(height), False)
        return "" if block is None else str(block["hash"])

    def block_hashes(self, first: int, last: int) -> list[str]:
        """The hashes of the blocks from `first` to `last`, both included."""
        found: list[str] = []
        for start in range(first, last + 1, _BATCH):
            end = min(start + _BATCH, last + 1)
            calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(start, end)]
            found += [str(answer["result"]["hash"]) for answer in self.rpc.batch(calls)]
        return found

    def memory_bytes(self) -> int:
        """What the process holds in memory now."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def score(self, node_id: str) -> float:
        """The points that a node has at this one; 100 when it is banned."""
        if any(ban["who"] == node_id for ban in self.rpc.call("admin_bans")):
            return 100.0
        for peer in self.rpc.call("admin_peers"):
            if peer["id"] == node_id:
                return float(peer["protocols"]["chain"]["score"])
        return 0.0

    def peer_ids(self) -> set[str]:
        """The nodes that it has links with."""
        return {peer["id"] for peer in self.rpc.call("admin_peers")}

    def signs(self, block: str = "latest") -> set[str]:
        """The validators whose signatures make a block final, as far as this node knows."""
        found = self.rpc.call("ledger_finality", block)
        return set() if found is None else {i["address"] for i in found["certificate"]["signers"]}

    def forget_heights(self) -> None:
        """The node starts anew (a wiped folder): its heights may begin below."""
        self._seen = 0


class Testnet:
    """A network in a folder, its nodes by index."""

    __test__ = False  # not a class of tests, whatever its name

    def __init__(self, folder: Path) -> None:
        """The network that `chain-node testnet` wrote into `folder`; nothing runs yet."""
        self.folder = folder
        entries = json.loads((folder / "testnet.json").read_text())
        self.chain_id: int = entries[0]["chain_id"]
        self.genesis = Path(entries[0]["genesis"])
        self.nodes = [NetworkNode(i, entry) for i, entry in enumerate(entries)]
        self._served: dict[str, Any] = {}  # receipts by transaction hash
        self._nonces: dict[str, int] = {}

    @classmethod
    def create(cls, folder: Path, *arguments: str, validators: int = 4) -> "Testnet":
        """Write a network on free ports with `chain-node testnet`; more flags may follow."""
        done = run_command(
            "testnet",
            "--dir",
            str(folder),
            "--validators",
            str(validators),
            "--base-port",
            "0",
            *arguments,
        )
        assert done.returncode == 0, done.stderr
        return cls(folder)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *arguments: str, validators: int = 4) -> "Iterator[Testnet]":
        """A network whose nodes all answer; whatever still runs at the end is killed."""
        net = cls.create(folder, *arguments, validators=validators)
        with net.cleared():
            net.start()
            net.wait_ready()
            yield net

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """No process of this network outlives the block."""
        try:
            yield
        finally:
            for node in self.nodes:
                if node.running:
                    node.kill()

    def __getitem__(self, index: int) -> NetworkNode:
        return self.nodes[index]

    def _chosen(self, nodes: Iterable[int] | None) -> list[NetworkNode]:
        """By default, those that run and are not paused."""
        if nodes is not None:
            return [self.nodes[index] for index in nodes]
        return [node for node in self.nodes if node.running and not node.paused]

    # -- processes ---------------------------------------------------------------------------------

    def start(self, nodes: Iterable[int] | None = None, *arguments: str) -> None:
        """Start nodes, by default all that do not run."""
        chosen = self.nodes if nodes is None else [self.nodes[index] for index in nodes]
        for node in chosen:
            if not node.running:
                node.start(*arguments)

    def stop(self) -> None:
        """SIGTERM to all, and every one must end well."""
        running = [node for node in self.nodes if node.running]
        for node in running:
            if node.paused:
                node.resume()
            node.signal(signal.SIGTERM)
        for node in running:
            status = node.wait_ended()
            assert status == 0, f"{node.name} ended with {status}\n{node.tail()}"

    def kill(self, *indices: int) -> None:
        """kill -9 at the same moment."""
        for index in indices:
            self.nodes[index].signal(signal.SIGKILL)
        for index in indices:
            self.nodes[index].kill()

    def pause(self, *indices: int) -> None:
        for index in indices:
            self.nodes[index].pause()

    def resume(self, *indices: int) -> None:
        for index in indices:
            self.nodes[index].resume()

    def restart(self, *indices: int) -> None:
        """Stop what runs of these, start them, and wait until they answer."""
        for index in indices:
            if self.nodes[index].running:
                self.nodes[index].stop()
        self.start(indices)
        self.wait_ready(indices)

    # -- conditions --------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """As `wait_until`; when it never comes true, the end of every node's output is shown."""

        def held() -> Any:
            try:
                return condition()
            except (OSError, ValueError, HTTPException):  # a node that starts, or was just killed
                return None

        try:
            return wait_until(held, seconds)
        except AssertionError as error:
            shown = "\n".join(node.tail(25) for node in self.nodes if node.process is not None)
            raise AssertionError(f"{error}\n{shown}") from None

    def wait_ready(self, nodes: Iterable[int] | None = None, seconds: float = 60.0) -> None:
        """Until the nodes answer RPC."""
        for node in self._chosen(nodes):
            self.wait(node.answers, seconds)

    def heights(self, nodes: Iterable[int] | None = None) -> list[int]:
        """Final heights; each node's never goes back."""
        return [node.height() for node in self._chosen(nodes)]

    def wait_height(
        self, height: int, nodes: Iterable[int] | None = None, seconds: float = 60.0
    ) -> None:
        """Until each of the nodes is at least that high."""
        chosen = [node.index for node in self._chosen(nodes)]
        self.wait(lambda: min(self.heights(chosen)) >= height, seconds)

    def wait_progress(
        self, blocks: int = 2, nodes: Iterable[int] | None = None, seconds: float = 60.0
    ) -> None:
        """Until each of the nodes is that many blocks above the highest of them now."""
        chosen = [node.index for node in self._chosen(nodes)]
        highest: int = self.wait(lambda: max(self.heights(chosen)) + 1, seconds) - 1
        self.wait_height(highest + blocks, chosen, seconds)

    # -- transactions ------------------------------------------------------------------------------

    def send(self, index: int = 0, *, key: str = DEV_KEYS[0], **fields: Any) -> str:
        """Send a transfer from a funded account through a node; its hash."""
        nonce = max(self._nonces.get(key, 0), next_nonce(self.nodes[index].rpc, key))
        fields = {"max_fee": _FEE_MAX, "chain_id": self.chain_id} | fields
        raw = signed_transfer(key, nonce, **fields)
        sent = str(self.nodes[index].rpc.call("eth_sendRawTransaction", raw))
        self._nonces[key] = nonce + 1
        return sent

    def receipt(self, transaction_hash: str, index: int = 0, seconds: float = 60.0) -> Any:
        """A node's receipt, waited for; from now on no node may have another or lose it."""
        rpc = self.nodes[index].rpc
        found = self.wait(lambda: rpc.call("eth_getTransactionReceipt", transaction_hash), seconds)
        self.serve(found)
        return found

    def serve(self, receipt: Any) -> None:
        """Take note of a receipt that a node has answered."""
        known = self._served.setdefault(receipt["transactionHash"], receipt)
        assert known == receipt

    # -- invariants --------------------------------------------------------------------------------

    def check_agreement(self, nodes: Iterable[int] | None = None) -> int:
        """The same block at each height on all nodes; the height up to which it was compared."""
        chosen = self._chosen(nodes)
        lowest = min(node.height() for node in chosen)
        expected = chosen[0].block_hashes(0, lowest)
        for node in chosen[1:]:
            found = node.block_hashes(0, lowest)
            for height, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
                assert ours == theirs, f"{chosen[0].name} and {node.name} differ at {height}"
        return lowest

    def check_receipts(self, nodes: Iterable[int] | None = None) -> None:
        """Every receipt that any node ever served is there, and the same."""
        items = list(self._served.items())
        for node in self._chosen(nodes):
            for first in range(0, len(items), _BATCH):
                part = items[first : first + _BATCH]
                calls = [("eth_getTransactionReceipt", [key]) for key, _ in part]
                for (_, receipt), answer in zip(part, node.rpc.batch(calls), strict=True):
                    assert answer["result"] == receipt, f"{node.name} lost a receipt"


class Load:
    """Clients that send transfers to the nodes of a network and collect receipts until `stop`.

    Nobody else may send from their accounts meanwhile; `Testnet.send` has another by default.
    Each has an account of its own and goes to another node when its own does not answer.
    """

    def __init__(self, net: Testnet, *, keys: Sequence[str] = DEV_KEYS[1:], size: int = 5) -> None:
        self._net = net
        self._size = size
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.served: dict[str, Any] = {}
        self.failure: str = ""
        self._threads = [
            threading.Thread(target=self._guarded, args=(place, key), daemon=True)
            for place, key in enumerate(keys)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the clients and hand their receipts to the network's invariants."""
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.failure, self.failure
        for receipt in self.served.values():
            self._net.serve(receipt)

    def count(self) -> int:
        return len(self.served)

    def _guarded(self, place: int, key: str) -> None:
        try:
            self._run(place, key)
        except Exception as error:
            self.failure = repr(error)
            raise

    def _run(self, place: int, key: str) -> None:
        nodes = self._net.nodes
        sent: dict[str, str] = {}  # hash -> raw, until the receipt came
        nonce: int = self._net.wait(lambda: next_nonce(nodes[place % len(nodes)].rpc, key) + 1) - 1
        while not self._ended.is_set():
            node = nodes[place % len(nodes)]
            if not node.running or node.paused:
                place += 1
                self._ended.wait(0.01)
                continue
            while len(sent) < self._size:
                raw = signed_transfer(key, nonce, max_fee=_FEE_MAX, chain_id=self._net.chain_id)
                sent[transaction_hash(raw)] = raw
                nonce += 1
            try:
                # Again each time: a node that was killed has forgotten what was pooled.
                node.rpc.batch([("eth_sendRawTransaction", [raw]) for raw in sent.values()])
                hashes = list(sent)
                calls = [("eth_getTransactionReceipt", [h]) for h in hashes]
                for key_hash, answer in zip(hashes, node.rpc.batch(calls), strict=True):
                    if answer.get("result") is not None:
                        with self._lock:
                            self.served[key_hash] = answer["result"]
                        del sent[key_hash]
            except (OSError, ValueError, HTTPException, RpcFailure):
                place += 1  # killed, cut off or too slow: the next node
            self._ended.wait(0.05)


def wallet_validators(node: NetworkNode) -> list[dict[str, Any]]:
    """What `chain-wallet validators` shows through a node."""
    done = subprocess.run(
        [sys.executable, "-m", "wallet", "validators", "--json", "--rpc", node.rpc.url],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=_ROOT,
        timeout=_STOP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def next_nonce(rpc: Rpc, key: str) -> int:
    """The nonce of an account's next transaction, behind those that a node has pooled."""
    address = "0x" + address_of(bytes.fromhex(key)).hex()
    return int(rpc.call("eth_getTransactionCount", address, "pending"), 16)


def transaction_hash(raw: str) -> str:
    """The hash of a raw transaction."""
    return "0x" + keccak(bytes.fromhex(raw[2:])).hex()
