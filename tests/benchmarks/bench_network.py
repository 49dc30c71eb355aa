"""Four validators on this machine: throughput, and the time from submission to a final receipt.

Transfers are signed beforehand and sent to all nodes in turn over HTTP, in batches. A
receipt counts as final when the node that took the transaction announces its block, for
`latest` is final here. First as fast as the network takes them (saturation), then at
half of that; then the same with one validator dead, and with the leader killed.

`make bench B=network` prints a table and a histogram; CHAIN_BENCH_SVG=file writes it as a picture.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import aiohttp

from chain.crypto.hd import derive_keys
from chain.crypto.secp256k1 import address_of
from chain.transactions import build_transaction, sign_transaction
from chain.types import Address
from tests.benchmarks.table import machine, show
from tests.end_to_end.network import Testnet

_MNEMONIC: Final = "test test test test test test test test test test test junk"
_CHAIN_ID: Final = 31337
_ACCOUNTS: Final = 10
_TO: Final = Address(b"\x42" * 20)
_FEE: Final = 10**12
_BATCH: Final = 50
_SATURATION_SECONDS: Final = 12.0
_STEADY_SECONDS: Final = 20.0
_SATURATION_MAX: Final = 8_000  # transfers a second; more are not signed
_WAITING_MAX: Final = 3000  # transactions under way at saturation
_BUCKETS_MS: Final = (50, 100, 150, 200, 250, 300, 400, 500, 700, 1000, 2000)


Rows = list[tuple[str, str, str, str]]


class Load:
    """Transfers on their way into a running network."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.latencies: list[float] = []
        self.blocks: list[float] = []  # when each height was first announced
        self.waiting: dict[str, float] = {}
        self._keys = [(key, address_of(key)) for key in derive_keys(_MNEMONIC, _ACCOUNTS)]
        self._nonces: dict[Address, int] = {}
        self._session = aiohttp.ClientSession()
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: deque[tuple[str, str]] = deque()

    async def begin(self) -> None:
        await self.sign_anew(0)
        self._tasks = [asyncio.create_task(self._listen(url)) for url in self.urls]

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    def sign(self, count: int) -> None:
        """Prepare this many transfers, round robin over the accounts."""
        for index in range(count):
            key, address = self._keys[index % len(self._keys)]
            nonce = self._nonces[address]
            self._nonces[address] = nonce + 1
            signed = sign_transaction(
                build_transaction(
                    kind=2, chain_id=_CHAIN_ID, nonce=nonce, gas_limit=21_000, max_fee=_FEE,
                    max_priority_fee=10**9, to=_TO, value=1,
                ),
                key,
            )  # fmt: skip
            self._ready.append(("0x" + signed.raw.hex(), _hex(signed.hash)))

    async def sign_anew(self, count: int) -> None:
        """Prepare this many, in place of what was prepared and not sent."""
        self._ready.clear()
        for _, address in self._keys:
            text = await self.call(self.urls[0], "eth_getTransactionCount", _hex(address), "latest")
            self._nonces[address] = int(text, 16)
        self.sign(count)

    async def call(self, url: str, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(url, json=body) as response:
            return (await response.json())["result"]

    async def _listen(self, url: str) -> None:
        """Note when each transaction that was sent to this node is final here."""
        async with self._session.ws_connect(url.replace("http", "ws"), max_msg_size=0) as socket:
            await socket.send_json(
                {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
            )
            async for message in socket:
                shown = message.json()
                if shown.get("method") == "eth_subscription":
                    number = shown["params"]["result"]["number"]
                    self.blocks.append(time.monotonic())
                    await socket.send_json(
                        {"jsonrpc": "2.0", "id": 2, "method": "eth_getBlockByNumber",
                         "params": [number, False]}
                    )  # fmt: skip
                elif isinstance(shown.get("result"), dict):
                    now = time.monotonic()
                    for transaction_hash in shown["result"]["transactions"]:
                        sent = self.waiting.pop(url + transaction_hash, None)
                        if sent is not None:
                            self.latencies.append(now - sent)

    async def send(self, index: int, count: int) -> None:
        url = self.urls[index % len(self.urls)]
        chosen = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
        now = time.monotonic()
        for _, transaction_hash in chosen:
            self.waiting[url + transaction_hash] = now
        body = [
            {"jsonrpc": "2.0", "id": number, "method": "eth_sendRawTransaction", "params": [raw]}
            for number, (raw, _) in enumerate(chosen)
        ]
        async with self._session.post(url, json=body) as response:
            for answer in await response.json():
                if "error" in answer:
                    raise RuntimeError(answer["error"])

    async def saturate(self, seconds: float) -> float:
        """Keep the network full; transactions per second to a final receipt."""
        start, index = time.monotonic(), 0
        done = len(self.latencies)
        while time.monotonic() - start < seconds and self._ready:
            if len(self.waiting) < _WAITING_MAX:
                await self.send(index, _BATCH)
                index += 1
            else:
                await asyncio.sleep(0.005)
        elapsed = time.monotonic() - start
        rate = (len(self.latencies) - done) / elapsed
        await self.drain()
        return rate

    async def steady(self, rate: float, seconds: float) -> list[float]:
        """Send at a rate whatever comes back; the latencies, in seconds."""
        start, sent = time.monotonic(), 0
        first = len(self.latencies)
        while (now := time.monotonic()) - start < seconds and self._ready:
            if sent < (now - start) * rate:
                await self.send(sent // _BATCH, _BATCH)
                sent += _BATCH
            else:
                await asyncio.sleep(0.001)
        await self.drain()
        return self.latencies[first:]

    async def drain(self) -> None:
        end = time.monotonic() + 60
        while self.waiting and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if self.waiting:
            raise RuntimeError(f"{len(self.waiting)} transfers never became final")


class Meter:
    """What a stretch of load costs: processor time per transfer and node, and skipped views."""

    def __init__(self, load: Load, net: Testnet, before: tuple[int, float, int]) -> None:
        self._load = load
        self._net = net
        self._before = before

    @classmethod
    async def begun(cls, load: Load, net: Testnet) -> "Meter":
        return cls(load, net, await cls._look(load, net))

    @staticmethod
    async def _look(load: Load, net: Testnet) -> tuple[int, float, int]:
        """Transfers that are final, seconds of all processors, views without a block."""
        status = await load.call(load.urls[0], "ledger_consensusStatus")
        running = [node.process.pid for node in net.nodes if node.running and node.process]
        skipped = int(status["view"], 16) - int(status["height"], 16)
        return len(load.latencies), sum(map(_processor_seconds, running)), skipped

    async def read(self) -> Rows:
        transfers, seconds, skipped = (
            after - before
            for after, before in zip(
                await self._look(self._load, self._net), self._before, strict=True
            )
        )
        nodes = sum(node.running for node in self._net.nodes)
        cost = 1e6 * seconds / max(1, transfers) / nodes
        return [
            ("  processor time per transfer and node", f"{cost:,.0f} us", "", ""),
            ("  views that ended without a block", f"{skipped}", "", ""),
        ]


def _processor_seconds(pid: int) -> float:
    """What a process has used so far, of user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


async def _measure(net: Testnet, table: Rows) -> list[float]:
    load = Load([node.url for node in net.nodes])
    await load.begin()
    load.sign(3_000)
    await load.saturate(3)
    load.sign(int(_SATURATION_SECONDS * _SATURATION_MAX))
    meter = await Meter.begun(load, net)
    rate = await load.saturate(_SATURATION_SECONDS)
    table.append(("four validators, saturation", f"{rate:,.0f}/s", "", ""))
    table += await meter.read()
    await load.sign_anew(int(rate / 2 * _STEADY_SECONDS))
    meter = await Meter.begun(load, net)
    latencies = await load.steady(rate / 2, _STEADY_SECONDS)
    table.append(("four validators, half of it", f"{rate / 2:,.0f}/s", *_shown(latencies)))
    table += await meter.read()
    await load.end()

    net.kill(3)
    load = Load([node.url for node in net.nodes[:3]])
    await load.begin()
    load.sign(int(_SATURATION_SECONDS * _SATURATION_MAX))
    rate_dead = await load.saturate(_SATURATION_SECONDS)
    table.append(("one dead, saturation", f"{rate_dead:,.0f}/s", "", ""))
    await load.sign_anew(int(rate_dead / 2 * _STEADY_SECONDS))
    meter = await Meter.begun(load, net)
    dead = await load.steady(rate_dead / 2, _STEADY_SECONDS)
    table.append(("one dead, half of it", f"{rate_dead / 2:,.0f}/s", *_shown(dead)))
    table += await meter.read()
    await load.end()
    return latencies


async def _pauses(net: Testnet, table: Rows) -> None:
    """The longest time without a new block, over kills of whoever leads."""
    worst = 0.0
    for _ in range(5):
        net.start([3] if not net.nodes[3].running else [])
        load = Load([node.url for node in net.nodes if node.running])
        await load.begin()
        status = await load.call(load.urls[0], "ledger_consensusStatus")
        await asyncio.sleep(3)
        status = await load.call(load.urls[0], "ledger_consensusStatus")
        victim = next(node for node in net.nodes if node.validator == status["leader"])
        await load.end()
        load = Load([node.url for node in net.nodes if node is not victim])
        await load.begin()
        await asyncio.sleep(0.5)
        net.kill(victim.index)
        await asyncio.sleep(5)
        gaps = [after - before for before, after in zip(load.blocks, load.blocks[1:])]
        worst = max(worst, max(gaps))
        await load.end()
        net.restart(victim.index)
        await asyncio.sleep(2)
    table.append(("leader killed, longest pause of 5", "", "", f"{1000 * worst:,.0f} ms"))


def _shown(latencies: list[float]) -> tuple[str, str]:
    return (
        f"{1000 * statistics.median(latencies):,.0f} ms",
        f"{1000 * _percentile(latencies, 0.99):,.0f} ms",
    )


def _histogram(latencies: list[float]) -> list[tuple[str, int]]:
    rows = []
    below = 0.0
    for bound in (*_BUCKETS_MS, 10**9):
        count = sum(below <= 1000 * value < bound for value in latencies)
        rows.append((f"< {bound} ms" if bound < 10**9 else "more", count))
        below = bound
    return rows


def _picture(rows: list[tuple[str, int]], path: Path) -> None:
    largest = max(count for _, count in rows) or 1
    size = 'width="640" height="300" font-family="sans-serif" font-size="12"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    for index, (label, count) in enumerate(rows):
        top, width = 10 + 23 * index, 440 * count / largest
        name = label.replace("<", "&lt;")
        lines += [
            f'<text x="80" y="{top + 14}" text-anchor="end">{name}</text>',
            f'<rect x="90" y="{top}" width="{width:.1f}" height="18" fill="#4477aa"/>',
            f'<text x="{96 + width:.1f}" y="{top + 14}">{count:,}</text>',
        ]
    path.write_text("\n".join([*lines, "</svg>", ""]))


def main() -> None:
    table: Rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        # One epoch for ever, so that views and heights can be compared.
        Testnet.running(Path(folder) / "net", "--epoch-length", "0", validators=4) as net,
    ):
        latencies = asyncio.run(_measure(net, table))
        asyncio.run(_pauses(net, table))
    print(machine())
    show(("what", "rate", "p50", "p99"), table)
    rows = _histogram(latencies)
    print("\nsubmission to final receipt, four validators at half of saturation")
    for label, count in rows:
        print(f"{label:>10}  {count:>7,}  {'#' * (60 * count // max(1, len(latencies)))}")
    if picture := os.environ.get("CHAIN_BENCH_SVG"):
        _picture(rows, Path(picture))
