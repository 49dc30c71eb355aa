"""Real `chain-node` processes on free ports, and a small JSON-RPC client for them."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chain.transactions import Kind, build_transaction, sign_transaction
from chain.types import Address

# The first keys of the well-known test mnemonic, as every tool lists them.
DEV_KEYS: Final = (
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
)
DEV_ADDRESSES: Final = (
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
)
_READY: Final = re.compile(r"JSON-RPC\s+(http://\S+)")
_START_SECONDS: Final = 60.0  # a hung start fails the test; nothing else depends on it
_STOP_SECONDS: Final = 60.0


class RpcFailure(Exception):
    """The answer was a JSON-RPC error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.code = error.get("code")
        self.message = str(error.get("message"))
        self.data = error.get("data")


class Rpc:
    """Calls over HTTP, one connection each. OSError when nobody answers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, body: bytes, timeout: float = 60.0) -> Any:
        request = urllib.request.Request(
            self.url, data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.loads(response.read())

    def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.post(json.dumps(body).encode())
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer["result"]

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        """Whole answers, in the order of the calls."""
        body = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
            for index, (method, params) in enumerate(calls)
        ]
        answers = self.post(json.dumps(body).encode())
        return sorted(answers, key=lambda answer: int(answer["id"]))

    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def wait_for_receipt(self, transaction_hash: str, seconds: float = 60.0) -> Any:
        """The receipt; fails the test when it never comes."""
        return wait_until(lambda: self.call("eth_getTransactionReceipt", transaction_hash), seconds)


def wait_until(condition: Any, seconds: float = 60.0) -> Any:
    """Poll a condition until it gives something true; AssertionError when it never does."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition never came true"
        pause.wait(0.01)
    return found


class Daemon:
    """A running chain-node."""

    def __init__(
        self, process: "subprocess.Popen[str]", url: str, output: list[str], errors: list[str]
    ) -> None:
        self.process = process
        self.url = url
        self.rpc = Rpc(url)
        self.output = output  # what it printed on stdout so far, by line
        self.errors = errors  # the same of stderr

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "node", *arguments]


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without settings that would leak into the daemon."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CHAIN_NODE_")}
    return kept | (extra or {})


def run_command(
    *arguments: str, environment: dict[str, str] | None = None, timeout: float = 120.0
) -> "subprocess.CompletedProcess[str]":
    """Run a chain-node command to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        env=clean_environment(environment),
        cwd=_root(),
        check=False,
    )


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


def start(
    *arguments: str,
    environment: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Daemon:
    """Start `chain-node ARGUMENTS` on a free port and wait until it is ready.

    `prefix` is put before the command (prlimit and the like). AssertionError, with what
    it said, when it ends instead.
    """
    process = subprocess.Popen(
        [*prefix, *command(*arguments, "--rpc-port", "0")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(environment),
        cwd=_root(),
    )
    output: list[str] = []
    errors: list[str] = []
    url: list[str] = []
    ready = threading.Event()

    def read_output() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line.rstrip("\n"))
            if found := _READY.search(line):
                url.append(found.group(1))
            if line.startswith("Ready."):
                ready.set()
        ready.set()

    def read_errors() -> None:
        assert process.stderr is not None
        errors.extend(process.stderr)

    threading.Thread(target=read_output, daemon=True).start()
    reader = threading.Thread(target=read_errors, daemon=True)
    reader.start()
    if not ready.wait(_START_SECONDS) or not url:
        process.kill()
        process.wait()
        reader.join(5)
        raise AssertionError(
            f"chain-node did not start: {''.join(errors)[-4000:]}\n" + "\n".join(output[-40:])
        )
    return Daemon(process, url[0], output, errors)


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[Daemon]:
    """A daemon for the length of a block; stopped at its end if it still runs."""
    daemon = start(*arguments, **options)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.stop()


def signed_transfer(
    key: str,
    nonce: int,
    *,
    value: int = 1,
    max_fee: int = 2 * 10**9,
    tip: int = 10**9,
    to: str = DEV_ADDRESSES[1],
    chain_id: int = 31337,
    data: bytes = b"",
    gas: int = 21_000,
) -> str:
    """A raw EIP-1559 transfer, as hex for eth_sendRawTransaction; to nobody: a creation."""
    unsigned = build_transaction(
        kind=Kind.DYNAMIC_FEE,
        chain_id=chain_id,
        nonce=nonce,
        gas_limit=gas,
        max_fee=max_fee,
        max_priority_fee=tip,
        to=Address(bytes.fromhex(to[2:])) if to else None,
        value=value,
        data=data,
    )
    return "0x" + sign_transaction(unsigned, bytes.fromhex(key)).raw.hex()
