"""What lies between the nodes of a network, so that it can be slow, lose packets and be cut.

Two of a kind. `Proxies` are TCP proxies, one for each way between two nodes, and work
everywhere. `Namespaces` put each node into a network namespace of its own, on an Ethernet
whose switch is a thread here: every packet passes through it, is late, or lost. That needs
root, `ip` and /dev/net/tun; `Namespaces.possible` says whether they are there.
"""

import asyncio
import fcntl
import heapq
import os
import secrets
import selectors
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final, Protocol

from tests.end_to_end.network import NetworkNode
from tests.support.daemon import Rpc

_TUN: Final = Path("/dev/net/tun")
_SET_INTERFACE: Final = 0x400454CA  # TUNSETIFF
_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000
_FRAME_BYTES_MAX: Final = 65_536
_PORT: Final = 30_656
_BROADCAST: Final = b"\xff" * 6
_HELD_MAX: Final = 20_000  # packets under way; more are lost
_CHUNK: Final = 65_536


class Wires(Protocol):
    """Between nodes, which are named by their index."""

    def start(self, place: int, *arguments: str) -> None:
        """Start a node so that it speaks with the others over these wires alone."""
        ...

    def cut(self, sender: int, receiver: int) -> None:
        """From now on nothing gets from one to the other."""
        ...

    def heal(self) -> None:
        """All ways are open again."""
        ...

    def close(self) -> None: ...


def split(wires: Wires, *groups: Collection[int]) -> None:
    """Only nodes of one group hear each other."""
    for group in groups:
        for other in groups:
            if other is not group:
                for sender in group:
                    for receiver in other:
                        wires.cut(sender, receiver)


# -- proxies ---------------------------------------------------------------------------------------


class Proxies:
    """TCP connections that can be late, and hang."""

    def __init__(self, nodes: Sequence[NetworkNode], *, delay_ms: float = 0.0) -> None:
        self._nodes = nodes
        self._delay = delay_ms / 1000
        self._cuts: set[tuple[int, int]] = set()
        self._ports: dict[tuple[int, int], int] = {}
        self._open = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def start(self, place: int, *arguments: str) -> None:
        node = self._nodes[place]
        others = [other for other in range(len(self._nodes)) if other != place]
        peers = [f"{self._nodes[j].node_id}@127.0.0.1:{self._ports[place, j]}" for j in others]
        # Nobody is told of the way round the proxies.
        node.start("--net-persistent", ",".join(peers), "--no-net-discovery", *arguments)

    def cut(self, sender: int, receiver: int) -> None:
        self._cuts.add((sender, receiver))

    def heal(self) -> None:
        self._cuts.clear()
        self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _wake(self) -> None:
        self._open.set()
        self._open = asyncio.Event()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        for i in range(len(self._nodes)):
            for j, listener in enumerate(self._nodes):
                if i == j:
                    continue
                port = int(listener.p2p.rsplit(":", 1)[1])

                async def accept(
                    reader: asyncio.StreamReader,
                    writer: asyncio.StreamWriter,
                    i: int = i,
                    j: int = j,
                    port: int = port,
                ) -> None:
                    await self._carry(i, j, port, reader, writer)

                server = await asyncio.start_server(accept, "127.0.0.1", 0)
                self._ports[i, j] = server.sockets[0].getsockname()[1]

    async def _carry(
        self,
        i: int,
        j: int,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        await self._passable(i, j)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pump(i, j, reader, there_writer), self._pump(j, i, there_reader, writer)
        )

    async def _passable(self, sender: int, receiver: int) -> None:
        while (sender, receiver) in self._cuts:
            await self._open.wait()

    async def _pump(
        self, sender: int, receiver: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._passable(sender, receiver)
                writer.write(data)
                await writer.drain()
        await self._passable(sender, receiver)
        writer.close()


# -- namespaces ------------------------------------------------------------------------------------


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


class Namespaces:
    """One network namespace per node. RPC has wires of its own, which nothing happens to."""

    def __init__(
        self, nodes: Sequence[NetworkNode], *, delay_ms: float = 0.0, loss: float = 0.0
    ) -> None:
        """Every packet takes `delay_ms`, give or take half of it; `loss` of them are lost."""
        self._nodes = nodes
        self._delay = delay_ms / 1000
        self._loss = loss
        self._random = Random(1)
        self._cuts: set[tuple[int, int]] = set()
        tag = secrets.token_hex(3)
        self._names = [f"cn{tag}{place}" for place in range(len(nodes))]
        self._subnet = f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(256)}"
        self._taps: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._switch, daemon=True)
        try:
            for place in range(len(nodes)):
                self._make(place)
        except BaseException:  # an interrupted run leaves no namespaces behind
            self._remove()
            raise
        self._thread.start()

    @staticmethod
    def possible() -> bool:
        if os.geteuid() or shutil.which("ip") is None or not os.access(_TUN, os.R_OK | os.W_OK):
            return False
        name = f"cn{secrets.token_hex(4)}"
        if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
            return False
        _ip("netns", "del", name)
        return True

    def start(self, place: int, *arguments: str) -> None:
        node = self._nodes[place]
        peers = [
            f"{other.node_id}@{self._address(j)}:{_PORT}"
            for j, other in enumerate(self._nodes)
            if j != place
        ]
        port = node.url.rsplit(":", 1)[1]
        node.start(
            *("--net-persistent", ",".join(peers)),
            *("--net-host", "0.0.0.0", "--net-port", str(_PORT)),
            *("--rpc-host", "0.0.0.0", "--rpc-port", port),
            *arguments,
            prefix=("ip", "netns", "exec", self._names[place]),
        )
        node.rpc = Rpc(f"http://{self._outside(place, 2)}:{port}")

    def cut(self, sender: int, receiver: int) -> None:
        self._cuts.add((sender, receiver))

    def heal(self) -> None:
        self._cuts.clear()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        self._remove()

    def _address(self, place: int) -> str:
        return f"10.99.0.{place + 1}"

    def _outside(self, place: int, end: int) -> str:
        return f"{self._subnet}.{4 * place + end}"

    def _make(self, place: int) -> None:
        name = self._names[place]
        _ip("netns", "add", name)
        inside = ("-n", name)
        tap = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
        self._taps.append(tap)
        fcntl.ioctl(tap, _SET_INTERFACE, struct.pack("16sH", name.encode(), _TAP_WITHOUT_HEADER))
        _ip("link", "set", name, "netns", name)
        _ip(*inside, "link", "set", name, "address", f"02:00:00:00:00:{place:02x}")
        _ip(*inside, "addr", "add", f"{self._address(place)}/24", "dev", name)
        _ip(*inside, "link", "set", name, "up")
        _ip(*inside, "link", "set", "lo", "up")
        _ip("link", "add", f"{name}r", "type", "veth", "peer", "name", "rpc", "netns", name)
        _ip("addr", "add", f"{self._outside(place, 1)}/30", "dev", f"{name}r")
        _ip("link", "set", f"{name}r", "up")
        _ip(*inside, "addr", "add", f"{self._outside(place, 2)}/30", "dev", "rpc")
        _ip(*inside, "link", "set", "rpc", "up")

    def _remove(self) -> None:
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        for tap in self._taps:
            os.close(tap)

    def _switch(self) -> None:
        """Carries Ethernet frames; each waits its time in a heap."""
        waiting: list[tuple[float, int, int, bytes]] = []
        number = 0
        with selectors.DefaultSelector() as selector:
            for place, tap in enumerate(self._taps):
                selector.register(tap, selectors.EVENT_READ, place)
            while not self._ended.is_set():
                now = time.monotonic()
                while waiting and waiting[0][0] <= now:
                    _, _, receiver, frame = heapq.heappop(waiting)
                    with suppress(OSError):  # its node's interface is full, or gone
                        os.write(self._taps[receiver], frame)
                pause = min(0.2, waiting[0][0] - now) if waiting else 0.2
                for key, _ in selector.select(pause):
                    sender: int = key.data
                    with suppress(OSError):
                        while frame := os.read(self._taps[sender], _FRAME_BYTES_MAX):
                            for receiver in self._receivers(sender, frame):
                                if len(waiting) < _HELD_MAX:
                                    number += 1
                                    due = time.monotonic() + self._lateness()
                                    heapq.heappush(waiting, (due, number, receiver, frame))

    def _receivers(self, sender: int, frame: bytes) -> list[int]:
        everybody = range(len(self._taps))
        if frame[:6] == _BROADCAST:
            meant = [place for place in everybody if place != sender]
        else:
            meant = [place for place in everybody if frame[:6] == bytes((2, 0, 0, 0, 0, place))]
        return [
            place
            for place in meant
            if (sender, place) not in self._cuts and self._random.random() >= self._loss
        ]

    def _lateness(self) -> float:
        return self._delay * self._random.uniform(0.5, 1.5)
